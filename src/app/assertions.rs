//! Whose assertions are taken (RFC 7523), from the settings file to the authorization server.

use crate::authorization_server::{AssertionIssuer, IdentityAssertions, Prefixes, WorkloadRules};
use crate::config::{self, Config};

use super::{issuers, people};

/// Those of identity providers.
pub(super) fn of_people(config: &Config, prefixes: &Prefixes) -> Vec<IdentityAssertions> {
    let providers = config.authorization_server.identity_providers.iter();
    let trusted = providers.filter_map(|provider| {
        let from = issuer(provider.identity_assertions.as_ref()?);
        Some(IdentityAssertions { from, provider: people::settings(provider, prefixes) })
    });
    trusted.collect()
}

pub(super) fn workload(given: &config::Workload) -> WorkloadRules {
    WorkloadRules {
        from: issuer(&given.issuer),
        audience: given.audience.clone(),
        claims: given.claims.clone(),
        single_use: given.single_use,
    }
}

fn issuer(given: &config::AssertionIssuer) -> AssertionIssuer {
    AssertionIssuer {
        issuer: given.issuer.clone(),
        jwks_uri: given.jwks_uri.clone(),
        algorithms: given.algorithms.iter().copied().map(issuers::algorithm).collect(),
    }
}
