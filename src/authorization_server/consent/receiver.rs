//! Who receives the answer: what a consent page leads with, and what a consent is remembered by.

use url::Url;

use crate::authorization_server::session::is_loopback;

/// Where an answer goes (RFC 8252 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An https host: whoever has it receives the answer.
    Host(String),
    /// A loopback port: any program on the person's computer may listen there (RFC 8252 §8.3, MCP: localhost).
    ThisComputer,
    /// A private-use scheme: any app may have claimed it (RFC 8252 §7.1).
    Scheme(String),
}

/// A redirect URI as people should see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiver {
    pub(crate) place: Place,
    /// The redirect URI itself.
    pub(crate) uri: String,
    /// The place in plain words, for titles and buttons.
    pub(crate) plain: String,
    /// What a consent is kept under: the origin, `loopback`, or the scheme.
    pub(crate) class: String,
}

impl Receiver {
    /// `redirect_uri` is a registered one: it was compared before.
    pub(crate) fn of(redirect_uri: &str) -> Self {
        let uri = redirect_uri.to_owned();
        let parsed = Url::parse(redirect_uri).ok();
        match parsed {
            Some(url) if matches!(url.scheme(), "http" | "https") && is_loopback(&url) => Self {
                place: Place::ThisComputer,
                uri,
                plain: "an app on this computer".to_owned(),
                class: "loopback".to_owned(),
            },
            Some(url) if matches!(url.scheme(), "http" | "https") => {
                let host = url.host_str().unwrap_or_default();
                let host =
                    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                let class = url.origin().ascii_serialization();
                Self { plain: host.clone(), place: Place::Host(host), uri, class }
            }
            other => {
                let scheme = other.map_or_else(|| "?".to_owned(), |url| url.scheme().to_owned());
                let (plain, class) =
                    (format!("the app behind {scheme}:// links"), format!("{scheme}:"));
                Self { place: Place::Scheme(scheme), uri, plain, class }
            }
        }
    }

    /// Whether a consent may be remembered for the next time: only where nobody else can be the receiver (N102).
    pub(crate) const fn is_certain(&self) -> bool {
        matches!(self.place, Place::Host(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_host_this_computer_or_a_scheme() {
        for (uri, place, class) in [
            (
                "https://claude.ai/api/mcp/auth_callback",
                Place::Host("claude.ai".to_owned()),
                "https://claude.ai",
            ),
            (
                "https://client.example:8443/cb",
                Place::Host("client.example:8443".to_owned()),
                "https://client.example:8443",
            ),
            ("http://localhost:3118/callback", Place::ThisComputer, "loopback"),
            ("http://127.0.0.1:19876/cb", Place::ThisComputer, "loopback"),
            ("http://[::1]:1/cb", Place::ThisComputer, "loopback"),
            (
                "https://localhost.evil.example/cb",
                Place::Host("localhost.evil.example".to_owned()),
                "https://localhost.evil.example",
            ),
            (
                "cursor://anysphere.cursor-mcp/oauth/callback",
                Place::Scheme("cursor".to_owned()),
                "cursor:",
            ),
        ] {
            let receiver = Receiver::of(uri);
            assert_eq!((receiver.place, receiver.class.as_str()), (place, class), "{uri}");
        }
    }

    // N102
    #[test]
    fn only_a_host_is_certain_to_be_the_one_that_was_consented_to() {
        assert!(Receiver::of("https://claude.ai/cb").is_certain());
        assert!(!Receiver::of("http://localhost:3118/cb").is_certain());
        assert!(!Receiver::of("cursor://x/cb").is_certain());
    }

    // N93
    #[test]
    fn a_homograph_host_is_shown_as_it_is_resolved() {
        let receiver = Receiver::of("https://сlaude.ai/cb"); // a Cyrillic с
        assert_eq!(receiver.place, Place::Host("xn--laude-j3e.ai".to_owned()));
    }
}
