//! Who a client says it is, and how far that can be trusted. For people to read: nothing is decided by it.

use serde_json::Value;

use crate::authorization_server::client_metadata::{Publisher, publisher};
use crate::authorization_server::pages::clean;
use crate::authorization_server::server::AuthorizationServer;
use crate::host_trust::HostTrust;
use crate::id::ClientId;
use crate::store::{ClientKind, StoreError};

/// A client as it is introduced to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// Cleaned: one short line without tricks.
    pub(crate) name: String,
    pub(crate) standing: Standing,
}

/// How far the name can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// An operator registered it.
    Registered,
    /// Its metadata document lies on this host.
    Published(String),
    /// The same, and the operator has not approved the host.
    Unapproved(String),
    /// It registered itself: the name is its own claim (N93).
    Unverified,
}

/// Asks nobody outside: the settings, the store, and the id itself.
///
/// # Errors
///
/// [`StoreError`]
pub(crate) async fn introduce(
    server: &AuthorizationServer,
    id: &ClientId,
) -> Result<Introduction, StoreError> {
    if server.settings.clients.iter().any(|client| client.client_id == *id) {
        return Ok(Introduction { name: clean(id.as_str()), standing: Standing::Registered });
    }
    if let Some(Publisher { host, trust }) = publisher(server, id) {
        let document = server.store.find_metadata_document(id.as_str()).await?;
        let name = document.and_then(|document| name_in(&document.body));
        let name = name.unwrap_or_else(|| host.clone());
        let standing = match trust {
            HostTrust::Allow => Standing::Published(host),
            HostTrust::Ask | HostTrust::Deny => Standing::Unapproved(host),
        };
        return Ok(Introduction { name, standing });
    }
    let row = server.store.find_client(id).await?;
    let registered = row.as_ref().is_some_and(|row| row.kind == ClientKind::Static);
    let name = row.and_then(|row| name_in(row.metadata.as_bytes()));
    let name = name.unwrap_or_else(|| "an app without a name".to_owned());
    let standing = if registered { Standing::Registered } else { Standing::Unverified };
    Ok(Introduction { name, standing })
}

/// `client_name` (RFC 7591 §2).
fn name_in(metadata: &[u8]) -> Option<String> {
    let metadata: Value = serde_json::from_slice(metadata).ok()?;
    let name = clean(metadata.get("client_name")?.as_str()?);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // N93
    #[test]
    fn a_name_is_cleaned_before_anybody_reads_it() {
        let name = |json: &str| name_in(json.as_bytes());
        assert_eq!(
            name(r#"{"client_name":"Claude\u202e\n(claude.ai)"}"#).unwrap(),
            "Claude (claude.ai)"
        );
        assert_eq!(name(r#"{"client_name":"\u200b"}"#), None);
        assert_eq!(name(r#"{"client_name":7}"#), None);
        assert_eq!(name("{}"), None);
    }
}
