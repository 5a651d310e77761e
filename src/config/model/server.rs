//! `[server]`: where we listen, and under which name we are known.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::deployment::Deployment;
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::{Checker, is_loopback};
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

/// `[server]`, parsed.
#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// `https://broker.example`, or with a path of plain segments that is none of ours: `https://example.com/broker`.
    /// No query, no user. Issuer and resource are derived from it and never from `Host`.
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
    /// At the same time; more wait until one ends.
    pub max_connections: usize,
    pub max_body_bytes: usize,
    pub request_timeout: Duration,
    pub drain_pause: Duration,
    pub drain: Duration,
    pub admin_listen: Option<SocketAddr>,
}

/// A certificate chain in PEM and its private key.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: SecretSource,
    /// Who issues certificates of clients.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients are asked for one of any kind.
    pub self_signed_client_certificates: bool,
}

/// Where the broker listens, and the name it is known under.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    /// Address and port to listen on. In dev an address that is not loopback needs `server.dev_on_network`.
    pub(super) listen: String,
    /// The URL under which clients reach the broker, with a path where it shares a host with others. Issuer and resource
    /// are derived from it, never from `Host`. Unset: `http://<listen>`, with `localhost` for `0.0.0.0` and `[::]`.
    pub(super) public_url: Option<String>,
    /// Lets dev listen on an address that is not loopback, as a container must.
    pub(super) dev_on_network: bool,
    /// Ends TLS here. Unset: plain HTTP, for loopback or behind a proxy.
    pub(super) tls: Option<RawTls>,
    /// Addresses or networks of reverse proxies whose `X-Forwarded-For` is believed. `Forwarded` is not looked at.
    pub(super) trusted_proxies: Vec<String>,
    /// Values of `Host` that are accepted beside that of `server.public_url`.
    pub(super) allowed_hosts: Vec<String>,
    /// Origins of browser pages that may call the broker, beside its own.
    pub(super) allowed_origins: Vec<String>,
    /// How many connections are open at the same time. Further ones wait, unanswered, until one ends: the process may have
    /// a few more files open than this (`ulimit -n`), and twice as many where servers are behind it: each stream or call of one is
    /// a connection there, too.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_connections: u32,
    /// The largest request body.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub(super) max_body_bytes: u32,
    /// The longest that a request's body may take to arrive before it is answered with 408. What is done then has limits
    /// of its own (`graph.timeout_ms`).
    #[schemars(range(min = 100, max = 600_000))]
    pub(super) request_timeout_ms: u32,
    /// How long everything is still served after SIGTERM while `/ready` says 503, so that whoever balances load
    /// sees it; a second signal ends it. Longer than the interval between two probes is right.
    #[schemars(range(max = 60_000))]
    pub(super) drain_pause_ms: u32,
    /// How long calls may finish after that pause; a second signal cuts them off.
    #[schemars(range(max = 3600))]
    pub(super) drain_seconds: u32,
    /// Address and port of a listener for `/metrics` alone (`telemetry.metrics`). It asks for no token: only Prometheus may
    /// reach it. Unset: same listener, for administrators.
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
            max_connections: 10_000,
            max_body_bytes: 1 << 20,
            request_timeout_ms: 30_000,
            drain_pause_ms: 1_000,
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
    /// File with the certificates of who issues those of clients, PEM: clients are asked for one, and go on without if they
    /// have none (RFC 8705).
    pub(super) client_ca_file: Option<PathBuf>,
    /// Asks clients for a certificate that nobody may have issued, too: for `self_signed_tls_client_auth`. A browser in which
    /// there is any certificate then asks its person for one.
    #[serde(default)]
    pub(super) self_signed_client_certificates: bool,
}

const LISTEN: &str = "an address and a port, such as 127.0.0.1:8080 or [::]:8080";
const BASE: &str = "scheme, host, port and at most a path, such as https://broker.example or https://example.com/broker";

