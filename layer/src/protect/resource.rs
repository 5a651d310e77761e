//! A protected resource: hands out layers, or answers by itself.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use tower::layer::util::Stack;
use url::Url;

use crate::resource_server::{Principal, PublishedMetadata, Refusal, RequireTokenLayer, Verifier};
use crate::scope::{Scope, ScopeError};

use super::builder::ProtectedResourceBuilder;
use super::deny::{Denials, Denied};
use super::layer::ProtectLayer;
use super::scope::RequireScopeLayer;
use super::tool::RequireToolScopeLayer;
use super::tools::{ToolScopes, require};

/// A resource that only callers with a token reach (RFC 6750, RFC 9728). Cheap to clone; clones share caches.
#[derive(Clone, Debug)]
pub struct ProtectedResource(Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) token: RequireTokenLayer,
    pub(super) denials: Denials,
    pub(super) metadata: PublishedMetadata,
    pub(super) metadata_path: String,
    pub(super) scope: Scope,
    pub(super) tools: ToolScopes,
    pub(super) max_body_bytes: usize,
}

impl ProtectedResource {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// `resource` is the URL that clients use: it is published, and tokens must name it.
    pub fn builder(resource: Url) -> ProtectedResourceBuilder {
        ProtectedResourceBuilder::new(resource)
    }

    /// Verifies every request, wants [`scope`](ProtectedResourceBuilder::scope) of it, and serves the metadata, which
    /// needs no token. The tools of [`tool`](ProtectedResourceBuilder::tool) are *not* looked at; see
    /// [`mcp_layer`](Self::mcp_layer).
    #[must_use]
    pub fn layer(&self) -> ProtectLayer {
        ProtectLayer::new(self.clone())
    }

    /// [`layer`](Self::layer) with [`tool_layer`](Self::tool_layer) inside: for an MCP endpoint.
    #[must_use]
    pub fn mcp_layer(&self) -> Stack<RequireToolScopeLayer, ProtectLayer> {
        Stack::new(self.tool_layer(), self.layer())
    }

    /// For one route: wants more scopes than the rest. Belongs inside [`layer`](Self::layer); without that, every
    /// request is answered `503`.
    ///
    /// # Errors
    ///
    /// [`ScopeError`]
    pub fn require(&self, scope: &str) -> Result<RequireScopeLayer, ScopeError> {
        let needed = self.0.scope.union(&scope.parse()?);
        Ok(RequireScopeLayer::new(needed, self.0.denials.clone()))
    }

    /// Reads each MCP message and decides by the tool it calls. Belongs inside [`layer`](Self::layer), as
    /// [`require`](Self::require) does. It does not filter `tools/list`: do that where the list is made, with
    /// [`authorize`](Self::authorize).
    #[must_use]
    pub fn tool_layer(&self) -> RequireToolScopeLayer {
        RequireToolScopeLayer::new(self.clone())
    }

    /// Who sends these headers, for those who want no layer. Remove `Authorization` before the request goes anywhere.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which [`refuse`](Self::refuse) answers.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        self.0.token.verify(headers).await
    }

    /// Whether the caller may call `tool`: it is named and the caller has its scopes and those of every request.
    ///
    /// # Errors
    ///
    /// [`Denied`], which [`deny`](Self::deny) answers.
    pub fn authorize(&self, tool: &str, caller: &Principal) -> Result<(), Denied> {
        self.0.tools.authorize(tool, &self.0.scope, caller)
    }

    /// Whether the caller has the scopes that every request needs.
    ///
    /// # Errors
    ///
    /// [`Denied::InsufficientScope`]
    pub fn admit(&self, caller: &Principal) -> Result<(), Denied> {
        require(&self.0.scope, caller)
    }

    /// The answer to a request that [`verify`](Self::verify) refused: `401`, `400` or `503`.
    #[must_use]
    pub fn refuse<B: From<Bytes>>(&self, refusal: Refusal) -> Response<B> {
        self.0.token.refuse(refusal)
    }

    /// The answer to a request that [`authorize`](Self::authorize) or [`admit`](Self::admit) denied: `403`.
    #[must_use]
    pub fn deny<B: From<Bytes>>(&self, denied: &Denied) -> Response<B> {
        self.0.denials.plain(denied)
    }

    /// The metadata document (RFC 9728), for who serves it without the layer at [`metadata_path`](Self::metadata_path).
    #[must_use]
    pub fn metadata(&self) -> &PublishedMetadata {
        &self.0.metadata
    }

    /// Where clients look for the metadata, such as `/.well-known/oauth-protected-resource/mcp`.
    #[must_use]
    pub fn metadata_path(&self) -> &str {
        &self.0.metadata_path
    }

    /// For health reports, and to forget tokens.
    #[must_use]
    pub fn verifier(&self) -> &Arc<Verifier> {
        self.0.token.verifier()
    }
}
