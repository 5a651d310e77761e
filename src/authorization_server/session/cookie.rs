//! The cookies of a browser: its session, a log-in that is half done, and the browser itself from before anybody logged in.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::{Host, Url};

use crate::authorization_server::mark::{Marked, Marks};
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::store::Digest;
use crate::time::Timestamp;

/// What a cookie is for. The digest of a value says it too, so that none can stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieKind {
    /// Who is logged in.
    Session,
    /// The same browser as before: forms before login, logins that are under way elsewhere, devices that logged in before.
    Browser,
    /// A password that was right, until what has to follow it. Never older than that: who saw a cookie before has none.
    FirstStep,
}

impl CookieKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "broker_session",
            Self::Browser => "broker_browser",
            Self::FirstStep => "broker_first_step",
        }
    }
}

/// What nobody can guess, in a cookie. `Debug` shows nothing.
#[derive(Clone, Debug)]
pub(crate) struct CookieValue(SecretText);

impl CookieValue {
    /// 256 random bits.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// Of a new session.
    pub(super) fn of_session(marks: &Marks, random: &dyn Random, until: Timestamp) -> Self {
        let value = marks.generate(Marked::Session, random, until);
        Self(SecretText::new(value.as_str().to_owned()))
    }

    /// Whether it is a session's of ours, without asking the store.
    pub(super) fn is_marked(&self, marks: &Marks, now: Timestamp) -> bool {
        marks.is_live(Marked::Session, self.0.expose(), now)
    }

    /// The key of what is bound to this cookie.
    pub(crate) fn key(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }

    /// How the store knows it.
    pub(crate) fn digest(&self, kind: CookieKind) -> Digest {
        Digest::of(&format!("cookie|{}|{}", kind.name(), self.0.expose()))
    }
}

/// How our cookies look: `__Host-` and `Secure`, but on an http loopback address, where browsers would drop them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookies {
    /// The port of a plain-http `public_url`: cookies are shared between ports, two brokers must not mix theirs.
    plain_port: Option<u16>,
    /// The path of `public_url` as part of the name, for the same reason. `Path` itself stays `/`, as `__Host-` wants
    /// it (RFC 6265bis §4.1.3.2): it would keep nobody on this host from the cookie, its pages being of our origin.
    path: String,
}

impl Cookies {
    pub(crate) fn of(public_url: &Url) -> Self {
        let plain = public_url.scheme() == "http" && is_loopback(public_url);
        Self {
            plain_port: plain.then(|| public_url.port_or_known_default()).flatten(),
            path: public_url.path().trim_end_matches('/').replace('/', "."),
        }
    }

    fn name(&self, kind: CookieKind) -> String {
        match self.plain_port {
            None => format!("__Host-{}{}", kind.name(), self.path),
            Some(port) => format!("{}_{port}{}", kind.name(), self.path),
        }
    }

    /// The cookie of this kind; `None` where it is missing, sent twice, or not of our making.
    pub(crate) fn read(&self, kind: CookieKind, headers: &HeaderMap) -> Option<CookieValue> {
        let name = self.name(kind);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(found, _)| found.trim() == name);
        let (Some((_, value)), None) = (found.next(), found.next()) else { return None };
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let value = value.trim();
        (value.len() == 43 && value.bytes().all(ours))
            .then(|| CookieValue(SecretText::new(value.to_owned())))
    }

    /// `Set-Cookie` (RFC 6265 §4.1). Without `max_age` it goes when the browser closes.
    pub(crate) fn set(
        &self,
        kind: CookieKind,
        value: &CookieValue,
        max_age: Option<Duration>,
    ) -> HeaderValue {
        let age = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        self.line(kind, value.0.expose(), &age)
    }

    pub(crate) fn remove(&self, kind: CookieKind) -> HeaderValue {
        self.line(kind, "", "; Max-Age=0")
    }

    fn line(&self, kind: CookieKind, value: &str, age: &str) -> HeaderValue {
        let secure = if self.plain_port.is_none() { "; Secure" } else { "" };
        let name = self.name(kind);
        let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        let mut line = HeaderValue::try_from(line).unwrap_or(HeaderValue::from_static(""));
        line.set_sensitive(true);
        line
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::random::SystemRandom;

    use super::*;

    fn cookies(url: &str) -> Cookies {
        Cookies::of(&url.parse().unwrap())
    }

    fn read(url: &str, line: &str) -> Option<CookieValue> {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, line.parse().unwrap());
        cookies(url).read(CookieKind::Session, &headers)
    }

    // MCP authorization, confused deputy — CD-4
    #[test]
    fn a_session_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts() {
        let value = CookieValue::generate(&SystemRandom::new());
        let line = cookies("https://broker.example").set(CookieKind::Session, &value, None);
        let line = line.to_str().unwrap();
        assert!(line.starts_with("__Host-broker_session="), "{line}");
        assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{line}");
        assert!(read("https://broker.example", line.split(';').next().unwrap()).is_some());
    }

    #[test]
    fn only_plain_http_on_loopback_goes_without_the_prefix() {
        for (url, name) in [
            ("http://127.0.0.1:8080", "broker_session_8080"),
            ("http://localhost", "broker_session_80"),
            ("http://[::1]:9", "broker_session_9"),
            ("https://localhost:8443", "__Host-broker_session"),
            ("http://broker.internal:8080", "__Host-broker_session"),
            ("https://broker.example/one/broker/", "__Host-broker_session.one.broker"),
            ("http://127.0.0.1:8080/two", "broker_session_8080.two"),
        ] {
            assert_eq!(cookies(url).name(CookieKind::Session), name, "{url}");
        }
    }

    #[test]
    fn a_cookie_sent_twice_or_of_another_shape_is_none() {
        let value = "a".repeat(43);
        let url = "https://broker.example";
        let one = format!("__Host-broker_session={value}");
        assert!(read(url, &format!("x=1; {one}; y=2")).is_some());
        for line in [
            format!("{one}; {one}"),
            format!("{one}a"),
            format!("broker_session={value}"),
            "__Host-broker_session=".to_owned(),
            format!("__Host-broker_session={}", "é".repeat(20)),
        ] {
            assert!(read(url, &line).is_none(), "{line}");
        }
    }
}
