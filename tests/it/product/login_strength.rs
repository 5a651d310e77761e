//! Rules that look at how, and how recently, somebody logged in (RFC 9470).

use serde_json::json;

use crate::support::product::{Product, WIRES, Wire, mcp};

const RULES: &str = "[[rule]]\nid = \"strong\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n\
    principals = { assurance = [\"phr\", \"mfa\"], max_auth_age_seconds = 300 }\n";

// RFC 9470 §3
#[tokio::test]
async fn a_call_that_needs_another_login_is_told_which() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), RULES).unwrap();
    let product = Product::start_in(directory, "[policy]\nfile = \"policy.toml\"\n", &[]).await;
    let person = product.token(&[]);
    for wire in WIRES {
        let params = json!({ "name": "get_public_info", "arguments": {} });
        let answer = product.send(mcp(wire, Some(&person), "tools/call", params)).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 401, "{answer:?}");
        for part in [
            "Bearer error=\"insufficient_user_authentication\"",
            "acr_values=\"phr mfa\"",
            "max_age=\"300\"",
            "resource_metadata=\"",
        ] {
            assert!(challenge.contains(part), "{part} in {challenge}");
        }
    }
    let event = product.audited(|event| event["event_type"] == "auth.login.insufficient").await;
    assert_eq!(event["payload"]["assurance"], json!(["phr", "mfa"]));
    let machine = product.token_with(&[], |token| token.subject = "agent".parse().unwrap());
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let answer = product.rpc(Wire::Modern, &machine, "tools/call", params).await;
    assert_ne!(answer.status, 401, "there is nobody to log in: {answer:?}");
}
