//! `[upstream]`: MCP servers behind the broker.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::checker::Checker;
use crate::config::key::Key;

use super::authorization_server::parse_each;
use super::graph::Graph;
use super::upstream_credential::UpstreamCredential;
use super::upstream_grant::UpstreamGrant;
use super::upstream_named::{RawUpstreamNamedCredential, UpstreamNamedCredential};
use super::upstream_pin::{OnToolFlaw, UpstreamPin};
use super::upstream_program::UpstreamCommand;
use super::upstream_server::RawUpstreamServer;

/// `[upstream]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    pub servers: Vec<UpstreamServer>,
    /// What registered servers may name.
    pub credentials: Vec<UpstreamNamedCredential>,
}

/// An MCP server behind the broker.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// Part of `/servers/{id}/mcp`.
    pub id: String,
    pub transport: UpstreamTransport,
    pub credential: UpstreamCredential,
    pub identity_header: bool,
    /// Other audiences of tokens that callers may bring.
    pub audiences: Vec<String>,
    /// Whether its tools stand at `/mcp`, too.
    pub fold: bool,
    /// Whether callers' tokens must be bound to a key of theirs (RFC 9449).
    pub dpop_required: bool,
    pub tools: Vec<UpstreamGrant>,
    pub prompts: Vec<UpstreamGrant>,
    /// By URI, and templates by their text.
    pub resources: Vec<UpstreamGrant>,
    /// The approved digest of each tool's definition.
    pub pins: Vec<UpstreamPin>,
    pub on_change: OnToolFlaw,
    pub on_hidden_text: OnToolFlaw,
    pub era: UpstreamEra,
    /// For the head of an answer, for a whole one in JSON, and the longest silence in the stream of a call.
    pub timeout: Duration,
    /// Of one answer, or one event of a stream.
    pub max_response_bytes: usize,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// Streamable HTTP.
    Http(Url),
    /// A child process that speaks over its standard input and output.
    Child(UpstreamCommand),
}

/// Of which era of the protocol a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamEra {
    /// The broker asks it.
    #[default]
    Auto,
    /// It speaks 2025-11-25 and before alone.
    #[serde(rename = "2025-11-25")]
    Old,
    /// It speaks 2026-07-28 alone.
    #[serde(rename = "2026-07-28")]
    New,
    /// It speaks both: nothing is translated, and it is not asked.
    Both,
}

/// MCP servers behind the broker.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstream {
    /// The servers, each at `/servers/{id}/mcp`.
    pub(super) server: Vec<RawUpstreamServer>,
    /// Credentials that servers which are registered while the broker runs may name.
    pub(super) credential: Vec<RawUpstreamNamedCredential>,
}

impl RawUpstream {
    pub(super) fn parse(self, at: &Key, graph: &Graph, to: &mut Checker<'_>) -> Upstream {
        let list = at.name("server");
        to.distinct(&list, "id", self.server.iter().map(|server| server.id.as_str()));
        let named = at.name("credential");
        to.distinct(&named, "name", self.credential.iter().map(|raw| raw.name.as_str()));
        Upstream {
            credentials: parse_each(self.credential, &named, to, |raw, at, to| {
                raw.parse(at, graph, to)
            }),
            servers: parse_each(self.server, &list, to, |raw, at, to| raw.parse(at, graph, to)),
        }
    }
}
