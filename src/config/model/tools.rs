//! `[tools]` and `[documents]`: the sample tools and what they read.

use std::path::PathBuf;

use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[tools]`, parsed.
#[derive(Clone, Copy, Debug)]
pub struct Tools {
    pub sample: bool,
}

/// `[documents]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// `None`: the two samples built into the binary.
    pub dir: Option<PathBuf>,
}

/// The built-in tools. Their scopes are set by policy rules, not here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTools {
    /// Offers the two sample tools. prod refuses them.
    pub(super) sample: bool,
}

impl Default for RawTools {
    fn default() -> Self {
        Self { sample: true }
    }
}

/// What the sample tools read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDocuments {
    /// A directory that holds `public.md` and `confidential.md`. Unset: samples built into the binary.
    pub(super) dir: Option<PathBuf>,
}

impl RawTools {
    pub(super) fn parse(&self, at: &Key, to: &mut Checker<'_>) -> Tools {
        if self.sample {
            let finding =
                Finding::error(FindingCode::Weak, &at.name("sample"), "offers the sample tools");
            to.weak(finding.found("true").allowed("false").hint("[tools] sample = false"));
        }
        Tools { sample: self.sample }
    }
}

impl RawDocuments {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Documents {
        let key = at.name("dir");
        let dir = self.dir.map(|dir| to.input_folder(&key, &dir));
        for name in ["public.md", "confidential.md"] {
            if dir.as_ref().is_some_and(|dir| dir.is_dir() && !dir.join(name).is_file()) {
                let problem = format!("holds no {name}");
                to.add(
                    Finding::error(FindingCode::Missing, &key, problem)
                        .allowed("public.md and confidential.md"),
                );
            }
        }
        Documents { dir }
    }
}
