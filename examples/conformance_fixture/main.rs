//! A test-only MCP server for the official conformance suite: `scripts/conformance` starts it.
//!
//! It prints `listening on http://127.0.0.1:<port>/mcp` and serves until it is killed.
#![expect(clippy::print_stdout, reason = "the script reads the address from stdout")]

mod answers;
mod handler;
mod mrtr;

use std::error::Error;

use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let fixture = handler::Fixture::new()?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"]);
    let service = StreamableHttpService::new(
        move || Ok(fixture.clone()),
        NeverSessionManager::default().into(),
        config,
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await?;
    Ok(())
}
