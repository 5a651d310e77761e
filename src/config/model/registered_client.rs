//! `[[authorization_server.client]]`: clients that an operator registers in the settings.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::assertion::{RawWorkload, Workload};
use super::authorization_server::CLIENT_ID;
use super::client_tls::ClientCertificate;
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::config::mask::quoted;
use crate::id::ClientId;
use crate::public_jwks::{self, PublicJwks};
use crate::redirect_uri::{self, RedirectUri};
use crate::scope::Scope;

/// What a pre-registered client may ask the token endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    /// RFC 8693
    TokenExchange,
    /// RFC 8628: for terminals and other devices without a browser; their people log in on another one.
    DeviceCode,
    /// RFC 7523: for an ID-JAG of an identity provider, or for a `workload`.
    JwtBearer,
}

/// A client that is known from the settings.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    pub client_id: ClientId,
    /// With neither secret nor keys it is a public client.
    pub secret: Option<SecretSource>,
    pub keys: Option<ClientKeys>,
    pub grants: Vec<GrantType>,
    pub scopes: Scope,
    /// As they were written: they are compared as text.
    pub redirect_uris: Vec<RedirectUri>,
    /// Instead of the one for all clients.
    pub refresh_grace: Option<Duration>,
    /// RFC 9126 §6
    pub require_pushed_requests: bool,
    /// RFC 9449 §5.2
    pub dpop_bound: bool,
    /// OIDC RP-Initiated Logout §3.1
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// OIDC Back-Channel Logout §2.2
    pub backchannel_logout_uri: Option<Url>,
    pub exchange: ClientExchange,
    /// Instead of secret and keys.
    pub workload: Option<Workload>,
    /// RFC 8705 §2: instead of a secret.
    pub certificate: Option<ClientCertificate>,
    /// RFC 8705 §3
    pub certificate_bound: bool,
}

/// Which tokens a client may exchange, and for what (RFC 8693).
#[derive(Clone, Debug, Default)]
pub struct ClientExchange {
    pub from: Vec<Url>,
    pub to: Vec<Url>,
}

/// With which a client signs its assertions (RFC 7523).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKeys {
    Inline(PublicJwks),
    Remote(Url),
}

/// A client that is known from the settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "members of client metadata, by their names")]
pub(super) struct RawClient {
    /// Its name at the token endpoint.
    pub(super) client_id: String,
    /// Its secret: 32 random bytes or more, for anybody may try one. With neither a secret nor keys it is a public client.
    pub(super) secret: Option<RawSecret>,
    /// A file with its public keys, a JSON Web Key Set, read at the start: it signs assertions (`private_key_jwt`,
    /// RFC 7523) instead of having a secret.
    pub(super) jwks_file: Option<PathBuf>,
    /// Where it publishes such a key set: https, or http on loopback.
    pub(super) jwks_uri: Option<String>,
    /// What it may ask the token endpoint for.
    pub(super) grants: Vec<GrantType>,
    /// The most it may get.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    /// Where people are sent back to: https, http on `127.0.0.1`, `[::1]` or `localhost`, or an app's own scheme. Compared as
    /// text, but for the port of http on loopback.
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    /// How long a refresh token of this client that was just used gets the same answer again. Unset: as
    /// `authorization_server.refresh_grace_seconds`.
    #[schemars(range(max = 120))]
    pub(super) refresh_grace_seconds: Option<u32>,
    /// Whether its authorization requests must be pushed (RFC 9126): then nothing of them passes through a browser.
    #[serde(default)]
    pub(super) require_pushed_authorization_requests: bool,
    /// Whether each of its tokens must be bound to a key of its own (`DPoP`, RFC 9449). Needs `resource_server.dpop`.
    #[serde(default)]
    pub(super) dpop_bound_access_tokens: bool,
    /// Where people may be sent after they logged out for it (`OpenID` Connect RP-Initiated Logout 1.0): compared as text.
    #[serde(default)]
    pub(super) post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a log-in is over in which it got something (`OpenID` Connect Back-Channel Logout 1.0): https, or
    /// http on loopback.
    pub(super) backchannel_logout_uri: Option<String>,
    /// With the grant `token_exchange`: which tokens of others it may exchange, and for which servers.
    pub(super) token_exchange: Option<RawExchange>,
    /// With the grant `jwt_bearer`, instead of a secret or keys: the workload that it is, by what its platform says.
    pub(super) workload: Option<RawWorkload>,
    /// Instead of a secret: the whole subject of its certificate (`tls_client_auth`, RFC 8705), as RFC 4514 writes it, such as
    /// `CN=nightly,O=Example,C=DE`. Its certificate is of `server.tls.client_ca_file`; so with the four that follow.
    pub(super) tls_client_auth_subject_dn: Option<String>,
    /// Instead: a host name among the alternative names of its certificate.
    pub(super) tls_client_auth_san_dns: Option<String>,
    /// Instead: a URI among them.
    pub(super) tls_client_auth_san_uri: Option<String>,
    /// Instead: an address among them.
    pub(super) tls_client_auth_san_ip: Option<String>,
    /// Instead: an e-mail address among them.
    pub(super) tls_client_auth_san_email: Option<String>,
    /// Whether it proves itself by a certificate that is in `x5c` of one of its keys, whoever issued it, instead of signing
    /// (RFC 8705). Needs `server.tls.self_signed_client_certificates`.
    #[serde(default)]
    pub(super) self_signed_tls_client_auth: bool,
    /// Whether each of its tokens is bound to the certificate of the connection that asks for it (RFC 8705). Needs
    /// `server.tls.client_ca_file` or `server.tls.self_signed_client_certificates`.
    #[serde(default)]
    pub(super) tls_client_certificate_bound_access_tokens: bool,
}

