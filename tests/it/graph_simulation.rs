//! The simulation as the development profile runs it: through the public interface and the one HTTP client.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use mcp_auth_broker::graph::simulated::{CLIENT_ID, RESOURCE, Simulation, TENANT};
use mcp_auth_broker::outbound::{Answer, Call, Limits, Outbound, OutboundError, OutboundSettings};
use mcp_auth_broker::random::SeededRandom;
use mcp_auth_broker::time::{FixedClock, Timestamp};
use serde_json::Value;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 1 << 20 };

struct Bench {
    simulation: Simulation,
    clock: Arc<FixedClock>,
    client: Outbound,
}

impl Bench {
    async fn start() -> Self {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
        let simulation =
            Simulation::start(clock.clone(), Arc::new(SeededRandom::new(1))).await.unwrap();
        let allow_private = vec!["127.0.0.1".parse().unwrap()];
        let client =
            Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() })
                .unwrap();
        Self { simulation, clock, client }
    }

    async fn login(&self, changes: &[(&str, &str)]) -> (u16, Value) {
        let secret = self.simulation.client_secret().expose().to_owned();
        let scope = format!("{RESOURCE}/.default");
        let mut fields = vec![
            ("client_id", CLIENT_ID),
            ("client_secret", &secret),
            ("grant_type", "client_credentials"),
            ("scope", &scope),
        ];
        for (name, value) in changes {
            fields.retain(|(field, _)| field != name);
            fields.push((name, value));
        }
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.simulation.origin());
        let answer =
            self.client.send(Call::post_form(url.parse().unwrap(), &fields), LIMITS).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        let url = format!("{}{path}", self.simulation.origin()).parse().unwrap();
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        self.client
            .send(Call::get(url).header(header::AUTHORIZATION, bearer), LIMITS)
            .await
            .unwrap()
    }

    async fn token(&self) -> String {
        self.login(&[]).await.1["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_in_the_words_of_entra() {
    let bench = Bench::start().await;
    for (field, value, status, error, code) in [
        ("client_secret", "wrong", 401, "invalid_client", 7_000_215),
        ("client_id", "other", 400, "unauthorized_client", 700_016),
        ("scope", "User.Read", 400, "invalid_scope", 1_002_012),
        ("grant_type", "password", 400, "unsupported_grant_type", 70003),
    ] {
        let (answered, body) = bench.login(&[(field, value)]).await;
        assert_eq!((answered, body["error"].as_str()), (status, Some(error)));
        assert_eq!(body["error_codes"], serde_json::json!([code]));
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    }
}

#[tokio::test]
async fn graph_wants_a_token_that_it_gave_and_that_has_not_ended() {
    let bench = Bench::start().await;
    let token = bench.token().await;
    assert_eq!(bench.get("/v1.0/users", &token).await.status, 200);
    for bad in ["", "made-up"] {
        assert_eq!(bench.get("/v1.0/users", bad).await.status, 401, "{bad:?}");
    }
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(bench.get("/v1.0/users", &token).await.status, 401);
}

#[tokio::test]
async fn two_simulations_have_the_same_people_and_different_secrets() {
    let random = Arc::new(mcp_auth_broker::random::SystemRandom::new());
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
    let one = Simulation::start(clock.clone(), random.clone()).await.unwrap();
    let two = Simulation::start(clock, random).await.unwrap();
    assert_ne!(one.client_secret(), two.client_secret());
    assert!(!format!("{one:?}").contains(one.client_secret().expose()));
}

#[tokio::test]
async fn a_dropped_simulation_stops_listening() {
    let Bench { simulation, client, .. } = Bench::start().await;
    let url: url::Url = simulation.origin().parse().unwrap();
    drop(simulation);
    // The task ends at its next turn: give it one.
    tokio::task::yield_now().await;
    let answer = client.send(Call::get(url), LIMITS).await;
    assert!(
        matches!(answer, Err(OutboundError::Connect { .. } | OutboundError::Broken { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn throttling_and_missing_permissions_are_there_on_demand() {
    let bench = Bench::start().await;
    let token = bench.token().await;
    let throttled = bench.get("/v1.0/users/throttled@contoso.example", &token).await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.header(&header::RETRY_AFTER)),
        (429, Some("1"))
    );
    assert_eq!(bench.get("/v1.0/users/unavailable@contoso.example", &token).await.status, 503);
    assert_eq!(bench.get("/v1.0/organization", &token).await.status, 403);
    let members =
        bench.get("/v1.0/groups/22222222-0000-4000-8000-000000000001/members", &token).await;
    let body: Value = serde_json::from_slice(&members.body).unwrap();
    assert_eq!(body["value"].as_array().unwrap().len(), 5);
}
