//! `credential` as it is written in the settings, read into what the broker uses.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    UpstreamCredential, UpstreamEndpoints, UpstreamExchange, UpstreamIdJag, UpstreamIdJagServer,
    UpstreamPerUser, UpstreamTokenPlace,
};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::config::model::secret_source::{RawSecret, SecretSource};
use crate::scope::Scope;

/// One of: `bearer`, `header`, `client_credentials`, `token_exchange`, `id_jag`, `entra_obo`, `per_user`; none of them: no credential.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config::model) struct RawUpstreamCredential {
    /// A fixed bearer token.
    bearer: Option<RawSecret>,
    /// A fixed header.
    header: Option<RawHeader>,
    /// A token for the broker itself (RFC 6749 §4.4).
    client_credentials: Option<RawTokenEndpoint>,
    /// The caller's token exchanged for one of the server's (RFC 8693).
    token_exchange: Option<RawTokenExchange>,
    /// An identity provider vouches for the caller to the server's authorization server (cross-app access).
    id_jag: Option<RawIdJag>,
    /// The caller's Entra token exchanged on its behalf.
    entra_obo: Option<RawEntraObo>,
    /// Each person connects their own account.
    per_user: Option<RawPerUser>,
}

/// A fixed header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    /// The header's name.
    name: String,
    /// Its value.
    value: RawSecret,
}

/// A token endpoint and our client there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawTokenEndpoint {
    /// The token endpoint. Either this, or `issuer`.
    token_url: Option<String>,
    /// The authorization server, in whose metadata the token endpoint is (RFC 8414).
    issuer: Option<String>,
    /// Our client there.
    client_id: String,
    /// Our secret there.
    client_secret: RawSecret,
    /// Scopes to ask for.
    #[serde(default)]
    scopes: Vec<String>,
}

/// A token endpoint that exchanges what says who calls, and our client there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawTokenExchange {
    /// The token endpoint.
    token_url: String,
    /// Whose endpoint it is. Tokens that this issuer made are sent to it as they are; about all other callers the broker
    /// sends a JWT of its own. Unset: always a JWT of its own.
    issuer: Option<String>,
    /// Our client there.
    client_id: String,
    /// Our secret there.
    client_secret: RawSecret,
    /// The server's name there, sent as `audience`. Its URL is always sent, as `resource`.
    audience: Option<String>,
    /// Scopes to ask for.
    #[serde(default)]
    scopes: Vec<String>,
    /// Sends a token of our client's as `actor_token`.
    #[serde(default)]
    actor: bool,
}

/// Cross-app access.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawIdJag {
    /// The token endpoint of the identity provider.
    token_url: String,
    /// Who that is. Of people who logged in here at this provider (with `standing.keep_tokens` and the same client) the ID
    /// token is sent to it; else tokens that this issuer made as they are; about all other callers a JWT of the broker's own.
    /// Unset: always that.
    issuer: Option<String>,
    /// Our client there.
    client_id: String,
    /// Our secret there.
    client_secret: RawSecret,
    /// The server's own authorization server.
    server: RawIdJagServer,
    /// Scopes to ask for.
    #[serde(default)]
    scopes: Vec<String>,
}

/// The authorization server of a server, and our client there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawIdJagServer {
    /// Its issuer, as its metadata spells it: the audience of what the identity provider says.
    issuer: String,
    /// Its token endpoint. Unset: in its metadata (RFC 8414).
    token_url: Option<String>,
    /// Our client there.
    client_id: String,
    /// Our secret there.
    client_secret: RawSecret,
}

/// Entra's on-behalf-of flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawEntraObo {
    /// The `[[graph.profile]]` whose app exchanges.
    profile: String,
    /// Scopes to ask for.
    scopes: Vec<String>,
}

