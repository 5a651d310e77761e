//! Tokens from the platform: the virtual machine's metadata service, and App Service's endpoint.

use http::{HeaderName, HeaderValue};

use crate::outbound::{Answer, Call};
use crate::time::Timestamp;

use super::answer::{self, Granted};
use super::credential::ManagedIdentity;
use super::error::{Detail, Diagnostics, TokenError};

/// What a platform that is updating itself is given before it is asked again.
const UPDATING: std::time::Duration = std::time::Duration::from_secs(10);

/// The request. It names a `resource`, not a scope, so there is no `/.default`.
pub(super) fn call(identity: &ManagedIdentity, resource: &str) -> Result<Call, TokenError> {
    let (endpoint, client_id) = match identity {
        ManagedIdentity::Imds { endpoint, client_id }
        | ManagedIdentity::AppService { endpoint, client_id, .. } => (endpoint, client_id),
    };
    let mut url = endpoint.clone();
    let (version, name, value) = match identity {
        ManagedIdentity::Imds { .. } => {
            url.set_path("/metadata/identity/oauth2/token");
            let value = HeaderValue::from_static("true");
            ("2018-02-01", HeaderName::from_static("metadata"), Ok(value))
        }
        ManagedIdentity::AppService { header, .. } => {
            let value = HeaderValue::from_str(header.expose());
            ("2019-08-01", HeaderName::from_static("x-identity-header"), value)
        }
    };
    let refused = |_| TokenError::Refused {
        detail: Some(Detail::ManagedIdentityRefused),
        diagnostics: Diagnostics::default(),
    };
    let mut value = value.map_err(refused)?;
    value.set_sensitive(true);
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
    if let Some(client_id) = client_id {
        url.query_pairs_mut().append_pair("client_id", client_id);
    }
    Ok(Call::get(url).header(name, value))
}

/// Reads the answer. Statuses that mean "not yet" (404, 408, 410) are transient here, unlike at a login endpoint.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Granted, TokenError> {
    let diagnostics = Diagnostics::default();
    match answer.status.as_u16() {
        404 | 408 | 410 => {
            let retry_after = Some(answer.retry_after(now).unwrap_or(UPDATING));
            Err(TokenError::Unavailable { detail: None, retry_after, diagnostics })
        }
        400 | 401 | 403 => {
            Err(TokenError::Refused { detail: Some(Detail::ManagedIdentityRefused), diagnostics })
        }
        _ => answer::read(answer, now),
    }
}
