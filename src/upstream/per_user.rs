//! The token of the caller's own account at a server, which they connected by their own consent.

use url::Url;

use crate::connections::Connections;
use crate::id::{Issuer, UserId};
use crate::oauth_client::NoToken;
use crate::resource_server::Principal;
use crate::secret_text::SecretText;

use super::caller_tokens::For;

/// Whose accounts, at which server.
#[derive(Clone, Debug)]
pub struct PerUser {
    pub connections: Connections,
    pub server: String,
    /// Where it is: what was connected for another place is not shown there.
    pub url: Url,
    /// Ours: people are known by their tokens of it, and of no other.
    pub issuer: Issuer,
}

impl PerUser {
    pub(super) async fn token(&self, caller: For<'_>) -> Result<SecretText, NoToken> {
        let user_id = self.person(caller.principal).ok_or(NoToken::NotTheirs)?;
        self.connections.token(user_id, (&self.server, &self.url)).await
    }

    pub(super) async fn forget(&self, caller: For<'_>, shown: &SecretText) {
        let Some(user_id) = self.person(caller.principal) else { return };
        if let Err(error) = self.connections.refused((user_id, &self.server), shown).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(server = self.server, error, "upstream.account_not_forgotten");
        }
    }

    /// The server wants more of this person's account than they allowed.
    pub(super) async fn wants_more(&self, caller: For<'_>, scope: &str) -> Option<NoToken> {
        let user_id = self.person(caller.principal)?;
        let noted = self.connections.wants_more((user_id, &self.server), scope).await;
        Some(noted.map_or_else(|error| error, NoToken::NotConnected))
    }

    fn person(&self, principal: &Principal) -> Option<UserId> {
        person_of(principal, &self.issuer)
    }
}

/// Who a token of ours is about. A client that acts for itself is nobody, and another issuer's subjects are not our people,
/// whatever they are called.
#[must_use]
pub fn person_of(principal: &Principal, ours: &Issuer) -> Option<UserId> {
    let granted = principal.claims().contains_key("grant_id");
    let is_ours = principal.issuer() == ours && granted;
    principal.subject().filter(|_| is_ours)?.as_str().parse().ok()
}
