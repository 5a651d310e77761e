//! What an explanation says: texts for people, the same on the page, in the API and of the command.

use schemars::JsonSchema;
use serde::Serialize;

/// Everything that is on record under one id.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Explained {
    pub request_id: String,
    /// The newest last. More than one where callers chose the same id. Empty: nothing is on record here.
    pub attempts: Vec<AttemptView>,
    /// Older ones under the same id that are not told.
    pub other_attempts: usize,
    /// Whether there is an audit log file of this replica. Without one, only its last refusals are known, from memory.
    pub in_files: bool,
    /// Whether all of the log could be looked at.
    pub whole: bool,
}

/// One request.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct AttemptView {
    pub occurred_at: String,
    /// What was asked: a route, or the method of MCP and the tool.
    pub endpoint: String,
    /// Absent where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Where it came from, of a request that proved nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub sent: Vec<SentView>,
    pub outcome: OutcomeView,
    /// Absent where policy was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionView>,
    /// What would have to be otherwise, the nearest way first.
    pub changes: Vec<String>,
    /// What the client does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    pub trace_id: String,
    /// Everything on record of it, in order.
    pub events: Vec<EventView>,
}

/// The client that asked.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Asked {
    pub id: String,
    /// As it calls itself. Its own claim, unless an operator registered it or a host vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it is known here.
    pub registration: String,
    /// Whether the request proved that it comes from this client. Else anybody can have written the id.
    pub proven: bool,
}

/// A parameter, a header or a property of what was asked. Never its value where that could be a secret.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SentView {
    pub name: String,
    /// How long it is, or what is on record of it.
    pub shape: String,
}

/// How it ended.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct OutcomeView {
    pub refused: bool,
    /// A code that does not change between releases.
    pub code: String,
    /// The same in words.
    pub says: String,
}

/// What policy said, and what it says now.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct DecisionView {
    pub tool: String,
    /// At the time.
    pub reason: String,
    pub policy_version: String,
    /// Under the rules as they are now. Absent where that is not certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_now: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_now: Option<String>,
    pub policy_version_now: String,
    /// Whether nothing that is not on record (arguments, groups and claims that no rule named) could change that.
    pub certain: bool,
    /// What would make it an allow, the nearest way first.
    pub changes: Vec<String>,
    /// The rules about the tool that decided, or are about this caller.
    pub rules: Vec<RuleView>,
    /// Rules about the tool that are about somebody or something else.
    pub other_rules: usize,
}

/// One rule, and what it saw.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct RuleView {
    pub id: String,
    pub effect: String,
    /// Where it is written.
    pub place: String,
    /// `decides`, `match`, `missing_scope`, … or `not about this`.
    pub outcome: String,
    pub compared: Vec<ComparedView>,
}

/// One thing that a rule compares.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ComparedView {
    /// `yes`, `no`, `error` or `unknown`.
    pub came_to: String,
    pub key: String,
    pub wants: String,
    pub saw: String,
}

/// One event of the audit log.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EventView {
    pub occurred_at: String,
    pub event_type: String,
    pub event_id: String,
}
