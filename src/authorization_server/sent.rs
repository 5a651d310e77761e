//! What a client sent, as a refusal is explained by: names of parameters and how long their values are.

use axum::http::{HeaderMap, header};

use crate::audit::{Parameter, Sent};

use super::error::OAuthError;
use super::form::Form;

/// Those that a request can have here. Everything else is a caller's text.
const NAMES: [&str; 38] = [
    "grant_type",
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "prompt",
    "max_age",
    "acr_values",
    "login_hint",
    "ui_locales",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "refresh_token",
    "resource",
    "audience",
    "dpop_jkt",
    "request",
    "request_uri",
    "assertion",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "device_code",
    "token",
    "token_type_hint",
    "username",
    "password",
    "id_token_hint",
];

/// A person or an operator chose them: how long they are helps to guess them.
fn is_password(name: &str) -> bool {
    matches!(name, "client_secret" | "password")
}

/// What came to `endpoint`, and what is said about it.
pub(super) fn sent(
    endpoint: &'static str,
    error: &OAuthError,
    form: &Form,
    headers: &HeaderMap,
) -> Sent {
    let mut sent = of_form(endpoint, Some(error.description()), form);
    sent.rule = error.rule();
    sent.parameters.extend(of_headers(headers));
    sent
}

/// The same of an authorization request, which has no headers that count.
pub(super) fn of_form(
    endpoint: &'static str,
    error_description: Option<&'static str>,
    form: &Form,
) -> Sent {
    let known = |name: &str| NAMES.into_iter().find(|known| *known == name);
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut others = 0;
    for (name, value) in form.pairs() {
        let Some(name) = known(name) else {
            others += 1;
            continue;
        };
        let characters = (!is_password(name)).then(|| value.chars().count());
        parameters.push(Parameter { name, characters });
    }
    if others > 0 {
        parameters.push(Parameter { name: "other", characters: None });
    }
    Sent { endpoint: Some(endpoint), error_description, rule: None, parameters }
}

/// Those with which a client proves something.
fn of_headers(headers: &HeaderMap) -> Vec<Parameter> {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| {
        let scheme = value.to_str().unwrap_or_default().split(' ').next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case("basic") {
            "Authorization: Basic"
        } else if scheme.eq_ignore_ascii_case("bearer") {
            "Authorization: Bearer"
        } else {
            "Authorization"
        }
    });
    let proof = headers.contains_key("dpop").then_some("DPoP");
    let names = authorization.into_iter().chain(proof);
    names.map(|name| Parameter { name, characters: None }).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn names_and_lengths_are_kept_and_no_value() {
        let form = Form::decode(
            b"grant_type=authorization_code&code=CANARYcode&client_secret=CANARY&CANARY=1&CANARY2=2",
        );
        let mut headers = HeaderMap::new();
        let basic = HeaderValue::from_static("Basic Q0FOQVJZOkNBTkFSWQ==");
        headers.insert(header::AUTHORIZATION, basic);
        headers.insert("dpop", HeaderValue::from_static("CANARY"));
        let sent =
            sent("/token", &OAuthError::InvalidGrant("it is late"), &form.unwrap(), &headers);
        let told = serde_json::to_string(&sent).unwrap();
        insta::assert_snapshot!(told, @r#"{"endpoint":"/token","error_description":"it is late","parameters":[{"name":"grant_type","characters":18},{"name":"code","characters":10},{"name":"client_secret"},{"name":"other"},{"name":"Authorization: Basic"},{"name":"DPoP"}]}"#);
    }
}
