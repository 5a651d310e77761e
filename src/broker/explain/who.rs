//! Who made a request: the client as it is known here, and the person.

use serde_json::Value;
use url::Url;

use crate::broker::in_words;
use crate::id::{ClientId, Issuer};
use crate::store::{ClientKind, Database, Requester, StoreError};

use super::Explainer;
use super::clients::Family;
use super::record::Attempt;
use super::view::Asked;

pub(super) struct Client {
    pub(super) asked: Asked,
    pub(super) family: Option<Family>,
}

/// Names are longer in nobody's client.
const LONGEST_NAME: usize = 120;

/// # Errors
///
/// [`StoreError`]
pub(super) async fn client(
    from: &Explainer,
    attempt: &Attempt,
) -> Result<Option<Client>, StoreError> {
    let proven = attempt.client_id();
    let Some(id) = proven.cloned().or_else(|| attempt.unverified_client_id()) else {
        return Ok(None);
    };
    let (name, registration) = match &from.store {
        Some(store) => known(from, &**store, &id).await?,
        None => (None, registration(from, &id, None)),
    };
    let family = Family::of(id.as_str(), name.as_deref());
    let proven = proven.is_some() && attempt.proves_its_client();
    let asked = Asked { id: id.to_string(), name, registration, proven };
    Ok(Some(Client { asked, family }))
}

async fn known(
    from: &Explainer,
    store: &dyn Database,
    id: &ClientId,
) -> Result<(Option<String>, String), StoreError> {
    let row = store.find_client(id).await?;
    let document = match host(id) {
        Some(_) => store.find_metadata_document(id.as_str()).await?,
        None => None,
    };
    let named = row.as_ref().map(|row| row.metadata.as_bytes());
    let named = document.as_ref().map(|document| document.body.as_slice()).or(named);
    let mut told = registration(from, id, row.as_ref().map(|row| row.kind));
    if row.as_ref().is_some_and(|row| row.disabled_at.is_some()) {
        told.push_str("; disabled");
    }
    if document.as_ref().is_some_and(|document| document.gone_at.is_some()) {
        told.push_str("; the document is gone");
    }
    Ok((named.and_then(name_in), told))
}

/// How it is known here, in words.
fn registration(from: &Explainer, id: &ClientId, kind: Option<ClientKind>) -> String {
    if from.configured.contains(id) {
        return "of the settings: [[authorization_server.client]]".to_owned();
    }
    if let Some(host) = host(id) {
        return format!("names itself by a metadata document on {host}");
    }
    match kind.or_else(|| ClientKind::of_id(id)) {
        Some(ClientKind::Static) => "added by an administrator".to_owned(),
        Some(ClientKind::Dynamic) => "registered itself".to_owned(),
        Some(ClientKind::MetadataDocument) => "names itself by a metadata document".to_owned(),
        None => "not known here".to_owned(),
    }
}

fn host(id: &ClientId) -> Option<String> {
    let url = Url::parse(id.as_str()).ok().filter(|url| url.scheme() == "https")?;
    url.host_str().map(str::to_owned)
}

/// `client_name` (RFC 7591 §2).
fn name_in(metadata: &[u8]) -> Option<String> {
    let metadata: Value = serde_json::from_slice(metadata).ok()?;
    let name = metadata.get("client_name")?.as_str()?;
    Some(name.chars().take(LONGEST_NAME).collect())
}

/// # Errors
///
/// [`StoreError`]
pub(super) async fn person(
    from: &Explainer,
    attempt: &Attempt,
) -> Result<Option<String>, StoreError> {
    let Some(subject) = attempt.requester_id() else { return Ok(None) };
    let issuer = attempt.question().map(|(_, replay)| replay.question.issuer);
    let issuer: Issuer = issuer.unwrap_or_else(|| from.issuer.clone());
    let asked = Requester {
        issuer,
        subject: subject.clone(),
        client_id: attempt.client_id().cloned(),
        asserted: attempt.asserted_requester_id().cloned(),
    };
    match &from.store {
        Some(store) => in_words(&**store, &from.issuer, &asked).await.map(Some),
        None => Ok(Some(format!("{subject} of {}", asked.issuer))),
    }
}
