//! Who asks, for the person who is to answer: a subject means something within its issuer alone.

use crate::id::{Issuer, UserId};
use crate::store::{Database, Requester, StoreError};

/// One line: the name that the store knows, of a person of our own; the subject; the issuer; and for whom a gateway says it asks.
/// Not what a token says of its bearer's name: anybody may be called anything elsewhere.
///
/// # Errors
///
/// [`StoreError`]
pub async fn in_words(
    store: &dyn Database,
    ours: &Issuer,
    asked: &Requester,
) -> Result<String, StoreError> {
    let Requester { issuer, subject, asserted, .. } = asked;
    let id = subject.as_str().parse::<UserId>().ok().filter(|_| issuer == ours);
    let user = match id {
        Some(id) => store.find_user(id).await?,
        None => None,
    };
    let mut text = match user {
        Some(user) => format!("{} ({subject}) of {issuer}", user.username),
        None => format!("{subject} of {issuer}"),
    };
    if let Some(other) = asserted {
        text.push_str(" for ");
        text.push_str(other.as_str());
    }
    Ok(text)
}
