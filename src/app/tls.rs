//! TLS where the broker ends it itself: read before anybody is told that it serves.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, SecretSource};
use crate::http::{ClientCertificates, Tls, TlsFiles, TlsKey};
use crate::secret::Secrets;
use crate::secret_ref::SecretRef;
use crate::time::{Budget, Clock};

use super::error::AppError;
use super::issuers;

/// Reads `server.tls`; `None` where it is not set.
///
/// # Errors
///
/// [`AppError`] when a file or the secret cannot be read, or the two do not belong together.
pub(super) async fn load(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Tls>, AppError> {
    let Some(tls) = &config.server.tls else { return Ok(None) };
    let key = match &tls.key {
        // A whole file, of which the certificate may be a part.
        SecretSource::Ref(SecretRef::File(path)) => TlsKey::File(path.clone()),
        source @ (SecretSource::Ref(_) | SecretSource::Literal(_)) => {
            let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
            TlsKey::Pem(issuers::own(source, secrets, &budget).await?)
        }
    };
    let clients = ClientCertificates {
        authorities: tls.client_ca_file.clone(),
        self_signed: tls.self_signed_client_certificates,
    };
    Ok(Some(crate::http::tls(&TlsFiles { cert: tls.cert.clone(), key, clients })?))
}
