//! Documents of well-known clients, for when theirs cannot be fetched: egress is closed, or their host answers a
//! challenge page instead (as `claude.ai` does to some clouds).
//!
//! A snapshot is never used where the host itself answered with a document, or said that it is gone.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::value::RawValue;

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

/// The snapshot of the document that is named by this URL.
pub(super) fn snapshot(client_id: &str) -> Option<&'static str> {
    CATALOGUE.get(client_id).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snapshot_is_a_document_that_would_be_accepted() {
        assert_eq!(CATALOGUE.len(), 6);
        for (url, document) in CATALOGUE.iter() {
            let read =
                crate::authorization_server::client_metadata::parse(url, document.as_bytes());
            assert!(read.is_ok(), "{url}: {read:?}");
        }
    }
}
