//! From a person who wants to connect an account to tokens of theirs.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::UserId;
use crate::oauth_client::{Callback, Unusable};
use crate::secret_text::SecretText;
use crate::store::UpstreamAccountRow;

use super::kept::Kept;
use super::{ConnectionError, Connections};

/// What a browser is sent with.
#[derive(Debug)]
pub struct Begun {
    pub url: Url,
    /// Comes back in the answer.
    pub state: SecretText,
    /// To be kept with the state, for the browser and the person that began.
    pub pending: Pending,
}

/// What has to be known again when the person comes back. Short-lived; holds a `code_verifier`, so not for logs.
#[derive(Serialize, Deserialize)]
pub struct Pending {
    server: String,
    /// Who was asked: an answer of another one is refused.
    issuer: String,
    /// Where the server was then: tokens for it are shown nowhere else.
    #[serde(default)]
    server_url: String,
    code_verifier: String,
    #[serde(default)]
    scope: Option<String>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({})", self.server)
    }
}

impl Connections {
    /// Where to send a person's browser so that they can allow the broker to use their account.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]
    pub async fn begin(&self, user_id: UserId, server: &str) -> Result<Begun, ConnectionError> {
        let server = self.server(server)?;
        let row = self.0.parts.store.find_upstream_account(user_id, &server.id).await?;
        // What cannot be opened any more is what this connects anew.
        let kept = row.and_then(|row| self.open(&row).ok());
        let kept = kept.filter(|kept| kept.server_url == server.url.as_str());
        let before = kept.and_then(|kept| kept.wanted());
        let (authorization, scope) = self.client(&server, before.as_deref()).await?;
        let request = authorization.request(scope.as_deref(), &*self.0.parts.random);
        let pending = Pending {
            server: server.id.clone(),
            issuer: authorization.server.issuer.clone(),
            server_url: server.url.to_string(),
            code_verifier: request.code_verifier.expose().to_owned(),
            scope,
        };
        Ok(Begun { url: request.url, state: request.state, pending })
    }

    /// The person came back. The caller has checked that it is the browser and the person that began. `false`: they were
    /// removed or disabled meanwhile; nothing is kept, and the tokens are given back.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]; nothing is kept then.
    pub async fn finish(
        &self,
        (user_id, server): (UserId, &str),
        pending: &Pending,
        callback: &Callback,
    ) -> Result<bool, ConnectionError> {
        let place = self.server(server)?.url.to_string();
        if pending.server != server || pending.server_url != place {
            return Err(Unusable::WrongIssuer.into());
        }
        let authorization = self.authorization(server, &pending.issuer).await?;
        let verifier = SecretText::new(pending.code_verifier.clone());
        let asked_at = self.0.parts.clock.now();
        let granted = authorization.finish(callback, &verifier).await?;
        let place = (pending.issuer.as_str(), place.as_str());
        let kept = Kept::new(place, granted, pending.scope.clone(), asked_at);
        let sealed = self.seal((user_id, server), &kept)?;
        let row = UpstreamAccountRow {
            user_id,
            server: server.to_owned(),
            sealed,
            version: 0,
            connected_at: asked_at,
        };
        let connected = self.0.parts.store.put_upstream_account(&row).await?;
        if !connected {
            self.try_give_back(&row).await;
        }
        Ok(connected)
    }
}
