//! Who the broker is as a client: its client metadata document (CIMD), which is also what it registers with (RFC 7591).

use serde_json::{Value, json};
use url::Url;

/// Who we are, everywhere.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// Where our metadata document is, and so our client id where such ids are taken.
    pub document: Url,
    /// Where people come back to: one for each server behind us.
    pub redirect_uris: Vec<Url>,
    pub name: String,
    /// Our own page.
    pub home: Option<Url>,
}

impl ClientIdentity {
    /// Whether others can read the document: a URL with https and a path (CIMD §3).
    pub(super) fn has_a_document(&self) -> bool {
        self.document.scheme() == "https" && self.document.path().len() > 1
    }

    /// What RFC 7591 §2 calls client metadata, with this method of authentication.
    pub(super) fn metadata(&self, method: &str) -> Value {
        let mut metadata = json!({
            "client_name": self.name,
            "redirect_uris": self.redirect_uris.iter().map(Url::as_str).collect::<Vec<_>>(),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "application_type": "web",
        });
        if let Some(home) = &self.home {
            metadata["client_uri"] = json!(home.as_str());
        }
        metadata
    }
}

/// The document at [`ClientIdentity::document`]: public, without any secret (CIMD §4.1).
#[must_use]
pub fn identity_document(identity: &ClientIdentity) -> Vec<u8> {
    let mut document = identity.metadata("none");
    document["client_id"] = json!(identity.document.as_str());
    document.to_string().into_bytes()
}
