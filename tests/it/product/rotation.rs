//! Credentials of the broker's own that change, or are not there yet, while it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mcp_auth_broker::app;
use mcp_auth_broker::authorization_server::NewAccessToken;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::json;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire};

const FIRST: &str = "the first secret, of which only two parties know";
const SECOND: &str = "the second secret, of which only two parties know";

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A broker that believes an issuer whose secret is there.
async fn sharing(settings: &str, secret: &str) -> Product {
    let issuer = format!(
        "{settings}\n[[resource_server.issuer]]\nissuer = \"https://legacy.example\"\nalgorithms = [\"HS256\"]\nsecret = \"{secret}\"\n"
    );
    Product::start(&issuer).await
}

/// What a request with a new token gets that is signed with this secret.
async fn status(product: &Product, secret: &str) -> u16 {
    let now = SystemClock.now();
    let token = NewAccessToken {
        issuer: "https://legacy.example".parse().unwrap(),
        audience: app::resource(product.config()),
        subject: "ada".parse().unwrap(),
        client_id: "agent".parse().unwrap(),
        scope: "public:read".parse().unwrap(),
        issued_at: now,
        expires_at: now.plus(Duration::from_mins(10)),
    };
    let secret = SecretText::new(secret.to_owned());
    let signed = token.sign_shared(&secret, &SystemRandom::new()).unwrap();
    product.rpc(Wire::Modern, signed.0.expose(), "tools/list", json!({})).await.status
}

#[tokio::test]
async fn a_shared_secret_that_is_not_there_stops_no_start_and_a_new_one_counts_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shared");
    let product = sharing("", &format!("file:{}", path.display())).await;
    assert_eq!(status(&product, FIRST).await, 503);
    write(&path, FIRST, 0o600);
    assert_eq!((status(&product, FIRST).await, status(&product, SECOND).await), (200, 401));
    write(&path, SECOND, 0o600);
    assert_eq!((status(&product, FIRST).await, status(&product, SECOND).await), (401, 200));
}

// RFC 7518 §3.2, RFC 8725 §3.5
#[tokio::test]
async fn a_short_shared_secret_is_none_wherever_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("short");
    write(&program, "#!/bin/sh\necho '{\"value\": \"short\"}'", 0o700);
    let settings = format!(
        "environment = \"staging\"\n[tools]\nsample = true\n[secrets.exec.short]\ncommand = [{:?}]\n",
        program.display().to_string()
    );
    let product = sharing(&settings, "exec:short").await;
    assert_eq!(status(&product, "short").await, 503);
}

#[tokio::test]
async fn the_secret_for_an_introspection_endpoint_is_read_when_it_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let issuer = FakeHttp::start(Reply::json(r#"{"active":false}"#)).await;
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[resource_server.issuer]]\nissuer = \"https://opaque.example\"\nintrospection = {{ url = \"{}\", client_id = \"broker\", client_secret = \"file:{}\" }}\n",
        issuer.url(),
        path.display()
    );
    let product = Product::start(&settings).await;
    let ask =
        async |token: &str| product.rpc(Wire::Modern, token, "tools/list", json!({})).await.status;
    assert_eq!(ask("before").await, 503);
    assert_eq!(issuer.count(), 0);
    write(&path, "first", 0o600);
    assert_eq!(ask("one").await, 401);
    write(&path, "second", 0o600);
    assert_eq!(ask("two").await, 401);
    let sent: Vec<_> =
        issuer.asked().iter().map(|asked| asked.headers["authorization"].clone()).collect();
    // base64("broker:first"), base64("broker:second")
    assert_eq!(sent, ["Basic YnJva2VyOmZpcnN0", "Basic YnJva2VyOnNlY29uZA=="]);
}
