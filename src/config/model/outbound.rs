//! `[outbound]`: how we reach others.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::config::mask::quoted;
use crate::outbound::PrivateTarget;

/// `[outbound]`, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// May hold a password.
    pub proxy: Option<Url>,
    pub no_proxy: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub allow_private: Vec<PrivateTarget>,
}

/// How the broker reaches others.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOutbound {
    /// An HTTP proxy for every call. Address pinning is off behind it.
    pub(super) proxy: Option<String>,
    /// Host names with all below them, addresses and networks that are reached without the proxy; where they are private,
    /// `allow_private` must name them.
    pub(super) no_proxy: Vec<String>,
    /// PEM certificates that are trusted beside the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// Hosts and networks that may be reached although their addresses are private.
    pub(super) allow_private: Vec<String>,
}

impl RawOutbound {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Outbound {
        let allow = at.name("allow_private");
        Outbound {
            proxy: self.proxy.and_then(|text| proxy(&at.name("proxy"), &text, to)),
            no_proxy: self.no_proxy,
            ca_file: self.ca_file.map(|path| to.input(&at.name("ca_file"), &path)),
            allow_private: private_targets(&allow, &self.allow_private, to),
        }
    }
}

fn proxy(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<Url> {
    const ALLOWED: &str = "a URL such as http://proxy.internal:3128";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            let problem = "turns address pinning off: which addresses are reached is the proxy's decision now";
            to.add(Finding::warning(FindingCode::Weak, key, problem).found(quoted(text)));
            Some(url)
        }
        Ok(_) => {
            to.refuse(key, text, "is neither http nor https", ALLOWED);
            None
        }
        Err(error) => {
            to.refuse(key, text, error, ALLOWED);
            None
        }
    }
}

pub(super) fn private_targets(
    key: &Key,
    texts: &[String],
    to: &mut Checker<'_>,
) -> Vec<PrivateTarget> {
    const ALLOWED: &str =
        "a host such as vault.internal, an address, or a network such as 10.20.0.0/16";
    let mut targets = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let at = to.item(key, place);
        let Ok(target) = text.parse::<PrivateTarget>();
        match &target {
            PrivateTarget::Network(network) if network.prefix_len() == 0 => {
                to.refuse(&at, text, "lets every private address be reached", ALLOWED);
            }
            PrivateTarget::Host(host)
                if url::Host::parse(host).is_err() || host.contains(['*', '/', ':']) =>
            {
                to.refuse(&at, text, "is neither a host nor a network", ALLOWED);
            }
            _ => targets.push(target),
        }
    }
    targets
}
