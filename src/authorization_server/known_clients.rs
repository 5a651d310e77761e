//! Documents of well-known clients, for when theirs cannot be fetched: egress is closed, or their host answers a
//! challenge page instead (as `claude.ai` does to some clouds).
//!
//! A snapshot is never used where the host itself answered with a document, or said that it is gone.
//!
//! `%SERVER%` in a redirect URI stands for one of our resources as Codex names it: the first nine bytes of the SHA-256 of
//! the URL, in base64url.

mod refresh;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::Digest;

use super::client_metadata::{self, InvalidDocument};

pub use refresh::{Difference, Looked, Now};

const SERVER: &str = "%SERVER%";
/// Of the digest of a server's URL.
const SERVER_BYTES: usize = 9;
/// A document has so many redirect URIs at most, and others beside these.
const MOST_SERVERS: usize = 16;
/// More than anybody keeps.
const MOST_DOCUMENTS: usize = 256;

/// The documents, by the id of their client. Shipped, or of a file of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownClients {
    /// Where they come from, in words.
    source: String,
    documents: BTreeMap<String, Map<String, Value>>,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    source: String,
    documents: Vec<Map<String, Value>>,
}

/// Why a catalogue cannot be used. Each is about the operator's own file.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(
        "it is no catalogue\n  hint: {{ \"source\": \"…\", \"documents\": [ … ] }}, as broker client known --json prints it"
    )]
    Json(#[source] serde_json::Error),
    #[error("document {0} has no client_id\n  hint: the https URL at which it is published")]
    NoId(usize),
    #[error("the document {0} is there twice")]
    Twice(String),
    #[error("the document {client_id} cannot be used")]
    Document {
        client_id: String,
        #[source]
        source: InvalidDocument,
    },
    #[error("it has more than {MOST_DOCUMENTS} documents")]
    TooMany,
}

impl KnownClients {
    /// What is shipped.
    #[must_use]
    pub fn shipped() -> Self {
        // A broken catalogue is an empty one; the test below keeps it whole.
        let none = Self { source: String::new(), documents: BTreeMap::new() };
        Self::parse(include_str!("known_clients/catalogue.json")).unwrap_or(none)
    }

    /// # Errors
    ///
    /// [`CatalogueError`] where one document is none that would be accepted from its host.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Catalogue = serde_json::from_str(text).map_err(CatalogueError::Json)?;
        if catalogue.documents.len() > MOST_DOCUMENTS {
            return Err(CatalogueError::TooMany);
        }
        let mut documents = BTreeMap::new();
        for (place, document) in catalogue.documents.into_iter().enumerate() {
            let client_id = document.get("client_id").and_then(Value::as_str);
            let client_id = client_id.ok_or(CatalogueError::NoId(place + 1))?.to_owned();
            let text = for_servers(document.clone(), ["https://server.example/mcp"].into_iter());
            client_metadata::parse(&client_id, text.as_bytes()).map_err(|source| {
                CatalogueError::Document { client_id: client_id.clone(), source }
            })?;
            if documents.insert(client_id.clone(), document).is_some() {
                return Err(CatalogueError::Twice(client_id));
            }
        }
        Ok(Self { source: catalogue.source, documents })
    }

    /// As it is read again.
    #[must_use]
    pub fn written(&self) -> String {
        let documents = self.documents.values().cloned().collect();
        let catalogue = Catalogue { source: self.source.clone(), documents };
        serde_json::to_string_pretty(&catalogue).unwrap_or_default()
    }

    /// With other words about where it comes from.
    #[must_use]
    pub fn from_source(self, source: String) -> Self {
        Self { source, ..self }
    }

    /// A redirect URI as it is for the server with this URL.
    #[must_use]
    pub fn at_server(uri: &str, server: &str) -> String {
        uri.replace(SERVER, &name(server))
    }

    /// Id, name, and where answers may go.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
        self.documents.iter().map(|(client_id, document)| {
            let name = document.get("client_name").and_then(Value::as_str).unwrap_or_default();
            let uris = document.get("redirect_uris").and_then(Value::as_array);
            let uris = uris.into_iter().flatten().filter_map(Value::as_str).collect();
            (client_id.as_str(), name, uris)
        })
    }

    /// The snapshot of the document that is named by this URL, for the servers with these URLs.
    pub(super) fn snapshot<'a>(
        &self,
        client_id: &str,
        servers: impl Iterator<Item = &'a str>,
    ) -> Option<String> {
        self.documents.get(client_id).map(|document| for_servers(document.clone(), servers))
    }
}

