//! Where a token endpoint is: written down, or found out from the authorization server whose it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use url::Url;

use crate::outbound::Outbound;
use crate::time::Clock;

use super::discovery;
use super::no_token::NoToken;
use super::unusable::Unusable;

/// How long what was found out counts.
const KNOWN: Duration = Duration::from_mins(10);

/// Where a token endpoint is. A server behind us never names it: it would be shown our secret.
#[derive(Clone)]
pub enum At {
    Url(Url),
    /// In the metadata of this issuer (RFC 8414), whom an operator named.
    Issuer(Arc<ByIssuer>),
}

/// What is known of an issuer.
#[derive(Debug)]
pub struct ByIssuer {
    issuer: Box<str>,
    /// And until when it counts, in monotonic time.
    found: Mutex<Option<(Url, Duration)>>,
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}"),
            Self::Issuer(by) => write!(f, "by {}", by.issuer),
        }
    }
}

impl At {
    #[must_use]
    pub fn issuer(issuer: &str) -> Self {
        Self::Issuer(Arc::new(ByIssuer { issuer: issuer.into(), found: Mutex::default() }))
    }

    /// # Errors
    ///
    /// [`NoToken`] where it cannot be found out.
    pub(super) async fn url(
        &self,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Result<Url, NoToken> {
        let by = match self {
            Self::Url(url) => return Ok(url.clone()),
            Self::Issuer(by) => by,
        };
        let mut found = by.found.lock().await;
        match &*found {
            Some((url, until)) if clock.monotonic() < *until => return Ok(url.clone()),
            _ => {}
        }
        let url = discovery::token_endpoint(&by.issuer, outbound).await;
        let url = url.map_err(|error| {
            tracing::warn!(
                issuer = by.issuer,
                error = &error as &dyn std::error::Error,
                "oauth_client.no_token_endpoint"
            );
            match error {
                Unusable::Away => NoToken::Away,
                _ => NoToken::Unreadable,
            }
        })?;
        *found = Some((url.clone(), clock.monotonic().saturating_add(KNOWN)));
        Ok(url)
    }
}
