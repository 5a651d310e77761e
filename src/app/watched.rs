//! What operators watch: the counters, the page that shows them, and the listener for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::{Auditor, Observer};
use crate::config::Config;
use crate::http::{Health, Limits, Stop, TrustedProxies};
use crate::mcp::Toolbox;
use crate::metrics::{Exposition, Meters};
use crate::random::Random;
use crate::time::Clock;

use super::error::AppError;
use super::observe::{Counting, Tools};
use super::readiness::Parts;
use super::scrape::Scraped;
use super::traces::Traces;

/// `telemetry.metrics`
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) meters: Meters,
    pub(super) page: Exposition,
}

impl Watched {
    /// `None` where nobody wants numbers: then nothing is counted.
    fn new(config: &Config, clock: &Arc<dyn Clock>) -> Option<Self> {
        if !config.telemetry.metrics {
            return None;
        }
        let meters = Meters::new(Arc::clone(clock));
        let page = Exposition::new(&meters, Arc::clone(clock));
        Some(Self { meters, page })
    }

    /// Shows how the parts are, too.
    pub(super) fn show(&self, parts: Arc<Parts>, config: &Config, traces: Option<&Traces>) {
        let outbox = traces.map(|traces| traces.outbox().clone());
        self.page.show(Box::new(Scraped::new(parts, config, outbox)));
    }
}

/// What is shown of the broker, each where somebody wants it.
pub(super) struct Watching {
    pub(super) watched: Option<Watched>,
    pub(super) traces: Option<Traces>,
    /// Which tools are shown by name.
    pub(super) tools: Arc<Tools>,
}

/// Counts, and makes traces of, what `auditor` records from now on, as far as either is wanted; with the names of tools that
/// may be shown.
///
/// # Errors
///
/// [`AppError::Outbound`]
pub(super) fn watch(
    config: &Config,
    toolbox: &Toolbox,
    auditor: &Auditor,
    (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<Watching, AppError> {
    let (watched, traces) = (Watched::new(config, clock), Traces::new(config, &**random)?);
    let servers = config.upstream.servers.iter().map(|server| server.id.clone()).collect();
    let tools = Arc::new(Tools::new(toolbox.names(), servers));
    let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
    if let Some(watched) = &watched {
        observers.push(Arc::new(Counting::new(watched.meters.clone(), Arc::clone(&tools))));
    }
    if let Some(traces) = &traces {
        observers.push(traces.observer(Arc::clone(&tools), clock));
    }
    if !observers.is_empty() {
        auditor.observe(observers);
    }
    Ok(Watching { watched, traces, tools })
}

/// The page for administrators on the main listener, where there is no listener for it.
pub(super) fn on_main(config: &Config, watched: Option<&Watched>) -> Option<Exposition> {
    let watched = watched.filter(|_| config.server.admin_listen.is_none());
    watched.map(|watched| watched.page.clone())
}

/// Serves the page where there is a listener for it, and sends to a collector where there is one, until `stop`.
pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    (listening, traces): (Option<(TcpListener, Watched)>, Option<Traces>),
    health: &Health,
    stop: &CancellationToken,
) {
    if let Some((listener, watched)) = listening {
        tasks.spawn(serve(listener, watched.page, health.clone(), stop.clone()));
    }
    if let Some(traces) = traces {
        tasks.spawn(traces.run(stop.clone()));
    }
}

/// Serves the page alone, without a token, until `stop`.
async fn serve(listener: TcpListener, page: Exposition, health: Health, stop: CancellationToken) {
    let limits = Limits {
        max_connections: 32,
        drain_pause: Duration::ZERO,
        drain: Duration::from_secs(1),
        ..Limits::default()
    };
    let stop = Stop { drain: stop.cancelled_owned(), now: std::future::pending::<()>() };
    let front = crate::http::metrics_front(page);
    crate::http::serve(listener, None, front, health, TrustedProxies::default(), limits, stop)
        .await;
}
