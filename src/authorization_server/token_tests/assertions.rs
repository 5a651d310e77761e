//! Assertions of identity providers and platforms become tokens (RFC 7523 §2.1), once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::authorization_server::{
    AssertionIssuer, ClaimMap, Endpoints, IdentityAssertions, IdentityProviderSettings, Settings,
    WorkloadRules,
};
use crate::fake_http::{Act, FakeHttp};
use crate::resource_server::Algorithm;
use crate::store::ExternalIdentity;
use crate::time::Clock as _;

use super::support::{Answer, MCP, NOW, Site, basic, client, refused};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const ISSUER: &str = "https://idp.example";
pub(super) const JOB: &str = "repo:contoso/app:ref:refs/heads/main";

/// Somebody who signs, with a key of theirs.
struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn jwks(&self) -> String {
        let point = self.0.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] }).to_string()
    }

    fn sign(&self, typ: &str, claims: &Value) -> String {
        let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        let key = EncodingKey::from_ec_der(self.0.serialized_der());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

/// A site that trusts a provider, whose key set is at a host that does as it is told.
pub(super) struct Trusting {
    pub(super) site: Site,
    signer: Signer,
    host: FakeHttp,
}

fn provider() -> IdentityProviderSettings {
    IdentityProviderSettings {
        id: "idp".to_owned(),
        name: "Contoso".to_owned(),
        issuer: ISSUER.to_owned(),
        client_id: "broker".parse().unwrap(),
        client_secret: None,
        scopes: "openid".parse().unwrap(),
        endpoints: Endpoints::Discovered,
        claims: ClaimMap::default(),
        require: std::collections::BTreeMap::new(),
        stored: false,
        standing: crate::login_provider::Standing::default(),
    }
}

fn from(host: &FakeHttp) -> AssertionIssuer {
    AssertionIssuer {
        issuer: ISSUER.parse().unwrap(),
        jwks_uri: Some(host.origin.join("keys").unwrap()),
        algorithms: vec![Algorithm::ES256],
    }
}

fn rules(host: &FakeHttp, single_use: bool) -> WorkloadRules {
    let claims = [("sub".to_owned(), vec![JOB.to_owned()])].into();
    WorkloadRules { from: from(host), audience: None, claims, single_use }
}

impl Trusting {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let signer = Signer::new();
        let acts = vec![Act::json(200, &signer.jwks())];
        Self::at(signer, FakeHttp::start(acts).await, change).await
    }

    async fn at(signer: Signer, host: FakeHttp, change: impl FnOnce(&mut Settings)) -> Self {
        let trusted = |settings: &mut Settings| {
            let provider = provider();
            settings.identity_assertions = vec![IdentityAssertions { from: from(&host), provider }];
            settings.clients.push(client("agent", Some("s3cret"), GRANT, ""));
            settings.clients.push(client("open", None, GRANT, ""));
            for (id, single_use) in [("job", true), ("pod", false)] {
                let mut job = client(id, None, GRANT, "graph:read");
                job.workload = Some(rules(&host, single_use));
                settings.clients.push(job);
            }
            change(settings);
        };
        Self { site: Site::with(trusted).await, signer, host }
    }

    pub(super) fn id_jag(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": "https://broker.example", "sub": "ada-at-idp", "client_id": "agent",
            "jti": "j1", "iat": NOW, "exp": NOW + 300, "resource": MCP, "scope": "graph:read mail:read",
            "preferred_username": "ada@contoso.example",
        });
        change(&mut claims);
        self.signer.sign("oauth-id-jag+jwt", &claims)
    }

    pub(super) fn job(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER, "aud": "https://broker.example/token", "sub": JOB, "jti": "j1", "iat": NOW,
            "exp": NOW + 300,
        });
        change(&mut claims);
        self.signer.sign("JWT", &claims)
    }

    pub(super) async fn brings(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        self.brings_as(Some("agent:s3cret"), assertion, more).await
    }

    pub(super) async fn brings_as(
        &self,
        who: Option<&str>,
        assertion: &str,
        more: &[(&str, &str)],
    ) -> Answer {
        let form = [("grant_type", GRANT), ("assertion", assertion)];
        let form: Vec<_> = form.into_iter().chain(more.iter().copied()).collect();
        self.site.post_as("/token", who.map(basic).as_deref(), &form).await
    }
}

