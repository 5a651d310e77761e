//! The tools there are: what each is called, what it takes, what it answers, and how policy is asked about it.

mod documents;
mod graph_operation;
mod graph_operations;

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

pub(super) use documents::Document;
pub use documents::{DocumentError, Documents};
pub(super) use graph_operations::{ListArguments, list_operations};

/// What a tool does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Document(Document),
    /// `auth.graph.operation.execute.v1`
    GraphExecute,
    /// `auth.graph.operations.list.v1`
    GraphList,
}

/// A tool and its description for clients.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) tool: Tool,
}

/// All tools, in the order in which they are listed.
#[derive(Clone, Debug)]
pub struct Toolbox(Arc<[Entry]>);

/// Name of the tool that executes one Graph operation.
pub const GRAPH_EXECUTE: &str = "auth.graph.operation.execute.v1";
/// Name of the tool that lists the Graph operations a caller may execute.
pub const GRAPH_LIST: &str = "auth.graph.operations.list.v1";

impl Toolbox {
    /// The Graph tools, and the sample tools where they are on.
    #[must_use]
    pub fn new(sample: bool) -> Self {
        let mut entries = vec![graph_operation::entry(), graph_operations::entry()];
        if sample {
            entries.push(document(Document::Public));
            entries.push(document(Document::Confidential));
        }
        entries.sort_by(|a, b| a.tool.name.cmp(&b.tool.name));
        Self(entries.into())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.tool.name == name)
    }

    /// The names of all tools, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|entry| entry.tool.name.clone().into_owned()).collect()
    }

    /// The names of those that only read, as their annotations say.
    #[must_use]
    pub fn reading_names(&self) -> Vec<String> {
        let reads = |entry: &&Entry| {
            entry.tool.annotations.as_ref().and_then(|known| known.read_only_hint) == Some(true)
        };
        self.0.iter().filter(reads).map(|entry| entry.tool.name.clone().into_owned()).collect()
    }

    /// All tools as clients see them, whoever asks.
    #[must_use]
    pub fn describe(&self) -> Value {
        json!({ "tools": self.0.iter().map(|entry| &entry.tool).collect::<Vec<_>>() })
    }
}

fn document(document: Document) -> Entry {
    let (name, title, description) = match document {
        Document::Public => (
            "get_public_info",
            "Public information",
            "Reads the public document. Needs the scope public:read.",
        ),
        Document::Confidential => (
            "get_confidential_info",
            "Confidential information",
            "Reads the confidential document. Needs the scope confidential:read.",
        ),
    };
    let input =
        object(json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    let annotations = ToolAnnotations::new().read_only(true).idempotent(true).open_world(false);
    let tool = Tool::new(name, description, input).with_title(title).with_annotations(annotations);
    Entry { kind: Kind::Document(document), tool }
}

/// A JSON object literal as rmcp takes it.
fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(members) => Arc::new(members),
        _ => Arc::default(),
    }
}
