//! Tokens that the broker gets for itself at a server's authorization server (RFC 6749 §4.4).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::secret_text::SecretText;

use crate::oauth_client::{FORCED_PAUSE, NoToken, TokenEndpoint};

/// How long nobody is asked again after a refusal.
const PAUSE: Duration = Duration::from_secs(5);

/// Our client at one token endpoint, and its token while it lasts. One request at a time gets a new one; the others wait for it.
#[derive(Debug)]
pub struct ClientCredentials {
    pub endpoint: TokenEndpoint,
    /// Joined by spaces; may be empty.
    pub scope: String,
    /// The server's URL (RFC 8707 §2), where its authorization server is to be told.
    pub resource: Option<String>,
    pub token: Mutex<Cached>,
}

/// What became of the last request, and when a token was last given up before its end. Times are monotonic.
#[derive(Debug, Default)]
pub struct Cached {
    last: Last,
    forced: Option<Duration>,
}

#[derive(Debug, Default)]
enum Last {
    #[default]
    Nothing,
    Token(SecretText, Duration),
    Refused(NoToken, Duration),
}

impl ClientCredentials {
    /// A token that lasts.
    pub(super) async fn obtain_token(&self) -> Result<SecretText, NoToken> {
        let mut cached = self.token.lock().await;
        let clock = Arc::clone(&self.endpoint.clock);
        let now = clock.monotonic();
        match &cached.last {
            Last::Token(token, until) if now < *until => return Ok(token.clone()),
            Last::Refused(error, until) if now < *until => return Err(error.clone()),
            _ => {}
        }
        match self.obtain().await {
            Ok((token, lasts)) => {
                cached.last = Last::Token(token.clone(), clock.monotonic().saturating_add(lasts));
                Ok(token)
            }
            Err(error) => {
                let until = clock.monotonic().saturating_add(PAUSE);
                cached.last = Last::Refused(error.clone(), until);
                Err(error)
            }
        }
    }

    /// The server did not accept it: all callers share it, so none of them may have it renewed over and over.
    pub(super) async fn forget(&self, shown: &SecretText) {
        let mut cached = self.token.lock().await;
        let now = self.endpoint.clock.monotonic();
        let lately = cached.forced.is_some_and(|forced| now.saturating_sub(forced) < FORCED_PAUSE);
        let is_it = matches!(&cached.last, Last::Token(token, _) if token == shown);
        if is_it && !lately {
            *cached = Cached { last: Last::Nothing, forced: Some(now) };
        }
    }

    async fn obtain(&self) -> Result<(SecretText, Duration), NoToken> {
        let mut fields = vec![("grant_type", "client_credentials")];
        if !self.scope.is_empty() {
            fields.push(("scope", self.scope.as_str()));
        }
        if let Some(resource) = &self.resource {
            fields.push(("resource", resource));
        }
        let granted = self.endpoint.ask(&fields).await?;
        let lasts = granted.lasts();
        Ok((granted.access_token, lasts))
    }
}
