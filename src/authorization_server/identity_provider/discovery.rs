//! A provider's metadata: read once it is needed, believed only where it names the configured issuer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;
use url::Url;

use crate::authorization_server::session::is_loopback;
use crate::outbound::{Call, Limits, Outbound};
use crate::resource_server::{Algorithm, SignedJwts};
use crate::time::Clock;

use super::UpstreamError;
use super::settings::{Endpoints, IdentityProviderSettings};

pub(super) const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 256 * 1024 };
/// Older than this it is read anew, beside the logins that go on with what is known.
const FRESH: Duration = Duration::from_hours(1);
/// Older than this it serves only where it cannot be read anew.
const OLD: Duration = Duration::from_hours(24);
/// How long a failure is remembered, so that people who reload do not hammer a provider that is down.
const RETRY: Duration = Duration::from_secs(2);

/// OIDC Core §11
pub(super) const OFFLINE_ACCESS: &str = "offline_access";

/// Where the parts of a provider are, and how they want to be spoken to.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization: Url,
    pub(super) token: Url,
    /// The secret goes into the body rather than into the header (RFC 6749 §2.3.1).
    pub(super) secret_in_body: bool,
    /// Answers carry `iss` (RFC 9207 §3).
    pub(super) states_issuer: bool,
    /// It says that there is such a scope (OIDC Core §11).
    pub(super) offline_access: bool,
    pub(super) who: Who,
}

/// Where it says who somebody is.
#[derive(Debug)]
pub(super) enum Who {
    /// With where it says more, if it does (OIDC Core §5.3).
    IdToken(SignedJwts, Option<Url>),
    Userinfo(Url),
}

/// OIDC Discovery §3, the members we need.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The metadata of one provider.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    kept: Arc<Kept>,
    /// The look at a document that is no longer fresh, which nobody waits for. Ends with this.
    beside: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Kept {
    state: Mutex<State>,
    /// One fetch at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    known: Option<(Duration, Arc<Metadata>)>,
    failed_at: Option<Duration>,
}

impl Discovery {
    /// What is known serves on while the provider is slow or away; only where nothing is known, or nothing newer than of
    /// yesterday, somebody who logs in waits for it.
    pub(super) async fn get(
        &self,
        settings: &IdentityProviderSettings,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let known = self.kept.state().known;
        let now = clock.monotonic();
        match known {
            Some((at, known)) if now.saturating_sub(at) < FRESH => Ok(known),
            Some((at, known)) if now.saturating_sub(at) < OLD => {
                self.refresh(settings, outbound, clock);
                Ok(known)
            }
            known => {
                let read = self.kept.read(settings, outbound, clock).await;
                read.or_else(|error| known.map(|(_, known)| known).ok_or(error))
            }
        }
    }

    fn refresh(
        &self,
        settings: &IdentityProviderSettings,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) {
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        while beside.try_join_next().is_some() {}
        if !beside.is_empty() {
            return;
        }
        let kept = Arc::clone(&self.kept);
        let (settings, outbound, clock) = (settings.clone(), outbound.clone(), Arc::clone(clock));
        beside.spawn(async move {
            if let Err(error) = kept.read(&settings, &outbound, &clock).await {
                tracing::warn!(idp.id = settings.id, reason = %error, "an identity provider's metadata cannot be read");
            }
        });
    }
}

#[cfg(test)]
impl Discovery {
    /// As if this had just been read.
    pub(super) fn knowing(metadata: Metadata, clock: &Arc<dyn Clock>) -> Self {
        let known = Some((clock.monotonic(), Arc::new(metadata)));
        let kept = Kept { state: Mutex::new(State { known, failed_at: None }), ..Kept::default() };
        Self { kept: Arc::new(kept), ..Self::default() }
    }
}