/// What a path of `server.public_url` must not begin with: the first segments of our own routes.
const RESERVED: [&str; 24] = [
    ".well-known",
    "account",
    "api",
    "approvals",
    "authorize",
    "consent",
    "console",
    "device",
    "device_authorization",
    "explain",
    "forward-auth",
    "health",
    "introspect",
    "login",
    "logout",
    "mcp",
    "metrics",
    "par",
    "ready",
    "register",
    "revoke",
    "servers",
    "token",
    "userinfo",
];

impl RawServer {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Server {
        let listen = listen(&at.name("listen"), &self.listen, to);
        let public_url = public_url(&at.name("public_url"), self.public_url.as_deref(), listen, to);
        let tls = self.tls.and_then(|tls| tls.parse(&at.name("tls"), to));
        let admin_listen =
            self.admin_listen.and_then(|text| to.parse(&at.name("admin_listen"), &text, LISTEN));
        let server = Server {
            listen,
            loopback_alias: loopback_alias(&public_url),
            public_url,
            dev_on_network: self.dev_on_network,
            tls,
            trusted_proxies: networks(&at.name("trusted_proxies"), &self.trusted_proxies, to),
            allowed_hosts: hosts(&at.name("allowed_hosts"), &self.allowed_hosts, to),
            allowed_origins: origins(&at.name("allowed_origins"), &self.allowed_origins, to),
            max_connections: self.max_connections as usize,
            max_body_bytes: self.max_body_bytes as usize,
            request_timeout: Duration::from_millis(self.request_timeout_ms.into()),
            drain_pause: Duration::from_millis(self.drain_pause_ms.into()),
            drain: Duration::from_secs(self.drain_seconds.into()),
            admin_listen,
        };
        server.check(at, to);
        server
    }
}

impl RawTls {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<Tls> {
        let cert = to.input(&at.name("cert"), &self.cert);
        let key = to.secret_of_the_start(&at.name("key"), &self.key)?;
        let authorities = self.client_ca_file.as_ref();
        let client_ca_file = authorities.map(|path| to.input(&at.name("client_ca_file"), path));
        let self_signed_client_certificates = self.self_signed_client_certificates;
        Some(Tls { cert, key, client_ca_file, self_signed_client_certificates })
    }
}

impl Server {
    fn check(&self, at: &Key, to: &mut Checker<'_>) {
        let key = at.name("listen");
        let exposed = !self.listen.ip().is_loopback();
        if exposed && to.deployment == Deployment::Dev && !self.dev_on_network {
            let problem =
                "is not a loopback address, and the development defaults let everybody in";
            let finding = Finding::error(FindingCode::NotAllowed, &key, problem)
                .found(format!("\"{}\"", self.listen));
            to.add(finding.allowed("a loopback address in dev").hint(
                "set server.dev_on_network = true if only you can reach it, else environment = \"prod\"",
            ));
        }
        let key = at.name("public_url");
        if self.public_url.scheme() != "https" {
            let loopback = is_loopback(&self.public_url);
            let finding = Finding::error(
                FindingCode::Weak,
                &key,
                "is not https: tokens would travel in the clear",
            );
            let finding =
                finding.found(format!("\"{}\"", text_of(&self.public_url))).allowed("https://…");
            let finding = finding.hint("set server.public_url to the https name clients use");
            if loopback || to.deployment != Deployment::Dev {
                to.weak(finding);
            } else {
                to.add(Finding { severity: crate::config::finding::Severity::Warning, ..finding });
            }
        } else if self.tls.is_none() && self.trusted_proxies.is_empty() {
            let problem = "is https, but TLS ends neither here nor at a declared proxy";
            let finding = Finding::error(FindingCode::Weak, &key, problem);
            to.weak(
                finding.hint(
                    "set server.tls, or server.trusted_proxies to the addresses of the proxy",
                ),
            );
        }
    }
}

/// Where clients reach a broker that listens there and has no `public_url`.
#[must_use]
pub fn derived_public_url(listen: SocketAddr) -> Option<Url> {
    let host = if listen.ip().is_unspecified() {
        format!("localhost:{}", listen.port())
    } else {
        listen.to_string()
    };
    Url::parse(&format!("http://{host}")).ok()
}

