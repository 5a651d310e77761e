//! Which scopes the call of a tool needs.

use std::collections::BTreeMap;

use crate::resource_server::Principal;
use crate::scope::Scope;

use super::builder::BuildError;
use super::deny::Denied;

/// The scopes of each tool, and of those that are not named.
#[derive(Clone, Debug)]
pub(super) struct ToolScopes {
    named: BTreeMap<String, Scope>,
    others: Option<Scope>,
}

impl ToolScopes {
    pub(super) fn parse(
        named: &BTreeMap<String, String>,
        others: Option<&str>,
    ) -> Result<Self, BuildError> {
        let scope = |tool: &str, text: &str| {
            let refuse = |source| BuildError::ToolScope { tool: tool.to_owned(), source };
            text.parse::<Scope>().map_err(refuse)
        };
        let parsed = named.iter().map(|(tool, text)| Ok((tool.clone(), scope(tool, text)?)));
        Ok(Self {
            named: parsed.collect::<Result<_, BuildError>>()?,
            others: others.map(|text| scope("*", text)).transpose()?,
        })
    }

    /// Whether the caller may call `tool`, beside the scopes that every request needs.
    ///
    /// # Errors
    ///
    /// [`Denied`]
    pub(super) fn authorize(
        &self,
        tool: &str,
        everywhere: &Scope,
        caller: &Principal,
    ) -> Result<(), Denied> {
        let needed = self.named.get(tool).or(self.others.as_ref()).ok_or(Denied::UnknownTool)?;
        require(&everywhere.union(needed), caller)
    }
}

/// Whether the caller has, or has what implies, every one of these scopes.
///
/// # Errors
///
/// [`Denied::InsufficientScope`]
pub(super) fn require(needed: &Scope, caller: &Principal) -> Result<(), Denied> {
    if needed.is_subset(caller.scopes()) {
        return Ok(());
    }
    Err(Denied::InsufficientScope { needed: needed.clone() })
}
