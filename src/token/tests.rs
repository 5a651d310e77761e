//! Tokens obtained over real HTTP from a scripted endpoint: caching, refusals, throttling, rotation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use crate::code::Code;
use crate::fake_http::{Act, FakeHttp, loopback_client};
use crate::policy::{Decision, Effect, GraphGrant, Permit, Reason};
use crate::random::SystemRandom;
use crate::scope::Scope;
use crate::secret::{Secret, SecretError};
use crate::time::{Budget, Clock, FixedClock, Timestamp};

use super::*;

const SECRET: &str = "CANARY-secret-0001";
const RESOURCE: &str = "https://graph.microsoft.com";

/// Hands out its values in order, the last one again and again, and counts.
struct Values(Mutex<(VecDeque<&'static str>, Vec<Freshness>)>);

impl Values {
    fn new(values: &[&'static str]) -> Self {
        Self(Mutex::new((values.iter().copied().collect(), Vec::new())))
    }

    fn asked(&self) -> Vec<Freshness> {
        self.0.lock().unwrap().1.clone()
    }
}

impl CredentialSource for Values {
    fn secret(&self, freshness: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        let mut state = self.0.lock().unwrap();
        state.1.push(freshness);
        let value = if state.0.len() > 1 { state.0.pop_front() } else { state.0.front().copied() };
        let secret = Secret::for_test(value.unwrap(), "env:GRAPH_SECRET".parse().unwrap());
        Box::pin(async move { Ok(secret) })
    }
}

struct Bench {
    fake: FakeHttp,
    clock: Arc<FixedClock>,
    tokens: ProviderTokens,
    profile: ProfileSettings,
    permit: Permit<GraphGrant>,
    secrets: Values,
}

fn permit(profile: &str) -> Permit<GraphGrant> {
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
        profile: profile.parse().unwrap(),
        tenant: "contoso.example".parse().unwrap(),
        resource: RESOURCE.into(),
        permissions: Vec::new(),
        path_template: "/v1.0/users".into(),
        reveal_links: false,
    };
    Permit::for_test(grant, decision)
}

async fn bench_with(acts: Vec<Act>, credential: impl FnOnce(&FakeHttp) -> Credential) -> Bench {
    let fake = FakeHttp::start(acts).await;
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
    let random = Arc::new(SystemRandom::new());
    let authority = Authority { cloud: "custom".into(), login: fake.origin.clone() };
    let (name, tenant) = ("reader".parse().unwrap(), "contoso.example".parse().unwrap());
    let profile = ProfileSettings::new(name, tenant, "app", authority, credential(&fake)).unwrap();
    let tokens = ProviderTokens::new(
        loopback_client(),
        loopback_client(),
        clock.clone(),
        random,
        Settings::default(),
    );
    Bench {
        fake,
        clock,
        tokens,
        profile,
        permit: permit("reader"),
        secrets: Values::new(&[SECRET]),
    }
}

async fn bench(acts: Vec<Act>) -> Bench {
    bench_with(acts, |_| Credential::ClientSecret).await
}

impl Bench {
    fn budget(&self) -> Budget {
        Budget::start(self.clock.clone(), Duration::from_secs(10))
    }

    async fn obtain(&self) -> Result<ProviderToken, TokenError> {
        self.tokens.obtain(&self.permit, &self.profile, &self.secrets, &self.budget()).await
    }

    async fn code(&self) -> Code {
        self.obtain().await.unwrap_err().code()
    }

    fn calls(&self) -> usize {
        self.fake.requests().len()
    }
}

fn granted(token: &str, extra: &str) -> Act {
    Act::json(
        200,
        &format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3599{extra}}}"#),
    )
}

fn refused(code: u32) -> Act {
    Act::json(
        401,
        &format!(
            r#"{{"error":"invalid_client","error_description":"CANARY","error_codes":[{code}]}}"#
        ),
    )
}

fn text(token: &ProviderToken) -> String {
    token.authorization().to_str().unwrap().to_owned()
}

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
async fn a_hanging_or_trickling_endpoint_is_a_timeout_within_the_budget() {
    for act in [Act::Hang, Act::Trickle] {
        let bench = bench(vec![act]).await;
        let budget = Budget::start(bench.clock.clone(), Duration::from_millis(50));
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

#[tokio::test]
async fn a_federated_token_is_read_at_every_mint() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_owned();
    std::fs::write(&path, "first.a.b\n").unwrap();
    let acts = vec![granted("t1", ""), granted("t2", "")];
    let bench = bench_with(acts, |_| Credential::FederatedTokenFile(path.clone())).await;
    bench.obtain().await.unwrap();
    std::fs::write(&path, "second.a.b").unwrap();
    bench.clock.advance(Duration::from_hours(1));
    bench.obtain().await.unwrap();
    let requests = bench.fake.requests();
    assert!(requests[0].contains("client_assertion=first.a.b"));
    assert!(
        requests[1].contains("client_assertion=second.a.b")
            && !requests[1].contains("client_secret")
    );
    assert!(bench.secrets.asked().is_empty());
}

#[tokio::test]
async fn a_federated_token_file_that_is_not_a_jwt_is_not_sent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "CANARY not a jwt").unwrap();
    let bench = bench_with(vec![granted("t", "")], |_| {
        Credential::FederatedTokenFile(file.path().to_owned())
    })
    .await;
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (Code::SecretUnavailable, Some(Detail::FederatedTokenFile))
    );
    assert!(!format!("{error:?}").contains("CANARY") && bench.calls() == 0);
}

