//! What a token says of itself, whoever made it: for people who look for what is wrong with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The members that checks look at; others may be personal and decide nothing.
const HEADER: [&str; 3] = ["alg", "typ", "kid"];
const CLAIMS: [&str; 14] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "azp",
    "appid",
    "scope",
    "scp",
    "roles",
    "iat",
    "nbf",
    "exp",
    "jti",
    "cnf",
];

/// Those members of a JWT (RFC 7519 §7.2), nothing of which was checked. `None` for a token of another form. Never its
/// signature, so that what is printed is no token.
pub(super) fn read(unverified: &str) -> Option<Map<String, Value>> {
    let mut parts = unverified.split('.');
    let (header, claims) = (object(parts.next()?)?, object(parts.next()?)?);
    let of = |from: Map<String, Value>, names: &[&str]| -> Vec<(String, Value)> {
        from.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
    };
    Some(of(header, &HEADER).into_iter().chain(of(claims, &CLAIMS)).collect())
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
