//! The handler the official conformance suite talks to: every tool, prompt and resource it names.
#![expect(deprecated, reason = "the 2025-11-25 requirements still hold logging and subscribe")]

use std::{borrow::Cow, sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
        CompleteRequestParams, CompleteResult, GetPromptRequestParams, GetPromptResponse,
        GetPromptResult, Implementation, InputRequiredResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
        ServerCapabilities, ServerConfig, ServerNotification, ServerRequest, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{
    answers,
    mrtr::{self, Round, Seal},
};

/// Which list a `test_trigger_*` tool announced as changed.
#[derive(Debug, Clone, Copy)]
enum Changed {
    Tools,
    Prompts,
}

/// Which revisions of the protocol it speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Era {
    Both,
    /// 2025-11-25 and before.
    Old,
    /// 2026-07-28.
    New,
}

/// One handler for all requests: rmcp clones it for each.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    era: Era,
    tools: Arc<[Tool]>,
    seal: Arc<Seal>,
    changes: broadcast::Sender<Changed>,
}

/// Builds a model type from its wire form: the suite's descriptions are JSON, and rmcp's types are
/// non-exhaustive.
fn wire<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A finished result. rmcp takes `resultType` off again for older peers.
fn complete<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    if let Some(result) = value.as_object_mut() {
        result.insert("resultType".to_owned(), json!("complete"));
    }
    wire(value)
}

impl Fixture {
    pub(crate) fn new() -> Result<Self, ErrorData> {
        let tools: Vec<Tool> = serde_json::from_str(include_str!("tools.json"))
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(Self {
            era: Era::Both,
            tools: tools.into(),
            seal: Arc::new(Seal::new()),
            changes: broadcast::channel(16).0,
        })
    }

