//! `broker client`: OAuth clients.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::admin::{ClientChange, NewClient};
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::id::ClientId;
use crate::public_jwks;
use crate::secret_text::SecretText;

use super::known_clients::{KnownArgs, run as run_known};
use super::show::{Columns, list, one};
use super::{Administration, all, failure};

const LIST: &str = "broker client list";
const COLUMNS: Columns = &[
    ("client", "client_id"),
    ("kind", "kind"),
    ("confidential", "confidential"),
    ("last used", "last_used_at"),
    ("disabled", "disabled_at"),
];

/// OAuth clients of the store. Those of the settings file are not here.
#[derive(Debug, Args)]
pub(in crate::cli) struct ClientArgs {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Register a client and print its secret, once; --public for one without
    Add(AddArgs),
    /// Change a client; what is left out stays
    Change(ChangeArgs),
    /// Take a client out, and revoke every grant and token it has
    Remove {
        client_id: ClientId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the documents that stand in for those of well-known clients whose hosts cannot be asked, or look what these publish now
    Known(KnownArgs),
    /// Print all clients
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a client, and revoke every grant it has
    Disable {
        client_id: ClientId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a disabled client in again; what was revoked stays revoked
    Enable {
        client_id: ClientId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a client a new secret and print it, once
    RotateSecret {
        client_id: ClientId,
        /// For how long the secret before is still taken; 0 where it has leaked, 30 days at most
        #[arg(long, default_value_t = 0)]
        grace_seconds: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its name, as people see it when they consent
    name: String,
    /// Where answers may be sent; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// `authorization_code`, `refresh_token`, `client_credentials`; may be repeated [default: the first two]
    #[arg(long = "grant", value_name = "TYPE")]
    grant_types: Vec<String>,
    /// The most it may get, separated by spaces; `broker:admin` only who administers the broker can pass on [default: what each person may have]
    #[arg(long, default_value = "")]
    scope: String,
    /// A program on people's machines, which can keep no secret
    #[arg(long)]
    public: bool,
    /// Its public keys, a JSON Web Key Set: it signs (`private_key_jwt`) and gets no secret
    #[arg(long, value_name = "PATH", conflicts_with_all = ["public", "jwks_uri"])]
    jwks_file: Option<PathBuf>,
    /// Where it publishes them, instead
    #[arg(long, value_name = "URL", conflicts_with = "public")]
    jwks_uri: Option<String>,
    /// Where people may be sent after they logged out for it; may be repeated
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a log-in is over in which it got something
    #[arg(long, value_name = "URL")]
    backchannel_logout_uri: Option<String>,
    #[command(flatten)]
    certificate: CertificateArgs,
    #[command(flatten)]
    demands: DemandArgs,
    /// How long a refresh token of it that was just used gets the same answer again: 0 to 120 [default: as the settings say]
    #[arg(long = "refresh-grace", value_name = "SECONDS")]
    refresh_grace_seconds: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// By which certificate it proves itself (RFC 8705), where TLS ends at the broker: it then gets no secret.
#[derive(Debug, Args)]
struct CertificateArgs {
    /// The whole subject of its certificate, as openssl x509 -noout -subject -nameopt RFC2253 prints it; this or one of the
    /// next four
    #[arg(long, value_name = "DN")]
    tls_client_auth_subject_dn: Option<String>,
    /// A host name among its alternative names
    #[arg(long, value_name = "NAME")]
    tls_client_auth_san_dns: Option<String>,
    /// A URI among them
    #[arg(long, value_name = "URI")]
    tls_client_auth_san_uri: Option<String>,
    /// An address among them
    #[arg(long, value_name = "ADDRESS")]
    tls_client_auth_san_ip: Option<String>,
    /// An e-mail address among them
    #[arg(long, value_name = "ADDRESS")]
    tls_client_auth_san_email: Option<String>,
    /// It proves itself by a certificate that is in x5c of one of its keys, instead of signing
    #[arg(long)]
    self_signed_tls_client_auth: bool,
    /// Its tokens are bound to the certificate of the connection that asks for them
    #[arg(long)]
    tls_client_certificate_bound_access_tokens: bool,
}

/// What it cannot do without, wherever it is.
#[derive(Debug, Args)]
struct DemandArgs {
    /// Its tokens are bound to a key of its own (RFC 9449)
    #[arg(long)]
    dpop_bound_access_tokens: bool,
    /// Its authorization requests have to be pushed
    #[arg(long)]
    require_pushed_authorization_requests: bool,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    client_id: ClientId,
    /// Its name, as people see it when they consent
    #[arg(long)]
    name: Option<String>,
    /// Every place where answers may be sent from now on; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// The most it may get from now on, separated by spaces; empty: what its people may have
    #[arg(long)]
    scope: Option<String>,
    /// For a client that signs: its public keys from now on
    #[arg(long, value_name = "PATH", conflicts_with = "jwks_uri")]
    jwks_file: Option<PathBuf>,
    /// For a client that signs: where it publishes them from now on
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// How long a refresh token of it that was just used gets the same answer again: 0 to 120
    #[arg(long = "refresh-grace", value_name = "SECONDS")]
    refresh_grace_seconds: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &ClientArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    if let ClientCommand::Known(args) = &args.command {
        return run_known(args, config, out).await;
    }
    let administration = Administration::open(config).await?;
    let done = match &args.command {
        ClientCommand::Known(_) => Ok(()), // about no client of the store
        ClientCommand::Add(new) => add(&administration, new, out).await,
        ClientCommand::Change(args) => change(&administration, args, out).await,
        ClientCommand::Remove { client_id, json } => {
            remove(&administration, (client_id, *json), out).await
        }
        ClientCommand::List { json } => print_all(&administration, *json, out).await,
        ClientCommand::Disable { client_id, json } => {
            disable(&administration, (client_id, *json), true, out).await
        }
        ClientCommand::Enable { client_id, json } => {
            disable(&administration, (client_id, *json), false, out).await
        }
        ClientCommand::RotateSecret { client_id, grace_seconds, json } => {
            let grace = Duration::from_secs(*grace_seconds);
            rotate(&administration, (client_id, grace), *json, out).await
        }
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn add(by: &Administration, args: &AddArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (certificate, demands) = (&args.certificate, &args.demands);
    let new = NewClient {
        client_name: args.name.clone(),
        redirect_uris: args.redirect_uris.clone(),
        grant_types: (!args.grant_types.is_empty()).then(|| args.grant_types.clone()),
        scope: args.scope.clone(),
        public: args.public,
        jwks: args.jwks_file.as_deref().map(key_set).transpose()?,
        jwks_uri: args.jwks_uri.clone(),
        refresh_grace_seconds: args.refresh_grace_seconds,
        post_logout_redirect_uris: args.post_logout_redirect_uris.clone(),
        backchannel_logout_uri: args.backchannel_logout_uri.clone(),
        tls_client_auth_subject_dn: certificate.tls_client_auth_subject_dn.clone(),
        tls_client_auth_san_dns: certificate.tls_client_auth_san_dns.clone(),
        tls_client_auth_san_uri: certificate.tls_client_auth_san_uri.clone(),
        tls_client_auth_san_ip: certificate.tls_client_auth_san_ip.clone(),
        tls_client_auth_san_email: certificate.tls_client_auth_san_email.clone(),
        self_signed_tls_client_auth: certificate.self_signed_tls_client_auth,
        tls_client_certificate_bound_access_tokens: certificate
            .tls_client_certificate_bound_access_tokens,
        dpop_bound_access_tokens: demands.dpop_bound_access_tokens,
        require_pushed_authorization_requests: demands.require_pushed_authorization_requests,
    };
    let added = by.operations.add_client(&by.actor, new).await;
    let (client, secret) = added.map_err(|error| failure(&error, LIST))?;
    let secret = secret.as_ref().map(SecretText::expose);
    let shown = secret.map(|secret| format!("\nSecret: {secret}")).unwrap_or_default();
    let lines = format!("Client: {}{shown}", client.client_id);
    one(&json!({ "client": client, "client_secret": secret }), &lines, args.json, out)
}

async fn change(
    by: &Administration,
    args: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let change = ClientChange {
        client_name: args.name.clone(),
        redirect_uris: (!args.redirect_uris.is_empty()).then(|| args.redirect_uris.clone()),
        scope: args.scope.clone(),
        jwks: args.jwks_file.as_deref().map(key_set).transpose()?,
        jwks_uri: args.jwks_uri.clone(),
        refresh_grace_seconds: args.refresh_grace_seconds,
    };
    let client = by.operations.change_client(&by.actor, &args.client_id, change).await;
    let client = client.map_err(|error| failure(&error, LIST))?;
    one(&json!(client), "the client is changed", args.json, out)
}

async fn remove(
    by: &Administration,
    (id, json): (&ClientId, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.delete_client(&by.actor, id).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "client_id": id, "removed": true });
    one(&value, "the client is removed, and its grants and tokens are revoked", json, out)
}

/// Quotes nothing of a file that is none: it may be the private half.
fn key_set(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| Failure::unreadable(&shown, &error))?;
    let no_json = |_| Failure::new(format!("{shown} is no JSON")).hint(public_jwks::ALLOWED);
    serde_json::from_slice(&text).map_err(no_json)
}

async fn print_all(by: &Administration, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let clients = all(async |page| by.operations.list_clients(&page).await).await;
    list(&clients.map_err(|error| failure(&error, LIST))?, COLUMNS, json, out)
}

async fn disable(
    by: &Administration,
    (id, json): (&ClientId, bool),
    disabled: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.disable_client(&by.actor, id, disabled).await;
    done.map_err(|error| failure(&error, LIST))?;
    let what = if disabled { "disabled" } else { "enabled" };
    let value = json!({ "client_id": id, "disabled": disabled });
    one(&value, &format!("the client is {what}"), json, out)
}

async fn rotate(
    by: &Administration,
    (id, grace): (&ClientId, Duration),
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let rotated = by.operations.rotate_client_secret(&by.actor, id, grace).await;
    let rotated = rotated.map_err(|error| failure(&error, LIST))?;
    let secret = rotated.secret.expose();
    let lines = format!("Secret: {secret}");
    one(&json!({ "client": rotated.object, "client_secret": secret }), &lines, json, out)
}
