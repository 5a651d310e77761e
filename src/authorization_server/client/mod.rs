//! Clients: those of the settings file, of the store, and those named by the URL of their metadata document.

mod auth_method;
mod find;
mod metadata;
mod secrets;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::certificate_name::CertificateName;
use crate::id::ClientId;
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;
use crate::store::Digest;

use super::register::{StatelessId, StatelessIds};

pub use auth_method::AuthMethod;
pub use find::{ClientError, find};
pub(super) use find::{denied_keys, find_again, from_settings, with_secret_of_now};
pub use metadata::ClientMetadata;
pub(super) use metadata::display_name;
pub(super) use secrets::Secrets;
pub(super) use state::Clients;

/// How a client came to be known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By the settings file.
    Configured,
    /// By an administrator.
    Static,
    /// It registered itself (RFC 7591).
    Dynamic,
    /// Its metadata document was fetched from its id.
    MetadataDocument,
}

/// A client (RFC 6749 §2). Found by [`find`]; that alone proves nothing about who sent a request.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) id: ClientId,
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    pub(super) redirects: Redirects,
    pub(super) grant_types: Vec<&'static str>,
    pub(super) scope: Option<Scope>,
    pub(super) auth_methods: Vec<AuthMethod>,
    pub(super) secrets: Secrets,
    pub(super) keys: Option<PublicKeys>,
    pub(super) digest: Option<Digest>,
    pub(super) refresh_grace: Option<Duration>,
    pub(super) requires_pushed_requests: bool,
    pub(super) requires_dpop: bool,
    pub(super) requires_certificate: bool,
    pub(super) certificate_name: Option<CertificateName>,
    pub(super) logout: LogoutRules,
}

/// What happens when somebody logs out (OIDC RP-Initiated Logout §3.1, Back-Channel Logout §2.2). Empty for clients that no
/// operator registered: nobody else may have people led somewhere, or requests sent.
#[derive(Clone, Debug, Default)]
pub(super) struct LogoutRules {
    /// Where people may be led then, compared byte for byte.
    pub(super) redirect_uris: Vec<RedirectUri>,
    /// Where the client is told of it.
    pub(super) notify: Option<Url>,
}

/// Where answers may be sent.
#[derive(Clone)]
pub(super) enum Redirects {
    Listed(Vec<RedirectUri>),
    /// Only the id is left of a client that registered itself.
    Recognised {
        ids: Arc<StatelessIds>,
        id: StatelessId,
    },
}

impl fmt::Debug for Redirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(uris) => uris.fmt(f),
            Self::Recognised { .. } => f.write_str("Recognised"),
        }
    }
}

/// The keys with which a client signs its assertions (RFC 7523).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKeys {
    /// A JSON Web Key Set, as registered.
    Inline(String),
    Remote(Url),
}

impl Client {
    #[must_use]
    pub const fn id(&self) -> &ClientId {
        &self.id
    }

    /// What it calls itself, made fit to be shown. Nobody has verified it unless [`Client::is_trusted`].
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The host that vouches for a client with a metadata document; `None` for all others.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let url = match self.kind {
            Kind::MetadataDocument => Url::parse(self.id.as_str()).ok()?,
            Kind::Configured | Kind::Static | Kind::Dynamic => return None,
        };
        url.host_str().map(str::to_owned)
    }

    /// Whether an operator knows it. Others never get administrative scopes (N115).
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        matches!(self.kind, Kind::Configured | Kind::Static)
    }

    /// How long a refresh token of this client gets the same answer again, where an operator said so.
    pub(in crate::authorization_server) const fn refresh_grace(&self) -> Option<Duration> {
        self.refresh_grace
    }

    /// Whether its authorization requests come by the back channel only (RFC 9126 §6).
    pub(in crate::authorization_server) const fn requires_pushed_requests(&self) -> bool {
        self.requires_pushed_requests
    }

    /// Whether each of its tokens is bound to a key (RFC 9449 §5.2, `dpop_bound_access_tokens`).
    pub(in crate::authorization_server) const fn requires_dpop(&self) -> bool {
        self.requires_dpop
    }

    /// Whether each of its tokens is bound to a certificate (RFC 8705 §3.4, `tls_client_certificate_bound_access_tokens`).
    pub(in crate::authorization_server) const fn requires_certificate(&self) -> bool {
        self.requires_certificate
    }

    /// The name by which it is known in certificates of an authority. `None` also where several were registered: then it is
    /// known by none (RFC 8705 §2.1.2).
    pub(in crate::authorization_server) const fn certificate_name(
        &self,
    ) -> Option<&CertificateName> {
        self.certificate_name.as_ref()
    }

    pub(in crate::authorization_server) const fn logout(&self) -> &LogoutRules {
        &self.logout
    }

    /// Empty where only the id of a registration is left: ask [`Client::allows_redirect`].
    #[must_use]
    pub fn redirect_uris(&self) -> &[RedirectUri] {
        match &self.redirects {
            Redirects::Listed(uris) => uris,
            Redirects::Recognised { .. } => &[],
        }
    }

    /// Whether an answer may be sent to `presented`: a registered URI byte for byte (OAuth 2.1 §4.1.1), but for the port
    /// of a loopback one (RFC 8252 §7.3).
    #[must_use]
    pub fn allows_redirect(&self, presented: &str) -> bool {
        match &self.redirects {
            Redirects::Listed(uris) => uris.iter().any(|uri| uri.matches(presented)),
            Redirects::Recognised { ids, id } => ids.allows(id, presented),
        }
    }

    /// The one that is meant where a request names none (RFC 6749 §3.1.2.3); `None` where there are several (N10).
    #[must_use]
    pub fn sole_redirect_uri(&self) -> Option<&RedirectUri> {
        match self.redirect_uris() {
            [only] => Some(only),
            _ => None,
        }
    }

    #[must_use]
    pub fn grant_types(&self) -> &[&'static str] {
        &self.grant_types
    }

    #[must_use]
    pub fn allows_grant(&self, grant_type: &str) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// The most it may get, as an operator set it. `None`: whatever policy lets its person have, and nothing for itself.
    ///
    /// What a client *registered itself* with is no limit: clients register one scope and ask for another.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// What it may authenticate with, its first choice first.
    #[must_use]
    pub fn auth_methods(&self) -> &[AuthMethod] {
        &self.auth_methods
    }

    /// Its first choice of [`Client::auth_methods`].
    #[must_use]
    pub fn auth_method(&self) -> AuthMethod {
        self.auth_methods.first().copied().unwrap_or(AuthMethod::None)
    }

    /// Whether it can be used by anybody who knows its id.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.auth_methods.first() == Some(&AuthMethod::None)
    }

    /// Whether everybody who authenticated as it has proven something. Not so where it *may* authenticate by its id
    /// alone beside other ways.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        !self.auth_methods.contains(&AuthMethod::None)
    }

    /// Whether what it proves itself by is among its keys.
    pub(in crate::authorization_server) fn is_known_by_keys(&self) -> bool {
        let by_keys = [AuthMethod::PrivateKeyJwt, AuthMethod::SelfSignedTlsClientAuth];
        self.auth_methods.iter().any(|method| by_keys.contains(method))
    }

    #[must_use]
    pub const fn jwks(&self) -> Option<&PublicKeys> {
        self.keys.as_ref()
    }

    /// SHA-256 of its metadata document: what a person consents to (N99).
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}
