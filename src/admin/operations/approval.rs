//! Calls that wait for a person. Answered by people: on their page, by a command, or with a token of their own, which an
//! app that asked for the call or acts for who asked never can.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::audit::ApprovalOutcome;
use crate::broker::{Answer, Approvals, Approver, Through};
use crate::id::{ApprovalId, ClientId, Issuer, RuleId, Subject, ToolName, UserId};
use crate::store::{ApprovalRow, ApprovalState, Page, StoreError};
use crate::time::Timestamp;

use super::{Actor, Operations, PageQuery, shown};

const MISSING: AdminError = AdminError::NotFound("call that waits");

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

/// A call with what belongs to it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ApprovalDetail {
    #[serde(flatten)]
    pub call: ApprovalView,
    /// `pending`, `approved`, `denied`, `used`, or `outdated`: the rules have changed since it was asked.
    pub state: &'static str,
    /// Whether the person of the token may answer, were there time.
    pub may_answer: bool,
    /// JSON for people to read: whatever hides or turns text around is escaped. Absent for who may not answer, and
    /// where they were sealed with another key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    #[schemars(with = "Option<String>")]
    pub approver: Option<Subject>,
    pub comment: Option<String>,
    #[schemars(with = "Option<String>")]
    pub answered_at: Option<Timestamp>,
}

/// What a person says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAnswer {
    pub decision: ApprovalDecision,
    /// Why, for the record: 1,000 characters are kept.
    pub comment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDecision {
    Approve,
    Deny,
}

impl Operations {
    /// Those that are not answered and not late, the oldest first. Who does not administer us sees what they may
    /// answer; then a page ends where it is full, so that what waits for others hides nothing.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`], [`AdminError::Forbidden`] for a client that acts for itself and administers nothing.
    pub async fn list_approvals(
        &self,
        actor: &Actor,
        administers: bool,
        page: &PageQuery,
    ) -> Result<Page<ApprovalView>, AdminError> {
        let (now, mut wanted) = (self.clock.now(), page.request());
        let person = if administers { None } else { Some(self.approver(actor).await?) };
        loop {
            let mut found = self.store.list_approvals(&wanted, now).await?;
            found.rows.retain(|row| {
                let theirs = |person| Approvals::refusal(row, person).is_none();
                !self.is_outdated(row) && person.as_ref().is_none_or(theirs)
            });
            match found.next.take() {
                // What follows is for others, or waits no more: look on.
                Some(next) if found.rows.is_empty() => wanted.after = Some(next),
                next => return Ok(shown(Page { next, ..found })),
            }
        }
    }

    /// One of them, or one that was answered.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], also for who neither administers us nor may answer. [`AdminError::Store`]
    pub async fn approval(
        &self,
        actor: &Actor,
        administers: bool,
        id: ApprovalId,
    ) -> Result<ApprovalDetail, AdminError> {
        let row = self.store.find_approval(id).await?.ok_or(MISSING)?;
        let may_answer = match self.approver(actor).await {
            Ok(person) => Approvals::refusal(&row, &person).is_none(),
            Err(AdminError::Forbidden { .. }) => false,
            Err(error) => return Err(error),
        };
        if !may_answer && !administers {
            return Err(MISSING);
        }
        let arguments = if may_answer { self.serving()?.approvals.shown(&row) } else { None };
        let answer = row.answer.clone();
        let outdated = self.is_outdated(&row);
        Ok(ApprovalDetail {
            state: match row.state {
                ApprovalState::Pending | ApprovalState::Approved if outdated => "outdated",
                ApprovalState::Pending => "pending",
                ApprovalState::Approved => "approved",
                ApprovalState::Denied => "denied",
                ApprovalState::Used => "used",
            },
            call: row.into(),
            may_answer,
            arguments,
            approver: answer.as_ref().map(|answer| answer.approver.clone()),
            answered_at: answer.as_ref().map(|answer| answer.at),
            comment: answer.and_then(|answer| answer.comment),
        })
    }

    /// Takes the answer of the person that the token is of. Every try is recorded, also one that does not count.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]; [`AdminError::Forbidden`] for who asked, who is no approver, and clients that act for themselves;
    /// [`AdminError::TooLate`]; [`AdminError::OtherRules`]; [`AdminError::NotFound`]; [`AdminError::Store`] and [`AdminError::Audit`], after
    /// which the answer may stand.
    pub async fn answer_approval(
        &self,
        actor: &Actor,
        administers: bool,
        id: ApprovalId,
        said: ApprovalAnswer,
    ) -> Result<ApprovalDetail, AdminError> {
        if said.comment.as_ref().is_some_and(|comment| comment.contains('\0')) {
            return Err(AdminError::Invalid {
                field: "comment",
                problem: "has a zero byte",
                allowed: "text without one",
            });
        }
        let person = self.approver(actor).await?;
        let approved = said.decision == ApprovalDecision::Approve;
        let answer = Answer { approved, comment: said.comment };
        let approvals = &self.serving()?.approvals;
        let outcome = approvals.answer(&actor.context, id, &person, answer).await?;
        let outcome = outcome.ok_or(MISSING)?;
        actor.ends(); // every outcome is recorded
        match outcome {
            ApprovalOutcome::Approved | ApprovalOutcome::Denied => {
                self.approval(actor, administers, id).await
            }
            ApprovalOutcome::TooLate => Err(AdminError::TooLate),
            ApprovalOutcome::AnotherPolicy => Err(AdminError::OtherRules),
            ApprovalOutcome::OwnCall => Err(AdminError::Forbidden {
                problem: "who asks, and the app that asks, cannot answer",
                hint: "somebody else answers, or the same person on the page where the rule allows that",
            }),
            ApprovalOutcome::MayBeOwnCall => Err(AdminError::Forbidden {
                problem: "nothing shows that this person is not who asks",
                hint: "answer as somebody who logs in where who asks does, or write self_approval = true in the rule",
            }),
            ApprovalOutcome::NotAnApprover if administers => Err(AdminError::Forbidden {
                problem: "this person is none of the rule's approvers",
                hint: "`approvers` names groups; where it is empty, local users with the role of an administrator answer",
            }),
            ApprovalOutcome::NotAnApprover => Err(MISSING),
        }
    }

    /// Whether the rules have changed since it was asked, as far as is known here.
    fn is_outdated(&self, row: &ApprovalRow) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.approvals.is_of_other_rules(row))
    }

    /// The person that a token is of, as they are now.
    async fn approver(&self, actor: &Actor) -> Result<Approver, AdminError> {
        let own = &self.serving()?.issuer;
        let subject = actor.context.requester_id.as_ref();
        let id = subject.and_then(|subject| subject.as_str().parse::<UserId>().ok());
        let user = match id {
            Some(id) => self.store.find_user(id).await?,
            None => None,
        };
        let user = user.filter(|user| user.disabled_at.is_none());
        let (Some(user), Some(name)) = (user, subject) else {
            return Err(AdminError::Forbidden {
                problem: "people answer, and the token is of no person",
                hint: "log in as a person; a client that acts for itself answers nothing",
            });
        };
        let mut identities = vec![(own.clone(), name.clone())];
        let corrupt = |_| StoreError::Corrupt("identity");
        for (issuer, subject) in self.store.list_identities(user.id).await? {
            identities.push((issuer.parse().map_err(corrupt)?, subject.parse().map_err(corrupt)?));
        }
        Ok(Approver {
            name: name.clone(),
            identities,
            known_as: user.email.into_iter().chain([user.username]).collect(),
            groups: user.groups,
            administrator: user.administrator,
            through: Through::App(actor.context.client_id.clone()),
        })
    }
}
