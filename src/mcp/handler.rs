//! The methods of MCP, as rmcp calls them.

use rmcp::model::{
    CallToolRequestMethod, CallToolRequestParams, CallToolResponse, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, DiscoverResult, InitializeRequestParams,
    InitializeResult, JsonObject, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, PromptsCapability,
    ResourcesCapability, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::ask_person;
use super::asker::caller;
use super::result::{implementation, server_info_meta};
use super::service::McpService;

impl ServerHandler for McpService {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder().enable_tools().build();
        // Of servers whose tools stand beside ours. Clients with a handshake are told of no changes: they would listen on the
        // stream of a session, of which there is none.
        if self.is_beside_others() {
            capabilities.prompts = Some(PromptsCapability::default());
            capabilities.resources = Some(ResourcesCapability::default());
            capabilities.completions = Some(JsonObject::new());
        }
        ServerConfig::new(capabilities).with_server_info(implementation())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut result = self.negotiate_initialize(&request)?;
        result.instructions = Some(self.instructions(&caller(&context)?));
        Ok(result)
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let mut result = DiscoverResult::from_server_info(versions, self.get_info());
        if self.tells_of_changes() {
            tell_of_changes(&mut result.capabilities);
        }
        result.instructions = Some(self.instructions(&caller(&context)?));
        Ok(result)
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // MCP server/utilities/pagination, Error Handling: the list is one page.
        if page.is_some_and(|page| page.cursor.is_some()) {
            return Err(ErrorData::invalid_params("Invalid cursor: the list is one page", None));
        }
        // Boxed as calls are.
        Box::pin(self.list(&caller(&context)?)).await
    }

    /// The whole catalogue: rmcp checks `Mcp-Param-*` headers against it before it knows who asks.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.definition(name).cloned()
    }

    /// Boxed: rmcp moves the future of a request from place to place, and this is the largest.
    fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send {
        Box::pin(self.called(request, context))
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }
}

/// What `subscriptions/listen` can be asked for here.
fn tell_of_changes(capabilities: &mut ServerCapabilities) {
    if let Some(tools) = &mut capabilities.tools {
        tools.list_changed = Some(true);
    }
    if let Some(prompts) = &mut capabilities.prompts {
        prompts.list_changed = Some(true);
    }
    if let Some(resources) = &mut capabilities.resources {
        resources.list_changed = Some(true);
        resources.subscribe = Some(true);
    }
}

impl McpService {
    async fn called(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = caller(&context)?;
        let asked_before = request.input_responses.is_some() || request.request_state.is_some();
        let mut result = tokio::select! {
            result = self.call(&caller, request) => result?,
            // The client went away: the work is dropped here, and the guard records it.
            () = context.ct.cancelled() => return Err(ErrorData::method_not_found::<CallToolRequestMethod>()),
        };
        if !asked_before
            && let Some(required) = ask_person::input_required(&result, &context, self.approvals())
        {
            caller.noted.note_asks();
            return Ok(required.with_meta(server_info_meta()).into());
        }
        result.meta = Some(server_info_meta());
        Ok(result.into())
    }
}
