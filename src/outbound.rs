//! The one HTTP client: every call we make has a timeout, a size limit, no redirects and an address guard.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::time::Timestamp;

/// `[outbound]`: how we reach others.
#[derive(Clone, Debug, Default)]
pub struct OutboundSettings {
    /// An HTTP proxy for every call; address pinning is its business then.
    pub proxy: Option<Url>,
    /// Host names and domains that are reached without the proxy.
    pub no_proxy: Vec<String>,
    /// PEM certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What may be reached although its address is not public.
    pub allow_private: Vec<PrivateTarget>,
}

/// A host or network that may be reached at a private address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateTarget {
    /// A host name, compared without case.
    Host(String),
    Network(IpNet),
}

impl std::str::FromStr for PrivateTarget {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(network), _) => Self::Network(network),
            (_, Ok(address)) => Self::Network(address.into()),
            _ => Self::Host(text.to_ascii_lowercase()),
        })
    }
}

/// How long one call may take and how much it may answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Of the answer's body. It is never decompressed, so this bounds memory as well.
    pub max_bytes: usize,
}

/// A call to make. `Debug` shows neither headers nor body: both may hold credentials.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A form post (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn post_form(url: Url, fields: &[(&str, &str)]) -> Self {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = HeaderMap::new();
        let form = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(http::header::CONTENT_TYPE, form);
        Self { method: Method::POST, url, headers, body: body.into() }
    }

    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {})", self.method, self.url.host_str().unwrap_or_default())
    }
}

/// What came back. `Debug` shows the status only.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The first value of a header, if it is readable text.
    #[must_use]
    pub fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the other side asks us to wait: `Retry-After` (RFC 9110 §10.2.3) as seconds or a date,
    /// and as a decimal, which Microsoft Graph sends. At most an hour is believed.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(1);
        let text = self.header(&http::header::RETRY_AFTER)?.trim();
        let wait = if let Ok(seconds) = text.parse::<f64>() {
            Duration::try_from_secs_f64(seconds).ok()?
        } else {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Timestamp::from_unix_millis(date.as_millisecond()).since(now)
        };
        Some(wait.min(LONGEST))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why a call got no answer. No variant carries the URL's query, a header or a body.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("no answer from {host} within {} ms", limit.as_millis())]
    Timeout { host: String, limit: Duration },
    #[error("cannot connect to {host}")]
    Connect {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the TLS certificate or handshake of {host} was not accepted")]
    Tls {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the connection to {host} broke")]
    Broken {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge { host: String, limit: usize },
    #[error("the answer of {host} is compressed, which was not asked for")]
    Compressed { host: String },
    #[error(
        "{host} is at an address that is not public\n  hint: if that is intended, add it to outbound.allow_private"
    )]
    PrivateAddress { host: String },
}

impl OutboundError {
    /// Whether the request cannot have reached the other side's application.
    #[must_use]
    pub const fn before_sending(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::PrivateAddress { .. })
    }
}

/// Why the client cannot be made. All of it is configuration.
#[derive(Debug, thiserror::Error)]
pub enum OutboundConfigError {
    #[error("outbound.ca_file {} cannot be read", path.display())]
    CaFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("outbound.ca_file {} holds no PEM certificate", path.display())]
    CaContent { path: PathBuf },
    #[error("outbound.proxy is not a proxy URL such as http://proxy.internal:3128")]
    Proxy(#[source] reqwest::Error),
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// The client. Cheap to clone; connections are pooled and shared.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    reach: Arc<Reach>,
}

impl Outbound {
    /// # Errors
    ///
    /// [`OutboundConfigError`] when the proxy or the CA file is not usable.
    pub fn new(settings: &OutboundSettings) -> Result<Self, OutboundConfigError> {
        let reach = Arc::new(Reach {
            allowed: settings.allow_private.clone(),
            proxied: settings.proxy.is_some(),
        });
        #[expect(clippy::disallowed_methods, reason = "this is the door the ban points to")]
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_mins(1))
            .user_agent(concat!("mcp-auth-broker/", env!("CARGO_PKG_VERSION")))
            .no_proxy() // the environment's proxy variables are not ours
            .dns_resolver(GuardedResolver(Arc::clone(&reach)));
        if let Some(url) = &settings.proxy {
            let exceptions = reqwest::NoProxy::from_string(&settings.no_proxy.join(","));
            let proxy = reqwest::Proxy::all(url.as_str()).map_err(OutboundConfigError::Proxy)?;
            builder = builder.proxy(proxy.no_proxy(exceptions));
        }
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_merge(certificates(path)?);
        }
        let client = builder.build().map_err(OutboundConfigError::Client)?;
        Ok(Self { client, reach })
    }

    /// Whether an operator allowed this URL's host at a private address (`outbound.allow_private`). A name counts only
    /// where it is listed itself, an address also by its network.
    #[must_use]
    pub fn may_be_private(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
            Some(Host::Domain(_)) | None => None,
        };
        self.reach.allowed.iter().any(|target| match (target, address) {
            (PrivateTarget::Host(name), _) => name.eq_ignore_ascii_case(host),
            (PrivateTarget::Network(network), Some(address)) => network.contains(&address),
            (PrivateTarget::Network(_), None) => false,
        })
    }

    /// Makes one call. Redirects come back as they are; nothing is retried.
    ///
    /// # Errors
    ///
    /// [`OutboundError`]; an answer with an error status is an [`Answer`].
    pub async fn send(&self, call: Call, limits: Limits) -> Result<Answer, OutboundError> {
        let host = call.url.host_str().unwrap_or_default().to_owned();
        self.reach.check_literal(&call.url)?;
        let request = self
            .client
            .request(call.method, call.url)
            .headers(call.headers)
            .body(reqwest::Body::from(call.body));
        match tokio::time::timeout(limits.timeout, receive(request, &host, limits)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(OutboundError::Timeout { host, limit: limits.timeout }),
        }
    }
}

