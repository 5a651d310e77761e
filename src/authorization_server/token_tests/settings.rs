//! What the server of these tests is told.

use std::time::Duration;

use crate::authorization_server::ordinary_settings::{configured, ordinary};
use crate::authorization_server::{ConfiguredClient, Registration, Settings};

use super::support::CALLBACK;

pub(super) fn settings() -> Settings {
    Settings {
        refresh_token_ttl: Duration::from_hours(24 * 30),
        default_scopes: "graph:read public:read".parse().unwrap(),
        clients: vec![
            client("app", None, "authorization_code refresh_token", ""),
            client("other", None, "authorization_code refresh_token", ""),
            client("web", Some("s3cret"), "authorization_code refresh_token", ""),
            client("nightly", Some("s3cret"), "client_credentials", "graph:read broker:admin"),
        ],
        registration: Registration::Limited,
        ..ordinary("https://broker.example")
    }
}

pub(super) fn client(
    id: &str,
    secret: Option<&str>,
    grants: &'static str,
    scopes: &str,
) -> ConfiguredClient {
    let redirect_uris = vec![CALLBACK.parse().unwrap()];
    ConfiguredClient { redirect_uris, ..configured(id, secret, grants, scopes) }
}
