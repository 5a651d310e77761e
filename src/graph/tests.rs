//! Calls over real HTTP: against the simulation from end to end, and against a scripted server for faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::code::Code;
use crate::fake_http::{Act, FakeHttp, loopback_client};
use crate::policy::{Decision, Effect, GraphGrant, Permit, Reason};
use crate::random::SystemRandom;
use crate::scope::Scope;
use crate::secret::{Secret, SecretError};
use crate::time::{Budget, Clock, SystemClock};
use crate::token::{
    Authority, Credential, CredentialSource, Freshness, ProfileSettings, ProviderToken,
    ProviderTokens,
};

use super::simulated::{CLIENT_ID, RESOURCE, Simulation, TENANT};
use super::*;

const SECRET: &str = "CANARY-secret-0001";

struct Fixed(String);

impl CredentialSource for Fixed {
    fn secret(&self, _: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        let secret = Secret::for_test(&self.0, "env:GRAPH_SECRET".parse().unwrap());
        Box::pin(async move { Ok(secret) })
    }
}

#[derive(Default)]
struct Seen(Vec<Attempt>);

impl AttemptObserver for Seen {
    fn attempted(&mut self, attempt: Attempt) -> BoxFuture<'_, ()> {
        self.0.push(attempt);
        Box::pin(std::future::ready(()))
    }
}

struct Bench {
    graph: Graph,
    permit: Permit<GraphGrant>,
    token: ProviderToken,
    clock: Arc<dyn Clock>,
}

fn permit(reveal_links: bool) -> Permit<GraphGrant> {
    let decision = Decision {
        effect: Effect::Allow,
        reason: Reason::Default,
        code: None,
        matched_rule_id: None,
        policy_version: "test".into(),
        requester_id: None,
        tenant_id: None,
        scopes_evaluated: Vec::new(),
        missing_scopes: Scope::default(),
    };
    let grant = GraphGrant {
        profile: "reader".parse().unwrap(),
        tenant: TENANT.parse().unwrap(),
        resource: RESOURCE.into(),
        permissions: Vec::new(),
        path_template: "/v1.0/users".into(),
        reveal_links,
    };
    Permit::for_test(grant, decision)
}

/// `login` gives the token, `graph` is called with it.
async fn bench(login: &str, graph: &str, secret: &str) -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random = Arc::new(SystemRandom::new());
    let authority = Authority { cloud: "custom".into(), login: login.parse().unwrap() };
    let (name, tenant) = ("reader".parse().unwrap(), TENANT.parse().unwrap());
    let profile =
        ProfileSettings::new(name, tenant, CLIENT_ID, authority, Credential::ClientSecret).unwrap();
    let settings = crate::token::Settings::default();
    let tokens = ProviderTokens::new(
        loopback_client(),
        loopback_client(),
        clock.clone(),
        random.clone(),
        settings,
    );
    let permit = permit(false);
    let budget = Budget::start(clock.clone(), Duration::from_secs(30));
    let token = tokens.obtain(&permit, &profile, &Fixed(secret.to_owned()), &budget).await.unwrap();
    let custom = CustomCloud::new(
        login.parse().unwrap(),
        graph.parse().unwrap(),
        Some(&RESOURCE.parse().unwrap()),
    );
    let cloud = Cloud::Custom(custom.unwrap());
    let graph = Graph::new(
        loopback_client(),
        &cloud,
        Settings::default(),
        Arc::default(),
        (clock.clone(), random),
    );
    Bench { graph, permit, token, clock }
}

async fn simulated() -> (Simulation, Bench) {
    let simulation =
        Simulation::start(Arc::new(SystemClock), Arc::new(SystemRandom::new())).await.unwrap();
    let origin = simulation.origin();
    let bench = bench(&origin, &origin, simulation.client_secret().expose()).await;
    (simulation, bench)
}

