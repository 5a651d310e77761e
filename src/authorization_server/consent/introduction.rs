//! Who a client says it is, and how far that can be trusted. For people to read: nothing is decided by it.

use serde_json::Value;
use url::Url;

use crate::authorization_server::pages::clean;
use crate::authorization_server::server::AuthorizationServer;
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
    if let Some(host) = document_host(id) {
        let document = server.store.find_metadata_document(id.as_str()).await?;
        let name = document.and_then(|document| name_in(&document.body));
        let name = name.unwrap_or_else(|| host.clone());
        return Ok(Introduction { name, standing: Standing::Published(host) });
    }
    let row = server.store.find_client(id).await?;
    let registered = row.as_ref().is_some_and(|row| row.kind == ClientKind::Static);
    let name = row.and_then(|row| name_in(row.metadata.as_bytes()));
    let name = name.unwrap_or_else(|| "an app without a name".to_owned());
    let standing = if registered { Standing::Registered } else { Standing::Unverified };
    Ok(Introduction { name, standing })
}

/// The host of a client that is named by the URL of its metadata document.
fn document_host(id: &ClientId) -> Option<String> {
    let url = Url::parse(id.as_str()).ok().filter(|url| url.scheme() == "https")?;
    url.host_str().map(str::to_owned)
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

    #[test]
    fn only_an_https_url_vouches_for_a_host() {
        let host = |id: &str| document_host(&id.parse().unwrap());
        assert_eq!(host("https://claude.ai/oauth/x.json").as_deref(), Some("claude.ai"));
        assert_eq!(host("dcr1.abc"), None);
        assert_eq!(host("http://evil.example/x"), None);
    }
}
