//! `broker doctor --as-client` against deployments that are broken on purpose: each is named, with what to change.
//!
//! A real nginx before a real broker.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::child::{Served, command_beside};
use crate::support::free_port::free_port;
use crate::support::until::until;

/// The last step of a client: what was found, and all that is said about it.
pub(crate) fn last(output: &std::process::Output) -> (bool, String, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    let step = told["steps"].as_array().unwrap().last().unwrap();
    (told["good"] == true, step["found"].as_str().unwrap().to_owned(), step.to_string())
}

/// Each warning, with all that is said about it.
fn warnings(output: &std::process::Output) -> Vec<String> {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = told["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["verdict"] == "warning").map(ToString::to_string).collect()
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
        "cursor",
        "the 401 does not say where the metadata is",
        "takes WWW-Authenticate away",
    ),
    (
        "location = /mcp { auth_basic staff; auth_basic_user_file /dev/null; proxy_pass BROKER; }",
        "claude-code",
        "asks for a login of its own",
        "without a login",
    ),
    ("location = /mcp { return 401; }", "codex", "the 401 is not the broker's", "without a login"),
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
        "gemini-cli",
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
        "server.allowed_origins has it: a proxy answers OPTIONS",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Origin; }",
        "inspector",
        "pages of http://localhost:6274 may not call the endpoint",
        "server.allowed_origins has it: a proxy answers OPTIONS",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Headers; }",
        "inspector",
        "pages of http://localhost:6274 may not call the endpoint",
        "server.allowed_origins has it: a proxy answers OPTIONS",
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

/// What CORS does not show a page, it does not know.
const FOR_PAGES: &[Broken] = &[
    (
        "location /.well-known/ { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Origin; }",
        "inspector",
        "pages of http://localhost:6274 may not read /.well-known/oauth-protected-resource/mcp",
        "takes Access-Control-Allow-Origin away",
    ),
    (
        "location ~ oauth-authorization { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Origin; }",
        "inspector",
        "pages of http://localhost:6274 may not read /.well-known/oauth-authorization-server",
        "It runs in a web page",
    ),
    (
        "location = /register { if ($request_method = OPTIONS) { return 405; } proxy_pass BROKER; }",
        "inspector",
        "pages of http://localhost:6274 may not call /register",
        "a proxy answers OPTIONS itself",
    ),
    (
        "location = /token { proxy_pass BROKER; proxy_hide_header Access-Control-Allow-Origin; }",
        "inspector",
        "pages of http://localhost:6274 may not read /token",
        "takes Access-Control-Allow-Origin away",
    ),
];

/// Who goes on, what is said, and a word of what it means.
const STOPS_NOBODY: &[Broken] = &[
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header WWW-Authenticate; }",
        "claude-code opencode gemini-cli mcp-remote inspector codex",
        "the 401 does not say where the metadata is",
        "It looks where the metadata usually is",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header WWW-Authenticate; }",
        "vscode",
        "the 401 does not say where the metadata is",
        "It takes the origin for the issuer",
    ),
    (
        "location = /mcp { proxy_pass BROKER; proxy_hide_header Access-Control-Expose-Headers; }",
        "inspector",
        "may not read WWW-Authenticate of the 401",
        "the scopes of a step-up",
    ),
    (
        "location /.well-known/ { if ($request_method = OPTIONS) { return 405; } proxy_pass BROKER; }",
        "inspector",
        "may not ask for /.well-known/oauth-protected-resource/mcp with mcp-protocol-version",
        "asks again without that header",
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_hides_from_pages_is_named() {
    named(FOR_PAGES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stops_no_client_that_looks_elsewhere_is_a_warning() {
    let front = free_port().to_string();
    let (directory, served) = well(&format!("http://{front}"), "").await;
    for (lines, clients, found, means) in STOPS_NOBODY {
        let _nginx = Nginx::start(&front, &served.authority, lines).await;
        for client in clients.split(' ') {
            let arguments = ["doctor", "--json", "--as-client", client];
            let output = command_beside(directory.path(), &served.authority, &arguments);
            let (good, told, all) = last(&output);
            assert!(good && told.starts_with("the token endpoint knows it"), "{client}: {all}");
            let warned = warnings(&output);
            let same = |step: &&String| step.contains(found) && step.contains(means);
            assert!(warned.iter().any(|step| same(&step)), "{client}: {warned:#?}");
        }
    }
}

/// In development pages of this machine need no setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_the_settings_do_not_have_is_what_to_write_there() {
    let front = free_port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let settings =
        format!("environment = \"staging\"\n[server]\npublic_url = \"http://{front}\"\n");
    let served = Served::start(directory.path(), &settings, &[]).await;
    let _nginx = Nginx::start(&front, &served.authority, "").await;
    let asks = |more: &[&str]| {
        let arguments = [&["doctor", "--json", "--as-client", "inspector"][..], more].concat();
        last(&command_beside(directory.path(), &served.authority, &arguments))
    };
    let not_let = "pages of http://localhost:6274 may not call the endpoint";
    let (good, told, all) = asks(&[]);
    assert!(!good && told == not_let, "{all}");
    assert!(all.contains(r#"server.allowed_origins = [\"http://localhost:6274\"]"#), "{all}");
    let written = r#"server.allowed_origins=["http://localhost:6274"]"#;
    let (good, told, all) = asks(&["--set", written]);
    assert!(!good && told == not_let, "{all}");
    assert!(all.contains("server.allowed_origins has it"), "{all}");
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
