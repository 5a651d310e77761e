//! What a test could not look at, on the machine that runs it.

use std::io::Write as _;

/// Says so past the harness, which keeps what a test prints to itself where it passes: `scripts/test` tells it at the end.
pub(crate) fn not_looked_at(what: &str, why: &str) {
    writeln!(std::io::stderr(), "not looked at: {what}: {why}").unwrap();
}
