//! `[graph]`: which Microsoft Graph is called, and within what.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::authorization_server::parse_each;
use super::deployment::Deployment;
use super::graph_profile::{GraphProfile, RawProfile};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::flat::{FlatSettings, default_permissions};
use crate::config::key::Key;
use crate::id::Permission;

/// `[graph]`, parsed.
#[derive(Clone, Debug)]
pub struct Graph {
    pub mode: GraphMode,
    pub cloud: Cloud,
    /// Origins that a call may name in `graph.resource`. `None`: that of the cloud alone.
    pub allowed_resources: Option<Vec<String>>,
    /// `None`: the union of what the policy's rules name.
    pub allowed_permissions: Option<Vec<Permission>>,
    /// Permissions that the flat name `MCP_AUTH_BROKER_ALLOWED_SCOPES` grants; each compiles to a policy rule.
    pub flat_permissions: Vec<Permission>,
    pub max_response_bytes: usize,
    /// The whole call, retries and waits included; also the largest `timeout_ms` of a caller.
    pub timeout: Duration,
    /// One attempt at Graph.
    pub attempt_timeout: Duration,
    pub token_skew: Duration,
    pub token_max_ttl: Duration,
    pub token_timeout: Duration,
    pub profiles: Vec<GraphProfile>,
}

/// Whether Graph is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphMode {
    Live,
    /// A small server built into the binary.
    Simulated,
}

/// Which of Microsoft's clouds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    Global,
    UsGov,
    UsGovDod,
    China,
    Custom(Box<CustomCloud>),
}

/// `[graph.custom_cloud]`, parsed: origins, https unless on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomCloud {
    pub login_url: Url,
    pub graph_url: Url,
    pub resource: Option<Url>,
}

/// Microsoft Graph, and the credentials the broker acts with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGraph {
    /// `live` calls Microsoft; `simulated` answers from a small Graph built into the binary, which prod
    /// refuses. Unset: simulated in dev, live elsewhere.
    pub(super) mode: Option<GraphMode>,
    /// Which cloud.
    pub(super) cloud: RawCloud,
    /// The cloud where `cloud = "custom"`.
    pub(super) custom_cloud: Option<RawCustomCloud>,
    /// Origins that a call may name in `graph.resource`. Unset: that of the cloud alone.
    pub(super) allowed_resources: Option<Vec<String>>,
    /// The most that rules may use, such as `User.Read.All`. Unset: the union of what the rules name.
    pub(super) allowed_permissions: Option<Vec<String>>,
    /// The largest answer that is passed on.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub(super) max_response_bytes: u32,
    /// The whole call, retries and waits included; a caller may ask for less.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) timeout_ms: u32,
    /// One attempt at Graph.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) attempt_timeout_ms: u32,
    /// How long before its end a provider token is no longer used.
    #[schemars(range(max = 600))]
    pub(super) token_skew_seconds: u32,
    /// The longest that a provider token is used, whatever its own lifetime.
    #[schemars(range(min = 60, max = 86_400))]
    pub(super) token_max_ttl_seconds: u32,
    /// One attempt at the token endpoint.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) token_timeout_ms: u32,
    /// App registrations. Policy rules name them by `name`.
    pub(super) profile: Vec<RawProfile>,
}

