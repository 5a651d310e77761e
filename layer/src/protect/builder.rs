//! What a [`ProtectedResource`] is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::id::{ClientId, IdError, Issuer};
use crate::outbound::{Outbound, OutboundConfigError, OutboundSettings};
use crate::resource_server::{
    IntrospectionTiming, IssuerSettings, KeySource, MetadataError, RequireTokenLayer,
    ResourceMetadata, Revocations, SettingsError, Verifier, canonical, well_known_path,
    well_known_url,
};
use crate::scope::{Scope, ScopeError};
use crate::secret_text::SecretText;
use crate::time::{Clock, SystemClock};

use super::deny::Denials;
use super::resource::{Parts, ProtectedResource};
use super::tools::ToolScopes;

/// Collects what is known of a resource; [`ProtectedResourceBuilder::build`] says what is wrong with it.
#[derive(Debug)]
#[must_use]
pub struct ProtectedResourceBuilder {
    resource: Url,
    issuers: Vec<Result<IssuerSettings, BuildError>>,
    scope: String,
    name: Option<String>,
    tools: BTreeMap<String, String>,
    other_tools: Option<String>,
    outbound: OutboundSettings,
    clock: Arc<dyn Clock>,
    revocations: Option<Arc<dyn Revocations>>,
    remember: Duration,
    max_body_bytes: usize,
}

/// The longest that an answer about a token is remembered.
const LONGEST: Duration = Duration::from_hours(24);

