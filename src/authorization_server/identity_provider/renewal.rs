//! Asking a provider again about somebody who logged in there (RFC 6749 §6, OIDC Core §12).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::outbound::Answer;
use crate::secret_text::SecretText;
use crate::store::ExternalIdentity;

use super::UpstreamError;
use super::discovery::Who;
use super::speaking::{Speaking, TokenAnswer, parsed};

/// What a provider gave.
#[derive(Debug)]
pub(crate) struct GivenTokens {
    /// To ask it again with. `None`: it gave no other.
    pub(crate) refresh_token: Option<SecretText>,
    /// Verified where what was said with it is.
    pub(crate) id_token: Option<SecretText>,
}

/// It took the token that it was asked with.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) given: GivenTokens,
    /// What it says of the person now: [`UpstreamError::NotRequired`] where they would not be let in any more.
    pub(crate) said: Result<ExternalIdentity, UpstreamError>,
}

/// RFC 6749 §5.2
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// With these a provider says that the person is gone, or has to come themselves: what they had granted is over (RFC 6749
/// §5.2, OIDC Core §3.1.2.6; the last is GitHub's). Every other is about us, and may pass.
const ENDED: [&str; 5] = [
    "invalid_grant",
    "interaction_required",
    "login_required",
    "consent_required",
    "bad_refresh_token",
];

impl Speaking<'_> {
    /// Asks again. `scope` is not sent: what was granted stays what it is.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Ended`]; others where there was no answer
    pub(super) async fn renew(&self, refresh_token: &SecretText) -> Result<Renewed, UpstreamError> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let answer = self.token(&fields).await?;
        if is_end(&answer) {
            return Err(UpstreamError::Ended);
        }
        let answer: TokenAnswer = parsed("token", &answer)?;
        if answer.error.is_some() {
            return Err(UpstreamError::Status { endpoint: "token", status: 200 });
        }
        let claims = self.claims(answer.id_token.as_ref(), answer.access_token.as_ref()).await;
        let said = claims.and_then(|claims| self.settings.identity_again(&claims));
        let TokenAnswer { refresh_token, id_token, .. } = answer;
        let id_token = id_token.filter(|_| matches!(self.metadata.who, Who::IdToken(..)));
        Ok(Renewed { given: GivenTokens { refresh_token, id_token }, said })
    }

    /// All that is asked for at a log-in: where something is missing that userinfo has, it must answer, or who is still in a
    /// group, and who is not, would not be known.
    async fn claims(
        &self,
        id_token: Option<&SecretText>,
        access_token: Option<&SecretText>,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let access_token = access_token.ok_or(UpstreamError::Answer { endpoint: "token" });
        match (&self.metadata.who, id_token) {
            (Who::IdToken(keys, more), Some(token)) => {
                let token = keys.verify(token.expose()).await.map_err(UpstreamError::Signature)?;
                let claims = self.expected(None).check(token)?;
                match more {
                    Some(url) if self.settings.lacks_any(&claims) => {
                        let completed = self.completed(claims, url, access_token?).await;
                        completed.map_err(|(_, error)| error)
                    }
                    _ => Ok(claims),
                }
            }
            // OIDC Core §12.2: there need not be one. What the ID token of a log-in says, userinfo may not: then nothing was said.
            (Who::IdToken(_, Some(url)), None) => {
                let claims = self.userinfo(url, access_token?).await?;
                let whole = !self.settings.lacks_rights(&claims);
                whole.then_some(claims).ok_or(UpstreamError::Answer { endpoint: "userinfo" })
            }
            (Who::Userinfo(url), _) => self.userinfo(url, access_token?).await,
            (Who::IdToken(_, None), None) => Err(UpstreamError::Answer { endpoint: "token" }),
        }
    }
}

fn is_end(answer: &Answer) -> bool {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body);
    let ended = refusal.is_ok_and(|refusal| ENDED.contains(&refusal.error.as_str()));
    ended && matches!(answer.status.as_u16(), 200 | 400 | 401 | 403)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_person_ends_anything() {
        let says = |status: u16, body: &'static str| {
            let status = http::StatusCode::from_u16(status).unwrap();
            is_end(&Answer { status, headers: http::HeaderMap::new(), body: body.into() })
        };
        assert!(says(400, r#"{"error":"invalid_grant","error_description":"AADSTS50173"}"#));
        assert!(says(400, r#"{"error":"interaction_required","suberror":"basic_action"}"#));
        assert!(says(200, r#"{"error":"bad_refresh_token"}"#));
        for about_us in ["invalid_client", "unauthorized_client", "invalid_scope", "server_error"] {
            let body: &'static str = format!(r#"{{"error":"{about_us}"}}"#).leak();
            assert!(!says(400, body), "{about_us}");
        }
        assert!(!says(503, r#"{"error":"invalid_grant"}"#), "whoever answers for it");
        assert!(!says(400, "invalid_grant") && !says(404, r#"{"error":"invalid_grant"}"#));
    }
}
