//! A test-only MCP server for the official conformance suite: `scripts/conformance` starts it.
//!
//! It prints `listening on http://127.0.0.1:<port>/mcp` and serves until it is killed.
#![expect(clippy::print_stdout, reason = "the script reads the address from stdout")]

mod answers;
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
    let directory =
        std::env::args_os().nth(1).ok_or("name a directory for keys and the audit log")?;
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
    let app = App::build_around(config, variables, clock, random, |_ours| fixture).await?;
    println!("Token: {}", token(&app)?);
    println!("listening on http://{address}/mcp");
    let stop = Stop { drain: std::future::pending(), now: std::future::pending() };
    app.serve(listener, stop).await?;
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
