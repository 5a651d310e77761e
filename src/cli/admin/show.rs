//! Lists and single objects on a terminal.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use crate::cli::failure::Failure;

/// Columns of a table: the heading, and where the value is in the object.
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// `rows` as a table, or as one JSON array.
pub(super) fn list<T: Serialize>(
    rows: &[T],
    columns: Columns,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json {
        return print(&serde_json::to_value(rows).unwrap_or_default().to_string(), out);
    }
    let values = rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default());
    let cells = values.map(|value| columns.iter().map(|(_, at)| cell(value.get(at))).collect());
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(headings).chain(cells).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        print(cells.collect::<String>().trim_end(), out)?;
    }
    Ok(())
}

/// One object as JSON, or the lines that say the same to a person.
pub(super) fn one(
    value: &Value,
    lines: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json { print(&value.to_string(), out) } else { print(lines, out) }
}

fn print(text: &str, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(Failure::output)
}

/// What clients and people chose is printed without what would steer a terminal (N113).
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| cell(Some(value))).collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    };
    let seen = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let text: String = text.chars().map(|c| if seen(c) { c } else { '\u{fffd}' }).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(rows: &[Value], json: bool) -> String {
        let mut out = Vec::new();
        list(rows, &[("name", "name"), ("since", "since")], json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [json!({"name": "köln", "since": 1}), json!({"name": "b", "since": null})];
        assert_eq!(printed(&rows, false), "name  since\nköln  1\nb     -\n");
    }

    // OWASP ASVS 5 — N113
    #[test]
    fn a_name_that_steers_a_terminal_is_shown_harmless() {
        let rows = [json!({"name": "a\u{1b}[2J\u{202e}b\nc", "since": 1})];
        let text = printed(&rows, false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
        assert_eq!(text.lines().count(), 2);
        assert!(!printed(&rows, true).contains('\u{1b}'), "JSON escapes it");
    }
}
