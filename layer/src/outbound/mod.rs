//! The one HTTP client: every call we make has a timeout, a size limit, no redirects and an address guard.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use url::{Host, Url};

mod bypass;
mod call;
mod error;
mod incoming;
mod known;
mod lookup;
mod reach;
mod watch;

pub use call::{Answer, Call, Limits};
pub use error::{OutboundConfigError, OutboundError};
pub use incoming::Incoming;
pub use known::KnownServer;
pub use reach::{PrivateTarget, is_public};
pub use watch::{Made, Watch};

use bypass::Bypass;
use error::classify;
use lookup::Lookups;
use reach::{GuardedResolver, Reach};
use watch::Watched;

/// `[outbound]`: how we reach others.
#[derive(Clone, Debug, Default)]
pub struct OutboundSettings {
    /// An HTTP proxy for every call; which addresses may be reached is its business then.
    pub proxy: Option<Url>,
    /// Host names, domains and networks that are reached without the proxy, under the same guard as without one.
    pub no_proxy: Vec<String>,
    /// PEM certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What may be reached although its address is not public.
    pub allow_private: Vec<PrivateTarget>,
    /// How we name ourselves (RFC 9110 §10.1.5). Default: this package and its version.
    pub user_agent: Option<String>,
}

const OURSELVES: &str = concat!("mcp-auth-layer/", env!("CARGO_PKG_VERSION"));

/// The client. Cheap to clone; connections are pooled and shared.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Reaches hosts itself, under the guard.
    direct: reqwest::Client,
    proxied: Option<Proxied>,
    reach: Arc<Reach>,
    watch: Option<Arc<dyn Watch>>,
    /// What it was made of. `None`: of one known server's certificate.
    settings: Option<Arc<OutboundSettings>>,
}

/// Reaches everything but the exceptions through a proxy.
#[derive(Clone, Debug)]
struct Proxied {
    client: reqwest::Client,
    exceptions: Arc<Bypass>,
}

impl Outbound {
    /// # Errors
    ///
    /// [`OutboundConfigError`] when the proxy or the CA file is not usable.
    pub fn new(settings: &OutboundSettings) -> Result<Self, OutboundConfigError> {
        let reach = Arc::new(Reach { allowed: settings.allow_private.clone() });
        Self::made(settings, (reach, Arc::new(Lookups::new())), builder)
    }

    /// The same client with a connection for each call, so with HTTP/1.1 everywhere: over HTTP/2 all calls to one origin
    /// share one connection and its window, and an answer that nobody reads to its end stops the others. Its names are looked
    /// up apart, too: those that do not answer keep nobody from looking up others here.
    ///
    /// # Errors
    ///
    /// As for [`Outbound::new`].
    pub fn with_a_connection_for_each_call(&self) -> Result<Self, OutboundConfigError> {
        let Some(settings) = &self.settings else { return Ok(self.clone()) };
        let apart = |settings: &OutboundSettings| Ok(builder(settings)?.http1_only());
        let around = (Arc::clone(&self.reach), Arc::new(Lookups::new()));
        let made = Self::made(settings, around, apart)?;
        Ok(Self { watch: self.watch.clone(), ..made })
    }

    fn made(
        settings: &OutboundSettings,
        (reach, lookups): (Arc<Reach>, Arc<Lookups>),
        builder: impl Fn(&OutboundSettings) -> Result<reqwest::ClientBuilder, OutboundConfigError>,
    ) -> Result<Self, OutboundConfigError> {
        let resolver = GuardedResolver { reach: Arc::clone(&reach), lookups };
        let direct = builder(settings)?.dns_resolver(resolver);
        let direct = direct.build().map_err(OutboundConfigError::Client)?;
        let proxied = match &settings.proxy {
            Some(url) => {
                let proxy =
                    reqwest::Proxy::all(url.as_str()).map_err(OutboundConfigError::Proxy)?;
                // Its resolver only ever looks up the proxy.
                let client = builder(settings)?.proxy(proxy).build();
                let client = client.map_err(OutboundConfigError::Client)?;
                let exceptions = Arc::new(Bypass::new(&settings.no_proxy));
                Some(Proxied { client, exceptions })
            }
            None => None,
        };
        let settings = Some(Arc::new(settings.clone()));
        Ok(Self { direct, proxied, reach, watch: None, settings })
    }

