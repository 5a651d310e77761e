//! A validated authorization request, as it waits in the store for its person.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::OWN_SCOPES;
use crate::authorization_server::person::Person;
use crate::authorization_server::session::{PASSWORD, TWO_FACTORS};
use crate::id::ClientId;
use crate::scope::Scope;
use crate::store::{Digest, LoginOrigin, StoreError};
use crate::time::Timestamp;

/// A request of a known client with a redirect URI of that client, an S256 challenge and one resource of ours.
///
/// Made only by validation, or read back from the store, where nobody else writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub client_id: ClientId,
    /// As it was requested, byte for byte; the client's own (OAuth 2.1 §4.1.1).
    pub redirect_uri: String,
    pub state: Option<String>,
    /// What is asked for, or the default scopes.
    pub scope: Scope,
    /// The most that this client may have, where an operator set it.
    pub limit: Option<Scope>,
    /// What becomes `aud` (RFC 8707 §2).
    pub resource: String,
    /// S256 (RFC 7636 §4.2).
    pub code_challenge: String,
    pub nonce: Option<String>,
    pub login_hint: Option<String>,
    pub prompt: Prompt,
    /// Seconds (OIDC Core §3.1.2.1).
    pub max_age: Option<u32>,
    /// When it came, in seconds since the epoch: a login since then satisfies `prompt=login`.
    pub requested_at: i64,
    /// SHA-256 of the client metadata document, in base64url: what the person consents to (N99).
    pub client_digest: Option<String>,
    /// Whether an operator knows the client; one that registered itself never gets administrative scopes (N115).
    pub trusted_client: bool,
    /// Whether the client is registered for refresh tokens; `offline_access` gives one to any other client.
    pub refresh: bool,
    /// How strong the login has to be, the first rather than the others (`acr_values`, OIDC Core §3.1.2.1). Empty: any.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// The key that its code is bound to (RFC 9449 §10).
    #[serde(default)]
    pub dpop_jkt: Option<String>,
    /// Whom the client means: `sub` of its `id_token_hint` (OIDC Core §3.1.2.1).
    #[serde(default)]
    pub hinted: Option<String>,
}

/// What the client wants the person to be asked (OIDC Core §3.1.2.1). Unknown values are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the values of one parameter, each there or not")]
pub struct Prompt {
    /// No page at all.
    pub none: bool,
    /// Log in again.
    pub login: bool,
    /// Ask for consent although it was given before.
    pub consent: bool,
    pub select_account: bool,
}

impl Pending {
    /// Reads back what was stored.
    pub(super) fn read(stored: &str) -> Result<Self, StoreError> {
        serde_json::from_str(stored)
            .map_err(|_| StoreError::Corrupt("authorization_request.parameters"))
    }

    /// Of `wanted`, what its client may have at most. Scopes about the person themself need no operator's leave.
    pub(super) fn limited(&self, wanted: &Scope) -> Scope {
        let Some(limit) = &self.limit else { return wanted.clone() };
        let own = wanted.iter().filter(|token| OWN_SCOPES.contains(&token.as_str())).cloned();
        wanted.narrow(limit).union(&own.collect())
    }

    /// Whether it asks for a newer login than this person's (OIDC Core §3.1.2.1).
    ///
    /// One that is another's than the client means, or not as strong as asked for, is tried again once: after that it will be
    /// no other.
    ///
    /// `prompt=login` is satisfied by a proof since the request came, `max_age` by one that was young enough then,
    /// `select_account` by a session since then. Who logged in at a time that nobody vouches for satisfies neither of the
    /// first two.
    pub(in crate::authorization_server) fn wants_new_login(&self, person: &Person) -> bool {
        let age = |at: Timestamp| self.requested_at.saturating_sub(at.unix_seconds());
        let older_than = |most| person.auth_time.is_none_or(|at| age(at) > most);
        (self.prompt.login && older_than(0))
            || (self.prompt.select_account && age(person.began) > 0)
            || self.max_age.is_some_and(|most| older_than(i64::from(most)))
            || (!self.is_met_by(person) && age(person.began) > 0)
    }

    /// Whether this person is whom the client means, and logged in as strongly as is asked for (RFC 9470 §5).
    pub(in crate::authorization_server) fn is_met_by(&self, person: &Person) -> bool {
        self.means(person) && (self.acr_values.is_empty() || self.met_by(person).is_some())
    }

