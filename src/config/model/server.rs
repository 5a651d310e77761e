//! `[server]`: where we listen, and under which name we are known.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::secret_source::{RawSecret, SecretSource};

/// `[server]`, parsed.
#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// An origin, `https://broker.example`: path `/`, no query, no user. Issuer and resource are derived
    /// from it and never from `Host`.
    pub public_url: Url,
    /// The other one of `localhost` and `127.0.0.1` where `public_url` is one of them.
    pub loopback_alias: Option<Url>,
    pub dev_on_network: bool,
    pub tls: Option<Tls>,
    pub trusted_proxies: Vec<IpNet>,
    /// Values of `Host` that are accepted beside that of `public_url`: `host` or `host:port`, lower case.
    pub allowed_hosts: Vec<String>,
    /// Origins of browser pages that may call us, as browsers write them (`https://console.example`).
    pub allowed_origins: Vec<String>,
    pub max_body_bytes: usize,
    pub request_timeout: Duration,
    pub drain: Duration,
    pub admin_listen: Option<SocketAddr>,
}

/// A certificate chain in PEM and its private key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: SecretSource,
}

/// Where the broker listens, and the name it is known under.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    /// Address and port to listen on. In dev an address that is not loopback needs `server.dev_on_network`.
    pub(super) listen: String,
    /// The origin under which clients reach the broker. Issuer and resource are derived from it, never from
    /// `Host`. Unset: `http://<listen>`, with `localhost` for `0.0.0.0` and `[::]`.
    pub(super) public_url: Option<String>,
    /// Lets dev listen on an address that is not loopback, as a container must.
    pub(super) dev_on_network: bool,
    /// Ends TLS here. Unset: plain HTTP, for loopback or behind a proxy.
    pub(super) tls: Option<RawTls>,
    /// Addresses or networks of reverse proxies whose `Forwarded` and `X-Forwarded-For` are believed.
    pub(super) trusted_proxies: Vec<String>,
    /// Values of `Host` that are accepted beside that of `server.public_url`.
    pub(super) allowed_hosts: Vec<String>,
    /// Origins of browser pages that may call the broker, beside its own.
    pub(super) allowed_origins: Vec<String>,
    /// The largest request body.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub(super) max_body_bytes: u32,
    /// The longest that a request may take before it is answered with 503.
    #[schemars(range(min = 100, max = 600_000))]
    pub(super) request_timeout_ms: u32,
    /// How long calls may finish after SIGTERM.
    #[schemars(range(max = 3600))]
    pub(super) drain_seconds: u32,
    /// Address and port of a listener for metrics alone. Unset: same listener, for administrators.
    pub(super) admin_listen: Option<String>,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            dev_on_network: false,
            tls: None,
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: 1 << 20,
            request_timeout_ms: 30_000,
            drain_seconds: 20,
            admin_listen: None,
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    /// File with the certificate chain, PEM, our own certificate first.
    pub(super) cert: PathBuf,
    /// The private key, PEM.
    pub(super) key: RawSecret,
}
