//! How long a token is used, who shares it, and when it is dropped.

use super::*;

#[tokio::test]
async fn the_wire_scope_is_default_and_the_secret_is_form_encoded() {
    let mut bench = bench(vec![granted("t1", "")]).await;
    bench.secrets = Values::new(&["a&b=c d+%"]);
    let token = bench.obtain().await.unwrap();
    assert_eq!((token.source(), text(&token).as_str()), (TokenSource::Minted, "Bearer t1"));
    let request = &bench.fake.requests()[0];
    assert!(request.starts_with("POST /contoso.example/oauth2/v2.0/token HTTP/1.1"), "{request}");
    assert!(request.contains("scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"), "{request}");
    assert!(request.contains("client_secret=a%26b%3Dc+d%2B%25"), "{request}");
}

#[tokio::test]
async fn a_token_is_used_until_its_end_less_the_skew_and_the_maximum() {
    let bench = bench(vec![granted("t1", ""), granted("t2", "")]).await;
    bench.obtain().await.unwrap();
    bench.clock.advance(Duration::from_secs(2999));
    let token = bench.obtain().await.unwrap();
    assert_eq!((token.source(), token.expires_in().as_secs()), (TokenSource::Cache, 1));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t2");
}

#[tokio::test]
async fn a_step_of_the_wall_clock_never_extends_a_token() {
    let bench = bench(vec![granted("t1", ""), granted("t2", "")]).await;
    bench.obtain().await.unwrap();
    bench.clock.step_wall(Timestamp::from_unix_seconds(0));
    bench.clock.advance(Duration::from_mins(50));
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t2");
}

#[tokio::test]
async fn a_step_forward_of_the_wall_clock_drops_no_token() {
    let bench = bench(vec![granted("t1", ""), granted("t2", "")]).await;
    bench.obtain().await.unwrap();
    bench.clock.step_wall(Timestamp::from_unix_seconds(9_999_999_999));
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1");
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_mint() {
    let bench = bench(vec![granted("t1", "")]).await;
    let all = join_all((0..20).map(|_| bench.obtain())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_failure() {
    let bench = bench(vec![Act::json(503, "")]).await;
    let all = join_all((0..20).map(|_| bench.obtain())).await;
    assert!(all.iter().all(|one| one.as_ref().unwrap_err().code() == Code::ProviderUnavailable));
    assert_eq!(bench.calls(), 2, "one attempt and one retry");
}

#[tokio::test]
async fn an_early_refresh_that_fails_leaves_the_old_token_in_use() {
    let bench =
        bench(vec![granted("t1", r#","refresh_in":100"#), Act::json(400, "{}"), granted("t2", "")])
            .await;
    bench.obtain().await.unwrap();
    bench.clock.advance(Duration::from_secs(101));
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1");
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1", "not asked again at once");
    assert_eq!(bench.calls(), 2);
    bench.clock.advance(Duration::from_secs(31));
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t2");
}

#[tokio::test]
async fn an_early_refresh_that_hangs_leaves_the_call_its_time() {
    let bench = bench(vec![granted("t1", r#","refresh_in":100"#), Act::Hang]).await;
    bench.obtain().await.unwrap();
    bench.clock.advance(Duration::from_secs(101));
    let (permit, profile) = (&bench.permit, &bench.profile);
    let budget = Budget::start(Arc::new(SystemClock), Duration::from_secs(2));
    let token = bench.tokens.obtain(permit, profile, &bench.secrets, &budget).await.unwrap();
    assert_eq!((token.source(), text(&token).as_str()), (TokenSource::Cache, "Bearer t1"));
    assert!(!budget.is_spent(), "the call itself has time left");
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1", "not asked again at once");
    assert_eq!(bench.calls(), 2);
}

#[tokio::test]
async fn a_token_that_graph_refused_is_dropped_once_in_five_minutes() {
    let bench = bench(vec![granted("t1", ""), granted("t2", "")]).await;
    let old = bench.obtain().await.unwrap();
    assert!(bench.tokens.drop_token(&old));
    let new = bench.obtain().await.unwrap();
    assert_eq!(text(&new), "Bearer t2");
    assert!(bench.tokens.drop_token(&old), "somebody else already replaced it");
    assert!(!bench.tokens.drop_token(&new), "too soon");
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t2");
}

#[tokio::test]
async fn a_short_lived_token_is_used_once_and_not_kept() {
    let body = r#"{"access_token":"t1","token_type":"Bearer","expires_in":30}"#;
    let bench = bench(vec![Act::json(200, body)]).await;
    assert_eq!(bench.obtain().await.unwrap().expires_in(), Duration::ZERO);
    bench.obtain().await.unwrap();
    assert_eq!((bench.calls(), bench.clock.monotonic()), (2, Duration::ZERO));
}
