//! What people allowed clients: list and revoke.

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject};
use crate::id::GrantId;
use crate::store::{GrantFilter, Page, RevokeReason};

use super::{Actor, GrantView, Operations, PageQuery, found, shown};

impl Operations {
    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_grants(
        &self,
        filter: &GrantFilter,
        page: &PageQuery,
    ) -> Result<Page<GrantView>, AdminError> {
        Ok(shown(self.store.list_grants(filter, &page.request()).await?))
    }

    /// Ends a grant and every token of it, within a second also at other replicas.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], also where it was revoked before.
    pub async fn revoke_grant(&self, actor: &Actor, id: GrantId) -> Result<(), AdminError> {
        let now = self.clock.now();
        self.change(actor, (AdminObject::Grant, AdminAction::Revoke, &id.to_string()), async {
            let revoked = self.store.revoke_grant(id, RevokeReason::Administrator, now).await?;
            found(revoked, "live grant")
        })
        .await
    }
}