/// Graph plays `acts`; the token is `CANARY-token-0001`.
async fn scripted(acts: Vec<Act>) -> (FakeHttp, Bench) {
    let grant = r#"{"access_token":"CANARY-token-0001","token_type":"Bearer","expires_in":3599}"#;
    let login = FakeHttp::start(vec![Act::json(200, grant)]).await;
    let graph = FakeHttp::start(acts).await;
    let bench = bench(login.origin.as_str(), graph.origin.as_str(), SECRET).await;
    (graph, bench)
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> GraphRequest {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap();
    GraphRequest::parse(&UnverifiedRequest { method, path, headers: &headers, body }, id).unwrap()
}

impl Bench {
    async fn run(
        &self,
        request: &GraphRequest,
        limit: Duration,
    ) -> (Result<GraphReply, GraphError>, Vec<Attempt>) {
        let budget = Budget::start(self.clock.clone(), limit);
        let mut seen = Seen::default();
        let result =
            self.graph.execute(&self.permit, &self.token, request, &budget, &mut seen).await;
        (result, seen.0)
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> GraphReply {
        self.run(&request(method, path, headers, body), Duration::from_secs(30)).await.0.unwrap()
    }

    async fn get(&self, path: &str) -> (Result<GraphReply, GraphError>, Vec<Attempt>) {
        self.run(&request("GET", path, &[], None), Duration::from_secs(30)).await
    }
}

#[tokio::test]
async fn a_list_is_paged_with_relative_links_until_its_end() {
    let (_simulation, bench) = simulated().await;
    let mut path = "/v1.0/users?$top=5&$select=displayName".to_owned();
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let body = bench.get(&path).await.0.unwrap().into_body();
        names.extend(
            body["value"].as_array().unwrap().iter().map(|user| user["displayName"].to_string()),
        );
        pages += 1;
        match body.get("@odata.nextLink") {
            Some(next) => path = next.as_str().unwrap().to_owned(),
            None => break,
        }
        assert!(path.starts_with("/v1.0/users?$top=5&$select=displayName&$skiptoken="), "{path}");
    }
    assert_eq!((pages, names.len()), (3, 12));
}

#[tokio::test]
async fn counting_and_filtering_work_as_in_graph() {
    let (_simulation, bench) = simulated().await;
    let eventual = [("consistency-level", "eventual")];
    let path = "/v1.0/users?$count=true&$filter=startswith(displayName,'A')";
    assert_eq!(bench.call("GET", path, &eventual, None).await.body()["@odata.count"], 2);
    assert!(bench.call("GET", path, &[], None).await.body().get("@odata.count").is_none());
    assert_eq!(bench.call("GET", "/v1.0/users/$count", &[], None).await.http_status(), 400);
    let one = "/v1.0/users?$filter=userPrincipalName+eq+'ada@contoso.example'";
    assert_eq!(
        bench.call("GET", one, &[], None).await.body()["value"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn etags_guard_changes_and_save_reads() {
    let (_simulation, bench) = simulated().await;
    let path = "/v1.0/users/ada@contoso.example";
    let etag = bench.call("GET", path, &[], None).await.headers()["etag"].clone();
    assert_eq!(bench.call("GET", path, &[("if-none-match", &etag)], None).await.http_status(), 304);
    let change = json!({"jobTitle": "Countess"});
    assert_eq!(
        bench.call("PATCH", path, &[("if-match", &etag)], Some(&change)).await.http_status(),
        204
    );
    assert_eq!(
        bench.call("PATCH", path, &[("if-match", &etag)], Some(&change)).await.http_status(),
        412
    );
    assert_eq!(bench.call("GET", path, &[], None).await.body()["jobTitle"], "Countess");
}

#[tokio::test]
async fn writing_really_changes_the_tenant() {
    let (_simulation, bench) = simulated().await;
    let mail = json!({"message": {"subject": "Hi", "toRecipients": [{"emailAddress": {"address": "alan@contoso.example"}}]}});
    let sent =
        bench.call("POST", "/v1.0/users/ada@contoso.example/sendMail", &[], Some(&mail)).await;
    assert_eq!((sent.http_status(), sent.body()), (202, &Value::Null));
    let inbox =
        bench.call("GET", "/v1.0/users/alan@contoso.example/messages", &[], None).await.into_body();
    assert_eq!(inbox["value"][0]["subject"], "Hi");
    let message = format!(
        "/v1.0/users/alan@contoso.example/messages/{}",
        inbox["value"][0]["id"].as_str().unwrap()
    );
    assert_eq!(bench.call("DELETE", &message, &[], None).await.http_status(), 204);
    let gone = bench.call("GET", &message, &[], None).await;
    assert_eq!(
        (gone.http_status(), &gone.body()["error"]["code"]),
        (404, &json!("ErrorItemNotFound"))
    );
}

#[tokio::test]
async fn what_the_app_may_not_do_names_the_least_permission() {
    let (_simulation, bench) = simulated().await;
    let error = bench.get("/v1.0/organization").await.0.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::ProviderAuthFailed, Some(Detail::InsufficientPrivileges))
    );
    assert_eq!(error.least_permissions(), ["Organization.Read.All".parse().unwrap()]);
    assert!(error.provider_request_id().is_some());
}

#[tokio::test]
async fn me_and_unknown_things_are_answers_about_the_operation() {
    let (_simulation, bench) = simulated().await;
    for (path, status) in [("/v1.0/me", 400), ("/v1.0/users/nobody", 404), ("/v1.0/planets", 400)] {
        let reply = bench.get(path).await.0.unwrap();
        assert_eq!(reply.http_status(), status, "{path}");
        assert!(reply.body()["error"]["innerError"]["request-id"].is_string());
        assert_eq!(reply.headers()["client-request-id"], "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b");
    }
}

#[tokio::test]
async fn a_binary_answer_is_base64_with_its_type() {
    let (_simulation, bench) = simulated().await;
    let body =
        bench.get("/v1.0/users/ada@contoso.example/photo/$value").await.0.unwrap().into_body();
    assert_eq!((&body["content_type"], &body["encoding"]), (&json!("image/gif"), &json!("base64")));
    assert!(body["data"].as_str().unwrap().starts_with("R0lGODlh"));
}

#[tokio::test]
async fn throttling_outlasts_three_attempts_and_says_how_long_to_wait() {
    let wait = Act::Answer(429, "retry-after: 0.01\r\n", String::new());
    let (graph, bench) = scripted(vec![wait]).await;
    let (result, attempts) = bench.get("/v1.0/users").await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.retry_after()),
        (Code::ProviderRateLimited, Some(Duration::from_millis(10)))
    );
    assert_eq!((error.attempts(), attempts.len(), graph.requests().len()), (3, 3, 3));
    assert!(
        attempts
            .iter()
            .all(|one| one.http_status == Some(429) && one.outcome == AttemptOutcome::Error)
    );
}

