//! The token that a client must bring to register itself, where registration needs one (RFC 7591 §1.2, §3).

use std::sync::Arc;

use axum::http::HeaderMap;
use subtle::ConstantTimeEq;

use crate::api_key::InitialAccessToken;
use crate::audit::TokenName;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::store::Digest;

use super::manage::bearer;

/// One text for every fault: whether a token was ever known is nothing to tell whoever sent it.
const REFUSED: OAuthError = OAuthError::InvalidToken(
    "clients register here with an initial access token that an operator gives, so often and until it expires",
);

/// A token that is known, in date, and not used up as far as was seen.
pub(super) struct Presented {
    prefix: String,
    digest: Digest,
}

impl Presented {
    /// Garbage is refused by its checksum, without the store. Uses nothing up.
    ///
    /// # Errors
    ///
    /// - [`OAuthError::InvalidToken`]: `401`; none, or an unknown, late, removed, damaged or used one: not told apart
    /// - [`OAuthError::Store`][]: `503`
    pub(super) async fn find(
        server: &AuthorizationServer,
        headers: &HeaderMap,
    ) -> Result<Self, OAuthError> {
        let token = bearer(headers).and_then(|text| InitialAccessToken::parse(&text));
        let token = token.ok_or(REFUSED)?;
        let digest = Digest::of(token.text().expose());
        let row = server.store.find_registration_token(token.prefix()).await?.ok_or(REFUSED)?;
        let same: bool = row.token.as_bytes().ct_eq(digest.as_bytes()).into();
        let good = same && row.expires_at > server.clock.now() && row.uses < row.most_uses;
        if !good {
            return Err(REFUSED);
        }
        Ok(Self { prefix: token.prefix().to_owned(), digest })
    }

    /// Counts the use, which may be the last one.
    ///
    /// # Errors
    ///
    /// [`OAuthError::InvalidToken`] where others were first; [`OAuthError::Store`]
    pub(super) async fn spend(&self, server: &AuthorizationServer) -> Result<(), OAuthError> {
        let (digest, now) = (&self.digest, server.clock.now());
        let spent = server.store.use_registration_token(&self.prefix, digest, now).await?;
        if spent { Ok(()) } else { Err(REFUSED) }
    }

    /// As the log may have it.
    pub(super) fn name(&self) -> TokenName {
        TokenName(Arc::from(self.prefix.as_str()))
    }
}
