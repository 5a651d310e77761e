//! The operations themselves, shared by the commands and the API. Each change is recorded before and after.

mod administrator;
mod approval;
mod change;
mod client;
mod client_certificate;
mod explanation;
mod grant;
mod identity_provider;
mod log_level;
mod policy;
mod provider_settings;
mod proxy;
mod registration_token;
mod server;
mod signing_key;
mod tool_pin;
mod user;
mod view;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use url::Url;

use crate::api_key::BearerSecret;
use crate::audit::{AdminAction, AdminObject, AdminOutcome, AuditEvent, Auditor, Context};
use crate::broker::{Approvals, Explainer};
use crate::host_trust::HostTrusts;
use crate::id::Issuer;
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::store::{Database, Page, PageRequest};
use crate::time::Clock;

use super::error::AdminError;

pub use administrator::Administrators;
pub use approval::ApprovalView;
pub(super) use approval::{ApprovalAnswer, ApprovalDetail};
pub use change::{ClientChange, ServerChange, UserChange};
pub use client::NewClient;
pub use client_certificate::CertificatesAsked;
pub use identity_provider::{IdentityProviderView, ProviderControl, ProviderEnded, ProviderFault};
pub(super) use log_level::NewLogLevel;
pub use log_level::{LogControl, LogLevel, LogLevelView};
pub use policy::{PolicyControl, PolicyView, ReloadFault, ShadowDifference};
pub use provider_settings::{
    IdentityProviderChange, NewIdentityProvider, ProviderClaimNames, ProviderSecret,
    ProviderSettings,
};
pub use proxy::{BoundTokens, NamedCredential, OnToolFlaw, ProxySettings, ServerEra};
pub use registration_token::{NewRegistrationToken, RegistrationTokenView};
pub use server::NewServer;
pub use signing_key::{KeyControl, KeyFault, SigningKeyView};
pub use tool_pin::{NewToolApproval, ToolDifference, ToolPinDetail, ToolPinView};
pub use user::NewUser;
pub use view::{
    ClientView, GrantView, KeyView, PasskeyView, SecondFactorView, ServerView, UserView,
};

/// What the operations must know of the settings file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `server.public_url`: the base of one-time links, and an origin that no other server may have.
    pub public_url: Url,
    /// What the paths of each of our names begin with, `public_url` first.
    pub names: Vec<Url>,
    /// Servers of the settings file: they go before registered ones, so these may not have their ids.
    pub configured_servers: Vec<String>,
    /// What registered servers may be shown.
    pub named_credentials: Vec<NamedCredential>,
    /// Which tokens are bound to keys.
    pub bound_tokens: BoundTokens,
    pub administrators: Administrators,
    /// Those of the settings file: they go before those of the store.
    pub identity_providers: Vec<IdentityProviderView>,
    /// What those of the store may be shown.
    pub provider_secrets: Vec<ProviderSecret>,
    pub client_certificates: CertificatesAsked,
    /// Hosts of which some may be denied.
    pub client_hosts: Option<HostTrusts>,
}

/// Who changes something, for the audit log. Whether they may is checked before.
#[derive(Clone, Debug)]
pub struct Actor {
    pub context: Context,
    /// Whether the terminal event of its request is recorded.
    ended: Arc<AtomicBool>,
}

impl Actor {
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, ended: Arc::default() }
    }

    fn ends(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Something that is shown once, beside what it belongs to.
#[derive(Clone, Debug)]
pub struct Shown<T> {
    pub object: T,
    pub secret: SecretText,
}

/// Which part of a list; 50 rows where `limit` is absent, 200 at most.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    pub after: Option<String>,
    pub limit: Option<u32>,
}

impl PageQuery {
    fn request(&self) -> PageRequest {
        // The databases keep no text with a zero byte: what is before it sorts in the same place.
        let after = self.after.as_deref().and_then(|after| after.split('\0').next());
        PageRequest {
            after: after.map(str::to_owned),
            limit: self.limit.unwrap_or(50).clamp(1, 200),
        }
    }
}

/// Administration against the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Operations {
    pub settings: Settings,
    pub store: Arc<dyn Database>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub auditor: Auditor,
    /// `None` for a command: there is no broker in its process.
    pub serving: Option<Serving>,
}

/// What only a broker that serves has.
#[derive(Clone, Debug)]
pub struct Serving {
    pub approvals: Approvals,
    /// Of our own tokens.
    pub issuer: Issuer,
    pub policy: Arc<dyn PolicyControl>,
    pub logs: Arc<dyn LogControl>,
    pub keys: Arc<dyn KeyControl>,
    pub providers: Arc<dyn ProviderControl>,
    /// Why requests were refused.
    pub explainer: Option<Explainer>,
}

impl Operations {
    /// Records that `action` begins, does it, and records how it ended.
    ///
    /// For changes that are no operation of ours, such as those of signing keys, too.
    ///
    /// # Errors
    ///
    /// [`AdminError::Audit`]: what cannot be recorded is not begun, so that nothing is changed. Else those of `work`.
    pub async fn change<T>(
        &self,
        actor: &Actor,
        (object, action, id): (AdminObject, AdminAction, &str),
        work: impl Future<Output = Result<T, AdminError>> + Send,
    ) -> Result<T, AdminError> {
        let id: Arc<str> = id.into();
        let begin = AuditEvent::AdminChangeBegin { object, action, id: Arc::clone(&id) };
        self.auditor.record(&actor.context, begin).await?;
        let done = work.await;
        let outcome = match &done {
            Ok(_) => AdminOutcome::Done,
            Err(error) if error.changed_nothing() => AdminOutcome::Refused,
            Err(_) => AdminOutcome::Failed,
        };
        let end = AuditEvent::AdminChangeEnd { object, action, id, outcome };
        self.auditor.record(&actor.context, end).await?;
        actor.ends();
        done
    }

    fn serving(&self) -> Result<&Serving, AdminError> {
        self.serving.as_ref().ok_or(AdminError::NotFound("broker that serves"))
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`] where no broker serves.
    pub fn signing_key_control(&self) -> Result<Arc<dyn KeyControl>, AdminError> {
        Ok(Arc::clone(&self.serving()?.keys))
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`] where no broker serves.
    pub fn provider_control(&self) -> Result<Arc<dyn ProviderControl>, AdminError> {
        Ok(Arc::clone(&self.serving()?.providers))
    }

    fn secret(&self, kind: BearerSecret) -> SecretText {
        std::mem::take(&mut *kind.generate(&*self.random)).into()
    }
}

/// `false` from a guarded statement: there was no such row, or it was so already.
fn found(changed: bool, what: &'static str) -> Result<(), AdminError> {
    if changed { Ok(()) } else { Err(AdminError::NotFound(what)) }
}

/// A page of rows as what may be shown of them.
fn shown<R, V: From<R>>(page: Page<R>) -> Page<V> {
    Page { rows: page.rows.into_iter().map(V::from).collect(), next: page.next }
}
