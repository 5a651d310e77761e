//! Runs the simulated Graph alone, for clients that are not ours: `scripts/oracles/` drives it.
//!
//! `cargo run --example simulated_graph -- [--port N] [--public-origin URL]
//! [--certificate THUMBPRINT PUBLIC_KEY.pem] [--federated ISSUER SUBJECT PUBLIC_KEY.pem]`
//! prints its settings as one line of JSON and serves until its standard input ends.

#![expect(clippy::print_stdout, reason = "a program, not the library")]

use std::error::Error;
use std::fs::read_to_string;
use std::io::Read as _;
use std::sync::Arc;

use mcp_auth_broker::graph::simulated::{
    CLIENT_ID, Options, RESOURCE, Simulation, TENANT, TrustedKey,
};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::SystemClock;

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut next = || arguments.next().ok_or("an argument is missing");
        match flag.as_str() {
            "--port" => options.port = next()?.parse()?,
            "--public-origin" => options.public_origin = Some(next()?.parse()?),
            "--certificate" => options.trusted_keys.push(TrustedKey::Certificate {
                thumbprint: next()?,
                public_key_pem: read_to_string(next()?)?,
                ends: None,
            }),
            "--federated" => options.trusted_keys.push(TrustedKey::Federated {
                issuer: next()?,
                subject: next()?,
                public_key_pem: read_to_string(next()?)?,
            }),
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let random = Arc::new(SystemRandom::new());
    let simulation = Simulation::start_with(Arc::new(SystemClock), random, options()?).await?;
    println!(
        "{}",
        serde_json::json!({
            "origin": simulation.origin(), "tenant": TENANT, "client_id": CLIENT_ID, "resource": RESOURCE,
            "client_secret": simulation.client_secret().expose(),
        })
    );
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
