//! `[limits]`: how much one client, user or tool may ask.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rate::Rate;

/// `[limits]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub per_client: Option<Rate>,
    pub per_user: Option<Rate>,
    pub tools: Vec<ToolLimit>,
}

/// Limits of one tool, beside the general ones.
#[derive(Clone, Debug)]
pub struct ToolLimit {
    pub name: String,
    pub per_client: Option<Rate>,
    pub per_user: Option<Rate>,
    /// Calls at a time, over all callers.
    pub concurrency: Option<NonZeroU32>,
}

/// How much one client, user or tool may ask.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Calls of one client, such as `600/min` (`s`, `min`, `h`, `day`). Unset: none in dev, `600/min` elsewhere.
    pub(super) per_client: Option<String>,
    /// Calls of one user. Unset: no limit.
    pub(super) per_user: Option<String>,
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
    /// Calls at a time, over all callers.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) concurrency: Option<u32>,
}
