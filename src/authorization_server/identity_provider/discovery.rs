//! A provider's metadata: read once it is needed, believed only where it names the configured issuer.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::authorization_server::session::is_loopback;
use crate::outbound::{Call, Limits, Outbound};
use crate::resource_server::{Algorithm, SignedJwts};
use crate::time::Clock;

use super::UpstreamError;
use super::settings::{Endpoints, IdentityProviderSettings};

pub(super) const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 256 * 1024 };
const FRESH: Duration = Duration::from_hours(1);
/// How long a failure is remembered, so that people who reload do not hammer a provider that is down.
const RETRY: Duration = Duration::from_secs(2);

/// Where the parts of a provider are, and how they want to be spoken to.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization: Url,
    pub(super) token: Url,
    /// The secret goes into the body rather than into the header (RFC 6749 §2.3.1).
    pub(super) secret_in_body: bool,
    /// Answers carry `iss` (RFC 9207 §3).
    pub(super) states_issuer: bool,
    pub(super) who: Who,
}

/// Where it says who somebody is.
#[derive(Debug)]
pub(super) enum Who {
    IdToken(SignedJwts),
    Userinfo(Url),
}

/// OIDC Discovery §3, the members we need.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The metadata of one provider, kept for an hour.
#[derive(Debug, Default)]
pub(super) struct Discovery(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<(Duration, Arc<Metadata>)>,
    failed_at: Option<Duration>,
}

impl Discovery {
    /// One fetch at a time; whoever comes meanwhile waits for it. What is known serves on while the provider is away.
    pub(super) async fn get(
        &self,
        settings: &IdentityProviderSettings,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let mut state = self.0.lock().await;
        let now = clock.monotonic();
        if let Some((at, known)) = &state.known
            && now.saturating_sub(*at) < FRESH
        {
            return Ok(Arc::clone(known));
        }
        if state.failed_at.is_some_and(|at| now.saturating_sub(at) < RETRY) {
            let known = state.known.as_ref().map(|(_, known)| Arc::clone(known));
            return known.ok_or(UpstreamError::Discovery("it could not be read a moment ago"));
        }
        match read(settings, outbound, clock).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *state = State { known: Some((now, Arc::clone(&metadata))), failed_at: None };
                Ok(metadata)
            }
            Err(error) => {
                state.failed_at = Some(now);
                let known = state.known.as_ref().map(|(_, known)| Arc::clone(known));
                known.ok_or(error)
            }
        }
    }
}

async fn read(
    settings: &IdentityProviderSettings,
    outbound: &Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<Metadata, UpstreamError> {
    if let Endpoints::Explicit(endpoints) = &settings.endpoints {
        return Ok(Metadata {
            authorization: endpoints.authorization.clone(),
            token: endpoints.token.clone(),
            secret_in_body: true,
            states_issuer: false,
            who: Who::Userinfo(endpoints.userinfo.clone()),
        });
    }
    let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
    let url: Url = url.parse().map_err(|_| UpstreamError::Discovery("the issuer is no URL"))?;
    let plain = url.scheme() == "http" && is_loopback(&url);
    let answer = outbound.send(Call::get(url), LIMITS).await?;
    if answer.status != http::StatusCode::OK {
        return Err(UpstreamError::Status {
            endpoint: "discovery",
            status: answer.status.as_u16(),
        });
    }
    let document: Document = serde_json::from_slice(&answer.body)
        .map_err(|_| UpstreamError::Discovery("it is not an OpenID provider's"))?;
    believed(settings, document, plain, outbound, clock)
}

/// # Errors
///
/// [`UpstreamError::Discovery`]: another issuer (OIDC Discovery §4.3) or an endpoint that is not https.
fn believed(
    settings: &IdentityProviderSettings,
    document: Document,
    plain: bool,
    outbound: &Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<Metadata, UpstreamError> {
    if document.issuer.contains("{tenantid}") {
        // Every tenant of Entra would be let in (tenant confusion).
        return Err(UpstreamError::Discovery(
            "it is for every tenant; set issuer to https://login.microsoftonline.com/<tenant GUID>/v2.0",
        ));
    }
    if document.issuer != settings.issuer {
        return Err(UpstreamError::Discovery("it names another issuer than is configured"));
    }
    let endpoints =
        [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri];
    let safe = |url: &&Url| url.scheme() == "https" || (plain && is_loopback(url));
    if !endpoints.iter().all(safe) {
        return Err(UpstreamError::Discovery("an endpoint is not https"));
    }
    let named = document.id_token_signing_alg_values_supported.iter();
    let mut algorithms: Vec<Algorithm> = named.filter_map(|name| name.parse().ok()).collect();
    algorithms.retain(|algorithm| *algorithm != Algorithm::HS256);
    if algorithms.is_empty() {
        algorithms.push(Algorithm::RS256);
    }
    let keys = SignedJwts::new(
        &settings.issuer,
        document.jwks_uri,
        &algorithms,
        outbound.clone(),
        Arc::clone(clock),
    );
    let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
    let takes = |method: &str| methods.iter().any(|name| name == method);
    Ok(Metadata {
        authorization: document.authorization_endpoint,
        token: document.token_endpoint,
        secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
        states_issuer: document.authorization_response_iss_parameter_supported,
        who: Who::IdToken(keys),
    })
}