/// With the grant `token_exchange`: which tokens of others it may exchange, and for which servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawExchange {
    /// Resources whose tokens it may bring: those of the server that it is. A token that was issued to itself it may
    /// always bring.
    pub(super) from: Vec<String>,
    /// Resources that it may get tokens for, beside the one that the token it brings is for.
    pub(super) to: Vec<String>,
}

impl RawClient {
    pub(super) fn parse(mut self, at: &Key, to: &mut Checker<'_>) -> Option<RegisteredClient> {
        let client_id = to.parse(&at.name("client_id"), &self.client_id, CLIENT_ID);
        let (secret, keys) = self.proof(at, to);
        let certificate = self.certificate(at, to);
        if self.grants.contains(&GrantType::ClientCredentials) && !self.is_confidential() {
            let problem = "is missing: client_credentials is for clients that prove themselves (RFC 6749 §4.4)";
            let finding = Finding::error(FindingCode::Missing, &at.name("secret"), problem);
            to.add(finding.hint("give a secret, jwks_file, jwks_uri or the name of a certificate"));
        }
        if self.grants.contains(&GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            let problem = "is empty: authorization_code needs a place to send people back to";
            to.add(Finding::error(FindingCode::Missing, &at.name("redirect_uris"), problem));
        }
        let exchange = self.exchange(at, to);
        self.check_assertions(at, to);
        let workload = self.workload.take().map(|raw| raw.parse(&at.name("workload"), to));
        let redirects = at.name("redirect_uris");
        let redirect_uris = redirect_uris_of(&redirects, &self.redirect_uris, to);
        let after = at.name("post_logout_redirect_uris");
        let post_logout_redirect_uris =
            redirect_uris_of(&after, &self.post_logout_redirect_uris, to);
        let notify = self.backchannel_logout_uri.as_ref();
        let backchannel_logout_uri =
            notify.and_then(|uri| to.endpoint(&at.name("backchannel_logout_uri"), uri));
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        Some(RegisteredClient {
            client_id: client_id?,
            secret,
            keys,
            grants: self.grants,
            scopes,
            redirect_uris,
            refresh_grace: self.refresh_grace_seconds.map(u64::from).map(Duration::from_secs),
            require_pushed_requests: self.require_pushed_authorization_requests,
            dpop_bound: self.dpop_bound_access_tokens,
            post_logout_redirect_uris,
            backchannel_logout_uri,
            exchange,
            // One that is wrong is a finding; without it the client would be a public one.
            workload: workload.map_or(Some(None), |parsed| parsed.map(Some))?,
            certificate,
            certificate_bound: self.tls_client_certificate_bound_access_tokens,
        })
    }

