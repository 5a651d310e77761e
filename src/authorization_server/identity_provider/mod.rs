//! Logging in elsewhere: `OpenID` providers, and plain OAuth providers with a userinfo endpoint (GitHub).
//!
//! An account is linked by issuer and subject, never by e-mail (N109). `resource` is never sent: Entra refuses it.

mod claims;
mod discovery;
mod exchange;
mod freshness;
mod id_token;
mod logout_token;
mod names;
mod provider;
mod renewal;
mod settings;
mod silence;
mod speaking;

pub(crate) use exchange::Callback;
pub(crate) use freshness::Freshness;
pub use provider::IdentityProviders;
pub(crate) use provider::Provider;
pub(crate) use provider::{LoggedIn, LoginUnderWay, Start};
pub(crate) use renewal::{GivenTokens, Renewed};
pub use settings::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, NamePrefixes, Prefixes,
};

use crate::outbound::OutboundError;
use crate::resource_server::TokenError;
use crate::secret::SecretError;

/// Why somebody could not log in elsewhere. Nothing in it is text of the provider.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("our secret for the identity provider cannot be read")]
    ClientSecret(#[source] SecretError),
    #[error("the identity provider does not answer")]
    Unreachable(#[from] OutboundError),
    #[error("the identity provider's metadata cannot be used: {0}")]
    Discovery(&'static str),
    #[error("the identity provider answered {status} at its {endpoint} endpoint")]
    Status { endpoint: &'static str, status: u16 },
    #[error("the identity provider's {endpoint} endpoint answered something unusable")]
    Answer { endpoint: &'static str },
    #[error("the identity provider refused the login: {0}")]
    Refused(Refusal),
    #[error("the answer comes from another identity provider than was asked")]
    WrongIssuer,
    #[error("the ID token is not acceptable: {0}")]
    IdToken(&'static str),
    #[error("the logout token is not acceptable: {0}")]
    LogoutToken(&'static str),
    #[error("the token's signature is not acceptable")]
    Signature(#[source] TokenError),
    #[error("the identity provider does not say who this is: claim `{0}`")]
    NoClaim(String),
    /// A login as fresh as the client asks for, at a provider that does not prove one.
    #[error("the identity provider does not prove a login as fresh as was asked for")]
    NotFresh,
    #[error("the account does not have the claim that `require` asks for")]
    NotRequired,
    /// Asked again, it says that the person has to log in, if they still can.
    #[error("the identity provider takes its token no more")]
    Ended,
}

impl UpstreamError {
    /// Whether nothing came at all. What is too large or compressed did come.
    pub(crate) const fn is_silence(&self) -> bool {
        use OutboundError::{Compressed, TooLarge};
        matches!(self, Self::Unreachable(error) if !matches!(error, TooLarge { .. } | Compressed { .. }))
    }
}

/// What a provider said instead of sending a code (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    AccessDenied,
    Temporary,
    Other,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AccessDenied => "access_denied",
            Self::Temporary => "temporarily_unavailable",
            Self::Other => "another error",
        })
    }
}

impl Refusal {
    pub(crate) fn of(unverified_code: &str) -> Self {
        match unverified_code {
            "access_denied" | "consent_required" | "login_required" | "interaction_required" => {
                Self::AccessDenied
            }
            "temporarily_unavailable" | "server_error" => Self::Temporary,
            _ => Self::Other,
        }
    }
}
