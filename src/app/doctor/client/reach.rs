//! What can be known of the way to the broker from here: the addresses that this machine finds under the name.

use std::net::IpAddr;

use url::Host;

use crate::app::doctor::clients::Place;
use crate::app::doctor::lookup::{judge, look_up};
use crate::app::doctor::{Area, Step, Verdict};
use crate::outbound::is_public;

use super::{URL, Walk};

impl Walk<'_> {
    /// Whether there is a name at all, and for those that call from outside, whether they can get there.
    pub(super) async fn reachable(&mut self) -> Result<(), Step> {
        let url = &self.config.server.public_url;
        let from_outside = self.client.place == Place::MakersServers;
        if from_outside {
            let name = self.client.name;
            let found = match (url.scheme(), url.port()) {
                ("https", None) => None,
                ("https", Some(port)) => {
                    Some(format!("{name} calls port 443 alone, and not {port}"))
                }
                _ => Some(format!("{name} calls by https alone")),
            };
            if let Some(found) = found {
                return Err(unreachable(found));
            }
        }
        let addresses = self.addresses().await?;
        match addresses.into_iter().find(|address| !is_public(*address)) {
            Some(address) if from_outside => {
                let host = self.config.server.public_url.host_str().unwrap_or_default();
                Err(unreachable(format!("{host} is at {address}, where nobody comes from outside")))
            }
            _ => Ok(()),
        }
    }

    async fn addresses(&mut self) -> Result<Vec<IpAddr>, Step> {
        let url = &self.config.server.public_url;
        let host = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![address.into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![address.into()]),
            Some(Host::Domain(host)) => host.to_owned(),
            None => return Ok(Vec::new()),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let looked = look_up(&host, port, self.clock).await;
        let step = judge(Area::Client, &host, &looked);
        match step.verdict {
            Verdict::Bad if looked.addresses.is_empty() && self.config.outbound.proxy.is_some() => {
                self.without_address = Some(step);
            }
            Verdict::Bad => return Err(step),
            Verdict::Warning => self.steps.push(step),
            Verdict::Good | Verdict::Skipped => {}
        }
        Ok(looked.addresses)
    }
}

fn unreachable(found: String) -> Step {
    Step::bad(Area::Client, URL, found)
        .allowed("https, on port 443, at a public address")
        .hint("this client calls from its maker's servers; put the broker behind a proxy with a public name")
}
