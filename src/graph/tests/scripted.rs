//! Against a server that answers what a test scripts: faults, waits, and what must not be handed on.

use super::*;

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
async fn a_connection_that_is_reset_is_unavailable_and_its_call_repeated_where_that_is_safe() {
    let (graph, bench) = scripted(vec![Act::Reset, Act::json(200, "{}")]).await;
    let (result, attempts) = bench.get("/v1.0/users").await;
    assert!(result.is_ok());
    let first = attempts.first().unwrap();
    let reset = (AttemptOutcome::Error, None, Some(Code::ProviderUnavailable));
    assert_eq!((first.outcome, first.http_status, first.code), reset);
    assert_eq!(graph.requests().len(), 2);
    let (graph, bench) = scripted(vec![Act::Reset]).await;
    let write = request("POST", "/v1.0/users", &[], None);
    let error = bench.run(&write, Duration::from_secs(30)).await.0.unwrap_err();
    assert_eq!((error.code(), graph.requests().len()), (Code::ProviderUnavailable, 1));
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
        let (result, attempts) = bench.run(&request, Duration::from_millis(500)).await;
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

#[tokio::test]
async fn a_call_without_time_left_is_no_attempt() {
    let (graph, bench) = scripted(vec![Act::json(200, "{}")]).await;
    let request = request("GET", "/v1.0/users", &[], None);
    let (result, attempts) = bench.run(&request, Duration::ZERO).await;
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Code::ProviderTimeout, 0));
    assert!(!error.to_string().contains("did not answer"), "{error}: it was not asked");
    assert_eq!((graph.requests().len(), attempts.len()), (0, 0));
}
