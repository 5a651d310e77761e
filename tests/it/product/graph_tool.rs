//! `auth.graph.operation.execute.v1` and `auth.graph.operations.list.v1` as the contract has them.

use crate::support::product::{EXECUTE, LIST, Product, WIRES, Wire, stable};
use serde_json::{Value, json};

mod shape;

const ADA: &str = "/v1.0/users/ada@contoso.example";

async fn reader() -> (Product, String) {
    let product = Product::dev().await;
    let token = product.token(&["graph:read"]);
    (product, token)
}

/// Code, and the field where the answer names one.
fn error(reply: &Value) -> (&str, &str) {
    let error = &reply["error"];
    (
        error["code"].as_str().unwrap_or_default(),
        error["metadata"]["field"].as_str().unwrap_or_default(),
    )
}

#[tokio::test]
async fn policy_refuses_with_its_reason() {
    let (product, token) = reader().await;
    let get = |path: &str| json!({ "operation": { "method": "GET", "path": path } });
    let with = |name: &str, value: Value| {
        let mut call = get(ADA);
        call["graph"][name] = value;
        call
    };
    let other = json!({ "requester": { "requester_id": "grace" }, "operation": { "method": "GET", "path": ADA } });
    for (call, code, reason) in [
        (get("/beta/users"), "policy.denied", "policy.rule.deny.default"),
        (get("/v1.0/$batch"), "policy.denied", "policy.rule.deny.default"),
        (get(&format!("{ADA}?$expand=manager")), "policy.denied", "policy.rule.deny.default"),
        (get("/v1.0/users/delta"), "policy.denied", "policy.rule.deny.default"),
        (get("/v1.0/applications"), "policy.denied", "policy.rule.deny.default"),
        (
            with("tenant_id", json!("other.example")),
            "policy.denied",
            "policy.rule.deny.provider.not_permitted",
        ),
        (
            with("resource", json!("https://evil.example")),
            "policy.denied",
            "policy.rule.deny.provider.not_permitted",
        ),
        (
            with("scopes", json!(["Directory.ReadWrite.All"])),
            "policy.invalid_scope",
            "policy.rule.deny.scope.not_permitted",
        ),
        (other, "policy.denied", "policy.rule.deny.identity.untrusted"),
    ] {
        let reply = product.graph(&token, call.clone()).await;
        assert_eq!(reply["error"]["code"], code, "{call}: {reply}");
        assert_eq!(reply["error"]["metadata"]["reason_code"], reason, "{call}: {reply}");
    }
    assert!(!product.event_types().contains(&"provider.called".to_owned()));
}

#[tokio::test]
async fn credentials_in_headers_are_stripped_and_listed() {
    let (product, token) = reader().await;
    let headers = json!({ "Authorization": "Bearer mark", "cookie": "mark", "X-API-Key": "mark", "Accept": "application/json" });
    let reply = product
        .graph(&token, json!({ "operation": { "method": "GET", "path": ADA, "headers": headers } }))
        .await;
    assert_eq!(reply["status"], "ok", "{reply}");
    let mut fields: Vec<&str> = reply["result"]["redactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "operation.headers.authorization",
            "operation.headers.cookie",
            "operation.headers.x-api-key"
        ]
    );
    assert!(!reply.to_string().contains("mark"));
    let ended = product.audit().pop().unwrap();
    assert_eq!(ended["redactions"].as_array().unwrap().len(), 3, "{ended}");
}

#[tokio::test]
async fn pages_come_back_as_paths_that_work() {
    let (product, token) = reader().await;
    let mut path = "/v1.0/users?$top=2&$select=id".to_owned();
    let (mut pages, mut users) = (0, 0);
    loop {
        let reply = product.graph_get(&token, &path).await;
        let body = &reply["result"]["execution"]["response_body"];
        users += body["value"].as_array().unwrap_or_else(|| panic!("{reply}")).len();
        pages += 1;
        match body["@odata.nextLink"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => break,
        }
        assert!(path.starts_with("/v1.0/users?"), "{path}");
    }
    assert!(pages > 1 && users > 2, "{pages} pages, {users} users");
}

