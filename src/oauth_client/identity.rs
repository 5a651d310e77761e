//! Who the broker is as a client: its client metadata document (CIMD), which is also what it registers with (RFC 7591).

use serde::Serialize;
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
    pub(super) fn metadata(&self, method: &str) -> Metadata<'_> {
        Metadata {
            client_id: None,
            client_name: &self.name,
            redirect_uris: self.redirect_uris.iter().map(Url::as_str).collect(),
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: method.to_owned(),
            application_type: "web",
            client_uri: self.home.as_ref().map(Url::as_str),
        }
    }
}

/// Client metadata (RFC 7591 §2).
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    client_name: &'a str,
    redirect_uris: Vec<&'a str>,
    grant_types: [&'a str; 2],
    response_types: [&'a str; 1],
    token_endpoint_auth_method: String,
    application_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
}

impl Metadata<'_> {
    /// As JSON.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts and lists of texts always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The document at [`ClientIdentity::document`]: public, without any secret (CIMD §4.1).
#[must_use]
pub fn identity_document(identity: &ClientIdentity) -> Vec<u8> {
    let client_id = Some(identity.document.as_str());
    Metadata { client_id, ..identity.metadata("none") }.to_bytes()
}
