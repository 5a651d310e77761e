//! What `broker check` says of the servers behind us: from the settings and the rules, and with `--live` from what they
//! themselves say of their tools.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use url::Url;

use crate::admin::ProxySettings;
use crate::config::{Config, ToolLimit, UpstreamServer, UpstreamTransport};
use crate::outbound::Outbound;
use crate::policy::Policy;
use crate::resource_server::canonical;
use crate::secret::Secrets;
use crate::store::{Database, PageRequest, ResourceRow, StoreError, ToolPinList, ToolPinRow};
use crate::time::Clock;
use crate::upstream::{Credential, Probe, ProbeError, Remark, compare_kept, inspect_kept};

use super::check::CheckFault;
use super::check_key::CheckKey;
use super::endpoints::names;
use super::error::AppError;
use super::upstream_credentials::own_credential;
use super::{operations, registered};

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

/// Limits of tools of a server that neither the settings nor the store have.
pub(super) async fn limits_of_nobody(
    config: &Config,
    store: Option<&Arc<dyn Database>>,
) -> Vec<CheckFault> {
    // A store that cannot be read is told elsewhere.
    let rows = match store {
        Some(store) => store.list_proxied_resources().await.unwrap_or_default(),
        None => Vec::new(),
    };
    let settled = config.upstream.servers.iter().map(|server| server.id.as_str());
    let known: BTreeSet<&str> = settled.chain(rows.iter().map(|row| row.id.as_str())).collect();
    let idle = |(place, limit): (usize, &ToolLimit)| {
        let server = super::map::server_of(&limit.name).filter(|server| !known.contains(server))?;
        let (name, server) = (limit.name.clone(), server.to_owned());
        let error = AppError::LimitOfNoServer { name, server };
        let fault = CheckFault::warning(CheckKey::LimitsTool, error);
        Some(fault.within(format!("[{place}].name")))
    };
    config.limits.tools.iter().enumerate().filter_map(idle).collect()
}

/// Names that collide, lie or break the format, and definitions that wait to be approved: from the settings, and from what the store
/// has of the servers' tools. With `live` the servers themselves say the rest.
pub(super) async fn kept(
    config: &Config,
    store: Option<&Arc<dyn Database>>,
    live: bool,
) -> Vec<CheckFault> {
    let rows = match store {
        Some(store) => store.list_proxied_resources().await.unwrap_or_default(),
        None => Vec::new(),
    };
    let settled = config.upstream.servers.iter().map(|server| server.id.as_str());
    let settled: Vec<&str> = settled.collect();
    let mut ids = settled.clone();
    ids.extend(rows.iter().map(|row| row.id.as_str()).filter(|id| !settled.contains(id)));
    let mut faults = Vec::new();
    for id in &ids {
        let pins = match store {
            Some(store) => pins_of(store, id, ToolPinList::InFull).await,
            None => Ok(Vec::new()),
        };
        let pins = match pins {
            Ok(pins) => pins,
            Err(error) => {
                faults.push(CheckFault::new(CheckKey::Store, error.into()));
                break;
            }
        };
        let others: Vec<&str> = ids.iter().copied().filter(|other| other != id).collect();
        let settings = config.upstream.servers.iter().find(|server| server.id == **id);
        let named = settings.map(|server| server.pins.iter().map(|pin| pin.tool.as_str()));
        let named: Vec<&str> = named.into_iter().flatten().collect();
        let waiting = pins.iter().filter_map(|pin| {
            // What the settings pin is held to that alone.
            let found = pin.found.as_ref().filter(|_| !named.contains(&pin.tool.as_str()))?;
            Some((pin.tool.as_str(), found.digest.as_str()))
        });
        let waiting: Vec<_> = waiting.collect();
        let now = |pin: &ToolPinRow| match &pin.found {
            Some(found) => found.definition.clone(),
            None => pin.definition.clone(),
        };
        let definitions: Vec<_> = pins.iter().filter(|_| !live).filter_map(now).collect();
        let remarks = inspect_kept((id, &others), (&definitions, &named), &waiting);
        faults.extend(remarks.into_iter().map(|remark| self::fault(id, remark)));
    }
    faults
}

async fn pins_of(
    store: &Arc<dyn Database>,
    server: &str,
    which: ToolPinList,
) -> Result<Vec<ToolPinRow>, StoreError> {
    let (mut pins, mut page) = (Vec::new(), PageRequest { after: None, limit: 200 });
    loop {
        let some = store.list_tool_pins(server, which, &page).await?;
        pins.extend(some.rows);
        match some.next {
            Some(next) => page.after = Some(next),
            None => return Ok(pins),
        }
    }
}

/// Asks each server over HTTP for its tools, as far as the broker can do that for itself. Programs are not started.
/// `store`: where those are that were registered.
pub(super) async fn live(
    config: &Config,
    (policy, store): (Option<&Policy>, Option<&Arc<dyn Database>>),
    with: With<'_>,
) -> Vec<CheckFault> {
    let rows = match store {
        Some(store) => store.list_proxied_resources().await,
        None => Ok(Vec::new()),
    };
    let (rows, unread) = match rows {
        Ok(rows) => (rows, None),
        Err(error) => (Vec::new(), Some(CheckFault::new(CheckKey::Store, error.into()))),
    };
    let settled = config.upstream.servers.iter().map(|server| server.id.as_str());
    let ids: Vec<&str> = settled.chain(rows.iter().map(|row| row.id.as_str())).collect();
    let settled = config.upstream.servers.iter().filter_map(|server| Asked::settled(server, with));
    let registered = rows.iter().map(|row| Asked::registered(config, row, with));
    let looks = settled.map(Ok).chain(registered).map(|asked| async {
        match asked {
            Ok(asked) => look(asked, (&ids, policy, store), with).await,
            Err(fault) => vec![*fault],
        }
    });
    let mut faults = stream::iter(looks).buffered(AT_ONCE).concat().await;
    faults.extend(unread);
    faults
}

