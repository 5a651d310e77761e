//! Whose assertions are taken, and their keys.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::authorization_server::error::OAuthError;
use crate::authorization_server::settings::{
    AssertionIssuer, IdentityAssertions, Settings, WorkloadRules,
};
use crate::id::ClientId;
use crate::outbound::Outbound;
use crate::resource_server::{SignedJwts, TokenError};
use crate::time::Clock;

/// One in each [`AuthorizationServer`](crate::authorization_server::AuthorizationServer). Key sets are shared by all that
/// name the same one, so that one cool-down holds for all.
#[derive(Debug)]
pub(in crate::authorization_server) struct AssertionIssuers {
    people: Vec<(IdentityAssertions, Keys)>,
    workloads: Vec<(ClientId, WorkloadRules, Keys)>,
}

/// The keys of one issuer. `None`: its URL is none that anybody could ask.
#[derive(Clone, Debug)]
pub(super) struct Keys(Option<Arc<SignedJwts>>);

impl AssertionIssuers {
    pub(in crate::authorization_server) fn new(
        settings: &Settings,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let mut known: Vec<(AssertionIssuer, Keys)> = Vec::new();
        let mut keys = |of: &AssertionIssuer| {
            if let Some((_, keys)) = known.iter().find(|(issuer, _)| issuer == of) {
                return keys.clone();
            }
            let keys = Keys::new(of, outbound, clock);
            known.push((of.clone(), keys.clone()));
            keys
        };
        let people = settings.identity_assertions.iter();
        let people = people.map(|given| (given.clone(), keys(&given.from))).collect();
        let mut workloads = Vec::new();
        for client in &settings.clients {
            if let Some(rules) = &client.workload {
                workloads.push((client.client_id.clone(), rules.clone(), keys(&rules.from)));
            }
        }
        Self { people, workloads }
    }

    /// The identity provider with this `iss`, byte for byte.
    pub(super) fn of_people(&self, issuer: &str) -> Option<(&IdentityAssertions, &Keys)> {
        let mut all = self.people.iter();
        all.find(|(given, _)| given.from.issuer.as_str() == issuer)
            .map(|(given, keys)| (given, keys))
    }

    /// The workloads whose JWTs have this `iss`, in the order of the settings.
    pub(super) fn of_workloads<'a>(
        &'a self,
        issuer: &'a str,
    ) -> impl Iterator<Item = (&'a ClientId, &'a WorkloadRules, &'a Keys)> {
        let all = self.workloads.iter();
        all.filter(move |(_, rules, _)| rules.from.issuer.as_str() == issuer)
            .map(|(client, rules, keys)| (client, rules, keys))
    }
}

impl Keys {
    fn new(of: &AssertionIssuer, outbound: &Outbound, clock: &Arc<dyn Clock>) -> Self {
        let (outbound, clock) = (outbound.clone(), Arc::clone(clock));
        let AssertionIssuer { issuer, jwks_uri, algorithms } = of;
        let keys = match jwks_uri {
            Some(url) => {
                Some(SignedJwts::new(issuer.as_str(), url.clone(), algorithms, outbound, clock))
            }
            None => SignedJwts::discovered(issuer, algorithms, outbound, clock),
        };
        Self(keys.map(Arc::new))
    }

    /// `typ` and claims of a JWT that one of these keys signed. Nothing else was checked.
    ///
    /// # Errors
    ///
    /// [`OAuthError::InvalidAssertion`]; [`OAuthError::Unavailable`] while there are no keys to check with, which is no word on the
    /// assertion.
    pub(super) async fn verify(
        &self,
        unverified: &str,
    ) -> Result<(String, Map<String, Value>), OAuthError> {
        const AWAY: OAuthError =
            OAuthError::Unavailable("the keys of the assertion's issuer cannot be read now");
        match self.0.as_ref().ok_or(AWAY)?.verify(unverified).await {
            Ok(signed) => Ok((signed.typ, signed.claims)),
            Err(TokenError::IssuerUnavailable) => Err(AWAY),
            Err(TokenError::AlgorithmNotAllowed) => Err(OAuthError::InvalidAssertion("alg")),
            Err(TokenError::UnknownKey) => Err(OAuthError::InvalidAssertion("kid")),
            Err(_wrong) => Err(OAuthError::InvalidAssertion("signature")),
        }
    }

    /// Whether they are the same object, as those of one issuer are.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}
