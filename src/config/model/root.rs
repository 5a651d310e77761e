//! The whole of the settings.

use schemars::JsonSchema;
use serde::Deserialize;

use super::audit::{Audit, RawAudit};
use super::authorization_server::{AuthorizationServer, RawAuthorizationServer};
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
    pub(super) upstream: RawUpstream,
    pub(super) limits: RawLimits,
    pub(super) outbound: RawOutbound,
    pub(super) audit: RawAudit,
    pub(super) telemetry: RawTelemetry,
}
