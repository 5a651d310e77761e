//! One fetch of a key set: what is asked, and what counts as an answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use url::Url;

use crate::outbound::{Answer, Call, Limits, OutboundError};
use crate::resource_server::discovery::DiscoveryError;
use crate::resource_server::key::{KeySet, KeySetError};

use super::{Shared, Snapshot};

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("the key set was answered with {0}")]
    Status(StatusCode),
    #[error("the answer is not JSON by its content type")]
    ContentType,
    #[error("the answer {0}")]
    KeySet(#[from] KeySetError),
}

impl FetchError {
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Outbound(error) => error.hint(),
            Self::Discovery(error) => error.hint(),
            Self::Status(_) | Self::ContentType | Self::KeySet(_) => {
                "open jwks_uri from this machine: it must answer a JSON Web Key Set of public keys"
            }
        }
    }
}

impl Shared {
    /// The key set at `url`; what is known of it already is only confirmed.
    pub(super) async fn ask(
        &self,
        url: Url,
        current: Option<Snapshot>,
    ) -> Result<Snapshot, FetchError> {
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let mut call = Call::get(url.clone()).header(ACCEPT, accept);
        let current = current.filter(|snapshot| snapshot.url == url);
        if let Some(etag) = current.as_ref().and_then(|snapshot| snapshot.etag.clone()) {
            call = call.header(IF_NONE_MATCH, etag);
        }
        let limits = Limits { timeout: self.timing.timeout, max_bytes: 256 * 1024 };
        let answer = self.outbound.send(call, limits).await?;
        let confirmed_at = self.clock.monotonic();
        let fresh_for = self.fresh_for(&answer);
        match (answer.status, current) {
            (StatusCode::OK, _) => {
                if !is_json(&answer) {
                    return Err(FetchError::ContentType);
                }
                let keys = Arc::new(KeySet::parse(&answer.body, &self.algorithms)?);
                let etag = answer.headers.get(ETAG).cloned();
                Ok(Snapshot { url, keys, etag, confirmed_at, fresh_for })
            }
            (StatusCode::NOT_MODIFIED, Some(known)) => {
                Ok(Snapshot { confirmed_at, fresh_for, ..known })
            }
            (status, _) => Err(FetchError::Status(status)),
        }
    }

    /// `max-age` (RFC 9111 §5.2.2.1) within our bounds; an hour where the answer does not say.
    fn fresh_for(&self, answer: &Answer) -> Duration {
        let directives = answer.header(&CACHE_CONTROL).unwrap_or_default().to_ascii_lowercase();
        let mut stated = None;
        for directive in directives.split(',').map(str::trim) {
            if matches!(directive, "no-store" | "no-cache") {
                stated = Some(0);
                break;
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                stated = seconds.trim_matches('"').parse().ok();
            }
        }
        let stated = stated.map_or(Duration::from_hours(1), Duration::from_secs);
        stated.clamp(self.timing.min_fresh, self.timing.max_fresh)
    }
}

/// Whether the content type is JSON (`application/json`, `application/jwk-set+json`).
pub(in crate::resource_server) fn is_json(answer: &Answer) -> bool {
    let stated = answer.header(&CONTENT_TYPE).unwrap_or_default();
    let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