    pub(crate) fn speaking(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// Three log lines, but on the 2026-07-28 wire only for a request that set `logLevel`.
    async fn log(&self, context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
        let legacy = context.meta.protocol_version().is_none();
        if legacy || context.meta.log_level().is_some() {
            for text in
                ["Tool execution started", "Tool processing data", "Tool execution completed"]
            {
                notify(context, "notifications/message", json!({ "level": "info", "data": text }))
                    .await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(answers::text("logged"))
    }

    async fn progress(&self, context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
        for progress in [0, 50, 100] {
            if let Some(token) = context.meta.get_progress_token() {
                let params = json!({ "progressToken": token, "progress": progress, "total": 100 });
                notify(context, "notifications/progress", params).await?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(answers::text("progressed"))
    }

    fn changed(&self, what: Changed) -> Value {
        // nobody listening is no error
        drop(self.changes.send(what));
        answers::text("announced")
    }

    async fn answer(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, ErrorData> {
        let argument = |name: &str| argument(request.arguments.as_ref(), name);
        match request.name.as_ref() {
            "test_tool_with_logging" | "test_logging_tool" => self.log(context).await,
            "test_tool_with_progress" => self.progress(context).await,
            "test_trigger_tool_change" => Ok(self.changed(Changed::Tools)),
            "test_trigger_prompt_change" => Ok(self.changed(Changed::Prompts)),
            "test_missing_capability" => needs_sampling(context),
            "test_sampling" => {
                let text = json!({ "type": "text", "text": argument("prompt") });
                let params =
                    json!({ "messages": [{ "role": "user", "content": text }], "maxTokens": 100 });
                ask_client(context, "sampling/createMessage", params).await
            }
            "test_elicitation" => {
                ask_client(context, "elicitation/create", username(&argument("message"))).await
            }
            "test_elicitation_sep1034_defaults" => {
                ask_client(context, "elicitation/create", defaults()).await
            }
            "test_elicitation_sep1330_enums" => {
                ask_client(context, "elicitation/create", enums()).await
            }
            name => {
                let round = Round {
                    responses: request.input_responses.as_ref(),
                    state: request.request_state.as_deref(),
                    capabilities: context.client_capabilities().unwrap_or_default(),
                };
                mrtr::tool(name, &round, &self.seal)
                    .or_else(|| answers::tool(name).map(Ok))
                    .unwrap_or_else(|| Err(ErrorData::invalid_params("unknown tool", None)))
            }
        }
    }
}

fn argument(arguments: Option<&rmcp::model::JsonObject>, name: &str) -> String {
    arguments.and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn notify(
    context: &RequestContext<RoleServer>,
    method: &str,
    params: Value,
) -> Result<(), ErrorData> {
    let notification: ServerNotification = wire(json!({ "method": method, "params": params }))?;
    let sent = context.peer.send_notification(notification).await;
    sent.map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A request from server to client, which only a legacy session can carry. Without one the answer
/// never comes, so the wait is short.
async fn ask_client(
    context: &RequestContext<RoleServer>,
    method: &str,
    params: Value,
) -> Result<Value, ErrorData> {
    let request: ServerRequest = wire(json!({ "method": method, "params": params }))?;
    let reply =
        tokio::time::timeout(Duration::from_secs(1), context.peer.send_request(request)).await;
    match reply {
        Ok(Ok(reply)) => Ok(answers::text(&format!("The client answered {reply:?}"))),
        Ok(Err(error)) => Err(ErrorData::internal_error(error.to_string(), None)),
        Err(_) => {
            Err(ErrorData::internal_error("the client cannot be asked without a session", None))
        }
    }
}

fn needs_sampling(context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    if context.client_capabilities().unwrap_or_default().sampling.is_some() {
        return Ok(answers::text("the client can sample"));
    }
    let required: ClientCapabilities = wire(json!({ "sampling": {} }))?;
    Err(ErrorData::missing_required_client_capability(required))
}

fn username(message: &str) -> Value {
    json!({ "message": message, "requestedSchema": { "type": "object", "required": ["username", "email"],
        "properties": { "username": { "type": "string", "description": "User's response" },
                        "email": { "type": "string", "description": "User's email address" } } } })
}

fn defaults() -> Value {
    json!({ "message": "Defaults", "requestedSchema": { "type": "object", "properties": {
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true } } } })
}

fn enums() -> Value {
    let options = json!(["option1", "option2", "option3"]);
    let titled = |key: &str| json!([{ "const": key, "title": "First" }]);
    json!({ "message": "Enums", "requestedSchema": { "type": "object", "properties": {
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": { "type": "string", "oneOf": titled("value1") },
        "legacyEnum": { "type": "string", "enum": ["opt1"], "enumNames": ["Option One"] },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("value1") } } } } })
}

impl ServerHandler for Fixture {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        match self.era {
            Era::Both => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
            Era::Old => {
                let old = ProtocolVersion::KNOWN_VERSIONS.iter();
                Cow::Owned(old.filter(|version| version.has_initialize()).cloned().collect())
            }
            Era::New => Cow::Owned(vec![ProtocolVersion::LATEST]),
        }
    }

    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("conformance-fixture", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.answer(&request, &context).await?;
        if answer.get("inputRequests").is_some() {
            return Ok(wire::<InputRequiredResult>(answer)?.into());
        }
        Ok(complete::<CallToolResult>(answer)?.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        complete(answers::prompts())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == "test_input_required_result_prompt" {
            let round = Round {
                responses: request.input_responses.as_ref(),
                state: request.request_state.as_deref(),
                capabilities: context.client_capabilities().unwrap_or_default(),
            };
            let answer = mrtr::prompt(&round);
            if answer.get("inputRequests").is_some() {
                return Ok(wire::<InputRequiredResult>(answer)?.into());
            }
            return Ok(complete::<GetPromptResult>(answer)?.into());
        }
        let prompt =
            answers::prompt(&request.name, |name| argument(request.arguments.as_ref(), name))
                .ok_or_else(|| ErrorData::invalid_params("unknown prompt", None))?;
        Ok(complete::<GetPromptResult>(prompt)?.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        complete(answers::resources())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(answers::resource_templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let resource = answers::resource(&request.uri).ok_or_else(|| {
            ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": request.uri })))
        })?;
        Ok(complete::<ReadResourceResult>(resource)?.into())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        complete(
            json!({ "completion": { "values": ["paris", "park", "party"], "total": 3, "hasMore": false } }),
        )
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => {
                    // an unrequested kind and a closed stream are both refused by the sink, and neither matters here
                    drop(match change {
                        Ok(Changed::Tools) => context.sink().notify_tool_list_changed().await,
                        Ok(Changed::Prompts) => context.sink().notify_prompt_list_changed().await,
                        Err(_) => return Ok(()),
                    });
                }
            }
        }
    }
}
