//! Calls of other hosts, as steps of the request that waits for them.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::Config;
use crate::outbound::{Made, Outbound, Watch};
use crate::steps::{self, Step, What};
use crate::time::Clock;

/// The client whose calls are steps, where traces are sent. `named`: every host that it reaches is from the settings, so
/// that a trace may name it.
pub(super) fn watched(
    outbound: Outbound,
    config: &Config,
    (clock, named): (&Arc<dyn Clock>, bool),
) -> Outbound {
    if config.telemetry.otlp_endpoint.is_none() {
        return outbound;
    }
    outbound.watched_by(Arc::new(CallSteps { clock: Arc::clone(clock), named }))
}

#[derive(Debug)]
struct CallSteps {
    clock: Arc<dyn Clock>,
    named: bool,
}

impl Watch for CallSteps {
    fn begins(&self) -> Option<Duration> {
        steps::wanted().then(|| self.clock.monotonic())
    }

    fn ended(&self, began: Duration, call: &Made<'_>) {
        let status = call.outcome.as_ref().ok().map(http::StatusCode::as_u16);
        let failed = match &call.outcome {
            Ok(status) if status.is_client_error() || status.is_server_error() => {
                Some(status.as_u16().to_string().into())
            }
            Ok(_) => None,
            Err(error) => Some(error.kind().into()),
        };
        let host = if self.named { host(call.url) } else { None };
        steps::note(Step {
            what: What::Http { method: call.method.clone(), host, status },
            ended: self.clock.now(),
            took: self.clock.monotonic().saturating_sub(began),
            failed,
        });
    }
}

fn host(url: &Url) -> Option<(String, Option<u16>)> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use crate::steps::{Sampler, Steps};
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    async fn kept(named: bool) -> Vec<(u32, Step)> {
        let steps = Steps::new(Sampler::one_in(1));
        let clock = Arc::new(FixedClock::at(Timestamp::default()));
        let watch = CallSteps { clock, named };
        let url: Url = "https://canary.example/secret?code=secret".parse().unwrap();
        Steps::within(Some(steps.clone()), async {
            let began = watch.begins().unwrap();
            let outcome = Ok(StatusCode::BAD_GATEWAY);
            watch.ended(began, &Made { method: &Method::GET, url: &url, outcome });
        })
        .await;
        steps.take()
    }

    #[tokio::test]
    async fn a_host_is_named_where_the_settings_name_it_and_a_path_never() {
        for named in [true, false] {
            let kept = format!("{:?}", kept(named).await);
            assert_eq!(kept.contains("canary.example"), named, "{kept}");
            assert!(!kept.contains("secret") && kept.contains("502"), "{kept}");
        }
    }

    #[test]
    fn outside_of_a_request_nothing_is_kept() {
        let watch =
            CallSteps { clock: Arc::new(FixedClock::at(Timestamp::default())), named: true };
        assert_eq!(watch.begins(), None);
    }
}
