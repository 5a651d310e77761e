//! What a person answers, and whether they may.

use crate::audit::{ApprovalOutcome, AuditEvent, Context};
use crate::id::{ApprovalId, ClientId, Issuer, Subject};
use crate::store::{ApprovalAnswer, ApprovalRow, StoreError};

use super::same_person::{self, Comparison};
use super::{ApprovalError, Approvals};

/// Characters of a comment that are kept.
const MOST_COMMENT: usize = 1_000;

/// How somebody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// On the page, logged in.
    Themselves,
    /// By a command of whoever may read the settings and open the store, in somebody's name: nobody has logged in. The
    /// operating system's number of who ran it.
    Command { uid: u32 },
    /// By a token that an app sends.
    App(Option<ClientId>),
}

/// A person who answers, as the login knows them.
#[derive(Clone, Debug)]
pub struct Approver {
    /// Under which the answer is kept.
    pub name: Subject,
    /// Every identity the person has: our own, and those linked at other issuers.
    pub identities: Vec<(Issuer, Subject)>,
    /// User name and e-mail, as a gateway might call them.
    pub known_as: Vec<String>,
    pub groups: Vec<String>,
    pub administrator: bool,
    pub through: Through,
}

/// What a person says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub approved: bool,
    pub comment: Option<String>,
}

impl Approvals {
    /// Takes a person's answer. Does *not* check that the person is logged in, nor how recently.
    ///
    /// The answer counts only where the outcome is [`ApprovalOutcome::Approved`] or
    /// [`ApprovalOutcome::Denied`]; `None` means that there is no such question.
    ///
    /// # Errors
    ///
    /// [`ApprovalError`]. After [`ApprovalError::Audit`] the answer may stand; its use is recorded
    /// with the approver's name in any case.
    pub async fn answer(
        &self,
        context: &Context,
        id: ApprovalId,
        person: &Approver,
        answer: Answer,
    ) -> Result<Option<ApprovalOutcome>, ApprovalError> {
        let Some(row) = self.store.find_approval(id).await? else { return Ok(None) };
        let outcome = match Self::refusal(&row, person) {
            Some(refusal) => refusal,
            None if self.is_of_other_rules(&row) => ApprovalOutcome::AnotherPolicy,
            None => self.store_answer(id, person, answer).await?,
        };
        let approver = person.name.clone();
        let uid = match person.through {
            Through::Command { uid } => Some(uid),
            Through::Themselves | Through::App(_) => None,
        };
        let event = AuditEvent::ApprovalAnswer { approval: id, approver, outcome, uid };
        self.auditor.record(context, event).await?;
        Ok(Some(outcome))
    }

    /// Whether it was asked under rules that are in force no more: the same call is another question now.
    #[must_use]
    pub fn is_of_other_rules(&self, row: &ApprovalRow) -> bool {
        (self.rules)().is_some_and(|version| *version != *row.policy_version)
    }

    /// Why this person may not answer; `None` where they may. A denial needs the same right: else anybody could stop a call.
    /// Only who asked and who is among the approvers may see what is asked; all others are [`ApprovalOutcome::NotAnApprover`].
    ///
    /// An app that acts for the requester never answers, and no app answers what it asked itself, whatever the rule
    /// says: `self_approval` lets people look at their own call, and an app looks at nothing.
    #[must_use]
    pub fn refusal(row: &ApprovalRow, person: &Approver) -> Option<ApprovalOutcome> {
        let asked = &row.requester;
        let (by_app, same_app) = match &person.through {
            Through::Themselves | Through::Command { .. } => (false, false),
            Through::App(client) => (true, client.is_none() || *client == asked.client_id),
        };
        let own_call_counts = row.self_approval && !by_app;
        let compared = same_person::compare(asked, person);
        if compared == Comparison::Same && !own_call_counts {
            return Some(ApprovalOutcome::OwnCall);
        }
        // Before what is known of their app, and what is not known of them: the page shows the arguments to whoever may have asked, and anybody may have.
        let is_approver = match row.approvers.as_slice() {
            [] => person.administrator,
            groups => person.groups.iter().any(|group| groups.contains(group)),
        };
        if !is_approver {
            return Some(ApprovalOutcome::NotAnApprover);
        }
        if same_app {
            return Some(ApprovalOutcome::OwnCall);
        }
        let may_be_own = compared == Comparison::Unknown && !own_call_counts;
        may_be_own.then_some(ApprovalOutcome::MayBeOwnCall)
    }

    async fn store_answer(
        &self,
        id: ApprovalId,
        person: &Approver,
        answer: Answer,
    ) -> Result<ApprovalOutcome, StoreError> {
        let comment = answer.comment.map(|text| text.chars().take(MOST_COMMENT).collect());
        let approved = answer.approved;
        let answer = ApprovalAnswer {
            approver: person.name.clone(),
            approved,
            comment,
            at: self.clock.now(),
        };
        Ok(match (self.store.answer_approval(id, &answer).await?, approved) {
            (true, true) => ApprovalOutcome::Approved,
            (true, false) => ApprovalOutcome::Denied,
            (false, _) => ApprovalOutcome::TooLate,
        })
    }
}