/// Why a resource cannot be protected like this. All of it is found by [`ProtectedResourceBuilder::build`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL of the resource, or the lack of an authorization server.
    #[error("the resource: {0}")]
    Resource(#[from] MetadataError),
    /// The identifier of an authorization server, or a client's.
    #[error("an identifier of an authorization server {0}")]
    Identifier(#[from] IdError),
    /// How tokens are verified.
    #[error(transparent)]
    Issuer(#[from] SettingsError),
    /// A scope that every request needs.
    #[error("the scope of every request: {0}")]
    Scope(#[source] ScopeError),
    /// A scope that a tool needs.
    #[error("the scope of tool `{tool}`: {source}")]
    ToolScope {
        /// The tool, or `*` for those that are not named.
        tool: String,
        /// What is wrong with the scope.
        source: ScopeError,
    },
    /// The HTTP client that fetches keys.
    #[error(transparent)]
    Outbound(#[from] OutboundConfigError),
}

impl ProtectedResourceBuilder {
    pub(super) fn new(resource: Url) -> Self {
        Self {
            resource,
            issuers: Vec::new(),
            scope: String::new(),
            name: None,
            tools: BTreeMap::new(),
            other_tools: None,
            outbound: OutboundSettings::default(),
            clock: Arc::new(SystemClock),
            revocations: None,
            remember: IntrospectionTiming::default().positive,
            max_body_bytes: 4 * 1024 * 1024,
        }
    }

    /// Believes the JWT access tokens of this authorization server (RFC 9068) that name the resource in `aud`. Its keys
    /// are found by its metadata (RFC 8414, OIDC Discovery) when the first token comes, and again when it rotates them.
    ///
    /// At least one of this, [`introspection`](Self::introspection) and [`issuer`](Self::issuer) is needed.
    pub fn authorization_server(self, issuer: &str) -> Self {
        self.add(issuer, |_issuer| Ok(KeySource::Discovery))
    }

    /// Asks this authorization server about each token (RFC 7662), opaque ones included. That a token is good is remembered
    /// for a minute, unless [`remember`](Self::remember) says otherwise: for so long one that is revoked goes on. That it is not
    /// good is remembered for ten seconds. Only one authorization server can be asked.
    pub fn introspection(
        self,
        issuer: &str,
        url: Url,
        client_id: &str,
        client_secret: impl Into<SecretText>,
    ) -> Self {
        let client_secret: SecretText = client_secret.into();
        let client_secret = client_secret.into();
        self.add(issuer, |_issuer| {
            let client_id: ClientId = client_id.parse()?;
            Ok(KeySource::Introspection { url, client_id, client_secret })
        })
    }

    /// For how long an answer of [`introspection`](Self::introspection) counts that calls a token good; never past the token's
    /// own end, and for a day at most. [`Duration::ZERO`]: each request is asked about, so that a revocation counts at once.
    /// Default: a minute. Of tokens whose signature is checked it says nothing: those are good until they end.
    pub fn remember(mut self, answer: Duration) -> Self {
        self.remember = answer.min(LONGEST);
        self
    }

    /// Believes the tokens of an issuer of which more is to be said than its name: other audiences, other claims, Entra,
    /// a shared secret.
    pub fn issuer(mut self, settings: IssuerSettings) -> Self {
        self.issuers.push(Ok(settings));
        self
    }

    /// What every request needs, scopes separated by spaces; it is also what clients are told to ask for first.
    /// Default: nothing but a token.
    pub fn scope(mut self, scope: &str) -> Self {
        scope.clone_into(&mut self.scope);
        self
    }

    /// What a call of an MCP tool needs, beside [`scope`](Self::scope). The name is compared exactly.
    pub fn tool(mut self, name: &str, scope: &str) -> Self {
        self.tools.insert(name.to_owned(), scope.to_owned());
        self
    }

    /// What the tools need that no [`tool`](Self::tool) names. Default: they cannot be called at all, as if they were
    /// not there.
    pub fn other_tools(mut self, scope: &str) -> Self {
        self.other_tools = Some(scope.to_owned());
        self
    }

    /// What people read in a consent page (RFC 9728 §2, `resource_name`).
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How keys are fetched. Loopback and private addresses are reached only where
    /// [`OutboundSettings::allow_private`] names them.
    pub fn outbound(mut self, settings: OutboundSettings) -> Self {
        self.outbound = settings;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is asked on every request whether the caller was revoked. Default: nobody.
    pub fn revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// The longest MCP message that is read to find out which tool it calls. Default: 4 MiB.
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    fn add(
        mut self,
        issuer: &str,
        keys: impl FnOnce(&Issuer) -> Result<KeySource, BuildError>,
    ) -> Self {
        let audience = canonical(&self.resource).to_owned();
        let settings = issuer.parse().map_err(BuildError::from).and_then(|issuer: Issuer| {
            let keys = keys(&issuer)?;
            let opaque_tokens = matches!(keys, KeySource::Introspection { .. });
            let mut settings = IssuerSettings::new(issuer, vec![audience], keys);
            settings.opaque_tokens = opaque_tokens;
            Ok(settings)
        });
        self.issuers.push(settings);
        self
    }

    /// Puts it together. Asks nobody: keys are fetched when the first token comes.
    ///
    /// # Errors
    ///
    /// The first [`BuildError`].
    pub fn build(self) -> Result<ProtectedResource, BuildError> {
        let scope: Scope = self.scope.parse().map_err(BuildError::Scope)?;
        let tools = ToolScopes::parse(&self.tools, self.other_tools.as_deref())?;
        let issuers = self.issuers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let names = issuers.iter().map(|settings| settings.issuer.to_string()).collect();
        let mut metadata = ResourceMetadata::new(self.resource, names);
        metadata.scopes_supported = scope.clone();
        metadata.resource_name = self.name;
        let published = metadata.publish()?;
        let url = well_known_url(&metadata.resource);
        let timing =
            IntrospectionTiming { positive: self.remember, ..IntrospectionTiming::default() };
        let mut verifier = Verifier::builder().clock(self.clock).introspection_timing(timing);
        for settings in issuers {
            verifier = verifier.issuer(settings);
        }
        if let Some(revocations) = self.revocations {
            verifier = verifier.revocations(revocations);
        }
        let verifier = Arc::new(verifier.outbound(Outbound::new(&self.outbound)?).build()?);
        Ok(ProtectedResource::new(Parts {
            token: RequireTokenLayer::new(verifier, &url).scope_hint(&scope),
            denials: Denials::new(&url),
            metadata: published,
            metadata_path: well_known_path(&metadata.resource),
            scope,
            tools,
            max_body_bytes: self.max_body_bytes,
        }))
    }
}
