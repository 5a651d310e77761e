//! Everything that gives access, through the whole walk of the real binary: no log, no file and no other answer has it.

use std::path::Path;

use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use crate::support::child::Served;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::raw_http::{Answer, Request};
use crate::support::until::until;

use super::browser::{Browser, PASSWORD, hidden};
use super::canary_given;
use super::client::{Asking, REDIRECT, VERIFIER, told};

const CLIENT_SECRET: &str = "CLIENT-CANARY-4711-0123456789abcdef";
const GARBAGE: &str = "GARBAGE-CANARY-4711";

const PROVIDER_SECRET: &str = "PROVIDER-CANARY-4711-0123456789abcdef";
const PROVIDER_TOKEN: &str = "UPSTREAM-TOKEN-CANARY-4711";
const PROVIDER_CODE: &str = "UPSTREAM-CODE-CANARY-4711";
/// About a person: theirs to see, and no log's.
const PERSON: [(&str, &str); 3] = [
    ("login", "ada-name-canary-4711"),
    ("name", "Ada Display-Canary-4711"),
    ("email", "ada-mail-canary-4711@example.com"),
];

const SETTINGS: &str = r#"
    [telemetry]
    log_level = "debug"
    [[authorization_server.client]]
    client_id = "machine"
    secret = "env:MACHINE_SECRET"
    grants = ["client_credentials"]
    scopes = ["public:read"]
"#;

