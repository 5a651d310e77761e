//! Every kind of credential from every backend, through success and failure of the real binary: no answer, no log, no
//! file of ours and no command shows one.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mcp_auth_broker::authorization_server::NewAccessToken;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::support::backends::{Backends, MARK, OnePassword, SERVICE_ACCOUNT, VARIABLE};
use crate::support::child::{Served, command_with};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, WIRES, mcp};
use crate::support::raw_http::{Answer, Request};

/// What profiles take their credential from; the last two are no client secrets.
const BACKENDS: [&str; 5] = ["env", "file", "vault", "exec", "op"];
const WAYS: [&str; 2] = ["certificate", "federated"];
/// Servers behind the broker, each with another kind of credential.
const SERVERS: [&str; 4] = ["bearer", "header", "machine", "exchange"];
/// `whsec_` and the base64 of 32 bytes that begin with the mark.
const WEBHOOK: &str = "whsec_Q0FOQVJZLTQ3MTEtMDEyMzQ1Njc4OWFiY2RlZjAxMjM=";
/// The same without a prefix.
const ENCRYPTION: &str = "Q0FOQVJZLTQ3MTEtMDEyMzQ1Njc4OWFiY2RlZjAxMjM=";
const OPAQUE: &str = "opaque-token-CANARY-4711";
const PROVIDER_TOKEN: &str = "provider-token-CANARY-4711";

struct Walk {
    served: Served,
    _backends: Backends,
    one_password: OnePassword,
    elsewhere: FakeHttp,
    /// Heads and bodies of all answers, and what all commands printed.
    seen: String,
    /// What is secret and does not hold the mark.
    more: Vec<String>,
}

impl Walk {
    async fn start(directory: &Path, place: &Path, one_password: OnePassword) -> Self {
        let backends = Backends::start(place).await;
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        let cert = params.self_signed(&pair).unwrap();
        backends.write("key.pem", &pair.serialize_pem(), 0o600);
        backends.write("cert.pem", &cert.pem(), 0o644);
        backends.write("federated", &format!("e30.e30.FEDERATED-{MARK}"), 0o600);
        backends.write("webhook", WEBHOOK, 0o600);
        backends.write("kek", ENCRYPTION, 0o600);
        let elsewhere = FakeHttp::start(granted()).await;
        let settings = settings(&backends, one_password, &elsewhere);
        std::fs::write(directory.join("policy.toml"), policy()).unwrap();
        let served = Served::start(directory, &settings, &[("VARIABLE", VARIABLE)]).await;
        let key = pair.serialize_pem().lines().nth(1).unwrap().to_owned();
        let more = vec![key, SERVICE_ACCOUNT.to_owned(), WEBHOOK.to_owned(), ENCRYPTION.to_owned()];
        Self { served, _backends: backends, one_password, elsewhere, seen: String::new(), more }
    }

    async fn send(&mut self, request: Request) -> Answer {
        let answer = self.served.send(request).await;
        self.seen.extend([answer.head.as_str(), "\n", &answer.body, "\n"]);
        answer
    }

    /// What a call of the Graph tool by this profile gives.
    async fn graph(&mut self, bearer: &str, profile: &str) -> String {
        let arguments = json!({ "graph": { "tenant_id": format!("{profile}.example") }, "operation": { "method": "GET", "path": "/v1.0/users" } });
        let call = json!({ "name": EXECUTE, "arguments": arguments });
        self.send(mcp(WIRES[0], Some(bearer), "tools/call", call)).await.body
    }

    async fn graphs(&mut self, bearer: &str) {
        for profile in BACKENDS.into_iter().chain(WAYS) {
            let told = self.graph(bearer, profile).await;
            assert!(told.contains("\\\"status\\\":\\\"ok\\\""), "{profile}: {told}");
        }
        // From now on everybody quotes what they were sent, and believes nothing.
        for status in [400, 401, 429, 500] {
            self.elsewhere.answers(quoting(status));
            for profile in BACKENDS.into_iter().chain(WAYS) {
                self.graph(bearer, profile).await;
            }
        }
        for what in ["absent", "denied", "broken", "slow"] {
            let told = self.graph(bearer, what).await;
            assert!(told.contains("secret."), "{what}: {told}");
        }
        self.elsewhere.answers(granted());
    }

