//! An axum server whose routes and tools need scopes.
//!
//! ```sh
//! cargo run -p mcp-auth-layer --example axum_server -- http://127.0.0.1:8080 127.0.0.1:3000
//! ```
//!
//! The first argument is the authorization server, the second where to listen.

use std::error::Error;

use axum::routing::{get, post};
use axum::{Extension, Router};
use mcp_auth_layer::outbound::OutboundSettings;
use mcp_auth_layer::{Principal, ProtectedResource};
use tokio::net::TcpListener;

/// Everything needs `files:read`, writing also `files:write`; the tools of `/mcp` each what they name.
pub(crate) fn app(issuer: &str, resource: &str) -> Result<Router, Box<dyn Error>> {
    // The first two are all that a server on the public internet needs.
    let allow_private = vec!["127.0.0.1".parse()?];
    let resource = ProtectedResource::builder(resource.parse()?)
        .authorization_server(issuer)
        .scope("files:read")
        .tool("list_files", "files:read")
        .tool("delete_file", "files:delete")
        .outbound(OutboundSettings { allow_private, ..OutboundSettings::default() })
        .build()?;
    Ok(Router::new()
        .route("/files", get(read).merge(post(write).layer(resource.require("files:write")?)))
        .route("/mcp", post(mcp).layer(resource.tool_layer()))
        .layer(resource.layer()))
}

async fn read(Extension(caller): Extension<Principal>) -> String {
    format!("the files that {} may see\n", name(&caller))
}

async fn write(Extension(caller): Extension<Principal>) -> String {
    format!("written by {}\n", name(&caller))
}

/// Stands for an MCP server, such as rmcp's.
async fn mcp(message: String) -> String {
    message
}

fn name(caller: &Principal) -> &str {
    caller.subject().map_or("somebody", |subject| subject.as_str())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    axum::serve(listener, app(&issuer, &format!("http://{address}/mcp"))?).await?;
    Ok(())
}
