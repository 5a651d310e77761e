//! How a request ended, in words.

use serde_json::json;

use crate::broker::explain::record::attempts;

use super::*;

fn outcome(event_type: &str, payload: &Value) -> Outcome {
    let line = json!({
        "event_type": event_type, "event_id": "e", "occurred_at": "2026-11-21T00:00:00Z",
        "request_id": "r", "trace_id": "t", "payload": payload,
    });
    let (all, _) = attempts(&[line.to_string()]);
    of(&all[0])
}

#[test]
fn each_way_to_be_refused_is_told_with_what_to_change() {
    for (event, payload, code, met) in [
        (
            "auth.token.rejected",
            json!({ "reason": "wrong_audience" }),
            "wrong_audience",
            Situation::TokenRejected,
        ),
        (
            "oauth.token.refused",
            json!({ "error": "invalid_client" }),
            "invalid_client",
            Situation::ClientRefused,
        ),
        (
            "oauth.token.reuse_detected",
            json!({ "what": "refresh_token" }),
            "invalid_grant",
            Situation::GrantRefused,
        ),
        (
            "oauth.authorization.refused",
            json!({ "error": "invalid_target" }),
            "invalid_target",
            Situation::SentBack,
        ),
        (
            "oauth.authorization.refused",
            json!({ "error": "invalid_redirect_uri" }),
            "invalid_redirect_uri",
            Situation::PageShown,
        ),
        (
            "oauth.authorization.refused",
            json!({ "error": "invalid_target", "endpoint": "/par" }),
            "invalid_target",
            Situation::OAuthRefused,
        ),
        (
            "oauth.token.refused",
            json!({ "error": "invalid_grant", "grant_type": "jwt_bearer", "rule": "aud" }),
            "invalid_grant",
            Situation::AssertionRefused,
        ),
        (
            "oauth.client.refused",
            json!({ "error": "access_denied" }),
            "access_denied",
            Situation::RegistrationRefused,
        ),
        (
            "result.emitted",
            json!({ "method": "tools/call", "tool_name": "t", "status": "error", "error_code": "policy.rate_limited" }),
            "policy.rate_limited",
            Situation::TooMany,
        ),
    ] {
        let outcome = outcome(event, &payload);
        assert_eq!((outcome.told.code.as_str(), outcome.situation), (code, Some(met)), "{event}");
        assert!(outcome.told.refused && !outcome.changes.is_empty(), "{event} {code}");
    }
}

#[test]
fn a_challenge_is_told_as_what_was_asked() {
    let whole = json!({ "method": "forward-auth", "tool_name": "weather" });
    let older = json!({ "tool_name": "weather.get" });
    for (payload, endpoint) in [(whole, "forward-auth weather"), (older, "tools/call weather.get")]
    {
        for event in ["auth.scope.insufficient", "auth.login.insufficient"] {
            assert_eq!(outcome(event, &payload).endpoint, endpoint, "{event}");
        }
    }
}

#[test]
fn what_was_sent_is_told_by_name_and_length() {
    let payload = json!({ "error": "invalid_grant", "endpoint": "/token", "parameters": [
        { "name": "code", "characters": 43 }, { "name": "client_secret" },
    ]});
    let outcome = outcome("oauth.token.refused", &payload);
    let sent: Vec<_> = outcome.sent.iter().map(|it| format!("{}: {}", it.name, it.shape)).collect();
    assert_eq!(sent, ["code: 43 characters", "client_secret: there"]);
    assert_eq!(outcome.endpoint, "/token");
}

#[test]
fn a_line_that_is_otherwise_than_we_write_them_is_told_all_the_same() {
    for payload in [json!(null), json!([1]), json!({ "error": 7, "parameters": "x" })] {
        assert_eq!(outcome("oauth.token.refused", &payload).told.code, "unknown");
    }
}
