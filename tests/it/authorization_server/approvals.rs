//! The page of a call that waits for a person: what it shows, to whom, and whose answer counts.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::product::Product;
use crate::support::tokens::{ISSUER, SigningKey};

use super::browser::{Browser, PASSWORD, hidden};

/// A broker whose rule asks these groups, or administrators.
async fn product(approvers: &str) -> Product {
    product_with(approvers, "").await
}

/// The same with more settings.
async fn product_with(approvers: &str, settings: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    let rules = format!(
        r#"
        version = "t"
        [[rule]]
        id = "delete"
        effect = "ask"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = {{ methods = ["DELETE"], paths = ["/v1.0/users/{{id}}"], permissions = ["User.ReadWrite.All"] }}
        {approvers}
        "#
    );
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let settings = format!("policy.file = \"policy.toml\"\n{settings}");
    Product::start_in(directory, &settings, &[]).await
}

async fn delete(product: &Product, id: &str) -> Value {
    let path = format!("/v1.0/users/{id}");
    let call = json!({ "operation": { "method": "DELETE", "path": path } });
    product.graph(&product.token(&[]), call).await
}

/// The path of the page that a refusal names.
fn page_of(product: &Product, refusal: &Value) -> String {
    let url = refusal["error"]["metadata"]["approval_url"].as_str().unwrap();
    url.strip_prefix(&product.url("")).unwrap().to_owned()
}

