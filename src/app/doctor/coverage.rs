//! What the app may do on Graph, against what policy allows: what is missing fails every call of a rule, and what is too
//! much is a risk for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app::{check, check_live};
use crate::config::{Config, GraphMode};
use crate::id::{Permission, ProfileName};
use crate::secret::Environment;
use crate::time::Clock;

use super::{Area, Step};

pub(super) async fn look(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
    reachable: bool,
) -> Vec<Step> {
    if config.graph.mode == GraphMode::Simulated {
        return vec![Step::skipped(Area::Graph, "simulated: nothing reaches Microsoft")];
    }
    if !reachable {
        return vec![Step::skipped(
            Area::Graph,
            "permissions: not asked, for Graph is not reached",
        )];
    }
    let source = check::policy_source(config, variables);
    let Some((policy, _)) = source.ok().and_then(|source| source.load().ok()) else {
        return vec![Step::skipped(Area::Graph, "permissions: the policy has faults")];
    };
    let wanted = policy.graph_permissions();
    let held = check_live::permissions(config, variables, clock).await;
    held.into_iter().flat_map(|(profile, held)| compare(&profile, held, &wanted)).collect()
}

/// Of one profile. `held` is `None` where its token cannot be read: Graph says that it is opaque.
fn compare(
    profile: &ProfileName,
    held: Option<Vec<String>>,
    wanted: &[(ProfileName, Permission)],
) -> Vec<Step> {
    let Some(held) = held else {
        let found = format!("profile `{profile}`: its token does not say what the app may do");
        return vec![Step::skipped(Area::Graph, found)];
    };
    let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = wanted
        .iter()
        .filter(|(of, _)| of == profile)
        .map(|(_, permission)| permission.as_str())
        .collect();
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !covers(&held, name)).collect();
    let unused = held.iter().copied().filter(|name| !wanted.iter().any(|want| covered(name, want)));
    let unused: Vec<&str> = unused.collect();
    let steps = [missing_of(profile, &missing), unused_of(profile, &unused)];
    let steps: Vec<Step> = steps.into_iter().flatten().collect();
    if steps.is_empty() {
        let found =
            format!("profile `{profile}`: the app may what policy allows, and nothing else");
        return vec![Step::good(Area::Graph, found)];
    }
    steps
}

fn missing_of(profile: &ProfileName, missing: &[&str]) -> Option<Step> {
    let names = missing.join(", ");
    let found = format!("profile `{profile}`: policy allows what the app may not: {names}");
    let hint = "grant them in Entra, or take them out of the rules; a wider permission of another name may do";
    let step = Step::warning(Area::Graph, "graph.profile", found).hint(hint);
    let right = "application permissions with an administrator's consent";
    (!missing.is_empty()).then(|| step.allowed(right))
}

fn unused_of(profile: &ProfileName, unused: &[&str]) -> Option<Step> {
    let names = unused.join(", ");
    let found = format!("profile `{profile}`: the app may what no rule allows: {names}");
    let hint = "take them from the app in Entra: who gets hold of its secret has them all";
    let step = Step::warning(Area::Graph, "graph.profile", found).hint(hint);
    (!unused.is_empty()).then_some(step)
}

fn covers(held: &BTreeSet<&str>, wanted: &str) -> bool {
    held.iter().any(|held| covered(held, wanted))
}

/// Whether `held` lets an app do what `wanted` does: the same, or the form of it that may write, too.
fn covered(held: &str, wanted: &str) -> bool {
    let (mut held, mut wanted) = (held.split('.'), wanted.split('.'));
    loop {
        match (held.next(), wanted.next()) {
            (None, None) => return true,
            (Some(held), Some(wanted)) if held == wanted => {}
            (Some("ReadWrite"), Some("Read")) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(held: Option<&[&str]>, wanted: &[&str]) -> Vec<String> {
        let profile: ProfileName = "reader".parse().unwrap();
        let held = held.map(|held| held.iter().map(ToString::to_string).collect());
        let wanted: Vec<_> =
            wanted.iter().map(|name| (profile.clone(), name.parse().unwrap())).collect();
        compare(&profile, held, &wanted).into_iter().map(|step| step.found).collect()
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_are_both_told() {
        insta::assert_debug_snapshot!(
            [
                told(Some(&["User.Read.All"]), &["User.Read.All"]),
                told(Some(&["User.ReadWrite.All"]), &["User.Read.All"]),
                told(Some(&["Mail.Send"]), &["User.Read.All", "Mail.Send"]),
                told(Some(&["User.Read.All", "Directory.ReadWrite.All"]), &["User.Read.All"]),
                told(None, &["User.Read.All"]),
                told(Some(&["Mail.ReadWrite"]), &["Mail.Read"]),
                told(Some(&["Mail.Read", "Mail.ReadWrite.Shared"]), &["Mail.ReadWrite"]),
            ],
            @r#"
        [
            [
                "profile `reader`: the app may what policy allows, and nothing else",
            ],
            [
                "profile `reader`: the app may what policy allows, and nothing else",
            ],
            [
                "profile `reader`: policy allows what the app may not: User.Read.All",
            ],
            [
                "profile `reader`: the app may what no rule allows: Directory.ReadWrite.All",
            ],
            [
                "profile `reader`: its token does not say what the app may do",
            ],
            [
                "profile `reader`: the app may what policy allows, and nothing else",
            ],
            [
                "profile `reader`: policy allows what the app may not: Mail.ReadWrite",
                "profile `reader`: the app may what no rule allows: Mail.Read, Mail.ReadWrite.Shared",
            ],
        ]
        "#
        );
    }
}
