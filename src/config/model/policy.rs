//! `[policy]`: the rules.

use std::path::PathBuf;

use super::deployment::Deployment;
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
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

impl RawPolicySection {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Policy {
        let key = at.name("file");
        let file = self.file.map(|path| to.input(&key, &path));
        if file.is_none() && to.deployment != Deployment::Dev {
            let finding = Finding::warning(
                FindingCode::Missing,
                &key,
                "is not set: only what flat names grant is allowed",
            );
            to.add(
                finding.hint("write a policy; docs/examples/policy.dev.toml is one to start from"),
            );
        }
        let shadow_file =
            self.shadow_file.map(|path| to.spare_input(&at.name("shadow_file"), &path));
        if let Some(label) = &self.version
            && (label.contains(char::is_control) || label.chars().count() > 64)
        {
            let problem = "is longer than 64 characters, or has a control character";
            to.refuse(&at.name("version"), label, problem, "a label such as 2026-11");
        }
        Policy { file, version: self.version, shadow_file }
    }
}
