//! Whether a device asks from where its person is (RFC 8628 §5.4).

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::limits::network;

/// Whence where a request came, as its person's browser sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whence {
    /// The network of this browser.
    Near,
    /// Another one.
    Afar,
    /// It cannot be told.
    Unknown,
}

impl Whence {
    /// Where it cannot be told, nothing is said that would make somebody feel safe: behind a proxy that
    /// `server.trusted_proxies` does not name, everybody comes from that proxy.
    pub(super) fn of(asked: Option<IpAddr>, (here, headers): (Option<IpAddr>, &HeaderMap)) -> Self {
        let (Some(asked), Some(here)) = (asked, here) else { return Self::Unknown };
        if is_proxy(here, headers) {
            return Self::Unknown;
        }
        if network(asked) == network(here) { Self::Near } else { Self::Afar }
    }
}

/// Whether what we take for the address of this browser may be that of a proxy: it says for whom it asks, and was not
/// believed. Who is believed has named this very address.
fn is_proxy(here: IpAddr, headers: &HeaderMap) -> bool {
    let lines = headers.get_all("x-forwarded-for").iter();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    let says = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    says && !hops.filter_map(parse).any(|named| named == here.to_canonical())
}

/// An address with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']').parse();
    let address = bare.or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(asked: &str, here: &str, sent: &[(&'static str, &str)]) -> Whence {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        Whence::of(asked.parse().ok(), (here.parse().ok(), &headers))
    }

    // RFC 8628 §5.4 — N83
    #[test]
    fn near_is_only_what_is_known_to_be_near() {
        assert_eq!(from("192.0.2.1", "192.0.2.1", &[]), Whence::Near);
        assert_eq!(from("192.0.2.1", "198.51.100.1", &[]), Whence::Afar);
        for (asked, here) in [("", ""), ("192.0.2.1", ""), ("", "192.0.2.1")] {
            assert_eq!(from(asked, here, &[]), Whence::Unknown, "{asked} {here}");
        }
    }

    // RFC 8628 §5.4 — N83
    #[test]
    fn behind_a_proxy_that_is_not_believed_nobody_is_near() {
        let proxy = "10.0.0.1";
        for sent in [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "x"), ("forwarded", "x")]
        {
            assert_eq!(from(proxy, proxy, &[sent]), Whence::Unknown, "{sent:?}");
        }
        let believed = [("x-forwarded-for", "203.0.113.9, 192.0.2.1:4711"), ("forwarded", "x")];
        assert_eq!(from("192.0.2.1", "192.0.2.1", &believed), Whence::Near);
        assert_eq!(from("198.51.100.1", "192.0.2.1", &believed), Whence::Afar);
    }
}
