//! What a provider gave, as it is kept: sealed, to open beside its person and issuer alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authorization_server::identity_provider::{GivenTokens, UpstreamError};
use crate::authorization_server::seal::KeyEncryptionKey;
use crate::id::UserId;
use crate::secret_text::SecretText;
use crate::store::{ExternalIdentity, ProviderTokensRow};
use crate::time::Timestamp;

/// An ID token that ends sooner could have ended by the time that somebody reads it.
const LASTS: i64 = 60;

/// With what a provider is asked about one person.
#[derive(Debug)]
pub(super) struct Kept {
    /// Who that is there: an answer about anybody else counts for nothing.
    subject: String,
    /// Ours there, as which it was given: to any other one a provider says that it is invalid, which is no word on the person.
    client_id: String,
    pub(super) refresh_token: SecretText,
    /// The last one, verified when it came.
    pub(super) id_token: Option<SecretText>,
    /// When it was last asked it took the token, and what it said of the person was of no use.
    silent: bool,
}

#[derive(Serialize, Deserialize)]
struct Text {
    subject: String,
    client_id: String,
    refresh_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(default)]
    silent: bool,
}

impl Kept {
    pub(super) fn new(
        (subject, client_id): (&str, &str),
        (refresh_token, id_token): (SecretText, Option<SecretText>),
    ) -> Self {
        let (subject, client_id) = (subject.to_owned(), client_id.to_owned());
        Self { subject, client_id, refresh_token, id_token, silent: false }
    }

    /// Whether this client of ours can ask with it.
    pub(super) fn is_of(&self, client_id: &str) -> bool {
        self.client_id == client_id
    }

    /// With what it gave for it. The refresh token is used on where no new one came (RFC 6749 §6); of an answer that was not
    /// acceptable the ID token is not either. Where none came the one before stays, ended as it may be: it says that there was one.
    pub(super) fn renewed(self, given: GivenTokens, heard: bool) -> Self {
        let refresh_token = given.refresh_token.unwrap_or(self.refresh_token);
        let id_token = given.id_token.filter(|_| heard).or(self.id_token);
        Self { refresh_token, id_token, ..self }
    }

    /// With whether it says anything of use when it is asked with this.
    pub(super) fn silent_if(self, silent: bool) -> Self {
        Self { silent, ..self }
    }

    /// Whether to ask it again changes nothing.
    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether the ID token is good for a while.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        let claims = self.id_token.as_ref().and_then(|token| token.expose().split('.').nth(1));
        let claims = claims.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims = claims.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let ends = claims.and_then(|claims| claims.get("exp")?.as_i64());
        ends.is_some_and(|ends| ends >= now.unix_seconds().saturating_add(LASTS))
    }

    /// What was said, if it is about this person (OIDC Core §12.2).
    ///
    /// # Errors
    ///
    /// [`UpstreamError::IdToken`]
    pub(super) fn about(&self, said: ExternalIdentity) -> Result<ExternalIdentity, UpstreamError> {
        if said.subject == self.subject { Ok(said) } else { Err(UpstreamError::IdToken("sub")) }
    }

    /// `None` never happens: AES-256-GCM seals whatever fits into memory.
    pub(super) fn seal(
        &self,
        key: &KeyEncryptionKey,
        user_id: UserId,
        issuer: &str,
    ) -> Option<String> {
        let text = Text {
            subject: self.subject.clone(),
            client_id: self.client_id.clone(),
            refresh_token: self.refresh_token.expose().to_owned(),
            id_token: self.id_token.as_ref().map(|token| token.expose().to_owned()),
            silent: self.silent,
        };
        let text = serde_json::to_string(&text).map(SecretText::new).ok()?;
        key.seal_text(text.expose(), &provider_tokens_context(&user_id.to_string(), issuer))
    }

    /// `None` where the key is another, or something was changed.
    pub(super) fn open(key: &KeyEncryptionKey, row: &ProviderTokensRow) -> Option<Self> {
        let context = provider_tokens_context(&row.user_id.to_string(), &row.issuer);
        let text = key.open_text(&row.sealed, &context).map(SecretText::new)?;
        let text: Text = serde_json::from_str(text.expose()).ok()?;
        let tokens = (SecretText::new(text.refresh_token), text.id_token.map(SecretText::new));
        let kept = Self::new((&text.subject, &text.client_id), tokens);
        Some(kept.silent_if(text.silent))
    }
}

/// One person's tokens do not open as another's, nor those of one provider as another's.
#[must_use]
pub fn provider_tokens_context(user_id: &str, issuer: &str) -> String {
    format!("provider tokens {user_id} {issuer}")
}
