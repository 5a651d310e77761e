//! How the broker proves to the identity provider which app it is.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use url::Url;

use crate::secret::{Secret, SecretError};
use crate::secret_text::SecretText;

use super::assertion::CertificateChain;

/// One kind of proof. What must stay secret is not in here but behind a [`CredentialSource`].
#[derive(Clone, Debug)]
pub enum Credential {
    /// The secret itself goes over the wire (`client_secret`).
    ClientSecret,
    /// A JWT signed with the private key of this certificate; the key is the secret, as PEM.
    Certificate { chain: CertificateChain, send_chain: bool },
    /// A JWT somebody else signs for us, such as a Kubernetes projected token. Read at every mint,
    /// because the kubelet replaces the file.
    FederatedTokenFile(PathBuf),
    /// The platform answers with a token; there is no proof to keep.
    ManagedIdentity(ManagedIdentity),
}

/// Where a managed identity is asked for its tokens.
#[derive(Clone, Debug)]
pub enum ManagedIdentity {
    /// The virtual machine's metadata service, `http://169.254.169.254` unless overridden.
    Imds { endpoint: Url, client_id: Option<String> },
    /// App Service and Functions: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    AppService { endpoint: Url, header: SecretText, client_id: Option<String> },
}

/// Whether a remembered secret will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Cached,
    /// The remembered one was just refused: ask the backend again.
    Reread,
}

/// Where the secret of a profile comes from: the client secret, or the private key of a certificate.
///
/// A seam, because reading a secret needs what this module must not know. Not asked for
/// federated tokens and managed identities.
pub trait CredentialSource: Send + Sync {
    fn secret(&self, freshness: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>>;

    /// The secret as it is now, where a look costs nothing: in a file, in the environment. `None` elsewhere, and where it
    /// cannot be read.
    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>>;
}

impl Credential {
    /// Tells credentials of one client apart in the cache. Names a place, never a value.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::ClientSecret => "client_secret".to_owned(),
            Self::Certificate { chain, .. } => format!("certificate {}", chain.thumbprint()),
            Self::FederatedTokenFile(path) => format!("federated {}", path.display()),
            Self::ManagedIdentity(
                ManagedIdentity::Imds { endpoint, client_id }
                | ManagedIdentity::AppService { endpoint, client_id, .. },
            ) => format!("managed {endpoint} {}", client_id.as_deref().unwrap_or_default()),
        }
    }

    /// Whether [`CredentialSource`] is asked.
    pub(super) const fn has_secret(&self) -> bool {
        matches!(self, Self::ClientSecret | Self::Certificate { .. })
    }
}
