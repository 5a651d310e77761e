//! What is there already, for commands that only look: nothing is made, migrated or changed.

use std::io;
use std::sync::Arc;

use crate::authorization_server::{KeyRing, ServerSecret, SigningKeys};
use crate::config::Config;
use crate::outbound::Outbound;
use crate::resource_server::{
    LocalKeys, Principal, Refusal, TokenError, Verifier, VerifierBuilder, canonical,
};
use crate::secret::{Environment, Secrets};
use crate::store::{Database, Found};
use crate::time::Clock;

use super::endpoints::names;
use super::error::AppError;
use super::registered_resources::RegisteredResources;
use super::revoked::revocations;
use super::{issuers, keys, map, places, sealing, server_resources};

/// Our keys and what is revoked, as far as there is any.
pub(super) struct Looked {
    /// `None` where a start would make one.
    store: Option<Arc<dyn Database>>,
    keys: Option<SigningKeys>,
    secret: Option<ServerSecret>,
    /// The schema that is there and the one that a start brings it to.
    older: Option<(i64, i64)>,
}

/// Reads `store` and `store.key_encryption_key`, and opens every signing key.
///
/// # Errors
///
/// [`AppError`] where a start would fail because of them.
pub(super) async fn look(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<Looked, AppError> {
    // First: without its folder nothing that lies beside it can be read either.
    places::store(config)?;
    let known = sealing::Keys::known(config, secrets, clock).await?;
    if let Some(known) = &known {
        known.at_hand().ids()?;
    }
    let settings = keys::store_settings(config);
    let store = match crate::store::look(&settings, Arc::clone(clock)).await? {
        Found::Nothing => return Ok(Looked { store: None, keys: None, secret: None, older: None }),
        Found::Older { found, known } => {
            let older = Some((found, known));
            return Ok(Looked { store: None, keys: None, secret: None, older });
        }
        Found::Store(store) => store,
    };
    let (keys, secret) = match known {
        Some(known) => {
            let encryption = ServerSecret::look(&*store, known.at_hand()).await?;
            let settings = keys::settings(config, Arc::clone(&store), &encryption, clock);
            (Some(KeyRing::read(&settings).await?), Some(encryption))
        }
        None if store.signing_keys().await?.is_empty() => (None, None),
        // A start would make another one, with which these cannot be opened.
        None => {
            let path = keys::key_encryption_key_file(config);
            return Err(AppError::KeyFile { path, source: io::ErrorKind::NotFound.into() });
        }
    };
    Ok(Looked { store: Some(store), keys, secret, older: None })
}

impl Looked {
    /// `None` where a start would make one, or change it.
    pub(super) fn into_store(self) -> Option<Arc<dyn Database>> {
        self.store
    }

    /// What is not sealed as the settings say it should be.
    ///
    /// # Errors
    ///
    /// [`AppError::StoreFault`]
    pub(super) async fn seal_warning(&self) -> Result<Option<AppError>, AppError> {
        let (Some(store), Some(secret)) = (&self.store, &self.secret) else { return Ok(None) };
        let Some(sealed_with) = secret.sealed_with() else { return Ok(None) };
        let wanted = secret.key_encryption_key().ids().next().unwrap_or_default().to_owned();
        let counts = store.count_sealed().await?;
        let others = counts.iter().filter(|count| count.key_id != wanted);
        let values = others.map(|count| count.rows).fold(0, u64::saturating_add);
        let done = values == 0 && sealed_with == wanted;
        Ok((!done).then_some(AppError::NotResealed { values, key_id: wanted }))
    }

    /// What a start would do that cannot be taken back.
    pub(super) fn warning(&self) -> Option<AppError> {
        self.older.map(|(found, known)| AppError::OlderStore { found, known })
    }
}

/// Everything that a running broker would accept a token with: its own endpoint, the servers behind it, and the gates for
/// proxies of those that run elsewhere.
#[derive(Debug)]
pub struct Inspector {
    own: Verifier,
    others: Vec<Verifier>,
    audiences: Vec<String>,
}

/// An [`Inspector`] with the keys and the revocations of this moment.
///
/// # Errors
///
/// [`AppError`] when an issuer, the store or a credential of our own is not usable.
pub async fn inspector(
    config: &Config,
    variables: Environment,
    clock: Arc<dyn Clock>,
) -> Result<Inspector, AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), &variables, &outbound, Arc::clone(&clock))?;
    let secrets = Arc::new(secrets);
    let looked = look(config, &secrets, &clock).await?;
    if let Some(older) = looked.warning() {
        return Err(older);
    }
    let keys = looked.keys.as_ref().map_or(NO_KEYS, SigningKeys::jwks_json);
    let keys = Arc::new(LocalKeys::new(keys)?);
    let revoked = || looked.store.as_ref().map(|store| revocations(config, store)).transpose();
    let built = |builder: VerifierBuilder| {
        let builder = match revoked()? {
            Some(revoked) => builder.revocations(revoked),
            None => builder,
        };
        builder.build().map_err(AppError::from)
    };
    let names = names(&config.server.public_url);
    let registered = match &looked.store {
        Some(store) => RegisteredResources::read(config, &names, &**store).await,
        None => Ok(RegisteredResources::default()),
    };
    let registered = registered.map_err(AppError::StoreFault)?;
    let (own, behind) = builders(config, &keys, &registered, (&secrets, outbound), &clock)?;
    let gates = gates(config, &keys, &registered, &clock)?;
    let audiences = server_resources::audiences(config, &names);
    let others = server_resources::other_audiences(config);
    let own_names = names.iter().map(|name| canonical(&name.resource).to_owned());
    let RegisteredResources { behind: below, others: also, elsewhere } = registered;
    let audiences = own_names.chain(audiences).chain(below).chain(others).chain(also);
    let others = behind.into_iter().chain(gates).map(built).collect::<Result<_, _>>()?;
    Ok(Inspector { own: built(own)?, others, audiences: audiences.chain(elsewhere).collect() })
}

