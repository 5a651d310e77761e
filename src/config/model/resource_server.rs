//! `[resource_server]`: whose tokens we accept beside our own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::id::{ClientId, Issuer as IssuerId, TenantId};

/// `[resource_server]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct ResourceServer {
    pub issuers: Vec<Issuer>,
}

/// `[[resource_server.issuer]]`, parsed.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub issuer: IssuerId,
    /// Empty: our resource URLs.
    pub audiences: Vec<String>,
    pub keys: IssuerKeys,
    /// Never empty, and fit for `keys`. Introspection has none.
    pub algorithms: Vec<TokenAlg>,
    pub token_types: Vec<String>,
    pub scope_claims: Vec<String>,
    pub skew: Duration,
    pub entra: bool,
    pub tenants: Vec<TenantId>,
    /// Tokens that are no JWTs are this issuer's. At most one issuer.
    pub opaque_tokens: bool,
}

/// How the tokens of an issuer are checked.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    /// Its key set is here.
    JwksUri(Url),
    /// Its key set is named by its metadata, found below the issuer's URL (RFC 8414, OIDC discovery).
    Discovery,
    /// It is asked about each token (RFC 7662).
    Introspection(Introspection),
    /// HS256 with a secret that it knows as well.
    Secret(SecretSource),
}

/// Where and as whom an issuer is asked about a token (RFC 7662 §2.1).
#[derive(Clone, Debug)]
pub struct Introspection {
    pub url: Url,
    pub client_id: ClientId,
    pub client_secret: SecretSource,
}

/// How the tokens of others are signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TokenAlg {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
}

/// Whose tokens are accepted beside the broker's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawResourceServer {
    /// Issuers of tokens.
    pub(super) issuer: Vec<RawIssuer>,
}

/// An issuer of tokens. Its keys come from one of `jwks_uri`, `discovery`, `introspection`, `secret`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    /// The exact `iss` of its tokens. With Entra it may hold `{tenantid}`.
    pub(super) issuer: String,
    /// What `aud` must contain one of. Unset: our resource URLs.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    /// Where its key set is.
    pub(super) jwks_uri: Option<String>,
    /// Finds the key set through the issuer's metadata. The default where no other source of keys is given.
    pub(super) discovery: Option<bool>,
    /// Asks the issuer about each token (RFC 7662).
    pub(super) introspection: Option<RawIntrospection>,
    /// The secret of HS256 tokens, 32 bytes or more.
    pub(super) secret: Option<RawSecret>,
    /// Accepted algorithms. Unset: `RS256`, `ES256`; with a secret `HS256`.
    pub(super) algorithms: Option<Vec<TokenAlg>>,
    /// Accepted `typ` headers, without case.
    #[serde(default = "token_types")]
    pub(super) token_types: Vec<String>,
    /// Claims whose union is the scope; each a text or a list.
    #[serde(default = "scope_claims")]
    pub(super) scope_claims: Vec<String>,
    /// How far its clock may be off.
    #[serde(default = "skew_seconds")]
    #[schemars(range(max = 120))]
    pub(super) skew_seconds: u32,
    /// Its tokens are Entra's: the caller is tenant and object id. Unset: whether the issuer is one of Entra's.
    pub(super) entra: Option<bool>,
    /// Entra tenants that are let in. `{tenantid}` requires at least one.
    #[serde(default)]
    pub(super) tenants: Vec<String>,
    /// Tokens that are no JWTs are this issuer's. Unset: true with introspection.
    pub(super) opaque_tokens: Option<bool>,
}

fn token_types() -> Vec<String> {
    ["at+jwt", "JWT"].map(str::to_owned).to_vec()
}

fn scope_claims() -> Vec<String> {
    ["scope", "scp", "scopes", "mcp_tool_scopes"].map(str::to_owned).to_vec()
}

const fn skew_seconds() -> u32 {
    30
}

/// Where and as whom an issuer is asked about a token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntrospection {
    /// Its introspection endpoint.
    pub(super) url: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there.
    pub(super) client_secret: RawSecret,
}
