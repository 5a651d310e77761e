//! The limits by their settings, for decisions to name: beside `map::call_limits`, which makes what counts of the same settings.

use std::num::NonZeroU32;

use crate::config::{Config, Rate, ToolLimit};
use crate::policy::{CallLimit, CallLimits};

pub(super) fn named(config: &Config) -> CallLimits {
    let of = &config.limits;
    CallLimits {
        callers: all([
            rate("per_client", of.per_client),
            places("client_concurrency", of.client_concurrency),
            rate("per_user", of.per_user),
            places("user_concurrency", of.user_concurrency),
        ]),
        tenants: all([
            rate("per_tenant", of.per_tenant),
            places("tenant_concurrency", of.tenant_concurrency),
        ]),
        tools: of.tools.iter().map(|tool| (tool.name.clone(), of_tool(tool))).collect(),
    }
}

fn of_tool(tool: &ToolLimit) -> Vec<CallLimit> {
    all([
        rate("tool.per_client", tool.per_client),
        rate("tool.per_user", tool.per_user),
        rate("tool.rate", tool.rate),
        places("tool.concurrency", tool.concurrency),
    ])
}

fn all<const N: usize>(limits: [Option<CallLimit>; N]) -> Vec<CallLimit> {
    limits.into_iter().flatten().collect()
}

fn rate(setting: &'static str, rate: Option<Rate>) -> Option<CallLimit> {
    Some(CallLimit { setting, most: rate?.to_string().into() })
}

fn places(setting: &'static str, most: Option<NonZeroU32>) -> Option<CallLimit> {
    Some(CallLimit { setting, most: most?.to_string().into() })
}