impl Kept {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads it, unless somebody else has done so or failed meanwhile.
    async fn read(
        &self,
        settings: &IdentityProviderSettings,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let _turn = self.turn.lock().await;
        let (state, now) = (self.state(), clock.monotonic());
        if let Some((at, known)) = state.known
            && now.saturating_sub(at) < FRESH
        {
            return Ok(known);
        }
        if state.failed_at.is_some_and(|at| now.saturating_sub(at) < RETRY) {
            return Err(UpstreamError::Discovery("it could not be read a moment ago"));
        }
        let read = read(settings, outbound, clock).await.map(Arc::new);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &read {
            Ok(metadata) => {
                *state = State { known: Some((now, Arc::clone(metadata))), failed_at: None };
            }
            // Once it is known: one that hangs takes longer to fail than a failure is remembered.
            Err(_) => state.failed_at = Some(clock.monotonic()),
        }
        read
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
            offline_access: false,
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
    let safe = |url: &Url| url.scheme() == "https" || (plain && is_loopback(url));
    if !endpoints.into_iter().chain(&document.userinfo_endpoint).all(safe) {
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
    let scopes = document.scopes_supported.unwrap_or_default();
    let takes = |method: &str| methods.iter().any(|name| name == method);
    Ok(Metadata {
        authorization: document.authorization_endpoint,
        token: document.token_endpoint,
        secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
        states_issuer: document.authorization_response_iss_parameter_supported,
        offline_access: scopes.iter().any(|scope| scope == OFFLINE_ACCESS),
        who: Who::IdToken(keys, document.userinfo_endpoint),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use crate::fake_http::{Act, FakeHttp, loopback_client};
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    const DOCUMENT: &str = r#"{"issuer":"%ORIGIN%","authorization_endpoint":"%ORIGIN%a","token_endpoint":"%ORIGIN%t","jwks_uri":"%ORIGIN%j"}"#;

    #[tokio::test]
    async fn nobody_who_logs_in_waits_for_a_document_that_is_known() {
        let host = FakeHttp::start(vec![Act::json(200, DOCUMENT), Act::Hang]).await;
        let (settings, outbound) =
            (IdentityProviderSettings::of(host.origin.as_str()), loopback_client());
        let fixed = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let clock: Arc<dyn Clock> = fixed.clone();
        let discovery = Discovery::default();
        assert!(discovery.get(&settings, &outbound, &clock).await.is_ok());
        fixed.advance(FRESH);
        for _ in 0..3 {
            let at_once = discovery.get(&settings, &outbound, &clock).now_or_never();
            assert!(at_once.is_some_and(|known| known.is_ok()));
        }
        assert_eq!(discovery.beside.lock().unwrap().len(), 1, "it is read anew beside, once");
    }

    #[tokio::test]
    async fn one_that_took_long_to_fail_has_failed_just_now() {
        let host = FakeHttp::start(vec![Act::json(500, "")]).await;
        let (settings, outbound) =
            (IdentityProviderSettings::of(host.origin.as_str()), loopback_client());
        let fixed = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let clock: Arc<dyn Clock> = fixed.clone();
        let discovery = Discovery::default();
        // The first to come waits for its turn, and by the time it is answered five seconds have gone by.
        let first = discovery.get(&settings, &outbound, &clock);
        let slow = async {
            while host.requests().is_empty() {
                tokio::task::yield_now().await;
            }
            fixed.advance(Duration::from_secs(5));
        };
        let (first, ()) = tokio::join!(first, slow);
        assert!(first.is_err());
        let second = discovery.get(&settings, &outbound, &clock).await;
        assert!(matches!(second, Err(UpstreamError::Discovery(_))), "{second:?}");
        assert_eq!(host.requests().len(), 1);
    }

    #[tokio::test]
    async fn what_was_read_beside_serves_from_then_on() {
        let moved = DOCUMENT.replace("%ORIGIN%t", "%ORIGIN%moved");
        let acts = vec![Act::json(200, DOCUMENT), Act::json(200, &moved)];
        let host = FakeHttp::start(acts).await;
        let (settings, outbound) =
            (IdentityProviderSettings::of(host.origin.as_str()), loopback_client());
        let fixed = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let clock: Arc<dyn Clock> = fixed.clone();
        let discovery = Discovery::default();
        discovery.get(&settings, &outbound, &clock).await.unwrap();
        fixed.advance(FRESH);
        discovery.get(&settings, &outbound, &clock).await.unwrap();
        let mut beside = std::mem::take(&mut *discovery.beside.lock().unwrap());
        beside.join_next().await.unwrap().unwrap();
        let known = discovery.get(&settings, &outbound, &clock).await.unwrap();
        assert_eq!(known.token.path(), "/moved");
    }
}
