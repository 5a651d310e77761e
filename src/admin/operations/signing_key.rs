//! The keys that sign our tokens: looked at, rotated, taken out of use.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;
use crate::audit::{AdminAction, AdminObject, AuditEvent};
use crate::store::{SigningKeyRow, SigningKeyState, StoreError};
use crate::time::Timestamp;

use super::{Actor, Operations, found};

/// A key as it may be shown: never its private half.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SigningKeyView {
    /// RFC 7638 thumbprint.
    pub kid: String,
    pub algorithm: String,
    /// `pending`, `usable` or `retiring`.
    pub state: &'static str,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// From when on it signs.
    #[schemars(with = "String")]
    pub not_before: Timestamp,
    /// When it is deleted, where it signs no more.
    #[schemars(with = "Option<String>")]
    pub retire_at: Option<Timestamp>,
}

impl SigningKeyView {
    fn of(row: &SigningKeyRow, now: Timestamp) -> Self {
        Self {
            kid: row.kid.clone(),
            algorithm: row.algorithm.clone(),
            state: match row.state {
                SigningKeyState::Usable if row.not_before > now => "pending",
                SigningKeyState::Usable => "usable",
                SigningKeyState::Retiring => "retiring",
            },
            created_at: row.created_at,
            not_before: row.not_before,
            retire_at: row.retire_at,
        }
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    /// Generated or sealed it could not be. Nothing was changed.
    #[error("no key could be made")]
    Unmade(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A seam, because keys are made and sealed by the authorization server, which administration does not know.
#[async_trait]
pub trait KeyControl: Send + Sync + fmt::Debug {
    /// Adds a key of each algorithm in use, that of most tokens first. `at_once`: they sign now, and every other key is
    /// deleted.
    ///
    /// # Errors
    ///
    /// [`KeyFault`]
    async fn rotate(&self, at_once: bool) -> Result<Vec<SigningKeyRow>, KeyFault>;

    /// When a key that stops signing now has no token left.
    fn retire_at(&self) -> Timestamp;
}

impl Operations {
    /// Those that are published, the oldest first.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyView>, AdminError> {
        let now = self.clock.now();
        let rows = self.store.signing_keys().await?;
        Ok(rows.iter().map(|row| SigningKeyView::of(row, now)).collect())
    }

    /// Gives the new keys, that of most tokens first.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`], [`AdminError::Audit`]; [`AdminError::NotFound`] where none could be made
    pub async fn rotate_signing_keys(
        &self,
        actor: &Actor,
        control: &dyn KeyControl,
        at_once: bool,
    ) -> Result<Vec<SigningKeyView>, AdminError> {
        let action = if at_once { AdminAction::Replace } else { AdminAction::Add };
        let rows = self.change(actor, (AdminObject::SigningKey, action, "all"), async {
            let rows = control.rotate(at_once).await.map_err(told)?;
            for row in &rows {
                let event = AuditEvent::KeyRotate { kid: row.kid.as_str().into(), at_once };
                self.auditor.record(&actor.context, event).await?;
            }
            Ok(rows)
        });
        let (rows, now) = (rows.await?, self.clock.now());
        Ok(rows.iter().map(|row| SigningKeyView::of(row, now)).collect())
    }

    /// Takes a key out of use: it signs no more, and verifies until its tokens are over. `at_once`: it has leaked, and is
    /// deleted with every token of it.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for the only key that signs with its algorithm;
    /// [`AdminError::Store`], [`AdminError::Audit`]
    pub async fn retire_signing_key(
        &self,
        actor: &Actor,
        control: &dyn KeyControl,
        (kid, at_once): (&str, bool),
    ) -> Result<(), AdminError> {
        let (rows, now) = (self.store.signing_keys().await?, self.clock.now());
        // What is no key goes neither to the store nor, as somebody's text, into the audit log.
        let row = rows.iter().find(|row| row.kid == kid);
        let row = row.ok_or(AdminError::NotFound("signing key"))?;
        let signs = |other: &SigningKeyRow| {
            let usable = other.state == SigningKeyState::Usable && other.not_before <= now;
            usable && other.algorithm == row.algorithm
        };
        if signs(row) && !rows.iter().any(|other| other.kid != kid && signs(other)) {
            return Err(ONLY_ONE);
        }
        let action = if at_once { AdminAction::Delete } else { AdminAction::Disable };
        self.change(actor, (AdminObject::SigningKey, action, kid), async {
            let changed = if at_once {
                self.store.delete_signing_key(kid).await?
            } else {
                self.store.retire_signing_key(kid, control.retire_at()).await?
            };
            found(changed, "signing key that signs")
        })
        .await
    }
}

fn told(fault: KeyFault) -> AdminError {
    match fault {
        KeyFault::Store(error) => AdminError::Store(error),
        KeyFault::Unmade(cause) => {
            tracing::error!(error = &*cause as &dyn std::error::Error, "keys.not_made");
            AdminError::NotFound("key that could be made")
        }
    }
}

const ONLY_ONE: AdminError = AdminError::Forbidden {
    problem: "it is the only key that signs",
    hint: "broker key rotate, and it retires by itself; broker key rotate --now (`at_once` over the API) where it has leaked",
};
