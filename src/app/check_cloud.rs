//! A Graph cloud of one's own at an address that the broker may not call.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use crate::config::{Cloud, Config, GraphMode};
use crate::outbound::{PrivateTarget, is_public};

use super::error::AppError;

/// The URLs of `graph.custom_cloud` that name such an address. Does *not* resolve names: `--live` does.
pub(super) fn not_allowed(config: &Config) -> Vec<AppError> {
    let Cloud::Custom(cloud) = &config.graph.cloud else { return Vec::new() };
    if config.graph.mode != GraphMode::Live {
        return Vec::new();
    }
    let urls = [("login_url", &cloud.login_url), ("graph_url", &cloud.graph_url)];
    let refused = urls.into_iter().filter_map(|(setting, url)| {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let address = address(url)?;
        let allowed = config.outbound.allow_private.iter().any(|target| match target {
            PrivateTarget::Host(name) => name.eq_ignore_ascii_case(&host),
            PrivateTarget::Network(network) => network.contains(&address),
        });
        let refused = !allowed && !is_public(address);
        refused.then_some(AppError::PrivateCloud { setting, host })
    });
    refused.collect()
}

fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(IpAddr::from(address).to_canonical()),
        Host::Domain(name) => {
            name.eq_ignore_ascii_case("localhost").then_some(Ipv4Addr::LOCALHOST.into())
        }
    }
}
