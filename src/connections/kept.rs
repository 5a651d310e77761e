//! The tokens of one account as they are kept: sealed, to open beside their owner and server alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::oauth_client::Granted;
use crate::secret_text::SecretText;
use crate::store::UpstreamAccountRow;
use crate::time::Timestamp;

use super::{ConnectionError, Connections};

/// Where nobody says when: the server does, with a 401.
const NEVER: Timestamp = Timestamp::from_unix_millis(i64::MAX);

/// What one account is used with.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Whose tokens they are: no other authorization server is ever shown them.
    pub(super) issuer: String,
    /// Where the server was that they are for: no other place is ever shown them. Empty: kept by a version that did not
    /// say.
    pub(super) server_url: String,
    pub(super) access_token: SecretText,
    pub(super) refresh_token: Option<SecretText>,
    /// Not used any more from then on.
    pub(super) ends: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Text {
    issuer: String,
    #[serde(default)]
    server_url: String,
    access_token: String,
    refresh_token: Option<String>,
    ends: i64,
}

impl Kept {
    /// `before`: the refresh token that is used on where no new one came (RFC 6749 §6).
    pub(super) fn new(
        (issuer, server_url): (&str, &str),
        granted: Granted,
        before: Option<SecretText>,
        asked_at: Timestamp,
    ) -> Self {
        let lasts = match (&granted.refresh_token, &before) {
            (None, None) => granted.lasts_alone(),
            _ => Some(granted.lasts()),
        };
        let ends = lasts.map_or(NEVER, |lasts| asked_at.plus(lasts));
        let refresh_token = granted.refresh_token.or(before);
        let (issuer, server_url) = (issuer.to_owned(), server_url.to_owned());
        Self { issuer, server_url, access_token: granted.access_token, refresh_token, ends }
    }

    pub(super) fn left(&self, now: Timestamp) -> Duration {
        self.ends.since(now)
    }
}

impl Connections {
    pub(super) fn seal(
        &self,
        (user_id, server): (UserId, &str),
        kept: &Kept,
    ) -> Result<String, ConnectionError> {
        let text = Text {
            issuer: kept.issuer.clone(),
            server_url: kept.server_url.clone(),
            access_token: kept.access_token.expose().to_owned(),
            refresh_token: kept.refresh_token.as_ref().map(|token| token.expose().to_owned()),
            ends: kept.ends.unix_millis(),
        };
        let text = serde_json::to_string(&text).map(SecretText::new);
        let text = text.map_err(|_| ConnectionError::Sealed)?;
        let sealed = (self.0.parts.seal)(text.expose(), &context(user_id, server));
        sealed.ok_or(ConnectionError::Sealed)
    }

    pub(super) fn open(&self, row: &UpstreamAccountRow) -> Result<Kept, ConnectionError> {
        let context = context(row.user_id, &row.server);
        let text = (self.0.parts.open)(&row.sealed, &context).map(SecretText::new);
        let text = text.ok_or(ConnectionError::Sealed)?;
        let text: Text =
            serde_json::from_str(text.expose()).map_err(|_| ConnectionError::Sealed)?;
        Ok(Kept {
            issuer: text.issuer,
            server_url: text.server_url,
            access_token: SecretText::new(text.access_token),
            refresh_token: text.refresh_token.map(SecretText::new),
            ends: Timestamp::from_unix_millis(text.ends),
        })
    }
}

/// One person's tokens do not open as another's, nor those of one server as another's.
fn context(user_id: UserId, server: &str) -> String {
    account_context(&user_id.to_string(), server)
}

/// The same, as the row has it.
#[must_use]
pub fn account_context(user_id: &str, server: &str) -> String {
    format!("upstream account {user_id} {server}")
}
