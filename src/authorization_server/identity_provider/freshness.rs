//! How recently somebody must have proved who they are, and whether a provider says that they did (OIDC Core §3.1.2.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

use super::UpstreamError;
use super::id_token::SKEW_SECONDS;

/// What an authorization request asks of the login that answers it. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freshness {
    /// `prompt=login`: prove it again, whatever the provider remembers.
    pub(crate) login: bool,
    pub(crate) select_account: bool,
    /// Seconds.
    pub(crate) max_age: Option<u32>,
    /// When the authorization request came, in seconds since the epoch.
    pub(crate) requested_at: i64,
}

impl Freshness {
    /// What the provider is asked. `max_age` is there beside `prompt=login` because it obliges it to say `auth_time`.
    ///
    /// With `consent`, the person is asked what is granted, too: else Google gives a refresh token the first time alone.
    pub(super) fn parameters(self, consent: bool) -> Vec<(&'static str, String)> {
        let prompt = match (self, consent) {
            (Self { login: true, .. }, false) => Some("login"),
            (Self { login: true, .. }, true) => Some("login consent"),
            (Self { select_account: true, .. }, false) => Some("select_account"),
            (Self { select_account: true, .. }, true) => Some("select_account consent"),
            (_, false) => None,
            (_, true) => Some("consent"),
        };
        let max_age = if self.login { Some(0) } else { self.max_age };
        let prompt = prompt.map(|prompt| ("prompt", prompt.to_owned()));
        prompt.into_iter().chain(max_age.map(|most| ("max_age", most.to_string()))).collect()
    }

    /// The earliest login that will do; `None`: any. Choosing an account proves nothing, so it needs none.
    pub(super) fn earliest(self) -> Option<i64> {
        let again = self.login.then_some(self.requested_at);
        let aged = self.max_age.map(|most| self.requested_at.saturating_sub(i64::from(most)));
        again.max(aged)
    }

    /// When they proved who they are, as the claims of a verified ID token say: `None` where they do not, which counts
    /// as never, not as now.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::IdToken`] for a time to come, [`UpstreamError::NotFresh`] where a fresh login was asked for and
    /// is not proven
    pub(super) fn proven(
        self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, UpstreamError> {
        let now = now.unix_seconds();
        let said = claims.get("auth_time").and_then(Value::as_i64);
        if said.is_some_and(|said| said > now.saturating_add(SKEW_SECONDS)) {
            return Err(UpstreamError::IdToken("auth_time"));
        }
        let Some(earliest) = self.earliest() else {
            return Ok(said.map(|said| Timestamp::from_unix_seconds(said.min(now))));
        };
        // Their clock may be behind ours by the skew; what we keep is by ours.
        let said = said.filter(|said| *said >= earliest.saturating_sub(SKEW_SECONDS));
        let said = said.ok_or(UpstreamError::NotFresh)?;
        Ok(Some(Timestamp::from_unix_seconds(said.max(earliest).min(now))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn proven(asked: Freshness, auth_time: &Value) -> Result<Option<i64>, String> {
        let claims = json!({ "auth_time": auth_time });
        let now = Timestamp::from_unix_seconds(NOW);
        let proven = asked.proven(claims.as_object().unwrap(), now);
        proven.map(|time| time.map(Timestamp::unix_seconds)).map_err(|error| error.to_string())
    }

    // OIDC Core §3.1.2.1 — N28
    #[test]
    fn a_login_is_as_old_as_the_provider_says_and_never_younger() {
        let nothing = Freshness::default();
        let again = Freshness { login: true, requested_at: NOW - 100, ..nothing };
        let aged = Freshness { max_age: Some(600), requested_at: NOW - 100, ..nothing };
        assert_eq!(proven(nothing, &json!(NOW - 9000)), Ok(Some(NOW - 9000)));
        for unknown in [Value::Null, json!("1800000000"), json!(1.5)] {
            assert_eq!(proven(nothing, &unknown), Ok(None), "{unknown}");
            assert!(proven(again, &unknown).is_err() && proven(aged, &unknown).is_err());
        }
        assert_eq!(proven(again, &json!(NOW - 10)), Ok(Some(NOW - 10)));
        assert_eq!(proven(again, &json!(NOW - 130)), Ok(Some(NOW - 100)), "within the skew");
        assert!(proven(again, &json!(NOW - 161)).is_err());
        assert_eq!(proven(aged, &json!(NOW - 700)), Ok(Some(NOW - 700)));
        assert!(proven(aged, &json!(NOW - 761)).is_err());
    }

    #[test]
    fn a_login_to_come_is_refused() {
        for asked in [Freshness::default(), Freshness { login: true, ..Freshness::default() }] {
            assert_eq!(proven(asked, &json!(NOW + 60)), Ok(Some(NOW)));
            assert!(proven(asked, &json!(NOW + 61)).is_err());
        }
    }

    #[test]
    fn a_provider_is_asked_for_no_more_than_the_client_asked_for() {
        let parameters = |login, select_account, max_age, consent| {
            let asked = Freshness { login, select_account, max_age, requested_at: NOW };
            let parameters = asked.parameters(consent).into_iter();
            parameters.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        assert_eq!(parameters(false, false, None, false), "");
        assert_eq!(parameters(true, true, Some(60), false), "prompt=login&max_age=0");
        assert_eq!(parameters(false, true, None, false), "prompt=select_account");
        assert_eq!(parameters(false, false, Some(60), false), "max_age=60");
        assert_eq!(parameters(false, false, None, true), "prompt=consent");
        assert_eq!(parameters(true, false, None, true), "prompt=login consent&max_age=0");
    }
}
