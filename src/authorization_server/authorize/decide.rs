//! What a person's answer becomes: a code, or a refusal, sent to the client with `iss` (RFC 9207).

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::audit::AuditError;
use crate::authorization_server::client::{self, ClientError};
use crate::authorization_server::client_metadata;
use crate::authorization_server::person::Person;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::{AuthorizationServer, PersonFacts};
use crate::authorization_server::target::{self, Carries};
use crate::host_trust::HostTrust;
use crate::id::GrantId;
use crate::scope::Scope;
use crate::store::{CodeRow, Consent, ConsentKey, ConsentUse, Digest, GrantRow, StoreError};

use super::pending::Pending;
use super::redirect::{Refused, answer_url, error_url};
use super::{OFFLINE_ACCESS, OWN_SCOPES};

/// A consent is asked for again after this long.
const CONSENT_LIVES: Duration = Duration::from_hours(24 * 180);
/// A grant ends after this many lifetimes of its refresh tokens, however often they were renewed.
const GRANT_LIVES: u32 = 6;

/// Why an answer of a person led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// Unknown, answered before, too late, or begun in another browser session: not told apart.
    #[error("this request is no longer open")]
    Gone,
    /// Nothing that was asked for can be granted to this person.
    #[error("nothing of this may be granted")]
    NothingToGrant,
    /// Since the request came, the settings have been told to deny the host that publishes its client.
    #[error("the host that publishes the client is denied by the settings")]
    Denied,
    /// Since the request came, its client has been disabled, removed, or replaced by another.
    #[error("the client is not known any more")]
    Client(#[source] ClientError),
    /// Since the request came, where it wants its answer has ceased to be the client's (N2).
    #[error("the redirect URI is not the client's any more")]
    WrongRedirect,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What a person may say yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Everything that would be granted: asked for and of use to this person, and what the client has already.
    pub scope: Scope,
    /// Of that, what this client does not have from an earlier consent.
    pub added: Scope,
    /// Asked for, and not to be had by this person.
    pub dropped: Scope,
}

/// The open request behind a page's handle. The first session that asks binds it: no other may see or answer it.
///
/// # Errors
///
/// [`DecideError::Gone`], [`DecideError::Denied`], [`DecideError::Client`], [`DecideError::WrongRedirect`],
/// [`DecideError::Store`]
pub async fn find(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
) -> Result<Pending, DecideError> {
    let (digest, now) = (Digest::of(handle), server.clock.now());
    if !server.store.bind_authorization_request(&digest, &person.session, now).await? {
        return Err(DecideError::Gone);
    }
    let row = server.store.find_authorization_request(&digest, now).await?;
    let pending = Pending::read(&row.ok_or(DecideError::Gone)?.parameters)?;
    if trust(server, &pending) == Some(HostTrust::Deny) {
        return Err(DecideError::Denied);
    }
    check_client(server, &pending).await?;
    Ok(pending)
}

/// Whether the client would still be let in with this redirect URI: minutes may have passed since it was.
async fn check_client(server: &AuthorizationServer, pending: &Pending) -> Result<(), DecideError> {
    match client::find_again(server, &pending.client_id).await {
        Ok(Some(client)) if !client.allows_redirect(&pending.redirect_uri) => {
            Err(DecideError::WrongRedirect)
        }
        Ok(_) => Ok(()),
        Err(ClientError::Store(error)) => Err(error.into()),
        Err(error) => Err(DecideError::Client(error)),
    }
}

/// How far the host that publishes the client is trusted now; `None` where no host does.
fn trust(server: &AuthorizationServer, pending: &Pending) -> Option<HostTrust> {
    client_metadata::publisher(server, &pending.client_id).map(|publisher| publisher.trust)
}

/// Whether no earlier yes stands for the answer to this request: the operator has people asked about each client of its
/// host every time.
pub(in crate::authorization_server) fn is_asked_always(
    server: &AuthorizationServer,
    pending: &Pending,
) -> bool {
    trust(server, pending).is_some_and(|trust| trust != HostTrust::Allow)
}

/// What `person` may be granted of `pending`.
///
/// # Errors
///
/// [`StoreError`]
pub async fn offer(
    server: &AuthorizationServer,
    pending: &Pending,
    person: &Person,
) -> Result<Offer, StoreError> {
    let known =
        server.store.find_consent(&consent_key(pending, person), server.clock.now()).await?;
    let known = known.map_or(Scope::empty(), |consent| consent.scopes);
    let facts = facts(pending, person);
    let carries = target::carries(server, &pending.resource).await?;
    let possible = |wanted: &Scope| grantable(server, &facts, &carries, &pending.limited(wanted));
    let asked = possible(&pending.scope);
    let dropped = asked.missing(&pending.scope);
    let mut granted = asked;
    if policy_scopes(&granted).is_empty() && !policy_scopes(&pending.scope).is_empty() {
        // Some clients ask for a scope of their own and nothing else: what they get without any is of more use.
        granted = granted.union(&possible(carries.defaults(server)));
    }
    // A step-up keeps what was granted before: old clients ask for the missing scope alone.
    let scope = granted.union(&possible(&known));
    Ok(Offer { added: known.missing(&scope), scope, dropped })
}

