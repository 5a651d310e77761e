//! Policies of their own: trusted gateways, several tenants, links that a rule reveals.

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, Product, Wire, mcp};

const ADA: &str = "/v1.0/users/ada@contoso.example";

async fn with_policy(policy: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await
}

#[tokio::test]
async fn a_trusted_gateway_may_say_for_whom_it_asks() {
    let product = with_policy(
        r#"
        version = "t"
        default = "deny"
        may_assert_requester = ["agent"]
        [[rule]]
        id = "read"
        effect = "allow"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = { profile = "simulated", methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }
        "#,
    )
    .await;
    let requester = json!({ "requester_id": "grace", "identity_assurance": "verified" });
    let call = json!({ "requester": requester, "operation": { "method": "GET", "path": ADA } });
    let reply = product.graph(&product.token(&[]), call.clone()).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(reply["result"]["policy"]["metadata"]["requester_id"], "ada");
    let ended = product.audit().pop().unwrap();
    assert_eq!(ended["requester_id"], "ada");
    assert!(ended.to_string().contains("grace"), "the audit log carries both: {ended}");
    let stranger = product.token_with(&[], |token| token.client_id = "other".parse().unwrap());
    let reply = product.graph(&stranger, call).await;
    assert_eq!(reply["error"]["metadata"]["reason_code"], "policy.rule.deny.identity.untrusted");
}

/// A live broker with two tenants behind one fake login and Graph.
async fn two_tenants() -> (Product, FakeHttp, FakeHttp) {
    let minted = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "t" });
    let login = FakeHttp::start(Reply::json(minted.to_string())).await;
    let graph = FakeHttp::start(Reply::json("{}")).await;
    let profile = |name: &str| {
        format!(
            "[[graph.profile]]\nname = \"{name}\"\ntenant_id = \"{name}.example\"\nclient_id = \"app\"\n\
             credential = {{ client_secret = \"a-secret-of-{name}\" }}\n"
        )
    };
    let rule = |name: &str| {
        format!(
            "[[rule]]\nid = \"{name}\"\neffect = \"allow\"\ntools = [\".*\"]\n\
             graph = {{ profile = \"{name}\", methods = [\"GET\"], paths = [\"/v1.0/users/{{id}}\"], permissions = [\"User.Read.All\"] }}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let policy = format!("version = \"t\"\ndefault = \"deny\"\n{}{}", rule("one"), rule("two"));
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let settings = format!(
        "outbound.allow_private = [\"127.0.0.1\"]\npolicy.file = \"policy.toml\"\n\
         [graph]\nmode = \"live\"\ncloud = \"custom\"\n\
         custom_cloud = {{ login_url = \"{}\", graph_url = \"{}\" }}\n{}{}",
        login.url(),
        graph.url(),
        profile("one"),
        profile("two"),
    );
    (Product::start_in(directory, &settings, &[]).await, login, graph)
}

#[tokio::test]
async fn with_several_tenants_the_caller_says_which() {
    let (product, login, graph) = two_tenants().await;
    let token = product.token(&[]);
    let call = |tenant: Value| json!({ "graph": { "tenant_id": tenant }, "operation": { "method": "GET", "path": ADA } });
    let none = product.graph(&token, call(Value::Null)).await;
    assert_eq!(none["error"]["code"], "bad_request.invalid_field", "{none}");
    assert_eq!(none["error"]["metadata"]["field"], "graph.tenant_id");
    assert_eq!((login.count(), graph.count()), (0, 0));
    for tenant in ["one", "two"] {
        let reply = product.graph(&token, call(json!(format!("{tenant}.example")))).await;
        assert_eq!(reply["result"]["policy"]["metadata"]["matched_rule_id"], tenant, "{reply}");
        assert_eq!(reply["result"]["execution"]["token"]["source"], "minted");
        assert!(login.asked().last().unwrap().body.contains(&format!("a-secret-of-{tenant}")));
    }
}

#[tokio::test]
async fn values_that_are_credentials_are_redacted_and_listed() {
    let (product, _login, graph) = two_tenants().await;
    let body = json!({
        "@microsoft.graph.downloadUrl": "https://files.example/MARK",
        "passwordCredentials": [{ "secretText": "MARK" }],
        "@odata.nextLink": "https://evil.example/v1.0/users?$skiptoken=MARK",
    });
    graph.answers(Reply::json(body.to_string()));
    let operation = json!({ "method": "GET", "path": ADA });
    let call = json!({ "graph": { "tenant_id": "one.example" }, "operation": operation });
    let reply = product.graph(&product.token(&[]), call).await;
    assert!(!reply.to_string().contains("MARK"), "{reply}");
    assert_eq!(reply["result"]["redactions"].as_array().unwrap().len(), 3, "{reply}");
}

#[tokio::test]
async fn the_caller_s_token_does_not_pass_with_the_trace() {
    let (product, login, graph) = two_tenants().await;
    let token = product.token(&[]);
    let operation = json!({ "method": "GET", "path": ADA });
    let arguments = json!({ "graph": { "tenant_id": "one.example" }, "operation": operation });
    let call = mcp(
        Wire::Modern,
        Some(&token),
        "tools/call",
        json!({ "name": EXECUTE, "arguments": arguments }),
    );
    let call =
        call.header("cookie", "MARK").header("x-api-key", "MARK").header("tracestate", "MARK");
    assert_eq!(product.send(call).await.status, 200);
    let sent = format!("{:?}{:?}", login.asked(), graph.asked());
    assert!(!sent.contains("MARK") && !sent.contains(&token), "{sent}");
}
