//! One layer of `scripts/bench/layers`: the server of `bare_rmcp` behind the token layer, without policy and audit.
//!
//! `verified_rmcp TEXT_FILE ISSUER AUDIENCE` takes the issuer's keys from `ISSUER/jwks.json` on loopback and prints
//! `listening on http://127.0.0.1:<port>/mcp`.
#![expect(clippy::print_stdout, reason = "the harness reads the address from stdout")]

use std::error::Error;

use mcp_auth_broker::outbound::{Outbound, OutboundSettings};
use mcp_auth_broker::resource_server::{IssuerSettings, KeySource, RequireTokenLayer, Verifier};
use rmcp::{
    ServerHandler,
    handler::server::router::tool::ToolRouter,
    model::{CallToolResult, ContentBlock},
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // as the broker has it

#[derive(Debug, Clone)]
struct Verified {
    text: String,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Verified {
    #[tool(description = "Answers the public document")]
    async fn get_public_info(&self) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(self.text.clone())])
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Verified {}

fn layer(issuer: &str, audience: &str) -> Result<RequireTokenLayer, Box<dyn Error>> {
    let keys = KeySource::Jwks { url: format!("{issuer}/jwks.json").parse()? };
    let settings = IssuerSettings::new(issuer.parse()?, vec![audience.to_owned()], keys);
    let reach = OutboundSettings {
        allow_private: vec!["127.0.0.1".parse()?],
        ..OutboundSettings::default()
    };
    let verifier = Verifier::builder().issuer(settings).outbound(Outbound::new(&reach)?).build()?;
    let metadata = "http://bench.invalid/.well-known/oauth-protected-resource/mcp".parse()?;
    Ok(RequireTokenLayer::new(verifier, &metadata))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, issuer, audience] = arguments.as_slice() else {
        return Err("usage: verified_rmcp TEXT_FILE ISSUER AUDIENCE".into());
    };
    let verified =
        Verified { text: std::fs::read_to_string(file)?, tool_router: Verified::tool_router() };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let service = StreamableHttpService::new(
        move || Ok(verified.clone()),
        NeverSessionManager::default().into(),
        config,
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}/mcp", listener.local_addr()?);
    let app = axum::Router::new().route_service("/mcp", service).layer(layer(issuer, audience)?);
    axum::serve(listener, app).await?;
    Ok(())
}
