//! `broker login`: a token for a terminal, whose person logs in with a browser on any machine (RFC 8628), and need not the
//! next time.

mod kept;
mod refresh;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::config::Environment;
use crate::id::ClientId;
use crate::outbound::{Answer, Call, Limits, Outbound};
use crate::resource_server::well_known_url;
use crate::scope::ScopeToken;

use super::failure::Failure;
use super::running::below;

use kept::{Identity, Place, folder};
use refresh::{Renewed, forget, keep, renew};

const ANOTHER_HOST: &str =
    "name the broker as its server.public_url has it; nothing is sent to whom it does not belong";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), max_bytes: 256 * 1024 };
/// What `slow_down` adds (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// How long to wait at most where the broker cannot be reached.
const SLOWEST: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The broker, as `server.public_url` has it [default: what the settings here say]
    #[arg(value_name = "URL", conflicts_with = "url")]
    broker: Option<Url>,
    /// The same, as other commands take it
    #[arg(long)]
    url: Option<Url>,
    /// The OAuth client that this terminal is; the settings let it use the grant `device_code`
    #[arg(long, default_value = "terminal")]
    client: ClientId,
    /// What the token is to permit [default: what the broker gives]
    #[arg(long, num_args = 1.., value_delimiter = ' ')]
    scope: Vec<ScopeToken>,
    /// The MCP server that it is for [default: the broker's own endpoint]
    #[arg(long)]
    resource: Option<Url>,
    /// Print the whole answer as JSON, with the refresh token where the client gets one; nothing is kept here then
    #[arg(long)]
    json: bool,
    /// Neither use nor keep a refresh token
    #[arg(long)]
    no_keep: bool,
    /// Instead, revoke the refresh token that is kept of a log-in with these options, and remove it
    #[arg(long, conflicts_with_all = ["json", "no_keep"])]
    forget: bool,
}

impl LoginArgs {
    /// The broker that is named.
    pub(super) fn url(&self) -> Option<&Url> {
        self.broker.as_ref().or(self.url.as_ref())
    }
}

/// RFC 9728 §2
#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    dpop_bound_access_tokens_required: bool,
}

/// RFC 8414 §2
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Url,
    device_authorization_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
}

/// RFC 8628 §3.2
#[derive(Deserialize)]
struct Device {
    #[serde(rename = "device_code")]
    code: Zeroizing<String>,
    user_code: String,
    verification_uri: Url,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: Zeroizing<String>,
}

/// Prints where to go and which code to type on `err`, then waits; the token in one line on `out`. `url` is the broker. Where
/// the log-in before is kept, nobody is asked.
pub(super) async fn run(
    (args, url, outbound): (&LoginArgs, &Url, &Outbound),
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let secure = url.scheme() == "https" || is_loopback(url);
    if !secure {
        return Err(Failure::new(format!("{url} is not https"))
            .hint("a token that travels in clear is everybody's; http is for this machine alone"));
    }
    let metadata = metadata(outbound, url).await?;
    let identity = Identity::new(url, &args.client, (args.resource.as_ref(), &args.scope));
    let folder = folder(environment).filter(|_| !args.json && !args.no_keep);
    if args.forget {
        let folder = folder.ok_or_else(|| {
            Failure::new("nothing is kept where HOME is not set")
                .hint("run it as the user, and with the HOME, of the log-in before")
        })?;
        let forgot = forget(outbound, &metadata, (&folder, &identity)).await?;
        let said = if forgot { "revoked and removed" } else { "nothing is kept of such a log-in" };
        writeln!(out, "{said}").map_err(Failure::output)?;
        return Ok(ExitCode::SUCCESS);
    }
    takes_bearer_tokens(outbound, args, url).await?;
    let renewed = match &folder {
        Some(folder) => renew(outbound, &metadata, (folder, &identity), err).await?,
        None => Renewed::LogIn,
    };
    let answer = match renewed {
        Renewed::Tokens(answer) => answer,
        Renewed::LogIn => {
            let answer = ask(outbound, (args, url), &metadata, err).await?;
            if let Some(folder) = folder {
                keep_new((folder, &identity), &answer, err);
            }
            answer
        }
    };
    print(args, &answer, out)?;
    Ok(ExitCode::SUCCESS)
}

