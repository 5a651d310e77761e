//! The whole of the settings.

use schemars::JsonSchema;
use serde::Deserialize;

use super::approvals::{Approvals, RawApprovals};
use super::audit::{Audit, RawAudit};
use super::authorization_server::{AuthorizationServer, RawAuthorizationServer};
use super::binding::check_binding;
use super::client_host::check_keys;
use super::client_tls::check_client_tls;
use super::deployment::Deployment;
use super::graph::{Graph, RawGraph};
use super::limits::{Limits, RawLimits};
use super::outbound::{Outbound, RawOutbound};
use super::policy::{Policy, RawPolicySection};
use super::resource_server::{RawResourceServer, ResourceServer};
use super::secrets::{RawSecrets, Secrets};
use super::server::{RawServer, Server};
use super::store::{RawStore, Store};
use super::telemetry::{RawTelemetry, Telemetry};
use super::tools::{Documents, RawDocuments, RawTools, Tools};
use super::upstream::{RawUpstream, Upstream};
use crate::config::checker::{Backends, Checker};
use crate::config::finding::{Finding, FindingCode};
use crate::config::flat::FlatSettings;
use crate::config::key::Key;

/// Settings without an error: whoever holds one may start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `environment`
    pub deployment: Deployment,
    pub server: Server,
    pub store: Store,
    pub authorization_server: AuthorizationServer,
    pub resource_server: ResourceServer,
    pub tools: Tools,
    pub documents: Documents,
    pub graph: Graph,
    pub secrets: Secrets,
    pub policy: Policy,
    pub approvals: Approvals,
    pub upstream: Upstream,
    pub limits: Limits,
    pub outbound: Outbound,
    pub audit: Audit,
    pub telemetry: Telemetry,
}

/// Settings of MCP Auth Broker.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawConfig {
    /// Where the broker runs. prod refuses weak settings; dev starts without any.
    pub(super) environment: Deployment,
    pub(super) server: RawServer,
    pub(super) store: RawStore,
    pub(super) authorization_server: RawAuthorizationServer,
    pub(super) resource_server: RawResourceServer,
    pub(super) tools: RawTools,
    pub(super) documents: RawDocuments,
    pub(super) graph: RawGraph,
    pub(super) secrets: RawSecrets,
    pub(super) policy: RawPolicySection,
    pub(super) approvals: RawApprovals,
    pub(super) upstream: RawUpstream,
    pub(super) limits: RawLimits,
    pub(super) outbound: RawOutbound,
    pub(super) audit: RawAudit,
    pub(super) telemetry: RawTelemetry,
}

impl RawConfig {
    pub(in crate::config) const fn deployment(&self) -> Deployment {
        self.environment
    }

    pub(in crate::config) fn backends(&self) -> Backends {
        self.secrets.backends()
    }

    /// Parses every section, also after one failed, so that one run tells everything. The result counts only if
    /// the checker found no error.
    pub(in crate::config) fn parse(self, to: &mut Checker<'_>, flat: &FlatSettings) -> Config {
        let section = |name| Key::default().name(name);
        let policy_file = to.is_set(&section("policy").name("file"));
        let graph = self.graph.parse(&section("graph"), flat, policy_file, to);
        let config = Config {
            deployment: self.environment,
            server: self.server.parse(&section("server"), to),
            store: self.store.parse(&section("store"), to),
            authorization_server: self
                .authorization_server
                .parse(&section("authorization_server"), to),
            resource_server: self.resource_server.parse(&section("resource_server"), to),
            tools: self.tools.parse(&section("tools"), to),
            documents: self.documents.parse(&section("documents"), to),
            secrets: self.secrets.parse(&section("secrets"), to),
            policy: self.policy.parse(&section("policy"), to),
            approvals: self.approvals.parse(&section("approvals"), to),
            upstream: self.upstream.parse(&section("upstream"), &graph, to),
            limits: self.limits.parse(&section("limits"), to),
            outbound: self.outbound.parse(&section("outbound"), to),
            audit: self.audit.parse(&section("audit"), to),
            telemetry: self.telemetry.parse(&section("telemetry"), to),
            graph,
        };
        check_binding(&config, to);
        check_client_tls(&config, to);
        check_keys(&config, to);
        config.check_metrics(to);
        config.check_issuers(to);
        config
    }
}

impl Config {
    /// Whether anybody can come by a token.
    fn check_issuers(&self, to: &mut Checker<'_>) {
        if self.authorization_server.enabled || !self.resource_server.issuers.is_empty() {
            return;
        }
        let key = Key::default().name("authorization_server").name("enabled");
        let problem = "is false, and no other issuer is configured: nobody gets a token but by broker token mint";
        let finding = Finding::warning(FindingCode::NotInForce, &key, problem).found("false");
        to.add(
            finding
                .hint("add [[resource_server.issuer]], or set authorization_server.enabled = true"),
        );
    }

    /// Who could read `/metrics` at all.
    fn check_metrics(&self, to: &mut Checker<'_>) {
        let key = Key::default().name("server").name("admin_listen");
        let metrics = Key::default().name("telemetry").name("metrics");
        match self.server.admin_listen {
            Some(address) if address == self.server.listen && address.port() != 0 => {
                let other = "another port than server.listen";
                to.refuse(&key, &address.to_string(), "is server.listen", other);
            }
            Some(_) if !self.telemetry.metrics => {
                let finding =
                    Finding::warning(FindingCode::NotInForce, &key, "nothing is served there");
                to.add(finding.hint("set telemetry.metrics = true"));
            }
            None if self.telemetry.metrics && !self.authorization_server.enabled => {
                let problem = "nobody can read them: without an authorization server nobody is an administrator";
                let finding = Finding::warning(FindingCode::NotInForce, &metrics, problem);
                to.add(
                    finding
                        .hint("set server.admin_listen to an address that only Prometheus reaches"),
                );
            }
            Some(_) | None => {}
        }
    }
}
