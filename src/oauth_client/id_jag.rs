//! Enterprise-managed authorization: what an identity provider says about a person who logged in there becomes a token of
//! another authorization server, without asking the person again (Identity Assertion JWT Authorization Grant).

use crate::secret_text::SecretText;

use super::no_token::NoToken;
use super::token_endpoint::{Granted, TokenEndpoint};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// For whom an assertion is, and for what.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The issuer of the server's authorization server: nobody else takes the assertion.
    pub audience: String,
    /// The server's URL (RFC 8707 §2).
    pub resource: String,
    /// Joined by spaces; may be empty.
    pub scope: String,
}

/// Exchanges a person's ID token at their identity provider for an assertion (ID-JAG, RFC 8693).
///
/// Does *not* look into it: who it is for, and for how long, is for the one that takes it to check.
///
/// # Errors
///
/// [`NoToken`]; [`NoToken::Unreadable`] for anything but an ID-JAG
pub async fn assertion(
    identity_provider: &TokenEndpoint,
    id_token: &SecretText,
    wanted: &Wanted,
) -> Result<SecretText, NoToken> {
    let mut fields = vec![
        ("grant_type", EXCHANGE),
        ("requested_token_type", ID_JAG),
        ("audience", wanted.audience.as_str()),
        ("resource", wanted.resource.as_str()),
        ("subject_token", id_token.expose()),
        ("subject_token_type", ID_TOKEN),
    ];
    if !wanted.scope.is_empty() {
        fields.push(("scope", &wanted.scope));
    }
    let granted = identity_provider.ask(&fields).await?;
    if granted.issued_token_type.as_deref() != Some(ID_JAG) {
        return Err(NoToken::Unreadable);
    }
    Ok(granted.access_token)
}

/// Redeems the assertion at the server's authorization server (RFC 7523 §2.1).
///
/// # Errors
///
/// [`NoToken`]
pub async fn redeem(
    authorization_server: &TokenEndpoint,
    assertion: &SecretText,
    scope: &str,
) -> Result<Granted, NoToken> {
    let mut fields = vec![("grant_type", JWT_BEARER), ("assertion", assertion.expose())];
    if !scope.is_empty() {
        fields.push(("scope", scope));
    }
    authorization_server.ask(&fields).await
}
