//! `outbound.no_proxy`: which hosts are reached without the proxy.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// Hosts that are reached directly, and therefore under the address guard. Decided here and not by the HTTP client: what
/// the guard believes to go through the proxy must do so.
#[derive(Debug, Default)]
pub(super) struct Bypass(Vec<Exception>);

#[derive(Debug)]
enum Exception {
    Everything,
    /// A domain with all names below it.
    Domain(String),
    Network(IpNet),
}

impl Bypass {
    pub(super) fn new(no_proxy: &[String]) -> Self {
        let entries = no_proxy.iter().flat_map(|entry| entry.split(','));
        Self(entries.map(str::trim).filter(|entry| !entry.is_empty()).map(exception).collect())
    }

    pub(super) fn covers(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
            Some(Host::Domain(_)) | None => None,
        };
        let name = url.domain().unwrap_or_default().trim_end_matches('.');
        self.0.iter().any(|exception| match (exception, address) {
            (Exception::Everything, _) => true,
            (Exception::Network(network), Some(address)) => network.contains(&address),
            (Exception::Domain(domain), None) => {
                let above = name.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Exception::Network(_), None) | (Exception::Domain(_), Some(_)) => false,
        })
    }
}

fn exception(entry: &str) -> Exception {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    match (entry, bare.parse::<IpNet>(), bare.parse::<IpAddr>()) {
        ("*", _, _) => Exception::Everything,
        (_, Ok(network), _) => Exception::Network(network),
        (_, _, Ok(address)) => Exception::Network(address.to_canonical().into()),
        _ => {
            Exception::Domain(entry.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_all_below_them_addresses_and_networks_are_exceptions() {
        let list = ["Corp.example", ".dev.example, 10.0.0.0/8", "192.0.2.7", "[2001:db8::1]"];
        let bypass = Bypass::new(&list.map(str::to_owned));
        let covers = |host: &str| bypass.covers(&format!("https://{host}/").parse().unwrap());
        for direct in [
            "corp.example",
            "a.CORP.example.",
            "dev.example",
            "a.dev.example",
            "10.1.2.3",
            "0x0a000001",
            "192.0.2.7",
            "[2001:db8::1]",
        ] {
            assert!(covers(direct), "{direct}");
        }
        for proxied in ["evilcorp.example", "example", "11.0.0.1", "192.0.2.8", "[2001:db8::2]"] {
            assert!(!covers(proxied), "{proxied}");
        }
        assert!(!Bypass::default().covers(&"https://a/".parse().unwrap()));
        assert!(Bypass::new(&["*".to_owned()]).covers(&"https://a/".parse().unwrap()));
    }
}
