//! ID tokens of people who logged in here, for credentials that are exchanged at the provider where they did.

use async_trait::async_trait;

use crate::authorization_server::{AuthorizationServer, NoIdToken};
use crate::id::Issuer;
use crate::oauth_client::NoToken;
use crate::resource_server::Principal;
use crate::secret_text::SecretText;
use crate::upstream::{IdTokens, person_of};

/// Those of one provider, for our client there: no other may exchange them.
#[derive(Debug)]
pub(super) struct KeptIdTokens {
    pub(super) server: AuthorizationServer,
    /// Ours: people are known by their tokens of it.
    pub(super) ours: Issuer,
    /// The provider's.
    pub(super) issuer: String,
    pub(super) client_id: String,
}

#[async_trait]
impl IdTokens for KeptIdTokens {
    async fn of(&self, principal: &Principal) -> Result<Option<SecretText>, NoToken> {
        let Some(user_id) = person_of(principal, &self.ours) else { return Ok(None) };
        let token = self.server.id_token(user_id, (&self.issuer, &self.client_id)).await;
        token.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "upstream.no_id_token");
            match error {
                NoIdToken::Ended => NoToken::GrantEnded,
                NoIdToken::Away => NoToken::Away,
                NoIdToken::Store(_) => NoToken::NoSecret,
            }
        })
    }
}
