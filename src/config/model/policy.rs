//! `[policy]`: the rules.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// `[policy]`, parsed. Whether the files hold valid rules is for `policy` to say.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub file: Option<PathBuf>,
    /// Replaces the file's own label.
    pub version: Option<String>,
    pub shadow_file: Option<PathBuf>,
}

/// The rules in force.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPolicySection {
    /// The rules. Unset: built-in rules in dev, everything denied elsewhere.
    pub(super) file: Option<PathBuf>,
    /// A label that replaces the file's own `version`.
    pub(super) version: Option<String>,
    /// Rules that are decided beside those in force and only reported.
    pub(super) shadow_file: Option<PathBuf>,
}