/// Tokens for servers that run elsewhere: ours alone are accepted there (`forward_auth`), where we issue any.
fn gates(
    config: &Config,
    keys: &Arc<LocalKeys>,
    registered: &RegisteredResources,
    clock: &Arc<dyn Clock>,
) -> Result<Option<VerifierBuilder>, AppError> {
    if !config.authorization_server.enabled || registered.elsewhere.is_empty() {
        return Ok(None);
    }
    issuers::own_issuer(config, keys, &registered.elsewhere, clock).map(Some)
}

const NO_KEYS: &[u8] = br#"{"keys":[]}"#;

/// Puts together whose tokens are accepted, as a start would, with no keys of our own and without asking anybody.
///
/// # Errors
///
/// [`AppError`] where issuers of the settings cannot stand beside each other and the broker itself.
pub(super) fn trusts_nobody_twice(
    config: &Config,
    reach: (&Arc<Secrets>, Outbound),
    clock: &Arc<dyn Clock>,
) -> Result<(), AppError> {
    let keys = Arc::new(LocalKeys::new(NO_KEYS)?);
    let nobody = RegisteredResources::default();
    let (own, behind) = builders(config, &keys, &nobody, reach, clock)?;
    own.build()?;
    behind.map(VerifierBuilder::build).transpose()?;
    Ok(())
}

/// Those of the own endpoint and of the servers behind it, where there are any.
fn builders(
    config: &Config,
    keys: &Arc<LocalKeys>,
    registered: &RegisteredResources,
    (secrets, outbound): (&Arc<Secrets>, Outbound),
    clock: &Arc<dyn Clock>,
) -> Result<(VerifierBuilder, Option<VerifierBuilder>), AppError> {
    let names = names(&config.server.public_url);
    let own = issuers::verifier(config, keys, &names, secrets, outbound.clone(), clock)?;
    let mut audiences = server_resources::audiences(config, &names);
    audiences.extend_from_slice(&registered.behind);
    if audiences.is_empty() {
        return Ok((own, None));
    }
    let mut others = server_resources::other_audiences(config);
    others.extend_from_slice(&registered.others);
    let audiences = (audiences.as_slice(), others.as_slice());
    let behind = issuers::verifier_for(config, keys, audiences, secrets, outbound, clock)?;
    Ok((own, Some(behind)))
}

impl Inspector {
    /// What a token may be for. Not among them: what `audiences` of an issuer names in its place.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// As the endpoint would that the token is for.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: what stands in the way, at the endpoint that comes nearest to accepting it.
    pub async fn verify(&self, unverified_token: &str) -> Result<Principal, Refusal> {
        let mut verdict = self.own.verify(unverified_token).await;
        for other in &self.others {
            let for_another = |refusal: &Refusal| refusal.error() == TokenError::WrongAudience;
            match verdict {
                Err(before) if for_another(&before) => {
                    let now = other.verify(unverified_token).await;
                    verdict = now.map_err(|now| if for_another(&now) { before } else { now });
                }
                told => return told,
            }
        }
        verdict
    }
}
