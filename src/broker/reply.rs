//! What a Graph call answers: the two shapes of the contract, and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::audit::Redaction;
use crate::code::{Category, Code};
use crate::graph::GraphReply;
use crate::id::{EventId, RequestId};
use crate::policy::Decision;
use crate::token::ProviderToken;

use super::call::CONTRACT_VERSION;

/// The answer of `auth.graph.operation.execute.v1`. Holds no token: nothing here could.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    contract_version: &'static str,
    request_id: RequestId,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Outcome {
    Ok { result: Success },
    Error { error: Failure, redactions: Vec<Redaction> },
}

#[derive(Clone, Debug, Serialize)]
struct Success {
    policy: PolicyView,
    execution: Execution,
    redactions: Vec<Redaction>,
}

/// A decision as the contract shows it.
#[derive(Clone, Debug, Serialize)]
struct PolicyView {
    decision: crate::policy::Effect,
    reason: String,
    metadata: Value,
}

#[derive(Clone, Debug, Serialize)]
struct Execution {
    mode: &'static str,
    provider: &'static str,
    provider_request_id: Option<String>,
    http_status: u16,
    response_headers: BTreeMap<String, String>,
    response_body: Value,
    token: Value,
    attempts: u32,
    duration_ms: u64,
}

/// Why there is no result. Codes and identifiers for programs, one sentence for people.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub code: Code,
    pub category: Category,
    pub message: String,
    pub retryable: bool,
    pub metadata: Map<String, Value>,
    /// The provider answered, and what it said is not repeated.
    #[serde(skip)]
    pub withholds_the_answer: bool,
}

impl Failure {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (category, retryable) = (code.category(), code.retryable());
        let (metadata, withholds_the_answer) = (Map::new(), false);
        Self { code, category, message: message.into(), retryable, metadata, withholds_the_answer }
    }

    /// The same about a provider's answer that is withheld, which the redactions say.
    #[must_use]
    pub(super) fn withholding(self, withholds_the_answer: bool) -> Self {
        Self { withholds_the_answer, ..self }
    }

    /// Adds what a program can use; `None` adds nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Serialize>) -> Self {
        if let Some(value) = value.and_then(|value| serde_json::to_value(value).ok()) {
            self.metadata.insert(name.to_owned(), value);
        }
        self
    }
}

impl Reply {
    pub(super) fn success(
        call: RequestId,
        decision: &Decision,
        token: &ProviderToken,
        reply: GraphReply,
        spent: Spent,
    ) -> Self {
        let token = serde_json::json!({
            "source": token.source(),
            "expires_in_s": token.expires_in().as_secs(),
            "tenant_id": token.tenant(),
            "resource": token.resource(),
        });
        let mut redactions = spent.redactions;
        redactions.extend(reply.redactions().iter().map(redaction));
        let execution = Execution {
            mode: "broker_downstream_execution",
            provider: "microsoft_graph",
            provider_request_id: reply.provider_request_id().map(str::to_owned),
            http_status: reply.http_status(),
            response_headers: reply.headers().clone(),
            token,
            attempts: spent.attempts,
            duration_ms: spent.duration_ms,
            response_body: reply.into_body(),
        };
        let outcome = Outcome::Ok {
            result: Success { policy: view(decision, spent.decision_id), execution, redactions },
        };
        Self {
            contract_version: CONTRACT_VERSION,
            request_id: call,
            outcome,
            simulated: spent.simulated,
        }
    }

    /// The answer of a tool that calls no provider, of which nothing was left out.
    #[must_use]
    pub fn refusal(call: RequestId, error: Failure) -> Self {
        Self::failure(call, error, Vec::new(), false)
    }

    pub(super) fn failure(
        call: RequestId,
        error: Failure,
        redactions: Vec<Redaction>,
        simulated: bool,
    ) -> Self {
        let outcome = Outcome::Error { error, redactions };
        Self { contract_version: CONTRACT_VERSION, request_id: call, outcome, simulated }
    }

    /// The code, where the call failed.
    #[must_use]
    pub const fn error_code(&self) -> Option<Code> {
        match &self.outcome {
            Outcome::Ok { .. } => None,
            Outcome::Error { error, .. } => Some(error.code),
        }
    }

    /// What was left out, for the audit log.
    #[must_use]
    pub fn redactions(&self) -> &[Redaction] {
        match &self.outcome {
            Outcome::Ok { result } => &result.redactions,
            Outcome::Error { redactions, .. } => redactions,
        }
    }
}

/// What a call cost, beside its answer.
pub(super) struct Spent {
    pub(super) attempts: u32,
    pub(super) duration_ms: u64,
    pub(super) redactions: Vec<Redaction>,
    /// The event in the audit log that says what policy decided.
    pub(super) decision_id: Option<EventId>,
    pub(super) simulated: bool,
}

/// A redaction of `graph` in the words of the audit log.
pub(super) fn redaction(found: &crate::graph::Redaction) -> Redaction {
    Redaction { field: found.field.clone(), reason: found.reason }
}

fn view(decision: &Decision, decision_id: Option<EventId>) -> PolicyView {
    PolicyView {
        decision: decision.effect,
        reason: decision.reason.to_string(),
        metadata: serde_json::json!({
            "decision_id": decision_id,
            "policy_version": decision.policy_version,
            "matched_rule_id": decision.matched_rule_id,
            "requester_id": decision.requester_id,
            "tenant_id": decision.tenant_id,
            "scopes_evaluated": decision.scopes_evaluated,
        }),
    }
}
