//! `[outbound]`: how we reach others.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::outbound::PrivateTarget;

/// `[outbound]`, parsed.
#[derive(Clone, Debug, Default)]
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
    /// Host names and domains that are reached without the proxy.
    pub(super) no_proxy: Vec<String>,
    /// PEM certificates that are trusted beside the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// Hosts and networks that may be reached although their addresses are private.
    pub(super) allow_private: Vec<String>,
}