/// What a server is reached with.
type With<'a> = (&'a Arc<Secrets>, &'a Outbound, &'a Arc<dyn Clock>);

/// A server to look at.
struct Asked<'a> {
    id: &'a str,
    url: Cow<'a, Url>,
    /// `None`: what it is shown is each caller's.
    credential: Option<Credential>,
    limits: (Duration, usize),
    pins: HashMap<String, String>,
}

impl<'a> Asked<'a> {
    /// `None` for a program.
    fn settled(server: &'a UpstreamServer, with: With<'_>) -> Option<Self> {
        let UpstreamTransport::Http(url) = &server.transport else { return None };
        let pins = server.pins.iter().map(|pin| (pin.tool.clone(), pin.digest.clone()));
        Some(Self {
            id: &server.id,
            url: Cow::Borrowed(url),
            credential: own_credential((&server.credential, Some(url)), with),
            limits: (server.timeout, server.max_response_bytes),
            pins: pins.collect(),
        })
    }

    /// The same conditions as those under which a running broker serves it.
    fn registered(
        config: &Config,
        row: &'a ResourceRow,
        with: With<'_>,
    ) -> Result<Self, Box<CheckFault>> {
        let unserved = |why| {
            let why = AppError::RegisteredUnserved { server: row.id.clone(), why };
            Box::new(CheckFault::new(KEY, why))
        };
        if config.upstream.servers.iter().any(|server| server.id == row.id) {
            return Err(unserved("the settings have a server of that name"));
        }
        let names = names(&config.server.public_url);
        let ours = names.first().map(|name| name.server(&row.id));
        if ours.is_none_or(|ours| canonical(&ours) != row.uri) {
            return Err(unserved("it was registered while server.public_url was another"));
        }
        let url = row.url.as_deref().unwrap_or_default().parse::<Url>();
        let (Ok(url), Ok(proxy)) = (url, ProxySettings::of(row)) else {
            return Err(unserved("what the store has of it cannot be read"));
        };
        let credential = match &proxy.credential {
            None => Some(Credential::None),
            Some(name) => {
                let mut known = config.upstream.credentials.iter();
                let known = known
                    .find(|known| known.name == *name && operations::as_named(known).is_for(&url));
                let Some(known) = known else {
                    return Err(unserved("no upstream.credential of its name is for its URL"));
                };
                own_credential((&known.credential, Some(&url)), with)
            }
        };
        let limits = registered::limits(&proxy);
        let pins = proxy.pins.into_iter().collect();
        Ok(Self { id: &row.id, url: Cow::Owned(url), credential, limits, pins })
    }
}

async fn look(
    asked: Asked<'_>,
    (ids, policy, store): (&[&str], Option<&Policy>, Option<&Arc<dyn Database>>),
    (_, outbound, clock): With<'_>,
) -> Vec<CheckFault> {
    let Asked { id, url, credential, limits, pins } = asked;
    let Some(credential) = credential else {
        return unseen((id, &pins), ProbeError::ForCallersAlone);
    };
    let (timeout, max_response_bytes) = limits;
    let (url, credential) = (&*url, &credential);
    let probe = Probe { id, url, credential, outbound, clock, timeout, max_response_bytes };
    let others: Vec<&str> = ids.iter().copied().filter(|other| *other != id).collect();
    let inspected = match probe.inspect(&others, &pins).await {
        Ok(inspected) => inspected,
        Err(error) => return unseen((id, &pins), error),
    };
    let mut faults: Vec<CheckFault> =
        inspected.remarks.into_iter().map(|remark| fault(id, remark)).collect();
    // The store is read by `kept` as well, which tells where it cannot be.
    let kept = match store {
        Some(store) => pins_of(store, id, ToolPinList::All).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let kept: BTreeMap<_, _> = kept
        .into_iter()
        .filter(|pin| !pins.contains_key(&pin.tool))
        .map(|pin| (pin.tool, (pin.digest, pin.found.map(|found| found.digest))))
        .collect();
    let another = compare_kept(&inspected.tools, &kept);
    faults.extend(another.into_iter().map(|remark| fault(id, remark)));
    let opens =
        |tool: &String| policy.is_none_or(|policy| policy.may_open(&format!("{id}.{tool}")));
    if !inspected.tools.is_empty() && !inspected.tools.keys().any(opens) {
        let tools = inspected.tools.len();
        faults.push(warning(AppError::HiddenTools { server: id.to_owned(), tools }));
    }
    faults
}

/// What was approved and is another now is an error; the rest somebody should know.
fn fault(server: &str, remark: Remark) -> CheckFault {
    let changed = matches!(remark, Remark::Changed { .. });
    let error = AppError::ServerTools { server: server.to_owned(), remark };
    if changed { CheckFault::new(KEY, error) } else { warning(error) }
}

/// Only where somebody counts on what would have been looked at.
fn unseen((server, pins): (&str, &HashMap<String, String>), error: ProbeError) -> Vec<CheckFault> {
    let for_callers = matches!(error, ProbeError::ForCallersAlone);
    if for_callers && pins.is_empty() {
        return Vec::new();
    }
    let error = AppError::ServerUnseen { server: server.to_owned(), source: error };
    vec![if for_callers { warning(error) } else { CheckFault::new(KEY, error) }]
}

const fn warning(error: AppError) -> CheckFault {
    CheckFault::warning(KEY, error)
}
