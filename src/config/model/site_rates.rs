//! `[authorization_server.sites]`: what strangers of one site may have of what all strangers use together.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits::RATE;
use super::rate::Rate;
use crate::config::checker::Checker;
use crate::config::key::Key;

/// Of each site: /24 of IPv4, /48 of IPv6.
#[derive(Clone, Copy, Debug)]
pub struct SiteRates {
    pub requests: Rate,
    pub logins: Rate,
    pub registrations: Rate,
}

const MINUTE: Duration = Duration::from_mins(1);
const SIXTY: Rate = Rate { count: NonZeroU32::new(60).unwrap(), period: MINUTE };
const TWICE: Rate = Rate { count: NonZeroU32::new(120).unwrap(), period: MINUTE };

impl Default for SiteRates {
    fn default() -> Self {
        Self { requests: SIXTY, logins: TWICE, registrations: SIXTY }
    }
}

/// What one site (/24 of IPv4, /48 of IPv6, behind `server.trusted_proxies`) may do while nobody is logged in or proves to
/// be a client. More is for deployments whose people come from one address. Each process counts for itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSiteRates {
    /// Authorization requests, such as `60/min` (`s`, `min`, `h`, `day`): the whole count may come at once, then evenly.
    pub(super) requests: String,
    /// Logins that are begun at identity providers.
    pub(super) logins: String,
    /// Registrations where `dynamic_registration = "limited"`.
    pub(super) registrations: String,
}

impl Default for RawSiteRates {
    fn default() -> Self {
        let SiteRates { requests, logins, registrations } = SiteRates::default();
        Self {
            requests: requests.to_string(),
            logins: logins.to_string(),
            registrations: registrations.to_string(),
        }
    }
}

impl RawSiteRates {
    pub(super) fn parse(&self, at: &Key, to: &mut Checker<'_>) -> SiteRates {
        // One that is no rate is a finding; what stands for it then counts nowhere.
        let mut rate =
            |name: &str, text: &str| to.parse(&at.name(name), text, RATE).unwrap_or(SIXTY);
        let requests = rate("requests", &self.requests);
        let logins = rate("logins", &self.logins);
        let registrations = rate("registrations", &self.registrations);
        SiteRates { requests, logins, registrations }
    }
}
