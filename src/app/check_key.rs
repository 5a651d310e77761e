//! What a fault that `broker check` finds is about.

/// A setting, or a group of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKey {
    PolicyFile,
    PolicyShadowFile,
    LimitsTool,
    Client,
    ClientSecret,
    IdentityProvider,
    IdentityProviderSecret,
    Issuer,
    Server,
    ServerCredential,
    ServerEnvironment,
    NamedCredential,
    Tls,
    AuditSink,
    Store,
    KeyEncryptionKey,
    Documents,
    Outbound,
    CaFile,
    Secrets,
    WebhookSecret,
    GraphProfile,
    GraphCloud,
    GraphCatalog,
    FlatPermissions,
    KnownClients,
}

impl CheckKey {
    /// As the settings file has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyFile => "policy.file",
            Self::PolicyShadowFile => "policy.shadow_file",
            Self::LimitsTool => "limits.tool",
            Self::Client => "authorization_server.client",
            Self::KnownClients => "authorization_server.known_clients_file",
            Self::ClientSecret => "authorization_server.client.secret",
            Self::IdentityProvider => "authorization_server.identity_provider",
            Self::IdentityProviderSecret => "authorization_server.identity_provider_secret",
            Self::Issuer => "resource_server.issuer",
            Self::Server => "upstream.server",
            Self::ServerCredential => "upstream.server.credential",
            Self::ServerEnvironment => "upstream.server.env",
            Self::NamedCredential => "upstream.credential",
            Self::Tls => "server.tls",
            Self::AuditSink => "audit.sink",
            Self::Store => "store.url",
            Self::KeyEncryptionKey => "store.key_encryption_key",
            Self::Documents => "documents.dir",
            Self::Outbound => "outbound",
            Self::CaFile => "outbound.ca_file",
            Self::Secrets => "secrets",
            Self::WebhookSecret => "approvals.webhook_secret",
            Self::GraphProfile => "graph.profile",
            Self::GraphCloud => "graph.cloud",
            Self::GraphCatalog => "graph.catalog",
            Self::FlatPermissions => "MCP_AUTH_BROKER_ALLOWED_SCOPES",
        }
    }
}
