//! What the server of a unit test is told, but for what the test is about.

use std::sync::Arc;
use std::time::Duration;

use crate::host_trust::HostTrusts;
use crate::scope::Scope;

use super::{
    Administrators, ClientCertificates, ClientTls, ConfiguredClient, ExchangeRules, KnownClients,
    OwnResource, Rates, Registration, SecondFactor, Settings, SigningAlgorithm, SiteShares,
};

/// Of a server at this address, with its own MCP endpoint and no clients.
pub(super) fn ordinary(public_url: &str) -> Settings {
    Settings {
        issuer: public_url.parse().unwrap(),
        public_url: public_url.parse().unwrap(),
        resources: vec![OwnResource {
            uri: format!("{public_url}/mcp"),
            aliases: Vec::new(),
            behind: None,
            dpop_required: false,
        }],
        signing_algorithm: SigningAlgorithm::Es256,
        resource_signing_algorithms: Vec::new(),
        access_token_ttl: Duration::from_hours(1),
        refresh_token_ttl: Duration::from_hours(24),
        code_ttl: Duration::from_mins(1),
        refresh_grace: Duration::from_mins(1),
        rates: Rates::default(),
        site_shares: SiteShares::default(),
        default_scopes: Scope::empty(),
        scopes_supported: Scope::empty(),
        administrators: Administrators::default(),
        clients: Vec::new(),
        identity_assertions: Vec::new(),
        registration: Registration::Off,
        known_clients: Arc::new(KnownClients::shipped()),
        client_metadata_documents: Some(HostTrusts::default()),
        require_pushed_requests: false,
        second_factor: SecondFactor::Optional,
        dpop: false,
        client_certificates: ClientCertificates::default(),
        dpop_required: false,
    }
}

/// A client of the settings file.
pub(super) fn configured(
    id: &str,
    secret: Option<&str>,
    grants: &'static str,
    scopes: &str,
) -> ConfiguredClient {
    ConfiguredClient {
        client_id: id.parse().unwrap(),
        secret: secret.map(|secret| secret.to_owned().into()),
        keys: None,
        grant_types: grants.split(' ').collect(),
        scopes: scopes.parse().unwrap(),
        redirect_uris: Vec::new(),
        refresh_grace: None,
        require_pushed_requests: false,
        dpop_bound: false,
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        exchange: ExchangeRules::default(),
        workload: None,
        tls: ClientTls::default(),
    }
}
