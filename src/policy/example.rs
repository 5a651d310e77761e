//! A name that a pattern matches, for patterns about tools that are not known by name.

use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

/// No tool has a longer name (MCP 2025-11-25, tool names).
const LONGEST: usize = 128;

/// Some text that the expression matches: the first of its alternatives, each repetition as seldom as it may be.
///
/// `None` where that is too long. Assertions are *not* looked at, so ask the expression whether it is true.
pub(super) fn example(expression: &Hir) -> Option<String> {
    let mut text = String::new();
    append(expression, &mut text).then_some(text)
}

/// Whether there is room.
fn append(part: &Hir, text: &mut String) -> bool {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.extend(sign_of(class)),
        HirKind::Repetition(again) => {
            for _ in 0..again.min {
                if !append(&again.sub, text) {
                    return false;
                }
            }
        }
        HirKind::Capture(group) => return append(&group.sub, text),
        HirKind::Concat(parts) => return parts.iter().all(|part| append(part, text)),
        HirKind::Alternation(parts) => {
            return parts.first().is_none_or(|part| append(part, text));
        }
    }
    text.len() <= LONGEST
}

fn sign_of(class: &Class) -> Option<char> {
    match class {
        Class::Unicode(class) => {
            let holds =
                |sign| class.iter().any(|range| range.start() <= sign && sign <= range.end());
            if holds('x') { Some('x') } else { class.iter().next().map(ClassUnicodeRange::start) }
        }
        Class::Bytes(class) => class.iter().next().map(|range| char::from(range.start())),
    }
}

#[cfg(test)]
mod tests {
    fn example(pattern: &str) -> Option<String> {
        super::example(&regex_syntax::parse(pattern).unwrap())
    }

    #[test]
    fn a_pattern_has_an_example() {
        for (pattern, name) in [
            (r"weather\.get_.*", "weather.get_"),
            (r"weather\.(?:get|set)_[a-z]+", "weather.get_x"),
            (r"a/resources/(?:.*)", "a/resources/"),
            (r"[^a-z]{2}\d?", "\0\0"),
        ] {
            assert_eq!(example(pattern).as_deref(), Some(name), "{pattern}");
        }
        assert_eq!(example("(a{100}){100}"), None);
    }
}
