//! Calls over real HTTP: against the simulation from end to end, and against a scripted server for faults.

use super::simulated::{CLIENT_ID, RESOURCE, Simulation, TENANT};
use super::*;
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
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod scripted;
mod simulated;

const SECRET: &str = "CANARY-secret-0001";

struct Fixed(String);

impl CredentialSource for Fixed {
    fn secret(&self, _: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        let secret = Secret::for_test(&self.0, "env:GRAPH_SECRET".parse().unwrap());
        Box::pin(async move { Ok(secret) })
    }

    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>> {
        Box::pin(async { None })
    }
}

#[derive(Default)]
struct Seen(Vec<Attempt>);

impl AttemptObserver for Seen {
    fn attempted(&mut self, attempt: Attempt) -> BoxFuture<'_, ()> {
        self.0.push(attempt);
        Box::pin(std::future::ready(()))
    }

    fn cut_off(&mut self, attempt: Attempt) {
        self.0.push(attempt);
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
        login: None,
        evaluated: Vec::new(),
        obligations: crate::policy::Obligations::default(),
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