    /// A client for one server of ours that ends TLS, at whatever address it is. It speaks HTTP/1.1, where a `Host` may be
    /// given that is not in the URL.
    ///
    /// # Errors
    ///
    /// [`OutboundConfigError`] when a certificate cannot be read.
    pub fn to_known(server: &KnownServer) -> Result<Self, OutboundConfigError> {
        let allowed = ["0.0.0.0/0", "::/0"].into_iter().flat_map(str::parse).collect();
        let direct = builder(&OutboundSettings::default())?
            .tls_backend_preconfigured(server.tls()?)
            .http1_only()
            .build()
            .map_err(OutboundConfigError::Client)?;
        let reach = Arc::new(Reach { allowed });
        Ok(Self { direct, proxied: None, reach, watch: None, settings: None })
    }

    /// The same client, whose calls `watch` is told of.
    #[must_use]
    pub fn watched_by(self, watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The same client, of whose calls nobody is told.
    #[must_use]
    pub fn unwatched(&self) -> Self {
        Self { watch: None, ..self.clone() }
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

    /// The client that reaches this URL, once the guard has let it through.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, OutboundError> {
        match &self.proxied {
            Some(proxied) if !proxied.exceptions.covers(url) => Ok(&proxied.client),
            _ => {
                self.reach.check_literal(url)?;
                Ok(&self.direct)
            }
        }
    }

    /// Makes one call. Redirects come back as they are; nothing is retried.
    ///
    /// # Errors
    ///
    /// [`OutboundError`]; an answer with an error status is an [`Answer`].
    pub async fn send(&self, call: Call, limits: Limits) -> Result<Answer, OutboundError> {
        let watched = Watched::begin(self.watch.as_ref(), &call);
        let sent = self.send_unseen(call, limits).await;
        if let Some(watched) = watched {
            watched.end(sent.as_ref().map(|answer| answer.status));
        }
        sent
    }

    async fn send_unseen(&self, call: Call, limits: Limits) -> Result<Answer, OutboundError> {
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let request = self
            .client_for(&call.url)?
            .request(call.method, call.url)
            .headers(call.headers)
            .body(reqwest::Body::from(call.body));
        match tokio::time::timeout(limits.timeout, receive(request, &host, limits)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(OutboundError::Timeout { host, limit: limits.timeout }),
        }
    }

    /// Makes one call and gives the answer's body as it comes. `timeout` is for its head. Nothing is retried.
    ///
    /// # Errors
    ///
    /// As for [`Outbound::send`].
    pub async fn open(&self, call: Call, timeout: Duration) -> Result<Incoming, OutboundError> {
        let watched = Watched::begin(self.watch.as_ref(), &call);
        let opened = self.open_unseen(call, timeout).await;
        if let Some(watched) = watched {
            watched.end(opened.as_ref().map(|incoming| incoming.status));
        }
        opened
    }

    async fn open_unseen(&self, call: Call, timeout: Duration) -> Result<Incoming, OutboundError> {
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let request = self
            .client_for(&call.url)?
            .request(call.method, call.url)
            .headers(call.headers)
            .body(reqwest::Body::from(call.body));
        match tokio::time::timeout(timeout, Incoming::open(request, &host, timeout)).await {
            Ok(incoming) => incoming,
            Err(_elapsed) => Err(OutboundError::Timeout { host, limit: timeout }),
        }
    }
}

/// What both clients have in common.
fn builder(settings: &OutboundSettings) -> Result<reqwest::ClientBuilder, OutboundConfigError> {
    #[expect(clippy::disallowed_methods, reason = "this is the door the ban points to")]
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_mins(1))
        .user_agent(settings.user_agent.as_deref().unwrap_or(OURSELVES))
        .no_proxy(); // the environment's proxy variables are not ours
    match &settings.ca_file {
        Some(path) => Ok(builder.tls_certs_merge(certificates(path)?)),
        None => Ok(builder),
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
    refuse_compressed(&headers, host)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > limits.max_bytes {
            let (host, size) = (host.to_owned(), stated_size(&headers));
            return Err(OutboundError::TooLarge { host, size, limit: limits.max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body: body.freeze() })
}

/// `Content-Length` (RFC 9110 §8.6): what the other side says, unchecked.
fn stated_size(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// We ask for nothing compressed, so that a limit of size is one of memory.
fn refuse_compressed(headers: &http::HeaderMap, host: &str) -> Result<(), OutboundError> {
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(http::header::CONTENT_ENCODING).is_some_and(|value| !identity(value)) {
        return Err(OutboundError::Compressed { host: host.to_owned() });
    }
    Ok(())
}

fn certificates(path: &PathBuf) -> Result<Vec<reqwest::Certificate>, OutboundConfigError> {
    let pem = std::fs::read(path)
        .map_err(|source| OutboundConfigError::CaFile { path: path.clone(), source })?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(OutboundConfigError::CaContent { path: path.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn client(allow: &[&str]) -> Outbound {
        let allow_private = allow.iter().filter_map(|target| target.parse().ok()).collect();
        Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() }).unwrap()
    }

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(2), max_bytes: 1024 };

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

    /// Names of others' servers, that do not answer, leave room for what the broker itself depends on.
    #[tokio::test]
    async fn names_are_looked_up_apart_for_who_has_a_connection_for_each_call() {
        let lookups = Arc::new(Lookups::without_an_answer());
        for number in 0..100 {
            drop(lookups.find(&format!("{number}.dead")).now_or_never());
        }
        let allow_private = vec!["localhost".parse().unwrap()];
        let settings = OutboundSettings { allow_private, ..OutboundSettings::default() };
        let reach = Arc::new(Reach { allowed: settings.allow_private.clone() });
        let full = Outbound::made(&settings, (reach, lookups), builder).unwrap();
        let apart = full.with_a_connection_for_each_call().unwrap();
        let listener = tokio::net::TcpListener::bind(("localhost", 0)).await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let call = || Call::get(url.parse().unwrap());
        assert!(full.send(call(), LIMITS).await.is_err(), "there is no room");
        assert!(listener.accept().now_or_never().is_none(), "nobody was reached");
        // Nobody answers it.
        let reached = tokio::select! {
            accepted = listener.accept() => accepted.is_ok(),
            _refused = apart.send(call(), LIMITS) => false,
        };
        assert!(reached);
    }

    // RFC 6890 — N94
    #[tokio::test]
    async fn what_goes_past_the_proxy_is_guarded_as_without_one() {
        let proxy = Some("http://127.0.0.1:9".parse().unwrap());
        let no_proxy = vec!["localhost".to_owned(), "10.0.0.0/8".to_owned()];
        let settings = OutboundSettings { proxy, no_proxy, ..OutboundSettings::default() };
        let client = Outbound::new(&settings).unwrap();
        for url in ["http://localhost:9/", "http://10.0.0.1:9/"] {
            let answer = client.send(Call::get(url.parse().unwrap()), LIMITS).await;
            assert!(
                matches!(answer, Err(OutboundError::PrivateAddress { .. })),
                "{url}: {answer:?}"
            );
        }
        // The rest is the proxy's business; nothing listens there.
        for url in ["http://192.168.0.1/", "http://client.example/"] {
            let answer = client.send(Call::get(url.parse().unwrap()), LIMITS).await;
            assert!(matches!(answer, Err(OutboundError::Connect { .. })), "{url}: {answer:?}");
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
