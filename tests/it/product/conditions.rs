//! Conditions that cannot be evaluated, and shadow rules, where a call gets no further than its tool's name.

use serde_json::{Value, json};

use crate::support::product::{EXECUTE, Product, Wire};

/// Of a broker with these rules, and these shadow rules.
async fn product(rules: &str, shadow: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let mut settings = "[policy]\nfile = \"policy.toml\"\n".to_owned();
    if !shadow.is_empty() {
        std::fs::write(directory.path().join("shadow.toml"), shadow).unwrap();
        settings += "shadow_file = \"shadow.toml\"\n";
    }
    Product::start_in(directory, &settings, &[]).await
}

fn rule(id: &str, more: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\neffect = \"allow\"\n{more}\n")
}

const PUBLIC: &str = "tools = [\"get_public_info\"]";
const USERS: &str = r#"tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
graph = { methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }"#;

async fn status(product: &Product, tool: &str, arguments: Value) -> u16 {
    let params = json!({ "name": tool, "arguments": arguments });
    product.rpc(Wire::Modern, &product.token(&[]), "tools/call", params).await.status
}

fn of(product: &Product, kind: &str) -> Vec<Value> {
    let events = product.audit().into_iter().filter(|event| event["event_type"] == kind);
    events.map(|event| event["payload"].clone()).collect()
}

fn user() -> Value {
    json!({ "operation": { "method": "GET", "path": "/v1.0/users/ada" } })
}

#[tokio::test]
async fn a_condition_that_fails_and_hides_the_tool_is_on_record() {
    let when = |tool: &str| format!("{tool}\nwhen = \"claims.level > 3\"");
    let rules = rule("plain", &when(PUBLIC)) + &rule("user", &when(USERS));
    let product = product(&rules, "").await;
    for (tool, id) in [("get_public_info", "plain"), (EXECUTE, "user")] {
        status(&product, tool, json!({})).await;
        let failed = of(&product, "policy.condition.failed");
        let last = failed.last().unwrap_or_else(|| panic!("{tool}"));
        assert_eq!((&last["tool_name"], &last["rule_ids"]), (&json!(tool), &json!([id])));
    }
    assert_eq!(of(&product, "result.emitted").len(), 2);
}

#[tokio::test]
async fn a_condition_that_fails_beside_a_challenge_is_on_record() {
    let rules = rule("broken", &format!("{PUBLIC}\nwhen = \"claims.level > 3\""))
        + &rule("scoped", &format!("{PUBLIC}\nscopes = [\"a\"]"));
    let product = product(&rules, "").await;
    assert_eq!(status(&product, "get_public_info", json!({})).await, 403);
    assert_eq!(of(&product, "policy.condition.failed")[0]["rule_ids"], json!(["broken"]));
}

#[tokio::test]
async fn a_shadow_that_opens_a_hidden_tool_is_on_record() {
    let other = rule("other", "tools = [\"get_confidential_info\"]");
    let shadow = other.clone() + &rule("plain", PUBLIC) + &rule("user", USERS);
    let product = product(&other, &shadow).await;
    for (tool, arguments) in [("get_public_info", json!({})), (EXECUTE, user())] {
        status(&product, tool, arguments).await;
        let last = of(&product, "policy.shadow.differed").pop().unwrap_or_else(|| panic!("{tool}"));
        assert_eq!((&last["tool_name"], &last["decision"]), (&json!(tool), &json!("deny")));
        assert_eq!(last["shadow_decision"], "allow");
    }
}

#[tokio::test]
async fn a_shadow_that_drops_a_scope_or_denies_what_is_challenged_is_on_record() {
    let live = rule("plain", &format!("{PUBLIC}\nscopes = [\"a\"]"))
        + &rule("user", &format!("{USERS}\nscopes = [\"b\"]"));
    let product = product(&live, &rule("plain", PUBLIC)).await;
    for (tool, arguments, would) in
        [("get_public_info", json!({}), "allow"), (EXECUTE, user(), "deny")]
    {
        assert_eq!(status(&product, tool, arguments).await, 403);
        let last = of(&product, "policy.shadow.differed").pop().unwrap_or_else(|| panic!("{tool}"));
        assert_eq!((&last["tool_name"], &last["shadow_decision"]), (&json!(tool), &json!(would)));
    }
}

#[tokio::test]
async fn a_condition_that_fails_on_a_graph_operation_is_on_record() {
    let deny = format!("{USERS}\nwhen = \"arguments.nope == 1\"")
        .replace(", permissions = [\"User.Read.All\"]", "");
    let rules = rule("user", USERS) + &rule("no", &deny).replace("allow", "deny");
    let product = product(&rules, "").await;
    status(&product, EXECUTE, user()).await;
    let failed = of(&product, "policy.condition.failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["tool_name"], &failed[0]["rule_ids"]),
        (&json!(EXECUTE), &json!(["no"]))
    );
}
