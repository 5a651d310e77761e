//! `[[upstream.server.tool]]` and its kin: who may use what of a server.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::checker::Checker;
use crate::config::key::Key;
use crate::scope::Scope;

/// Which tools, prompts or resources of the server need which scopes.
#[derive(Clone, Debug)]
pub struct UpstreamGrant {
    /// An anchored regular expression for names, of resources for URIs.
    pub name: String,
    pub scopes: Scope,
}

/// Which tools need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamTool {
    /// Tools by name: an anchored regular expression.
    pub(super) name: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// Which prompts need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamPrompt {
    /// Prompts by name: an anchored regular expression.
    pub(super) name: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// Which resources need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamResource {
    /// Resources by URI, and templates by their text: an anchored regular expression.
    pub(super) uri: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// Its name is a regular expression by itself, and within the anchors: `a)|(b` is only one of the two.
pub(super) fn grant(
    key: &Key,
    name: String,
    scopes_key: &Key,
    scopes: &[String],
    to: &mut Checker<'_>,
) -> Option<UpstreamGrant> {
    let scopes = to.scopes(scopes_key, scopes);
    let built = regex::Regex::new(&name).and_then(|_| regex::Regex::new(&format!("^(?:{name})$")));
    if let Err(error) = built {
        let problem = match error {
            regex::Error::CompiledTooBig(_) => "is too large a regular expression",
            _ => "is no regular expression",
        };
        to.refuse(key, &name, problem, "an anchored regular expression such as get_.*");
        return None;
    }
    Some(UpstreamGrant { name, scopes })
}
