//! Calls that a person has to approve first.
//!
//! Whoever may make the call makes it again, unchanged, after the approval: the store finds it by the digest
//! of the call, its caller, the rule and the policy. What a client sends back opens nothing: a request state that is not
//! of this very call has it refused (MCP 2026-07-28 basic/patterns/mrtr, Server Requirements 4 and 5).

mod courier;
#[cfg(test)]
mod courier_tests;
mod exactly;
mod requester;
mod same_person;
mod shown;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{ApprovalOutcome, ApprovalRefusal, AuditError, AuditEvent, Auditor, Context};
use crate::id::{ApprovalId, ClientId, Issuer, RuleId, Subject, ToolName};
use crate::random::Random;
use crate::store::{
    ApprovalAnswer, ApprovalRow, ApprovalState, ApprovalStore, Asked, Digest, Requester, StoreError,
};
use crate::time::{Clock, Timestamp};

use same_person::Comparison;

pub use courier::{Courier, Notices};
pub use exactly::Exactly;
pub use requester::in_words;
pub use webhook::{Webhook, WebhookError};

/// Open questions of one requester.
const MOST_PENDING: u32 = 20;
/// Before the id in a request state: arguments, which are sealed with the same key, are JSON and begin otherwise.
const STATE: &str = "approval ";
/// Characters of a comment that are kept.
const MOST_COMMENT: usize = 1_000;

/// Asks people, takes their answers, and lets each approved call through once.
#[derive(Clone)]
pub struct Approvals {
    pub store: Arc<dyn ApprovalStore>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub auditor: Auditor,
    /// Seals the arguments for the store.
    pub seal: Seal,
    /// Opens them for who is to answer. `None`: they were sealed with another key.
    pub open: Open,
    /// Where people answer: the id of the question is added.
    pub pages: String,
    /// Who is told of each new question, beside the caller.
    pub notices: Option<Notices>,
    /// The version of the rules in force: an answer under others opens nothing. `None`: not known here.
    pub rules: RulesVersion,
}

/// What the deciding rule says about who may answer, and how long.
#[derive(Clone, Debug)]
pub struct Terms {
    pub rule: RuleId,
    pub policy_version: Arc<str>,
    /// Groups whose members may answer. Empty: administrators.
    pub approvers: Vec<String>,
    pub self_approval: bool,
    pub valid_for: Duration,
}

/// Why a request state is refused, and of which question it is.
type Misuse = (ApprovalRefusal, Option<ApprovalId>);

/// Seals a text.
pub type Seal = Arc<dyn Fn(&str) -> String + Send + Sync>;
/// The version of the rules in force.
pub type RulesVersion = Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>;
/// Opens a sealed text.
pub type Open = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The call that waits.
#[derive(Clone, Debug)]
pub struct Question {
    pub requester: Requester,
    pub tool: ToolName,
    pub call: Exactly,
    pub terms: Terms,
    /// As it came back from the client.
    pub request_state: Option<String>,
}

/// How it stands with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Go on: this approval is spent now.
    Approve {
        id: ApprovalId,
        approver: Subject,
    },
    Wait {
        id: ApprovalId,
        expires_at: Timestamp,
    },
    /// A person said no; asking again before `until` asks nobody.
    Deny {
        id: ApprovalId,
        until: Timestamp,
    },
    /// The request state that came with the call is not of an open question about it.
    Another,
    /// The requester has too many open questions.
    TooMany,
}

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

