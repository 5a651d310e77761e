//! `[limits]`: how much one client, user, tenant or tool may ask.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization_server::parse_each;
use super::deployment::Deployment;
use super::rate::Rate;
use crate::config::checker::Checker;
use crate::config::key::Key;

/// `[limits]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub per_client: Option<Rate>,
    pub per_user: Option<Rate>,
    pub per_tenant: Option<Rate>,
    pub client_concurrency: Option<NonZeroU32>,
    pub user_concurrency: Option<NonZeroU32>,
    pub tenant_concurrency: Option<NonZeroU32>,
    pub requests_per_client: Option<Rate>,
    pub requests_per_user: Option<Rate>,
    pub streams_per_client: Option<NonZeroU32>,
    pub streams_per_user: Option<NonZeroU32>,
    pub client_on_store_failure: OnStoreFailure,
    pub user_on_store_failure: OnStoreFailure,
    pub tenant_on_store_failure: OnStoreFailure,
    pub tools: Vec<ToolLimit>,
}

/// What happens to calls while the store that replicas share does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreFailure {
    /// Each process counts for itself.
    #[default]
    Open,
    /// Calls are refused.
    Closed,
}

/// Limits of one tool, beside the general ones.
#[derive(Clone, Debug)]
pub struct ToolLimit {
    pub name: String,
    pub per_client: Option<Rate>,
    pub per_user: Option<Rate>,
    /// Calls over all callers.
    pub rate: Option<Rate>,
    /// Calls at a time, over all callers.
    pub concurrency: Option<NonZeroU32>,
    pub on_store_failure: OnStoreFailure,
}

/// How much one client, user, tenant or tool may ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Tool calls of one client, such as `600/min` (`s`, `min`, `h`, `day`): the whole count may come at once, then
    /// evenly. Unset: none in dev, `600/min` elsewhere.
    pub(super) per_client: Option<String>,
    /// Tool calls of one user, through whatever client: anybody may register more of those. Unset: none in dev, `600/min`
    /// elsewhere.
    pub(super) per_user: Option<String>,
    /// Graph calls that act in one tenant. Unset: no limit.
    pub(super) per_tenant: Option<String>,
    /// Tool calls of one client at a time. Unset: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) client_concurrency: Option<u32>,
    /// Tool calls of one user at a time. Unset: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) user_concurrency: Option<u32>,
    /// Graph calls in one tenant at a time. Unset: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) tenant_concurrency: Option<u32>,
    /// Requests of one client that are no calls: lists, handshakes, notifications, streams that are opened. Unset: no limit.
    pub(super) requests_per_client: Option<String>,
    /// The same of one user. Unset: none in dev, `1200/min` elsewhere.
    pub(super) requests_per_user: Option<String>,
    /// Streams of one client that stay open, at a time: `subscriptions/listen` and the streams of sessions. Unset: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) streams_per_client: Option<u32>,
    /// The same of one user. Unset: none in dev, 64 elsewhere.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) streams_per_user: Option<u32>,
    /// What happens while the store in which replicas count together does not answer. `open`: each counts for itself;
    /// `closed`: what is limited is refused.
    pub(super) on_store_failure: OnStoreFailure,
    /// The same for `per_client`, `client_concurrency`, `requests_per_client` and `streams_per_client`. Unset: `on_store_failure`.
    pub(super) client_on_store_failure: Option<OnStoreFailure>,
    /// The same for `per_user`, `user_concurrency`, `requests_per_user` and `streams_per_user`. Unset: `on_store_failure`.
    pub(super) user_on_store_failure: Option<OnStoreFailure>,
    /// The same for `per_tenant` and `tenant_concurrency`. Unset: `on_store_failure`.
    pub(super) tenant_on_store_failure: Option<OnStoreFailure>,
    /// Limits of single tools, beside the general ones.
    pub(super) tool: Vec<RawToolLimit>,
}

/// Limits of one tool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToolLimit {
    /// The tool's exact name.
    pub(super) name: String,
    /// Calls of one client.
    pub(super) per_client: Option<String>,
    /// Calls of one user.
    pub(super) per_user: Option<String>,
    /// Calls over all callers.
    pub(super) rate: Option<String>,
    /// Calls at a time, over all callers.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) concurrency: Option<u32>,
    /// What happens to this tool's calls while the shared store does not answer. Unset: `limits.on_store_failure`.
    pub(super) on_store_failure: Option<OnStoreFailure>,
}

pub(super) const RATE: &str = "a rate such as 600/min (s, min, h, day)";
/// What staging and prod allow one client, and one user, where nothing else is set.
const DEFAULT: &str = "600/min";
/// The same for requests that are no calls, and for streams, of one user: a client may be that of everybody.
const DEFAULT_REQUESTS: &str = "1200/min";
const DEFAULT_STREAMS: u32 = 64;

impl RawLimits {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Limits {
        let guarded = to.deployment != Deployment::Dev;
        let default = guarded.then(|| DEFAULT.to_owned());
        let requests = guarded.then_some(DEFAULT_REQUESTS);
        let streams = guarded.then_some(DEFAULT_STREAMS);
        let all = self.on_store_failure;
        let names: Vec<String> = self.tool.iter().map(|tool| tool.name.clone()).collect();
        to.distinct(&at.name("tool"), "name", names.iter().map(String::as_str));
        Limits {
            per_client: rate(
                &at.name("per_client"),
                self.per_client.or_else(|| default.clone()).as_deref(),
                to,
            ),
            per_user: rate(&at.name("per_user"), self.per_user.or(default).as_deref(), to),
            per_tenant: rate(&at.name("per_tenant"), self.per_tenant.as_deref(), to),
            client_concurrency: self.client_concurrency.and_then(NonZeroU32::new),
            user_concurrency: self.user_concurrency.and_then(NonZeroU32::new),
            tenant_concurrency: self.tenant_concurrency.and_then(NonZeroU32::new),
            requests_per_client: rate(
                &at.name("requests_per_client"),
                self.requests_per_client.as_deref(),
                to,
            ),
            requests_per_user: rate(
                &at.name("requests_per_user"),
                self.requests_per_user.as_deref().or(requests),
                to,
            ),
            streams_per_client: self.streams_per_client.and_then(NonZeroU32::new),
            streams_per_user: self.streams_per_user.or(streams).and_then(NonZeroU32::new),
            client_on_store_failure: self.client_on_store_failure.unwrap_or(all),
            user_on_store_failure: self.user_on_store_failure.unwrap_or(all),
            tenant_on_store_failure: self.tenant_on_store_failure.unwrap_or(all),
            tools: parse_each(self.tool, &at.name("tool"), to, |tool, at, to| {
                tool.parse(at, to, all)
            }),
        }
    }
}

impl RawToolLimit {
    #[expect(clippy::unnecessary_wraps, reason = "elements of other lists may fail")]
    fn parse(self, at: &Key, to: &mut Checker<'_>, all: OnStoreFailure) -> Option<ToolLimit> {
        Some(ToolLimit {
            per_client: rate(&at.name("per_client"), self.per_client.as_deref(), to),
            per_user: rate(&at.name("per_user"), self.per_user.as_deref(), to),
            rate: rate(&at.name("rate"), self.rate.as_deref(), to),
            concurrency: self.concurrency.and_then(NonZeroU32::new),
            on_store_failure: self.on_store_failure.unwrap_or(all),
            name: self.name,
        })
    }
}

fn rate(key: &Key, text: Option<&str>, to: &mut Checker<'_>) -> Option<Rate> {
    to.parse(key, text?, RATE)
}
