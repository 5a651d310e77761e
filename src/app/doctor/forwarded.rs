//! Whether the broker tells clients apart behind what is in front of it: `X-Forwarded-For`, and whose is believed.
//!
//! Limits for strangers and the addresses of the audit log hang on it, and no answer shows it: so a request that claims to be
//! somewhere else is looked up in the log.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use crate::audit::lookup_at_end;
use crate::config::{AuditSink, Config};
use crate::id::RequestId;
use crate::outbound::Answer;

use super::{Area, Step};

const KEY: &str = "server.trusted_proxies";
/// Where the request says that it comes from: an address of documentation (RFC 5737), which is nobody's.
pub(super) const CLAIMED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `answer` is the refusal of a request that came with [`FORWARDED_FOR`].
pub(super) async fn look(config: &Config, answer: &Answer) -> Step {
    let Some(id) = answer.header(&REQUEST_ID).and_then(|id| id.parse().ok()) else {
        let why = "whose address a request has is not known: X-Request-Id does not come back";
        return Step::skipped(Area::ProxyHeaders, why);
    };
    let Some(seen) = recorded(config, id).await else {
        let why = "whose address a request has is not known: it is in no file of an audit log here";
        return Step::skipped(Area::ProxyHeaders, why);
    };
    judge(&config.server.trusted_proxies, seen, &ours(config).await)
}

/// The address that the log has of that request; it is written a moment after the answer.
async fn recorded(config: &Config, id: RequestId) -> Option<IpAddr> {
    const TRIES: u32 = 10;
    let file = config.audit.sinks.iter().find_map(|sink| match sink {
        AuditSink::File(file) => Some(file.path.clone()),
        AuditSink::Stdout => None,
    })?;
    for _ in 0..TRIES {
        let found = lookup_at_end(&file, id).ok()?;
        if let Some(line) = found.lines.first() {
            let event: Value = serde_json::from_str(line).ok()?;
            return event.pointer("/payload/client_address")?.as_str()?.parse().ok();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// The addresses that this machine has on its ways to the public name. Nothing is sent.
async fn ours(config: &Config) -> Vec<IpAddr> {
    let url = &config.server.public_url;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return Vec::new() };
    let local = found.filter_map(|there| {
        let any: IpAddr = if there.is_ipv4() { [0_u8; 4].into() } else { [0_u8; 16].into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip().to_canonical())
    });
    local.collect()
}

fn judge(trusted: &[IpNet], seen: IpAddr, ours: &[IpAddr]) -> Step {
    let trusts = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if seen == CLAIMED {
        if ours.iter().any(trusts) {
            let why = "whose address a request has cannot be told from here: this machine is one of server.trusted_proxies";
            return Step::skipped(Area::ProxyHeaders, why);
        }
        let found = "a client is believed where it says that it is: its X-Forwarded-For counts";
        return Step::bad(Area::ProxyHeaders, KEY, found)
            .allowed("the address of its connection")
            .hint("let the proxy write X-Forwarded-For anew, or add the address to it; server.trusted_proxies names proxies alone, and no network that clients are in");
    }
    if trusts(&seen) && !ours.contains(&seen) {
        let found = format!("the broker takes {seen}, a trusted proxy, for the client");
        return Step::warning(Area::ProxyHeaders, KEY, found)
            .allowed("the address of the client")
            .hint("let the proxy send X-Forwarded-For: without it all clients share one limit, and the audit log has the proxy's address");
    }
    if trusted.is_empty() && !ours.is_empty() && !ours.contains(&seen) {
        let found = format!("the broker takes {seen} for the client, and no proxy is trusted");
        return Step::warning(Area::ProxyHeaders, KEY, found)
            .allowed("the address of the client")
            .hint("where that is a proxy, name it: otherwise all clients share one limit, and the audit log has the proxy's address");
    }
    Step::good(
        Area::ProxyHeaders,
        format!("the broker takes {seen} for the address of this request, whatever it claims"),
    )
}

#[cfg(test)]
mod tests {
    use crate::app::doctor::Verdict;

    use super::*;

    #[test]
    fn an_address_is_judged_by_who_is_trusted_and_where_this_machine_is() {
        let judged = |trusted: &str, seen: &str, ours: &str| {
            let trusted: Vec<IpNet> = trusted.parse().into_iter().collect();
            judge(&trusted, seen.parse().unwrap(), &[ours.parse().unwrap()]).verdict
        };
        let (proxy, here) = ("10.0.0.9", "198.51.100.7");
        assert_eq!(judged("10.0.0.0/8", here, here), Verdict::Good);
        assert_eq!(judged("", here, here), Verdict::Good);
        // Another address of this machine's, as behind a translation of addresses.
        assert_eq!(judged("10.0.0.0/8", "203.0.113.5", here), Verdict::Good);
        assert_eq!(judged("", proxy, here), Verdict::Warning);
        assert_eq!(judged("10.0.0.0/8", proxy, here), Verdict::Warning);
        assert_eq!(judged("10.0.0.0/8", "192.0.2.1", here), Verdict::Bad);
        assert_eq!(judged("10.0.0.0/8", "192.0.2.1", "10.1.2.3"), Verdict::Skipped);
        assert_eq!(judged("10.0.0.0/8", "10.1.2.3", "10.1.2.3"), Verdict::Good);
    }
}
