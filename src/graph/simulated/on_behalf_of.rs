//! The on-behalf-of grant of the simulated token endpoint: errors as Entra words them.
//!
//! Nobody lives in this tenant, so no assertion was signed by it: what one says is read, and its signature is not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::login::Refusal;
use super::{CLIENT_ID, RESOURCE, Server};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What it takes to get this permission here, as Conditional Access would: a token with the authentication context `c1`.
const PROTECTED: &str = "Mail.Send";
/// With which the client is to ask for a token that has it.
pub(super) const CLAIMS: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
pub(super) const INTERACTION_REQUIRED: u32 = 50076;

#[derive(Deserialize)]
struct Said {
    aud: String,
    exp: i64,
    oid: Option<String>,
    idtyp: Option<String>,
    #[serde(default)]
    acrs: Vec<String>,
}

/// Checks everything of the request but who the app is.
pub(super) fn check(form: &BTreeMap<String, String>, server: &Server) -> Result<(), Refusal> {
    const MISSING: &str = "The request body must contain 'assertion' and 'requested_token_use'.";
    let field = |name: &str| form.get(name).map(String::as_str);
    let (Some(assertion), Some("on_behalf_of")) =
        (field("assertion"), field("requested_token_use"))
    else {
        return Err((400, "invalid_request", 900_144, MISSING));
    };
    let said = read(assertion).ok_or((
        400,
        "invalid_grant",
        50013,
        "Assertion failed signature validation.",
    ))?;
    if said.aud != CLIENT_ID && said.aud != format!("api://{CLIENT_ID}") {
        let text = "Assertion audience does not match the Client app presenting the assertion.";
        return Err((400, "invalid_grant", 500_131, text));
    }
    if said.exp <= server.clock.now().unix_seconds() {
        return Err((
            400,
            "invalid_grant",
            500_133,
            "Assertion is not within its valid time range.",
        ));
    }
    if said.oid.is_none() || said.idtyp.as_deref() == Some("app") {
        let text = "Application is not allowed to make application on-behalf-of calls.";
        return Err((400, "invalid_grant", 7_000_114, text));
    }
    let mut scopes = field("scope").unwrap_or_default().split(' ').peekable();
    let of_graph = |scope: &str| {
        let permission = scope.strip_prefix(RESOURCE).and_then(|rest| rest.strip_prefix('/'));
        permission.is_some() || ["openid", "profile", "offline_access"].contains(&scope)
    };
    if scopes.peek().is_none_or(|first| first.is_empty()) || !scopes.clone().all(of_graph) {
        return Err((
            400,
            "invalid_scope",
            70011,
            "The provided request must include a 'scope' input parameter.",
        ));
    }
    if scopes.any(|scope| scope.ends_with(PROTECTED)) && !said.acrs.iter().any(|acr| acr == "c1") {
        let text = "You must use multi-factor authentication to access the resource.";
        return Err((400, "interaction_required", INTERACTION_REQUIRED, text));
    }
    Ok(())
}

fn read(assertion: &str) -> Option<Said> {
    let mut parts = assertion.split('.');
    let (_, Some(payload), Some(_), None) =
        (parts.next()?, parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
