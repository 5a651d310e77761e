//! What a person is asked: by whom, and for what.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authorization_server::authorize::{self, DecideError, Pending};
use crate::authorization_server::client::ClientError;
use crate::authorization_server::identity_provider::Freshness;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::person::{People, Person};
use crate::scope::Scope;
use crate::store::{ConsentKey, Digest, StoreError};

use super::introduction::{Introduction, introduce};
use super::receiver::Receiver;

/// One question to one person.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) pending: Pending,
    pub(super) client: Introduction,
    pub(super) receiver: Receiver,
    /// Everything that a yes gives.
    pub(super) offered: Scope,
    /// What of it this client has from an earlier yes. Read here, not taken from the offer: whether a person is asked
    /// at all hangs on it.
    pub(super) kept: Scope,
    /// Asked for, and not to be had by this person through this client.
    pub(super) left_out: usize,
    /// Names exactly what is shown (N104).
    pub(super) digest: String,
}

impl Question {
    /// # Errors
    ///
    /// [`Fault::NoRequest`] where the request is unknown, late, or of another session.
    pub(super) async fn ask(people: &People, person: &Person, handle: &str) -> Result<Self, Fault> {
        let server = &people.server;
        let pending = authorize::find(server, handle, person).await?;
        let offered = authorize::offer(server, &pending, person).await?.scope;
        let key = ConsentKey {
            user_id: person.user.id,
            client_id: pending.client_id.clone(),
            redirect_class: pending.consent_class(),
            resource: pending.resource.clone(),
        };
        let before = server.store.find_consent(&key, server.clock.now()).await?;
        // Where no earlier yes counts, everything is asked for anew. It is kept all the same, for what a step-up offers.
        let before = before.filter(|_| !authorize::is_asked_always(server, &pending));
        let before = before.map(|consent| consent.scopes).unwrap_or_default();
        let client = introduce(server, &pending.client_id).await?;
        let receiver = Receiver::of(&pending.redirect_uri);
        let digest = digest(&pending, &offered);
        let left_out = offered.missing(&pending.scope).len();
        let kept = offered.narrow(&before);
        Ok(Self { pending, client, receiver, offered, kept, left_out, digest })
    }

    /// What is new.
    pub(super) fn asked(&self) -> Scope {
        self.kept.missing(&self.offered)
    }

    /// What a yes gives though nobody asked for it: a client that is registered for refresh tokens stays connected
    /// (OIDC Core §11).
    pub(super) fn unasked(&self) -> Scope {
        let stays = authorize::OFFLINE_ACCESS;
        let asked = self.offered.iter().any(|scope| scope.as_str() == stays);
        if !self.pending.refresh || self.offered.is_empty() || asked {
            return Scope::default();
        }
        stays.parse().unwrap_or_default()
    }

    /// Whether the client asked for a newer login than this person's; a no needs none.
    pub(super) fn needs_login(&self, person: &Person) -> bool {
        self.pending.wants_new_login(person)
    }

    /// Whether the answer is known: all of it was allowed before, to a receiver that can be nobody else (N102), and
    /// the client does not insist on asking.
    pub(super) fn is_answered(&self) -> bool {
        self.receiver.is_certain()
            && !self.offered.is_empty()
            && self.asked().is_empty()
            && !self.pending.prompt.consent
    }
}

/// Who the login page says is waiting.
pub(crate) async fn receiver(people: &People, handle: &str) -> Result<String, Fault> {
    let pending = waiting(people, handle).await?.ok_or(Fault::NoRequest)?;
    Ok(Receiver::of(&pending.redirect_uri).plain)
}

/// The name that the client thinks its person logs in with (`login_hint`, OIDC Core §3.1.2.1).
pub(crate) async fn login_hint(
    people: &People,
    handle: Option<&str>,
) -> Result<Option<String>, Fault> {
    let Some(handle) = handle else { return Ok(None) };
    Ok(waiting(people, handle).await?.and_then(|pending| pending.login_hint))
}

/// Whether the request asks for a login that is newer than the one this session comes from (OIDC Core §3.1.2.1).
pub(crate) async fn wants_new_login(
    people: &People,
    handle: Option<&str>,
    person: &Person,
) -> Result<bool, Fault> {
    let Some(handle) = handle else { return Ok(false) };
    let pending = waiting(people, handle).await?.ok_or(Fault::NoRequest)?;
    Ok(pending.wants_new_login(person))
}

/// What the request asks of the login that answers it: how fresh, and how strong (`acr_values`).
pub(crate) async fn freshness(
    people: &People,
    handle: Option<&str>,
) -> Result<(Freshness, Vec<String>), Fault> {
    let Some(handle) = handle else { return Ok((Freshness::default(), Vec::new())) };
    let pending = waiting(people, handle).await?.ok_or(Fault::NoRequest)?;
    let fresh = Freshness {
        login: pending.prompt.login,
        select_account: pending.prompt.select_account,
        max_age: pending.max_age,
        requested_at: pending.requested_at,
    };
    Ok((fresh, pending.acr_values))
}

/// A look at a request before anybody is logged in. Binds and uses nothing.
pub(super) async fn waiting(people: &People, handle: &str) -> Result<Option<Pending>, StoreError> {
    let (store, now) = (&people.server.store, people.server.clock.now());
    let row = store.find_authorization_request(&Digest::of(handle), now).await?;
    let Some(row) = row else { return Ok(None) };
    let pending = serde_json::from_str(&row.parameters);
    pending.map(Some).map_err(|_| StoreError::Corrupt("authorization_request.parameters"))
}

fn digest(pending: &Pending, offered: &Scope) -> String {
    let shown = serde_json::to_string(pending).unwrap_or_default();
    let shown = format!("{}|{shown}|{offered}", shown.len());
    URL_SAFE_NO_PAD.encode(Digest::of(&shown).as_bytes())
}

impl From<DecideError> for Fault {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Gone => Self::NoRequest,
            DecideError::NothingToGrant => Self::NothingToGrant,
            DecideError::Denied => Self::UnknownClient(ClientError::Denied),
            DecideError::Client(error) => Self::UnknownClient(error),
            DecideError::WrongRedirect => Self::WrongRedirect,
            DecideError::Store(error) => Self::Store(error),
            DecideError::Audit(error) => Self::Audit(error),
        }
    }
}
