//! What a caller whose token is bound to a key is told that it needs: in a scheme that the endpoint takes.

use serde_json::json;

use crate::support::product::Product;

use super::dpop::{Client, call};
use super::flow::text;

/// Somebody may be given a token with this scope, and for one tool every token needs more.
const RULES: &str = "[[rule]]\nid = \"other\"\neffect = \"allow\"\ntools = [\"get_confidential_info\"]\nscopes = [\"public:read\"]\n\
    [[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n";

async fn product(dpop: &str, more: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), format!("{RULES}{more}\n")).unwrap();
    let settings =
        format!("[policy]\nfile = \"policy.toml\"\n[resource_server]\ndpop = \"{dpop}\"\n");
    Product::start_in(directory, &settings, &[]).await
}

const NEEDS: [(&str, u16, &str); 2] = [
    ("principals = { assurance = [\"phr\"] }", 401, "insufficient_user_authentication"),
    ("scopes = [\"a:b\"]", 403, "insufficient_scope"),
];

// RFC 9449 §7.1, RFC 9470 §3, RFC 9110 §11.6.1
#[tokio::test]
async fn where_bound_tokens_are_required_it_is_told_in_their_scheme_alone() {
    for (more, status, error) in NEEDS {
        let product = product("required", more).await;
        let client = Client::with_code(&product, false).await;
        let tokens = client.tokens(&product).await;
        let token = text(&tokens, "access_token");
        let proof = client.key.for_call(&product.url("/mcp"), token, &json!({}));
        let refused = product.send(call("DPoP", token, Some(&proof))).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.starts_with("DPoP algs=\"ES256 "), "{challenge}");
        assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}");
        assert!(!refused.head.contains("Bearer"), "{refused:?}");
    }
}

// RFC 9449 §7.1
#[tokio::test]
async fn where_bound_tokens_are_allowed_it_is_told_in_both_schemes() {
    for (more, status, error) in NEEDS {
        let product = product("allowed", more).await;
        let plain = product.token(&["public:read"]);
        let refused = product.send(call("Bearer", &plain, None)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let (bearer, dpop) = (format!("Bearer error=\"{error}\""), "DPoP algs=\"ES256 ");
        let at =
            |challenge: &str| refused.head.find(challenge).unwrap_or_else(|| panic!("{refused:?}"));
        assert!(at(&bearer) < at(dpop), "some clients read the first alone");
    }
}