    async fn servers(&mut self) {
        for (status, wanted) in [(200, 200), (401, 502), (500, 502)] {
            for id in SERVERS {
                let path = format!("/servers/{id}/mcp");
                let bearer =
                    self.served.mint_at(&format!("http://{}{path}", self.served.authority), "w:r");
                let result = json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [] } });
                let reply =
                    if status == 200 { Reply::json(result.to_string()) } else { quoting(status) };
                self.elsewhere.answers_at("/mcp", reply);
                let call = json!({ "name": "get", "arguments": {} });
                let answer =
                    self.send(mcp(WIRES[0], Some(&bearer), "tools/call", call).path(&path)).await;
                let told = answer.status == wanted || answer.body.contains("provider.");
                assert!(told, "{id} {status}: {answer:?}");
            }
        }
    }

    /// Tokens of other issuers, good and bad; gives one that is signed with a shared secret.
    async fn issuers(&mut self) -> String {
        let shared = self.shared_token();
        let list = |token: &str| mcp(WIRES[0], Some(token), "tools/list", json!({}));
        assert_eq!(self.send(list(&shared)).await.status, 200, "{}", self.served.stderr());
        let good = json!({ "active": true, "iss": "https://opaque.example", "sub": "ada", "aud": format!("http://{}/mcp", self.served.authority), "exp": SystemClock.now().plus_seconds(600).unix_seconds() });
        self.elsewhere.answers_at("/introspect", Reply::json(good.to_string()));
        assert_eq!(self.send(list(OPAQUE)).await.status, 200, "{}", self.seen);
        for status in [401, 500] {
            self.elsewhere.answers_at("/introspect", quoting(status));
            let answer = self.send(list(&format!("{OPAQUE}-{status}"))).await;
            assert_eq!(answer.status, 503, "{answer:?}");
        }
        self.send(list(&format!("{shared}x"))).await;
        shared
    }

    fn shared_token(&mut self) -> String {
        let now = SystemClock.now();
        let token = NewAccessToken {
            issuer: "https://legacy.example".parse().unwrap(),
            audience: format!("http://{}/mcp", self.served.authority),
            subject: "ada".parse().unwrap(),
            client_id: "agent".parse().unwrap(),
            scope: "public:read".parse().unwrap(),
            issued_at: now,
            expires_at: now.plus(Duration::from_mins(10)),
        };
        let secret = SecretText::new(format!("EXEC-{MARK}-0123456789abcdef"));
        let signed = token.sign_shared(&secret, &SystemRandom::new()).unwrap();
        let token = signed.0.expose().to_owned();
        self.more.push(token.rsplit('.').next().unwrap().to_owned());
        token
    }

    /// The machine client of the settings, whose secret is in Vault; and everybody who guesses.
    async fn clients(&mut self) {
        for (secret, wanted) in
            [(format!("VAULT-{MARK}-0123456789abcdef"), 200), (format!("guess-{MARK}"), 401)]
        {
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_id", "machine"),
                ("client_secret", secret.as_str()),
            ];
            let body =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let request = Request::new("POST", "/token")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
            // A token is for who asked for it: the answer is not looked at.
            let answer = self.served.send(request).await;
            assert_eq!(answer.status, wanted, "{answer:?}");
            if wanted == 200 {
                let token = answer.json()["access_token"].as_str().unwrap().to_owned();
                self.more.push(token.rsplit('.').next().unwrap().to_owned());
            } else {
                self.seen += &answer.body;
            }
        }
        self.send(Request::new("GET", "/login/with/elsewhere")).await;
    }

    /// What commands say beside the broker, and after it.
    fn commands(&mut self, directory: &Path, shared: &str) {
        for arguments in [
            &["check"][..],
            &["check", "--json"],
            &["check", "--live"],
            &["config", "show"],
            &["config", "show", "--json"],
            &["token", "inspect", shared],
            &["token", "inspect", "--json", shared],
            &["token", "inspect", OPAQUE],
            &["audit", "export"],
            &["audit", "export", "--format", "csv"],
            &["audit", "tail", "-n", "1000"],
            &["store", "status"],
            &["policy", "lint"],
            &["ready"],
        ] {
            let authority = &self.served.authority;
            let output = command_with(directory, authority, &[("VARIABLE", VARIABLE)], arguments);
            let said = [output.stdout, output.stderr].concat();
            assert!(!said.is_empty(), "{arguments:?}");
            writeln!(self.seen, "{}: {}", arguments[0], String::from_utf8_lossy(&said)).unwrap();
        }
    }

    /// Signatures of assertions are as good as what they were made with, for a while.
    fn remember_what_was_sent(&mut self) {
        let asked = self.elsewhere.asked();
        for asked in asked.iter().filter(|asked| asked.path.ends_with("/token")) {
            for (name, value) in url::form_urlencoded::parse(asked.body.as_bytes()) {
                if name == "client_assertion" || name == "subject_token" {
                    self.more.push(value.rsplit('.').next().unwrap().to_owned());
                }
            }
        }
        let all = format!("{asked:?}");
        for backend in ["ENV", "FILE", "VAULT", "EXEC", "FEDERATED"] {
            assert!(
                all.contains(&format!("{backend}-{MARK}")),
                "the secret from {backend} was not used"
            );
        }
        let one_password = if self.one_password == OnePassword::Program { "OP" } else { "CONNECT" };
        assert!(all.contains(&format!("{one_password}-{MARK}")));
    }

    fn nothing_is_in(&self, place: &str, text: &str) {
        for mark in self.more.iter().map(String::as_str).chain([MARK]) {
            let found = text.find(mark);
            let around = found.map(|at| {
                String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(400)..at]).into_owned()
            });
            assert!(found.is_none(), "{mark} is in {place}, after: {around:?}");
        }
    }

    fn nothing_is_below(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.nothing_is_below(&path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                self.nothing_is_in(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            }
        }
    }
}

