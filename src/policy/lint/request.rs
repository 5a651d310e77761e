//! What a rule says about the request that contradicts what the rule is about.

use crate::policy::decision::Effect;
use crate::policy::rule::Rule;

use super::{LintKind, Lints};

/// A condition on the tool or the method that none of the rule's own tools and methods fulfils.
pub(super) fn of_no_request(rule: &Rule, lints: &mut Lints) {
    let Some(when) = &rule.when else { return };
    let tools = named(rule.tools.names().map(|names| names.into_iter().map(|name| &**name)));
    let methods = rule.graph.as_ref().map(|graph| graph.methods.iter().map(String::as_str));
    let methods = named(methods);
    let holds =
        tools.iter().any(|tool| methods.iter().any(|method| when.may_hold_for(*tool, *method)));
    if !holds {
        lints.add(
            rule,
            LintKind::NeverMatches,
            "its condition on request.tool or request.method holds for none of its own tools and methods",
            "leave it out of the condition: tools and graph.methods say what the rule is about",
        );
    }
}

/// Each of a closed list, else one that is not known.
fn named<'a>(all: Option<impl Iterator<Item = &'a str>>) -> Vec<Option<&'a str>> {
    all.map_or_else(|| vec![None], |all| all.map(Some).collect())
}

/// Only calls of tools wait for a person: a prompt or a resource is refused where a rule asks about it.
pub(super) fn cannot_be_asked(rule: &Rule, lints: &mut Lints) {
    let is_no_tool = |name: &str| name.contains("/prompts/") || name.contains("/resources/");
    if rule.effect == Effect::Ask
        && let Some(name) = rule.tools.examples().find(|name| is_no_tool(name))
    {
        lints.add(
            rule,
            LintKind::CannotBeAsked,
            format!("asks about prompts or resources (`{name}`), which nobody is asked about: it hides them"),
            "write deny where that is meant; ask works for tools",
        );
    }
}
