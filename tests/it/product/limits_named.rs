//! The limits that a decision names are those that count.

use serde_json::{Value, json};

use crate::support::product::{EXECUTE, Product, Wire, post};

/// Each alone in the settings, as a decision about a Graph call has it.
const RATES: [(&str, &str); 6] = [
    ("per_client", "[limits]\nper_client = \"1/day\""),
    ("per_user", "[limits]\nper_user = \"1/day\""),
    ("per_tenant", "[limits]\nper_tenant = \"1/day\""),
    ("tool.per_client", "per_client = \"1/day\""),
    ("tool.per_user", "per_user = \"1/day\""),
    ("tool.rate", "rate = \"1/day\""),
];

fn settings(setting: &str, text: &str) -> String {
    if setting.starts_with("tool.") {
        format!("[[limits.tool]]\nname = \"{EXECUTE}\"\n{text}")
    } else {
        text.to_owned()
    }
}

fn limits(product: &Product, kind: &str) -> Value {
    let event = product.audit().into_iter().rfind(|event| event["event_type"] == kind);
    event.unwrap()["payload"]["obligations"]["limits"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_decision_names_refuses_the_next_call() {
    for (setting, text) in RATES {
        let product = Product::start(&settings(setting, text)).await;
        let token = product.token(&["graph:read"]);
        let call = json!({ "operation": { "method": "GET", "path": "/v1.0/users" } });
        let params = json!({ "name": EXECUTE, "arguments": call });
        let first = product.rpc(Wire::Modern, &token, "tools/call", params.clone()).await;
        assert_eq!(first.status, 200, "{setting}: {}", first.body);
        assert_eq!(limits(&product, "policy.decided"), json!({ setting: "1/day" }), "{setting}");
        let second = product.rpc(Wire::Modern, &token, "tools/call", params).await;
        assert_eq!(second.status, 429, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_names_the_limits_of_its_call_and_a_refusal_none() {
    let product = Product::start(
        r#"
        [limits]
        per_client = "600/min"
        client_concurrency = 32
        per_user = "120/h"
        user_concurrency = 8
        per_tenant = "9/s"
        tenant_concurrency = 64
        [[limits.tool]]
        name = "get_public_info"
        rate = "300/min"
        concurrency = 4
        "#,
    )
    .await;
    product.call(&product.token(&["public:read"]), "get_public_info", json!({})).await;
    assert_eq!(
        limits(&product, "result.emitted"),
        json!({
            "per_client": "600/min", "client_concurrency": "32", "per_user": "120/h",
            "user_concurrency": "8", "tool.rate": "300/min", "tool.concurrency": "4",
        })
    );
    product.call(&product.token(&[]), "no_tool", json!({})).await;
    assert_eq!(limits(&product, "result.emitted"), Value::Null);
    product.graph_get(&product.token(&["graph:read"]), "/v1.0/users").await;
    let decided = limits(&product, "policy.decided");
    assert_eq!((&decided["per_tenant"], &decided["tool.rate"]), (&json!("9/s"), &Value::Null));
}

// What a rule sees of the arguments has a cap: blanks are no way past the limits of the tool and its tenant.
#[tokio::test(flavor = "multi_thread")]
async fn a_padded_call_counts_as_the_plain_one_does() {
    const RULES: &str = r#"
        [[rule]]
        id = "user"
        effect = "allow"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        arguments = { "operation.method" = ["GET"] }
        graph = { methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }
        "#;
    for limit in
        ["[limits]\nper_tenant = \"1/day\"".to_owned(), settings("tool.rate", "rate = \"1/day\"")]
    {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), RULES).unwrap();
        let settings = format!("policy.file = \"policy.toml\"\n{limit}");
        let product = Product::start_in(directory, &settings, &[]).await;
        let token = product.token(&[]);
        let call = r#""operation":{"method":"GET","path":"/v1.0/users/ada@contoso.example"}"#;
        for (blanks, status) in [(70_000, 200), (0, 429), (70_000, 429)] {
            let blanks = " ".repeat(blanks);
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{EXECUTE}","arguments":{{{blanks}{call}}}}}}}"#
            );
            let answer = product.send(post(Some(&token), body)).await;
            assert_eq!(answer.status, status, "{limit}: {}", answer.body);
        }
    }
}
