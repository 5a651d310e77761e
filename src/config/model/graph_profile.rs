//! `[[graph.profile]]`: the app registrations we act with, and how each proves itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::id::{ProfileName, TenantId};

/// One app registration.
#[derive(Clone, Debug)]
pub struct GraphProfile {
    pub name: ProfileName,
    pub tenant_id: TenantId,
    /// Empty only for a managed identity that the platform assigned.
    pub client_id: String,
    pub credential: GraphCredential,
}

/// How the app registration proves itself.
#[derive(Clone, Debug)]
pub enum GraphCredential {
    ClientSecret(SecretSource),
    Certificate { certificate: PathBuf, private_key: SecretSource, send_chain: bool },
    FederatedTokenFile(PathBuf),
    ManagedIdentity,
}

/// An app registration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    /// How policy rules call it.
    #[serde(default = "default_name")]
    pub(super) name: String,
    /// The tenant: its GUID or a domain name.
    pub(super) tenant_id: String,
    /// The app's client id. May be left out for a managed identity that the platform assigned.
    #[serde(default)]
    pub(super) client_id: String,
    /// How the app proves itself.
    pub(super) credential: RawGraphCredential,
}

fn default_name() -> String {
    "default".to_owned()
}

/// One of: `client_secret`; `certificate` with `private_key`; `federated_token_file`; `managed_identity`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGraphCredential {
    /// The client secret.
    pub(super) client_secret: Option<RawSecret>,
    /// File with the certificate chain, PEM.
    pub(super) certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub(super) private_key: Option<RawSecret>,
    /// Sends the whole chain (`x5c`), for subject name and issuer authentication.
    pub(super) send_chain: bool,
    /// File with a token that somebody else signs for us, such as a projected Kubernetes token.
    pub(super) federated_token_file: Option<PathBuf>,
    /// Asks the platform.
    pub(super) managed_identity: bool,
}

impl RawProfile {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<GraphProfile> {
        let name =
            to.parse(&at.name("name"), &self.name, "1 to 128 letters, digits, `.`, `_` and `-`");
        let tenant_id = tenant(&at.name("tenant_id"), &self.tenant_id, to);
        let credential = self.credential.parse(&at.name("credential"), to);
        let key = at.name("client_id");
        let assigned = matches!(credential, Some(GraphCredential::ManagedIdentity));
        if self.client_id.is_empty() && !assigned {
            let finding = Finding::error(FindingCode::Missing, &key, "is missing");
            to.add(finding.allowed("the app's client id, a GUID"));
        } else if !self
            .client_id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        {
            to.refuse(&key, &self.client_id, "is no client id", "the app's client id, a GUID");
        }
        Some(GraphProfile {
            name: name?,
            tenant_id: tenant_id?,
            client_id: self.client_id,
            credential: credential?,
        })
    }
}

/// One tenant: `common` and its like stand for many, which an app's own token cannot (AADSTS9001023).
fn tenant(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<TenantId> {
    const ALLOWED: &str = "a tenant's GUID or domain name";
    if ["common", "organizations", "consumers"].iter().any(|many| text.eq_ignore_ascii_case(many)) {
        to.refuse(key, text, "stands for many tenants", ALLOWED);
        return None;
    }
    let guid =
        text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !guid && !text.contains('.') {
        to.refuse(key, text, "is neither a GUID nor a domain name", ALLOWED);
        return None;
    }
    to.parse(key, text, ALLOWED)
}

impl RawGraphCredential {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<GraphCredential> {
        let mut given = Vec::new();
        if let Some(raw) = &self.client_secret {
            given.push((
                "client_secret",
                to.secret(&at.name("client_secret"), raw).map(GraphCredential::ClientSecret),
            ));
        }
        if self.certificate.is_some() || self.private_key.is_some() {
            given.push(("certificate", self.certificate(at, to)));
        }
        if let Some(path) = &self.federated_token_file {
            given.push((
                "federated_token_file",
                Some(GraphCredential::FederatedTokenFile(path.clone())),
            ));
        }
        if self.managed_identity {
            given.push(("managed_identity", Some(GraphCredential::ManagedIdentity)));
        }
        to.one_of(
            at,
            given,
            "client_secret, certificate with private_key, federated_token_file, managed_identity",
        )
        .flatten()
    }

    fn certificate(&self, at: &Key, to: &mut Checker<'_>) -> Option<GraphCredential> {
        let certificate =
            self.certificate.as_ref().map(|path| to.input(&at.name("certificate"), path));
        let private_key =
            self.private_key.as_ref().and_then(|raw| to.secret(&at.name("private_key"), raw));
        for (name, missing) in [
            ("certificate", self.certificate.is_none()),
            ("private_key", self.private_key.is_none()),
        ] {
            if missing {
                let problem = "is missing: certificate and private_key go together";
                to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
            }
        }
        Some(GraphCredential::Certificate {
            certificate: certificate?,
            private_key: private_key?,
            send_chain: self.send_chain,
        })
    }
}
