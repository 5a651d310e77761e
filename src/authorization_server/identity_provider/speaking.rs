//! What is said to a provider behind a browser's back: its token endpoint, its keys, userinfo.

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

use super::UpstreamError;
use super::discovery::{LIMITS, Metadata};
use super::id_token::Expected;
use super::settings::IdentityProviderSettings;

/// RFC 6749 §5.1 and OIDC Core §3.1.3.3. GitHub answers errors with 200 and `error`.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: Option<SecretText>,
    pub(super) id_token: Option<SecretText>,
    pub(super) refresh_token: Option<SecretText>,
    pub(super) error: Option<String>,
}

/// One conversation with a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaking<'a> {
    pub(super) settings: &'a IdentityProviderSettings,
    pub(super) metadata: &'a Metadata,
    pub(super) outbound: &'a Outbound,
    pub(super) now: Timestamp,
}

impl Speaking<'_> {
    /// `POST` to the token endpoint as our client there. Never sends `resource`.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::ClientSecret`], [`UpstreamError::Unreachable`]
    pub(super) async fn token(&self, fields: &[(&str, &str)]) -> Result<Answer, UpstreamError> {
        let client_id = self.settings.client_id.as_str();
        let secret = match &self.settings.client_secret {
            Some(secret) => Some(secret.read().await.map_err(UpstreamError::ClientSecret)?),
            None => None,
        };
        let secret = secret.as_ref();
        let mut fields = fields.to_vec();
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
        Ok(self.outbound.send(call, LIMITS).await?)
    }

    pub(super) async fn userinfo(
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

    pub(super) fn expected<'a>(&'a self, nonce: Option<&'a str>) -> Expected<'a> {
        Expected {
            issuer: &self.settings.issuer,
            client_id: self.settings.client_id.as_str(),
            nonce,
            now: self.now,
        }
    }

    /// With what the ID token leaves to userinfo: many providers keep profile and groups out of it (OIDC Core §5.4).
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] where userinfo does not answer; [`UpstreamError::IdToken`] where it is about somebody else (OIDC
    /// Core §5.3.2).
    pub(super) async fn completed(
        &self,
        mut claims: Map<String, Value>,
        url: &Url,
        token: &SecretText,
    ) -> Result<Map<String, Value>, (Map<String, Value>, UpstreamError)> {
        let more = match self.userinfo(url, token).await {
            Ok(more) => more,
            Err(error) => return Err((claims, error)),
        };
        let subject = claims.get("sub").filter(|subject| subject.is_string());
        if subject.is_none() || subject != more.get("sub") {
            return Err((claims, UpstreamError::IdToken("sub")));
        }
        self.settings.complete(&mut claims, &more);
        Ok(claims)
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

pub(super) fn parsed<T: for<'de> Deserialize<'de>>(
    endpoint: &'static str,
    answer: &Answer,
) -> Result<T, UpstreamError> {
    if answer.status != StatusCode::OK {
        return Err(UpstreamError::Status { endpoint, status: answer.status.as_u16() });
    }
    serde_json::from_slice(&answer.body).map_err(|_| UpstreamError::Answer { endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let value = basic("a:b", &"c d%é".to_owned().into());
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a%3Ab:c+d%25%C3%A9");
    }
}
