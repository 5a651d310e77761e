//! Whose tokens are accepted: our own issuer first, then the configured ones.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::config::{self, Config, Deployment, IssuerKeys, TokenAlg};
use crate::id::Issuer;
use crate::outbound::Outbound;
use crate::resource_server::{
    Algorithm, IssuerSettings, KeySource, LocalKeys, SecretSource, Verifier, VerifierBuilder,
    canonical,
};
use crate::secret::{OwnSecret, Secrets};
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::endpoints::{Name, issuer};
use super::error::AppError;

/// For reading what has to be known at start.
pub(super) const START: Duration = Duration::from_secs(30);

/// The verifier of the MCP endpoint. All audiences default to our resource URLs.
pub(super) fn verifier(
    config: &Config,
    keys: &Arc<LocalKeys>,
    names: &[Name],
    secrets: &Arc<Secrets>,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let audiences = audiences(names);
    let mut builder = own_issuer(config, keys, &audiences, clock)?.outbound(outbound);
    for configured in &config.resource_server.issuers {
        builder = builder.issuer(foreign(config, configured, &audiences, secrets));
    }
    Ok(builder)
}

/// The same for other endpoints of ours: tokens for these audiences alone, whoever issued them. What an issuer is
/// configured with is meant for `/mcp`. Of `others` an issuer's tokens may name those
/// that it is configured with, too.
pub(super) fn verifier_for(
    config: &Config,
    keys: &Arc<LocalKeys>,
    (audiences, others): (&[String], &[String]),
    secrets: &Arc<Secrets>,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let mut builder = own_issuer(config, keys, audiences, clock)?.outbound(outbound);
    for configured in &config.resource_server.issuers {
        let mut issuer = foreign(config, configured, audiences, secrets);
        let own = others.iter().filter(|other| configured.audiences.contains(other));
        issuer.audiences = audiences.iter().chain(own).cloned().collect();
        builder = builder.issuer(issuer);
    }
    Ok(builder)
}

fn audiences(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| canonical(&name.resource).to_owned()).collect()
}

/// A verifier of tokens that we issued ourselves, and of no others.
pub(super) fn own_verifier(
    config: &Config,
    keys: &Arc<LocalKeys>,
    names: &[Name],
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    own_issuer(config, keys, &audiences(names), clock)
}

/// The same for these audiences.
pub(super) fn own_issuer(
    config: &Config,
    keys: &Arc<LocalKeys>,
    audiences: &[String],
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let own: Issuer = issuer(&config.server.public_url).parse()?;
    if config.resource_server.issuers.iter().any(|configured| configured.issuer == own) {
        return Err(AppError::OwnIssuer(own));
    }
    let own_keys = KeySource::Local(Arc::clone(keys));
    let mut ours = IssuerSettings::new(own, audiences.to_vec(), own_keys);
    ours.token_types = vec!["at+jwt".to_owned()]; // RFC 9068 §4: our id_tokens are not access tokens
    Ok(Verifier::builder().clock(Arc::clone(clock)).issuer(ours))
}

/// One configured issuer, with our audiences where it names none.
pub(super) fn foreign(
    config: &Config,
    configured: &config::Issuer,
    ours: &[String],
    secrets: &Arc<Secrets>,
) -> IssuerSettings {
    // Anybody may try out every short secret on one token (RFC 7518 §3.2, RFC 8725 §3.5).
    let weak = config.deployment != Deployment::Dev;
    let keys = match &configured.keys {
        IssuerKeys::JwksUri(url) => KeySource::Jwks { url: url.clone() },
        IssuerKeys::Discovery => KeySource::Discovery,
        IssuerKeys::Introspection(asked) => KeySource::Introspection {
            url: asked.url.clone(),
            client_id: asked.client_id.clone(),
            client_secret: when_needed(&asked.client_secret, secrets, None),
        },
        IssuerKeys::Secret(secret) => {
            let named = configured.issuer.clone();
            KeySource::SharedSecret(when_needed(secret, secrets, weak.then_some(named)))
        }
    };
    let audiences =
        if configured.audiences.is_empty() { ours.to_vec() } else { configured.audiences.clone() };
    let mut settings = IssuerSettings::new(configured.issuer.clone(), audiences, keys);
    if !configured.algorithms.is_empty() {
        settings.algorithms = configured.algorithms.iter().copied().map(algorithm).collect();
    }
    settings.token_types.clone_from(&configured.token_types);
    settings.scope_claims.clone_from(&configured.scope_claims);
    settings.skew = configured.skew;
    settings.entra = configured.entra;
    settings.tenants.clone_from(&configured.tenants);
    settings.opaque_tokens = configured.opaque_tokens;
    settings
}

/// A secret that is read when it is needed, through the memory of `secrets`: it may be rotated, and its backend may be
/// away while we start. `strong_for`: it is the shared secret of this issuer, and a weak one is none.
fn when_needed(
    source: &config::SecretSource,
    secrets: &Arc<Secrets>,
    strong_for: Option<Issuer>,
) -> SecretSource {
    let own = own_secret(source, secrets);
    SecretSource::asked(move || {
        let (own, strong_for) = (own.clone(), strong_for.clone());
        async move {
            let secret = own.read().await.ok()?; // the reader has logged why not
            let Some(issuer) = strong_for else { return Some(secret) };
            match config::weakness(&secret) {
                None => Some(secret),
                Some(problem) => {
                    tracing::error!(%issuer, "the shared secret {problem}: no token is accepted by it");
                    None
                }
            }
        }
        .boxed()
    })
}

/// A credential of our own, to be read when it is needed.
pub(super) fn own_secret(source: &config::SecretSource, secrets: &Arc<Secrets>) -> OwnSecret {
    match source {
        config::SecretSource::Literal(text) => OwnSecret::Text(text.clone()),
        config::SecretSource::Ref(reference) => {
            OwnSecret::at(reference.clone(), Arc::clone(secrets))
        }
    }
}

/// A credential of our own.
pub(super) async fn own(
    source: &config::SecretSource,
    secrets: &Secrets,
    budget: &Budget,
) -> Result<SecretText, AppError> {
    match source {
        config::SecretSource::Literal(text) => Ok(text.clone()),
        config::SecretSource::Ref(reference) => {
            Ok(secrets.read_own(reference, budget).await?.text().clone())
        }
    }
}

pub(super) const fn algorithm(configured: TokenAlg) -> Algorithm {
    match configured {
        TokenAlg::RS256 => Algorithm::RS256,
        TokenAlg::RS384 => Algorithm::RS384,
        TokenAlg::RS512 => Algorithm::RS512,
        TokenAlg::PS256 => Algorithm::PS256,
        TokenAlg::PS384 => Algorithm::PS384,
        TokenAlg::PS512 => Algorithm::PS512,
        TokenAlg::ES256 => Algorithm::ES256,
        TokenAlg::ES384 => Algorithm::ES384,
        TokenAlg::EdDSA => Algorithm::EdDSA,
        TokenAlg::HS256 => Algorithm::HS256,
    }
}
