//! What `/introspect` says, signed for whoever asks (RFC 9701): a server can keep it as proof of what it was told.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::id::Issuer;

use super::access_token::MintError;
use super::error::{OAuthError, json_headers};
use super::keys::{SigningAlgorithm, TokenType};
use super::server::AuthorizationServer;

const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// RFC 9701 §5. Neither `sub` nor `exp`: so nothing takes it for another JWT of ours (§8.1).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a Issuer,
    aud: &'a str,
    iat: i64,
    token_introspection: &'a Map<String, Value>,
}

/// Whether the request's `Accept` names such an answer (RFC 9701 §4), and does not like plain JSON better.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let liked = |wanted: &str| {
        let all = accepted.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next()?.eq_ignore_ascii_case(wanted);
            named.then(|| weight(parts))
        });
        all.fold(None::<f32>, |best, next| Some(best.map_or(next, |best| best.max(next))))
    };
    let signed = liked(MEDIA_TYPE).unwrap_or_default();
    signed > 0.0 && signed >= liked("application/json").unwrap_or_default()
}

/// `q` (RFC 9110 §12.4.2); 1 where it is not there, 0 where it is no number.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let stated = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    stated.map_or(1.0, |value| value.parse().unwrap_or_default())
}

/// The answer of `body` for `audience` alone, and its headers.
///
/// # Errors
///
/// [`OAuthError::Mint`]
pub(super) fn sign(
    server: &AuthorizationServer,
    (audience, algorithm): (&str, SigningAlgorithm),
    body: &[u8],
) -> Result<([(HeaderName, HeaderValue); 3], Bytes), OAuthError> {
    let answer: Map<String, Value> = serde_json::from_slice(body).map_err(|_| MintError::Sign)?;
    let claims = Claims {
        iss: &server.settings.issuer,
        aud: audience,
        iat: server.clock.now().unix_seconds(),
        token_introspection: &answer,
    };
    let keys = server.keys.current();
    let key = keys.signing_with(algorithm).ok_or(MintError::NoKey)?;
    let signed = key.jwt(TokenType::Introspection, &claims)?;
    let mut headers = json_headers();
    if let Some((_, kind)) = headers.iter_mut().find(|(name, _)| *name == header::CONTENT_TYPE) {
        *kind = HeaderValue::from_static(MEDIA_TYPE);
    }
    Ok((headers, Bytes::from(signed.expose().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9701 §4, RFC 9110 §12.5.1
    #[test]
    fn it_is_signed_for_who_names_it_and_not_for_who_takes_anything() {
        let wanted = |accept: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            is_wanted(&headers)
        };
        for yes in [
            &["application/token-introspection+jwt"][..],
            &["Application/Token-Introspection+JWT; q=0.5"],
            &["text/html, application/token-introspection+jwt;q=1, application/json"],
            &["application/json;q=0.2", "application/token-introspection+jwt"],
        ] {
            assert!(wanted(yes), "{yes:?}");
        }
        for no in [
            &[][..],
            &["*/*"],
            &["application/*"],
            &["application/json"],
            &["application/jwt"],
            &["application/token-introspection+jwt;q=0"],
            &["application/token-introspection+jwt;q=x"],
            &["application/token-introspection+jwt;q=0.5, application/json"],
        ] {
            assert!(!wanted(no), "{no:?}");
        }
    }
}
