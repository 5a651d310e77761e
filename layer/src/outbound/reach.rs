//! Which addresses may be connected to: the guard against server-side request forgery.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::OutboundError;
use super::lookup::Lookups;

/// A host or network that may be reached at a private address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateTarget {
    /// A host name, compared without case.
    Host(String),
    /// An address, or a network of addresses.
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

/// Which addresses may be connected to (server-side request forgery guard).
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) allowed: Vec<PrivateTarget>,
}

impl Reach {
    /// An address in the URL itself is never resolved, so it is checked here.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), OutboundError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let host = url.host_str().unwrap_or_default();
        if self.permits(host, address) {
            Ok(())
        } else {
            Err(OutboundError::PrivateAddress { host: host.to_owned() })
        }
    }

    /// What a name stands for, if every address may be reached: one that may not is a trick, whichever would be tried first.
    fn screen(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NotPublic> {
        if found.iter().all(|socket| self.permits(host, socket.ip())) {
            Ok(found)
        } else {
            Err(NotPublic)
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
    const SPECIAL: [&str; 26] = [
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
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/9",
    ];
    static NETWORKS: std::sync::LazyLock<Vec<IpNet>> =
        std::sync::LazyLock::new(|| SPECIAL.iter().filter_map(|net| net.parse().ok()).collect());
    let multicast = IpAddr::is_multicast(&address);
    let address = address.to_canonical();
    !multicast && !NETWORKS.iter().any(|network| network.contains(&address))
}

/// Marks a resolution that was refused, so that `error::classify` can tell it from a failed one.
#[derive(Debug, thiserror::Error)]
#[error("an address of this host is not public")]
pub(super) struct NotPublic;

/// Resolves with the system, once; every address must be permitted, and only those are connected to.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) reach: Arc<Reach>,
    pub(super) lookups: Arc<Lookups>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (Arc::clone(&self.reach), Arc::clone(&self.lookups));
        Box::pin(async move {
            let host = name.as_str();
            let found = lookups.find(host).await?;
            let permitted = reach.screen(host, found);
            permitted
                .map(|found| Box::new(found.into_iter()) as Addrs)
                .map_err(|refused| Box::new(refused) as Box<dyn StdError + Send + Sync>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "3fff:0fff::1",
            "5f00::1",
            "::127.0.0.1",
            "::10.0.0.1",
            "::",
            "255.255.255.255",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "20.190.128.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    // CIMD draft §6 — N95, AS-20
    #[test]
    fn a_name_with_one_private_address_among_public_ones_is_refused() {
        let reach = Reach { allowed: Vec::new() };
        let sockets = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
        };
        let public = sockets(&["1.1.1.1", "2606:4700::1111"]);
        assert_eq!(reach.screen("x.example", public.clone()).unwrap(), public);
        for private in ["127.0.0.1", "10.0.0.1", "::1", "::ffff:169.254.169.254"] {
            for mixed in [["1.1.1.1", private], [private, "1.1.1.1"]] {
                assert!(reach.screen("x.example", sockets(&mixed)).is_err(), "{mixed:?}");
            }
        }
    }
}
