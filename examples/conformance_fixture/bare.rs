//! The suite's handler as rmcp serves it, without any guard.

use std::error::Error;
use std::sync::Arc;

use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use crate::handler::{Era, Fixture};

/// Serves until it is killed; both eras, if none is named.
pub(crate) async fn serve(era: Option<&str>) -> Result<(), Box<dyn Error>> {
    let fixture = Fixture::new()?.speaking(match era {
        None => Era::Both,
        Some("2025-11-25") => Era::Old,
        Some("2026-07-28") => Era::New,
        Some(_) => return Err("the eras are 2025-11-25 and 2026-07-28".into()),
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let origins = ["http://127.0.0.1:*", "http://localhost:*"];
    let config = StreamableHttpServerConfig::default().with_allowed_origins(origins);
    let service = StreamableHttpService::new(
        move || Ok(fixture.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    println!("listening on http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await?;
    Ok(())
}
