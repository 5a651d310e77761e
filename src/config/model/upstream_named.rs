//! `[[upstream.credential]]`: what servers that are registered while the broker runs may be given, by name.
//!
//! Whoever registers a server says where it is, and could say that of a server of their own. So a credential that is
//! given by name has a list of the places at which it may be shown, and only this file writes it.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

use super::authorization_server::path_name;
use super::graph::Graph;
use super::upstream_credential::{RawUpstreamCredential, UpstreamCredential};

const PLACE: &str =
    "a URL such as https://weather.example/mcp, or with a slash at its end for everything below it";

/// A credential that registered servers may name.
#[derive(Clone, Debug)]
pub struct UpstreamNamedCredential {
    pub name: String,
    /// Where a server must be to be shown it: exactly there, or below one that ends with a slash.
    pub urls: Vec<Url>,
    pub credential: UpstreamCredential,
    /// Other audiences of tokens that callers of such a server may bring.
    pub audiences: Vec<String>,
}

/// A credential that servers which are registered while the broker runs may name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamNamedCredential {
    /// Its name, which `broker server add --credential` and the admin API say: letters, digits, `-` and `_`.
    pub(super) name: String,
    /// Where servers must be to be shown it: a URL exactly, or everything below one that ends with a slash.
    pub(super) urls: Vec<String>,
    /// What they are shown: as for an `[[upstream.server]]`.
    pub(super) credential: RawUpstreamCredential,
    /// What else tokens for such a server may have as audience: as for an `[[upstream.server]]`. Nobody else can say so.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
}

impl RawUpstreamNamedCredential {
    pub(super) fn parse(
        self,
        at: &Key,
        graph: &Graph,
        to: &mut Checker<'_>,
    ) -> Option<UpstreamNamedCredential> {
        let name = path_name(&at.name("name"), &self.name, to);
        let key = at.name("urls");
        if self.urls.is_empty() {
            let problem = "is empty: a credential that may be shown nowhere is of no use";
            to.add(Finding::error(FindingCode::Missing, &key, problem).allowed(PLACE));
        }
        let texts = self.urls.iter().enumerate();
        let urls = texts.filter_map(|(place, text)| to.url(&to.item(&key, place), text, PLACE));
        let urls = urls.collect();
        let key = at.name("credential");
        let credential = self.credential.parse(&key, to)?;
        credential.check(&key, graph, to);
        if !matches!(credential, UpstreamCredential::None) {
            let audiences = self.audiences;
            return Some(UpstreamNamedCredential { name: name?, urls, credential, audiences });
        }
        let ways =
            "bearer, header, client_credentials, token_exchange, id_jag, entra_obo, per_user";
        to.add(Finding::error(FindingCode::Conflict, &key, "names no way").allowed(ways));
        None
    }
}