fn listen(key: &Key, text: &str, to: &mut Checker<'_>) -> SocketAddr {
    if let Ok(address) = text.parse() {
        return address;
    }
    let hint = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => Some(format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface")),
        Err(_) => match text.strip_prefix("localhost:") {
            Some(port) => Some(format!("write 127.0.0.1:{port}")),
            None => text
                .parse::<std::net::IpAddr>()
                .ok()
                .map(|ip| format!("write {}", SocketAddr::new(ip, 8080))),
        },
    };
    let finding = Finding::error(FindingCode::NotAllowed, key, "is no address with a port");
    let finding = finding.found(crate::config::mask::quoted(text)).allowed(LISTEN);
    to.add(match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    });
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn public_url(key: &Key, text: Option<&str>, listen: SocketAddr, to: &mut Checker<'_>) -> Url {
    text.and_then(|text| base_url(key, text, to))
        .or_else(|| derived_public_url(listen))
        .unwrap_or_else(fallback)
}

/// A path is taken off by plain comparison, so it has one spelling only; and it is none of ours, so that a request means
/// one thing whether a proxy takes it off or not.
fn base_url(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<Url> {
    let mut url = to.url(key, text, BASE)?;
    let path = url.path().trim_end_matches('/').to_owned();
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let first = segments.first().copied().unwrap_or_default();
    let problem = if url.query().is_some() {
        "has a query"
    } else if segments.iter().any(|segment| segment.is_empty() || !segment.bytes().all(plain)) {
        "has a path with other characters than letters, digits, `-`, `.`, `_` and `~`"
    } else if RESERVED.contains(&first) {
        "has a path that begins like one of the broker's own; leave the endpoint's path off"
    } else {
        url.set_path(&path);
        return Some(url);
    };
    to.refuse(key, text, problem, BASE);
    None
}

#[expect(clippy::expect_used, reason = "a constant, parsed in every test")]
fn fallback() -> Url {
    Url::parse("http://127.0.0.1:8080").expect("a constant")
}

/// `localhost` and `127.0.0.1` are one machine, and clients use either.
fn loopback_alias(public_url: &Url) -> Option<Url> {
    let other = match public_url.host_str() {
        Some("localhost") => "127.0.0.1",
        Some("127.0.0.1") => "localhost",
        _ => return None,
    };
    let mut alias = public_url.clone();
    alias.set_host(Some(other)).ok()?;
    Some(alias)
}

/// An origin as people write it, without the slash that `Url` adds.
fn text_of(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn networks(key: &Key, texts: &[String], to: &mut Checker<'_>) -> Vec<IpNet> {
    const ALLOWED: &str = "an address or a network, such as 10.0.0.0/8";
    let mut networks = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let at = to.item(key, place);
        match (text.parse::<IpNet>(), text.parse::<std::net::IpAddr>()) {
            (Ok(network), _) if network.prefix_len() == 0 => {
                to.refuse(&at, text, "believes everybody's word about who they are", ALLOWED);
            }
            (Ok(network), _) => networks.push(network),
            (_, Ok(address)) => networks.push(address.into()),
            _ => to.refuse(&at, text, "is neither an address nor a network", ALLOWED),
        }
    }
    networks
}

fn hosts(key: &Key, texts: &[String], to: &mut Checker<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let at = to.item(key, place);
        if text.contains(['*', '/', '@', ' ']) || text.parse::<http::uri::Authority>().is_err() {
            to.refuse(
                &at,
                text,
                "is no host",
                "a host with or without a port, such as broker.internal:8080; no wildcard",
            );
        } else {
            hosts.push(text.to_ascii_lowercase());
        }
    }
    hosts
}

fn origins(key: &Key, texts: &[String], to: &mut Checker<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let at = to.item(key, place);
        if let Some(url) =
            to.origin_url(&at, text, "an origin such as https://console.example; no wildcard")
        {
            origins.push(url.origin().ascii_serialization());
        }
    }
    origins
}
