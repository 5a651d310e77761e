//! Whether what asks for tokens that are bound to keys (RFC 9449) gets what it asks for.

use super::resource_server::Dpop;
use super::root::Config;
use super::upstream::UpstreamServer;
use super::upstream_credential::UpstreamCredential;
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

/// A server or client that asks for them where nothing binds tokens would be let down without a word.
pub(super) fn check_binding(config: &Config, to: &mut Checker<'_>) {
    let given = config.resource_server.dpop;
    let servers = config.upstream.servers.iter().filter(|server| server.dpop_required);
    let clients = config.authorization_server.clients.iter().filter(|client| client.dpop_bound);
    let mut problems = Vec::new();
    let obo = |server: &&UpstreamServer| {
        let bound = given == Dpop::Required || (given == Dpop::Allowed && server.dpop_required);
        bound && matches!(server.credential, UpstreamCredential::EntraObo { .. })
    };
    for server in config.upstream.servers.iter().filter(obo) {
        let key = Key::default().name("upstream").name("server");
        let problem = format!(
            "`{}` has credential.entra_obo and takes bound tokens alone, which Entra does not exchange",
            server.id
        );
        to.add(Finding::error(FindingCode::Conflict, &key, problem));
    }
    for server in servers {
        let key = Key::default().name("upstream").name("server");
        if given == Dpop::Off {
            problems
                .push((key, format!("`{}` has dpop_required, and no token is bound", server.id)));
        } else if server.fold && given == Dpop::Allowed {
            let why = "has dpop_required, and its tools stand at /mcp, which takes other tokens";
            problems.push((key, format!("`{}` {why}", server.id)));
        }
    }
    for client in clients.filter(|_| given == Dpop::Off) {
        let key = Key::default().name("authorization_server").name("client");
        let why = "has dpop_bound_access_tokens, and no token is bound";
        problems.push((key, format!("`{}` {why}", client.client_id)));
    }
    for (key, problem) in problems {
        let finding = Finding::error(FindingCode::Conflict, &key, problem);
        let hint = if given == Dpop::Off { "allowed" } else { "required" };
        to.add(finding.hint(format!("set resource_server.dpop = \"{hint}\"")));
    }
}
