//! `broker doctor --as-client` against deployments that are broken on purpose: each is named, with what to change.
//!
//! Where a proxy matters it is a real nginx before a real broker; where a broker would have to be broken, a stand-in.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::{Served, command_beside};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::free_port::free_port;
use crate::support::until::until;

/// The last step of a client: what was found, and all that is said about it.
fn last(output: &std::process::Output) -> (bool, String, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    let step = told["steps"].as_array().unwrap().last().unwrap();
    (told["good"] == true, step["found"].as_str().unwrap().to_owned(), step.to_string())
}

/// A real nginx with these lines before the one that passes everything. Killed when dropped.
pub(crate) struct Nginx {
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    pub(crate) async fn start(address: &str, broker: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().display();
        let lines = lines.replace("BROKER", &format!("http://{broker}"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {work}/{name};")).concat();
        let settings = format!(
            "daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;\nevents {{}}\n\
             http {{ access_log off; {temporary}\nserver {{ listen {address};\n\
             proxy_set_header Host $http_host;\n{lines}\nlocation / {{ proxy_pass http://{broker}; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let found = ["/usr/sbin/nginx", "/usr/local/bin/nginx", "/opt/homebrew/bin/nginx"];
        let program = found.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("no nginx: apt-get install nginx-light");
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nginx = Self { process: command.spawn().unwrap(), _folder: folder };
        until("nginx listens", async || {
            assert!(nginx.process.try_wait().unwrap().is_none(), "nginx ended: {file:?}");
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What nginx is told, who comes, what is found, and a word of what to do about it.
type Broken = (&'static str, &'static str, &'static str, &'static str);

const AT_THE_ENDPOINT: &[Broken] = &[
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header WWW-Authenticate; }",
        "vscode",
        "the 401 does not say where the metadata is",
        "takes WWW-Authenticate away",
    ),
    (
        "location = /mcp { auth_basic staff; auth_basic_user_file /dev/null; proxy_pass BROKER; }",
        "claude-code",
        "asks for a login of its own",
        "without a login",
    ),
    (
        "location = /mcp { return 302 https://sso.example/login; }",
        "claude-code",
        "a request without a token is answered 302 Found",
        "login page",
    ),
    (
        "location = /mcp { default_type text/html; return 200 '<html>Welcome</html>'; }",
        "mcp-remote",
        "a request without a token is answered 200 OK",
        "something else answers",
    ),
    ("location = /mcp { return 403; }", "cursor", "answered 403 Forbidden", "WAF"),
    ("location = /mcp { return 405; }", "cursor", "answered 405 Method Not Allowed", "OPTIONS"),
    (
        "location = /mcp { proxy_pass http://127.0.0.1:9; }",
        "vscode",
        "answered 502 Bad Gateway",
        "broker health",
    ),
    (
        "location = /mcp { proxy_pass BROKER/api/mcp; }",
        "vscode",
        "answered 404 Not Found",
        "changes the path",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_set_header Host internal.example; }",
        "claude-code",
        "answered 421 Misdirected Request",
        "server.allowed_hosts",
    ),
    (
        "location = /mcp { if ($request_method = OPTIONS) { return 405; } proxy_pass BROKER; }",
        "inspector",
        "pages of http://localhost:6274 may not call the endpoint",
        "server.allowed_origins",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Origin; }",
        "inspector",
        "pages of http://localhost:6274 may not call the endpoint",
        "server.allowed_origins",
    ),
];

const BEHIND_IT: &[Broken] = &[
    (
        "location /.well-known/ { return 404; }",
        "claude-code",
        "/.well-known/oauth-protected-resource/mcp is no metadata",
        "pass /.well-known/",
    ),
    (
        "location /.well-known/ { default_type text/html; return 200 '<html></html>'; }",
        "cursor",
        "/.well-known/oauth-protected-resource/mcp is no metadata",
        "pass /.well-known/",
    ),
    (
        "location ~ (oauth-authorization-server|openid-configuration) { return 404; }",
        "mcp-remote",
        "the issuer has no metadata where clients look for it",
        "of the issuer's host",
    ),
    (
        "location = /register { return 403; }",
        "cursor",
        "registration is answered 403 Forbidden",
        "authorization_server.dynamic_registration",
    ),
    (
        "location = /register { return 429; }",
        "mcp-remote",
        "registration is answered 429 Too Many Requests",
        "broker client add",
    ),
    (
        "location = /authorize { return 403; }",
        "claude-code",
        "the authorization request is answered 403 Forbidden",
        "oauth.authorization.refused",
    ),
    (
        "location = /token { return 405; }",
        "vscode",
        "the token endpoint answers 405 Method Not Allowed and no OAuth error",
        "POST /token",
    ),
    (
        "location = /token { default_type text/html; return 200 '<html></html>'; }",
        "inspector",
        "the token endpoint answers 200 OK and no OAuth error",
        "POST /token",
    ),
];

/// A broker that is well, under the name of a proxy, and to which no other host is there.
async fn well(public: &str, change: &str) -> (TempDir, Served) {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!(
        "[server]\npublic_url = \"{public}\"\n{change}\n[outbound]\nproxy = \"http://127.0.0.1:1\"\nno_proxy = [\"127.0.0.1\"]\n"
    );
    let served = Served::start(directory.path(), &settings, &[]).await;
    (directory, served)
}

async fn named(broken: &[Broken]) {
    let front = free_port().to_string();
    let (directory, served) = well(&format!("http://{front}"), "").await;
    let asks = |client: &str| {
        let arguments = ["doctor", "--json", "--as-client", client];
        last(&command_beside(directory.path(), &served.authority, &arguments))
    };
    let nginx = Nginx::start(&front, &served.authority, "").await;
    let (good, _, all) = asks("inspector");
    assert!(good, "it is well: {all}");
    drop(nginx);
    for (lines, client, found, advice) in broken {
        let _nginx = Nginx::start(&front, &served.authority, lines).await;
        let (good, told, all) = asks(client);
        assert!(!good && told.contains(found) && all.contains(advice), "{lines}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_breaks_at_the_endpoint_is_named() {
    named(AT_THE_ENDPOINT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_breaks_behind_the_endpoint_is_named() {
    named(BEHIND_IT).await;
}

/// The broker that runs has another public name than the doctor's settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_scheme_port_or_path_than_clients_use_is_named() {
    let front = free_port().to_string();
    let other = "http://127.0.0.1:9";
    for (public, lines, asked, found, advice) in [
        (
            format!("https://{front}"),
            "",
            "",
            "the 401 names metadata at https://",
            "scheme, host and port",
        ),
        (
            other.to_owned(),
            "location = /mcp { proxy_pass BROKER; proxy_set_header Host 127.0.0.1:9; }",
            "",
            "the 401 names metadata at http://127.0.0.1:9",
            "scheme, host and port",
        ),
        (
            format!("http://{front}"),
            "location /broker/ { proxy_pass BROKER/; }",
            "/broker",
            "the metadata names another resource than was called",
            "server.public_url",
        ),
    ] {
        let change = "trusted_proxies = [\"127.0.0.1\"]";
        let (directory, served) = well(&public, change).await;
        let _nginx = Nginx::start(&front, &served.authority, lines).await;
        let public = format!("server.public_url=http://{front}{asked}");
        let arguments = ["doctor", "--json", "--as-client", "claude-code", "--set", &public];
        let (good, told, all) =
            last(&command_beside(directory.path(), &served.authority, &arguments));
        assert!(!good && told.contains(found) && all.contains(advice), "{public}: {all}");
    }
}

/// A broker as it should be, made of answers; a member of its metadata is changed.
async fn stand_in(change: impl FnOnce(&mut Value, &mut Value)) -> FakeHttp {
    let front = FakeHttp::start(Reply::status(404)).await;
    let base = front.url().to_string();
    let base = base.trim_end_matches('/');
    let mut resource =
        json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
    let mut issuer = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
        "code_challenge_methods_supported": ["S256"], "client_id_metadata_document_supported": true,
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
    });
    change(&mut resource, &mut issuer);
    let at =
        format!("Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\"");
    front.answers_at("/mcp", Reply::status(401).header("www-authenticate", &at));
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    front.answers_at(metadata, Reply::json(resource.to_string()));
    front.answers_at("/.well-known/oauth-authorization-server", Reply::json(issuer.to_string()));
    front.answers_at("/authorize", Reply::status(302).header("location", "/login?request=x"));
    let refused = |error: &str| {
        let Reply::Answer(_, headers, body) = Reply::json(format!("{{\"error\":\"{error}\"}}"))
        else {
            unreachable!()
        };
        Reply::Answer(400, headers, body)
    };
    front.answers_at("/token", refused("invalid_grant"));
    front.answers_at("/register", refused("invalid_redirect_uri"));
    front
}

fn asks(front: &FakeHttp, client: &str) -> (bool, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[server]\npublic_url = \"{}\"\n", front.url());
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let arguments = ["doctor", "--json", "--as-client", client];
    last(&command_beside(directory.path(), "127.0.0.1:9", &arguments))
}

/// Removes or replaces members of the two documents.
type Change = fn(&mut Value, &mut Value);

// RFC 8414 §3.3, RFC 9728 §3.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_metadata_is_named() {
    let remove = |value: &mut Value, name: &str| drop(value.as_object_mut().unwrap().remove(name));
    assert!(asks(&stand_in(|_, _| {}).await, "vscode").0, "it is well");
    let changes: [(Change, &str, &str); 9] = [
        (
            |resource, _| resource["resource"] = json!("https://other.example/mcp"),
            "vscode",
            "names another resource",
        ),
        (
            |resource, _| resource["authorization_servers"] = json!([]),
            "vscode",
            "names no authorization server",
        ),
        (
            |resource, _| resource["authorization_servers"] = json!(["not a URL"]),
            "vscode",
            "the issuer is no URL",
        ),
        (
            |_, issuer| {
                issuer["issuer"] = format!("{}/", issuer["issuer"].as_str().unwrap()).into();
            },
            "claude-code",
            "the issuer's metadata names another issuer",
        ),
        (
            |_, issuer| issuer["code_challenge_methods_supported"] = json!(["plain"]),
            "cursor",
            "does not say that it takes PKCE",
        ),
        (
            |_, issuer| issuer["token_endpoint"] = Value::Null,
            "cursor",
            "the issuer's metadata has no token_endpoint",
        ),
        (
            |_, issuer| issuer["authorization_endpoint"] = Value::Null,
            "cursor",
            "has no authorization_endpoint",
        ),
        (
            |_, issuer| {
                issuer["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
            },
            "claude-code",
            "clients that name themselves by a document are not taken",
        ),
        (
            |_, issuer| issuer["registration_endpoint"] = Value::Null,
            "mcp-remote",
            "clients cannot register themselves",
        ),
    ];
    for (change, client, found) in changes {
        let (good, told, all) = asks(&stand_in(change).await, client);
        assert!(!good && told.contains(found), "{found}: {all}");
        assert!(all.contains("\"hint\"") || all.contains("\"allowed\""), "what to do: {all}");
    }
    let front = stand_in(|_, issuer| remove(issuer, "client_id_metadata_document_supported")).await;
    assert!(asks(&front, "vscode").2.contains("client_metadata_documents"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_endpoint_refuses_is_named() {
    let to = "http://127.0.0.1:33418/?error=invalid_scope&state=doctor";
    let error = |status, error: &str| {
        let body = format!("{{\"error\":\"{error}\"}}").into();
        Reply::Answer(status, vec![("content-type", "application/json".to_owned())], body)
    };
    for (path, reply, client, found) in [
        (
            "/authorize",
            Reply::status(302).header("location", to),
            "vscode",
            "refused: invalid_scope",
        ),
        (
            "/token",
            error(401, "invalid_client"),
            "vscode",
            "the token endpoint answers invalid_client",
        ),
        ("/token", error(400, "Evil <script>"), "vscode", "with something that is no error code"),
        (
            "/register",
            error(400, "invalid_redirect_uri"),
            "cursor",
            "400 Bad Request, invalid_redirect_uri",
        ),
        ("/mcp", Reply::json("x".repeat(300 * 1024)), "vscode", "127.0.0.1"),
    ] {
        let front = stand_in(|_, _| {}).await;
        front.answers_at(path, reply);
        let (good, told, all) = asks(&front, client);
        assert!(!good && told.contains(found), "{path}: {all}");
    }
}

#[tokio::test]
async fn a_name_nobody_has_and_one_where_nobody_listens_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let asks = |public: &str| {
        let settings = format!("[server]\npublic_url = \"{public}\"\n");
        std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
        let arguments = ["doctor", "--json", "--as-client", "claude-code"];
        last(&command_beside(directory.path(), "127.0.0.1:9", &arguments))
    };
    let (nowhere, silent) =
        (asks("http://nobody.invalid"), asks(&format!("http://{}", free_port())));
    assert!(!nowhere.0 && !silent.0);
    assert!(silent.2.contains("broker health"), "{}", silent.2);
    assert_ne!(nowhere.1, silent.1);
}