/// An answer that counts: the request is out of the store, so no other answer does. What is still to come is the audit
/// log's word for it, and then what it does.
#[derive(Debug)]
#[must_use]
pub struct Answered {
    pending: Pending,
    granted: Scope,
}

impl Answered {
    /// What was granted; nothing after a no.
    #[must_use]
    pub const fn granted(&self) -> &Scope {
        &self.granted
    }

    /// Makes grant and code, and gives the URL to send the browser to. What the person was `asked` is remembered; where they
    /// were not, their earlier yes has to stand still, and lives no longer for it.
    ///
    /// # Errors
    ///
    /// [`DecideError::Gone`] where the person has been logged out, or has taken their yes back meanwhile; [`DecideError::Store`]: the person has to start
    /// again from their app.
    pub async fn grant(
        self,
        server: &AuthorizationServer,
        person: &Person,
        asked: bool,
    ) -> Result<Url, DecideError> {
        let key = consent_key(&self.pending, person);
        let consent = if asked {
            let (granted_at, scopes) = (server.clock.now(), self.granted.clone());
            let expires_at = granted_at.plus(CONSENT_LIVES);
            ConsentUse::Given(Consent { key, scopes, granted_at, expires_at })
        } else {
            ConsentUse::Standing(key)
        };
        grant(server, &self.pending, person, (self.granted, consent)).await
    }

    /// What to tell the client of a login of somebody else than it means, or that is not as strong as it asked for, and where
    /// (OIDC Core §3.1.2.2, RFC 9470 §5).
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]
    pub(in crate::authorization_server) fn unmet(
        &self,
        server: &AuthorizationServer,
        person: &Person,
    ) -> Result<(&'static str, Url), StoreError> {
        let Pending { redirect_uri, state, .. } = &self.pending;
        let known = self.pending.means(person);
        let refused = if known { Refused::UnmetAuthentication } else { Refused::OtherPerson };
        let url = error_url(server, redirect_uri, state.as_deref(), refused)?;
        Ok((refused.description(), url))
    }

    /// The URL that tells the client `access_denied` (RFC 6749 §4.1.2.1).
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]
    pub fn refusal(&self, server: &AuthorizationServer) -> Result<Url, StoreError> {
        let Pending { redirect_uri, state, .. } = &self.pending;
        error_url(server, redirect_uri, state.as_deref(), Refused::Denied)
    }
}

/// The person said yes to `approved`. What cannot be granted is dropped, whatever the page sent.
///
/// # Errors
///
/// [`DecideError`]; a second answer to one request is [`DecideError::Gone`].
pub async fn approve(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
    approved: Scope,
) -> Result<Answered, DecideError> {
    let pending = find(server, handle, person).await?;
    if !pending.is_met_by(person) {
        return Err(DecideError::NothingToGrant);
    }
    let offer = offer(server, &pending, person).await?;
    let granted = approved.narrow(&offer.scope);
    if policy_scopes(&granted).is_empty() && !policy_scopes(&pending.scope).is_empty() {
        return Err(DecideError::NothingToGrant);
    }
    take(server, handle, person).await?;
    Ok(Answered { pending, granted })
}

/// The person said no.
///
/// # Errors
///
/// [`DecideError`]
pub async fn deny(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
) -> Result<Answered, DecideError> {
    find(server, handle, person).await?;
    let pending = take(server, handle, person).await?;
    Ok(Answered { pending, granted: Scope::empty() })
}

/// Takes the request out of the store: of two answers, one gets it.
async fn take(
    server: &AuthorizationServer,
    handle: &str,
    person: &Person,
) -> Result<Pending, DecideError> {
    let taken =
        server.store.take_authorization_request(&Digest::of(handle), server.clock.now()).await?;
    let row = taken.filter(|row| row.session == Some(person.session)).ok_or(DecideError::Gone)?;
    Ok(Pending::read(&row.parameters)?)
}

