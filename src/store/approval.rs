//! Calls that wait for a person.

use async_trait::async_trait;

use crate::id::{ApprovalId, ClientId, Issuer, RuleId, Subject, ToolName};
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};

/// One call that a rule asks a person about.
#[derive(Clone, Debug)]
pub struct ApprovalRow {
    pub id: ApprovalId,
    /// Of the exact call, its caller, the rule and the policy: what an answer is about, and nothing else.
    pub call: Digest,
    pub requester: Requester,
    pub tool: ToolName,
    /// The arguments as the approver sees them, sealed: they may hold anything.
    pub sealed_arguments: String,
    pub rule: RuleId,
    pub policy_version: String,
    /// Groups whose members may answer. Empty: administrators.
    pub approvers: Vec<String>,
    /// Whether the rule lets the requester answer, being an approver.
    pub self_approval: bool,
    pub state: ApprovalState,
    pub created_at: Timestamp,
    /// Neither answered nor used from then on.
    pub expires_at: Timestamp,
    pub answer: Option<ApprovalAnswer>,
}

/// Who asks, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    pub issuer: Issuer,
    pub subject: Subject,
    pub client_id: Option<ClientId>,
    /// Whom a trusted gateway says it acts for.
    pub asserted: Option<Subject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    Pending,
    Approved,
    Denied,
    Used,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalAnswer {
    pub approver: Subject,
    pub approved: bool,
    /// For people, at most 1,000 characters.
    pub comment: Option<String>,
    pub at: Timestamp,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The row was added.
    New,
    /// The same call was asked about before; not used, not late.
    Known(Box<ApprovalRow>),
    /// The requester has too many open ones: nothing was added.
    TooMany,
}

/// An approval that was spent by this very statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedApproval {
    pub id: ApprovalId,
    pub approver: Subject,
}

#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Adds `row`, unless a row with the same `call` is pending, approved or denied and not late. Of concurrent
    /// questions about one call exactly one is [`Asked::New`]. `most_pending` counts the pending, not late rows
    /// of the requester (issuer and subject) under the same policy version: under others nothing waits any more.
    async fn ask_approval(
        &self,
        row: &ApprovalRow,
        most_pending: u32,
        now: Timestamp,
    ) -> Result<Asked, StoreError>;

    /// Also a late or used one.
    async fn find_approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError>;

    /// Pending and not late, oldest first.
    async fn list_approvals(
        &self,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<ApprovalRow>, StoreError>;

    /// Pending becomes approved or denied. `false`: it was answered before, is late, or there is none. Of
    /// concurrent answers exactly one is taken.
    async fn answer_approval(
        &self,
        id: ApprovalId,
        answer: &ApprovalAnswer,
    ) -> Result<bool, StoreError>;

    /// Approved becomes used, at most once: of concurrent calls exactly one gets it. `None` where there is no
    /// approved row of this call that was answered at or before `now` and is not late.
    async fn use_approval(
        &self,
        call: &Digest,
        now: Timestamp,
    ) -> Result<Option<UsedApproval>, StoreError>;
}
