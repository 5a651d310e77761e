//! Whose assertions are taken at the token endpoint (RFC 7523): ID-JAGs of identity providers, and what platforms give
//! their workloads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::resource_server::TokenAlg;
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::id::Issuer;

/// Who signs assertions, and with what.
#[derive(Clone, Debug)]
pub struct AssertionIssuer {
    pub issuer: Issuer,
    /// `None`: where the issuer's metadata says.
    pub jwks_uri: Option<Url>,
    pub algorithms: Vec<TokenAlg>,
}

/// A workload that is known by what its platform says of it.
#[derive(Clone, Debug)]
pub struct Workload {
    pub issuer: AssertionIssuer,
    /// `None`: the URL of the token endpoint.
    pub audience: Option<String>,
    /// By name, or by JSON pointer where the name begins with a slash.
    pub claims: BTreeMap<String, Vec<String>>,
    pub single_use: bool,
}

/// Trusts a provider's ID-JAGs (Identity Assertion JWT Authorization Grant; MCP Enterprise-Managed Authorization): a client
/// that it vouches for a person to gets a token of that person's without a browser.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIdentityAssertions {
    /// Where the keys are that sign ID-JAGs. Unset: where the provider's metadata says.
    pub(super) jwks_uri: Option<String>,
    /// Accepted algorithms. Unset: `RS256`, `ES256`.
    pub(super) algorithms: Option<Vec<TokenAlg>>,
}

impl RawIdentityAssertions {
    pub(super) fn parse(
        &self,
        issuer: &str,
        at: &Key,
        to: &mut Checker<'_>,
    ) -> Option<AssertionIssuer> {
        let keys =
            Keys { jwks_uri: self.jwks_uri.as_deref(), algorithms: self.algorithms.as_ref() };
        let (jwks_uri, algorithms) = keys.parse(at, to)?;
        Some(AssertionIssuer { issuer: issuer.parse().ok()?, jwks_uri, algorithms })
    }
}

/// The workload that a client is, known by the JWT that its platform gives it (MCP workload identity federation): neither
/// secret nor key of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    /// Who makes its JWTs, as `iss` has it.
    pub(super) issuer: String,
    /// Where the issuer's keys are. Unset: where its metadata says.
    pub(super) jwks_uri: Option<String>,
    /// Accepted algorithms. Unset: `RS256`, `ES256`.
    pub(super) algorithms: Option<Vec<TokenAlg>>,
    /// The only `aud`. Unset: the URL of the token endpoint, as MCP has it. For platforms that cannot be told an audience.
    pub(super) audience: Option<String>,
    /// Claims that must be there, each with the values that do, whole and byte for byte; `sub` is always one of them. A
    /// name that begins with `/` is a JSON pointer: `"/kubernetes.io/namespace" = ["prod"]`.
    pub(super) claims: BTreeMap<String, Vec<String>>,
    /// Whether each JWT counts once, by its `jti`. False for platforms that give one to a workload for hours
    /// (Kubernetes, Entra): then whoever copies it can use it until its end.
    #[serde(default = "yes")]
    pub(super) single_use: bool,
}

const fn yes() -> bool {
    true
}

impl RawWorkload {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<Workload> {
        let key = at.name("issuer");
        let issuer: Option<Issuer> =
            to.parse(&key, &self.issuer, "the exact `iss`, 1 to 512 characters");
        if self.jwks_uri.is_none() {
            to.endpoint(&key, &self.issuer)?;
        }
        let keys =
            Keys { jwks_uri: self.jwks_uri.as_deref(), algorithms: self.algorithms.as_ref() };
        let keys = keys.parse(at, to);
        self.check_claims(&at.name("claims"), to);
        if self.audience.as_ref().is_some_and(String::is_empty) {
            let problem = "is empty: leave it out for the URL of the token endpoint";
            to.add(Finding::error(FindingCode::Missing, &at.name("audience"), problem));
        }
        let (jwks_uri, algorithms) = keys?;
        Some(Workload {
            issuer: AssertionIssuer { issuer: issuer?, jwks_uri, algorithms },
            audience: self.audience,
            claims: self.claims,
            single_use: self.single_use,
        })
    }

    /// Many share an issuer, such as everybody's jobs at GitHub: without `sub` a rule would let strangers in.
    fn check_claims(&self, at: &Key, to: &mut Checker<'_>) {
        if !self.claims.contains_key("sub") {
            let problem = "has no `sub`: others at this issuer could have the same other claims";
            let finding = Finding::error(FindingCode::Missing, at, problem);
            to.add(finding.hint("claims = { sub = [\"system:serviceaccount:prod:report\"] }"));
        }
        for (name, values) in &self.claims {
            if values.is_empty() || values.iter().any(String::is_empty) {
                let problem = "names no value, or an empty one";
                to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
            }
        }
    }
}

/// What both kinds say about keys.
struct Keys<'a> {
    jwks_uri: Option<&'a str>,
    algorithms: Option<&'a Vec<TokenAlg>>,
}

impl Keys<'_> {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<(Option<Url>, Vec<TokenAlg>)> {
        let key = at.name("algorithms");
        let default = || vec![TokenAlg::RS256, TokenAlg::ES256];
        let algorithms = self.algorithms.cloned().unwrap_or_else(default);
        if algorithms.is_empty() || algorithms.contains(&TokenAlg::HS256) {
            let problem =
                "is empty, or has HS256: an assertion is signed by a key that we do not have";
            let finding = Finding::error(FindingCode::NotAllowed, &key, problem);
            to.add(finding.allowed("RS256, ES256 and their like"));
            return None;
        }
        match self.jwks_uri {
            None => Some((None, algorithms)),
            Some(text) => {
                let url = to.endpoint(&at.name("jwks_uri"), text)?;
                Some((Some(url), algorithms))
            }
        }
    }
}
