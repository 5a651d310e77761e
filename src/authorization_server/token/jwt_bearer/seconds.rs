//! The clock of an assertion (RFC 7523 §3, items 4 to 6; RFC 7519 §4.1).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::time::Timestamp;

/// How far two clocks may be apart.
pub(super) const SKEW: Duration = Duration::from_mins(1);

/// When an assertion was made and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A date in whole seconds. The outer `None`: it is there and is none.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn date(claims: &Map<String, Value>, name: &str) -> Option<Option<Timestamp>> {
    match claims.get(name) {
        None => Some(None),
        Some(date) => date.as_i64().map(Timestamp::from_unix_seconds).map(Some),
    }
}

impl Life {
    /// # Errors
    ///
    /// The claim that is missing or wrong: `exp` and `iat` must be there, and be `longest` apart at most.
    pub(super) fn read(
        claims: &Map<String, Value>,
        now: Timestamp,
        longest: Duration,
    ) -> Result<Self, &'static str> {
        let expires_at = date(claims, "exp").flatten().ok_or("exp")?;
        let issued_at = date(claims, "iat").flatten().ok_or("iat")?;
        let not_before = date(claims, "nbf").ok_or("nbf")?;
        if issued_at > now.plus(SKEW) {
            return Err("iat");
        }
        if not_before.is_some_and(|at| at > now.plus(SKEW)) {
            return Err("nbf");
        }
        if expires_at.plus(SKEW) <= now || expires_at > issued_at.plus(longest) {
            return Err("exp");
        }
        Ok(Self { issued_at, expires_at })
    }

    /// How long it must be remembered that it was used.
    pub(super) fn until(self) -> Timestamp {
        self.expires_at.plus(SKEW)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn read(claims: &Value) -> Result<(), &'static str> {
        let claims = claims.as_object().unwrap();
        let now = Timestamp::from_unix_seconds(NOW);
        Life::read(claims, now, Duration::from_mins(5)).map(drop)
    }

    // RFC 7523 §3 — N86
    #[test]
    fn clocks_count_at_both_edges_and_no_assertion_lives_long() {
        let at = |iat: i64, exp: i64| read(&json!({ "iat": NOW + iat, "exp": NOW + exp }));
        for (iat, exp) in [(0, 300), (60, 360), (-300, -59), (0, 1)] {
            assert_eq!(at(iat, exp), Ok(()), "{iat} {exp}");
        }
        assert_eq!(at(61, 300), Err("iat"));
        assert_eq!(at(-300, -60), Err("exp"), "at its end, and the skew with it");
        assert_eq!(at(0, 301), Err("exp"), "five minutes and a second");
    }

    // RFC 7519 §2, §4.1 — N86
    #[test]
    fn what_is_no_whole_number_of_seconds_is_no_date() {
        let good = json!({ "iat": NOW, "exp": NOW + 60 });
        for (name, wrong) in [
            ("exp", Value::Null),
            ("exp", json!("1800000060")),
            ("iat", json!(1.5)),
            ("iat", Value::Null),
            ("nbf", json!(NOW + 61)),
            ("nbf", json!("now")),
            ("exp", json!(u64::MAX)),
        ] {
            let mut claims = good.clone();
            claims[name] = wrong;
            assert_eq!(read(&claims), Err(name), "{claims}");
        }
        assert_eq!(read(&json!({ "iat": NOW })), Err("exp"));
        assert_eq!(read(&json!({ "exp": NOW + 60 })), Err("iat"));
    }
}
