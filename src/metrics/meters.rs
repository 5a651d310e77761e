//! What requests are counted in: one field for each family, and the one list of their names.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::time::Clock;

use super::family::{Counters, Timings};

/// The counters of one broker. Clones are the same.
#[derive(Clone, Debug)]
pub struct Meters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    families: Families,
    in_flight: Gauge,
    clock: Arc<dyn Clock>,
}

/// Every family, with the names of its labels in order. `docs/metrics.md` says what each is for.
#[derive(Debug)]
pub struct Families {
    /// `endpoint`, `method`, `status` (`aborted` where nobody waited for the answer)
    http_requests: Counters<3>,
    /// `endpoint`; until the head of the answer
    http_times: Timings<1>,
    /// `method`, `status`
    pub mcp_requests: Counters<2>,
    /// `tool`, `status`, `code`
    pub tool_calls: Counters<3>,
    /// `tool`
    pub tool_times: Timings<1>,
    /// `effect`, `reason`
    pub decisions: Counters<2>,
    /// `effect`, `shadow_effect`
    pub shadow_differences: Counters<2>,
    /// Calls of which a condition could not be evaluated.
    pub condition_failures: Counter,
    /// Tokens that were verified rather than found in the cache.
    pub tokens_verified: Counter,
    /// `reason`
    pub token_rejections: Counters<1>,
    /// `grant_type`, `outcome`
    pub oauth_tokens: Counters<2>,
    /// `outcome`
    pub oauth_authorizations: Counters<1>,
    /// `outcome`
    pub oauth_registrations: Counters<1>,
    /// `what`
    pub oauth_reuses: Counters<1>,
    /// `what`
    pub oauth_revocations: Counters<1>,
    /// `active`
    pub oauth_introspections: Counters<1>,
    /// `method`, `outcome`
    pub logins: Counters<2>,
    /// `outcome`
    pub approvals: Counters<1>,
    /// `class`
    pub approval_refusals: Counters<1>,
    /// `delivered`
    pub approval_notifications: Counters<1>,
    /// `provider`, `outcome`, `status`, `code`
    pub provider_calls: Counters<4>,
    /// `provider`
    pub provider_times: Timings<1>,
    /// `flaw`
    pub flawed_tools: Counters<1>,
    /// `object`, `action`, `outcome`
    pub admin_changes: Counters<3>,
    /// `status`
    pub admin_requests: Counters<1>,
    pub policy_reloads: Counter,
    pub key_rotations: Counter,
}

impl Families {
    fn new() -> Self {
        Self {
            http_requests: Counters::new(["endpoint", "method", "status"]),
            http_times: Timings::new(["endpoint"]),
            mcp_requests: Counters::new(["method", "status"]),
            tool_calls: Counters::new(["tool", "status", "code"]),
            tool_times: Timings::new(["tool"]),
            decisions: Counters::new(["effect", "reason"]),
            shadow_differences: Counters::new(["effect", "shadow_effect"]),
            condition_failures: Counter::default(),
            tokens_verified: Counter::default(),
            token_rejections: Counters::new(["reason"]),
            oauth_tokens: Counters::new(["grant_type", "outcome"]),
            oauth_authorizations: Counters::new(["outcome"]),
            oauth_registrations: Counters::new(["outcome"]),
            oauth_reuses: Counters::new(["what"]),
            oauth_revocations: Counters::new(["what"]),
            oauth_introspections: Counters::new(["active"]),
            logins: Counters::new(["method", "outcome"]),
            approvals: Counters::new(["outcome"]),
            approval_refusals: Counters::new(["class"]),
            approval_notifications: Counters::new(["delivered"]),
            provider_calls: Counters::new(["provider", "outcome", "status", "code"]),
            provider_times: Timings::new(["provider"]),
            flawed_tools: Counters::new(["flaw"]),
            admin_changes: Counters::new(["object", "action", "outcome"]),
            admin_requests: Counters::new(["status"]),
            policy_reloads: Counter::default(),
            key_rotations: Counter::default(),
        }
    }

    /// What is rare and matters is there from the start: an increase from nothing to one is seen only where there was a zero.
    fn begin(&self) {
        for flaw in ["changed", "hidden_text", "unreadable"] {
            self.flawed_tools.add_many([flaw.into()], 0);
        }
        for outcome in ["requested", "approved", "denied", "used"] {
            self.approvals.add_many([outcome.into()], 0);
        }
        for outcome in ["ok", "credentials"] {
            self.logins.add_many(["password".into(), outcome.into()], 0);
        }
    }

