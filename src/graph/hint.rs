//! What an operator can do about a call that Graph did not answer.

use super::error::{GraphError, Problem};

impl GraphError {
    /// For people who set the broker up; a caller is told nothing of this.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        self.problem().hint()
    }
}

impl Problem {
    const fn hint(&self) -> &'static str {
        match self {
            Self::Unauthorized { claims_challenge: false } => {
                "is graph.cloud that of the tenant? A token of one cloud is worth nothing in another"
            }
            Self::Unauthorized { claims_challenge: true } => {
                "a policy of the tenant keeps this app or this address out (continuous access evaluation)"
            }
            Self::Forbidden { .. } => {
                "give the app the permission and consent to it (broker catalog explain says which); it is there with the next token"
            }
            Self::RateLimited { .. } => {
                "fewer calls: [limits], $top, or $select; Graph counts per app and tenant"
            }
            Self::Timeout => "ask for less ($top, $select), or raise graph.attempt_timeout_ms",
            Self::NoTimeLeft => {
                "the caller's timeout_ms, or graph.timeout_ms, is too short for a token and a call"
            }
            Self::Unavailable { .. } => "look at Microsoft's status page",
            Self::Unreachable(error) => error.hint(),
            Self::TooLarge { .. } => {
                "ask for less ($top, $select), or raise graph.max_response_bytes"
            }
            Self::Compressed | Self::InvalidJson => {
                "something between changes answers: a proxy, or a wrong graph.custom_cloud.graph_url"
            }
            Self::TokenMismatch | Self::AddressChanged => {
                "this is a fault of the broker: please report it"
            }
        }
    }
}
