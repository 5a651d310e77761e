//! The settings file: TOML, every value with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, FindingCode};
use super::origin::Origin;
use super::tree::{Node, Shape};

/// Reads a settings file.
///
/// # Errors
///
/// A finding for every syntax error, with line and column. Quotes nothing of the file: it may hold secrets.
pub(super) fn parse(path: &Path, text: &str) -> Result<Node, Vec<Finding>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Reader { path, lines: Lines::of(text) }.table(document.into_inner(), (1, 1)));
    }
    let lines = Lines::of(text);
    let name = path.display().to_string();
    Err(errors
        .iter()
        .map(|error| {
            let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
            let problem = format!("line {line}, column {column}: {}", message(error));
            Finding::about(&name, FindingCode::Syntax, problem)
        })
        .collect())
}

/// A single value as TOML writes it, for the environment and flags: `["a", "b"]`, `[{ name = "x" }]`.
pub(super) fn literal(text: &str, origin: &Origin) -> Option<Node> {
    let document = format!("value = {text}");
    let mut table = DeTable::parse(&document).ok()?.into_inner();
    if table.len() != 1 {
        return None;
    }
    let value = table.remove("value")?;
    let mut node = Reader { path: Path::new(""), lines: Lines::of("") }.value(value, (1, 1));
    claim(&mut node, origin);
    Some(node)
}

fn claim(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Shape::Array(array) => array.iter_mut().for_each(|inner| claim(inner, origin)),
        Shape::Table(table) => table.values_mut().for_each(|inner| claim(inner, origin)),
        _ => {}
    }
}

/// The parser's words. What it wanted comes from a list of its own; in front of that a quotation of the file is cut off.
fn message(error: &toml::de::Error) -> String {
    const WANTED: &str = ", expected ";
    let one = |line: &str| {
        let (found, wanted) = line.split_once(WANTED).unwrap_or((line, ""));
        let found = found.split('`').next().unwrap_or_default().trim();
        if wanted.is_empty() { found.to_owned() } else { [found, WANTED, wanted].concat() }
    };
    error.message().lines().map(one).collect::<Vec<_>>().join(", ")
}

struct Reader<'a> {
    path: &'a Path,
    lines: Lines,
}

impl Reader<'_> {
    fn table(&self, table: DeTable<'_>, place: (usize, usize)) -> Node {
        let members = table.into_iter().map(|(name, value)| {
            let key = self.lines.place(name.span().start);
            (name.into_inner().into_owned(), self.value(value, key))
        });
        self.node(Shape::Table(members.collect::<BTreeMap<_, _>>()), place)
    }

    fn value(&self, value: Spanned<DeValue<'_>>, key: (usize, usize)) -> Node {
        let Range { start, .. } = value.span();
        let place = if start == 0 { key } else { self.lines.place(start) };
        let shape = match value.into_inner() {
            DeValue::String(text) => Shape::Text(text.into_owned().into()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Shape::Float(f64::INFINITY), Shape::Integer),
            DeValue::Float(number) => Shape::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Shape::Bool(value),
            DeValue::Datetime(time) => Shape::text(&time.to_string()),
            DeValue::Array(array) => {
                Shape::Array(array.into_iter().map(|inner| self.value(inner, place)).collect())
            }
            DeValue::Table(table) => return self.table(table, place),
        };
        self.node(shape, place)
    }

    fn node(&self, shape: Shape, (line, column): (usize, usize)) -> Node {
        Node::new(shape, Origin::File { path: self.path.to_owned(), line, column })
    }
}

/// Where lines begin, to name a place in a file.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect(),
        )
    }

    /// Line and column of a byte, both from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.0.partition_point(|newline| *newline < offset);
        let start = before
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .map_or(0, |newline| newline + 1);
        (before + 1, offset.saturating_sub(start) + 1)
    }
}
