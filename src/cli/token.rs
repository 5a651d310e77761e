//! `broker token`: a token for trying things out, and what is wrong with one.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app;
use crate::audit::{AuditEvent, Context, TokenName};
use crate::authorization_server::NewAccessToken;
use crate::config::{Config, Deployment, Environment, IssuerKeys};
use crate::id::{ClientId, Issuer, RequestId, Subject, TraceId};
use crate::random::{Random, SystemRandom};
use crate::resource_server::TokenError;
use crate::scope::{Scope, ScopeToken};
use crate::secret_text::SecretText;
use crate::time::{Clock, SystemClock};

use super::failure::Failure;
use super::settings::{Ready, SettingsArgs};
use super::unverified_token;

/// The longest that the last lines of the audit log may take.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(10);

/// Access tokens.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Sign an access token for this broker; the first line is `Token: <jwt>`
    Mint(MintArgs),
    /// Say whether this broker would accept a token, and if not, which check fails
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
struct MintArgs {
    /// Who the token is about
    #[arg(long)]
    sub: Subject,
    /// What it permits; without it, nothing
    #[arg(long, num_args = 1.., value_delimiter = ' ')]
    scope: Vec<ScopeToken>,
    /// How long it lives, in hours; negative for one that has expired
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-87_600..=87_600))]
    exp_hours: Option<i64>,
    /// The OAuth client it was issued to
    #[arg(long, default_value = "broker-cli")]
    client: ClientId,
    /// Its issuer [default: this broker; with --secret the configured HS256 issuer]
    #[arg(long)]
    issuer: Option<Issuer>,
    /// The resource it is for [default: this broker's MCP endpoint]
    #[arg(long)]
    resource: Option<String>,
    /// Sign with this shared secret (HS256) instead of the broker's key
    #[arg(long)]
    secret: Option<String>,
    /// Do it in production, too
    #[arg(long)]
    i_am_sure: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// The token; `-` reads it from standard input
    #[arg(default_value = "-")]
    token: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &TokenArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match &args.command {
        TokenCommand::Mint(mint) => run_mint(mint, &settings.load(environment)?, out).await,
        TokenCommand::Inspect(inspect) => {
            Box::pin(run_inspect(inspect, settings, environment, out)).await
        }
    }
}

async fn run_mint(
    args: &MintArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let config = &ready.config;
    if config.deployment == Deployment::Prod && !args.i_am_sure {
        return Err(Failure::new("minting a token by hand is refused in prod")
            .hint("if this is an emergency, repeat it with --i-am-sure"));
    }
    let now = SystemClock.now();
    let expires_at = match args.exp_hours {
        None => now.plus(config.authorization_server.access_token_ttl),
        Some(hours) => now.plus_seconds(hours.saturating_mul(3600)),
    };
    // An expired token was issued before it expired.
    let issued_at = if expires_at < now { expires_at.plus_seconds(-60) } else { now };
    let token = NewAccessToken {
        issuer: issuer(args, config)?,
        audience: args.resource.clone().unwrap_or_else(|| app::resource(config)),
        subject: args.sub.clone(),
        client_id: args.client.clone(),
        scope: args.scope.iter().cloned().collect::<Scope>(),
        issued_at,
        expires_at,
    };
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let signed = if let Some(secret) = &args.secret {
        token.sign_shared(&SecretText::new(secret.clone()), &*random)
    } else {
        let keys = app::signing_keys(config, &ready.variables(), Arc::new(SystemClock))
            .await
            .map_err(|error| Failure::of(&error))?;
        token.sign(&keys, &*random)
    };
    let (jwt, name) = signed.map_err(|error| Failure::of(&error))?;
    record(config, &token, &name, &random).await?;
    let (jwt, audience) = (jwt.expose(), &token.audience);
    let text = if args.json {
        let said = json!({ "token": jwt, "expires_at": expires_at, "audience": audience });
        format!("{said}\n")
    } else {
        format!("Token: {jwt}\nExpires: {expires_at}\nAudience: {audience}\n")
    };
    out.write_all(text.as_bytes()).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// No token without its event, where events are kept in a file.
async fn record(
    config: &Config,
    token: &NewAccessToken,
    name: &str,
    random: &Arc<dyn Random>,
) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let auditor = app::command_auditor(config, &clock, random).await;
    let Some(auditor) = auditor.map_err(|error| Failure::of(&error))? else { return Ok(()) };
    let context = Context {
        request_id: RequestId::generate(&*clock, &**random),
        trace_id: TraceId::generate(&**random),
        requester_id: None,
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    };
    let event = AuditEvent::AdminTokenMint {
        token: TokenName(name.into()),
        subject: token.subject.clone(),
        client_id: Some(token.client_id.clone()),
        scopes: token.scope.clone(),
    };
    auditor.record(&context, event).await.map_err(|error| Failure::of(&error))?;
    auditor.close(CLOSE).await.map_err(|error| Failure::of(&error))
}

