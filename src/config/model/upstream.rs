//! `[upstream]`: MCP servers behind the broker.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::id::ProfileName;
use crate::scope::Scope;

/// `[upstream]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    pub servers: Vec<UpstreamServer>,
}

/// An MCP server behind the broker.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// Part of `/servers/{id}/mcp`.
    pub id: String,
    pub url: Url,
    pub credential: UpstreamCredential,
    pub identity_header: bool,
    pub tools: Vec<UpstreamTool>,
}

/// What the broker shows the server.
#[derive(Clone, Debug)]
pub enum UpstreamCredential {
    None,
    Bearer(SecretSource),
    Header {
        name: String,
        value: SecretSource,
    },
    ClientCredentials {
        token_url: Url,
        client_id: String,
        client_secret: SecretSource,
        scopes: Scope,
    },
    TokenExchange {
        token_url: Url,
        client_id: String,
        client_secret: SecretSource,
        scopes: Scope,
    },
    EntraObo {
        profile: ProfileName,
        scopes: Scope,
    },
    PerUser {
        authorize_url: Url,
        token_url: Url,
        client_id: String,
        client_secret: Option<SecretSource>,
        scopes: Scope,
    },
}

/// Which tools of the server need which scopes.
#[derive(Clone, Debug)]
pub struct UpstreamTool {
    /// An anchored regular expression.
    pub name: String,
    pub scopes: Scope,
}

/// MCP servers behind the broker.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstream {
    /// The servers, each at `/servers/{id}/mcp`.
    pub(super) server: Vec<RawUpstreamServer>,
}

/// An MCP server behind the broker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamServer {
    /// A short name, part of the path: letters, digits, `-` and `_`.
    pub(super) id: String,
    /// Its MCP endpoint.
    pub(super) url: String,
    /// What the broker shows it. Unset: nothing.
    #[serde(default)]
    pub(super) credential: RawUpstreamCredential,
    /// Tells the server who calls: a JWT of ours, valid for 60 s, in `X-Broker-Identity`.
    #[serde(default)]
    pub(super) identity_header: bool,
    /// Which tools need which scopes. Tools that match none are hidden.
    #[serde(default)]
    pub(super) tool: Vec<RawUpstreamTool>,
}

/// One of: `bearer`, `header`, `client_credentials`, `token_exchange`, `entra_obo`, `per_user`; none of them: no credential.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstreamCredential {
    /// A fixed bearer token.
    pub(super) bearer: Option<RawSecret>,
    /// A fixed header.
    pub(super) header: Option<RawHeader>,
    /// A token for the broker itself (RFC 6749 §4.4).
    pub(super) client_credentials: Option<RawTokenEndpoint>,
    /// The caller's token exchanged for one of the server's (RFC 8693).
    pub(super) token_exchange: Option<RawTokenEndpoint>,
    /// The caller's Entra token exchanged on its behalf.
    pub(super) entra_obo: Option<RawEntraObo>,
    /// Each person connects their own account.
    pub(super) per_user: Option<RawPerUser>,
}

/// A fixed header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeader {
    /// The header's name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: RawSecret,
}

/// A token endpoint and our client there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTokenEndpoint {
    /// The token endpoint.
    pub(super) token_url: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there.
    pub(super) client_secret: RawSecret,
    /// Scopes to ask for.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
}

/// Entra's on-behalf-of flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntraObo {
    /// The `[[graph.profile]]` whose app exchanges.
    pub(super) profile: String,
    /// Scopes to ask for.
    pub(super) scopes: Vec<String>,
}

/// An authorization server at which each person connects their account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPerUser {
    /// The authorization endpoint.
    pub(super) authorize_url: String,
    /// The token endpoint.
    pub(super) token_url: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there. Unset: a public client.
    pub(super) client_secret: Option<RawSecret>,
    /// Scopes to ask for.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
}

/// Which tools need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamTool {
    /// Tools by name: an anchored regular expression.
    pub(super) name: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}
