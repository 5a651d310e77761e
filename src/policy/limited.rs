//! The limits that a call is counted in, as its decision says. Policy counts nothing: what counts is made of the same settings.

use std::collections::HashMap;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::decide::Policy;

/// One limit: its setting, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// As in `[limits]`, such as `per_client`; of one tool with `tool.` before it.
    pub setting: &'static str,
    /// A rate such as `600/min`, or how many calls at a time.
    pub most: Box<str>,
}

/// Every limit that is set, by what it is about.
#[derive(Clone, Debug, Default)]
pub struct CallLimits {
    /// Of all calls, by who makes them.
    pub callers: Vec<CallLimit>,
    /// Of calls that act in a tenant.
    pub tenants: Vec<CallLimit>,
    /// Of the calls of one tool each, by its name.
    pub tools: Vec<(String, Vec<CallLimit>)>,
}

/// The limits that one call is counted in. Serialises as an object: `{"per_client": "600/min"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedIn(Option<Arc<[CallLimit]>>);

impl CountedIn {
    fn of(limits: impl Iterator<Item = CallLimit>) -> Self {
        let limits: Arc<[CallLimit]> = limits.collect();
        Self((!limits.is_empty()).then_some(limits))
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = &CallLimit> {
        self.0.iter().flat_map(|limits| limits.iter())
    }
}

impl Serialize for CountedIn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|limit| (limit.setting, &limit.most)))
    }
}

/// The lists, made once, so that a decision only points to one.
#[derive(Debug, Default)]
pub(super) struct Limited {
    others: Lists,
    tools: HashMap<String, Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    anywhere: CountedIn,
    in_tenant: CountedIn,
}

impl Lists {
    fn new(limits: &CallLimits, tool: &[CallLimit]) -> Self {
        let (callers, tenants) = (limits.callers.iter(), limits.tenants.iter());
        Self {
            anywhere: CountedIn::of(callers.clone().chain(tool).cloned()),
            in_tenant: CountedIn::of(callers.chain(tenants).chain(tool).cloned()),
        }
    }
}

impl Limited {
    fn new(limits: &CallLimits) -> Self {
        let tool = |(name, own): &(String, Vec<_>)| (name.clone(), Lists::new(limits, own));
        Self { others: Lists::new(limits, &[]), tools: limits.tools.iter().map(tool).collect() }
    }

    /// What a call that is not refused is counted in.
    pub(super) fn of(&self, tool: &str, in_tenant: bool) -> CountedIn {
        let own = if self.tools.is_empty() { None } else { self.tools.get(tool) };
        let lists = own.unwrap_or(&self.others);
        if in_tenant { lists.in_tenant.clone() } else { lists.anywhere.clone() }
    }
}

impl Policy {
    /// The same rules, whose decisions also name these limits. They change no decision, and so not its version.
    #[must_use]
    pub fn under(mut self, limits: &CallLimits) -> Self {
        self.limited = Limited::new(limits);
        self
    }
}