fn issuer(args: &MintArgs, config: &Config) -> Result<Issuer, Failure> {
    if let Some(issuer) = &args.issuer {
        return Ok(issuer.clone());
    }
    if args.secret.is_none() {
        return app::issuer(config).parse().map_err(|error| Failure::of(&error));
    }
    let shared = config
        .resource_server
        .issuers
        .iter()
        .filter(|issuer| matches!(issuer.keys, IssuerKeys::Secret(_)));
    match shared.collect::<Vec<_>>().as_slice() {
        [only] => Ok(only.issuer.clone()),
        [] => Err(Failure::new("no issuer with a shared secret is configured").hint(
            "name one with --issuer, or add [[resource_server.issuer]] with secret = \"env:…\"",
        )),
        _ => Err(Failure::new("several issuers with a shared secret are configured")
            .hint("name one with --issuer")),
    }
}

async fn run_inspect(
    args: &InspectArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let ready = settings.load(environment)?;
    let token = read_token(&args.token)?;
    let variables = ready.variables();
    let verifier = app::inspector(&ready.config, variables, Arc::new(SystemClock));
    let verifier = verifier.await.map_err(|error| Failure::of(&error))?;
    let verdict = verifier.verify(token.expose()).await;
    let (valid, reason) = match &verdict {
        Ok(_) => (true, "accepted".to_owned()),
        Err(refusal) => (false, explain(refusal.error())),
    };
    let claims = verdict.as_ref().ok().map(|principal| {
        json!({
            "issuer": principal.issuer(),
            "subject": principal.subject(),
            "client_id": principal.client_id(),
            "scope": principal.scopes(),
            "expires_at": principal.expires_at(),
            "token": principal.token_name(),
        })
    });
    let unverified = unverified_token::read(token.expose());
    let expected = json!({
        "iss": expected_issuers(&ready.config),
        "aud": verifier.audiences(),
    });
    let text = if args.json {
        json!({ "valid": valid, "reason": reason, "claims": claims, "unverified": unverified, "expected": expected })
            .to_string()
    } else {
        let said = unverified.iter().flatten().map(line).collect::<String>();
        let said = if said.is_empty() { "\n  no JWT".to_owned() } else { said };
        let wanted = expected.as_object().into_iter().flatten().map(line).collect::<String>();
        let verdict = if valid { "valid" } else { "not valid" };
        format!(
            "{verdict}: {reason}\nit says, and this is not checked:{said}\nthis broker takes one of:{wanted}"
        )
    };
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As JSON has it: control characters are escapes there, and steer no terminal.
fn line((name, value): (&String, &serde_json::Value)) -> String {
    format!("\n  {name:<10}{value}")
}

/// Ours, and those of `[[resource_server.issuer]]`.
fn expected_issuers(config: &Config) -> Vec<String> {
    let ours = config.authorization_server.enabled.then(|| app::issuer(config));
    let others = config.resource_server.issuers.iter().map(|issuer| issuer.issuer.to_string());
    ours.into_iter().chain(others).collect()
}

pub(super) fn read_token(argument: &str) -> Result<SecretText, Failure> {
    let mut text = argument.to_owned();
    if argument == "-" {
        text.clear();
        let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
        read.map_err(|error| Failure::of(&error))?;
    }
    let text = text.trim().trim_start_matches("Token: ").to_owned();
    if text.is_empty() {
        Err(Failure::new("there is no token").hint("broker token inspect JWT, or pipe it in"))
    } else {
        Ok(text.into())
    }
}

/// The check that failed, and where to look.
fn explain(error: TokenError) -> String {
    let hint = match error {
        TokenError::UnknownIssuer => {
            "; its iss is neither this broker nor a [[resource_server.issuer]]"
        }
        TokenError::WrongAudience => "; its aud names none of this broker's resources",
        TokenError::WrongType => "; its typ or claims are not those of an access token",
        TokenError::UnknownKey => "; its kid is none of the issuer's keys",
        _ => "",
    };
    format!("{error}{hint}")
}