// MCP Enterprise-Managed Authorization §5.1 — N86
#[tokio::test]
async fn a_client_gets_the_token_of_a_person_that_the_provider_vouches_for() {
    let trusting = Trusting::new().await;
    let answer = trusting.brings(&trusting.id_jag(|_| {}), &[]).await;
    let members = answer.json();
    assert!(members.get("refresh_token").is_none() && members.get("id_token").is_none());
    let claims = answer.claims();
    assert_eq!((&claims["aud"], &claims["client_id"]), (&json!(MCP), &json!("agent")));
    assert_eq!(claims["scope"], "graph:read mail:read");
    let person = trusting.site.store.find_user_of_identity(ISSUER, "ada-at-idp").await.unwrap();
    let person = person.unwrap();
    assert_eq!(claims["sub"], json!(person.id.to_string()));
    assert!(person.groups_incomplete && claims["hasgroups"] == true, "nobody said which");
    let (types, log) = trusting.site.events().await;
    assert!(types.contains(&"oauth.token.issued".to_owned()), "{types:?}");
    assert!(log.contains("jwt_bearer") && log.contains("\"j1\""), "{log}");
    let again = trusting.id_jag(|claims| claims["jti"] = json!("j2"));
    assert_eq!(trusting.brings(&again, &[]).await.claims()["sub"], claims["sub"]);
}

// MCP Enterprise-Managed Authorization §4.3 — N86
#[tokio::test]
async fn an_assertion_counts_once() {
    let trusting = Trusting::new().await;
    let assertion = trusting.id_jag(|_| {});
    assert_eq!(trusting.brings(&assertion, &[]).await.status, 200);
    for _ in 0..2 {
        let again = trusting.brings(&assertion, &[]).await;
        assert_eq!(again.error(), refused(400, "invalid_grant"));
    }
}

