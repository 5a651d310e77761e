//! The settings: one file a section, what may be written beside what it is parsed into.

mod approvals;
mod assertion;
mod audit;
mod authorization_server;
mod binding;
mod client_host;
mod client_tls;
mod deployment;
mod graph;
mod graph_profile;
mod identity_provider;
mod limits;
mod outbound;
mod policy;
mod rate;
mod registered_client;
mod resource_server;
mod root;
mod secret_source;
mod secrets;
mod server;
mod site_rates;
mod store;
mod telemetry;
mod tools;
mod upstream;
mod upstream_credential;
mod upstream_grant;
mod upstream_named;
mod upstream_pin;
mod upstream_program;
mod upstream_server;

pub use approvals::{ApprovalWebhook, Approvals};
pub use assertion::{AssertionIssuer, Workload};
pub use audit::{Audit, AuditSink, FileSink, OnFailure};
pub use authorization_server::{
    Administrators, AuthorizationServer, ClientMetadataDocuments, DynamicRegistration,
    SecondFactor, SigningAlg,
};
pub use client_tls::ClientCertificate;
pub use deployment::Deployment;
pub use graph::{Cloud, CustomCloud, Graph, GraphMode};
pub use graph_profile::{GraphCredential, GraphProfile};
pub use identity_provider::{
    IdentityProvider, IdentityProviderSecret, ProviderClaims, ProviderEndpoints,
};
pub use limits::{Limits, OnStoreFailure, ToolLimit};
pub use outbound::Outbound;
pub use policy::Policy;
pub use rate::{Rate, RateError};
pub use registered_client::{ClientExchange, ClientKeys, GrantType, RegisteredClient};
pub use resource_server::{Dpop, Introspection, Issuer, IssuerKeys, ResourceServer, TokenAlg};
pub use root::Config;
pub(super) use root::RawConfig;
pub(super) use secret_source::RawSecret;
pub use secret_source::SecretSource;
pub use secrets::{Exec, OnePassword, Secrets, Vault, VaultAuth};
pub use server::{Server, Tls, derived_public_url};
pub use site_rates::SiteRates;
pub use store::{Store, StoreUrl};
pub use telemetry::{LogFormat, LogLevel, Telemetry};
pub use tools::{Documents, Tools};
pub use upstream::{Upstream, UpstreamEra, UpstreamServer, UpstreamTransport};
pub use upstream_credential::{
    UpstreamCredential, UpstreamEndpoints, UpstreamExchange, UpstreamIdJag, UpstreamIdJagServer,
    UpstreamPerUser, UpstreamTokenPlace,
};
pub use upstream_grant::UpstreamGrant;
pub use upstream_named::UpstreamNamedCredential;
pub use upstream_pin::{OnToolFlaw, UpstreamPin};
pub use upstream_program::UpstreamCommand;