#[tokio::test]
async fn an_administrator_sees_exactly_what_is_asked_and_lets_it_through_once() {
    let product = product("").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let path = page_of(&product, &delete(&product, "grace@contoso.example").await);
    assert!(browser.get("/approvals").await.body.contains(&path));
    let page = browser.get(&path).await;
    assert_eq!(page.status, 200, "{page:?}");
    for shown in ["/v1.0/users/grace@contoso.example", "DELETE", "ada", "agent", "delete (t+"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let form = hidden(&page.body, "form");
    let fields = [("form", form.as_str()), ("decision", "approve"), ("comment", "ticket 4711")];
    let answered = browser.post(&path, &fields).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    assert!(answered.body.contains("once now") && answered.body.contains("ticket 4711"));
    assert_eq!(delete(&product, "grace@contoso.example").await["status"], "ok");
    let again = delete(&product, "grace@contoso.example").await;
    assert_eq!(again["error"]["code"], "policy.approval_required", "{again}");
    let late = browser.post(&path, &fields).await;
    assert!(late.body.contains("too late"), "{late:?}");
}

// N103
#[tokio::test]
async fn a_form_of_another_page_or_none_answers_nothing() {
    let product = product("").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let one = page_of(&product, &delete(&product, "grace@contoso.example").await);
    let two = page_of(&product, &delete(&product, "ada@contoso.example").await);
    let form = hidden(&browser.get(&one).await.body, "form");
    for token in [form.as_str(), "", "AAAA"] {
        let answered = browser.post(&two, &[("form", token), ("decision", "approve")]).await;
        assert_eq!(answered.status, 403, "{answered:?}");
    }
    let unsure = browser.post(&one, &[("form", &form), ("decision", "maybe")]).await;
    assert_eq!(unsure.status, 403, "{unsure:?}");
    for id in ["grace@contoso.example", "ada@contoso.example"] {
        let waits = delete(&product, id).await;
        assert_eq!(waits["error"]["code"], "policy.approval_required", "{waits}");
    }
}

#[tokio::test]
async fn who_may_not_answer_is_told_what_is_told_of_a_call_that_never_was() {
    let product = product("approvers = [\"leads\"]").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let theirs = page_of(&product, &delete(&product, "grace@contoso.example").await);
    let nobodys = "/approvals/01930000-0000-7000-8000-000000000000";
    let (theirs, nobodys) = (browser.get(&theirs).await, browser.get(nobodys).await);
    assert_eq!((theirs.status, nobodys.status), (404, 404));
    assert!(!theirs.body.contains("grace"), "{}", theirs.body);
    let words = |body: &str| -> Vec<String> {
        let lines = body.lines().filter(|line| !line.to_ascii_lowercase().contains("request id"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(words(&theirs.body).len(), words(&nobodys.body).len());
    assert!(!browser.get("/approvals").await.body.contains("grace"));
}

// The log-in here and the token of another issuer may be one person's: who is no approver is shown nothing all the same.
#[tokio::test]
async fn nor_is_who_may_have_asked_by_the_token_of_another_issuer() {
    let secret = "a secret that the broker and the identity provider share";
    let issuer = format!(
        "[[resource_server.issuer]]\nissuer = \"{ISSUER}\"\nalgorithms = [\"HS256\"]\nsecret = \"{secret}\"\n"
    );
    let product = product_with("approvers = [\"leads\"]", &issuer).await;
    let now = SystemClock.now().unix_seconds();
    let claims = json!({ "aud": product.url("/mcp"), "iat": now, "exp": now + 600 });
    let token = SigningKey::Secret(secret.into()).token("k1", claims);
    let operation = json!({ "method": "DELETE", "path": "/v1.0/users/grace@contoso.example" });
    let asked = product.graph(&token, json!({ "operation": operation })).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.get(&page_of(&product, &asked)).await;
    assert_eq!(page.status, 404, "{page:?}");
    assert!(!page.body.contains("grace"), "{}", page.body);
}

#[tokio::test]
async fn a_denial_is_told_to_the_app_and_stays() {
    let product = product("").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let path = page_of(&product, &delete(&product, "grace@contoso.example").await);
    let form = hidden(&browser.get(&path).await.body, "form");
    let denied = browser.post(&path, &[("form", &form), ("decision", "deny")]).await;
    assert!(denied.body.contains("Denied"), "{denied:?}");
    let told = delete(&product, "grace@contoso.example").await;
    assert_eq!(told["error"]["code"], "policy.denied", "{told}");
    let types = product.event_types();
    assert_eq!(types.iter().filter(|kind| *kind == "approval.answered").count(), 1, "{types:?}");
}

#[tokio::test]
async fn who_opens_the_link_before_the_login_comes_back_to_the_call() {
    let product = product("").await;
    Browser::of_the_administrator(&product).await;
    let path = page_of(&product, &delete(&product, "grace@contoso.example").await);
    let mut browser = Browser::new(&product);
    let sent_to = browser.get(&path).await;
    let login = browser.get(&sent_to.header("location")).await;
    assert_eq!(login.status, 200, "{login:?}");
    assert!(login.body.contains("the call that waits") && !login.body.contains("grace"));
    let (form, request) = (hidden(&login.body, "form"), hidden(&login.body, "request"));
    let fields = [
        ("form", form.as_str()),
        ("request", &request),
        ("username", "admin"),
        ("password", PASSWORD),
    ];
    let logged_in = browser.post("/login", &fields).await;
    assert_eq!(
        (logged_in.status, logged_in.header("location")),
        (303, path.clone()),
        "{logged_in:?}"
    );
    assert!(browser.get(&path).await.body.contains("grace@contoso.example"));
    assert_eq!(browser.get(&sent_to.header("location")).await.header("location"), path, "at once");
}

// A login leads to no place of somebody's choosing.
#[tokio::test]
async fn a_login_link_that_names_another_place_leads_nowhere_else() {
    let product = product("").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    for place in
        ["approval.//evil.example", "approval.https:%2F%2Fevil.example", "%2F%2Fevil.example"]
    {
        let answer = browser.get(&format!("/login?request={place}")).await;
        assert!(!answer.header("location").contains("//"), "{place}: {answer:?}");
    }
}

// Two hundred calls are one look into the store; each requester may have twenty.
#[tokio::test]
async fn calls_that_wait_for_others_hide_none_that_waits_for_this_person() {
    let directory = tempfile::tempdir().unwrap();
    let rule = |id: &str, method: &str, approvers: &str| {
        format!(
            r#"
            [[rule]]
            id = "{id}"
            effect = "ask"
            tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
            graph = {{ methods = ["{method}"], paths = ["/v1.0/users/{{id}}"], permissions = ["User.ReadWrite.All"] }}
            {approvers}
            "#
        )
    };
    let rules = [rule("others", "DELETE", "approvers = [\"leads\"]"), rule("mine", "PATCH", "")];
    let rules = format!("version = \"t\"\n{}", rules.concat());
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    for number in 0..220 {
        let requester = format!("requester-{}", number / 20);
        let token = product.token_with(&[], |token| token.subject = requester.parse().unwrap());
        let operation = json!({ "method": "DELETE", "path": format!("/v1.0/users/{number}") });
        let asked = product.graph(&token, json!({ "operation": operation })).await;
        assert_eq!(asked["error"]["code"], "policy.approval_required", "{asked}");
    }
    let operation = json!({ "method": "PATCH", "path": "/v1.0/users/1", "body": {} });
    let asked = product.graph(&product.token(&[]), json!({ "operation": operation })).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.get("/approvals").await;
    assert!(page.body.contains(&page_of(&product, &asked)), "{}", page.body);
}
