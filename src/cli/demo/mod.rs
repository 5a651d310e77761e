//! `broker demo`: a server with three tools, the broker in front of it, three tokens, and what to try with them.

mod toolkit;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::app::{self, App};
use crate::authorization_server::NewAccessToken;
use crate::config::{Environment, Sources, load, temporary_directory};
use crate::http::bind;
use crate::random::{Random, SystemRandom};
use crate::scope::{Scope, ScopeError};
use crate::time::{Clock, SystemClock};

use super::failure::Failure;
use super::serve::stop_signals;

/// Long enough to look around.
const LIFETIME: Duration = Duration::from_hours(1);

/// A server to try things on.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where to listen, on loopback; 0 takes a free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Print where it is and its tokens as one line of JSON, once it listens
    #[arg(long)]
    json: bool,
}

/// Who each token is for: a name and the scopes.
const TOKENS: [(&str, &str); 3] = [
    ("READER", "tools:read"),
    ("WRITER", "tools:read tools:write"),
    ("ADMIN", "tools:read tools:write tools:admin"),
];

const TRY: &str = r#"
ask() { curl -s -i RESOURCE -H "authorization: Bearer $1" -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' -d "$2"; echo; }
call() { ask "$1" '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'$2'","arguments":{"'$3'":"'$4'"}}}'; }

# A list shows what its reader may call.
ask $READER '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
ask $ADMIN '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
# tools:read is enough for the weather,
call $READER get_weather city Oslo
# but not for an e-mail: 403, and the scope to ask for (step-up).
call $READER send_email to ada@example.com
call $WRITER send_email to ada@example.com
# Deleting needs tools:admin.
call $WRITER delete_user user bob
call $ADMIN delete_user user bob
# No token: 401, and where the metadata is.
curl -s -i -X POST RESOURCE
# With an MCP client:
#   claude mcp add --transport http toolkit RESOURCE --header "Authorization: Bearer $WRITER"
"#;

/// Runs until it is told to stop. Reads no settings, and leaves nothing behind.
pub(super) async fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let scratch = Scratch::new()?;
    let mut tasks = JoinSet::new();
    let upstream = toolkit::start(&mut tasks).await?;
    let listener =
        bind(([127, 0, 0, 1], args.port).into()).await.map_err(|error| Failure::of(&error))?;
    let address = listener.local_addr().map_err(|error| Failure::of(&error))?;
    let app = Box::pin(build(&scratch.0, address, upstream)).await?;
    let stop = stop_signals()?;
    let resource = format!("http://{address}/servers/toolkit/mcp");
    let tokens = tokens(&app, &resource)?;
    let log = scratch.0.join("audit.jsonl").display().to_string();
    let told =
        if args.json { told(&tokens, &resource, &log) } else { guide(&tokens, &resource, &log) };
    write!(out, "{told}").map_err(Failure::output)?;
    out.flush().map_err(Failure::output)?;
    Box::pin(app.serve(listener, stop)).await.map_err(|error| Failure::of(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// The development defaults, with the toolkit's server behind the guard.
async fn build(
    directory: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
) -> Result<App, Failure> {
    let server = format!(
        "upstream.server=[{{ id = \"toolkit\", url = \"http://{upstream}/mcp\", tool = [\
         {{ name = \"get_weather\", scopes = [\"tools:read\"] }}, \
         {{ name = \"send_email\", scopes = [\"tools:write\"] }}, \
         {{ name = \"delete_user\", scopes = [\"tools:admin\"] }}] }}]"
    );
    let log = directory.join("audit.jsonl").display().to_string();
    let loaded = load(Sources {
        directory: directory.to_owned(),
        environment: Environment::default(),
        overrides: vec![
            format!("server.listen={address}"),
            format!("store.url=sqlite:{}/data/broker.db", directory.display()),
            format!("audit.sink=[{{ kind = \"file\", path = {log:?} }}]"),
            "outbound.allow_private=[\"127.0.0.1\"]".to_owned(),
            server,
        ],
        file: None,
    });
    let Some(config) = loaded.config.clone() else {
        return Err(super::settings::faulty(&loaded));
    };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    Box::pin(App::build(config, crate::secret::Environment::default(), clock, random))
        .await
        .map_err(|error| Failure::of(&error))
}

/// Name, scopes and token.
type Made = (&'static str, &'static str, String);

fn tokens(app: &App, resource: &str) -> Result<Vec<Made>, Failure> {
    let made =
        TOKENS.iter().map(|(name, scope)| Ok((*name, *scope, token(app, resource, name, scope)?)));
    made.collect()
}

/// The tokens as lines for a shell, and what to try.
fn guide(tokens: &[Made], resource: &str, log: &str) -> String {
    let mut text = format!(
        "# MCP Auth Broker in front of a server with three tools, at {resource}\n\
         # The audit log: {log}\n\
         # Paste into another shell. The tokens live for an hour, as long as this runs.\n\n"
    );
    for (name, _, token) in tokens {
        text.extend([name, "=", token, "\n"]);
    }
    text + &TRY.replace("RESOURCE", resource)
}

/// The same for a program, in one line.
fn told(tokens: &[Made], resource: &str, log: &str) -> String {
    let tokens: serde_json::Map<_, _> = tokens
        .iter()
        .map(|(name, scope, token)| {
            ((*name).to_owned(), json!({ "scope": scope, "access_token": token }))
        })
        .collect();
    let (lives, end) = (LIFETIME.as_secs(), '\n');
    let told = json!({
        "resource": resource, "audit_log": log, "expires_in": lives, "tokens": tokens,
    });
    format!("{told}{end}")
}

fn token(app: &App, resource: &str, name: &str, scope: &str) -> Result<String, Failure> {
    let now = SystemClock.now();
    let subject = name.to_ascii_lowercase();
    let scope: Scope = scope.parse().map_err(|error: ScopeError| Failure::of(&error))?;
    let token = NewAccessToken {
        issuer: app::issuer(app.config()).parse().map_err(|error| Failure::of(&error))?,
        audience: resource.to_owned(),
        subject: subject.parse().map_err(|error| Failure::of(&error))?,
        client_id: "broker-demo".parse().map_err(|error| Failure::of(&error))?,
        scope,
        issued_at: now,
        expires_at: now.plus(LIFETIME),
    };
    let signed = token.sign(&app.keys(), &SystemRandom::new());
    Ok(signed.map_err(|error| Failure::of(&error))?.0.expose().to_owned())
}

/// A directory that goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let random: &dyn Random = &SystemRandom::new();
        let name = format!("broker-demo-{}", random.uuid_v7(SystemClock.now()));
        let path = temporary_directory().join(name);
        std::fs::create_dir(&path).map_err(|error| Failure::of(&error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
