//! From the code in a callback to who logged in.

use serde_json::{Map, Value};
use url::Url;

use crate::secret_text::SecretText;

use super::discovery::Who;
use super::renewal::GivenTokens;
use super::speaking::{Speaking, TokenAnswer, parsed};
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

/// One exchange: what was remembered when the login began.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) with: Speaking<'a>,
    pub(super) redirect_uri: &'a Url,
    pub(super) nonce: &'a str,
    pub(super) code_verifier: &'a SecretText,
}

impl Exchange<'_> {
    /// What the provider says about the person, and what it gave to be asked again with.
    pub(super) async fn claims(
        &self,
        callback: &Callback,
    ) -> Result<(Map<String, Value>, GivenTokens), UpstreamError> {
        self.check_issuer(callback)?;
        if let Some(error) = &callback.error {
            return Err(UpstreamError::Refused(Refusal::of(error)));
        }
        let code = callback.code.as_ref();
        let code = code.ok_or(UpstreamError::Answer { endpoint: "authorization" })?;
        let answer = self.redeem(code).await?;
        let mut given =
            GivenTokens { refresh_token: answer.refresh_token, id_token: answer.id_token.clone() };
        match &self.with.metadata.who {
            Who::IdToken(keys, more) => {
                let token = answer.id_token.ok_or(UpstreamError::Answer { endpoint: "token" })?;
                let token = keys.verify(token.expose()).await.map_err(UpstreamError::Signature)?;
                let claims = self.with.expected(Some(self.nonce)).check(token)?;
                let claims = match (more, answer.access_token) {
                    (Some(url), Some(token)) if self.with.settings.lacks_any(&claims) => {
                        self.completed(claims, url, &token).await?
                    }
                    _ => claims,
                };
                Ok((claims, given))
            }
            Who::Userinfo(url) => {
                let token = answer.access_token;
                let token = token.ok_or(UpstreamError::Answer { endpoint: "token" })?;
                given.id_token = None; // nobody has verified it
                Ok((self.with.userinfo(url, &token).await?, given))
            }
        }
    }

    /// Where userinfo does not answer, the person is who they are: with groups that may be missing, so that what a rule
    /// denies by group may be theirs.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::IdToken`] where userinfo is about somebody else (OIDC Core §5.3.2).
    async fn completed(
        &self,
        claims: Map<String, Value>,
        url: &Url,
        token: &SecretText,
    ) -> Result<Map<String, Value>, UpstreamError> {
        match self.with.completed(claims, url, token).await {
            Ok(claims) => Ok(claims),
            Err((_, error @ UpstreamError::IdToken(_))) => Err(error),
            Err((mut claims, error)) => {
                let settings = self.with.settings;
                tracing::warn!(idp.id = settings.id, reason = %error, "userinfo cannot be read");
                // What is not said of roles is not known in any case.
                if settings.lacks_groups(&claims) {
                    claims.insert("hasgroups".to_owned(), Value::Bool(true));
                }
                Ok(claims)
            }
        }
    }

    /// Mix-up (RFC 9207 §2.4): whoever states an issuer must be the one that was asked, on errors too.
    fn check_issuer(&self, callback: &Callback) -> Result<(), UpstreamError> {
        match &callback.iss {
            Some(issuer) if *issuer == self.with.settings.issuer => Ok(()),
            None if !self.with.metadata.states_issuer => Ok(()),
            _ => Err(UpstreamError::WrongIssuer),
        }
    }

    /// RFC 6749 §4.1.3 with RFC 7636 §4.5.
    async fn redeem(&self, code: &SecretText) -> Result<TokenAnswer, UpstreamError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.code_verifier.expose()),
        ];
        let answer: TokenAnswer = parsed("token", &self.with.token(&fields).await?)?;
        match answer.error {
            Some(_) => Err(UpstreamError::Status { endpoint: "token", status: 200 }),
            None => Ok(answer),
        }
    }
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
}