/// What is given without a question, to a client that the person said yes to before. As [`Answered::grant`].
///
/// # Errors
///
/// [`DecideError::Gone`], [`DecideError::Store`]
pub(super) async fn grant_unasked(
    server: &AuthorizationServer,
    pending: &Pending,
    person: &Person,
    scopes: Scope,
) -> Result<Url, DecideError> {
    let consent = ConsentUse::Standing(consent_key(pending, person));
    grant(server, pending, person, (scopes, consent)).await
}

/// The grant and its code, and the URL that carries the code to the client.
async fn grant(
    server: &AuthorizationServer,
    pending: &Pending,
    person: &Person,
    (scopes, consent): (Scope, ConsentUse),
) -> Result<Url, DecideError> {
    let now = server.clock.now();
    let settings = &server.settings;
    let grant = new_grant(server, pending, person, (&scopes, settings.code_ttl)).await?;
    let code = random_text(&*server.random);
    let row = CodeRow {
        code: Digest::of(&code),
        grant_id: grant.id,
        client_id: pending.client_id.clone(),
        redirect_uri: pending.redirect_uri.clone(),
        code_challenge: pending.code_challenge.clone(),
        nonce: pending.nonce.clone(),
        dpop_jkt: pending.dpop_jkt.clone(),
        scopes,
        expires_at: now.plus(settings.code_ttl),
        used_at: None,
    };
    let session = &person.session;
    if !server.store.add_grant_with_code(session, &grant, &row, Some(&consent)).await? {
        return Err(DecideError::Gone);
    }
    let (to, state) = (&pending.redirect_uri, pending.state.as_deref());
    Ok(answer_url(server, to, state, &[("code", &code)])?)
}

/// What `person` allows: `scopes`, whose code lives for `code_ttl`. Not stored yet.
///
/// # Errors
///
/// [`StoreError`]
pub(in crate::authorization_server) async fn new_grant(
    server: &AuthorizationServer,
    pending: &Pending,
    person: &Person,
    (scopes, code_ttl): (&Scope, Duration),
) -> Result<GrantRow, StoreError> {
    let (now, settings) = (server.clock.now(), &server.settings);
    // What the token endpoint goes by: there either of the two gives a refresh token.
    let outlives = pending.refresh || scopes.iter().any(|scope| scope.as_str() == OFFLINE_ACCESS);
    let ends = if outlives {
        settings.refresh_token_ttl.saturating_mul(GRANT_LIVES)
    } else {
        // Its one access token ends with it, and the resource may give longer ones than others.
        let lifetime = target::lifetime(server, &pending.resource).await?;
        code_ttl + lifetime.unwrap_or_default().max(settings.access_token_ttl)
    };
    Ok(GrantRow {
        id: GrantId::generate(&*server.clock, &*server.random),
        user_id: Some(person.user.id),
        client_id: pending.client_id.clone(),
        scopes: scopes.clone(),
        resource: pending.resource.clone(),
        redirect_origin: Some(pending.redirect_origin()),
        client_digest: pending.client_digest(),
        auth_time: person.auth_time,
        login: pending.login_of(person),
        extra: None,
        created_at: now,
        last_used_at: now,
        expires_at: now.plus(ends),
        revoked_at: None,
        revoke_reason: None,
    })
}

fn consent_key(pending: &Pending, person: &Person) -> ConsentKey {
    ConsentKey {
        user_id: person.user.id,
        client_id: pending.client_id.clone(),
        redirect_class: pending.consent_class(),
        resource: pending.resource.clone(),
    }
}

fn facts(pending: &Pending, person: &Person) -> PersonFacts {
    PersonFacts {
        subject: person.user.id.into(),
        administrator: person.user.administrator,
        groups: person.user.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
        groups_incomplete: person.user.groups_incomplete,
        roles: person.user.roles.iter().map(|role| Arc::from(role.as_str())).collect(),
        roles_incomplete: person.user.roles_incomplete,
        client_id: pending.client_id.clone(),
        trusted_client: pending.trusted_client,
    }
}

/// Of `wanted`, the scopes about the person themself, and those that policy finds of use to them at one resource.
pub(in crate::authorization_server) fn grantable(
    server: &AuthorizationServer,
    facts: &PersonFacts,
    carries: &Carries,
    wanted: &Scope,
) -> Scope {
    let wanted = carries.narrow(wanted);
    let asked = policy_scopes(&wanted);
    let own = wanted.iter().filter(|token| OWN_SCOPES.contains(&token.as_str())).cloned();
    // Whatever the seam answers, nothing grows here.
    server
        .grantable
        .grantable(facts, carries.used_at(), &asked)
        .narrow(&asked)
        .union(&own.collect())
}

fn policy_scopes(scope: &Scope) -> Scope {
    scope.iter().filter(|token| !OWN_SCOPES.contains(&token.as_str())).cloned().collect()
}
