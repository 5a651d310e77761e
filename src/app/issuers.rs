//! Whose tokens are accepted: our own issuer first, then the configured ones.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, IssuerKeys, SecretSource, TokenAlg};
use crate::outbound::Outbound;
use crate::resource_server::{
    Algorithm, IssuerSettings, KeySource, LocalKeys, Verifier, VerifierBuilder, canonical,
};
use crate::secret::Secrets;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::endpoints::{Name, issuer};
use super::error::AppError;

/// For all of the broker's own credentials together, at start.
pub(super) const START: Duration = Duration::from_secs(30);

/// The verifier of the MCP endpoint. All audiences default to our resource URLs.
pub(super) async fn verifier(
    config: &Config,
    keys: &Arc<LocalKeys>,
    names: &[Name],
    secrets: &Secrets,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let audiences = audiences(names);
    let mut builder = own_issuer(config, keys, &audiences, clock)?.outbound(outbound);
    let budget = Budget::start(Arc::clone(clock), START);
    for configured in &config.resource_server.issuers {
        builder = builder.issuer(foreign(configured, &audiences, secrets, &budget).await?);
    }
    Ok(builder)
}

/// The same for other endpoints of ours: tokens for these audiences alone, whoever issued them. What an issuer is
/// configured with is meant for `/mcp`. Of `others` an issuer's tokens may name those
/// that it is configured with, too.
pub(super) async fn verifier_for(
    config: &Config,
    keys: &Arc<LocalKeys>,
    (audiences, others): (&[String], &[String]),
    secrets: &Secrets,
    outbound: Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let mut builder = own_issuer(config, keys, audiences, clock)?.outbound(outbound);
    let budget = Budget::start(Arc::clone(clock), START);
    for configured in &config.resource_server.issuers {
        let mut issuer = foreign(configured, audiences, secrets, &budget).await?;
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

fn own_issuer(
    config: &Config,
    keys: &Arc<LocalKeys>,
    audiences: &[String],
    clock: &Arc<dyn Clock>,
) -> Result<VerifierBuilder, AppError> {
    let own = issuer(&config.server.public_url).parse()?;
    let own_keys = KeySource::Local(Arc::clone(keys));
    let mut ours = IssuerSettings::new(own, audiences.to_vec(), own_keys);
    ours.token_types = vec!["at+jwt".to_owned()]; // RFC 9068 §4: our id_tokens are not access tokens
    Ok(Verifier::builder().clock(Arc::clone(clock)).issuer(ours))
}

/// One configured issuer, with our audiences where it names none.
pub(super) async fn foreign(
    configured: &config::Issuer,
    ours: &[String],
    secrets: &Secrets,
    budget: &Budget,
) -> Result<IssuerSettings, AppError> {
    let keys = match &configured.keys {
        IssuerKeys::JwksUri(url) => KeySource::Jwks { url: url.clone() },
        IssuerKeys::Discovery => KeySource::Discovery,
        IssuerKeys::Introspection(asked) => KeySource::Introspection {
            url: asked.url.clone(),
            client_id: asked.client_id.clone(),
            client_secret: own(&asked.client_secret, secrets, budget).await?,
        },
        IssuerKeys::Secret(secret) => KeySource::SharedSecret(own(secret, secrets, budget).await?),
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
    Ok(settings)
}

/// A credential of our own.
pub(super) async fn own(
    source: &SecretSource,
    secrets: &Secrets,
    budget: &Budget,
) -> Result<SecretText, AppError> {
    match source {
        SecretSource::Literal(text) => Ok(text.clone()),
        SecretSource::Ref(reference) => {
            Ok(secrets.read_own(reference, budget).await?.text().clone())
        }
    }
}

const fn algorithm(configured: TokenAlg) -> Algorithm {
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