/// An authorization server at which each person connects their account. Without any key in it: found out from the
/// server's own metadata, where the broker registers itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawPerUser {
    /// The authorization endpoint; with `token_url`. Unset: found out from the server (RFC 9728, RFC 8414).
    authorize_url: Option<String>,
    /// The token endpoint.
    token_url: Option<String>,
    /// Where tokens are given back (RFC 7009). Found out where the others are.
    revocation_url: Option<String>,
    /// Whose endpoints they are, as answers state it (RFC 9207). Without `authorize_url`: the one authorization server that
    /// the server may name; needed with `client_secret`, which no other is shown.
    issuer: Option<String>,
    /// Our client there. Unset: the broker's client metadata document, or a registration (RFC 7591).
    client_id: Option<String>,
    /// Our secret there. Unset: a public client.
    client_secret: Option<RawSecret>,
    /// Scopes to ask for. Unset: those that the server names.
    scopes: Vec<String>,
}

impl RawUpstreamCredential {
    pub(in crate::config::model) fn parse(
        self,
        at: &Key,
        to: &mut Checker<'_>,
    ) -> Option<UpstreamCredential> {
        let mut given = Vec::new();
        if let Some(raw) = &self.bearer {
            given.push((
                "bearer",
                to.secret(&at.name("bearer"), raw).map(UpstreamCredential::Bearer),
            ));
        }
        if let Some(raw) = self.header {
            given.push(("header", raw.parse(&at.name("header"), to)));
        }
        if let Some(raw) = self.client_credentials {
            let parsed = raw.parse(&at.name("client_credentials"), to);
            given.push((
                "client_credentials",
                parsed.map(|(at, client_id, client_secret, scopes)| {
                    UpstreamCredential::ClientCredentials { at, client_id, client_secret, scopes }
                }),
            ));
        }
        if let Some(raw) = self.token_exchange {
            given.push(("token_exchange", raw.parse(&at.name("token_exchange"), to)));
        }
        if let Some(raw) = self.id_jag {
            given.push(("id_jag", raw.parse(&at.name("id_jag"), to)));
        }
        if let Some(raw) = self.entra_obo {
            given.push(("entra_obo", raw.parse(&at.name("entra_obo"), to)));
        }
        if let Some(raw) = self.per_user {
            given.push(("per_user", raw.parse(&at.name("per_user"), to)));
        }
        if given.is_empty() {
            return Some(UpstreamCredential::None);
        }
        to.one_of(
            at,
            given,
            "bearer, header, client_credentials, token_exchange, id_jag, entra_obo, per_user",
        )
        .flatten()
    }
}

impl RawHeader {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCredential> {
        let key = at.name("name");
        let value = to.secret(&at.name("value"), &self.value);
        if self.name.parse::<http::HeaderName>().is_err() {
            to.refuse(&key, &self.name, "is no header name", "a name such as X-Api-Key");
            return None;
        }
        Some(UpstreamCredential::Header { name: self.name, value: value? })
    }
}

impl RawTokenEndpoint {
    fn parse(
        self,
        at: &Key,
        to: &mut Checker<'_>,
    ) -> Option<(UpstreamTokenPlace, String, SecretSource, Scope)> {
        let mut given = Vec::new();
        if let Some(text) = &self.token_url {
            let url = to.endpoint(&at.name("token_url"), text);
            given.push(("token_url", url.map(UpstreamTokenPlace::Url)));
        }
        if let Some(text) = self.issuer {
            // As it is spelled: its metadata says it byte for byte.
            let url = to.endpoint(&at.name("issuer"), &text);
            given.push(("issuer", url.map(|_| UpstreamTokenPlace::Issuer(text))));
        }
        let place = to.one_of(at, given, "token_url, issuer").flatten();
        let client_secret = to.secret(&at.name("client_secret"), &self.client_secret);
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        Some((place?, self.client_id, client_secret?, scopes))
    }
}

impl RawTokenExchange {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCredential> {
        let token_url = to.endpoint(&at.name("token_url"), &self.token_url);
        let client_secret = to.secret(&at.name("client_secret"), &self.client_secret);
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        let issuer = match &self.issuer {
            Some(text) => Some(to.parse(&at.name("issuer"), text, "an issuer's URL")?),
            None => None,
        };
        Some(UpstreamCredential::TokenExchange(Box::new(UpstreamExchange {
            token_url: token_url?,
            client_id: self.client_id,
            client_secret: client_secret?,
            scopes,
            issuer,
            audience: self.audience,
            actor: self.actor,
        })))
    }
}

