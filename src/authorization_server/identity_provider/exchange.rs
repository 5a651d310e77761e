//! From the code in a callback to who logged in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::outbound::{Answer, Call, Outbound};
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::discovery::{LIMITS, Metadata, Who};
use super::id_token::Expected;
use super::settings::IdentityProviderSettings;
use super::{Refusal, UpstreamError};

/// What a provider sent the browser back with (RFC 6749 §4.1.2, RFC 9207 §2). None of it is verified.
#[derive(Clone, Default)]
pub(crate) struct Callback {
    pub(crate) state: Option<String>,
    pub(crate) code: Option<SecretText>,
    pub(crate) iss: Option<String>,
    pub(crate) error: Option<String>,
}

impl Callback {
    /// `None` where a parameter comes twice (RFC 6749 §3.1).
    pub(crate) fn parse(unverified_query: &str) -> Option<Self> {
        let mut callback = Self::default();
        for (name, value) in url::form_urlencoded::parse(unverified_query.as_bytes()) {
            let before = match name.as_ref() {
                "state" => callback.state.replace(value.into_owned()).is_some(),
                "code" => callback.code.replace(value.into_owned().into()).is_some(),
                "iss" => callback.iss.replace(value.into_owned()).is_some(),
                "error" => callback.error.replace(value.into_owned()).is_some(),
                _ => false,
            };
            if before {
                return None;
            }
        }
        Some(callback)
    }
}

/// RFC 6749 §5.1 and OIDC Core §3.1.3.3. GitHub answers errors with 200 and `error`.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<SecretText>,
    id_token: Option<SecretText>,
    error: Option<String>,
}

/// One exchange: what was remembered when the login began.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) settings: &'a IdentityProviderSettings,
    pub(super) metadata: &'a Metadata,
    pub(super) outbound: &'a Outbound,
    pub(super) redirect_uri: &'a Url,
    pub(super) nonce: &'a str,
    pub(super) code_verifier: &'a SecretText,
    pub(super) now: Timestamp,
}

impl Exchange<'_> {
    /// What the provider says about the person.
    pub(super) async fn claims(
        &self,
        callback: &Callback,
    ) -> Result<Map<String, Value>, UpstreamError> {
        self.check_issuer(callback)?;
        if let Some(error) = &callback.error {
            return Err(UpstreamError::Refused(Refusal::of(error)));
        }
        let code = callback.code.as_ref();
        let code = code.ok_or(UpstreamError::Answer { endpoint: "authorization" })?;
        let answer = self.redeem(code).await?;
        match &self.metadata.who {
            Who::IdToken(keys, more) => {
                let token = answer.id_token.ok_or(UpstreamError::Answer { endpoint: "token" })?;
                let token = keys.verify(token.expose()).await.map_err(UpstreamError::Signature)?;
                let client_id = self.settings.client_id.as_str();
                let (issuer, nonce, now) = (&self.settings.issuer, self.nonce, self.now);
                let claims = Expected { issuer, client_id, nonce, now }.check(token)?;
                match (more, answer.access_token) {
                    (Some(url), Some(token)) if self.settings.lacks_any(&claims) => {
                        self.completed(claims, url, &token).await
                    }
                    _ => Ok(claims),
                }
            }
            Who::Userinfo(url) => {
                let token = answer.access_token;
                self.userinfo(url, &token.ok_or(UpstreamError::Answer { endpoint: "token" })?).await
            }
        }
    }

    /// With what the ID token leaves to userinfo: many providers keep profile and groups out of it (OIDC Core §5.4).
    ///
    /// Where userinfo does not answer, the person is who they are: with groups that may be missing, so that what a rule
    /// denies by group may be theirs.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::IdToken`] where userinfo is about somebody else (OIDC Core §5.3.2).
    async fn completed(
        &self,
        mut claims: Map<String, Value>,
        url: &Url,
        token: &SecretText,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let more = match self.userinfo(url, token).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(idp.id = self.settings.id, reason = %error, "userinfo cannot be read");
                // What is not said of roles is not known in any case.
                if self.settings.lacks_groups(&claims) {
                    claims.insert("hasgroups".to_owned(), Value::Bool(true));
                }
                return Ok(claims);
            }
        };
        let subject = claims.get("sub").filter(|subject| subject.is_string());
        if subject.is_none() || subject != more.get("sub") {
            return Err(UpstreamError::IdToken("sub"));
        }
        self.settings.complete(&mut claims, &more);
        Ok(claims)
    }

    /// Mix-up (RFC 9207 §2.4): whoever states an issuer must be the one that was asked, on errors too.
    fn check_issuer(&self, callback: &Callback) -> Result<(), UpstreamError> {
        match &callback.iss {
            Some(issuer) if *issuer == self.settings.issuer => Ok(()),
            None if !self.metadata.states_issuer => Ok(()),
            _ => Err(UpstreamError::WrongIssuer),
        }
    }

    /// RFC 6749 §4.1.3 with RFC 7636 §4.5. Never sends `resource`.
    async fn redeem(&self, code: &SecretText) -> Result<TokenAnswer, UpstreamError> {
        let client_id = self.settings.client_id.as_str();
        let secret = match &self.settings.client_secret {
            Some(secret) => Some(secret.read().await.map_err(UpstreamError::ClientSecret)?),
            None => None,
        };
        let secret = secret.as_ref();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.code_verifier.expose()),
        ];
        let in_header = secret.filter(|_| !self.metadata.secret_in_body);
        if in_header.is_none() {
            fields.push(("client_id", client_id));
            fields.extend(secret.map(|secret| ("client_secret", secret.expose())));
        }
        let mut call = Call::post_form(self.metadata.token.clone(), &fields);
        if let Some(secret) = in_header {
            call = call.header(AUTHORIZATION, basic(client_id, secret));
        }
        let call = call.header(ACCEPT, HeaderValue::from_static("application/json"));
        let answer: TokenAnswer = parsed("token", &self.outbound.send(call, LIMITS).await?)?;
        match answer.error {
            Some(_) => Err(UpstreamError::Status { endpoint: "token", status: 200 }),
            None => Ok(answer),
        }
    }

    async fn userinfo(
        &self,
        url: &Url,
        token: &SecretText,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|_| UpstreamError::Answer { endpoint: "token" })?;
        bearer.set_sensitive(true);
        let call = Call::get(url.clone())
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        parsed("userinfo", &self.outbound.send(call, LIMITS).await?)
    }
}

/// RFC 6749 §2.3.1: both parts form-encoded first.
fn basic(client_id: &str, secret: &SecretText) -> HeaderValue {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose()));
    let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
    let mut value = value.unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn parsed<T: for<'de> Deserialize<'de>>(
    endpoint: &'static str,
    answer: &Answer,
) -> Result<T, UpstreamError> {
    if answer.status != StatusCode::OK {
        return Err(UpstreamError::Status { endpoint, status: answer.status.as_u16() });
    }
    serde_json::from_slice(&answer.body).map_err(|_| UpstreamError::Answer { endpoint })
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callback")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_with_a_parameter_twice_is_none() {
        assert!(Callback::parse("state=a&code=b&session_state=x&session_state=y").is_some());
        for query in ["state=a&state=a", "code=a&code=b", "iss=a&iss=a", "error=a&error=b"] {
            assert!(Callback::parse(query).is_none(), "{query}");
        }
    }

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let value = basic("a:b", &"c d%é".to_owned().into());
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a%3Ab:c+d%25%C3%A9");
    }
}