fn granted() -> Reply {
    Reply::json(json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": PROVIDER_TOKEN, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "value": [] }).to_string())
}

/// What somebody answers who tells everything that they were told.
fn quoting(status: u16) -> Reply {
    let all = format!("OP-{MARK} VAULT-{MARK} {PROVIDER_TOKEN}");
    let body = json!({ "error": MARK, "error_description": all, "message": all, "jsonrpc": "2.0", "id": 7 });
    let Reply::Answer(_, headers, body) = Reply::json(body.to_string()) else { unreachable!() };
    Reply::Answer(status, headers, body)
        .header("www-authenticate", &format!("Bearer error=\"{MARK}\""))
        .header("location", &format!("https://x.example/{MARK}"))
}

fn profile(name: &str, credential: &str) -> String {
    format!(
        "[[graph.profile]]\nname = \"{name}\"\ntenant_id = \"{name}.example\"\nclient_id = \"app\"\ncredential = {{ {credential} }}\n"
    )
}

fn settings(backends: &Backends, one_password: OnePassword, elsewhere: &FakeHttp) -> String {
    let secret = |backend, what| backends.reference(one_password, backend, what);
    let (url, path) = (elsewhere.url(), |name| backends.path(name).display().to_string());
    let mut settings = format!(
        r#"
        [telemetry]
        log_level = "debug"
        [outbound]
        allow_private = ["127.0.0.1"]
        [policy]
        file = "policy.toml"
        [store]
        key_encryption_key = "file:{kek}"
        [approvals]
        webhook_url = "{url}hook"
        webhook_secret = "file:{webhook}"
        [graph]
        mode = "live"
        cloud = "custom"
        custom_cloud = {{ login_url = "{url}", graph_url = "{url}" }}
        [[resource_server.issuer]]
        issuer = "https://legacy.example"
        algorithms = ["HS256"]
        secret = "{exec}"
        [[resource_server.issuer]]
        issuer = "https://opaque.example"
        introspection = {{ url = "{url}introspect", client_id = "broker", client_secret = "{op}" }}
        [[authorization_server.client]]
        client_id = "machine"
        secret = "{vault}"
        grants = ["client_credentials"]
        scopes = ["public:read"]
        [[authorization_server.identity_provider]]
        id = "elsewhere"
        issuer = "{url}"
        client_id = "broker"
        client_secret = "{file}"
        authorization_endpoint = "{url}authorize"
        token_endpoint = "{url}token"
        userinfo_endpoint = "{url}user"
        claims = {{ subject = "id", username = "login" }}
        "#,
        kek = path("kek"),
        webhook = path("webhook"),
        exec = secret("exec", "good"),
        op = secret("op", "good"),
        vault = secret("vault", "good"),
        file = secret("file", "good"),
    );
    settings += &backends.settings(one_password);
    for backend in BACKENDS {
        settings += &profile(backend, &format!("client_secret = \"{}\"", secret(backend, "good")));
    }
    let (cert, key, federated) = (path("cert.pem"), path("key.pem"), path("federated"));
    settings +=
        &profile("certificate", &format!("certificate = \"{cert}\", private_key = \"file:{key}\""));
    settings += &profile("federated", &format!("federated_token_file = \"{federated}\""));
    for (what, backend) in
        [("absent", "exec"), ("denied", "vault"), ("broken", "op"), ("slow", "exec")]
    {
        settings += &profile(what, &format!("client_secret = \"{}\"", secret(backend, what)));
    }
    let (op, exec, vault, file) = (
        secret("op", "good"),
        secret("exec", "good"),
        secret("vault", "good"),
        secret("file", "good"),
    );
    for (id, credential) in SERVERS.into_iter().zip([
        format!("bearer = \"{op}\""),
        format!("header = {{ name = \"X-Api-Key\", value = \"{exec}\" }}"),
        format!("client_credentials = {{ token_url = \"{url}machine/token\", client_id = \"us\", client_secret = \"{vault}\", scopes = [\"w\"] }}"),
        format!("token_exchange = {{ token_url = \"{url}exchange/token\", client_id = \"us\", client_secret = \"{file}\" }}"),
    ]) {
        writeln!(settings, "[[upstream.server]]\nid = \"{id}\"\nurl = \"{url}mcp\"\nera = \"both\"\ncredential = {{ {credential} }}\n[[upstream.server.tool]]\nname = \"get\"\nscopes = [\"w:r\"]").unwrap();
    }
    settings
}

fn policy() -> String {
    let mut policy = "version = \"t\"\ndefault = \"deny\"\n".to_owned();
    for name in BACKENDS.into_iter().chain(WAYS).chain(["absent", "denied", "broken", "slow"]) {
        writeln!(policy, "[[rule]]\nid = \"{name}\"\neffect = \"allow\"\ntools = [\"auth.*\"]\nscopes = [\"graph:read\"]\ngraph = {{ profile = \"{name}\", methods = [\"GET\"], paths = [\"/v1.0/users\"], permissions = [\"User.Read.All\"] }}").unwrap();
    }
    policy
}

async fn no_credential_is_shown(one_password: OnePassword) {
    let (directory, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut walk = Walk::start(directory.path(), place.path(), one_password).await;
    let bearer = walk.served.mint("graph:read");
    walk.more.push(bearer.rsplit('.').next().unwrap().to_owned());
    walk.graphs(&bearer).await;
    walk.servers().await;
    let shared = walk.issuers().await;
    walk.clients().await;
    let ready = walk.send(Request::new("GET", "/ready")).await;
    assert!(ready.body.contains("secrets exec"), "{ready:?}");
    walk.commands(directory.path(), &shared);
    walk.remember_what_was_sent();
    walk.served.terminate();
    assert!(walk.served.ended().await.success());
    walk.nothing_is_in("an answer or what a command printed", &walk.seen);
    assert!(walk.served.stderr().contains("http.stopped"));
    // The log, the audit log, the database and what else is left behind.
    walk.nothing_is_below(directory.path());
}

#[tokio::test]
async fn no_credential_of_any_backend_is_ever_shown() {
    no_credential_is_shown(OnePassword::Program).await;
}

#[tokio::test]
async fn no_credential_from_a_connect_server_is_ever_shown() {
    no_credential_is_shown(OnePassword::Connect).await;
}
