//! The predecessor's flat permissions that open nothing, misspelt ones among them: said before somebody is refused.

use crate::config::Config;
use crate::graph::{self, Catalog};
use crate::id::Permission;
use crate::policy::Policy;

use super::check::CheckFault;
use super::check_key::CheckKey;
use super::error::AppError;
use super::graph::opens_something;
use super::server_grants::grants;

/// Names in `MCP_AUTH_BROKER_ALLOWED_SCOPES` that neither an operation of the built-in catalogue is for nor a rule of the
/// policy needs. A warning each; an error where the rules are theirs alone and none of them opens anything.
pub(super) fn without_effect(config: &Config, policy: &Policy) -> Vec<CheckFault> {
    let catalog = Catalog::built_in();
    let names = &config.graph.flat_permissions;
    let (opening, idle): (Vec<_>, Vec<_>) =
        names.iter().map(Permission::as_str).partition(|name| opens_something(name, &catalog));
    let needed = policy.graph_permissions();
    let idle =
        idle.into_iter().filter(|name| !needed.iter().any(|(_, known)| known.as_str() == *name));
    // The servers' short tables are rules, too.
    let has_rules = config.policy.file.is_some() || !grants(config).rules.is_empty();
    let warning = has_rules || !opening.is_empty();
    let fault = |name: &str| {
        let error = AppError::IdlePermission { name: name.to_owned(), near: near(name, &catalog) };
        CheckFault { warning, ..CheckFault::new(CheckKey::FlatPermissions, error) }
    };
    idle.map(fault).collect()
}

/// What a start says of them: the first that stops it, else a line in the log for each.
///
/// # Errors
///
/// [`AppError::IdlePermission`] where none of them opens anything.
pub(super) fn at_start(config: &Config, policy: &Policy) -> Result<(), AppError> {
    for fault in without_effect(config, policy) {
        if !fault.warning {
            return Err(fault.error);
        }
        let (problem, hint) = fault.told();
        tracing::warn!(key = fault.key.as_str(), problem, hint, "config.finding");
    }
    Ok(())
}

/// The permission that was meant, where one is near enough.
fn near(name: &str, catalog: &Catalog) -> Option<String> {
    let known = catalog.list().iter().flat_map(|operation| &operation.permissions);
    let known = known.map(Permission::as_str);
    let meant = graph::application_permission(name);
    let likeness = |known: &str| strsim::jaro_winkler(&meant.to_lowercase(), &known.to_lowercase());
    let nearest =
        known.map(|known| (likeness(known), known)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.filter(|(likeness, _)| *likeness > 0.85).map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_named() {
        let catalog = Catalog::built_in();
        for (name, meant) in [
            ("user.read.all", Some("User.Read.All")),
            ("Mail.Red", Some("Mail.Read")),
            ("Mail.Sent", Some("Mail.Send")),
            ("group.read", Some("Group.Read.All")),
            ("Whatever", None),
        ] {
            assert_eq!(near(name, &catalog).as_deref(), meant, "{name}");
        }
    }
}