async fn receive(
    request: reqwest::RequestBuilder,
    host: &str,
    limits: Limits,
) -> Result<Answer, OutboundError> {
    let failed = |source| classify(host, limits.timeout, source);
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(http::header::CONTENT_ENCODING).is_some_and(|value| !identity(value)) {
        return Err(OutboundError::Compressed { host: host.to_owned() });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > limits.max_bytes {
            return Err(OutboundError::TooLarge { host: host.to_owned(), limit: limits.max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}

fn classify(host: &str, limit: Duration, source: reqwest::Error) -> OutboundError {
    let source = source.without_url();
    let host = host.to_owned();
    if has_cause::<NotPublic>(&source) {
        OutboundError::PrivateAddress { host }
    } else if has_cause::<rustls::Error>(&source) {
        OutboundError::Tls { host, source }
    } else if source.is_timeout() {
        OutboundError::Timeout { host, limit }
    } else if source.is_connect() {
        OutboundError::Connect { host, source }
    } else {
        OutboundError::Broken { host, source }
    }
}

/// Looks through the chain, and into the errors that `std::io::Error` hides from it.
fn has_cause<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            return has_cause::<E>(inner);
        }
        next = error.source();
    }
    false
}

fn certificates(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, OutboundConfigError> {
    let pem = std::fs::read(path)
        .map_err(|source| OutboundConfigError::CaFile { path: path.clone(), source })?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(OutboundConfigError::CaContent { path: path.clone() }),
    }
}

/// Which addresses may be connected to (server-side request forgery guard).
#[derive(Debug)]
struct Reach {
    allowed: Vec<PrivateTarget>,
    proxied: bool,
}

impl Reach {
    /// An address in the URL itself is never resolved, so it is checked here.
    fn check_literal(&self, url: &Url) -> Result<(), OutboundError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let host = url.host_str().unwrap_or_default();
        if self.proxied || self.permits(host, address) {
            Ok(())
        } else {
            Err(OutboundError::PrivateAddress { host: host.to_owned() })
        }
    }

    fn permits(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self.allowed.iter().any(|target| match target {
                PrivateTarget::Host(name) => name.eq_ignore_ascii_case(host),
                PrivateTarget::Network(network) => network.contains(&address),
            })
    }
}

/// Whether an address is meant to be reached over the internet (RFC 6890 and the registries it starts).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    const SPECIAL: [&str; 25] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/9",
    ];
    static NETWORKS: std::sync::LazyLock<Vec<IpNet>> =
        std::sync::LazyLock::new(|| SPECIAL.iter().filter_map(|net| net.parse().ok()).collect());
    let multicast = IpAddr::is_multicast(&address);
    let address = address.to_canonical();
    !multicast && !NETWORKS.iter().any(|network| network.contains(&address))
}

/// Marks a resolution that was refused, so that [`classify`] can tell it from a failed one.
#[derive(Debug, thiserror::Error)]
#[error("an address of this host is not public")]
struct NotPublic;

/// Resolves with the system, once; every address must be permitted, and only those are connected to.
#[derive(Debug)]
struct GuardedResolver(Arc<Reach>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            if !reach.proxied && !found.iter().all(|socket| reach.permits(host, socket.ip())) {
                return Err(Box::new(NotPublic) as Box<dyn StdError + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(allow: &[&str]) -> Outbound {
        let allow_private = allow.iter().filter_map(|target| target.parse().ok()).collect();
        Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() }).unwrap()
    }

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(2), max_bytes: 1024 };

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "255.255.255.255",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "20.190.128.1", "2606:4700::1111"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_decimal_and_date() {
        let now = Timestamp::from_unix_seconds(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            let status = StatusCode::TOO_MANY_REQUESTS;
            Answer { status, headers, body: Bytes::new() }.retry_after(now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0.249"), Some(Duration::from_millis(249)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:36 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(Duration::from_hours(1)));
        for bad in ["", "soon", "-1", "NaN", "1e400"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1:9/",
            "http://0x7f.1:9/",
            "http://2130706433:9/",
            "http://[::1]:9/",
            "http://localhost:9/",
        ] {
            let answer = client(&[]).send(Call::get(url.parse().unwrap()), LIMITS).await;
            assert!(
                matches!(answer, Err(OutboundError::PrivateAddress { .. })),
                "{url}: {answer:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_allowed_private_address_is_reached() {
        // Nothing listens on port 9: the guard let it through if the connection is what fails.
        for allow in ["localhost", "127.0.0.0/8", "127.0.0.1"] {
            let url =
                if allow == "localhost" { "http://localhost:9/" } else { "http://127.0.0.1:9/" };
            let networks = if allow == "localhost" { vec!["localhost"] } else { vec![allow] };
            let answer = client(&networks).send(Call::get(url.parse().unwrap()), LIMITS).await;
            assert!(matches!(answer, Err(OutboundError::Connect { .. })), "{allow}: {answer:?}");
        }
    }
}
