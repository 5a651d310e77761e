//! Reads an expression: bounds how deep the parser recurses before it does, and puts its faults in our words.

use super::{ConditionFault, fault};

/// Brackets within brackets, choices, and signs in a row.
const MAX_DEPTH: usize = 12;
/// Dots, one for each part of a name and each call.
const MAX_MEMBERS: usize = 64;

/// Bounds how deep the parser recurses, before it does: its own limit counts too late to save the stack.
pub(super) fn nesting(text: &str) -> Result<(), Vec<ConditionFault>> {
    let (mut depth, mut run, mut choices, mut members) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut quote = None;
    let mut signs = text.char_indices().enumerate();
    let mut before = ' ';
    while let Some((at, (byte, sign))) = signs.next() {
        let rest = text.get(byte..).unwrap_or_default();
        let raw = matches!(sign, '\'' | '"') && matches!(before, 'r' | 'R' | 'b' | 'B');
        let unusual = ["//", "\'\'\'", "\"\"\""].iter().any(|start| rest.starts_with(start));
        // What this scan reads otherwise than the parser does would let brackets hide in it.
        if quote.is_none() && (raw || unusual) {
            let message = "has a comment, a raw or a triple-quoted text".to_owned();
            return Err(vec![fault(at, message, "write texts in plain quotes")]);
        }
        before = sign;
        match (quote, sign) {
            (Some(_), '\\') => drop(signs.next()),
            (Some(open), sign) if sign == open => quote = None,
            (None, '\'' | '"') => quote = Some(sign),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '?') => choices += 1,
            (None, '.') => members += 1,
            _ => {}
        }
        run = match sign {
            '!' | '-' => run + 1,
            ' ' | '\t' | '\n' | '\r' | '.' => run,
            _ => 0,
        };
        if depth + choices > MAX_DEPTH || run > MAX_DEPTH || members > MAX_MEMBERS {
            let message = format!(
                "is nested more than {MAX_DEPTH} deep, or has more than {MAX_MEMBERS} dots"
            );
            return Err(vec![fault(at, message, "split it into several rules")]);
        }
    }
    Ok(())
}

pub(super) fn syntax(text: &str, errors: &cel::ParseErrors) -> Vec<ConditionFault> {
    let hint = "a condition is CEL, such as path.user == claims.oid";
    let offset = |(line, column): (isize, isize)| {
        let before: usize = text
            .split_inclusive('\n')
            .take(usize::try_from(line - 1).unwrap_or(0))
            .map(|line| line.chars().count())
            .sum();
        before + usize::try_from(column - 1).unwrap_or(0)
    };
    let faults: Vec<_> = errors
        .errors
        .iter()
        .map(|error| {
            // A single `=`, which is how TOML and SQL compare.
            let single = error.msg.contains("token recognition error at: '= ");
            let hint = if single { "compare with ==" } else { hint };
            fault(offset(error.pos), plain(&error.msg), hint)
        })
        .collect();
    if faults.is_empty() { vec![fault(0, "is no expression".to_owned(), hint)] } else { faults }
}

/// The parser's message on one line.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    // Where a value may begin the parser names every sign that one may begin with.
    let line = match line.split_once(" expecting {") {
        Some((found, all)) if all.contains("IDENTIFIER") => {
            &format!("{found}, where a value or a name is expected")
        }
        _ => line,
    };
    format!("cannot be read: {}", line.trim_start_matches("Syntax error: "))
}
