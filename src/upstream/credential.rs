//! What the broker shows a server: never anything of the caller's.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::secret::Secrets;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::client_credentials::ClientCredentials;
use super::fault::Fault;

/// How long reading a secret may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The credential for one server.
#[derive(Clone, Debug)]
pub enum Credential {
    None,
    /// A fixed header; of `Authorization` with `Bearer ` before the secret.
    Fixed {
        header: HeaderName,
        bearer: bool,
        value: Held,
    },
    /// A token of the broker's own.
    ClientCredentials(Arc<ClientCredentials>),
}

/// A secret, or where it is: then it is read for each call, through the cache of secrets, so that a new one counts soon.
#[derive(Clone, Debug)]
pub enum Held {
    Text(SecretText),
    Reference(SecretRef, Arc<Secrets>),
}

impl Held {
    /// Whether it is one that people must not read. A text may be: only the settings know.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Self::Reference(..))
    }

    pub(super) async fn read(&self, clock: &Arc<dyn Clock>) -> Result<SecretText, Fault> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Reference(reference, secrets) => {
                let budget = Budget::start(Arc::clone(clock), LIMIT);
                let read = secrets.read_own(reference, &budget).await;
                let secret = read.map_err(|error| Fault::NoCredential(Box::new(error)))?;
                Ok(secret.text().clone())
            }
        }
    }
}

impl Credential {
    #[must_use]
    pub const fn bearer(value: Held) -> Self {
        Self::Fixed { header: header::AUTHORIZATION, bearer: true, value }
    }

    /// Adds it to a call.
    pub(super) async fn add(
        &self,
        headers: &mut HeaderMap,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), Fault> {
        let (header, mut shown) = match self {
            Self::None => return Ok(()),
            Self::Fixed { header, bearer, value } => {
                (header.clone(), header_value(&value.read(clock).await?, *bearer)?)
            }
            Self::ClientCredentials(client) => {
                (header::AUTHORIZATION, header_value(&client.token().await?, true)?)
            }
        };
        shown.set_sensitive(true);
        headers.insert(header, shown);
        Ok(())
    }

    /// The server did not accept it: one that is obtained is obtained anew for the next call.
    pub(super) async fn refused(&self) {
        if let Self::ClientCredentials(client) = self {
            client.forget().await;
        }
    }
}

fn header_value(secret: &SecretText, bearer: bool) -> Result<HeaderValue, Fault> {
    let value = if bearer {
        HeaderValue::try_from(["Bearer ", secret.expose()].concat())
    } else {
        HeaderValue::try_from(secret.expose())
    };
    value.map_err(|_| Fault::NoCredential("it cannot stand in a header".into()))
}
