//! Documents of well-known clients, for when theirs cannot be fetched: egress is closed, or their host answers a
//! challenge page instead (as `claude.ai` does to some clouds).
//!
//! A snapshot is never used where the host itself answered with a document, or said that it is gone.
//!
//! `%SERVER%` in a redirect URI stands for one of our resources as Codex names it: the first nine bytes of the SHA-256 of
//! the URL, in base64url.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::store::Digest;

const SERVER: &str = "%SERVER%";
/// Of the digest of a server's URL.
const SERVER_BYTES: usize = 9;
/// A document has so many redirect URIs at most, and others beside these.
const MOST_SERVERS: usize = 16;

/// Each `documents` member is one client metadata document. `source` says where they come from.
#[derive(serde::Deserialize)]
struct Catalogue {
    documents: Vec<Box<RawValue>>,
}

#[derive(serde::Deserialize)]
struct Named {
    client_id: String,
}

static CATALOGUE: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    // A broken catalogue is an empty one; the test below keeps it whole.
    let read = serde_json::from_str(include_str!("known_clients/catalogue.json"));
    let catalogue = read.unwrap_or(Catalogue { documents: Vec::new() });
    let documents = catalogue.documents.into_iter();
    let named = documents.filter_map(|document| {
        let named: Named = serde_json::from_str(document.get()).ok()?;
        Some((named.client_id, document.get().to_owned()))
    });
    named.collect()
});

/// The snapshot of the document that is named by this URL, for the servers with these URLs.
pub(super) fn snapshot<'a>(
    client_id: &str,
    servers: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let document = CATALOGUE.get(client_id)?;
    if !document.contains(SERVER) {
        return Some(document.clone());
    }
    let mut document: Value = serde_json::from_str(document).ok()?;
    let uris = document.get_mut("redirect_uris")?.as_array_mut()?;
    let (templates, mut all): (Vec<_>, Vec<_>) =
        uris.drain(..).partition(|uri| uri.as_str().is_some_and(|uri| uri.contains(SERVER)));
    let names: Vec<String> = servers.take(MOST_SERVERS).map(name).collect();
    let templates = templates.iter().filter_map(Value::as_str);
    all.extend(templates.flat_map(|uri| names.iter().map(|name| uri.replace(SERVER, name).into())));
    *uris = all;
    Some(document.to_string())
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
        assert_eq!(CATALOGUE.len(), 6);
        for url in CATALOGUE.keys() {
            let document = snapshot(url, [MCP].into_iter()).unwrap();
            let read = client_metadata::parse(url, document.as_bytes());
            assert!(read.is_ok(), "{url}: {read:?}");
            assert!(!document.contains(SERVER), "{document}");
        }
    }

    // CIMD §4
    #[test]
    fn codex_and_opencode_may_be_answered_where_they_listen() {
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
            let document = snapshot(client, [MCP].into_iter()).unwrap();
            let document = client_metadata::parse(client, document.as_bytes()).unwrap();
            let listed = document.metadata.parsed_redirect_uris();
            assert!(listed.iter().any(|listed| listed.matches(uri)), "{uri}");
        }
        let other = snapshot(codex, ["https://other.example/mcp"].into_iter()).unwrap();
        assert_eq!(name(MCP).len(), 12);
        assert!(!other.contains(&name(MCP)), "another server's");
    }
}
