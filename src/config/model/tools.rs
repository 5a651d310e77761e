//! `[tools]` and `[documents]`: the sample tools and what they read.

use std::path::PathBuf;

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
