//! What `broker check` says of the servers behind us: from the settings and the rules, and with `--live` from what they
//! themselves say of their tools.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use crate::config::{Config, UpstreamServer, UpstreamTransport};
use crate::outbound::Outbound;
use crate::policy::Policy;
use crate::secret::Secrets;
use crate::time::Clock;
use crate::upstream::{Probe, ProbeError, Remark};

use super::check::CheckFault;
use super::check_key::CheckKey;
use super::error::AppError;
use super::upstream_credentials::own_credential;

const KEY: CheckKey = CheckKey::Server;
/// Servers that are looked at together.
const AT_ONCE: usize = 8;

/// Servers and pins that no rule is about: whoever wrote them expects something that does not happen.
pub(super) fn unnamed(config: &Config, policy: &Policy) -> Vec<CheckFault> {
    let mut faults = Vec::new();
    for server in &config.upstream.servers {
        let id = server.id.as_str();
        let named = [".", "/"].iter().any(|end| policy.may_open_below(&format!("{id}{end}")));
        if !named {
            faults.push(warning(AppError::UnnamedServer { server: id.to_owned() }));
            continue;
        }
        for pin in &server.pins {
            if !policy.may_open(&format!("{id}.{}", pin.tool)) {
                let (server, tool) = (id.to_owned(), pin.tool.clone());
                faults.push(warning(AppError::HiddenPin { server, tool }));
            }
        }
    }
    faults
}

/// Asks each server over HTTP for its tools, as far as the broker can do that for itself. Programs are not started.
pub(super) async fn live(
    config: &Config,
    policy: Option<&Policy>,
    (secrets, outbound, clock): (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> Vec<CheckFault> {
    let servers = config.upstream.servers.iter();
    let looks = servers.map(|server| look(config, (server, policy), (secrets, outbound, clock)));
    stream::iter(looks).buffered(AT_ONCE).concat().await
}

async fn look(
    config: &Config,
    (server, policy): (&UpstreamServer, Option<&Policy>),
    (secrets, outbound, clock): (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> Vec<CheckFault> {
    let UpstreamTransport::Http(url) = &server.transport else { return Vec::new() };
    let known = own_credential((&server.credential, Some(url)), (secrets, outbound, clock));
    let Some(credential) = known else { return unseen(server, ProbeError::ForCallersAlone) };
    let probe = Probe {
        id: &server.id,
        url,
        credential: &credential,
        outbound,
        clock,
        timeout: server.timeout,
        max_response_bytes: server.max_response_bytes,
    };
    let others = config.upstream.servers.iter().map(|other| other.id.as_str());
    let others: Vec<&str> = others.filter(|other| *other != server.id).collect();
    let pins = server.pins.iter().map(|pin| (pin.tool.clone(), pin.digest.clone())).collect();
    let inspected = match probe.inspect(&others, &pins).await {
        Ok(inspected) => inspected,
        Err(error) => return unseen(server, error),
    };
    let mut faults: Vec<CheckFault> =
        inspected.remarks.into_iter().map(|remark| fault(server, remark)).collect();
    let id = &server.id;
    let opens =
        |tool: &String| policy.is_none_or(|policy| policy.may_open(&format!("{id}.{tool}")));
    if !inspected.tools.is_empty() && !inspected.tools.iter().any(opens) {
        let tools = inspected.tools.len();
        faults.push(warning(AppError::HiddenTools { server: id.clone(), tools }));
    }
    faults
}

/// What was approved and is another now is an error; the rest somebody should know.
fn fault(server: &UpstreamServer, remark: Remark) -> CheckFault {
    let changed = matches!(remark, Remark::Changed { .. });
    let error = AppError::ServerTools { server: server.id.clone(), remark };
    if changed { CheckFault::new(KEY, error) } else { warning(error) }
}

/// Only where somebody counts on what would have been looked at.
fn unseen(server: &UpstreamServer, error: ProbeError) -> Vec<CheckFault> {
    let for_callers = matches!(error, ProbeError::ForCallersAlone);
    if for_callers && server.pins.is_empty() {
        return Vec::new();
    }
    let error = AppError::ServerUnseen { server: server.id.clone(), source: error };
    vec![if for_callers { warning(error) } else { CheckFault::new(KEY, error) }]
}

const fn warning(error: AppError) -> CheckFault {
    CheckFault { key: KEY, error, warning: true }
}
