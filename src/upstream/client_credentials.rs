//! Tokens that the broker gets for itself at a server's authorization server (RFC 6749 §4.4).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::secret_text::SecretText;

use crate::oauth_client::NoToken;
use crate::oauth_client::TokenEndpoint;

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

/// Times are monotonic.
#[derive(Debug, Default)]
pub enum Cached {
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
        match &*cached {
            Cached::Token(token, until) if now < *until => return Ok(token.clone()),
            Cached::Refused(error, until) if now < *until => return Err(error.clone()),
            _ => {}
        }
        match self.obtain().await {
            Ok((token, lasts)) => {
                *cached = Cached::Token(token.clone(), clock.monotonic().saturating_add(lasts));
                Ok(token)
            }
            Err(error) => {
                let until = clock.monotonic().saturating_add(PAUSE);
                *cached = Cached::Refused(error.clone(), until);
                Err(error)
            }
        }
    }

    /// The server did not accept it.
    pub(super) async fn forget(&self) {
        *self.token.lock().await = Cached::Nothing;
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
