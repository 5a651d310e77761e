//! Calls at a time of several brokers that share one PostgreSQL.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::store::postgres;
use crate::support::child::Served;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::support::until::until;

const HOST: &str = "broker.example";

const POLICY: &str = r#"
    [[rule]]
    id = "graph.user"
    effect = "allow"
    tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
    graph = { methods = ["POST"], paths = ["/v1.0/users"], permissions = ["User.ReadWrite.All"] }
"#;

/// A database and a Graph for several brokers of one name.
struct Site {
    database: String,
    login: FakeHttp,
    graph: FakeHttp,
}

impl Site {
    /// Graph answers nobody.
    async fn start() -> Self {
        let minted = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "t" });
        let login = FakeHttp::start(Reply::json(minted.to_string())).await;
        let graph = FakeHttp::start(Reply::Silence).await;
        Self { database: postgres::database(), login, graph }
    }

    fn settings(&self, directory: &std::path::Path, limits: &str) -> String {
        std::fs::write(directory.join("policy.toml"), POLICY).unwrap();
        let secret = directory.join("secret");
        std::fs::write(&secret, "a secret of the client").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        format!(
            r#"
            server.public_url = "https://{HOST}"
            store.key_encryption_key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
            outbound.allow_private = ["127.0.0.1"]
            policy.file = "policy.toml"
            {limits}
            [graph]
            mode = "live"
            cloud = "custom"
            custom_cloud = {{ login_url = "{}", graph_url = "{}" }}
            [[graph.profile]]
            name = "default"
            tenant_id = "contoso.example"
            client_id = "app"
            credential = {{ client_secret = "file:{}" }}
            "#,
            self.login.url(),
            self.graph.url(),
            secret.display(),
        )
    }

    async fn replica(&self, limits: &str) -> Product {
        let directory = tempfile::tempdir().unwrap();
        let settings = self.settings(directory.path(), limits);
        let overrides = [format!("store.url={}", self.database)];
        Product::start_in(directory, &settings, &overrides).await
    }

    /// What the database says, of one number.
    fn number(&self, sql: &str) -> i64 {
        let asked = std::process::Command::new("psql")
            .args(["-q", "-A", "-t", "-d", &self.database, "-c", sql])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap().trim().parse().unwrap()
    }
}

fn ask(token: &str) -> Request {
    let operation = json!({ "method": "POST", "path": "/v1.0/users", "body": {} });
    let params = json!({ "name": EXECUTE, "arguments": { "operation": operation } });
    mcp(Wire::Modern, Some(token), "tools/call", params).header("host", HOST)
}

// RS-26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_never_have_more_calls_under_way_than_the_limit_says() {
    let site = Site::start().await;
    let limit = "limits.tenant_concurrency = 3";
    let (mut one, two) = tokio::join!(site.replica(limit), site.replica(limit));
    let token = one.token(&[]);
    let calls = (0..20).map(|n| if n % 2 == 0 { &one } else { &two }.send(ask(&token)));
    let mut calls: FuturesUnordered<_> = calls.collect();
    for refused in 0..17 {
        assert_eq!(calls.next().await.unwrap().status, 429, "{refused}");
    }
    until("Graph is asked", async || (site.graph.count() == 3).then_some(())).await;
    site.graph.answers(Reply::json(r#"{"id":"1"}"#));
    // The callers of the three go away.
    drop(calls);
    let served = async || (two.send(ask(&token)).await.status == 200).then_some(());
    until("another is served", served).await;
    one.stop();
    one.ended().await;
    let left = async || (site.number("SELECT COUNT(*) FROM places") == 0).then_some(());
    until("nothing is held of calls that ended", left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_has_its_place_for_half_a_minute() {
    const LEFT: &str =
        "SELECT CAST(MAX(ends_at) / 1000000 - extract(epoch FROM now()) AS bigint) FROM places";
    const PASSES: &str = "UPDATE places SET ends_at = ends_at - 30000000 RETURNING held";
    let site = Site::start().await;
    let limit = "limits.tenant_concurrency = 1";
    let other = site.replica(limit).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = site.settings(directory.path(), limit);
    let killed = Served::start_on(directory.path(), &settings, &site.database).await;
    let token = other.token(&[]);
    let mut stream = tokio::net::TcpStream::connect(&killed.authority).await.unwrap();
    stream.write_all(&ask(&token).bytes(&killed.authority)).await.unwrap();
    until("Graph is asked", async || (site.graph.count() > 0).then_some(())).await;
    killed.kill();
    assert_eq!(other.send(ask(&token)).await.status, 429);
    assert!((1..=30).contains(&site.number(LEFT)));
    site.graph.answers(Reply::json(r#"{"id":"1"}"#));
    // Half a minute later.
    assert_eq!(site.number(PASSES), 1);
    let served = async || (other.send(ask(&token)).await.status == 200).then_some(());
    until("another is served", served).await;
}
