//! Who receives the answer: what a consent page leads with.

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
}

impl Receiver {
    /// `redirect_uri` is a registered one: it was compared before.
    pub(crate) fn of(redirect_uri: &str) -> Self {
        let uri = redirect_uri.to_owned();
        let parsed = Url::parse(redirect_uri).ok();
        match parsed {
            Some(url) if matches!(url.scheme(), "http" | "https") && is_this_computer(&url) => {
                Self {
                    place: Place::ThisComputer,
                    uri,
                    plain: "an app on this computer".to_owned(),
                }
            }
            Some(url) if matches!(url.scheme(), "http" | "https") => {
                let host = url.host_str().unwrap_or_default();
                let host =
                    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
                Self { plain: host.clone(), place: Place::Host(host), uri }
            }
            other => {
                let scheme = other.map_or_else(|| "?".to_owned(), |url| url.scheme().to_owned());
                let plain = format!("the app behind {scheme}:// links");
                Self { place: Place::Scheme(scheme), uri, plain }
            }
        }
    }

    /// Whether the answer leaves this computer. Anybody may register a client with such a URI and hand out links to us,
    /// so nobody is sent there who has done nothing here (RFC 9700 §4.11.2).
    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self.place, Place::Host(_))
    }

    /// Whether a consent may be remembered for the next time: only where nobody else can be the receiver, at an https
    /// host that is not this computer (N102).
    pub(crate) fn is_certain(&self) -> bool {
        let secure = Url::parse(&self.uri).is_ok_and(|url| url.scheme() == "https");
        secure && matches!(self.place, Place::Host(_))
    }
}

/// Names below `localhost` lead to this computer as well (RFC 6761 §6.3).
fn is_this_computer(url: &Url) -> bool {
    let name = url.domain().unwrap_or_default().trim_end_matches('.');
    is_loopback(url) || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_host_this_computer_or_a_scheme() {
        let host = |name: &str| Place::Host(name.to_owned());
        for (uri, place) in [
            ("https://claude.ai/api/mcp/auth_callback", host("claude.ai")),
            ("https://client.example:8443/cb", host("client.example:8443")),
            ("http://localhost:3118/callback", Place::ThisComputer),
            ("http://127.0.0.1:19876/cb", Place::ThisComputer),
            ("http://[::1]:1/cb", Place::ThisComputer),
            ("https://localhost.evil.example/cb", host("localhost.evil.example")),
            ("https://claude.ai@evil.example/cb", host("evil.example")),
            ("cursor://anysphere.cursor-mcp/cb", Place::Scheme("cursor".to_owned())),
        ] {
            assert_eq!(Receiver::of(uri).place, place, "{uri}");
        }
    }

    // N102
    #[test]
    fn only_a_host_is_certain_to_be_the_one_that_was_consented_to() {
        assert!(Receiver::of("https://claude.ai/cb").is_certain());
        for uncertain in [
            "http://localhost:3118/cb",
            "https://localhost:3118/cb",
            "https://app.localhost/cb",
            "https://localhost./cb",
            "https://127.0.0.1/cb",
            "https://[::1]/cb",
            "http://claude.ai/cb",
            "cursor://x/cb",
        ] {
            assert!(!Receiver::of(uncertain).is_certain(), "{uncertain}");
        }
    }

    // N93
    #[test]
    fn a_homograph_host_is_shown_as_it_is_resolved() {
        let receiver = Receiver::of("https://сlaude.ai/cb"); // a Cyrillic с
        assert_eq!(receiver.place, Place::Host("xn--laude-0ye.ai".to_owned()));
    }
}
