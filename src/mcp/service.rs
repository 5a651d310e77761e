//! The MCP methods we serve, behind the guard. Every call is decided here once more.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResult, ContentBlock, JsonObject, ListToolsResult,
    Tool,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::audit::{ApprovalRefusal, AuditEvent, ResultStatus};
use crate::broker::{Approvals, Broker, Exactly, Failure, GraphCall, Wanted};
use crate::code::Code;
use crate::guard::{
    Beside, DECLINED, NOBODY, Unrecorded, millis, record_difference, record_policy,
};
use crate::id::ToolName;
use crate::policy::{Decision, Effect};
use crate::scope::Scope;
use crate::secret::Secrets;
use crate::steps::Steps;
use crate::time::Clock;
use crate::token::Counts as TokenCounts;

use super::ask_person;
use super::asker::Asker;
use super::decide::Decider;
use super::result::{DENIED, refused, server_info_meta, tool_result, unavailable};
use super::tools::{Document, Documents, Entry, Kind, ListArguments, Toolbox, list_operations};

/// What the MCP methods need. One for the process; rmcp clones the handle for each request.
#[derive(Clone, Debug)]
pub struct McpService(Arc<Parts>);

/// The parts of an [`McpService`].
#[derive(Debug)]
pub struct Parts {
    pub toolbox: Toolbox,
    /// Whose tools stand beside ours.
    pub beside: Option<Arc<dyn Beside>>,
    pub documents: Documents,
    pub decider: Decider,
    pub broker: Broker,
    pub clock: Arc<dyn Clock>,
}

