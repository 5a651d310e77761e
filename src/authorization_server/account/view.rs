//! What the account page shows of grants and sessions.

use std::collections::BTreeMap;

use crate::authorization_server::consent::{Place, Receiver, introduce};
use crate::authorization_server::device::DEVICE_CLASS;
use crate::authorization_server::pages::{Fault, in_words, when};
use crate::authorization_server::person::People;
use crate::authorization_server::session::{PASSKEY, Session, TWO_FACTORS};
use crate::id::ClientId;
use crate::scope::Scope;
use crate::store::{GrantFilter, PageRequest, SessionRow};
use crate::time::Timestamp;

use super::withdrawal;

/// More live grants than this are not looked at: the rest shows once these are withdrawn.
const MOST: u32 = 200;

/// One client that may do something.
#[derive(Debug)]
pub(super) struct ClientView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    pub(super) form_token: String,
}

#[derive(Debug)]
pub(super) struct SessionView {
    pub(super) here: bool,
    pub(super) how: String,
    pub(super) began: String,
    pub(super) seen: String,
}

/// What one client has, over all of its grants and remembered consents.
#[derive(Debug, Default)]
struct Held {
    scopes: Scope,
    places: Vec<String>,
    last_used: Option<Timestamp>,
}

/// Every client with a live grant or a remembered consent, by name.
pub(super) async fn clients(people: &People, session: &Session) -> Result<Vec<ClientView>, Fault> {
    let user_id = session.person.user.id;
    let store = &people.server.store;
    let filter = GrantFilter { user_id: Some(user_id), client_id: None, ended: false };
    let grants = store.list_grants(&filter, &PageRequest { after: None, limit: MOST }).await?;
    let mut held: BTreeMap<ClientId, Held> = BTreeMap::new();
    for grant in grants.rows {
        let held = held.entry(grant.client_id).or_default();
        held.scopes = held.scopes.union(&grant.scopes);
        held.places.extend(grant.redirect_origin.as_deref().map(place));
        held.last_used = held.last_used.max(Some(grant.last_used_at));
    }
    for consent in store.list_consents(user_id).await? {
        let held = held.entry(consent.key.client_id).or_default();
        held.scopes = held.scopes.union(&consent.scopes);
        held.places.push(place(&consent.key.redirect_class));
    }
    let mut views = Vec::with_capacity(held.len());
    for (id, held) in held {
        views.push(view(people, session, &id, held).await?);
    }
    views.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(views)
}

async fn view(
    people: &People,
    session: &Session,
    id: &ClientId,
    mut held: Held,
) -> Result<ClientView, Fault> {
    let name = introduce(&people.server, id).await?.name;
    held.places.sort();
    held.places.dedup();
    let words = in_words(&held.scopes, &people.scope_words);
    let words = words.iter().map(|line| line.words.as_deref().unwrap_or(&line.name));
    let mut lines = vec![words.collect::<Vec<_>>().join(" · ")];
    if !held.places.is_empty() {
        lines.push(format!("Answers go to {}", held.places.join(", ")));
    }
    lines.extend(held.last_used.map(|used| format!("Last used {}", when(used))));
    let form_token = withdrawal(&[id.as_str()]).token(&session.cookie);
    Ok(ClientView { id: id.as_str().to_owned(), name, lines, form_token })
}

/// Where answers go, in words: grants keep an origin, consents a class.
fn place(origin_or_class: &str) -> String {
    // Behind it may stand which document of the client a consent was given to.
    let origin_or_class = origin_or_class.split(' ').next().unwrap_or_default();
    if origin_or_class == "loopback" {
        return "this computer".to_owned();
    }
    if origin_or_class == DEVICE_CLASS {
        return "a device that showed a code".to_owned();
    }
    match Receiver::of(origin_or_class).place {
        Place::Host(host) => host,
        Place::ThisComputer => "this computer".to_owned(),
        Place::Scheme(scheme) => format!("{scheme}:// links"),
    }
}

pub(super) fn session(people: &People, current: &Session, row: &SessionRow) -> SessionView {
    let provider = row.method.as_deref().and_then(|method| method.strip_prefix("idp:"));
    let how = match provider {
        Some(id) => {
            let provider = people.providers.find(id);
            let name = provider.as_ref().map_or(id, |provider| provider.name());
            format!("Logged in with {name}")
        }
        None if row.method.as_deref() == Some(PASSKEY) => "Logged in with a passkey".to_owned(),
        None if row.login.amr.as_deref().is_some_and(|amr| amr.contains("pop")) => {
            "Logged in with a password and a passkey".to_owned()
        }
        None if row.login.acr.as_deref() == Some(TWO_FACTORS) => {
            "Logged in with a password and a code".to_owned()
        }
        None => "Logged in with a password".to_owned(),
    };
    SessionView {
        here: row.session == current.person.session,
        how,
        began: when(row.created_at),
        seen: when(row.last_seen_at),
    }
}
