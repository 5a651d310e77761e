//! What is revoked, in memory: asked on every request.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use crate::id::{ClientId, GrantId, UserId};
use crate::time::Timestamp;

use super::error::StoreError;
use super::grant::GrantOf;

/// One line of the table `revocations`.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub(super) sequence: i64,
    pub(super) grant_id: Option<GrantId>,
    pub(super) jti: Option<String>,
    /// Every token of this client that was issued up to then (seconds since 1970, `iat`).
    pub(super) client: Option<(String, i64)>,
    /// Every grant of one kind.
    pub(super) ending: Option<Ending>,
    pub(super) expires_at: Timestamp,
}

/// All grants of one kind that were made before then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) whose: Whose,
    pub(super) before: Timestamp,
}

/// Whose grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    User(UserId),
    Client(ClientId),
    UserAtClient(UserId, ClientId),
    Resource(String),
}

/// As it stands in the column `ending`, with which `grant::used` compares.
impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Client(client) => write!(f, "client:{client}"),
            Self::UserAtClient(user, client) => write!(f, "user:{user} client:{client}"),
            Self::Resource(uri) => write!(f, "resource:{uri}"),
        }
    }
}

impl FromStr for Whose {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        const CORRUPT: StoreError = StoreError::Corrupt("ending");
        let user = |text: &str| text.parse().map_err(|_| CORRUPT);
        let client = |text: &str| text.parse().map_err(|_| CORRUPT);
        match text.split_once(':') {
            Some(("user", both)) => match both.split_once(" client:") {
                Some((of, at)) => Ok(Self::UserAtClient(user(of)?, client(at)?)),
                None => Ok(Self::User(user(both)?)),
            },
            Some(("client", id)) => Ok(Self::Client(client(id)?)),
            Some(("resource", uri)) => Ok(Self::Resource(uri.to_owned())),
            _ => Err(CORRUPT),
        }
    }
}

#[derive(Default)]
struct Known {
    /// Everything up to this one has been read.
    sequence: i64,
    grants: HashMap<GrantId, Timestamp>,
    tokens: HashMap<String, Timestamp>,
    clients: HashMap<String, (i64, Timestamp)>,
    /// By what stands in the column: before when, and for how long that counts.
    endings: HashMap<String, (Timestamp, Timestamp)>,
}

/// Grants and tokens that are revoked, until the last of their tokens has expired by itself.
#[derive(Default)]
pub(super) struct Revoked(RwLock<Known>);

impl Revoked {
    pub(super) fn contains(&self, grant_id: Option<GrantId>, jti: Option<&str>) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        grant_id.is_some_and(|id| known.grants.contains_key(&id))
            || jti.is_some_and(|jti| known.tokens.contains_key(jti))
    }

    pub(super) fn contains_client(&self, client_id: &str, issued_at: i64) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.clients.get(client_id).is_some_and(|(until, _)| issued_at <= *until)
    }

    /// Whether every grant of its kind that was made when this one was is over.
    pub(super) fn contains_all_of(&self, id: GrantId, of: &GrantOf<'_>) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.endings.is_empty() {
            return false;
        }
        let GrantOf { user, client, resource } = of;
        let made = made_at(id);
        let ended = |key: &str| known.endings.get(key).is_some_and(|(before, _)| made < *before);
        ended(&format!("user:{user}"))
            || ended(&format!("client:{client}"))
            || ended(&format!("user:{user} client:{client}"))
            || ended(&format!("resource:{resource}"))
    }

    /// Where to read on.
    pub(super) fn sequence(&self) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).sequence
    }

    /// What was read from the table, in its order.
    pub(super) fn read(&self, revocations: &[Revocation]) {
        self.add(revocations);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let last = revocations.iter().map(|revocation| revocation.sequence).max();
        known.sequence = known.sequence.max(last.unwrap_or(0));
    }

    /// What this process wrote itself. Others may have written before it, so reading goes on from where it was.
    pub(super) fn add(&self, revocations: &[Revocation]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            if let Some(id) = revocation.grant_id {
                known.grants.insert(id, revocation.expires_at);
            }
            if let Some(jti) = &revocation.jti {
                known.tokens.insert(jti.clone(), revocation.expires_at);
            }
            if let Some((id, until)) = &revocation.client {
                let (known, end) = known.clients.entry(id.clone()).or_default();
                (*known, *end) = ((*known).max(*until), (*end).max(revocation.expires_at));
            }
            if let Some(Ending { whose, before }) = &revocation.ending {
                let new = (*before, revocation.expires_at);
                let (known, end) = known.endings.entry(whose.to_string()).or_insert(new);
                (*known, *end) = ((*known).max(new.0), (*end).max(new.1));
            }
        }
    }

    /// Forgets what has expired by itself.
    pub(super) fn forget(&self, now: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.grants.retain(|_, end| *end > now);
        known.tokens.retain(|_, end| *end > now);
        known.clients.retain(|_, (_, end)| *end > now);
        known.endings.retain(|_, (_, end)| *end > now);
    }
}

/// When a grant was made: its id begins with that, in milliseconds (RFC 9562 §5.7).
fn made_at(id: GrantId) -> Timestamp {
    let text = id.to_string();
    let digits = text.get(..8).zip(text.get(9..13)).map(|(high, low)| format!("{high}{low}"));
    let millis = digits.and_then(|digits| i64::from_str_radix(&digits, 16).ok());
    Timestamp::from_unix_millis(millis.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::random::SeededRandom;

    use super::*;

    #[test]
    fn an_id_tells_when_its_grant_was_made() {
        let now = Timestamp::from_unix_millis(1_795_239_879_007);
        assert_eq!(made_at(GrantId::at(now, &SeededRandom::new(7))), now);
    }

    #[test]
    fn what_an_ending_is_about_is_read_as_it_was_written() {
        let user: UserId = "01930000-0000-7000-8000-000000000001".parse().unwrap();
        let client: ClientId = "https://a.example/client:x".parse().unwrap();
        for whose in [
            Whose::User(user),
            Whose::Client(client.clone()),
            Whose::UserAtClient(user, client),
            Whose::Resource("https://b.example/mcp client:1".to_owned()),
        ] {
            assert_eq!(whose.to_string().parse::<Whose>().unwrap(), whose);
        }
        assert!("somebody".parse::<Whose>().is_err());
    }
}