/// What gives access, by the name under which a failure tells of it.
#[derive(Default)]
pub(super) struct Marks(Vec<(&'static str, String)>);

impl Marks {
    pub(super) fn plant(&mut self, name: &'static str, value: &str) -> String {
        assert!(value.len() >= 16, "{name} is too short to be looked for");
        self.0.push((name, value.to_owned()));
        value.to_owned()
    }

    /// Of a JWT only the signature: its claims are no secret.
    fn plant_jwt(&mut self, name: &'static str, value: &Value) -> String {
        let token = value.as_str().unwrap();
        self.plant(name, token.rsplit('.').next().unwrap());
        token.to_owned()
    }

    fn are_not_in(&self, place: &str, bytes: &[u8]) {
        for (name, mark) in &self.0 {
            let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
            let around =
                found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at]));
            assert!(found.is_none(), "{name} is in {place}, after: {around:?}");
        }
    }

    /// Every file below, the database with its log included.
    fn are_not_below(&self, folder: &Path, except: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.are_not_below(&path, except);
            } else if !path.ends_with(except) {
                self.are_not_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

/// From the banner, which comes when the socket is open already.
async fn first_link(served: &Served) -> String {
    until("the banner", async || {
        let said = served.stderr();
        let link = said.lines().find(|line| line.contains("/login/link/"));
        link.map(|link| link.trim().to_owned())
    })
    .await
}

/// An OAuth provider that knows one person, and the settings that name it.
async fn provider() -> (FakeHttp, String) {
    let person: Map<String, Value> =
        PERSON.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut person = Value::Object(person);
    person["id"] = json!(583_231);
    let provider = FakeHttp::start(Reply::status(404)).await;
    let token = json!({ "access_token": PROVIDER_TOKEN, "token_type": "Bearer" });
    provider.answers_at("/token", Reply::json(token.to_string()));
    provider.answers_at("/user", Reply::json(person.to_string()));
    let url = provider.url();
    let settings = format!(
        r#"{SETTINGS}{}
    [outbound]
    allow_private = ["127.0.0.1"]
    [[authorization_server.identity_provider]]
    id = "elsewhere"
    issuer = "{url}"
    client_id = "broker"
    client_secret = "env:PROVIDER_SECRET"
    authorization_endpoint = "{url}authorize"
    token_endpoint = "{url}token"
    userinfo_endpoint = "{url}user"
    claims = {{ subject = "id", username = "login" }}
"#,
        canary_given::SETTINGS
    );
    (provider, settings)
}

/// The person logs in there, and looks at their account here.
async fn logs_in_elsewhere(served: &Served, provider: &FakeHttp, marks: &mut Marks, path: &Path) {
    let mut browser = Browser::at(&served.authority);
    let sent = told(&browser.get("/login/with/elsewhere").await.header("location"));
    marks.plant("the state of a login elsewhere", &sent["state"]);
    marks.plant("the code of a login elsewhere", PROVIDER_CODE);
    marks.are_not_below(path, "stderr"); // while somebody is away
    let state = &sent["state"];
    let back = format!("/login/callback/elsewhere?code={PROVIDER_CODE}&state={state}");
    let done = browser.get(&back).await;
    assert_eq!(done.status, 303, "{done:?}");
    let account = browser.get("/account").await;
    assert!(account.body.contains(PERSON[1].1), "{account:?}");
    for value in browser.cookies.values().filter(|value| value.len() >= 16) {
        marks.plant("a cookie of a login elsewhere", value);
    }
    let asked = provider.asked();
    let redeemed = asked.iter().find(|asked| asked.path == "/token").unwrap();
    let mut fields = url::form_urlencoded::parse(redeemed.body.as_bytes());
    let verifier = fields.find(|(name, _)| name == "code_verifier").unwrap().1;
    marks.plant("the verifier of a login elsewhere", &verifier);
}

pub(super) async fn post(served: &Served, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::new("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    served.send(request).await
}

/// A person chooses a password, mistypes it once, logs in, and allows a client something; gives the client and its code.
async fn consents(served: &Served, link: &str, marks: &mut Marks) -> (String, String) {
    let mut browser = Browser::at(&served.authority);
    browser.chooses_a_password(link).await;
    let page = Browser::at(&served.authority).get("/login").await;
    let form = hidden(&page.body, "form");
    let fields = [("form", form.as_str()), ("username", "admin"), ("password", GARBAGE)];
    let refused = browser.post("/login", &fields).await;
    assert_ne!(refused.status, 303, "{refused:?}");
    let registration = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"] });
    let request = Request::new("POST", "/register")
        .header("content-type", "application/json")
        .body(registration.to_string());
    let client = served.send(request).await.json()["client_id"].as_str().unwrap().to_owned();
    let asking = Asking::new(&client).with("scope", "openid offline_access public:read");
    let location = browser.answers(&asking.path(), "allow").await;
    for value in browser.cookies.values().filter(|value| value.len() >= 16) {
        marks.plant("a cookie", value);
    }
    (client, marks.plant("the code", &told(&location)["code"]))
}

/// Tokens by that code, then by the refresh token, then none any more.
async fn spends(served: &Served, client: &str, code: &str, marks: &mut Marks) -> String {
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", client),
        ("code_verifier", VERIFIER),
    ];
    let first = post(served, "/token", &exchange).await.json();
    marks.plant_jwt("the access token", &first["access_token"]);
    marks.plant_jwt("the id_token", &first["id_token"]);
    let refresh = marks.plant("the refresh token", first["refresh_token"].as_str().unwrap());
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", &*refresh), ("client_id", client)];
    let second = post(served, "/token", &fields).await.json();
    let access = marks.plant_jwt("the second access token", &second["access_token"]);
    let refresh =
        marks.plant("the second refresh token", second["refresh_token"].as_str().unwrap());
    let bearer = format!("Bearer {access}");
    let told = served.send(Request::new("GET", "/userinfo").header("authorization", &bearer)).await;
    assert_eq!(told.status, 200, "{told:?}");
    marks.are_not_in("userinfo", told.body.as_bytes());
    assert_eq!(post(served, "/token", &exchange).await.json()["error"], "invalid_grant");
    let revoked = post(served, "/revoke", &[("token", &refresh), ("client_id", client)]).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    access
}

/// Wrong in every place where something secret may be sent; gives all answers.
async fn misuses(served: &Served, client: &str) -> String {
    let mut answers = String::new();
    for (path, fields) in [
        (
            "/token",
            vec![
                ("grant_type", "authorization_code"),
                ("code", GARBAGE),
                ("code_verifier", GARBAGE),
                ("redirect_uri", REDIRECT),
                ("client_id", client),
            ],
        ),
        (
            "/token",
            vec![
                ("grant_type", "refresh_token"),
                ("refresh_token", GARBAGE),
                ("client_id", client),
            ],
        ),
        (
            "/token",
            vec![
                ("grant_type", "client_credentials"),
                ("client_id", "machine"),
                ("client_secret", GARBAGE),
            ],
        ),
        (
            "/token",
            vec![("grant_type", GARBAGE), ("client_assertion", GARBAGE), ("client_id", client)],
        ),
        (
            "/introspect",
            vec![("token", GARBAGE), ("client_id", "machine"), ("client_secret", CLIENT_SECRET)],
        ),
        ("/revoke", vec![("token", GARBAGE), ("client_id", client)]),
    ] {
        let answer = post(served, path, &fields).await;
        answers.extend([answer.head.as_str(), "\n", &answer.body, "\n"]);
    }
    for path in ["/mcp", "/userinfo", "/api/v1/users", "/introspect"] {
        let request =
            Request::new("POST", path).header("authorization", &format!("Bearer {GARBAGE}"));
        let answer = served.send(request).await;
        answers.extend([answer.head.as_str(), "\n", &answer.body, "\n"]);
    }
    for path in [
        format!("/login/link/{GARBAGE}"),
        format!("/login/callback/{GARBAGE}?code={GARBAGE}&state={GARBAGE}"),
    ] {
        let answer = served.send(Request::new("GET", &path)).await;
        answers.extend([answer.head.as_str(), "\n", &answer.body, "\n"]);
    }
    answers
}

#[tokio::test]
async fn what_gives_access_is_in_no_log_no_file_and_no_other_answer() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("MACHINE_SECRET", CLIENT_SECRET), ("PROVIDER_SECRET", PROVIDER_SECRET)];
    let (provider, settings) = provider().await;
    let mut served = Served::start(directory.path(), &settings, &variables).await;
    let link = first_link(&served).await;
    let path = link.split_once(&served.authority).unwrap().1.to_owned();
    let mut marks = Marks::default();
    marks.plant("the one-time link", path.rsplit('/').next().unwrap());
    for (name, value) in [
        ("a password", PASSWORD),
        ("a client secret", CLIENT_SECRET),
        ("our secret elsewhere", PROVIDER_SECRET),
        ("a token from elsewhere", PROVIDER_TOKEN),
        ("what was sent in vain", GARBAGE),
        ("a verifier", VERIFIER),
    ] {
        marks.plant(name, value);
    }
    logs_in_elsewhere(&served, &provider, &mut marks, directory.path()).await;
    let (client, code) = consents(&served, &path, &mut marks).await;
    let access = spends(&served, &client, &code, &mut marks).await;
    canary_given::is_given_out(&served, (directory.path(), &variables), &mut marks).await;
    let machine = [
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", CLIENT_SECRET),
    ];
    let machine = post(&served, "/token", &machine).await.json();
    marks.plant_jwt("the machine's token", &machine["access_token"]);
    let fields = [("token", &*access), ("client_id", "machine"), ("client_secret", CLIENT_SECRET)];
    let introspected = post(&served, "/introspect", &fields).await;
    marks.are_not_in("an introspection", introspected.body.as_bytes());
    let answers = misuses(&served, &client).await;
    marks.are_not_in("an error", answers.as_bytes());
    // While it runs, and what it leaves behind. The banner is where the link belongs, and nowhere else.
    marks.are_not_below(directory.path(), "stderr");
    served.terminate();
    assert!(served.ended().await.success());
    marks.are_not_below(directory.path(), "stderr");
    let log = served.stderr();
    assert!(log.contains("http.stopped") && log.matches(&link).count() == 1, "{log}");
    marks.are_not_in("the log", log.replace(&link, "").as_bytes());
    let audit = served.audit_lines().join("\n");
    assert!(audit.contains("person.login.succeeded"), "{audit}");
    for (what, mark) in PERSON {
        assert!(!log.contains(mark) && !audit.contains(mark), "the {what} of a person is in a log");
    }
    assert!(marks.0.len() > 27, "not everything was planted");
}
