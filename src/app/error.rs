//! Why a broker did not start, or did not end well.

use std::path::PathBuf;

use crate::audit::{AuditError, OpenError};
use crate::authorization_server::KeyError;
use crate::http::ServeError;
use crate::mcp::DocumentError;
use crate::outbound::OutboundConfigError;
use crate::policy::PolicyError;
use crate::resource_server::{MetadataError, SettingsError};
use crate::token::ProfileError;

/// Each variant names the part; its source says what it is about.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    KeyEncryptionKey(#[from] crate::authorization_server::NotAKey),
    #[error(transparent)]
    Sealing(crate::authorization_server::SealError),
    #[error(
        "{values} values of the store are not sealed with the key {key_id} that is store.key_encryption_key now, and open as long as the key before it is at hand\n  hint: broker store rekey seals them anew, once every broker has both keys; broker store status says where they are"
    )]
    NotResealed { values: u64, key_id: String },
    #[error(
        "{brokers} of the brokers that run do not have the key {key_id}, and could not read what is sealed with it; nothing was changed\n  hint: give all of them the new key as store.key_encryption_key and the one before as store.previous_key_encryption_key, restart them, and run this again"
    )]
    BrokersWithoutKey { brokers: u64, key_id: String },
    #[error(
        "another key than a moment ago seals the store: somebody else replaces it, too\n  hint: run this again with the keys that are in use now"
    )]
    SealedMeanwhile,
    #[error(
        "the key-encryption key {} cannot be read or made\n  hint: its folder must be there and belong to the broker's user, or set store.key_encryption_key",
        path.display()
    )]
    KeyFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    OpenStore(#[from] crate::store::OpenError),
    #[error(
        "another broker serves from the store {}, which one process can use\n  hint: stop that one first; several need store.url = \"postgres://…\"",
        path.display()
    )]
    StoreServed { path: PathBuf },
    #[error(
        "the store has schema {found}; a start brings it to {known}, and there is no way back\n  hint: broker store backup FILE before that, and broker store status says more"
    )]
    OlderStore { found: i64, known: i64 },
    #[error(
        "upstream.server `{server}` is to be folded, and the broker has a tool `{tool}` of its own\n  hint: give the server another id, or leave fold out"
    )]
    FoldedName { server: String, tool: String },
    #[error(
        "`{name}` in MCP_AUTH_BROKER_ALLOWED_SCOPES opens nothing: no operation of the built-in catalogue is for it\n  hint: {}a permission beyond the catalogue needs a rule of your own (policy.file)",
        near.as_ref().map(|near| format!("did you mean `{near}`? Capitals count; ")).unwrap_or_default()
    )]
    IdlePermission { name: String, near: Option<String> },
    #[error(
        "upstream.server `{server}` is named by no rule: nobody sees anything of it\n  hint: add [[upstream.server.tool]], or a rule of the policy for `{server}.…`"
    )]
    UnnamedServer { server: String },
    #[error(
        "upstream.server `{server}` has {tools} tools, and no rule names one of them: nobody sees any\n  hint: names in rules are anchored, and those of the policy have `{server}.` before them"
    )]
    HiddenTools { server: String, tools: usize },
    #[error(
        "upstream.server `{server}` has a pin for the tool `{tool}`, which no rule names: nobody may use it\n  hint: the server's own name of the tool, without `{server}.`"
    )]
    HiddenPin { server: String, tool: String },
    #[error(
        "the registered server `{server}` is not served: {why}\n  hint: broker server list shows it; change it there, or in the settings what stands against it"
    )]
    RegisteredUnserved { server: String, why: &'static str },
    #[error(
        "nobody could log in at the identity provider `{id}` of the store\n  hint: look whether it runs, and what its discovery document says; broker identity-provider show {id}"
    )]
    StoredProvider {
        id: String,
        #[source]
        source: crate::admin::ProviderFault,
    },
    #[error(
        "the identity provider `{id}` of the store is not served: the settings have its id, issuer or prefix, name administrators by a group of it, or have not its secret\n  hint: broker identity-provider list shows them all; take one out"
    )]
    StoredProviderUnserved { id: String },
    #[error(
        "upstream.server `{server}`: {remark}\n  hint: ask whoever runs the server; what is approved is pinned with pin (docs/guard.md)"
    )]
    ServerTools { server: String, remark: crate::upstream::Remark },
    #[error(
        "upstream.server `{server}` was not looked at\n  hint: look at its url or command, at its credential and whether it runs"
    )]
    ServerUnseen {
        server: String,
        #[source]
        source: crate::upstream::ProbeError,
    },
    #[error(
        "the store did not answer\n  hint: look whether the database runs, at store.url, and at the disk and owner of its file"
    )]
    StoreFault(#[from] crate::store::StoreError),
    #[error(transparent)]
    Outbound(#[from] OutboundConfigError),
    #[error(transparent)]
    OpenAudit(#[from] OpenError),
    #[error(
        "the log of commands {} cannot be opened, and nothing is done that would be on no record\n  hint: let the command write there, or configure a file: [[audit.sink]] kind = \"file\"",
        path.display()
    )]
    CommandLog {
        path: PathBuf,
        #[source]
        source: Box<AppError>,
    },
    #[error(
        "the audit log was not closed with everything in it\n  hint: make room on its disk; broker audit verify says where it ends"
    )]
    Audit(#[source] AuditError),
    #[error(
        "policy.file {} cannot be read\n  hint: a file that the broker's user may read, beside broker.toml or by its absolute path",
        path.display()
    )]
    PolicyFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "policy.file {} holds no rule, and would deny everything: what is in force stays\n  hint: to stop everything, write a rule: effect = \"deny\", tools = [\".*\"]",
        path.display()
    )]
    NoRules { path: PathBuf },
    #[error(
        "the rules were being written while they were read\n  hint: try again, or replace the file by renaming another"
    )]
    RulesChanging,
    #[error("the policy has faults\n{0}")]
    Policy(#[source] PolicyError),
    #[error(
        "authorization_server.known_clients_file {} cannot be read\n  hint: a file that the broker's user may read; without it the shipped documents are used",
        path.display()
    )]
    KnownClientsFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "authorization_server.known_clients_file is no catalogue of clients' documents\n  hint: broker client known --refresh --to FILE --write makes one"
    )]
    KnownClients(#[from] crate::authorization_server::CatalogueError),
    #[error("an issuer cannot be used")]
    Issuer(#[from] SettingsError),
    #[error(
        "issuer `{0}` is the broker itself, whose tokens are accepted anyway\n  hint: take this [[resource_server.issuer]] out, or name the one that is meant"
    )]
    OwnIssuer(crate::id::Issuer),
    #[error("our own key set cannot be used\n  hint: broker key list, and broker key rotate --now")]
    OwnKeys(#[from] crate::resource_server::KeySetError),
    #[error(
        "jwks_file of authorization_server.client `{client_id}` {source}\n  hint: RSA keys of 2048 to 8192 bits, P-256, P-384 and Ed25519 can be used, each with a kid of its own or none"
    )]
    ClientKeys { client_id: crate::id::ClientId, source: crate::resource_server::KeySetError },
    #[error(
        "jwks_file of authorization_server.client `{0}` has no certificate, and self_signed_tls_client_auth is about them\n  hint: a key with \"x5c\": [\"…\"], its certificate as DER in base64: openssl x509 -outform DER | base64 -w0"
    )]
    NoClientCertificate(crate::id::ClientId),
    #[error(
        "server.public_url cannot be a protected resource\n  hint: an http or https URL with a host, such as https://broker.contoso.example"
    )]
    Metadata(#[from] MetadataError),
    #[error(
        "server.public_url is no identifier for an issuer\n  hint: an http or https URL with a host, such as https://broker.contoso.example"
    )]
    IssuerName(#[from] crate::id::IdError),
    #[error(
        "documents.dir does not hold both documents\n  hint: public.md and confidential.md, as UTF-8, at most 1 MiB, that the broker's user may read"
    )]
    Documents(#[from] DocumentError),
    #[error("secrets cannot be set up")]
    Secrets(#[from] crate::secret::SettingsError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(
        "graph.catalog {} cannot be read\n  hint: the broker's user must be able to read it; without it the built-in catalogue is used",
        path.display()
    )]
    CatalogFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "graph.catalog is not a permissions.json\n  hint: permissions.json of microsoftgraph/microsoft-graph-devx-content, plain or gzipped: broker catalog import FILE"
    )]
    Catalog(#[from] crate::graph::ImportError),
    #[error(transparent)]
    Cloud(#[from] crate::graph::CloudError),
    #[error(
        "the certificate {} of a graph.profile cannot be read\n  hint: credential.certificate names a PEM file that the broker's user may read",
        path.display()
    )]
    Certificate {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the certificate {} of a graph.profile cannot be used\n  hint: {}", path.display(), source.hint())]
    CertificateContent {
        path: PathBuf,
        #[source]
        source: crate::token::AssertionError,
    },
    #[error("credential.private_key of graph.profile `{profile}` cannot be used\n  hint: {}", source.hint())]
    ProfileKey {
        profile: crate::id::ProfileName,
        #[source]
        source: crate::token::AssertionError,
    },
    #[error(
        "credential.federated_token_file of graph.profile `{profile}` cannot be used\n  hint: {}",
        source.hint()
    )]
    FederatedToken {
        profile: crate::id::ProfileName,
        #[source]
        source: crate::token::AssertionError,
    },
    #[error(
        "the variable {variable} {problem}\n  hint: a managed identity is asked at App Service (with IDENTITY_HEADER), or without the variable at 169.254.169.254"
    )]
    IdentityEndpoint { variable: &'static str, problem: &'static str },
    #[error("a credential of the broker's own cannot be read\n  hint: {}", .0.hint())]
    OwnSecret(#[from] crate::secret::SecretError),
    #[error(
        "the shared secret of issuer `{issuer}` {problem}\n  hint: openssl rand -base64 48, at the issuer and here"
    )]
    WeakSecret { issuer: crate::id::Issuer, problem: &'static str },
    #[error("the key set of issuer `{issuer}` cannot be fetched\n  hint: {}", source.hint())]
    KeySet {
        issuer: crate::id::Issuer,
        #[source]
        source: crate::outbound::OutboundError,
    },
    #[error(
        "the key set of issuer `{issuer}` answers {status}\n  hint: compare jwks_uri with what the issuer's metadata says, or leave it out"
    )]
    KeySetStatus { issuer: crate::id::Issuer, status: http::StatusCode },
    #[error(
        "limits.tool.name is `{name}`, which no tool of this broker is called; there are: {known}\n  hint: a limit of no tool would limit nothing"
    )]
    LimitOfNoTool { name: String, known: String },
    #[error(
        "limits.tool.name is `{name}`, and no server is called `{server}`: nothing is limited until one of that name is registered\n  hint: broker server add {server} … --url …, or look for a typing error"
    )]
    LimitOfNoServer { name: String, server: String },
    #[error(
        "the key set of issuer `{issuer}` cannot be used\n  hint: jwks_uri answers a JSON Web Key Set of public keys: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
    )]
    KeySetContent {
        issuer: crate::id::Issuer,
        #[source]
        source: crate::resource_server::KeySetError,
    },
    #[error("the key set of issuer `{issuer}` is not found through its metadata\n  hint: {}", source.hint())]
    Discovery {
        issuer: crate::id::Issuer,
        #[source]
        source: crate::resource_server::DiscoveryError,
    },
    #[error("the identity provider `{id}` does not answer\n  hint: {}", source.hint())]
    ProviderUnreachable {
        id: String,
        #[source]
        source: crate::outbound::OutboundError,
    },
    #[error(
        "the introspection endpoint of issuer `{0}` does not answer as RFC 7662 says\n  hint: it may be down, or refuse introspection.client_id with its client_secret"
    )]
    Introspection(crate::id::Issuer),
    #[error("graph.profile `{profile}` gets no token: {}\n  hint: {}", refusal(source), source.hint())]
    ProfileToken {
        profile: crate::id::ProfileName,
        #[source]
        source: Box<crate::token::TokenError>,
    },
    #[error("Graph cannot be reached\n  hint: {}", .0.hint())]
    GraphUnreachable(#[source] crate::outbound::OutboundError),
    #[error(
        "Graph answers {0}\n  hint: 5xx passes; another status is a proxy's, or graph.custom_cloud.graph_url is not Graph's"
    )]
    GraphStatus(http::StatusCode),
    #[error(transparent)]
    Webhook(#[from] crate::broker::WebhookError),
    #[error(
        "graph.custom_cloud.{setting} is at {host}, an address that is not public: no call reaches it\n  hint: outbound.allow_private = [\"{host}\"]"
    )]
    PrivateCloud { setting: &'static str, host: String },
    /// A backend of secrets was asked before it went wrong: to try again costs some of its quota.
    #[error(transparent)]
    AskedBackend(Box<AppError>),
    #[error(
        "the simulated Graph cannot listen on loopback\n  hint: it needs 127.0.0.1 and a free port, or set [graph] mode = \"live\""
    )]
    Simulation(#[source] std::io::Error),
}

