//! Accounts that their person ends, or that end with the last grant of their person, or with the person: their tokens are given back (RFC 7009).

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::store::{EndedAccount, StoreError};

use super::Connections;

/// How soon accounts end after the last grant has.
const EVERY: Duration = Duration::from_secs(3);
/// How long one who gives tokens back has, before another may: longer than it can take.
const CLAIM: Duration = Duration::from_mins(2);
/// Accounts whose tokens are given back at the same time.
const AT_ONCE: usize = 16;
/// After so many attempts it is given up: the tokens end there by themselves.
const ATTEMPTS: u32 = 6;

impl Connections {
    /// Ends accounts and gives tokens back until `stop`.
    pub async fn end_with_grants(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // What is under way is given back again by another process.
            let Some(done) = stop.run_until_cancelled(self.end_all_due()).await else { return };
            if let Err(error) = done {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "connections.not_ended");
            }
        }
    }

    async fn end_all_due(&self) -> Result<(), StoreError> {
        let parts = &self.0.parts;
        let ended = parts.store.end_accounts_without_grant(parts.clock.now()).await?;
        if ended > 0 {
            tracing::info!(ended, "connections.ended_with_grants");
        }
        let mut due = Vec::new();
        while due.len() < AT_ONCE {
            let now = parts.clock.now();
            let Some(one) = parts.store.claim_ended_account(now, now.plus(CLAIM)).await? else {
                break;
            };
            due.push(one);
        }
        join_all(due.into_iter().map(|one| self.give_back_ended(one))).await.into_iter().collect()
    }

    async fn give_back_ended(&self, ended: EndedAccount) -> Result<(), StoreError> {
        let EndedAccount { account, attempts } = ended;
        let parts = &self.0.parts;
        let again = match self.give_back(&account).await {
            Ok(()) => false,
            // Another replica may know the server, or have the key, that this one does not yet.
            Err(error) => {
                let (server, error): (_, &dyn std::error::Error) = (&*account.server, &error);
                tracing::warn!(server, error, attempts, "connections.not_given_back");
                attempts < ATTEMPTS
            }
        };
        if !again {
            return parts.store.forget_ended_account(&account).await;
        }
        // A minute, four, a quarter of an hour, …
        let later = Duration::from_mins(1) * 4_u32.saturating_pow(attempts.saturating_sub(1));
        let next_at = parts.clock.now().plus(later);
        parts.store.put_off_ended_account(&account, next_at).await
    }
}
