//! Settings before they are typed: a tree whose every value knows where it was written.
//!
//! Layers are merged here and not by figment: its tags name a source, not a line, and merging
//! replaces the tags of single elements of an array, which an index in the environment patches.

use std::collections::BTreeMap;

use serde_json::Value;

use super::key::{Key, Step};
use super::origin::Origin;
use crate::secret_text::SecretText;

/// A value and where it was written. May hold secrets, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Shape,
    pub(super) origin: Origin,
}

#[derive(Clone)]
pub(super) enum Shape {
    /// Any text may be a secret, so each is zeroed when it is dropped.
    Text(SecretText),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(super) const fn new(value: Shape, origin: Origin) -> Self {
        Self { value, origin }
    }

    pub(super) const fn empty() -> Self {
        Self::new(Shape::Table(BTreeMap::new()), Origin::Default)
    }

    /// Puts `above` over `self`: tables are merged, everything else is replaced.
    pub(super) fn merge(&mut self, above: Self) {
        match (&mut self.value, above) {
            (Shape::Table(below), Self { value: Shape::Table(above), .. }) => {
                for (name, node) in above {
                    match below.get_mut(&name) {
                        Some(existing) => existing.merge(node),
                        None => drop(below.insert(name, node)),
                    }
                }
            }
            (_, above) => *self = above,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Self> {
        key.steps().iter().try_fold(self, |node, step| match (&node.value, step) {
            (Shape::Table(table), Step::Name(name)) => table.get(name),
            (Shape::Array(array), Step::Index(index)) => array.get(*index),
            _ => None,
        })
    }

    /// Puts `node` at `key`, making tables on the way. An index may name an element or the place after the last.
    ///
    /// Returns false where an index lies further out, or something else than a table is in the way.
    pub(super) fn set(&mut self, key: &Key, node: Self) -> bool {
        let mut here = self;
        for step in key.steps() {
            // A table that this call has just made turns into a list when an index follows.
            if matches!(step, Step::Index(0)) && here.value.is_empty() {
                here.value = Shape::Array(Vec::new());
            }
            here = match (step, &mut here.value) {
                (Step::Name(name), Shape::Table(table)) => {
                    table.entry(name.clone()).or_insert_with(|| Self::placeholder(&node.origin))
                }
                (Step::Index(index), Shape::Array(array)) if *index <= array.len() => {
                    if *index == array.len() {
                        array.push(Self::placeholder(&node.origin));
                    }
                    match array.get_mut(*index) {
                        Some(element) => element,
                        None => return false,
                    }
                }
                _ => return false,
            };
        }
        here.merge(node);
        true
    }

    fn placeholder(origin: &Origin) -> Self {
        Self::new(Shape::Table(BTreeMap::new()), origin.clone())
    }

    /// Whether both set the same, wherever they were written.
    pub(super) fn sets_the_same_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Shape::Text(a), Shape::Text(b)) => a == b,
            (Shape::Array(a), Shape::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.sets_the_same_as(b))
            }
            (Shape::Table(a), Shape::Table(b)) => {
                let same = |((a, left), (b, right)): ((&String, &Self), (&String, &Self))| {
                    a == b && left.sets_the_same_as(right)
                };
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (Shape::Text(_) | Shape::Array(_) | Shape::Table(_), _)
            | (_, Shape::Text(_) | Shape::Array(_) | Shape::Table(_)) => false,
            _ => self.to_json() == other.to_json(),
        }
    }

    /// For the types to be read from, which take the texts over without a copy. Not for keeping.
    pub(super) fn to_json(&self) -> Value {
        match &self.value {
            Shape::Text(text) => Value::String(text.expose().to_owned()),
            Shape::Integer(number) => Value::from(*number),
            Shape::Float(number) => Value::from(*number),
            Shape::Bool(value) => Value::Bool(*value),
            Shape::Array(array) => Value::Array(array.iter().map(Self::to_json).collect()),
            Shape::Table(table) => {
                let members = table.iter().map(|(name, node)| (name.clone(), node.to_json()));
                Value::Object(members.collect())
            }
        }
    }
}

impl Shape {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(SecretText::new(text.to_owned()))
    }

    /// What it is, without what it holds.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Text(text) if text.is_empty() => "an empty text",
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Table(table) if table.is_empty())
    }
}