impl AppError {
    /// Whether a start with the very same settings may succeed in a while: something that they name is not there, or does not answer.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use crate::store::OpenError as Store;
        if let Self::AskedBackend(error) = self {
            return error.may_pass();
        }
        self.is_of_another_broker()
            || matches!(
                self,
                Self::Serve(ServeError::Unreadable { .. })
                    | Self::Keys(KeyError::Io { .. } | KeyError::Store(_))
                    | Self::KeyFile { .. }
                    | Self::OpenStore(Store::File { .. } | Store::Database(_))
                    | Self::StoreFault(_)
                    | Self::OpenAudit(OpenError::Io { .. })
                    | Self::PolicyFile { .. }
                    | Self::Documents(DocumentError::Missing(_) | DocumentError::Unreadable { .. })
                    | Self::CatalogFile { .. }
                    | Self::Certificate { .. }
                    | Self::OwnSecret(_)
            )
    }

    /// Whether another broker has what this one needs, as one that drains has until it ends.
    #[must_use]
    pub const fn is_of_another_broker(&self) -> bool {
        matches!(self, Self::StoreServed { .. } | Self::OpenAudit(OpenError::Locked { .. }))
    }
}

/// Code, detail and the identity provider's own numbers: what one looks up in `docs/errors.md` and in Entra's list.
fn refusal(error: &crate::token::TokenError) -> String {
    let mut text = error.code().as_str().to_owned();
    let detail = serde_json::to_value(error.detail()).unwrap_or_default();
    if let Some(detail) = detail.as_str() {
        text = format!("{text} ({detail})");
    }
    let codes = error.diagnostics().map(|known| known.error_codes.clone()).unwrap_or_default();
    codes.iter().fold(text, |text, code| format!("{text} AADSTS{code}"))
}
