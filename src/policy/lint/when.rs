//! Conditions that are the same for every call.

use crate::policy::rule::Rule;

use super::{LintKind, Lints};

pub(super) fn never_matches(rule: &Rule, lints: &mut Lints) {
    let Some(when) = &rule.when else { return };
    for part in when.constants() {
        let message = format!("`{part}` is the same for every call");
        let hint = "compare it with a claim, an argument or a part of the path";
        lints.add(rule, LintKind::NeverMatches, message, hint);
    }
    for odd in when.odd() {
        lints.add(rule, LintKind::NeverMatches, odd.message, &odd.hint);
    }
}