    /// The one list of names: they are what dashboards and alerts hold on to.
    fn register(&self, to: &mut Registry) {
        let requests = "HTTP requests by endpoint, method and status";
        self.http_requests.register(to, "http_requests", requests);
        let until = "Until the head of the answer";
        self.http_times.register(to, "http_request_duration_seconds", until);
        self.mcp_requests.register(to, "mcp_requests", "MCP requests with an accepted token");
        self.tool_calls.register(to, "tool_calls", "Tool calls by how they ended");
        self.tool_times.register(to, "tool_call_duration_seconds", "Tool calls, in the broker");
        self.decisions.register(to, "policy_decisions", "Decisions by effect and reason");
        let differences = "Calls that the shadow policy would have decided otherwise";
        self.shadow_differences.register(to, "policy_shadow_differences", differences);
        let failures = "Conditions that could not be evaluated";
        to.register("policy_condition_failures", failures, self.condition_failures.clone());
        let verified = "Access tokens that were verified, not found in the cache";
        to.register("access_tokens_verified", verified, self.tokens_verified.clone());
        let rejected = "Access tokens that were refused with 401";
        self.token_rejections.register(to, "access_token_rejections", rejected);
        self.oauth_tokens.register(to, "oauth_token_requests", "Token requests by outcome");
        let authorizations = "Authorization requests by what became of them";
        self.oauth_authorizations.register(to, "oauth_authorizations", authorizations);
        self.oauth_registrations.register(to, "oauth_registrations", "Clients that registered");
        let reuses = "Codes and refresh tokens that came again: thefts";
        self.oauth_reuses.register(to, "oauth_reuses", reuses);
        self.oauth_revocations.register(to, "oauth_revocations", "What clients gave back");
        let asked = "Tokens that resource servers asked about";
        self.oauth_introspections.register(to, "oauth_introspections", asked);
        self.register_rest(to);
    }

    fn register_rest(&self, to: &mut Registry) {
        self.logins.register(to, "logins", "People who logged in, or failed to");
        self.approvals.register(to, "approvals", "Calls that waited for a person, by step");
        let told = "Webhook messages about calls that wait";
        let refused = "Calls that need an approval and were refused";
        self.approval_refusals.register(to, "approval_refusals", refused);
        self.approval_notifications.register(to, "approval_notifications", told);
        self.provider_calls.register(to, "provider_calls", "Attempts at a provider, by outcome");
        let attempts = "One attempt at a provider";
        self.provider_times.register(to, "provider_call_duration_seconds", attempts);
        let flawed = "Tools of servers behind the broker whose definition changed or hides text";
        self.flawed_tools.register(to, "upstream_tool_flaws", flawed);
        self.admin_changes.register(to, "admin_changes", "Changes by administrators");
        self.admin_requests.register(to, "admin_requests", "Admin API requests without a change");
        to.register("policy_reloads", "Policies that came in force", self.policy_reloads.clone());
        to.register("key_rotations", "Signing keys that were made", self.key_rotations.clone());
    }
}

impl Meters {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let families = Families::new();
        families.begin();
        Self(Arc::new(Inner { families, in_flight: Gauge::default(), clock }))
    }

    pub(super) fn register(&self, to: &mut Registry) {
        let in_flight = "HTTP requests that are not answered yet";
        to.register("http_requests_in_flight", in_flight, self.0.in_flight.clone());
        self.0.families.register(to);
    }

    /// An HTTP request begins. `endpoint` and `method` are of closed sets.
    #[must_use]
    pub fn request(&self, endpoint: &'static str, method: &'static str) -> InFlight {
        self.0.in_flight.inc();
        let started = self.0.clock.monotonic();
        InFlight { meters: self.clone(), endpoint, method, started, status: None }
    }
}

impl Deref for Meters {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0.families
    }
}

/// An HTTP request under way. Dropped unanswered, nobody waited for the answer.
#[derive(Debug)]
pub struct InFlight {
    meters: Meters,
    endpoint: &'static str,
    method: &'static str,
    /// Monotonic.
    started: Duration,
    status: Option<u16>,
}

impl InFlight {
    pub fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let inner = &*self.meters.0;
        inner.in_flight.dec();
        let took = inner.clock.monotonic().saturating_sub(self.started);
        let status = self.status.map_or("aborted".into(), |status| status.to_string().into());
        let labels = [self.endpoint.into(), self.method.into(), status];
        inner.families.http_requests.add(labels);
        inner.families.http_times.observe([self.endpoint.into()], took);
    }
}
