//! Calls that wait for a person: their store, the seal of their arguments, and the page where they are answered.

use std::sync::Arc;

use crate::audit::Auditor;
use crate::authorization_server::ServerSecret;
use crate::broker::{Approvals, Courier, RulesVersion, Webhook};
use crate::config::Config;
use crate::id::Issuer;
use crate::outbound::Outbound;
use crate::policy::Live;
use crate::random::{Random, SystemRandom};
use crate::secret::{Environment, Secrets};
use crate::store::Database;
use crate::time::{Budget, Clock, NeverBack, SystemClock};

use super::command_audit::kept_command_auditor;
use super::error::AppError;
use super::{issuers, keys, map, sealing};

/// Sealed arguments open as these only.
pub(super) const CONTEXT: &str = "approval arguments";

/// Those of this store.
pub(super) fn approvals(
    config: &Config,
    store: &Arc<dyn Database>,
    encryption: &ServerSecret,
    (auditor, rules): (&Auditor, RulesVersion),
    (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
) -> Approvals {
    let key = Arc::new(encryption.key_encryption_key());
    let opener = Arc::clone(&key);
    let pages = format!("{}/approvals", super::parts::issuer(config));
    Approvals {
        store: Arc::clone(store) as _,
        clock: Arc::new(NeverBack::new(Arc::clone(clock))),
        random: Arc::clone(random),
        auditor: auditor.clone(),
        // What cannot be sealed is not kept; who looks at it is told that it cannot be shown.
        seal: Arc::new(move |text| key.seal_text(text, CONTEXT).unwrap_or_default()),
        open: Arc::new(move |sealed| opener.open_text(sealed, CONTEXT)),
        pages,
        notices: None,
        rules,
    }
}

/// Who announces calls that wait, where the settings say so; to be run for as long as the broker serves.
///
/// # Errors
///
/// [`AppError`] where the secret cannot be read, or is none.
pub(super) async fn courier(
    config: &Config,
    secrets: &Secrets,
    outbound: &Outbound,
    approvals: &mut Approvals,
) -> Result<Option<Courier>, AppError> {
    let Some(configured) = &config.approvals.webhook else { return Ok(None) };
    let budget = Budget::start(Arc::clone(&approvals.clock), issuers::START);
    let secret = issuers::own(&configured.secret, secrets, &budget).await?;
    let webhook = Webhook::new(configured.url.clone(), &secret)?;
    let around = (Arc::clone(&approvals.clock), Arc::clone(&approvals.random));
    let auditor = approvals.auditor.clone();
    let (notices, courier) = Courier::new(webhook, outbound.clone(), auditor, around);
    approvals.notices = Some(notices);
    Ok(Some(courier))
}

/// Approvals for a command, while a broker runs or not.
#[derive(Debug)]
pub struct CommandApprovals {
    pub approvals: Approvals,
    pub store: Arc<dyn Database>,
    /// Of our own tokens.
    pub issuer: Issuer,
}

/// Those that a broker goes by while it runs.
pub(super) fn rules_in_force(policy: &Live) -> RulesVersion {
    let policy = policy.clone();
    Arc::new(move || Some(Arc::clone(policy.current().policy().version())))
}

/// Those that the files hold. Where they cannot be read the broker has others in force, which are not known here.
fn written_rules(config: &Config, variables: &Environment) -> RulesVersion {
    let source = super::check::policy_source(config, variables);
    let loaded = source.and_then(|source| source.load_in_force());
    let version = loaded.ok().map(|rules| Arc::clone(rules.version()));
    Arc::new(move || version.clone())
}

/// # Errors
///
/// [`AppError`] when the store, its key or the log of commands cannot be opened.
pub async fn command_approvals(
    config: &Config,
    variables: &Environment,
) -> Result<CommandApprovals, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
    let store = keys::store(config, &clock).await?;
    let encryption = sealing::open(config, &secrets, (&*store, &clock)).await?;
    let auditor = kept_command_auditor(config, &clock, &random).await?;
    let rules = written_rules(config, variables);
    Ok(CommandApprovals {
        issuer: super::parts::issuer(config).parse()?,
        approvals: approvals(config, &store, &encryption, (&auditor, rules), &(clock, random)),
        store,
    })
}
