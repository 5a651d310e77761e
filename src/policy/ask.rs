//! What policy is asked: who wants to use which tool, and for Graph, on what.

use std::sync::Arc;

use crate::id::{ClientId, Issuer, Permission, Subject, TenantId};
use crate::scope::Scope;

/// The caller as its verified token describes it. Nothing here comes from a request body.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub issuer: &'a Issuer,
    /// `None`: the token names nobody, which no rule allows.
    pub subject: Option<&'a Subject>,
    pub client_id: Option<&'a ClientId>,
    pub scopes: &'a Scope,
    pub groups: &'a [Arc<str>],
    pub roles: &'a [Arc<str>],
}

/// One question to policy.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub who: Who<'a>,
    pub tool: &'a str,
    pub operation: Operation<'a>,
}

/// What the tool is to do.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// What it always does: a tool whose arguments policy does not look at.
    Plain,
    /// Some Graph operation, not known yet: whether the tool is visible to this caller.
    AnyGraph,
    /// This Graph operation.
    Graph(GraphAsk<'a>),
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
