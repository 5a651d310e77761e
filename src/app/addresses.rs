//! The addresses of people who log in here, for what tells a server who calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::id::{Issuer, UserId};
use crate::resource_server::Principal;
use crate::store::{Database, StoreError};

/// How long one counts: what is said about a caller is good for a minute, too.
const KNOWN: Duration = Duration::from_mins(1);
const MOST: u64 = 10_000;

type Address = Option<Arc<str>>;

/// By person, from the store.
pub(super) struct Addresses {
    store: Arc<dyn Database>,
    known: Cache<UserId, Address>,
}

impl Addresses {
    pub(super) fn new(store: &Arc<dyn Database>) -> Self {
        let known = Cache::builder().max_capacity(MOST).time_to_live(KNOWN).build();
        Self { store: Arc::clone(store), known }
    }

    /// The address of the person whose token of ours this is. `None`: there is none; or somebody else's provider told us of it,
    /// and that may let people write down whose address they like.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn of(
        &self,
        principal: &Principal,
        ours: &Issuer,
    ) -> Result<Address, Arc<StoreError>> {
        // A client that acts for itself is called what it likes.
        let person = principal.issuer() == ours && principal.claims().contains_key("grant_id");
        let subject = principal.subject().filter(|_| person);
        let Some(id) = subject.and_then(|subject| subject.as_str().parse::<UserId>().ok()) else {
            return Ok(None);
        };
        self.known.try_get_with(id, Box::pin(self.look(id))).await
    }

    async fn look(&self, id: UserId) -> Result<Address, StoreError> {
        let address = self.store.find_user(id).await?.and_then(|user| user.email);
        let Some(address) = address else { return Ok(None) };
        let from_elsewhere = !self.store.list_identities(id).await?.is_empty();
        Ok((!from_elsewhere).then(|| address.into()))
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addresses")
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{ExternalIdentity, StoreSettings, open};
    use crate::time::{Clock as _, SystemClock};

    use super::*;

    /// Another provider may let people write down whose address they like.
    #[tokio::test]
    async fn an_address_that_came_from_elsewhere_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Sqlite(directory.path().join("broker.db"));
        let store = open(&settings, Arc::new(SystemClock)).await.unwrap();
        let (id, now) =
            ("0199e0a0-0000-7000-8000-000000000001".parse().unwrap(), SystemClock.now());
        let identity = ExternalIdentity {
            issuer: "https://idp.example".to_owned(),
            subject: "eve".to_owned(),
            username: "eve".to_owned(),
            display_name: None,
            email: Some("ada@b.example".to_owned()),
            groups: Vec::new(),
            groups_incomplete: false,
            roles: Vec::new(),
            roles_incomplete: false,
        };
        let user = store.user_of_identity(&identity, id, now).await.unwrap();
        assert_eq!(user.email.as_deref(), Some("ada@b.example"));
        assert_eq!(Addresses::new(&store).look(user.id).await.unwrap(), None);
    }
}
