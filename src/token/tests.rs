//! Tokens obtained over real HTTP from a scripted endpoint: caching, refusals, throttling, rotation.

use super::*;
use crate::code::Code;
use crate::fake_http::{Act, FakeHttp, loopback_client};
use crate::policy::{Decision, Effect, GraphGrant, Permit, Reason};
use crate::random::SystemRandom;
use crate::scope::Scope;
use crate::secret::{Secret, SecretError};
use crate::time::{Budget, Clock, FixedClock, SystemClock, Timestamp};
use futures_util::future::{BoxFuture, join_all};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

mod failing;
mod keeping;
mod on_behalf_of;
mod proofs;

const SECRET: &str = "CANARY-secret-0001";

const RESOURCE: &str = "https://graph.microsoft.com";

/// Hands out its values in order, the last one again and again, and counts.
struct Values(Mutex<(VecDeque<&'static str>, Vec<Freshness>)>, InFile);

/// Whether a look costs nothing.
type InFile = bool;

impl Values {
    fn new(values: &[&'static str]) -> Self {
        Self(Mutex::new((values.iter().copied().collect(), Vec::new())), false)
    }

    fn in_file(value: &'static str) -> Self {
        Self(Self::new(&[value]).0, true)
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

    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>> {
        let value = self.0.lock().unwrap().0.front().copied().filter(|_| self.1);
        let of = |value| Secret::for_test(value, "file:/run/secrets/graph".parse().unwrap());
        Box::pin(async move { value.map(of) })
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
        login: None,
        evaluated: Vec::new(),
        obligations: crate::policy::Obligations::default(),
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
