//! A signed JWT in its compact form (RFC 7515 §7.1), taken apart strictly and trusted in nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::json;

const MAX_HEADER: usize = 4096;

/// A token whose signature nobody has checked yet.
pub(super) struct UnverifiedJwt<'a> {
    /// What was signed: header and payload as they came.
    pub(super) signed: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// Lower case, without the `application/` prefix; empty where the header names none.
    pub(super) typ: String,
    pub(super) claims: Map<String, Value>,
    pub(super) signature: Vec<u8>,
}

/// What a token looks like.
pub(super) enum Form<'a> {
    Jwt(Box<UnverifiedJwt<'a>>),
    /// Anything that has no JOSE header: only its issuer can read it.
    Opaque,
}

/// Takes a token apart. `jku`, `x5u`, `jwk` and `x5c` are not looked at: keys come from configuration.
///
/// # Errors
///
/// - [`TokenError::Malformed`]: bad base64url or JSON, repeated members, `crit`, `b64`, `zip`, `enc`, a nested JWT, an
///   oversized header
/// - [`TokenError::AlgorithmNotAllowed`]: `none` and every other `alg` we do not know
pub(super) fn parse(unverified: &str) -> Result<Form<'_>, TokenError> {
    let mut parts = unverified.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(Form::Opaque);
    };
    let Some(header_bytes) = decode(header) else { return Ok(Form::Opaque) };
    if header_bytes.first() != Some(&b'{') {
        return Ok(Form::Opaque);
    }
    if header_bytes.len() > MAX_HEADER {
        return Err(TokenError::Malformed);
    }
    let header_members = json::object(&header_bytes).ok_or(TokenError::Malformed)?;
    refuse_extensions(&header_members)?;
    let algorithm = json::text(&header_members, "alg").ok_or(TokenError::Malformed)?;
    let algorithm = algorithm.parse().map_err(|_| TokenError::AlgorithmNotAllowed)?;
    let claims = decode(payload).and_then(|bytes| json::object(&bytes));
    let signed_length = header.len().saturating_add(payload.len()).saturating_add(1);
    Ok(Form::Jwt(Box::new(UnverifiedJwt {
        signed: unverified.get(..signed_length).ok_or(TokenError::Malformed)?,
        algorithm,
        kid: optional_text(&header_members, "kid")?.map(str::to_owned),
        typ: media_type(optional_text(&header_members, "typ")?.unwrap_or_default()),
        claims: claims.ok_or(TokenError::Malformed)?,
        signature: decode(signature).ok_or(TokenError::Malformed)?,
    })))
}

/// A `typ` as it is compared: without case and with `application/` implied (RFC 7515 §4.1.9).
pub(super) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map_or_else(|| typ.clone(), str::to_owned)
}

/// Extensions that change what the token means (RFC 7515 §4.1.11, RFC 7797 §6, RFC 7519 §5.2).
fn refuse_extensions(header: &Map<String, Value>) -> Result<(), TokenError> {
    let nested = header.get("cty").is_some();
    if nested || ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
        return Err(TokenError::Malformed);
    }
    Ok(())
}

fn optional_text<'a>(
    header: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Malformed),
    }
}

/// Without padding, and without stray bits: one value has one spelling.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(header: &str, payload: &str) -> Result<&'static str, TokenError> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        match parse(&format!("{}.{}.AAAA", encode(header), encode(payload)))? {
            Form::Jwt(_) => Ok("jwt"),
            Form::Opaque => Ok("opaque"),
        }
    }

    // N67
    #[test]
    fn an_unknown_algorithm_is_refused_before_anything_else() {
        for alg in ["none", "None", "NONE", "rs256", "ES512", "A128KW", "HS384", ""] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(outcome(&header, "{}"), Err(TokenError::AlgorithmNotAllowed), "{alg}");
        }
        assert_eq!(outcome("{}", "{}"), Err(TokenError::Malformed));
    }

    // N70
    #[test]
    fn extensions_nesting_and_repeated_members_are_refused() {
        for header in [
            r#"{"alg":"ES256","crit":["exp"]}"#,
            r#"{"alg":"ES256","crit":[]}"#,
            r#"{"alg":"ES256","b64":false}"#,
            r#"{"alg":"ES256","cty":"JWT"}"#,
            r#"{"alg":"ES256","zip":"DEF"}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256""#,
        ] {
            assert_eq!(outcome(header, "{}"), Err(TokenError::Malformed), "{header}");
        }
        let huge = format!(r#"{{"alg":"ES256","x":"{}"}}"#, "a".repeat(MAX_HEADER));
        assert_eq!(outcome(&huge, "{}"), Err(TokenError::Malformed));
        for payload in [r#"{"aud":"a","aud":"b"}"#, "eyJhbGciOiJub25lIn0.e30.", "[]"] {
            assert_eq!(outcome(r#"{"alg":"ES256"}"#, payload), Err(TokenError::Malformed));
        }
    }

    #[test]
    fn one_token_has_one_spelling() {
        // `AB` carries four stray bits: it would decode to the same byte as `AA`.
        assert!(matches!(parse("eyJhbGciOiJFUzI1NiJ9.e30.AB"), Err(TokenError::Malformed)));
        assert!(matches!(parse("eyJhbGciOiJFUzI1NiJ9.e30.AA=="), Err(TokenError::Malformed)));
        assert!(matches!(parse("eyJhbGciOiJFUzI1NiJ9.e30.AA"), Ok(Form::Jwt(_))));
    }

    #[test]
    fn a_token_without_a_jose_header_is_opaque() {
        for token in ["abc", "a.b.c", "a.b", "a.b.c.d.e", "Zm9v.Zm9v.Zm9v", ".."] {
            assert!(matches!(parse(token), Ok(Form::Opaque)), "{token}");
        }
    }
}
