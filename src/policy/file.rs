//! The policy file as it is written: one struct a table, unknown keys refused.

use serde::Deserialize;
use toml::Spanned;

use super::decision::Effect;
use super::rule::Principals;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    /// A label for people; the digest of the rules is added to it.
    pub(super) version: Option<String>,
    /// `deny` is the only value; written so that readers see it.
    #[serde(default)]
    #[expect(dead_code, reason = "parsing it is what refuses any other value")]
    default: RawDefault,
    /// Clients that may say for whom they act (`requester.requester_id`).
    #[serde(default)]
    pub(super) may_assert_requester: Vec<String>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<RuleSpec>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDefault {
    #[default]
    Deny,
}

/// One rule as it is written: a `[[rule]]` of the file, or what another part of the product grants.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    pub id: String,
    pub effect: Effect,
    /// Anchored regular expressions.
    pub tools: Vec<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub principals: Principals,
    pub graph: Option<GraphSpec>,
    /// A condition. Not evaluated by this version, so a rule that has one is refused.
    pub when: Option<String>,
    /// Who may approve what an `ask` rule holds back.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How long an approval lasts.
    pub valid_for_seconds: Option<u32>,
    /// For the readers of the file.
    pub description: Option<String>,
}

/// Which Graph operations a rule is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// `graph.profile.name`; may be left out where there is one.
    pub profile: Option<String>,
    pub methods: Vec<String>,
    /// Path templates such as `/v1.0/users/{id}`.
    pub paths: Vec<String>,
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Absent: every option of the allowed list but `$expand`.
    pub query: Option<Vec<String>>,
    /// Lets the caller have values that are credentials, such as download links.
    #[serde(default)]
    pub reveal_links: bool,
}
