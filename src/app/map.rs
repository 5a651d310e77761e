//! From the settings file to what each part takes. One function a part; nothing here decides anything.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditSettings, FileSettings, OnFailure, SinkSettings};
use crate::authorization_server::{Algorithms, Rates, SigningAlgorithm, SiteShares};
use crate::config::{self, AuditSink, Config, SecretSource, StoreUrl};
use crate::http::{Limits, TrustedProxies};
use crate::limits;
use crate::mcp::Toolbox;
use crate::outbound::OutboundSettings;
use crate::random::Random;
use crate::secret;
use crate::store::Database;
use crate::time::Clock;
use crate::token;

use super::error::AppError;

/// The longest that recording one event may hold up a request.
const AUDIT_LIMIT: Duration = Duration::from_secs(10);

/// Where our own files are: beside the SQLite database.
pub(super) fn data_dir(config: &Config) -> PathBuf {
    let beside = match &config.store.url {
        StoreUrl::Sqlite(path) => path.parent().map(PathBuf::from),
        StoreUrl::Postgres(_) => None,
    };
    beside.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| "broker-data".into())
}

pub(super) const fn signing_algorithm(config: &Config) -> SigningAlgorithm {
    algorithm(config.authorization_server.signing_alg)
}

pub(super) fn resource_signing_algorithms(config: &Config) -> Vec<(String, SigningAlgorithm)> {
    let given = config.authorization_server.resource_signing_alg.iter();
    given.map(|(uri, wanted)| (uri.to_string(), algorithm(*wanted))).collect()
}

/// Every one that some token of ours is signed with.
pub(super) fn signing_algorithms(config: &Config) -> Algorithms {
    let of_resources = resource_signing_algorithms(config).into_iter();
    Algorithms::new(signing_algorithm(config), of_resources.map(|(_, algorithm)| algorithm))
}

const fn algorithm(wanted: config::SigningAlg) -> SigningAlgorithm {
    match wanted {
        config::SigningAlg::ES256 => SigningAlgorithm::Es256,
        config::SigningAlg::EdDSA => SigningAlgorithm::EdDsa,
        config::SigningAlg::RS256 => SigningAlgorithm::Rs256,
    }
}

pub(super) fn token_rates(config: &Config) -> Rates {
    let given = &config.authorization_server;
    Rates { tokens: given.token_rate.map(rate), introspections: given.introspection_rate.map(rate) }
}

pub(super) const fn site_shares(config: &Config) -> SiteShares {
    let config::SiteRates { requests, logins, registrations } = config.authorization_server.sites;
    SiteShares {
        requests: rate(requests),
        logins: rate(logins),
        registrations: rate(registrations),
    }
}

pub(super) fn audit(config: &Config) -> AuditSettings {
    let sinks = config.audit.sinks.iter().map(|sink| match sink {
        AuditSink::Stdout => SinkSettings::Stdout,
        AuditSink::File(file) => SinkSettings::File(FileSettings {
            path: file.path.clone(),
            rotate_bytes: file.rotate_bytes,
            keep: file.keep,
            max_total_bytes: file.max_total_bytes,
            durable: file.durable,
            hash_chain: file.hash_chain,
        }),
    });
    AuditSettings {
        queue_length: config.audit.queue_length,
        on_failure: match config.audit.on_failure {
            config::OnFailure::Block => OnFailure::Block,
            config::OnFailure::Deny => OnFailure::Deny,
        },
        limit: AUDIT_LIMIT,
        sinks: sinks.collect(),
        service: config.telemetry.service_name.as_str().into(),
        environment: config.deployment.as_str(),
    }
}

pub(super) fn outbound(config: &Config) -> OutboundSettings {
    let config::Outbound { proxy, no_proxy, ca_file, allow_private } = config.outbound.clone();
    let user_agent = Some(concat!("mcp-auth-broker/", env!("CARGO_PKG_VERSION")).to_owned());
    OutboundSettings { proxy, no_proxy, ca_file, allow_private, user_agent }
}

/// For URLs that anybody may name.
pub(super) fn outbound_to_clients(config: &Config) -> OutboundSettings {
    let allow_private = config.authorization_server.client_metadata_private.clone();
    OutboundSettings { allow_private, ..outbound(config) }
}

pub(super) fn limits(config: &Config) -> Limits {
    let config::Server { max_connections, drain_pause, drain, .. } = config.server;
    Limits { max_connections, drain_pause, drain, ..Limits::default() }
}

pub(super) fn proxies(config: &Config) -> TrustedProxies {
    TrustedProxies(config.server.trusted_proxies.clone())
}

pub(super) fn secrets(config: &Config) -> secret::Settings {
    let one_password = match config.secrets.one_password.clone() {
        config::OnePassword::None => secret::OnePassword::None,
        config::OnePassword::Cli { op_path, token, config_dir } => {
            secret::OnePassword::Cli(secret::OnePasswordCliSettings {
                op_path,
                token: credential(token),
                config_dir,
                proxy: config.outbound.proxy.as_ref().map(|url| url.to_string().into()),
                ca_file: config.outbound.ca_file.clone(),
            })
        }
        config::OnePassword::Connect { url, token } => {
            secret::OnePassword::Connect(secret::ConnectSettings { url, token: credential(token) })
        }
    };
    let exec =
        config.secrets.exec.iter().map(|(name, exec)| {
            (name.clone(), secret::ExecSettings { command: exec.command.clone() })
        });
    secret::Settings {
        one_password,
        vault: config.secrets.vault.clone().map(vault),
        exec: exec.collect(),
        cache: config.secrets.cache,
        timeout: config.secrets.timeout,
    }
}

