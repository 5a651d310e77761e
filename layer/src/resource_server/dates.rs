//! When a token counts: `exp`, `nbf` and `iat` (RFC 7519 §4.1), with bounded skew.

use std::time::Duration;

use crate::time::Timestamp;

use super::claims::{Circumstances, Claims};
use super::error::TokenError;

/// Checks `exp`, `nbf` and `iat`; says when the token expires.
pub(super) fn check(
    claims: &Claims,
    skew: Duration,
    at: &Circumstances,
) -> Result<Timestamp, TokenError> {
    let expires_at = match (date(claims, "exp")?, at.without_exp) {
        (Some(exp), _) => exp,
        (None, Some(assumed)) => assumed,
        (None, None) => return Err(TokenError::ClaimsInvalid),
    };
    if at.now >= expires_at.plus(skew) {
        return Err(TokenError::Expired);
    }
    let latest = at.now.plus(skew);
    for name in ["nbf", "iat"] {
        if date(claims, name)?.is_some_and(|start| start > latest) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(expires_at)
}

/// A `NumericDate` (RFC 7519 §2): whole or fractional seconds between 1970 and 9999.
fn date(claims: &Claims, name: &str) -> Result<Option<Timestamp>, TokenError> {
    const YEAR_10000: i64 = 253_402_300_800;
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        let sane = (0..YEAR_10000).contains(&seconds);
        return if sane {
            Ok(Some(Timestamp::from_unix_seconds(seconds)))
        } else {
            Err(TokenError::ClaimsInvalid)
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let end = YEAR_10000 as f64;
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 10000 just here")]
        Some(seconds) if (0.0..end).contains(&seconds) => {
            Ok(Some(Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
        }
        Some(_) | None => Err(TokenError::ClaimsInvalid),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource_server::claims::tests::{NOW, refused};

    // N72
    #[test]
    fn dates_must_be_sane_numbers() {
        for bad in [
            json!("1795000060"),
            json!(1e30),
            json!(-1),
            json!(-1.5),
            json!(true),
            json!(253_402_300_800_i64),
            json!(u64::MAX),
        ] {
            for name in ["exp", "nbf", "iat"] {
                assert_eq!(
                    refused(json!({ name: bad })),
                    Some(TokenError::ClaimsInvalid),
                    "{name} {bad}"
                );
            }
        }
        assert_eq!(refused(json!({"exp": null})), Some(TokenError::ClaimsInvalid));
        assert_eq!(refused(json!({"exp": 1_795_000_000.5})), None);
    }

    // N72
    #[test]
    fn skew_is_thirty_seconds_and_no_more() {
        assert_eq!(refused(json!({"exp": NOW - 29})), None);
        assert_eq!(refused(json!({"exp": NOW - 30})), Some(TokenError::Expired));
        for name in ["nbf", "iat"] {
            assert_eq!(refused(json!({ name: NOW + 30 })), None);
            assert_eq!(refused(json!({ name: NOW + 31 })), Some(TokenError::NotYetValid), "{name}");
        }
    }
}
