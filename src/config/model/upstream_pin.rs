//! `[[upstream.server.pin]]`: definitions of tools that somebody approved.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::checker::Checker;
use crate::config::key::Key;

/// An approved definition.
#[derive(Clone, Debug)]
pub struct UpstreamPin {
    pub tool: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

/// What becomes of a tool whose definition has a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnToolFlaw {
    /// It is recorded.
    Alert,
    /// It is recorded, and the tool is as if it did not exist.
    Hide,
}

/// A definition of a tool that somebody approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamPin {
    /// The server's own name of the tool.
    pub(super) tool: String,
    /// `sha256:` and 64 hexadecimal digits, as the audit log and the log name it.
    pub(super) digest: String,
}

impl RawUpstreamPin {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamPin> {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or_default();
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.bytes().all(digit) {
            let expected = "`sha256:` and 64 hexadecimal digits in lower case";
            to.refuse(&at.name("digest"), &self.digest, "is no digest", expected);
            return None;
        }
        Some(UpstreamPin { tool: self.tool, digest: self.digest })
    }
}

pub(super) const fn alert() -> OnToolFlaw {
    OnToolFlaw::Alert
}

pub(super) const fn hide() -> OnToolFlaw {
    OnToolFlaw::Hide
}
