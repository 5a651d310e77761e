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
    /// What was granted, else what was asked for; joined by spaces.
    pub(super) scope: Option<String>,
    /// What the server said was missing since then.
    pub(super) missing: Option<String>,
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
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    missing: Option<String>,
    ends: i64,
}

impl Kept {
    /// Of an account that is connected, having been asked for `scope`.
    pub(super) fn new(
        (issuer, server_url): (&str, &str),
        granted: Granted,
        scope: Option<String>,
        asked_at: Timestamp,
    ) -> Self {
        let (issuer, server_url) = (issuer.to_owned(), server_url.to_owned());
        Self::of((issuer, server_url), granted, (None, scope, None), asked_at)
    }

    /// The same account with the tokens that it was renewed with. The refresh token is used on where no new one came, and the
    /// scope is the same where none is named (RFC 6749 §5.1, §6).
    pub(super) fn renewed(&self, granted: Granted, asked_at: Timestamp) -> Self {
        let Self { issuer, server_url, refresh_token, scope, missing, .. } = self.clone();
        Self::of((issuer, server_url), granted, (refresh_token, scope, missing), asked_at)
    }

    fn of(
        (issuer, server_url): (String, String),
        granted: Granted,
        (before, scope, missing): (Option<SecretText>, Option<String>, Option<String>),
        asked_at: Timestamp,
    ) -> Self {
        let lasts = match (&granted.refresh_token, &before) {
            (None, None) => granted.lasts_alone(),
            _ => Some(granted.lasts()),
        };
        let ends = lasts.map_or(NEVER, |lasts| asked_at.plus(lasts));
        let refresh_token = granted.refresh_token.or(before);
        let (scope, access_token) = (granted.scope.or(scope), granted.access_token);
        Self { issuer, server_url, access_token, refresh_token, scope, missing, ends }
    }

    /// What a step-up must not lose, and what it is for (MCP authorization, step-up).
    pub(super) fn wanted(&self) -> Option<String> {
        joined(self.scope.as_deref(), self.missing.as_deref())
    }

    pub(super) fn left(&self, now: Timestamp) -> Duration {
        self.ends.since(now)
    }
}

/// Every scope of both, once.
pub(super) fn joined(some: Option<&str>, others: Option<&str>) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for one in [some, others].into_iter().flatten().flat_map(|scopes| scopes.split(' ')) {
        if !one.is_empty() && !all.contains(&one) {
            all.push(one);
        }
    }
    (!all.is_empty()).then(|| all.join(" "))
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
            scope: kept.scope.clone(),
            missing: kept.missing.clone(),
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
            scope: text.scope,
            missing: text.missing,
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

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn a_step_up_adds_what_was_missing_once() {
        let all = |scope: &str| Some(scope.to_owned());
        assert_eq!(joined(Some("a b"), Some("b c")), all("a b c"));
        assert_eq!(joined(None, Some("c")), all("c"));
        assert_eq!(joined(Some("a"), None), all("a"));
        assert_eq!(joined(None, Some("")), None);
    }
}