impl RawIdJag {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCredential> {
        let token_url = to.endpoint(&at.name("token_url"), &self.token_url);
        let client_secret = to.secret(&at.name("client_secret"), &self.client_secret);
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        let issuer = match &self.issuer {
            Some(text) => Some(to.parse(&at.name("issuer"), text, "an issuer's URL")?),
            None => None,
        };
        let server = self.server.parse(&at.name("server"), to);
        Some(UpstreamCredential::IdJag(Box::new(UpstreamIdJag {
            token_url: token_url?,
            issuer,
            client_id: self.client_id,
            client_secret: client_secret?,
            server: server?,
            scopes,
        })))
    }
}

impl RawIdJagServer {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamIdJagServer> {
        let issuer = to.endpoint(&at.name("issuer"), &self.issuer);
        let client_secret = to.secret(&at.name("client_secret"), &self.client_secret);
        let token_url = match &self.token_url {
            Some(text) => Some(to.endpoint(&at.name("token_url"), text)?),
            None => None,
        };
        issuer?;
        let (issuer, client_id) = (self.issuer, self.client_id);
        Some(UpstreamIdJagServer { issuer, token_url, client_id, client_secret: client_secret? })
    }
}

impl RawEntraObo {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCredential> {
        let profile =
            to.parse(&at.name("profile"), &self.profile, "the name of a [[graph.profile]]");
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        Some(UpstreamCredential::EntraObo { profile: profile?, scopes })
    }
}

impl RawPerUser {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCredential> {
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        let endpoints = self.endpoints(at, to).ok()?;
        let secret = match &self.client_secret {
            Some(raw) => Some(to.secret(&at.name("client_secret"), raw)?),
            None => None,
        };
        if self.client_id.is_none() && (secret.is_some() || endpoints.is_some()) {
            let problem = "is missing: who writes down endpoints or a secret has a client there";
            to.add(Finding::error(FindingCode::Missing, &at.name("client_id"), problem));
        }
        let issuer = self.issuer_of_the_client(at, to).ok()?;
        let client = self.client_id.map(|id| (id, secret));
        let accounts = UpstreamPerUser { endpoints, client, issuer, scopes };
        Some(UpstreamCredential::PerUser(Box::new(accounts)))
    }

    /// The one authorization server that the server may name. An error: something is wrong with it, and was said.
    fn issuer_of_the_client(&self, at: &Key, to: &mut Checker<'_>) -> Result<Option<String>, ()> {
        let key = at.name("issuer");
        match &self.issuer {
            _ if self.authorize_url.is_some() => Ok(None),
            Some(issuer) => to.endpoint(&key, issuer).map(|_| Some(issuer.clone())).ok_or(()),
            None if self.client_secret.is_none() => Ok(None),
            None => {
                let problem = "is missing: the server names an authorization server itself, and no other than this one is shown client_secret";
                to.add(Finding::error(FindingCode::Missing, &key, problem));
                Err(())
            }
        }
    }

    /// Both endpoints or neither. An error: something is wrong with them, and was said.
    fn endpoints(&self, at: &Key, to: &mut Checker<'_>) -> Result<Option<UpstreamEndpoints>, ()> {
        let Some(authorize) = &self.authorize_url else {
            for (name, given) in [
                ("token_url", self.token_url.is_some()),
                ("revocation_url", self.revocation_url.is_some()),
            ] {
                if given {
                    let problem = "goes with authorize_url, which is missing";
                    to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
                }
            }
            return Ok(None);
        };
        let Some(token) = &self.token_url else {
            let problem = "is missing: authorize_url and token_url go together";
            to.add(Finding::error(FindingCode::Missing, &at.name("token_url"), problem));
            return Err(());
        };
        let authorize_url = to.endpoint(&at.name("authorize_url"), authorize).ok_or(())?;
        let token_url = to.endpoint(&at.name("token_url"), token).ok_or(())?;
        let revocation_url = match &self.revocation_url {
            Some(text) => Some(to.endpoint(&at.name("revocation_url"), text).ok_or(())?),
            None => None,
        };
        let issuer = self.issuer.clone();
        Ok(Some(UpstreamEndpoints { authorize_url, token_url, revocation_url, issuer }))
    }
}
