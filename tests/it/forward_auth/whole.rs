//! What is decided about a whole server, of which no message is seen.

use serde_json::{Value, json};

use super::{ASKING, FREEZE, SERVER, Site};

#[tokio::test]
async fn a_token_for_the_server_with_its_scopes_goes_through_and_says_whose_it_is() {
    let site = Site::start().await;
    for path in ["/forward-auth/weather", "/forward-auth/weather/mcp?city=Oslo"] {
        let answer = site.ask(path, Some(&site.token(&["weather:read"]))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("x-auth-subject"), "ada");
        assert_eq!(answer.header("x-auth-client-id"), "agent");
        assert_eq!(answer.header("x-auth-scope"), "weather:read");
    }
}

// RFC 9728 §5.1 — RS-13
#[tokio::test]
async fn who_has_no_token_is_led_to_the_servers_own_metadata() {
    let site = Site::start().await;
    let answer = site.ask("/forward-auth/weather", None).await;
    assert_eq!(answer.status, 401);
    let path = "/.well-known/oauth-protected-resource/weather";
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains(&format!("resource_metadata=\"{}\"", site.0.url(path))),
        "{challenge}"
    );
    assert!(challenge.contains("scope=\"weather:read\""), "{challenge}");
    let document: Value = site.ask(path, None).await.json();
    assert_eq!(document["resource"], SERVER);
    assert_eq!(document["authorization_servers"], json!([site.0.url("")]));
    let of = async |id: &str| site.ask(&path.replace("weather", id), None).await;
    let (nobody, unreadable) = (of("nobody").await, of("%ff").await);
    assert_eq!((unreadable.status, unreadable.json()), (404, nobody.json()), "{unreadable:?}");
}

// RFC 8707 §2 — N61
#[tokio::test]
async fn a_token_for_the_broker_or_for_another_server_is_refused() {
    let site = Site::start().await;
    let ours = site.0.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&ours)).await.status, 401);
    let weather = site.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/other", Some(&weather)).await.status, 401);
    let more = site.ask("/forward-auth/weather", Some(&site.token(&["mail:read"]))).await;
    assert_eq!(more.status, 403);
    assert!(more.header("www-authenticate").contains("insufficient_scope"));
    assert_eq!(site.ask("/forward-auth/nobody", Some(&weather)).await.status, 404);
}

#[tokio::test]
async fn a_server_that_was_taken_out_lets_nobody_through_any_more() {
    let site = Site::start().await;
    let token = site.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, 200);
    site.command(&["server", "remove", "weather"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, 404);
}

#[tokio::test]
async fn a_freeze_closes_every_gate_to_every_message() {
    let site = Site::with(FREEZE).await;
    for scopes in [&["weather:read", "weather:admin"][..], &["mail:read"]] {
        let answer = site.ask("/forward-auth/weather", Some(&site.token(scopes))).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate").is_empty()),
            (403, true),
            "{scopes:?}"
        );
        for (method, params) in [
            ("tools/call", json!({"name": "get_forecast"})),
            ("prompts/get", json!({"name": "day"})),
            ("resources/read", json!({"uri": "file:///open/a"})),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "day"}, "argument": {"name": "a", "value": ""}}),
            ),
            ("initialize", json!({})),
            ("tools/list", json!({})),
        ] {
            let answer = site.message(scopes, method, params).await;
            // Policy before scope: nobody is led to ask for more.
            assert_eq!(
                (answer.status, answer.header("www-authenticate").is_empty()),
                (403, true),
                "{method}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_about_one_tool_keeps_those_out_to_whom_it_applies_where_no_tool_is_seen() {
    let about = |more: &str| {
        format!(
            "[[rule]]\nid = \"no\"\neffect = \"deny\"\ntools = ['(mail|weather)\\.delete']\n{more}\n"
        )
    };
    for (more, status) in [("", 403), ("principals = { subjects = [\"bob\"] }", 200)] {
        let site = Site::with(&about(more)).await;
        let token = site.token(&["weather:read"]);
        assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, status);
        // Envoy says which tool it is.
        assert_eq!(site.call(&["weather:read"], "get_forecast").await.status, 200);
    }
    let asking = Site::with(ASKING).await;
    let token = asking.token(&["weather:read"]);
    assert_eq!(asking.ask("/forward-auth/weather", Some(&token)).await.status, 403);
}
