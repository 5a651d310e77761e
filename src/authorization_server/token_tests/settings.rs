//! What the server of these tests is told.

use std::sync::Arc;
use std::time::Duration;

use crate::authorization_server::{
    Administrators, ConfiguredClient, ExchangeRules, OwnResource, Rates, Registration,
    SecondFactor, Settings, SigningAlgorithm, SiteShares,
};
use crate::host_trust::HostTrusts;
use crate::scope::Scope;

use super::support::{CALLBACK, MCP};

pub(super) fn settings() -> Settings {
    let public_url = "https://broker.example";
    Settings {
        issuer: public_url.parse().unwrap(),
        public_url: public_url.parse().unwrap(),
        resources: vec![OwnResource {
            uri: MCP.to_owned(),
            aliases: Vec::new(),
            behind: None,
            dpop_required: false,
        }],
        signing_algorithm: SigningAlgorithm::Es256,
        resource_signing_algorithms: Vec::new(),
        access_token_ttl: Duration::from_hours(1),
        refresh_token_ttl: Duration::from_hours(24 * 30),
        code_ttl: Duration::from_mins(1),
        refresh_grace: Duration::from_mins(1),
        rates: Rates::default(),
        site_shares: SiteShares::default(),
        default_scopes: "graph:read public:read".parse().unwrap(),
        scopes_supported: Scope::empty(),
        administrators: Administrators::default(),
        clients: vec![
            client("app", None, "authorization_code refresh_token", ""),
            client("other", None, "authorization_code refresh_token", ""),
            client("web", Some("s3cret"), "authorization_code refresh_token", ""),
            client("nightly", Some("s3cret"), "client_credentials", "graph:read broker:admin"),
        ],
        identity_assertions: Vec::new(),
        registration: Registration::Limited,
        known_clients: Arc::new(crate::authorization_server::KnownClients::shipped()),
        client_metadata_documents: Some(HostTrusts::default()),
        require_pushed_requests: false,
        second_factor: SecondFactor::Optional,
        dpop: false,
        client_certificates: crate::authorization_server::ClientCertificates::default(),
        dpop_required: false,
    }
}

pub(super) fn client(
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
        redirect_uris: vec![CALLBACK.parse().unwrap()],
        refresh_grace: None,
        require_pushed_requests: false,
        dpop_bound: false,
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        exchange: ExchangeRules::default(),
        workload: None,
        tls: crate::authorization_server::ClientTls::default(),
    }
}