    /// A workload has nothing else; whoever brings an ID-JAG proves who it is itself.
    fn check_assertions(&self, at: &Key, to: &mut Checker<'_>) {
        let takes = self.grants.contains(&GrantType::JwtBearer);
        let mut add = |name: &str, problem: &'static str| {
            to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
        };
        if self.workload.is_none() {
            if takes && !self.is_confidential() {
                add(
                    "secret",
                    "is missing: jwt_bearer is for clients that prove themselves, or for a `workload`",
                );
            }
            return;
        }
        if self.grants != [GrantType::JwtBearer] {
            add("grants", "is not [\"jwt_bearer\"], all that a workload can use");
        }
        if self.scopes.is_empty() {
            add("scopes", "is empty: a workload gets no more than this");
        }
    }

    /// Whoever acts for others proves who it is, and has a limit that an operator set.
    fn exchange(&self, at: &Key, to: &mut Checker<'_>) -> ClientExchange {
        let exchanges = self.grants.contains(&GrantType::TokenExchange);
        let key = at.name("token_exchange");
        let mut missing = |name: &str, problem: &'static str| {
            to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
        };
        if exchanges && !self.is_confidential() {
            missing("secret", "is missing: token_exchange is for clients that prove themselves");
        }
        if exchanges && self.scopes.is_empty() {
            missing("scopes", "is empty: a client that exchanges tokens gets no more than this");
        }
        let Some(raw) = &self.token_exchange else { return ClientExchange::default() };
        if !exchanges {
            let problem = "has no token_exchange, without which `token_exchange` is worth nothing";
            missing("grants", problem);
        }
        let from = to.parse_all(&key.name("from"), &raw.from, "the URL of a resource");
        let to = to.parse_all(&key.name("to"), &raw.to, "the URL of a resource");
        ClientExchange { from, to }
    }

    fn is_confidential(&self) -> bool {
        let has_keys = self.jwks_file.is_some() || self.jwks_uri.is_some();
        self.secret.is_some() || has_keys || self.given_names().next().is_some()
    }

    /// How it proves who it is: one way at most.
    fn proof(&self, at: &Key, to: &mut Checker<'_>) -> (Option<SecretSource>, Option<ClientKeys>) {
        let given = [
            ("secret", self.secret.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("jwks_uri", self.jwks_uri.is_some()),
            ("workload", self.workload.is_some()),
        ];
        let given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| (name, ()));
        let given = given.chain(self.given_names().map(|name| (name, ())));
        let given: Vec<_> = given.collect();
        if given.len() > 1 {
            let ways = "secret, jwks_file, jwks_uri, workload, one of tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip, _san_email";
            to.one_of(at, given, ways);
            return (None, None);
        }
        let key = at.name("secret");
        let secret = self.secret.as_ref().and_then(|raw| to.secret(&key, raw));
        if let Some(source) = &secret {
            to.shared_secret(&key, source);
        }
        (secret, self.keys(at, to))
    }

    fn keys(&self, at: &Key, to: &mut Checker<'_>) -> Option<ClientKeys> {
        if let Some(uri) = &self.jwks_uri {
            return to.endpoint(&at.name("jwks_uri"), uri).map(ClientKeys::Remote);
        }
        let key = at.name("jwks_file");
        let path = to.input(&key, self.jwks_file.as_ref()?);
        // A file that cannot be read is a finding already, unless it is no text.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        jwks(&key, &text, to)
    }
}

/// Quotes nothing: somebody may have taken the wrong half of the key.
fn jwks(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<ClientKeys> {
    match PublicJwks::parse(text) {
        Ok(jwks) => Some(ClientKeys::Inline(jwks)),
        Err(error) => {
            let finding = Finding::error(FindingCode::NotAllowed, key, error.problem());
            to.add(finding.allowed(public_jwks::ALLOWED).hint(error.hint()));
            None
        }
    }
}

fn redirect_uris_of(list: &Key, texts: &[String], to: &mut Checker<'_>) -> Vec<RedirectUri> {
    let mut parsed = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let at = to.item(list, place);
        match RedirectUri::parse(text) {
            Ok(uri) => parsed.push(uri),
            Err(error) => {
                let finding = Finding::error(FindingCode::NotAllowed, &at, error.problem());
                let finding = finding.found(quoted(text)).allowed(redirect_uri::ALLOWED);
                to.add(finding.hint(error.hint()));
            }
        }
    }
    parsed
}
