//! `Permit -> Secret`: how the token module gets at a profile's secret, and only with a permit.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::policy::{GraphGrant, Permit};
use crate::secret::{Detail, Secret, SecretError, Secrets};
use crate::secret_ref::SecretRef;
use crate::time::Budget;
use crate::token::{CredentialSource, Freshness};

use super::Profile;

/// The secret of one profile, for one permitted call.
pub(super) struct ProfileSecret<'a> {
    secrets: &'a Secrets,
    permit: &'a Permit<GraphGrant>,
    reference: Option<&'a SecretRef>,
    budget: &'a Budget,
    last: Mutex<Option<Secret>>,
}

impl<'a> ProfileSecret<'a> {
    pub(super) fn new(
        secrets: &'a Secrets,
        permit: &'a Permit<GraphGrant>,
        profile: &'a Profile,
        budget: &'a Budget,
    ) -> Self {
        Self { secrets, permit, reference: profile.secret.as_ref(), budget, last: Mutex::default() }
    }

    fn last(&self) -> Option<Secret> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, freshness: Freshness) -> Result<Secret, SecretError> {
        let Some(reference) = self.reference else {
            // A profile without a secret (federated, managed identity) never asks; `app` saw to that.
            let reference = SecretRef::Env("unset".to_owned());
            return Err(SecretError::NotFound { reference, detail: Some(Detail::NotConfigured) });
        };
        let secret = match (freshness, self.last()) {
            (Freshness::Reread, Some(refused)) => {
                self.secrets.reread(self.permit, &refused, self.budget).await?
            }
            (Freshness::Reread | Freshness::Cached, _) => {
                self.secrets.read(self.permit, reference, self.budget).await?
            }
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.clone());
        Ok(secret)
    }
}

impl CredentialSource for ProfileSecret<'_> {
    fn secret(&self, freshness: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        self.read(freshness).boxed()
    }

    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>> {
        async { self.secrets.at_hand(self.reference?, self.budget).await }.boxed()
    }
}