#[tokio::test]
async fn a_wait_that_does_not_fit_the_budget_is_handed_to_the_caller() {
    let wait = Act::Answer(503, "retry-after: 60\r\n", String::new());
    let (graph, bench) = scripted(vec![wait]).await;
    let error = bench.get("/v1.0/users").await.0.unwrap_err();
    assert_eq!(
        (error.code(), error.retry_after()),
        (Code::ProviderUnavailable, Some(Duration::from_mins(1)))
    );
    assert_eq!(graph.requests().len(), 1);
}

#[tokio::test]
async fn only_idempotent_calls_are_repeated() {
    let guarded = [("if-match", "*")];
    for (method, headers, calls) in
        [("GET", &[][..], 2), ("PATCH", &guarded, 2), ("PATCH", &[], 1), ("POST", &guarded, 1)]
    {
        let acts = vec![Act::Close, Act::json(200, "{}")];
        let (graph, bench) = scripted(acts).await;
        let request = request(method, "/v1.0/users/1", headers, None);
        let (result, _) = bench.run(&request, Duration::from_secs(30)).await;
        assert_eq!(result.is_ok(), calls == 2, "{method}");
        assert_eq!(graph.requests().len(), calls, "{method}");
    }
}

#[tokio::test]
async fn statuses_map_onto_the_contract() {
    for (status, code) in [
        (401, Code::ProviderAuthFailed),
        (403, Code::ProviderAuthFailed),
        (408, Code::ProviderTimeout),
        (429, Code::ProviderRateLimited),
        (509, Code::ProviderRateLimited),
        (500, Code::ProviderUnavailable),
        (502, Code::ProviderUnavailable),
        (504, Code::ProviderTimeout),
    ] {
        let (_graph, bench) = scripted(vec![Act::json(status, r#"{"error":"CANARY"}"#)]).await;
        let (result, _) =
            bench.run(&request("POST", "/v1.0/users", &[], None), Duration::from_secs(30)).await;
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.http_status()), (code, Some(status)));
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
    for status in [200, 304, 400, 402, 404, 409, 410, 412, 415, 423, 501, 507] {
        let (_graph, bench) = scripted(vec![Act::Answer(status, "", String::new())]).await;
        assert_eq!(bench.get("/v1.0/users").await.0.unwrap().http_status(), status);
    }
}

#[tokio::test]
async fn a_refused_token_is_told_apart_from_a_claims_challenge() {
    for (header, detail) in [
        ("www-authenticate: Bearer error=\"invalid_token\"\r\n", Detail::TokenRefused),
        (
            "www-authenticate: Bearer error=\"insufficient_claims\", claims=\"e30=\"\r\n",
            Detail::ClaimsChallenge,
        ),
    ] {
        let (graph, bench) = scripted(vec![Act::Answer(401, header, String::new())]).await;
        let error = bench.get("/v1.0/users").await.0.unwrap_err();
        assert_eq!((error.detail(), error.token_refused()), (Some(detail), true));
        assert_eq!(graph.requests().len(), 1);
    }
}

#[tokio::test]
async fn answers_that_cannot_be_handed_on_are_bad_responses() {
    for (act, detail) in [
        (Act::json(200, "<html>"), Detail::InvalidJson),
        (Act::json(200, &"x".repeat(300_000)), Detail::ResponseTooLarge),
        (Act::Answer(200, "content-encoding: gzip\r\n", "bomb".to_owned()), Detail::Compressed),
    ] {
        let (_graph, bench) = scripted(vec![act]).await;
        let error = bench.get("/v1.0/users").await.0.unwrap_err();
        assert_eq!((error.code(), error.detail()), (Code::ProviderBadResponse, Some(detail)));
    }
}

#[tokio::test]
async fn a_hanging_or_trickling_graph_is_a_timeout_and_audited_as_one() {
    for act in [Act::Hang, Act::Trickle] {
        let (_graph, bench) = scripted(vec![act]).await;
        let request = request("GET", "/v1.0/users", &[], None);
        let (result, attempts) = bench.run(&request, Duration::from_millis(60)).await;
        assert_eq!(result.unwrap_err().code(), Code::ProviderTimeout);
        assert_eq!(attempts[0].outcome, AttemptOutcome::Timeout);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_not_shown() {
    let elsewhere = Act::Answer(
        302,
        "location: http://127.0.0.1:1/CANARY\r\nset-cookie: CANARY\r\n",
        String::new(),
    );
    let (graph, mut bench) = scripted(vec![elsewhere]).await;
    let reply = bench.get("/v1.0/drives/1/items/2/content").await.0.unwrap();
    assert_eq!((reply.http_status(), graph.requests().len()), (302, 1));
    assert_eq!(reply.redactions()[0].field, "result.execution.response_headers.location");
    assert!(!format!("{:?}", reply.headers()).contains("CANARY"));
    bench.permit = permit(true);
    let revealed = bench.get("/v1.0/drives/1/items/2/content").await.0.unwrap();
    assert_eq!(revealed.headers()["location"], "http://127.0.0.1:1/CANARY");
}

#[tokio::test]
async fn a_server_that_sends_our_own_secrets_back_gets_them_to_nobody() {
    let body = json!({"echo": "Bearer CANARY-token-0001", "list": [SECRET]}).to_string();
    let headers = "content-type: application/json\r\netag: CANARY-token-0001\r\n";
    let plain = Act::Answer(200, "content-type: text/plain\r\n", format!("x {SECRET} y"));
    let (_graph, bench) = scripted(vec![Act::Answer(200, headers, body), plain]).await;
    for listed in [3, 1] {
        let reply = bench.get("/v1.0/users").await.0.unwrap();
        let shown =
            format!("{reply:?} {:?} {} {:?}", reply.headers(), reply.body(), reply.redactions());
        assert!(!shown.contains("CANARY"), "{shown}");
        assert_eq!(reply.redactions().len(), listed);
    }
}

#[tokio::test]
async fn only_listed_headers_are_sent_and_handed_on() {
    let act = Act::Answer(
        200,
        "x-ms-throttle-scope: a\r\nx-powered-by: b\r\nset-cookie: c\r\nrequest-id: d\r\n",
        String::new(),
    );
    let (graph, bench) = scripted(vec![act]).await;
    let reply = bench
        .call("GET", "/v1.0/users", &[("authorization", "Bearer mine"), ("prefer", "x")], None)
        .await;
    let names: Vec<&str> = reply.headers().keys().map(String::as_str).collect();
    assert_eq!(names, ["request-id", "x-ms-throttle-scope"]);
    let sent = &graph.requests()[0];
    assert!(
        sent.contains("authorization: Bearer CANARY-token-0001") && !sent.contains("mine"),
        "{sent}"
    );
    assert!(sent.contains("prefer: x") && sent.contains("client-request-id: 0192f0c1"));
}

#[tokio::test]
async fn a_token_for_another_tenant_is_never_sent() {
    let (graph, mut bench) = scripted(vec![Act::json(200, "{}")]).await;
    let mut grant = bench.permit.operation().clone();
    grant.tenant = "other.example".parse().unwrap();
    bench.permit = Permit::for_test(grant, bench.permit.decision().clone());
    let error = bench.get("/v1.0/users").await.0.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::TokenMismatch));
    assert!(graph.requests().is_empty());
}