impl McpService {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// How the secret backends are, for `/ready`.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.0.broker.secrets
    }

    /// How tokens for Graph were come by, for `/metrics`.
    #[must_use]
    pub fn token_counts(&self) -> &TokenCounts {
        self.0.broker.tokens.counts()
    }

    /// Whether servers' tools, prompts and resources stand beside ours.
    pub(super) fn is_beside_others(&self) -> bool {
        self.0.beside.as_ref().is_some_and(|beside| beside.are_any())
    }

    /// Whether clients can be told of changes.
    pub(super) fn tells_of_changes(&self) -> bool {
        self.0.beside.is_some()
    }

    pub(super) fn approvals(&self) -> &Approvals {
        &self.0.broker.approvals
    }

    /// A tool of the whole catalogue, whoever asks.
    pub(super) fn definition(&self, name: &str) -> Option<&Tool> {
        self.0.toolbox.find(name).map(|entry| &entry.tool)
    }

    /// Answers a tool call. The outer error is for calls that name no tool of the caller's list.
    pub(super) async fn call(
        &self,
        caller: &Asker,
        request: CallToolRequestParams,
    ) -> Result<CallToolResult, ErrorData> {
        // Nobody gets this answer.
        if caller.noted.hands_over() {
            return Err(ErrorData::invalid_params("a tool of another server", None));
        }
        if caller.who().subject.is_none() {
            return self.nobody(caller, &request.name).await;
        }
        let Some(entry) = self.0.toolbox.find(&request.name) else {
            let decision = caller.deciding.unknown(caller, &request.name);
            return self.unknown(caller, (&request.name, None), &decision).await;
        };
        let decision = caller.deciding.tool(caller, entry);
        if !decision.shows_the_tool() {
            let arguments = to_raw_value(&request.arguments.unwrap_or_default()).ok();
            let decision = caller.deciding.of_call(caller, entry, decision, arguments.as_deref());
            return self.unknown(caller, (&request.name, Some(entry)), &decision).await;
        }
        // EL-7: before anything is spent or done.
        if ask_person::is_declined(request.input_responses.as_ref()) {
            let refusal = Failure::new(Code::PolicyDenied, DECLINED);
            if let Ok(tool) = entry.tool.name.parse() {
                let declined = (ApprovalRefusal::Declined, None);
                let recorded = self.approvals().refused(caller.context(), &tool, declined).await;
                recorded.map_err(|_| unavailable())?;
            }
            self.ended(caller, &entry.tool.name, Some(refusal.code), &decision).await?;
            return Ok(refused(caller.request_id(), refusal));
        }
        let (arguments, state) = (request.arguments.unwrap_or_default(), request.request_state);
        if entry.kind == Kind::GraphExecute {
            // Boxed: rmcp moves the whole future about, and this one is large.
            let executed = Box::pin(self.graph_execute(caller, &arguments, state));
            return Steps::within(caller.steps(), executed).await;
        }
        let decision = caller.deciding.parsed(caller, entry, decision, &arguments);
        self.policy_events(caller, entry, &arguments, &decision).await?;
        // Boxed: few calls wait for a person, and all would carry the room for it.
        if !decision.is_allow()
            && let Err(refusal) = Steps::within(
                caller.steps(),
                Box::pin(self.allowed(caller, entry, (&arguments, state), &decision)),
            )
            .await?
        {
            self.ended(caller, &entry.tool.name, Some(refusal.code), &decision).await?;
            return Ok(refused(caller.request_id(), refusal));
        }
        match entry.kind {
            Kind::Document(document) => {
                self.document(caller, entry, document, &decision, &arguments).await
            }
            Kind::GraphList | Kind::GraphExecute => {
                Box::pin(self.graph_list(caller, entry, &decision, arguments)).await
            }
        }
    }

    /// Whether the call may be made: by a rule, or because a person has approved it.
    async fn allowed(
        &self,
        caller: &Asker,
        entry: &Entry,
        (arguments, state): (&JsonObject, Option<String>),
        decision: &Decision,
    ) -> Result<Result<(), Failure>, ErrorData> {
        let Ok(tool) = entry.tool.name.parse::<ToolName>() else {
            return Ok(Err(Failure::new(Code::PolicyDenied, DENIED)));
        };
        if decision.effect != Effect::Ask {
            return Ok(Err(Failure::new(decision.code.unwrap_or(Code::PolicyDenied), DENIED)));
        }
        let call = Exactly::Arguments(serde_json::to_string(arguments).unwrap_or_default());
        let wanted = Wanted { tool, call, asserted: None, request_state: state.as_deref() };
        let settled = self.0.broker.settle(caller, caller.context(), &wanted, decision).await;
        let approved = match settled.map_err(|_| unavailable())? {
            Ok(approved) => approved,
            Err(waits) => return Ok(Err(waits)),
        };
        let fits = approved.fits(decision);
        Ok(if fits { Ok(()) } else { Err(Failure::new(Code::PolicyDenied, DENIED)) })
    }

    /// Records what the terminal event has no room for: conditions that failed, and a shadow that differs.
    async fn policy_events(
        &self,
        caller: &Asker,
        entry: &Entry,
        arguments: &JsonObject,
        decision: &Decision,
    ) -> Result<(), ErrorData> {
        let Ok(tool_name) = entry.tool.name.parse::<ToolName>() else { return Ok(()) };
        let other = caller.deciding.difference(caller, entry, arguments, decision);
        let recorded = record_policy(caller, &tool_name, decision, other).await;
        recorded.map_err(|_| unavailable())
    }

    async fn document(
        &self,
        caller: &Asker,
        entry: &Entry,
        document: Document,
        decision: &Decision,
        arguments: &JsonObject,
    ) -> Result<CallToolResult, ErrorData> {
        let outcome = match arguments.keys().next() {
            Some(name) => Err(invalid_field(name, "this tool takes no arguments")),
            None => self.0.documents.read(document).await.map_err(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, request_id = %caller.request_id(), "document.unreadable");
                Failure::new(Code::BrokerUnavailable, error.to_string())
            }),
        };
        self.ended(
            caller,
            &entry.tool.name,
            outcome.as_ref().err().map(|failure| failure.code),
            decision,
        )
        .await?;
        Ok(match outcome {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text.to_string())]),
            Err(failure) => refused(caller.request_id(), failure),
        })
    }

    async fn graph_list(
        &self,
        caller: &Asker,
        entry: &Entry,
        decision: &Decision,
        arguments: JsonObject,
    ) -> Result<CallToolResult, ErrorData> {
        let outcome = ListArguments::read(arguments)
            .and_then(|wanted| {
                let policy = caller.deciding.in_force().policy();
                let now = caller.deciding.now();
                let operations = policy.operations(caller.who(), super::GRAPH_EXECUTE, now);
                list_operations(&operations, &wanted, self.0.broker.catalog())
            })
            .map_err(|(field, message)| invalid_field(&field, message));
        self.ended(
            caller,
            &entry.tool.name,
            outcome.as_ref().err().map(|failure| failure.code),
            decision,
        )
        .await?;
        Ok(match outcome {
            Ok(list) => CallToolResult::structured(list),
            Err(failure) => refused(caller.request_id(), failure),
        })
    }

    async fn graph_execute(
        &self,
        caller: &Asker,
        arguments: &JsonObject,
        state: Option<String>,
    ) -> Result<CallToolResult, ErrorData> {
        let text = serde_json::to_vec(arguments).unwrap_or_default();
        let reply = match GraphCall::parse(&text, caller.request_id(), self.0.decider.max_timeout) {
            Ok(call) => {
                let call = call.with_request_state(state);
                let rules = (caller.deciding.in_force(), caller.deciding.now());
                self.0.broker.execute(caller, &call, rules).await
            }
            Err(error) => self.0.broker.refuse(caller, &error).await,
        };
        reply.map(|reply| tool_result(&reply)).map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, request_id = %caller.request_id(), "audit.record_failed");
            unavailable()
        })
    }

    /// What a caller gets whose token names nobody, whatever it calls: so that it says nothing of which tools there are.
    async fn nobody(&self, caller: &Asker, name: &str) -> Result<CallToolResult, ErrorData> {
        let refusal = Failure::new(Code::PolicyMissingIdentity, NOBODY);
        let decision = caller.deciding.unknown(caller, name);
        self.ended(caller, name, Some(refusal.code), &decision).await?;
        Ok(refused(caller.request_id(), refusal))
    }

    /// What a caller gets for a tool that does not exist, or that policy hides: the same, byte for byte (RS-28).
    async fn unknown(
        &self,
        caller: &Asker,
        (name, entry): (&str, Option<&Entry>),
        decision: &Decision,
    ) -> Result<CallToolResult, ErrorData> {
        if let Ok(tool_name) = name.parse::<ToolName>() {
            // A tool that is not there is so under all rules.
            let other =
                entry.and_then(|entry| caller.deciding.difference_of_name(caller, entry, decision));
            let recorded = record_policy(caller, &tool_name, decision, other).await;
            recorded.map_err(|_| unavailable())?;
        }
        self.ended(caller, name, Some(Code::PolicyDenied), decision).await?;
        Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None))
    }

    /// Records the terminal event. No answer leaves before it is taken.
    async fn ended(
        &self,
        caller: &Asker,
        tool: &str,
        error_code: Option<Code>,
        decision: &Decision,
    ) -> Result<(), ErrorData> {
        let event = AuditEvent::ResultEmit {
            method: "tools/call",
            tool_name: tool.parse().ok(),
            status: if error_code.is_none() { ResultStatus::Ok } else { ResultStatus::Error },
            error_code,
            duration_ms: millis(self.0.clock.monotonic().saturating_sub(caller.started())),
            decision: Some(decision.effect),
            reason: Some(decision.reason.clone()),
            policy_version: Some(Arc::clone(&decision.policy_version)),
            evaluated: decision.evaluated.clone(),
            obligations: decision.obligations.clone(),
            question: caller.deciding.named(caller, tool),
        };
        caller.end(event).await.map_err(|_| unavailable())
    }

    pub(super) async fn list(&self, caller: &Asker) -> Result<ListToolsResult, ErrorData> {
        let (mut tools, mut hidden) = (Vec::<Tool>::new(), 0);
        for entry in self.0.toolbox.iter() {
            let (said, other) = caller.deciding.listed(caller, entry);
            if let (Some(other), Ok(tool)) = (other, entry.tool.name.parse()) {
                let recorded = record_difference(caller, &tool, &said, other).await;
                recorded.map_err(|Unrecorded| unavailable())?;
            }
            if said.shows_the_tool() {
                tools.push(entry.tool.clone());
            } else {
                hidden += 1;
            }
        }
        if let Some(beside) = &self.0.beside {
            let asked = beside.tools(caller, caller.presented.as_ref());
            let theirs = Steps::within(caller.steps(), asked).await.tools;
            let read = |text: Box<RawValue>| serde_json::from_str::<Tool>(text.get()).ok();
            tools.extend(theirs.into_iter().filter_map(read));
        }
        let event = AuditEvent::ToolsList {
            listed: tools.len(),
            hidden,
            policy_version: Arc::clone(caller.deciding.in_force().policy().version()),
        };
        caller.end(event).await.map_err(|_| unavailable())?;
        let mut result = ListToolsResult::with_all_items(tools);
        result.meta = Some(server_info_meta());
        // G3: a filtered list is the caller's own; a shared cache must not keep it.
        result.cache_scope = Some(CacheScope::Private);
        result.ttl_ms = Some(0);
        Ok(result)
    }

    /// Tells the caller which scopes would show it more tools.
    pub(super) fn instructions(&self, caller: &Asker) -> String {
        let decisions = self.0.toolbox.iter().map(|entry| caller.deciding.tool(caller, entry));
        let missing = decisions
            .filter(Decision::can_step_up)
            .fold(Scope::empty(), |all, decision| all.union(&decision.missing_scopes));
        let about = "Tools act with credentials that only the broker holds.";
        if missing.is_empty() {
            about.to_owned()
        } else {
            format!("{about} More tools are shown to a token with these scopes: {missing}.")
        }
    }
}

/// A field of the arguments that is not as the tool takes it (contract, error codes).
fn invalid_field(field: &str, problem: &str) -> Failure {
    let field: String =
        field.chars().filter(|character| !character.is_control()).take(64).collect();
    Failure::new(Code::InvalidField, format!("{field}: {problem}")).with("field", Some(field))
}
