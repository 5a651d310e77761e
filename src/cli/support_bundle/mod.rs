//! `broker support-bundle`: one JSON file for a bug report, to be read before it is sent.
//!
//! Nothing secret gets in: settings come masked, of the audit log only counts, of the policy only its size. What is left goes
//! through [`redact`], which takes out whom and what it names.

mod redact;

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::app;
use crate::config::{Config, Environment, Loaded, findings_json, load, settings_json};
use crate::outbound::{Call, Limits};
use crate::time::{Clock as _, SystemClock};

use super::failure::Failure;
use super::running::Running;
use super::settings::{SettingsArgs, secret_variables};

/// The end of the audit log that is counted, in bytes.
const COUNTED: u64 = 16 << 20;

/// Read it before you send it: names are replaced as far as they can be known to be names.
#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// Where to write it; `-` is standard output. The file must not be there
    #[arg(long, short, value_name = "FILE", default_value = "broker-support.json")]
    out: PathBuf,
    /// Ask nobody: neither secrets nor issuers, nor Graph, nor the broker that runs
    #[arg(long)]
    offline: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// Writes the bundle. Settings that have errors are no reason to write none.
pub(super) async fn run(
    args: &BundleArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let loaded = load(settings.sources(environment));
    let mut bundle = json!({
        "about": "Made by broker support-bundle. Secrets are left out, names are replaced; read it before you send it.",
        "made_at": SystemClock.now(),
        "version": env!("CARGO_PKG_VERSION"),
        "platform": { "linux": cfg!(target_os = "linux"), "x86_64": cfg!(target_arch = "x86_64") },
        "settings": settings_of(&loaded),
        "findings": findings_json(&loaded),
    });
    if let Some(config) = &loaded.config {
        add(&mut bundle, "policy", policy(config, &loaded));
        add(&mut bundle, "store", store(config).await);
        add(&mut bundle, "audit", audit(config));
        if !args.offline {
            let found =
                app::doctor(config, secret_variables(&loaded.environment), Arc::new(SystemClock))
                    .await;
            add(&mut bundle, "doctor", json!(found));
        }
    }
    let config = loaded.config.as_ref().filter(|_| !args.offline);
    if let Some(broker) = config.and_then(|config| Running::configured(config).ok()) {
        add(&mut bundle, "health", asked(&broker, "/health").await);
        add(&mut bundle, "ready", asked(&broker, "/ready").await);
    }
    // The settings as they are before something is left out: an answer may name it, too.
    let mut redactor = redact::Redactor::new(&json!([settings_json(&loaded), &bundle]));
    redactor.redact(&mut bundle);
    write(args, &format!("{bundle:#}\n"), out)
}

fn add(bundle: &mut Value, name: &str, value: Value) {
    if let Some(members) = bundle.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Who is named in them is left out, too.
fn settings_of(loaded: &Loaded) -> Value {
    const NAMES: [&str; 7] =
        ["subjects", "groups", "client_id", "tenant_id", "username", "role_id", "scopes"];
    let mut settings = settings_json(loaded);
    for (key, line) in settings.as_object_mut().into_iter().flatten() {
        let named = NAMES.iter().any(|name| key.rsplit('.').next() == Some(name));
        if let (true, Some(members)) = (named, line.as_object_mut()) {
            members.insert("value".to_owned(), json!("[left out]"));
        }
    }
    settings
}

/// Not the rules: who may what is nobody's business but theirs.
fn policy(config: &Config, loaded: &Loaded) -> Value {
    let source = app::policy_source(config, &secret_variables(&loaded.environment));
    match source.and_then(|source| source.load()) {
        Ok((policy, shadow)) => json!({
            "version": &**policy.version(),
            "shadow": match shadow {
                Ok(shadow) => json!(shadow.map(|shadow| shadow.version().to_string())),
                Err(_) => json!("has faults, so there is none; broker check says which"),
            },
        }),
        Err(_) => json!("has faults; broker policy lint says which"),
    }
}

async fn store(config: &Config) -> Value {
    match crate::store::status(&app::store_settings(config)).await {
        Ok(status) => json!(status),
        Err(_) => json!("is not there, or does not answer"),
    }
}

/// How often each event and each error code is at the end of the log.
fn audit(config: &Config) -> Value {
    let file = config.audit.sinks.iter().find_map(|sink| match sink {
        crate::config::AuditSink::File(file) => Some(file.path.as_path()),
        crate::config::AuditSink::Stdout => None,
    });
    let Some(text) = file.and_then(end_of) else { return json!("is no file here") };
    let (mut events, mut errors) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let count = |to: &mut BTreeMap<String, u64>, place: &str| {
            if let Some(word) = event.pointer(place).and_then(Value::as_str) {
                *to.entry(word.to_owned()).or_default() += 1;
            }
        };
        count(&mut events, "/event_type");
        count(&mut errors, "/payload/error_code");
    }
    json!({ "events": events, "error_codes": errors })
}

fn end_of(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(COUNTED))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

async fn asked(broker: &Running, path: &str) -> Value {
    let limits = Limits { timeout: Duration::from_secs(3), max_bytes: 1 << 20 };
    match broker.send(Call::get(broker.below(path)), limits).await {
        Ok(answer) => serde_json::from_slice(&answer.body).unwrap_or_default(),
        Err(_) => json!("does not answer"),
    }
}

fn write(args: &BundleArgs, text: &str, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let to = args.out.as_path();
    if to == Path::new("-") {
        out.write_all(text.as_bytes()).map_err(Failure::output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let written = made.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Failure::new(format!("{} cannot be written", to.display()))
            .cause(error.to_string())
            .hint("name another file with --out; one that is there is not overwritten")
    })?;
    let told = if args.json {
        json!({ "file": to }).to_string()
    } else {
        format!("{}\nRead it before you send it.", to.display())
    };
    writeln!(out, "{told}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}