#[tokio::test]
async fn a_managed_identity_is_asked_for_a_resource_without_a_secret() {
    let body = r#"{"access_token":"t1","token_type":"Bearer","expires_in":"86400","resource":"x"}"#;
    let credential = |fake: &FakeHttp| {
        let (endpoint, client_id) = (fake.origin.clone(), Some("mi".to_owned()));
        Credential::ManagedIdentity(ManagedIdentity::Imds { endpoint, client_id })
    };
    let bench = bench_with(vec![Act::json(200, body)], credential).await;
    assert!(bench.obtain().await.is_ok());
    let request = &bench.fake.requests()[0];
    assert!(request.starts_with("GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com&client_id=mi "), "{request}");
    assert!(request.contains("metadata: true"));
}

#[tokio::test]
async fn app_service_sends_its_header_and_410_is_transient() {
    let credential = |fake: &FakeHttp| {
        let endpoint = fake.origin.join("/msi/token").unwrap();
        let header = "CANARY-header".to_owned().into();
        Credential::ManagedIdentity(ManagedIdentity::AppService {
            endpoint,
            header,
            client_id: None,
        })
    };
    let bench = bench_with(vec![Act::json(410, ""), Act::json(403, "{}")], credential).await;
    assert_eq!(bench.code().await, Code::ProviderUnavailable);
    assert!(bench.fake.requests()[0].contains("x-identity-header: CANARY-header"));
    assert_eq!(bench.obtain().await.unwrap_err().detail(), Some(Detail::ManagedIdentityRefused));
    assert!(!format!("{:?}", bench.profile).contains("CANARY"));
}

#[tokio::test]
async fn a_short_lived_token_is_used_once_and_not_kept() {
    let body = r#"{"access_token":"t1","token_type":"Bearer","expires_in":30}"#;
    let bench = bench(vec![Act::json(200, body)]).await;
    assert_eq!(bench.obtain().await.unwrap().expires_in(), Duration::ZERO);
    bench.obtain().await.unwrap();
    assert_eq!((bench.calls(), bench.clock.monotonic()), (2, Duration::ZERO));
}

#[tokio::test]
async fn a_certificate_signs_with_ps256_and_names_itself_by_sha_256() {
    use base64::Engine as _;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    let chain = CertificateChain::from_pem(certificate.pem().as_bytes()).unwrap();
    let thumbprint = chain.thumbprint().to_owned();
    let mut bench = bench_with(vec![granted("t1", "")], |_| Credential::Certificate {
        chain,
        send_chain: true,
    })
    .await;
    bench.secrets = Values::new(&[Box::leak(pair.serialize_pem().into_boxed_str())]);
    bench.obtain().await.unwrap();
    let request = bench.fake.requests().remove(0);
    let jwt = request.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
    let header = jsonwebtoken::decode_header(jwt).unwrap();
    assert_eq!(header.alg, jsonwebtoken::Algorithm::PS256);
    assert_eq!(header.x5t_s256, Some(thumbprint));
    assert_eq!(
        header.x5c,
        Some(vec![base64::engine::general_purpose::STANDARD.encode(certificate.der())])
    );
    let mut expected = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
    expected.set_audience(&[bench.fake.origin.join("/contoso.example/oauth2/v2.0/token").unwrap()]);
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap();
    let claims = jsonwebtoken::decode::<serde_json::Value>(jwt, &key, &expected).unwrap().claims;
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("app"), Some("app")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[tokio::test]
async fn a_private_key_that_is_none_is_not_shown() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
    let chain = CertificateChain::from_pem(certificate.pem().as_bytes()).unwrap();
    let bench = bench_with(vec![granted("t1", "")], |_| Credential::Certificate {
        chain,
        send_chain: false,
    })
    .await;
    let error = bench.obtain().await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::PrivateKeyUnusable));
    assert!(!format!("{error:?}").contains("CANARY") && bench.calls() == 0);
}
