//! A store in memory, as far as the pages need one. The real ones have a suite of their own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::id::UserId;
use crate::store::*;

mod authenticators;
mod clients;
mod grants;
mod identity_providers;
mod logout;
mod others;
mod passkeys;
mod people;
mod provider_tokens;
mod tool_pins;

#[derive(Debug, Default)]
pub(super) struct FakeStore(Mutex<Inner>, StoreLoad);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) users: Vec<UserRow>,
    pub(super) identities: HashMap<(String, String), UserId>,
    pub(super) links: Vec<OneTimeLink>,
    pub(super) sessions: Vec<SessionRow>,
    /// How often one was looked for.
    pub(super) session_looks: usize,
    pub(super) attempts: HashMap<String, LoginAttempts>,
    pub(super) requests: Vec<AuthorizationRequestRow>,
    pub(super) clients: Vec<ClientRow>,
    pub(super) grants: Vec<GrantRow>,
    pub(super) consents: Vec<Consent>,
    pub(super) authenticators: Vec<AuthenticatorRow>,
    pub(super) recovery_codes: Vec<(UserId, Digest)>,
    pub(super) passkeys: Vec<PasskeyRow>,
    /// What counts once: whose, and its name.
    pub(super) used: Vec<(String, String)>,
    /// `jti` of logout tokens.
    pub(super) logout_tokens: Vec<String>,
    pub(super) notices: Vec<LogoutNotice>,
    /// A password that is set once somebody has looked who has a name.
    pub(super) set_meanwhile: Option<String>,
    /// The same once somebody has looked whether there is an authenticator app.
    pub(super) set_at_authenticator: Option<String>,
    /// Whether everybody is logged out while a consent is remembered.
    pub(super) ends_meanwhile: bool,
}

impl FakeStore {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Database for FakeStore {
    fn answers(&self) -> bool {
        true
    }

    fn load(&self) -> &StoreLoad {
        &self.1
    }
}
