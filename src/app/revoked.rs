//! What was taken back, looked up on every request.

use std::sync::Arc;

use serde::Deserialize as _;

use crate::config::Config;
use crate::id::{GrantId, Issuer};
use crate::resource_server::{Principal, Revocations};
use crate::store::{Database, GrantOf};

use super::endpoints::issuer;
use super::error::AppError;

/// Who is asked on every request whether a token of ours was revoked.
///
/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer.
pub(super) fn revocations(
    config: &Config,
    store: &Arc<dyn Database>,
) -> Result<Arc<dyn Revocations>, AppError> {
    let issuer = issuer(&config.server.public_url).parse()?;
    Ok(Arc::new(Revoked { store: Arc::clone(store), issuer }))
}

/// Grants and tokens that were revoked, of our own issuer: another's `jti` says nothing about ours.
#[derive(Debug)]
pub(super) struct Revoked {
    pub(super) store: Arc<dyn Database>,
    pub(super) issuer: Issuer,
}

impl Revocations for Revoked {
    fn is_revoked(&self, principal: &Principal) -> bool {
        if *principal.issuer() != self.issuer {
            return false;
        }
        let claim = |name: &str| principal.claims().get(name).and_then(serde_json::Value::as_str);
        let grant_id = claim("grant_id").map(str::parse::<GrantId>);
        let issued_at = principal.claims().get("iat").and_then(serde_json::Value::as_i64);
        let client_id = principal.client_id().map_or("", |id| id.as_str());
        // A grant that we cannot read is none that we made.
        let unread = matches!(grant_id, Some(Err(_)));
        let grant_id = grant_id.and_then(Result::ok);
        unread
            || self.store.is_revoked(grant_id, claim("jti"))
            || grant_id.is_some_and(|id| self.are_all_revoked(id, principal))
            || self.store.is_client_revoked(client_id, issued_at.unwrap_or_default())
            || principal
                .claims()
                .get("derived_from")
                .is_some_and(|from| self.is_any_revoked(from, (grant_id, claim("sub"))))
    }
}

impl Revoked {
    /// Whether everything is over that its person, its client or its audience has been given.
    fn are_all_revoked(&self, grant_id: GrantId, principal: &Principal) -> bool {
        let claim = |name: &str| principal.claims().get(name).and_then(serde_json::Value::as_str);
        let of = GrantOf {
            user: claim("sub").unwrap_or_default(),
            client: claim("client_id").unwrap_or_default(),
            resource: claim("aud").unwrap_or_default(),
        };
        self.store.are_all_revoked(grant_id, &of)
    }

    /// Whether something that a token was made from was taken back (RFC 8693), or everything that the client of the first one or its
    /// audience has been given: those are whom the grant was given to, and what for. What cannot be read is none of ours.
    pub(super) fn is_any_revoked(
        &self,
        derived_from: &serde_json::Value,
        (grant_id, user): (Option<GrantId>, Option<&str>),
    ) -> bool {
        #[derive(serde::Deserialize)]
        struct Origin {
            jti: String,
            client_id: String,
            iat: i64,
            aud: Option<String>,
        }
        let Ok(origins) = Vec::<Origin>::deserialize(derived_from) else { return true };
        let given = origins.first().and_then(|first| {
            let (client, resource) = (first.client_id.as_str(), first.aud.as_deref()?);
            Some((grant_id?, GrantOf { user: user.unwrap_or_default(), client, resource }))
        });
        given.is_some_and(|(id, of)| self.store.are_all_revoked(id, &of))
            || origins.iter().any(|from| {
                self.store.is_revoked(None, Some(&from.jti))
                    || self.store.is_client_revoked(&from.client_id, from.iat)
            })
    }
}
