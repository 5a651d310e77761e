//! Who administers this broker, at this moment.

use crate::id::{ClientId, Subject, UserId};
use crate::login_provider::AdministratorGroups;
use crate::store::StoreError;

use super::Operations;

/// Whom the settings file names, beside local users with the role.
#[derive(Clone, Debug, Default)]
pub struct Administrators {
    /// Ids of people, or client ids.
    pub subjects: Vec<String>,
    pub groups: AdministratorGroups,
}

impl Operations {
    /// Whether the subject of a token administers us *now*: a token says who they were when it was issued.
    ///
    /// A person must be there, not be disabled, and have the role, be named, or be in a named group that is no
    /// provider's of the store. A client that acts
    /// for itself must be named, and not be disabled.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn is_administrator(
        &self,
        subject: &Subject,
        client_id: Option<&ClientId>,
    ) -> Result<bool, StoreError> {
        let named =
            self.settings.administrators.subjects.iter().any(|name| name == subject.as_str());
        if let Ok(id) = subject.as_str().parse::<UserId>() {
            let user = self.store.find_user(id).await?;
            let Some(user) = user.filter(|user| user.disabled_at.is_none()) else {
                return Ok(false);
            };
            let known = &self.settings.administrators.groups;
            let groups = user.groups.iter().map(String::as_str);
            return Ok(named || user.administrator || known.include(groups));
        }
        if !named {
            return Ok(false);
        }
        // One of the settings file has no row.
        let client = match client_id {
            Some(id) => self.store.find_client(id).await?,
            None => None,
        };
        Ok(client.is_none_or(|client| client.disabled_at.is_none()))
    }
}