fn vault(vault: config::Vault) -> secret::VaultSettings {
    let auth = match vault.auth {
        config::VaultAuth::Token(token) => secret::VaultAuth::Token(credential(token)),
        config::VaultAuth::AppRole { mount, role_id, secret_id } => {
            secret::VaultAuth::AppRole { mount, role_id, secret_id: credential(secret_id) }
        }
        config::VaultAuth::Jwt { mount, role, jwt } => {
            secret::VaultAuth::Jwt { mount, role, jwt: credential(jwt) }
        }
    };
    secret::VaultSettings { address: vault.address, auth, namespace: vault.namespace }
}

fn credential(source: SecretSource) -> secret::Credential {
    match source {
        SecretSource::Literal(text) => secret::Credential::Text(text),
        SecretSource::Ref(reference) => secret::Credential::Reference(reference),
    }
}

pub(super) const fn tokens(config: &Config) -> token::Settings {
    token::Settings {
        skew: config.graph.token_skew,
        max_ttl: config.graph.token_max_ttl,
        timeout: config.graph.token_timeout,
    }
}

/// Limits of tools that there cannot be, by their place in the list.
pub(super) fn unknown_tools(config: &Config, toolbox: &Toolbox) -> Vec<(usize, AppError)> {
    let known = toolbox.names();
    let unknown = |(place, tool): (usize, &config::ToolLimit)| {
        // Which tools a server has, only the server knows; and servers come and go while the broker runs.
        let there = known.contains(&tool.name) || server_of(&tool.name).is_some();
        let (name, known) = (tool.name.clone(), known.join(", "));
        (!there).then_some((place, AppError::LimitOfNoTool { name, known }))
    };
    config.limits.tools.iter().enumerate().filter_map(unknown).collect()
}

/// The server that a tool of this name would be of, be it in the settings or registered. None has a dot in its id, or is called
/// as the first part of our own names.
pub(super) fn server_of(name: &str) -> Option<&str> {
    let (server, tool) = name.split_once('.')?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (server != "auth" && !server.is_empty() && !tool.is_empty() && server.bytes().all(legal))
        .then_some(server)
}

/// How much callers may ask.
///
/// # Errors
///
/// [`AppError::LimitOfNoTool`]: a name with a typing error would leave the tool without its limit.
pub(super) fn call_limits(
    config: &Config,
    toolbox: &Toolbox,
) -> Result<limits::Settings, AppError> {
    let of = &config.limits;
    if let Some((_, error)) = unknown_tools(config, toolbox).into_iter().next() {
        return Err(error);
    }
    let tool = |tool: &config::ToolLimit| limits::ToolLimits {
        name: tool.name.clone(),
        client: limit(tool.per_client, None, tool.on_store_failure),
        user: limit(tool.per_user, None, tool.on_store_failure),
        all: limit(tool.rate, tool.concurrency, tool.on_store_failure),
    };
    Ok(limits::Settings {
        client: limit(of.per_client, of.client_concurrency, of.client_on_store_failure),
        user: limit(of.per_user, of.user_concurrency, of.user_on_store_failure),
        tenant: limit(of.per_tenant, of.tenant_concurrency, of.tenant_on_store_failure),
        tools: of.tools.iter().map(tool).collect(),
        requests: limits::CallerLimits {
            client: limit(of.requests_per_client, None, of.client_on_store_failure),
            user: limit(of.requests_per_user, None, of.user_on_store_failure),
        },
        streams: limits::CallerLimits {
            client: limit(None, of.streams_per_client, of.client_on_store_failure),
            user: limit(None, of.streams_per_user, of.user_on_store_failure),
        },
    })
}

const fn rate(rate: config::Rate) -> limits::Rate {
    limits::Rate { count: rate.count, period: rate.period }
}

fn limit(
    rate: Option<config::Rate>,
    concurrency: Option<NonZeroU32>,
    on_store_failure: config::OnStoreFailure,
) -> limits::Limit {
    let rate = rate.map(self::rate);
    let on_store_failure = match on_store_failure {
        config::OnStoreFailure::Open => limits::OnStoreFailure::Open,
        config::OnStoreFailure::Closed => limits::OnStoreFailure::Closed,
    };
    limits::Limit { rate, concurrency, on_store_failure }
}

/// Counted over all replicas where the store is one that they share, else in this process: of an `SQLite` file there is
/// one user.
pub(super) fn limits_of(
    config: &Config,
    toolbox: &Toolbox,
    store: &Arc<dyn Database>,
    (clock, random): (&Arc<dyn Clock>, &dyn Random),
) -> Result<limits::Limits, AppError> {
    let settings = call_limits(config, toolbox)?;
    Ok(match &config.store.url {
        StoreUrl::Sqlite(_) => limits::Limits::new(&settings, clock),
        StoreUrl::Postgres(_) => {
            limits::Limits::shared(&settings, (clock, random), Arc::clone(store) as _)
        }
    })
}
