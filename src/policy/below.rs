//! Whether a pattern can match a text that begins in a given way. Never says no where it can.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

/// How much of the beginning a part of the expression may have left behind it. Its whole length: all of it, and whatever
/// follows is free.
type Reached = BTreeSet<usize>;

/// Whether some text that begins with `beginning` is matched, as a whole. Assertions are taken to hold.
pub(super) fn may_begin(expression: &Hir, beginning: &str) -> bool {
    reached(expression, beginning, &Reached::from([0])).contains(&beginning.len())
}

fn reached(part: &Hir, beginning: &str, from: &Reached) -> Reached {
    let after = |part: &Hir, from: &Reached| reached(part, beginning, from);
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => from.clone(),
        HirKind::Literal(literal) => {
            from.iter().filter_map(|at| literally(&literal.0, beginning, *at)).collect()
        }
        HirKind::Class(class) => from.iter().filter_map(|at| one(class, beginning, *at)).collect(),
        HirKind::Capture(group) => after(&group.sub, from),
        HirKind::Concat(parts) => {
            parts.iter().fold(from.clone(), |reached, part| after(part, &reached))
        }
        HirKind::Alternation(parts) => parts.iter().flat_map(|part| after(part, from)).collect(),
        HirKind::Repetition(again) => {
            // Each turn that leaves something behind leaves a sign at least.
            let turns = u32::try_from(beginning.len()).unwrap_or(u32::MAX).saturating_add(1);
            let mut last = from.clone();
            for _ in 0..again.min.min(turns) {
                let next = after(&again.sub, &last);
                // From here on each turn is like this one.
                if next == last {
                    break;
                }
                last = next;
            }
            let mut all = last.clone();
            let more = again.max.map_or(turns, |max| (max - again.min).min(turns));
            for _ in 0..more {
                last = after(&again.sub, &last);
                // What another turn leaves behind was left behind before, and so it is with all that follow.
                if last.is_subset(&all) {
                    break;
                }
                all.extend(&last);
            }
            all
        }
    }
}

fn literally(literal: &[u8], beginning: &str, at: usize) -> Option<usize> {
    let rest = beginning.as_bytes().get(at..)?;
    if literal.starts_with(rest) {
        return Some(beginning.len());
    }
    rest.starts_with(literal).then_some(at + literal.len())
}

fn one(class: &Class, beginning: &str, at: usize) -> Option<usize> {
    let Some(sign) = beginning.get(at..)?.chars().next() else {
        return (!class.is_empty()).then_some(at);
    };
    let holds = match class {
        Class::Unicode(class) => {
            class.iter().any(|range| range.start() <= sign && sign <= range.end())
        }
        Class::Bytes(class) => u8::try_from(sign).is_ok_and(|sign| {
            class.iter().any(|range| range.start() <= sign && sign <= range.end())
        }),
    };
    holds.then(|| at + sign.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::may_begin;

    fn may(pattern: &str) -> bool {
        may_begin(&regex_syntax::parse(pattern).unwrap(), "weather.")
    }

    #[test]
    fn a_pattern_that_can_be_about_what_begins_so_is_found_whatever_its_form() {
        for pattern in [
            r"weather\.delete",
            r"(other|weather)\.delete",
            r".*delete.*",
            r"[a-z]+\.[a-z]+",
            r"(?i)WEATHER\.x",
            r"w(ea)?ather.*|weather\.[0-9]{3}",
            r"(w|e|a|t|h|r){7}\.x?",
            r"weather.*",
            r"(\w+\.)+x",
            r"^weather\.x$",
        ] {
            assert!(may(pattern), "{pattern}");
        }
        for pattern in [
            r"other\..*",
            r"weather/prompts/.*",
            r"weather2\..*",
            r"[a-z]{3}\..*",
            r"weather",
            r"(w|e|a|t|h|r){6}\.x",
            r"xweather\..*",
            r"",
        ] {
            assert!(!may(pattern), "{pattern}");
        }
    }

    /// Each turn that adds nothing is the last one that is looked at.
    #[test]
    fn repetitions_in_repetitions_cost_no_more_than_what_they_reach() {
        let beginning = format!("{}.", "a".repeat(64));
        let mut pattern = "[a-z]+".to_owned();
        for _ in 0..12 {
            pattern = format!("({pattern})*x?");
        }
        let pattern = regex_syntax::parse(&format!(r"({pattern}){{50}}\.x")).unwrap();
        assert!(may_begin(&pattern, &beginning));
    }
}
