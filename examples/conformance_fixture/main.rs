//! A test-only MCP server for the official conformance suite: `scripts/conformance` starts it.
//!
//! `conformance_fixture FOLDER` puts the suite's handler behind the product's router, guard and settings;
//! `conformance_fixture --bare [ERA]` serves it as rmcp does, with sessions and without any guard, to stand behind the
//! broker. With an era (`2025-11-25` or `2026-07-28`) it speaks that one alone. Both print
//! `listening on http://127.0.0.1:<port>/mcp` and serve until they are killed.
#![expect(clippy::print_stdout, reason = "the script reads the address from stdout")]

mod answers;
mod bare;
mod handler;
mod mrtr;

use std::error::Error;
use std::sync::Arc;

use mcp_auth_broker::app::{self, App};
use mcp_auth_broker::authorization_server::NewAccessToken;
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::http::Stop;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{Clock, SystemClock};

/// The product's router, guard and settings, with the suite's handler in the place of ours.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().ok_or("name a directory for keys and the audit log")?;
    if directory == "--bare" {
        return bare::serve(arguments.next().as_deref().and_then(|era| era.to_str())).await;
    }
    let directory = std::path::PathBuf::from(directory);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let log = directory.join("audit.jsonl");
    let loaded = load(Sources {
        file: None,
        directory: directory.clone(),
        environment: Environment::default(),
        overrides: vec![
            format!("server.listen={address}"),
            // The suite's proxy has a port of its own.
            "server.allowed_hosts=127.0.0.1,localhost".to_owned(),
            format!("store.url=sqlite:{}/data/broker.db", directory.display()),
            format!("audit.sink=[{{ kind = \"file\", path = {:?} }}]", log.display().to_string()),
        ],
    });
    let config = loaded.config.ok_or("the development defaults have errors")?;
    let fixture = handler::Fixture::new()?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let variables = mcp_auth_broker::secret::Environment::default();
    let app =
        Box::pin(App::build_around(config, variables, clock, random, |_ours| fixture)).await?;
    println!("Token: {}", token(&app)?);
    println!("listening on http://{address}/mcp");
    let stop = Stop { drain: std::future::pending(), now: std::future::pending() };
    Box::pin(app.serve(listener, stop)).await?;
    Ok(())
}

/// A token that the guard accepts for the time the suite takes.
fn token(app: &App) -> Result<String, Box<dyn Error>> {
    let now = SystemClock.now();
    let token = NewAccessToken {
        issuer: app::issuer(app.config()).parse()?,
        audience: app::resource(app.config()),
        subject: "conformance".parse()?,
        client_id: "conformance".parse()?,
        scope: "public:read".parse()?,
        issued_at: now,
        expires_at: now.plus_seconds(3600),
    };
    let (token, _) = token.sign(&app.keys(), &SystemRandom::new())?;
    Ok(token.expose().to_owned())
}
