//! Runs the fake Connect server of the tests by itself, for a client that is not ours
//! (`scripts/oracles/connect-client.mjs`). Prints its URL and token; ends when stdin closes.

#[expect(dead_code, clippy::expect_used, reason = "it is a part of the tests, which use the rest")]
#[path = "../tests/it/support/fake_connect.rs"]
mod fake_connect;

use std::io::{Read, Write};

use fake_connect::{FakeConnect, TOKEN};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let server = FakeConnect::start().await;
    writeln!(std::io::stdout(), "{}\n{TOKEN}", server.url())?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await?.map(drop)
}
