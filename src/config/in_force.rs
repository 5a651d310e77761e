//! Settings that are accepted and checked, and do nothing yet. One table, and what each leaves undone.

use super::checker::Checker;
use super::finding::{Finding, FindingCode};
use super::key::Key;

/// Each leaves less offered than asked for, and nothing open: a setting whose absence would open something is
/// not listed here but refused by its section. A row goes when its feature comes.
///
/// `when` and `ask` of policy rules are for the policy's own loader, which refuses what it cannot decide.
const NOT_IN_FORCE: [(&str, &str); 1] = [("telemetry.otlp_endpoint", "no traces are sent yet")];

/// Warns about each one that is set.
pub(super) fn check(checker: &mut Checker<'_>) {
    for (name, what) in NOT_IN_FORCE {
        for key in places(checker, name) {
            let problem = format!("is accepted, not in force in this version: {what}");
            checker.add(Finding::warning(FindingCode::NotInForce, &key, problem));
        }
    }
}

/// Where a setting is set; of lists only the list, of the tables in lists each.
fn places(checker: &Checker<'_>, name: &str) -> Vec<Key> {
    let mut keys = vec![Key::default()];
    for part in name.split('.') {
        let mut next = Vec::new();
        for key in keys {
            let count = checker.length(&key);
            let tables = count.map_or_else(
                || vec![key.clone()],
                |count| (0..count).map(|at| key.index(at)).collect(),
            );
            next.extend(
                tables.into_iter().map(|table| table.name(part)).filter(|key| checker.is_set(key)),
            );
        }
        keys = next;
    }
    keys
}