// MCP Enterprise-Managed Authorization §4.3, RFC 7523 §3 — N86
#[tokio::test]
async fn what_is_for_somebody_else_or_of_nobody_we_trust_is_refused_and_not_used_up() {
    let trusting = Trusting::new().await;
    let stranger = Signer::new();
    let good = json!({
        "iss": ISSUER, "aud": "https://broker.example", "sub": "a", "client_id": "agent", "jti": "j1",
        "iat": NOW, "exp": NOW + 300, "resource": MCP,
    });
    let wrong = |name: &str, value: Value| trusting.id_jag(|claims| claims[name] = value);
    for bad in [
        wrong("iss", json!("https://evil.example")),
        wrong("aud", json!("https://other.example")),
        wrong("client_id", json!("web")),
        wrong("resource", json!("https://nobody.example/mcp")),
        wrong("exp", json!(NOW + 600)),
        wrong("sub", json!("")),
        wrong("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })),
        stranger.sign("oauth-id-jag+jwt", &good),
        trusting.signer.sign("JWT", &good),
        trusting.signer.sign("at+jwt", &good),
        "x.y.z".to_owned(),
        String::new(),
    ] {
        let answer = trusting.brings(&bad, &[]).await;
        let error = if bad.is_empty() { "invalid_request" } else { "invalid_grant" };
        assert_eq!(answer.error(), refused(400, error), "{bad}");
    }
    assert_eq!(trusting.brings(&trusting.id_jag(|_| {}), &[]).await.status, 200);
}

// MCP Enterprise-Managed Authorization §5.1 — N86
#[tokio::test]
async fn only_a_client_that_proves_itself_and_is_set_up_for_it_may_bring_one() {
    let trusting = Trusting::new().await;
    let as_client = |id: &str| trusting.id_jag(|claims| claims["client_id"] = json!(id));
    let web = trusting.brings_as(Some("web:s3cret"), &as_client("web"), &[]).await;
    assert_eq!(web.error(), refused(400, "unauthorized_client"));
    let open = trusting.brings_as(None, &as_client("open"), &[("client_id", "open")]).await;
    assert_eq!(open.error(), refused(400, "unauthorized_client"));
    let nobody = trusting.brings_as(None, &as_client("agent"), &[]).await;
    assert_eq!(nobody.error(), refused(401, "invalid_client"));
    let wrong = trusting.brings_as(Some("agent:wrong"), &as_client("agent"), &[]).await;
    assert_eq!(wrong.error(), refused(401, "invalid_client"));
}

// MCP Enterprise-Managed Authorization §5.1, RFC 8707 §2 — N86
#[tokio::test]
async fn a_token_is_for_the_named_server_with_what_both_sides_and_policy_allow() {
    let trusting = Trusting::new().await;
    trusting.site.register("weather", "https://weather.example/mcp").await;
    let mut number = 0;
    let mut with = |scope: Option<&str>| {
        number += 1;
        trusting.id_jag(|claims| {
            claims["jti"] = json!(number.to_string());
            claims["scope"] = scope.map_or(Value::Null, |scope| json!(scope));
            if scope.is_none() {
                claims.as_object_mut().unwrap().remove("scope");
            }
        })
    };
    let all = Some("graph:read mail:read openid offline_access broker:admin *");
    let narrowed = trusting.brings(&with(all), &[("scope", "mail:read files:read")]).await;
    assert_eq!(narrowed.member("scope"), "mail:read", "a star is no more than itself");
    let plain = Some("graph:read mail:read openid");
    let narrowed = trusting.brings(&with(plain), &[("scope", "mail:read files:read")]).await;
    assert_eq!(narrowed.member("scope"), "mail:read");
    assert_eq!(trusting.brings(&with(plain), &[]).await.member("scope"), "graph:read mail:read");
    let unsaid = trusting.brings(&with(None), &[("scope", "graph:read mail:read")]).await;
    assert_eq!(unsaid.member("scope"), "graph:read", "of what anybody gets who asks for nothing");
    for (scope, asked) in [(Some("openid"), "openid"), (plain, "files:read"), (all, "broker:admin")]
    {
        let answer = trusting.brings(&with(scope), &[("scope", asked)]).await;
        assert_eq!(answer.error(), refused(400, "invalid_scope"), "{asked}");
    }
    let elsewhere = [("resource", "https://weather.example/mcp")];
    let answer = trusting.brings(&with(plain), &elsewhere).await;
    assert_eq!(answer.error(), refused(400, "invalid_target"));
    trusting.site.policy.deny("graph:read mail:read");
    let answer = trusting.brings(&with(plain), &[]).await;
    assert_eq!(answer.error(), refused(400, "invalid_scope"));
}

// MCP Enterprise-Managed Authorization §5.1 — N86, N115
#[tokio::test]
async fn a_person_is_who_they_are_when_they_log_in_and_can_be_locked_out() {
    let trusting = Trusting::new().await;
    let site = &trusting.site;
    let known = ExternalIdentity {
        issuer: ISSUER.to_owned(),
        subject: "ada-at-idp".to_owned(),
        username: "ada-l".to_owned(),
        display_name: Some("Ada".to_owned()),
        email: None,
        groups: vec!["engineers".to_owned()],
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let id = crate::id::UserId::generate(&*site.server.clock, &*site.server.random);
    site.store.user_of_identity(&known, id, site.clock.now()).await.unwrap();
    let silent = trusting.brings(&trusting.id_jag(|_| {}), &[]).await.claims();
    assert_eq!(
        (&silent["sub"], &silent["groups"]),
        (&json!(id.to_string()), &json!(["engineers"]))
    );
    let left = trusting.id_jag(|claims| {
        claims["jti"] = json!("j2");
        claims["groups"] = json!([]);
    });
    let left = trusting.brings(&left, &[]).await.claims();
    assert!(left.get("groups").is_none(), "the provider says that they have left: {left}");
    let user = site.store.find_user(id).await.unwrap().unwrap();
    assert_eq!(user.display_name.as_deref(), Some("Ada"), "of what it says nothing, nothing goes");
    site.store.disable_user(id, Some(site.clock.now())).await.unwrap();
    let locked = trusting.id_jag(|claims| claims["jti"] = json!("j3"));
    assert_eq!(trusting.brings(&locked, &[]).await.error(), refused(400, "invalid_grant"));
}

// RFC 7009 §2.1 — N81, N86
#[tokio::test]
async fn its_token_can_be_taken_back_and_ends_by_itself() {
    let trusting = Trusting::new().await;
    let token = trusting.brings(&trusting.id_jag(|_| {}), &[]).await.member("access_token");
    let (agent, form) = (basic("agent:s3cret"), [("token", token.as_str())]);
    let active = || trusting.site.post_as("/introspect", Some(&agent), &form);
    assert_eq!(active().await.json()["active"], true);
    assert_eq!(trusting.site.post_as("/revoke", Some(&agent), &form).await.status, 200);
    assert_eq!(active().await.json()["active"], false);
    let id = super::support::claims(&token)["grant_id"].as_str().unwrap().parse().unwrap();
    let grant = trusting.site.store.find_grant(id).await.unwrap().unwrap();
    assert_eq!(grant.expires_at, trusting.site.clock.now().plus(Duration::from_hours(1)));
}

// MCP workload identity federation, RFC 8725 §3.11 — N66, N86
#[tokio::test]
async fn the_two_kinds_are_never_taken_for_one_another() {
    let trusting = Trusting::new().await;
    let as_id_jag = trusting.signer.sign(
        "oauth-id-jag+jwt",
        &json!({ "iss": ISSUER, "aud": "https://broker.example/token", "sub": JOB, "jti": "j1",
            "iat": NOW, "exp": NOW + 300 }),
    );
    let answer = trusting.brings_as(None, &as_id_jag, &[]).await;
    assert_eq!(answer.error(), refused(401, "invalid_client"), "an ID-JAG names no client");
    let for_issuer = |claims: &mut Value| claims["aud"] = json!("https://broker.example");
    let answer = trusting.brings_as(None, &trusting.job(for_issuer), &[]).await;
    assert_eq!(answer.error(), refused(400, "invalid_grant"));
    let answer = trusting.brings(&trusting.job(|_| {}), &[]).await;
    assert_eq!(answer.error(), refused(400, "invalid_grant"), "a workload's is no ID-JAG");
    let access = trusting.signer.sign(
        "at+jwt",
        &json!({ "iss": ISSUER, "aud": "https://broker.example/token", "sub": JOB, "jti": "j1",
            "iat": NOW, "exp": NOW + 300 }),
    );
    let answer = trusting.brings_as(None, &access, &[]).await;
    assert_eq!(answer.error(), refused(400, "invalid_grant"));
    let named = trusting.brings_as(None, &trusting.job(|_| {}), &[("client_id", "job")]).await;
    assert_eq!(named.error(), refused(401, "invalid_client"), "its name alone proves nothing");
}

// RFC 8725 §3.1, RFC 7517 §5 — N86
#[tokio::test]
async fn a_new_key_is_fetched_for_and_unknown_ones_cause_no_storm() {
    let (old, new) = (Signer::new(), Signer::new());
    let sets = vec![Act::json(200, &old.jwks()), Act::json(200, &new.jwks())];
    let host = FakeHttp::start(sets).await;
    let trusting = Trusting::at(old, host, |_| {}).await;
    assert_eq!(trusting.brings(&trusting.id_jag(|_| {}), &[]).await.status, 200);
    let trusting = Trusting { signer: new, ..trusting };
    let rotated = trusting.id_jag(|claims| claims["jti"] = json!("j2"));
    for _ in 0..5 {
        assert_eq!(trusting.brings(&rotated, &[]).await.error(), refused(400, "invalid_grant"));
    }
    assert_eq!(trusting.host.requests().len(), 1, "none within the cool-down");
    trusting.site.clock.advance(Duration::from_secs(30));
    let late = trusting.id_jag(|claims| {
        claims["jti"] = json!("j3");
        claims["iat"] = json!(NOW + 30);
        claims["exp"] = json!(NOW + 330);
    });
    assert_eq!(trusting.brings(&late, &[]).await.status, 200);
    assert_eq!(trusting.host.requests().len(), 2);
}

// RFC 6749 §5.2 — N86, N114
#[tokio::test]
async fn keys_that_cannot_be_had_are_no_word_on_the_assertion() {
    let huge = format!("{{\"keys\":[\"{}\"]}}", "x".repeat(300 * 1024));
    for act in [Act::Close, Act::json(200, &huge), Act::json(200, "[]"), Act::json(302, "{}")] {
        let told = format!("{act:?}").chars().take(60).collect::<String>();
        let host = FakeHttp::start(vec![act]).await;
        let trusting = Trusting::at(Signer::new(), host, |_| {}).await;
        for answer in [
            trusting.brings(&trusting.id_jag(|_| {}), &[]).await,
            trusting.brings_as(None, &trusting.job(|_| {}), &[]).await,
        ] {
            assert_eq!(answer.error(), refused(503, "temporarily_unavailable"), "{told}");
        }
        assert_eq!(trusting.host.requests().len(), 1, "{told}: one try for both");
    }
}

// SSRF — N94
#[tokio::test]
async fn a_key_set_on_a_private_address_is_not_asked_for() {
    let private = |settings: &mut Settings| {
        let url = "http://10.0.0.1/keys".parse().unwrap();
        settings.identity_assertions[0].from.jwks_uri = Some(url);
    };
    let trusting = Trusting::with(private).await;
    let answer = trusting.brings(&trusting.id_jag(|_| {}), &[]).await;
    assert_eq!(answer.error(), refused(503, "temporarily_unavailable"));
}