#[tokio::test]
async fn what_graph_says_about_the_operation_is_a_result() {
    let (product, token) = reader().await;
    let missing = product.graph_get(&token, "/v1.0/users/nobody@contoso.example").await;
    assert_eq!(missing["status"], "ok");
    assert_eq!(missing["result"]["execution"]["http_status"], 404);
    assert!(missing["result"]["execution"]["response_body"]["error"]["code"].is_string());
    let writer = product.token(&["graph:read", "graph:write"]);
    let found = product.graph_get(&writer, ADA).await;
    let etag = found["result"]["execution"]["response_body"]["@odata.etag"].clone();
    let patch = |etag: Value| json!({ "operation": { "method": "PATCH", "path": ADA, "headers": { "if-match": etag }, "body": { "jobTitle": "Countess" } } });
    let stale = product.graph(&writer, patch(json!("W/\"stale\""))).await;
    assert_eq!(stale["result"]["execution"]["http_status"], 412, "{stale}");
    if etag.is_string() {
        let done = product.graph(&writer, patch(etag.clone())).await;
        assert_eq!(done["result"]["execution"]["http_status"], 204, "{done}");
    }
}

#[tokio::test]
async fn the_list_shows_what_this_caller_may_do() {
    let (product, token) = reader().await;
    let list = |arguments: Value| async {
        product.call(&token, LIST, arguments).await["result"]["structuredContent"].clone()
    };
    let all = list(json!({})).await;
    let operations = all["operations"].as_array().unwrap_or_else(|| panic!("{all}"));
    let needing: Vec<&Value> =
        operations.iter().filter(|operation| operation["needs_scopes"] != json!([])).collect();
    assert!(!needing.is_empty() && needing.len() < operations.len(), "{all}");
    assert!(
        needing.iter().all(|operation| operation["needs_scopes"] == json!(["graph:write"])),
        "{all}"
    );
    let reads = list(json!({ "risk": "read" })).await;
    assert!(
        reads["operations"].as_array().unwrap().iter().all(|operation| operation["risk"] == "read")
    );
    let mail = list(json!({ "search": "MESSAGES" })).await;
    let mail = mail["operations"].as_array().unwrap();
    assert!(
        !mail.is_empty()
            && mail
                .iter()
                .all(|operation| operation["path_template"].as_str().unwrap().contains("messages"))
    );
    let wrong = product.call(&token, LIST, json!({ "risk": "huge" })).await;
    assert_eq!(wrong["result"]["isError"], true);
}

#[tokio::test]
async fn a_write_without_its_scope_is_a_step_up_and_nothing_happens() {
    let (product, token) = reader().await;
    let operation = json!({ "method": "DELETE", "path": ADA });
    for wire in WIRES {
        let call = json!({ "name": EXECUTE, "arguments": { "operation": operation } });
        let answer = product.rpc(wire, &token, "tools/call", call).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 403);
        assert!(challenge.contains("scope=\"graph:write\""), "{challenge}");
    }
    assert_eq!(product.graph_get(&token, ADA).await["result"]["execution"]["http_status"], 200);
    let writer = product.token(&["graph:write"]);
    let done = product.graph(&writer, json!({ "operation": operation })).await;
    assert_eq!(done["result"]["execution"]["http_status"], 204, "{done}");
    assert_eq!(product.graph_get(&token, ADA).await["result"]["execution"]["http_status"], 404);
}

#[tokio::test]
async fn a_throttled_user_is_a_rate_limit() {
    let (product, token) = reader().await;
    let reply = product.graph_get(&token, "/v1.0/users/throttled@contoso.example").await;
    let error = &reply["error"];
    assert_eq!(error["code"], "provider.rate_limited", "{reply}");
    assert_eq!((&error["category"], &error["retryable"]), (&json!("provider"), &json!(true)));
    assert!(error["metadata"]["retry_after_ms"].is_u64(), "{reply}");
    assert_eq!(reply["simulated"], true);
}

#[tokio::test]
async fn an_answer_that_has_not_changed_is_a_304() {
    let (product, token) = reader().await;
    let found = product.graph_get(&token, ADA).await;
    let etag = &found["result"]["execution"]["response_headers"]["etag"];
    let headers = json!({ "If-None-Match": etag });
    let again = product
        .graph(&token, json!({ "operation": { "method": "GET", "path": ADA, "headers": headers } }))
        .await;
    assert_eq!(again["result"]["execution"]["http_status"], 304, "{again}");
}

#[tokio::test]
async fn a_rule_may_ask_for_a_person_first() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "asks"
        effect = "ask"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = { profile = "simulated", methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }
    "#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    let reply = product.graph_get(&product.token(&[]), ADA).await;
    assert_eq!(reply["error"]["code"], "policy.approval_required", "{reply}");
    assert_eq!(reply["error"]["metadata"]["reason_code"], "policy.rule.ask.asks");
    assert!(!product.event_types().contains(&"provider.called".to_owned()));
}
