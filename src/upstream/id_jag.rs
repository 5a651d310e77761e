//! Cross-app access: an identity provider vouches for a person to a server's authorization server (Identity Assertion
//! JWT Authorization Grant, draft-ietf-oauth-identity-assertion-authz-grant; MCP Enterprise-Managed Authorization).
//!
//! What says who calls is exchanged at the identity provider for an ID-JAG (RFC 8693), and that at the server's own
//! authorization server for a token (RFC 7523). Neither the caller nor the server sees the ID-JAG, and each of the two
//! sees nothing of what our client is at the other.

use url::Url;

use crate::oauth_client::{NoToken, TokenEndpoint};

use super::caller_tokens::{For, Obtained};
use super::token_exchange::{GRANT, Subject};

const BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Our clients at an identity provider and at the authorization server of one server behind us.
#[derive(Debug)]
pub struct IdJag {
    /// What says to the identity provider who calls.
    pub subject: Subject,
    pub provider: TokenEndpoint,
    pub server: TokenEndpoint,
    /// The issuer of the server's authorization server: the ID-JAG is for it alone.
    pub audience: String,
    /// The server's URL (RFC 8707 §2).
    pub resource: Url,
    /// Joined by spaces; may be empty.
    pub scope: String,
}

impl IdJag {
    pub(super) async fn obtain(&self, caller: For<'_>) -> Result<Obtained, NoToken> {
        let (subject, kind) = self.subject.of(caller).await?;
        let mut fields = vec![
            ("grant_type", GRANT),
            ("requested_token_type", ID_JAG),
            ("audience", self.audience.as_str()),
            ("resource", self.resource.as_str()),
            ("subject_token", subject.expose()),
            ("subject_token_type", kind),
        ];
        fields.extend(self.scope());
        let assertion = self.provider.ask(&fields).await?;
        // What is no ID-JAG may be a token that somebody could call with: it goes no further (RFC 8693 §2.2.1).
        if assertion.issued_token_type.as_deref() != Some(ID_JAG) || assertion.is_bearer() {
            return Err(NoToken::Unreadable);
        }
        let mut fields = vec![
            ("grant_type", BEARER_GRANT),
            ("assertion", assertion.access_token.expose()),
            ("resource", self.resource.as_str()),
        ];
        fields.extend(self.scope());
        let granted = self.server.ask(&fields).await?;
        if !granted.is_bearer() {
            return Err(NoToken::Unreadable);
        }
        let lasts = granted.lasts();
        Ok(Obtained { token: granted.access_token, lasts })
    }

    fn scope(&self) -> Option<(&'static str, &str)> {
        (!self.scope.is_empty()).then_some(("scope", self.scope.as_str()))
    }
}
