//! What policy is asked: who wants to use which tool, and for Graph, on what.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::{ClientId, Issuer, Permission, Subject, TenantId};
use crate::scope::Scope;
use crate::time::Timestamp;

use super::beside::BesideAsk;
use super::names::Told;

/// The caller as its verified token describes it. Nothing here comes from a request body.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub issuer: &'a Issuer,
    /// `None`: the token names nobody, which no rule allows.
    pub subject: Option<&'a Subject>,
    pub client_id: Option<&'a ClientId>,
    pub scopes: &'a Scope,
    pub groups: &'a [Arc<str>],
    /// Whether the issuer left groups out: what denies or holds back by group then does so.
    pub groups_incomplete: bool,
    pub roles: &'a [Arc<str>],
    /// The same of roles.
    pub roles_incomplete: bool,
    /// Every claim, for conditions, assurance and age. `None`: not known, as in a recorded decision.
    pub claims: Option<&'a Map<String, Value>>,
    /// Of a recorded caller: what the record tells. `None`: all of it is known.
    pub told: Option<Told<'a>>,
}

/// One question to policy.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub who: Who<'a>,
    pub tool: &'a str,
    pub operation: Operation<'a>,
    pub arguments: Arguments<'a>,
    pub now: Moment,
}

/// The arguments of a tool call.
#[derive(Clone, Copy, Debug)]
pub enum Arguments<'a> {
    /// Not said yet: whether the tool is visible to this caller.
    Unknown,
    /// A JSON object as it was sent. Read only where a rule looks at it.
    Json(&'a str),
}

/// The time of a question, by two clocks: a step of one of them opens no window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// What the wall clock says.
    pub wall: Timestamp,
    /// What it said when the rules were loaded, and the monotonic time since.
    pub steady: Timestamp,
}

impl Moment {
    /// How far the clocks may be apart before the wall clock counts as stepped, in milliseconds.
    const TOLERANCE_MS: u64 = 5_000;

    /// A time that nothing casts doubt on.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self { wall: time, steady: time }
    }

    /// By how much the wall clock was stepped, in milliseconds.
    #[must_use]
    pub fn step_ms(self) -> Option<i64> {
        let step = self.wall.unix_millis().saturating_sub(self.steady.unix_millis());
        self.is_torn().then_some(step)
    }

    /// Whether the wall clock was stepped, so that only what holds at both times opens anything.
    #[must_use]
    pub const fn is_torn(self) -> bool {
        self.wall.unix_millis().abs_diff(self.steady.unix_millis()) > Self::TOLERANCE_MS
    }
}

/// What the tool is to do.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// What it always does: a tool that is no Graph operation.
    Plain,
    /// Some Graph operation, not known yet: whether the tool is visible to this caller.
    AnyGraph,
    /// This Graph operation.
    Graph(GraphAsk<'a>),
    /// Something at a server that is reached beside us: no Graph operation.
    Beside(BesideAsk<'a>),
}

/// The Graph operation a call wants.
#[derive(Clone, Copy, Debug)]
pub struct GraphAsk<'a> {
    pub tenant: Option<&'a TenantId>,
    /// The origin the caller named; `None`: that of the configured cloud.
    pub resource: Option<&'a str>,
    /// Upper case, such as `GET`.
    pub method: &'a str,
    /// `v1.0` or `beta`.
    pub version: &'a str,
    /// Decoded once, after the version: `["users", "ada@contoso.example"]`.
    pub segments: &'a [String],
    /// Decoded names and values in the order in which they were sent.
    pub query: &'a [(&'a str, &'a str)],
    /// The permissions the caller says it needs; empty: those of the deciding rule.
    pub permissions: &'a [Permission],
    /// The requester the caller claims to act for, where it claims one.
    pub asserted_requester: Option<&'a Subject>,
}
