//! Administration from a terminal: the operations of the admin API, straight on the store. Works while a broker runs.

mod client;
mod grant;
mod identity_provider;
mod key;
mod known_clients;
mod registration_token;
mod server;
mod show;
mod tool_pin;
mod user;

use std::time::Duration;

use crate::admin::{Actor, AdminError, Operations, PageQuery};
use crate::app;
use crate::audit::Context;
use crate::config::Config;
use crate::id::{RequestId, TraceId};
use crate::store::Page;

use super::failure::Failure;

pub(super) use client::{ClientArgs, run as run_client};
pub(super) use grant::{GrantArgs, run as run_grant};
pub(super) use identity_provider::{IdentityProviderArgs, run as run_identity_provider};
pub(super) use key::{KeyArgs, run as run_key};
pub(super) use registration_token::{RegistrationTokenArgs, run as run_registration_token};
pub(super) use server::{ServerArgs, run as run_server};
pub(super) use user::{UserArgs, run as run_user};

/// The longest that the last lines of the audit log may take.
const CLOSE: Duration = Duration::from_secs(10);

/// The operations, and who does them.
struct Administration {
    operations: Operations,
    actor: Actor,
}

impl Administration {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let operations = app::command_operations(config).await;
        let operations = operations.map_err(|error| Failure::of(&error))?;
        let (clock, random) = (&*operations.clock, &*operations.random);
        let actor = Actor::new(Context {
            request_id: RequestId::generate(clock, random),
            trace_id: TraceId::generate(random),
            requester_id: None,
            client_id: "broker-cli".parse().ok(),
            asserted_requester_id: None,
            redactions: Vec::new(),
        });
        Ok(Self { operations, actor })
    }

    /// Writes the last lines of the audit log; then `done` counts.
    async fn close<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let closed = self.operations.auditor.close(CLOSE).await;
        let done = done?;
        closed.map_err(|error| Failure::of(&error))?;
        Ok(done)
    }
}

/// What an operation says, with where to look where it says nothing.
fn failure(error: &AdminError, list: &'static str) -> Failure {
    match error {
        AdminError::NotFound(_) => Failure::of(error).hint(format!("{list} shows what there is")),
        AdminError::Store(_) | AdminError::Audit(_) | AdminError::Log(_) => {
            Failure::of(error).hint("look whether it happened before you repeat it")
        }
        AdminError::Invalid { .. }
        | AdminError::Taken { .. }
        | AdminError::Forbidden { .. }
        | AdminError::TooLate
        | AdminError::OtherRules
        | AdminError::Outdated { .. }
        | AdminError::Policy(_)
        | AdminError::Provider(_) => Failure::of(error),
    }
}

/// All pages of a list.
async fn all<T, F>(mut page: impl FnMut(PageQuery) -> F) -> Result<Vec<T>, AdminError>
where
    F: Future<Output = Result<Page<T>, AdminError>>,
{
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let found = page(PageQuery { after, limit: Some(200) }).await?;
        rows.extend(found.rows);
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(rows),
        }
    }
}
