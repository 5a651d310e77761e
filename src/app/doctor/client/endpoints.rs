//! The authorization request and the token request.

use http::{StatusCode, header};
use serde_json::Value;
use url::Url;

use crate::app::doctor::Step;
use crate::app::doctor::outside::{below, text};
use crate::broker::{Situation, next_step};
use crate::outbound::Call;

use super::{Area, Walk, bad};

/// RFC 7636 Appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

impl Walk<'_> {
    /// A browser goes there: no page sends it.
    pub(super) async fn authorize(&mut self, server: &Value, client_id: &str) -> Result<(), Step> {
        let mut url = endpoint(server, "authorization_endpoint")?;
        let resource = below(self.config, "/mcp");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", "doctor")
            .append_pair("resource", resource.as_str());
        let answer = self.send(Call::get(url)).await?;
        let to =
            answer.header(&header::LOCATION).and_then(|to| below(self.config, "/").join(to).ok());
        let error = to.as_ref().and_then(|to| to.query_pairs().find(|(name, _)| name == "error"));
        match (answer.status, error) {
            (status, None) if status.is_redirection() || status == StatusCode::OK => Ok(()),
            (_, Some((_, error))) => {
                let (allowed, hint) = to_change(&error);
                Err(bad(format!("the authorization request is refused: {}", word(&error)))
                    .allowed(allowed)
                    .hint(hint)
                    .then(self.next(Situation::SentBack)))
            }
            (status, None) => Err(bad(format!("the authorization request is answered {status}"))
                .hint("the client's document may not be fetched from here (outbound.proxy), or names another redirect URI; the audit log says which: oauth.authorization.refused")
                .then(self.next(Situation::PageShown))),
        }
    }

    pub(super) async fn token(&mut self, server: &Value, client_id: &str) -> Result<Step, Step> {
        if self.client.has_a_key {
            let why = "the token endpoint was not asked: this client proves itself by a key that it alone has";
            return Ok(Step::skipped(Area::Client, why));
        }
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", "broker-doctor"),
            ("redirect_uri", &self.redirect_uri()),
            ("client_id", client_id),
            ("code_verifier", VERIFIER),
        ];
        let url = endpoint(server, "token_endpoint")?;
        let path = url.path().to_owned();
        let answer = self.fetch(Call::post_form(url, &fields)).await?;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match text(&document, "error") {
            Some("invalid_grant") => {
                self.readable(&path, &answer)?;
                let found = "the token endpoint knows it, and refuses a code that is none";
                Ok(Step::good(Area::Client, found))
            }
            Some(error) => {
                let met = match error {
                    "invalid_client" | "unauthorized_client" => Situation::ClientRefused,
                    _ => Situation::OAuthRefused,
                };
                Err(bad(format!("the token endpoint answers {}", word(error)))
                    .allowed("invalid_grant, to a code that is none")
                    .hint(to_change(error).1)
                    .then(self.next(met)))
            }
            None => {
                Err(bad(format!("the token endpoint answers {} and no OAuth error", answer.status))
                    .hint("look where the proxy sends POST /token"))
            }
        }
    }

    fn redirect_uri(&self) -> String {
        self.redirect_uris().into_iter().next().unwrap_or_default()
    }

    fn next(&self, met: Situation) -> String {
        next_step(Some(self.client.family), met)
    }
}

/// What would be right, and what to change for it.
fn to_change(error: &str) -> (&'static str, &'static str) {
    match error {
        "invalid_scope" => (
            "a rule that is of use to somebody with the scopes of the metadata",
            "policy: broker policy lint; authorization_server.default_scopes",
        ),
        "invalid_target" => (
            "the resource as it was called, which the doctor asked for",
            "server.public_url has to be the URL that clients are given",
        ),
        "invalid_client" | "unauthorized_client" => (
            "a client that is known, with the grant authorization_code",
            "authorization_server.client_host, client_metadata_documents and dynamic_registration; replicas have to share store.url and store.key_encryption_key",
        ),
        _ => (
            "a page for a person, or a redirect to one",
            "the audit log says why: oauth.authorization.refused, or broker explain with the id of the request",
        ),
    }
}

/// # Errors
///
/// That the metadata has none.
pub(super) fn endpoint(document: &Value, name: &str) -> Result<Url, Step> {
    text(document, name).and_then(|url| Url::parse(url).ok()).ok_or_else(|| {
        bad(format!("the issuer's metadata has no {name}"))
            .hint("another server answers there, or something changes the metadata on its way")
    })
}

pub(super) fn error_of(document: &Value) -> String {
    text(document, "error").map(|error| format!(", {}", word(error))).unwrap_or_default()
}

/// An error code as OAuth has them; what is none comes from somebody else and is not repeated.
fn word(error: &str) -> &str {
    let plain = error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain { error } else { "with something that is no error code" }
}
