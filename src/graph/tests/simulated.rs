//! Against the simulation, from end to end.

use super::*;

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
