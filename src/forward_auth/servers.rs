//! The registered servers: looked up for every request, so that one that was taken out is gone at once.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use url::Url;

use crate::guard::{Decider, Door};
use crate::resource_server::{
    DpopUse, IssuerSettings, KeySource, RequireTokenLayer, SettingsError, Verifier,
};
use crate::store::{ResourceRow, StoreError};

use super::{ForwardAuth, Parts};

/// How long a verified token is remembered, and so how long a retired key may still serve here.
const REMEMBER: Duration = Duration::from_secs(5);
const TOKENS: u64 = 1_000;

/// A verifier for each server, made when it is first asked about.
#[derive(Debug)]
pub(super) struct Servers(Cache<Arc<str>, (Vec<String>, Arc<Verifier>)>);

impl Default for Servers {
    fn default() -> Self {
        Self(Cache::new(1_000))
    }
}

/// One server, as it is registered now.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) row: ResourceRow,
    pub(super) token: RequireTokenLayer,
    pub(super) door: Door,
    pub(super) decider: Decider,
}

/// Why nothing is known of a server.
#[derive(Debug)]
pub(super) enum NotServed {
    /// No such server, or one that is switched off.
    Unknown,
    /// We cannot tell, or cannot verify.
    Unavailable,
}

impl From<StoreError> for NotServed {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "forward_auth.store_failed");
        Self::Unavailable
    }
}

impl From<SettingsError> for NotServed {
    fn from(error: SettingsError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "forward_auth.no_verifier");
        Self::Unavailable
    }
}

impl ForwardAuth {
    pub(super) async fn server(&self, unverified_id: &str) -> Result<Server, NotServed> {
        let parts = &self.0.parts;
        let row = self.row(unverified_id).await?;
        let url = metadata_url(&parts.public_url, &row.id);
        let verifier = self.0.servers.verifier(parts, &row)?;
        let token = RequireTokenLayer::new(verifier, &url).scope_hint(&row.scopes);
        let door = Door {
            limits: parts.limits.clone(),
            auditor: parts.auditor.clone(),
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
            metadata_url: url,
            // The gate takes plain tokens alone.
            dpop: DpopUse::Off,
            max_body_bytes: parts.max_body_bytes,
            body_timeout: parts.body_timeout,
        };
        let decider = Decider {
            policy: parts.policy.clone(),
            server: row.id.as_str().into(),
            beside: Some(row.scopes.clone()),
        };
        Ok(Server { row, token, door, decider })
    }

    pub(super) async fn row(&self, unverified_id: &str) -> Result<ResourceRow, NotServed> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if unverified_id.is_empty()
            || unverified_id.len() > 128
            || !unverified_id.bytes().all(legal)
        {
            return Err(NotServed::Unknown);
        }
        let row = self.0.parts.store.find_resource(unverified_id).await?;
        row.filter(|row| row.disabled_at.is_none()).ok_or(NotServed::Unknown)
    }
}

impl Servers {
    fn verifier(&self, parts: &Parts, row: &ResourceRow) -> Result<Arc<Verifier>, SettingsError> {
        let audiences: Vec<String> =
            std::iter::once(&row.uri).chain(&row.aliases).cloned().collect();
        if let Some((known, verifier)) = self.0.get(row.id.as_str())
            && known == audiences
        {
            return Ok(verifier);
        }
        let keys = KeySource::Local(Arc::clone(&parts.keys));
        let mut ours = IssuerSettings::new(parts.issuer.clone(), audiences.clone(), keys);
        ours.token_types = vec!["at+jwt".to_owned()]; // RFC 9068 §4: an id_token is no access token
        let verifier = Verifier::builder()
            .issuer(ours)
            .clock(Arc::clone(&parts.clock))
            .revocations(Arc::clone(&parts.revocations))
            .cache(TOKENS, REMEMBER)
            .build()?;
        let verifier = Arc::new(verifier);
        self.0.insert(row.id.as_str().into(), (audiences, Arc::clone(&verifier)));
        Ok(verifier)
    }
}

/// Where we publish the metadata of a server that cannot: at our own address.
fn metadata_url(public_url: &Url, id: &str) -> Url {
    let base = public_url.path().trim_end_matches('/');
    let mut url = public_url.clone();
    url.set_path(&format!("{base}/.well-known/oauth-protected-resource/{id}"));
    url
}
