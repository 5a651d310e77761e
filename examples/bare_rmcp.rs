//! The yardstick of `scripts/bench`: an rmcp server without any guard, as rmcp's own README writes one.
//!
//! `bare_rmcp TEXT_FILE` answers the tool `get_public_info` with that file's text and prints
//! `listening on http://127.0.0.1:<port>/mcp`. It verifies nobody: never use it for anything else.
#![expect(clippy::print_stdout, reason = "the harness reads the address from stdout")]

use std::error::Error;

use rmcp::{
    ServerHandler,
    handler::server::router::tool::ToolRouter,
    model::{CallToolResult, ContentBlock},
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};

#[derive(Debug, Clone)]
struct Bare {
    text: String,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Bare {
    #[tool(description = "Answers the public document")]
    async fn get_public_info(&self) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(self.text.clone())])
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Bare {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: bare_rmcp TEXT_FILE")?;
    let bare = Bare { text: std::fs::read_to_string(file)?, tool_router: Bare::tool_router() };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let service = StreamableHttpService::new(
        move || Ok(bare.clone()),
        NeverSessionManager::default().into(),
        config,
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await?;
    Ok(())
}
