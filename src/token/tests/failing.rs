//! What is tried again, what is left alone, and what is shown of it.

use super::*;

#[tokio::test]
async fn a_refused_secret_is_read_anew_once_and_used_if_it_changed() {
    let mut bench = bench(vec![refused(7_000_215), granted("t1", "")]).await;
    bench.secrets = Values::new(&["old-secret", "new-secret"]);
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1");
    assert_eq!(bench.secrets.asked(), [Freshness::Cached, Freshness::Reread]);
    assert!(bench.fake.requests()[1].contains("client_secret=new-secret"));
}

#[tokio::test]
async fn a_refused_secret_that_did_not_change_is_not_sent_again_for_a_minute() {
    let bench = bench(vec![refused(7_000_215)]).await;
    assert_eq!(bench.code().await, Code::ProviderAuthFailed);
    assert_eq!(bench.obtain().await.unwrap_err().detail(), Some(Detail::SecretInvalid));
    assert_eq!((bench.calls(), bench.secrets.asked().len()), (1, 2));
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.code().await, Code::ProviderAuthFailed);
    assert_eq!(bench.calls(), 2);
}

/// The minute in which an operator looks whether the new secret works.
#[tokio::test]
async fn a_refusal_ends_with_the_secret_in_the_file_that_was_refused() {
    let mut bench = bench(vec![refused(7_000_215), granted("t1", "")]).await;
    bench.secrets = Values::in_file("old-secret");
    for _ in 0..2 {
        assert_eq!(bench.code().await, Code::ProviderAuthFailed);
        assert_eq!(bench.calls(), 1, "the same one is not sent again");
    }
    bench.secrets = Values::in_file("new-secret");
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1");
    assert!(bench.fake.requests()[1].contains("client_secret=new-secret"));
}

#[tokio::test]
async fn a_refusal_ends_with_the_federated_token_that_was_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a.b.c").unwrap();
    let acts = vec![refused(700_024), granted("t1", "")];
    let path = file.path().to_owned();
    let bench = bench_with(acts, |_| Credential::FederatedTokenFile(path)).await;
    for _ in 0..2 {
        assert_eq!(bench.code().await, Code::ProviderAuthFailed);
        assert_eq!(bench.calls(), 1);
    }
    std::fs::write(file.path(), "a.b.d").unwrap();
    assert_eq!(text(&bench.obtain().await.unwrap()), "Bearer t1");
}

#[tokio::test]
async fn after_429_the_endpoint_is_left_alone_until_retry_after() {
    let throttled = Act::Answer(429, "retry-after: 60\r\n", String::new());
    let bench = bench(vec![throttled, granted("t1", "")]).await;
    assert_eq!(bench.obtain().await.unwrap_err().retry_after(), Some(Duration::from_mins(1)));
    bench.clock.advance(Duration::from_secs(20));
    assert_eq!(bench.obtain().await.unwrap_err().retry_after(), Some(Duration::from_secs(40)));
    assert_eq!(bench.calls(), 1);
    bench.clock.advance(Duration::from_secs(40));
    assert!(bench.obtain().await.is_ok());
}

#[tokio::test]
async fn transport_errors_and_5xx_are_tried_once_more_and_nothing_else_is() {
    for (act, calls) in [
        (Act::Close, 2),
        (Act::Reset, 2),
        (Act::json(500, ""), 2),
        (Act::json(400, "{}"), 1),
        (Act::json(400, "<html>"), 1),
        (Act::Answer(302, "location: http://127.0.0.1:1/\r\n", String::new()), 1),
        (Act::Answer(200, "content-encoding: gzip\r\n", "x".to_owned()), 1),
        (Act::Answer(200, "", "x".repeat(300_000)), 1),
    ] {
        let bench = bench(vec![act.clone()]).await;
        assert!(bench.obtain().await.is_err(), "{act:?}");
        assert_eq!(bench.calls(), calls, "{act:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_resets_the_connection_is_unavailable() {
    let bench = bench(vec![Act::Reset, granted("t1", "")]).await;
    assert!(bench.obtain().await.is_ok(), "tried once more");
    let bench = self::bench(vec![Act::Reset]).await;
    assert_eq!(bench.code().await, Code::ProviderUnavailable);
    assert_eq!(bench.calls(), 2);
}

#[tokio::test]
async fn a_hanging_or_trickling_endpoint_is_a_timeout_within_the_budget() {
    for act in [Act::Hang, Act::Trickle] {
        let bench = bench(vec![act]).await;
        let budget = Budget::start(bench.clock.clone(), Duration::from_millis(500));
        let (permit, profile) = (&bench.permit, &bench.profile);
        let error = bench.tokens.obtain(permit, profile, &bench.secrets, &budget).await;
        assert_eq!(error.unwrap_err().code(), Code::ProviderTimeout);
        assert_eq!(bench.calls(), 1);
    }
}

#[tokio::test]
async fn a_permit_for_another_profile_gets_no_token() {
    let mut bench = bench(vec![granted("t1", "")]).await;
    bench.permit = permit("mailer");
    assert_eq!(bench.obtain().await.unwrap_err().detail(), Some(Detail::PermitMismatch));
    assert_eq!(bench.calls(), 0);
}

#[tokio::test]
async fn neither_secret_nor_token_is_ever_printed() {
    let bench = bench(vec![refused(7_000_215), granted("CANARY-token", "")]).await;
    let error = bench.obtain().await.unwrap_err();
    bench.clock.advance(Duration::from_secs(61));
    let token = bench.obtain().await.unwrap();
    let shown = format!(
        "{error} {error:?} {token:?} {:?} {:?} {:?}",
        token.authorization(),
        bench.tokens,
        bench.profile
    );
    assert!(!shown.contains("CANARY"), "{shown}");
    assert_eq!(token.known_values().count(), 2);
}

/// An operator has to see why: a name that is not there, a port that nobody listens on, an address that is not allowed.
#[tokio::test]
async fn why_a_login_endpoint_cannot_be_reached_is_kept_for_the_log() {
    let mut bench = bench(vec![granted("t1", "")]).await;
    let public =
        crate::outbound::Outbound::new(&crate::outbound::OutboundSettings::default()).unwrap();
    let (clock, random) = (bench.clock.clone(), Arc::new(SystemRandom::new()));
    bench.tokens =
        ProviderTokens::new(public, loopback_client(), clock, random, Settings::default());
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::ProviderUnavailable, Some(Detail::AddressNotAllowed))
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not public") && cause.contains("outbound.allow_private"), "{cause}");
    assert_eq!(bench.calls(), 0);
}