    /// Whether this person is whom the client means (OIDC Core §3.1.2.2), where it says.
    pub(super) fn means(&self, person: &Person) -> bool {
        self.hinted.as_ref().is_none_or(|hinted| *hinted == person.user.id.to_string())
    }

    /// The first value asked for that this person's login has. Two factors of ours are a password of ours as well, where one of
    /// them was a password; what the names of others imply is theirs to say.
    fn met_by(&self, person: &Person) -> Option<&str> {
        let login = &person.login;
        let acr = login.acr.as_deref()?;
        let ours = person.method == PASSWORD && acr == TWO_FACTORS;
        let met = |value: &&String| value.as_str() == acr || (ours && value.as_str() == "pwd");
        self.acr_values.iter().find(met).map(String::as_str)
    }

    /// This person's login as the grant has it: with the strength that was asked for, where it is more than that (OIDC
    /// Core §5.5.1.1).
    pub(super) fn login_of(&self, person: &Person) -> LoginOrigin {
        let met = self.met_by(person).map(str::to_owned);
        LoginOrigin { acr: met.or_else(|| person.login.acr.clone()), ..person.login.clone() }
    }

    /// What the store is given.
    pub(super) fn written(&self) -> String {
        #[expect(clippy::expect_used, reason = "texts, numbers and flags always serialise")]
        serde_json::to_string(self).expect("a request of texts serialises")
    }

    pub(super) fn client_digest(&self) -> Option<Digest> {
        self.client_digest.as_deref().and_then(parse_digest)
    }

    /// Where the answer goes, to show to people (AS-14): the host, or the scheme of an app.
    #[must_use]
    pub fn redirect_host(&self) -> String {
        let Ok(url) = Url::parse(&self.redirect_uri) else { return String::new() };
        match url.host_str() {
            Some(host) if matches!(url.scheme(), "http" | "https") => host.to_owned(),
            _ => format!("{}:", url.scheme()),
        }
    }

    /// Whether the answer goes to this machine, where any program may listen (N102).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.redirect_uri).is_ok_and(|url| {
            url.scheme() == "http"
                && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
        })
    }

    /// Where the answer goes: the origin, or `loopback`.
    #[must_use]
    pub fn redirect_class(&self) -> String {
        if self.is_loopback() { "loopback".to_owned() } else { self.redirect_origin() }
    }

    /// What a consent is remembered by beside person, client and resource: where the answer goes and, for a client with
    /// a metadata document, the document that it was given to. One that has changed is another client (N99).
    pub(in crate::authorization_server) fn consent_class(&self) -> String {
        match &self.client_digest {
            Some(digest) => format!("{} {digest}", self.redirect_class()),
            None => self.redirect_class(),
        }
    }

    pub(super) fn redirect_origin(&self) -> String {
        match Url::parse(&self.redirect_uri) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                url.origin().ascii_serialization()
            }
            Ok(url) => format!("{}:", url.scheme()),
            Err(_) => String::new(),
        }
    }
}

pub(super) fn digest_text(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest.as_bytes())
}

fn parse_digest(text: &str) -> Option<Digest> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(redirect_uri: &str) -> Pending {
        Pending {
            client_id: "c".parse().unwrap(),
            redirect_uri: redirect_uri.to_owned(),
            state: None,
            scope: Scope::empty(),
            limit: None,
            resource: "https://b.example/mcp".to_owned(),
            code_challenge: String::new(),
            nonce: None,
            login_hint: None,
            prompt: Prompt::default(),
            max_age: None,
            acr_values: Vec::new(),
            requested_at: 0,
            client_digest: None,
            trusted_client: false,
            refresh: false,
            dpop_jkt: None,
            hinted: None,
        }
    }

    #[test]
    fn people_see_where_the_answer_goes() {
        for (uri, host, class) in [
            ("https://claude.ai/api/cb?x=1", "claude.ai", "https://claude.ai"),
            ("http://localhost:3118/callback", "localhost", "loopback"),
            ("http://[::1]:1/cb", "[::1]", "loopback"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:", "cursor:"),
            ("com.example.app:/cb", "com.example.app:", "com.example.app:"),
        ] {
            let pending = to(uri);
            assert_eq!(
                (pending.redirect_host(), pending.redirect_class()),
                (host.into(), class.into())
            );
        }
    }
}