fn for_servers<'a>(
    mut document: Map<String, Value>,
    servers: impl Iterator<Item = &'a str>,
) -> String {
    if let Some(uris) = document.get_mut("redirect_uris").and_then(Value::as_array_mut) {
        let (templates, mut all): (Vec<_>, Vec<_>) =
            uris.drain(..).partition(|uri| uri.as_str().is_some_and(|uri| uri.contains(SERVER)));
        let names: Vec<String> = servers.take(MOST_SERVERS).map(name).collect();
        let templates = templates.iter().filter_map(Value::as_str);
        all.extend(
            templates.flat_map(|uri| names.iter().map(|name| uri.replace(SERVER, name).into())),
        );
        *uris = all;
    }
    Value::Object(document).to_string()
}

fn name(server: &str) -> String {
    let digest = Digest::of(server);
    URL_SAFE_NO_PAD.encode(digest.as_bytes().get(..SERVER_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::authorization_server::client_metadata;

    const MCP: &str = "https://broker.example/mcp";

    #[test]
    fn every_snapshot_is_a_document_that_would_be_accepted() {
        let shipped = KnownClients::shipped();
        assert_eq!(shipped.list().count(), 6);
        for (url, ..) in shipped.list() {
            let document = shipped.snapshot(url, [MCP].into_iter()).unwrap();
            let read = client_metadata::parse(url, document.as_bytes());
            assert!(read.is_ok(), "{url}: {read:?}");
            assert!(!document.contains(SERVER), "{document}");
        }
        assert_eq!(KnownClients::parse(&shipped.written()).unwrap(), shipped);
    }

    // CIMD §4
    #[test]
    fn codex_and_opencode_may_be_answered_where_they_listen() {
        let shipped = KnownClients::shipped();
        let codex = "https://chatgpt.com/oauth/codex/client.json";
        let listens = format!("http://127.0.0.1:40000/callback/{}", name(MCP));
        for (client, uri) in [
            (codex, listens.as_str()),
            (codex, "http://127.0.0.1:40000/callback"),
            (
                "https://opencode.ai/oauth/opencode/client.json",
                "http://127.0.0.1:19876/mcp/oauth/callback",
            ),
        ] {
            let document = shipped.snapshot(client, [MCP].into_iter()).unwrap();
            let document = client_metadata::parse(client, document.as_bytes()).unwrap();
            let listed = document.metadata.parsed_redirect_uris();
            assert!(listed.iter().any(|listed| listed.matches(uri)), "{uri}");
        }
        let other = shipped.snapshot(codex, ["https://other.example/mcp"].into_iter()).unwrap();
        assert_eq!(name(MCP).len(), 12);
        assert!(!other.contains(&name(MCP)), "another server's");
    }

    #[test]
    fn a_catalogue_with_a_bad_document_is_refused_and_says_which() {
        let catalogue = |documents: &str| format!(r#"{{"source":"s","documents":[{documents}]}}"#);
        let good = r#"{"client_id":"https://a.example/c","client_name":"A","redirect_uris":["https://a.example/cb"]}"#;
        assert!(KnownClients::parse(&catalogue(good)).is_ok());
        for (documents, told) in [
            (good.replace("https://a.example/cb", "javascript:x"), "https://a.example/c"),
            (format!("{good},{good}"), "twice"),
            ("{}".to_owned(), "document 1"),
            (good.replace("\"client_name\"", "\"client_secret\""), "cannot be used"),
        ] {
            let error = KnownClients::parse(&catalogue(&documents)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(KnownClients::parse(r#"{"documents":[]}"#).is_err());
    }
}