impl Default for RawGraph {
    fn default() -> Self {
        Self {
            mode: None,
            cloud: RawCloud::Global,
            custom_cloud: None,
            allowed_resources: None,
            allowed_permissions: None,
            max_response_bytes: 262_144,
            timeout_ms: 10_000,
            attempt_timeout_ms: 4_000,
            token_skew_seconds: 60,
            token_max_ttl_seconds: 3_000,
            token_timeout_ms: 3_000,
            profile: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawCloud {
    Global,
    UsGov,
    UsGovDod,
    China,
    Custom,
}

/// A cloud that has no name here, or a stand-in. `http` on loopback only, and never in prod.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCustomCloud {
    /// The origin that issues tokens.
    pub(super) login_url: String,
    /// The origin that is called.
    pub(super) graph_url: String,
    /// What tokens are for: the wire scope is `{resource}/.default`. Unset: `graph_url`.
    pub(super) resource: Option<String>,
}

const PERMISSION: &str = "a permission such as User.Read.All";

impl RawGraph {
    pub(super) fn parse(
        self,
        at: &Key,
        flat: &FlatSettings,
        policy_file: bool,
        to: &mut Checker<'_>,
    ) -> Graph {
        let mode = self.mode(at, to);
        let cloud = self.cloud(at, to);
        self.check_times(at, to);
        let profiles = at.name("profile");
        to.distinct(&profiles, "name", self.profile.iter().map(|profile| profile.name.as_str()));
        let granted = match &flat.permissions {
            Some(permissions) => permissions.clone(),
            // A policy file says who may do what; nothing is granted beside it that nobody asked for.
            None if flat.graph_app && !policy_file => default_permissions(),
            None => Vec::new(),
        };
        let allowed = at.name("allowed_permissions");
        Graph {
            mode,
            cloud,
            allowed_resources: resources(&at.name("allowed_resources"), self.allowed_resources, to),
            allowed_permissions: self
                .allowed_permissions
                .map(|list| to.parse_all(&allowed, &list, PERMISSION)),
            flat_permissions: granted.iter().filter_map(|name| name.parse().ok()).collect(),
            max_response_bytes: self.max_response_bytes as usize,
            timeout: Duration::from_millis(self.timeout_ms.into()),
            attempt_timeout: Duration::from_millis(self.attempt_timeout_ms.into()),
            token_skew: Duration::from_secs(self.token_skew_seconds.into()),
            token_max_ttl: Duration::from_secs(self.token_max_ttl_seconds.into()),
            token_timeout: Duration::from_millis(self.token_timeout_ms.into()),
            profiles: parse_each(self.profile, &profiles, to, RawProfile::parse),
        }
    }

    fn mode(&self, at: &Key, to: &mut Checker<'_>) -> GraphMode {
        let key = at.name("mode");
        let mode = self.mode.unwrap_or(match to.deployment {
            Deployment::Dev => GraphMode::Simulated,
            Deployment::Staging | Deployment::Prod => GraphMode::Live,
        });
        if mode == GraphMode::Simulated {
            let finding =
                Finding::error(FindingCode::Weak, &key, "answers with invented users and mail");
            to.weak(finding.found("\"simulated\"").allowed("live").hint("[graph] mode = \"live\""));
            if self.mode.is_none() && !self.profile.is_empty() {
                let problem = "is simulated, the default in dev: the profiles are not used";
                to.add(
                    Finding::warning(FindingCode::NotInForce, &key, problem)
                        .hint("[graph] mode = \"live\""),
                );
            }
        } else if self.profile.is_empty() && !to.is_set(&at.name("profile")) {
            let finding = Finding::warning(
                FindingCode::Missing,
                &at.name("profile"),
                "is empty: no call can reach Graph",
            );
            to.add(finding.hint("add [[graph.profile]] with tenant_id, client_id and credential"));
        }
        mode
    }

    fn cloud(&self, at: &Key, to: &mut Checker<'_>) -> Cloud {
        let key = at.name("custom_cloud");
        if self.cloud != RawCloud::Custom && self.custom_cloud.is_some() {
            let finding = Finding::error(
                FindingCode::Conflict,
                &key,
                "is set, but graph.cloud is not custom",
            );
            to.add(finding.hint("[graph] cloud = \"custom\""));
        }
        match (self.cloud, &self.custom_cloud) {
            (RawCloud::Global, _) => Cloud::Global,
            (RawCloud::UsGov, _) => Cloud::UsGov,
            (RawCloud::UsGovDod, _) => Cloud::UsGovDod,
            (RawCloud::China, _) => Cloud::China,
            (RawCloud::Custom, Some(raw)) => {
                raw.parse(&key, to).map_or(Cloud::Global, |custom| Cloud::Custom(Box::new(custom)))
            }
            (RawCloud::Custom, None) => {
                let finding = Finding::error(
                    FindingCode::Missing,
                    &key,
                    "is missing, and graph.cloud is custom",
                );
                to.add(finding.allowed("a table of login_url, graph_url, resource"));
                Cloud::Global
            }
        }
    }

    fn check_times(&self, at: &Key, to: &mut Checker<'_>) {
        if self.token_skew_seconds >= self.token_max_ttl_seconds {
            let key = at.name("token_skew_seconds");
            let problem = format!(
                "is not below graph.token_max_ttl_seconds ({}): no token would be used",
                self.token_max_ttl_seconds
            );
            to.add(
                Finding::error(FindingCode::Conflict, &key, problem)
                    .found(self.token_skew_seconds.to_string()),
            );
        }
    }
}

fn resources(key: &Key, texts: Option<Vec<String>>, to: &mut Checker<'_>) -> Option<Vec<String>> {
    const ALLOWED: &str = "an origin such as https://graph.microsoft.com";
    let mut origins = Vec::new();
    for (place, text) in texts?.iter().enumerate() {
        let at = to.item(key, place);
        let url = to.endpoint(&at, text).and_then(|_| to.origin_url(&at, text, ALLOWED));
        origins.extend(url.map(|url| url.origin().ascii_serialization()));
    }
    Some(origins)
}

impl RawCustomCloud {
    fn parse(&self, at: &Key, to: &mut Checker<'_>) -> Option<CustomCloud> {
        let login_url = custom_origin(&at.name("login_url"), &self.login_url, to);
        let graph_url = custom_origin(&at.name("graph_url"), &self.graph_url, to);
        let resource =
            self.resource.as_ref().and_then(|text| custom_origin(&at.name("resource"), text, to));
        Some(CustomCloud { login_url: login_url?, graph_url: graph_url?, resource })
    }
}

fn custom_origin(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<Url> {
    to.endpoint(key, text)?;
    to.origin_url(key, text, "an origin such as https://login.example")
}
