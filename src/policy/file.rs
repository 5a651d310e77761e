//! A rule as it is written: in a `[[rule]]` of the policy file, or by another part of the product that grants.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decision::Effect;
use super::rule::Principals;

/// One rule as it is written.
#[derive(Clone, Debug, Default)]
pub struct RuleSpec {
    pub id: String,
    pub effect: Effect,
    /// Anchored regular expressions.
    pub tools: Vec<String>,
    pub scopes: Vec<String>,
    pub principals: Principals,
    pub graph: Option<GraphSpec>,
    /// What the argument at a dotted path may be, such as `"customer.region" = ["eu"]`.
    pub arguments: BTreeMap<String, Vec<Value>>,
    /// A condition in CEL.
    pub when: Option<String>,
    /// Who may approve what an `ask` rule holds back: groups.
    pub approvers: Vec<String>,
    /// How long an approval lasts.
    pub valid_for_seconds: Option<u32>,
    /// Whether who asks may approve.
    pub self_approval: bool,
    /// For the readers of the file.
    pub description: Option<String>,
}

/// Which Graph operations a rule is about.
#[derive(Clone, Debug, Default)]
pub struct GraphSpec {
    /// `graph.profile.name`; may be left out where there is one.
    pub profile: Option<String>,
    pub methods: Vec<String>,
    /// Path templates such as `/v1.0/users/{id}`.
    pub paths: Vec<String>,
    pub permissions: Vec<String>,
    /// Absent: every option of the allowed list but `$expand`.
    pub query: Option<Vec<String>>,
    /// Lets the caller have values that are credentials, such as download links.
    pub reveal_links: bool,
}