/// A person is asked.
async fn ask(
    outbound: &Outbound,
    (args, url): (&LoginArgs, &Url),
    metadata: &Metadata,
    err: &mut dyn Write,
) -> Result<Answer, Failure> {
    let device = begin(outbound, (args, url), metadata).await?;
    let shown: String = device.user_code.chars().filter(char::is_ascii_graphic).take(32).collect();
    let uri = &device.verification_uri;
    writeln!(err, "Open {uri}\nand type   {shown}\nWaiting …").map_err(Failure::output)?;
    wait(outbound, args, (metadata, &device)).await
}

/// The token is there: that it cannot be kept is told, and takes nothing away.
fn keep_new((folder, identity): (PathBuf, &Identity), answer: &Answer, err: &mut dyn Write) {
    let place = Place::open(&folder, identity);
    let kept = place.and_then(|place| Ok(keep(&place, answer)?.then(|| place.path().to_owned())));
    let _ = match kept {
        Ok(Some(path)) => writeln!(err, "Kept for the next time: {}", path.display()),
        Ok(None) => Ok(()), // this client gets none
        Err(failure) => writeln!(err, "{failure}"),
    };
}

fn print(args: &LoginArgs, answer: &Answer, out: &mut dyn Write) -> Result<(), Failure> {
    let tokens: Tokens = read(answer, "the answer is no token")?;
    let (before, text) = if args.json {
        ("", answer.body.as_ref())
    } else {
        ("Token: ", tokens.access_token.as_bytes())
    };
    let written =
        [before.as_bytes(), text, b"\n"].into_iter().try_for_each(|part| out.write_all(part));
    written.map_err(Failure::output)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Of the issuer that was named and no other; its endpoints are on the same origin (RFC 8414 §3.3, RFC 9700 §4.4).
async fn metadata(outbound: &Outbound, url: &Url) -> Result<Metadata, Failure> {
    let at = match url.path() {
        "/" => below(url, "/.well-known/oauth-authorization-server"),
        path => {
            let mut at = url.clone();
            at.set_path(&format!(
                "/.well-known/oauth-authorization-server{}",
                path.trim_end_matches('/')
            ));
            at
        }
    };
    let answer = send(outbound, Call::get(at)).await?;
    let found: Metadata = read(&answer, "there is no broker at this URL")?;
    if found.issuer.trim_end_matches('/') != url.as_str().trim_end_matches('/') {
        return Err(Failure::new("the broker calls itself by another name")
            .hint("name it as its server.public_url does"));
    }
    let endpoints = [
        Some(&found.token_endpoint),
        found.device_authorization_endpoint.as_ref(),
        found.revocation_endpoint.as_ref(),
    ];
    if endpoints.into_iter().flatten().any(|endpoint| endpoint.origin() != url.origin()) {
        return Err(Failure::new("the broker names an endpoint on another host").hint(ANOTHER_HOST));
    }
    Ok(found)
}

/// A token that is bound to a key is of no use on a command line: said before anybody is asked. A server whose metadata
/// cannot be read says nothing of it.
async fn takes_bearer_tokens(
    outbound: &Outbound,
    args: &LoginArgs,
    url: &Url,
) -> Result<(), Failure> {
    let resource = args.resource.clone().unwrap_or_else(|| below(url, "/mcp"));
    if resource.origin() != url.origin() {
        return Ok(());
    }
    let Ok(answer) = outbound.send(Call::get(well_known_url(&resource)), LIMITS).await else {
        return Ok(());
    };
    match serde_json::from_slice(&answer.body) {
        Ok(Resource { dpop_bound_access_tokens_required: true }) => {
            Err(Failure::new(format!("{resource} takes only tokens that are bound to a key"))
                .hint("this command has no key; use a client that can do DPoP (RFC 9449)"))
        }
        _ => Ok(()),
    }
}

async fn begin(
    outbound: &Outbound,
    (args, url): (&LoginArgs, &Url),
    metadata: &Metadata,
) -> Result<Device, Failure> {
    let endpoint = metadata.device_authorization_endpoint.clone().ok_or_else(|| {
        Failure::new("no client of this broker may log in from a terminal").hint(
            "[[authorization_server.client]] client_id = \"terminal\", grants = [\"device_code\"]",
        )
    })?;
    let scope = args.scope.iter().map(ScopeToken::as_str).collect::<Vec<_>>().join(" ");
    let resource = args.resource.as_ref().map(Url::as_str).unwrap_or_default();
    let fields = [("client_id", args.client.as_str()), ("scope", &scope), ("resource", resource)];
    let answer = send(outbound, Call::post_form(endpoint, &fields)).await?;
    if !answer.status.is_success() {
        return Err(refused(&answer));
    }
    let device: Device = read(&answer, "the answer has no code")?;
    if device.verification_uri.origin() != url.origin() {
        return Err(Failure::new("the broker names a page on another host").hint(ANOTHER_HOST));
    }
    Ok(device)
}

/// Polls until somebody has answered (RFC 8628 §3.4, §3.5).
async fn wait(
    outbound: &Outbound,
    args: &LoginArgs,
    (metadata, device): (&Metadata, &Device),
) -> Result<Answer, Failure> {
    let mut interval = Duration::from_secs(device.interval.unwrap_or(5).clamp(1, 60));
    let end = tokio::time::Instant::now() + Duration::from_secs(device.expires_in.min(3600));
    let fields = [
        ("grant_type", GRANT),
        ("client_id", args.client.as_str()),
        ("device_code", device.code.as_str()),
    ];
    let mut lost = false;
    loop {
        tokio::time::sleep(interval).await;
        if tokio::time::Instant::now() >= end {
            return Err(nobody());
        }
        let call = Call::post_form(metadata.token_endpoint.clone(), &fields);
        let Ok(answer) = outbound.send(call, LIMITS).await else {
            // What does not answer now may answer the next time; it is asked less often (RFC 8628 §3.5).
            lost = true;
            interval = interval.saturating_mul(2).min(SLOWEST);
            continue;
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        match code_of(&answer).as_deref() {
            Some("authorization_pending") => {}
            Some("slow_down") => interval = interval.saturating_add(SLOWER),
            _ if answer.status.is_server_error() || answer.status.as_u16() == 429 => {}
            // What was lost was the token: a code works once, and one that comes again may be stolen.
            Some("invalid_grant") if lost => {
                return Err(Failure::new("the answer of the broker was lost")
                    .hint("nobody has the token; run it again"));
            }
            _ => return Err(refused(&answer)),
        }
    }
}

async fn send(outbound: &Outbound, call: Call) -> Result<Answer, Failure> {
    let answer = outbound.send(call, LIMITS).await;
    answer.map_err(|error| Failure::new(error.to_string()).hint(error.hint()))
}

fn read<T: for<'a> Deserialize<'a>>(answer: &Answer, otherwise: &str) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|_| {
        Failure::new(otherwise)
            .cause(format!("it answered {}", answer.status.as_u16()))
            .hint("name the broker as its server.public_url has it; what answers here is none, or of another version")
    })
}

/// A code of the protocol; what else a server wrote is not for a terminal.
fn code_of(answer: &Answer) -> Option<String> {
    let refused: Refused = serde_json::from_slice(&answer.body).ok()?;
    let plain = refused.error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    plain.then_some(refused.error)
}

fn refused(answer: &Answer) -> Failure {
    match code_of(answer).as_deref() {
        Some("access_denied") => Failure::new("the person refused")
            .hint("run it again if that was by mistake; another --scope may be what they allow"),
        Some("expired_token") => nobody(),
        Some("unauthorized_client" | "invalid_client") => Failure::new(
            "the broker does not let this client log in from a terminal",
        )
        .hint("name one with --client whose grants have device_code, and that has no secret"),
        Some(code) => Failure::new(format!("the broker refused: {code}")).hint(
            "look at --client, --scope and --resource; the broker's audit log has the request",
        ),
        None => Failure::new(format!("the broker answered {}", answer.status.as_u16()))
            .hint("is it a broker, and well? broker ready --url … says; else try again later"),
    }
}

fn nobody() -> Failure {
    Failure::new("nobody typed the code in time")
        .hint("run it again: a code is good once and for minutes")
}
