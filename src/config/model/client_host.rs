//! `[[authorization_server.client_host]]`: which hosts may vouch for clients by the metadata documents that they publish.

use schemars::JsonSchema;
use serde::Deserialize;

use super::authorization_server::{ClientMetadataDocuments, parse_each};
use super::registered_client::ClientKeys;
use super::root::Config;
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::config::mask::quoted;
use crate::host_trust::{HostPattern, HostRule, HostTrust, HostTrusts};
use crate::outbound::PrivateTarget;

/// How far a host is trusted that publishes metadata documents of clients. The first table that means a host counts, before
/// `client_metadata_documents`, which is for hosts that none means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClientHost {
    /// A host such as `claude.ai`, or `*.contoso.example`: every host below `contoso.example`, but not itself.
    pub(super) host: String,
    /// What becomes of its clients. `allow`: people see that the host publishes the client, and what they allowed a web
    /// server is not asked again. `ask`: they are asked every time, and told that nobody has approved the host. `deny`: each
    /// request is refused, also for new tokens of what was allowed before, and the host is never asked for a document, or for
    /// the keys (`jwks_uri`) of any client.
    pub(super) trust: HostTrust,
}

const HOST: &str = "a host such as claude.ai, or *.contoso.example for all below one";

impl RawClientHost {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<(Key, HostRule)> {
        let key = at.name("host");
        let hosts = to.parse(&key, &self.host, HOST)?;
        Some((key, HostRule { hosts, trust: self.trust }))
    }
}

/// What is written about hosts, in all.
pub(super) struct Written<'a> {
    pub(super) documents: ClientMetadataDocuments,
    /// `client_metadata_hosts`
    pub(super) listed: &'a [String],
    pub(super) private: &'a [PrivateTarget],
    pub(super) rules: Vec<RawClientHost>,
}

impl Written<'_> {
    /// `None` where no document is read.
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<HostTrusts> {
        let list = at.name("client_host");
        let any = !self.rules.is_empty();
        let mut rules = parse_each(self.rules, &list, to, RawClientHost::parse);
        let listed = listed(&at.name("client_metadata_hosts"), self.listed, to);
        let others = match self.documents {
            ClientMetadataDocuments::Off => {
                if any {
                    let problem = "is for nobody: client_metadata_documents is off, and no client is named by a document";
                    to.add(Finding::warning(FindingCode::NotInForce, &list, problem));
                }
                return None;
            }
            ClientMetadataDocuments::Allow => HostTrust::Allow,
            ClientMetadataDocuments::Ask => HostTrust::Ask,
            ClientMetadataDocuments::List => {
                rules.extend(listed);
                HostTrust::Deny
            }
        };
        for (place, (key, rule)) in rules.iter().enumerate() {
            let before = rules.get(..place).unwrap_or_default();
            let earlier = before.iter().find(|(_, earlier)| earlier.hosts.covers(&rule.hosts));
            if let Some(earlier) = earlier {
                to.add(hidden(key, rule, earlier));
            } else if !may_publish(&rule.hosts, self.private) {
                let problem =
                    "is the host of no client: documents come from names with a dot in them";
                to.add(
                    Finding::warning(FindingCode::NotInForce, key, problem)
                        .found(quoted(&rule.hosts.to_string()))
                        .hint(
                            "a host of your own network belongs into client_metadata_private, too",
                        ),
                );
            }
        }
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        Some(HostTrusts { rules, others })
    }
}

/// A client of the settings whose keys nobody asks for could never prove itself.
pub(super) fn check_keys(config: &Config, to: &mut Checker<'_>) {
    let Some(trusts) = &config.authorization_server.client_hosts else { return };
    let key = Key::default().name("authorization_server").name("client");
    for client in &config.authorization_server.clients {
        let Some(ClientKeys::Remote(uri)) = &client.keys else { continue };
        let host = uri.host_str().unwrap_or_default();
        if trusts.deny_by_name(host) {
            let id = &client.client_id;
            let problem = format!("`{id}` has its jwks_uri on {host}, which client_host denies");
            let hint = "give jwks_file, or take the rule for that host out";
            to.add(Finding::error(FindingCode::Conflict, &key, problem).hint(hint));
        }
    }
}

/// `client_metadata_hosts`, each of which is allowed where nobody else is.
fn listed(list: &Key, texts: &[String], to: &mut Checker<'_>) -> Vec<(Key, HostRule)> {
    let mut rules = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let key = to.item(list, place);
        let hosts: Option<HostPattern> = to.parse(&key, text, HOST);
        rules.extend(hosts.map(|hosts| (key, HostRule { hosts, trust: HostTrust::Allow })));
    }
    rules
}

/// A rule that no host ever reaches. One that says something else than what holds is not what its writer meant: an error.
fn hidden(key: &Key, rule: &HostRule, (at, earlier): &(Key, HostRule)) -> Finding {
    let found = quoted(&rule.hosts.to_string());
    let (wanted, holds) = (rule.trust.as_str(), earlier.trust.as_str());
    if rule.trust == earlier.trust {
        let problem = format!("never counts: {at} means all its hosts, too");
        return Finding::warning(FindingCode::NotInForce, key, problem).found(found);
    }
    let problem = format!(
        "never counts: {at} comes before and means all its hosts, so that {holds} holds and not {wanted}"
    );
    Finding::error(FindingCode::Conflict, key, problem)
        .found(found)
        .hint("put what is for fewer hosts first, or take one of the two out")
}

/// Whether the URL of a client can have one of these hosts (CIMD §3).
fn may_publish(hosts: &HostPattern, private: &[PrivateTarget]) -> bool {
    let HostPattern::Exact(host) = hosts else { return true };
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let named = address.is_none() && host.contains('.');
    named
        || private.iter().any(|target| match (target, address) {
            (PrivateTarget::Host(name), _) => name.eq_ignore_ascii_case(host),
            (PrivateTarget::Network(network), Some(address)) => {
                network.contains(&address.to_canonical())
            }
            (PrivateTarget::Network(_), None) => false,
        })
}
