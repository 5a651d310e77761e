//! Calls that wait for a person. They are answered by people, on their page or by a command, never with a token.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;
use crate::id::{ApprovalId, ClientId, Issuer, RuleId, Subject, ToolName};
use crate::store::{ApprovalRow, Page};
use crate::time::Timestamp;

use super::{Operations, PageQuery, shown};

/// A call that waits. Its arguments are for who may answer.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ApprovalView {
    #[schemars(with = "String")]
    pub id: ApprovalId,
    #[schemars(with = "String")]
    pub tool: ToolName,
    #[schemars(with = "String")]
    pub issuer: Issuer,
    #[schemars(with = "String")]
    pub requester_id: Subject,
    /// Whom a trusted gateway says it acts for.
    #[schemars(with = "Option<String>")]
    pub asserted_requester_id: Option<Subject>,
    #[schemars(with = "Option<String>")]
    pub client_id: Option<ClientId>,
    #[schemars(with = "String")]
    pub rule: RuleId,
    pub policy_version: String,
    /// Groups. Empty: administrators.
    pub approvers: Vec<String>,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

impl From<ApprovalRow> for ApprovalView {
    fn from(row: ApprovalRow) -> Self {
        Self {
            id: row.id,
            tool: row.tool,
            issuer: row.requester.issuer,
            requester_id: row.requester.subject,
            asserted_requester_id: row.requester.asserted,
            client_id: row.requester.client_id,
            rule: row.rule,
            policy_version: row.policy_version,
            approvers: row.approvers,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

impl Operations {
    /// Those that are not answered and not late, the oldest first.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_approvals(&self, page: &PageQuery) -> Result<Page<ApprovalView>, AdminError> {
        Ok(shown(self.store.list_approvals(&page.request(), self.clock.now()).await?))
    }
}