#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    #[error("the store of approvals does not answer")]
    Store(#[from] StoreError),
    #[error("the audit log cannot take what happens to an approval")]
    Audit(#[from] AuditError),
}

impl Approvals {
    /// The page of one question. Holds no secret: who opens it has to log in.
    #[must_use]
    pub fn page(&self, id: ApprovalId) -> String {
        format!("{}/{id}", self.pages)
    }

    /// What a client gets to send back with the call: which question it is, sealed (RS-33). It opens nothing; one that was
    /// altered, or comes with another call, by another caller, under other rules, late or again, has the call refused.
    #[must_use]
    pub fn request_state(&self, id: ApprovalId) -> Option<String> {
        let state = (self.seal)(&format!("{STATE}{id}"));
        (!state.is_empty()).then_some(state)
    }

    /// Why the state is not of a question about this call that is not over; `None` where it is.
    async fn misuse(&self, state: &str, row: &ApprovalRow) -> Result<Option<Misuse>, StoreError> {
        let opened = (self.open)(state);
        let id = opened.as_deref().and_then(|state| state.strip_prefix(STATE)?.parse().ok());
        let Some(id) = id else { return Ok(Some((ApprovalRefusal::UnknownState, None))) };
        let Some(asked) = self.store.find_approval(id).await? else {
            return Ok(Some((ApprovalRefusal::UnknownState, Some(id))));
        };
        let class = if asked.call != row.call {
            of_another(&asked, row)
        } else if asked.state == ApprovalState::Used {
            ApprovalRefusal::Used
        } else if row.created_at >= asked.expires_at {
            ApprovalRefusal::TooLate
        } else {
            return Ok(None);
        };
        Ok(Some((class, Some(id))))
    }

    /// Records that a call is refused, and why.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: there is no answer then.
    pub async fn refused(
        &self,
        context: &Context,
        tool_name: &ToolName,
        (class, approval): (ApprovalRefusal, Option<ApprovalId>),
    ) -> Result<(), AuditError> {
        let tool_name = tool_name.clone();
        let event = AuditEvent::ApprovalRefuse { tool_name, class, approval };
        self.auditor.record(context, event).await.map(drop)
    }

    /// The arguments of a call for who is to answer it, safe to print. `None`: they were sealed with another key.
    #[must_use]
    pub fn shown(&self, row: &ApprovalRow) -> Option<String> {
        (self.open)(&row.sealed_arguments).map(|call| shown::shown(&call))
    }

    /// Spends the approval of this exact call if there is one, else asks.
    ///
    /// The approval is spent before it is recorded: where the audit log cannot take it, the call is
    /// refused and the approval is gone, never the other way about.
    ///
    /// # Errors
    ///
    /// [`ApprovalError`] (`broker.unavailable`): the call must not go on.
    pub async fn settle(
        &self,
        context: &Context,
        question: &Question,
    ) -> Result<Standing, ApprovalError> {
        let row = self.row(question);
        let now = row.created_at;
        if let Some(state) = &question.request_state
            && let Some(misuse) = self.misuse(state, &row).await?
        {
            self.refused(context, &row.tool, misuse).await?;
            return Ok(Standing::Another);
        }
        if let Some(used) = self.store.use_approval(&row.call, now).await? {
            let (approval, approver) = (used.id, used.approver.clone());
            self.auditor.record(context, AuditEvent::ApprovalUse { approval, approver }).await?;
            return Ok(Standing::Approve { id: used.id, approver: used.approver });
        }
        match self.store.ask_approval(&row, MOST_PENDING, now).await? {
            Asked::New => {
                self.auditor.record(context, requested(&row, &question.terms)).await?;
                if let Some(notices) = &self.notices {
                    notices.tell(context, &row, self.page(row.id)).await;
                }
                Ok(Standing::Wait { id: row.id, expires_at: row.expires_at })
            }
            Asked::Known(known) if known.state == ApprovalState::Denied => {
                let denied = (ApprovalRefusal::Denied, Some(known.id));
                self.refused(context, &row.tool, denied).await?;
                Ok(Standing::Deny { id: known.id, until: known.expires_at })
            }
            // Also one that was approved a moment ago: the next try spends it.
            Asked::Known(known) => {
                Ok(Standing::Wait { id: known.id, expires_at: known.expires_at })
            }
            Asked::TooMany => {
                self.refused(context, &row.tool, (ApprovalRefusal::TooManyWait, None)).await?;
                Ok(Standing::TooMany)
            }
        }
    }

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

    fn row(&self, question: &Question) -> ApprovalRow {
        let Question { requester, tool, call, terms, .. } = question;
        let arguments = call.canonical(tool);
        let now = self.clock.now();
        ApprovalRow {
            id: ApprovalId::generate(&*self.clock, &*self.random),
            call: digest(question, &arguments),
            requester: requester.clone(),
            tool: tool.clone(),
            sealed_arguments: (self.seal)(&arguments),
            rule: terms.rule.clone(),
            policy_version: terms.policy_version.to_string(),
            approvers: terms.approvers.clone(),
            self_approval: terms.self_approval,
            state: ApprovalState::Pending,
            created_at: now,
            expires_at: now.plus(terms.valid_for),
            answer: None,
        }
    }
}

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approvals").finish_non_exhaustive()
    }
}

/// SHA-256 of everything an answer is about. Each part is preceded by its length, so that no two different
/// lists of parts are the same bytes.
fn digest(question: &Question, call: &str) -> Digest {
    let Question { requester, tool, terms, .. } = question;
    let parts = [
        Some(question.call.kind()),
        Some(requester.issuer.as_str()),
        Some(requester.subject.as_str()),
        requester.client_id.as_ref().map(ClientId::as_str),
        requester.asserted.as_ref().map(Subject::as_str),
        Some(tool.as_str()),
        Some(terms.rule.as_str()),
        Some(&*terms.policy_version),
        Some(call),
    ];
    let mut bytes = Vec::new();
    for part in parts {
        // An absent part is not an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        bytes.extend(length.to_be_bytes());
        bytes.extend(part.unwrap_or_default().as_bytes());
    }
    Digest::of_bytes(&bytes)
}

/// What differs, the caller first: both have another digest.
fn of_another(asked: &ApprovalRow, row: &ApprovalRow) -> ApprovalRefusal {
    if asked.requester != row.requester {
        ApprovalRefusal::AnotherCaller
    } else if (&asked.rule, &asked.policy_version) != (&row.rule, &row.policy_version) {
        ApprovalRefusal::AnotherPolicy
    } else {
        ApprovalRefusal::AnotherCall
    }
}

fn requested(row: &ApprovalRow, terms: &Terms) -> AuditEvent {
    AuditEvent::ApprovalRequest {
        approval: row.id,
        tool_name: row.tool.clone(),
        matched_rule_id: terms.rule.clone(),
        policy_version: Arc::clone(&terms.policy_version),
        expires_at: row.expires_at,
    }
}
