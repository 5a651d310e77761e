//! Codes of which nobody knows whether they are used up: the store went away before it said so.
//!
//! Their tokens were given to nobody, and the client was told to come back. When it does, what may have happened is undone
//! first: else it would be told of a code that came twice, and its person would have to log in again.

use std::time::Duration;

use moka::sync::Cache;

use crate::authorization_server::server::AuthorizationServer;
use crate::store::{CodeRedemption, Digest, StoreError};

/// Longer than any code lives.
const KEPT: Duration = Duration::from_mins(15);
/// Of one process. Of those beyond, and after a restart, a second attempt is a replay: the safe side.
const MOST: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Doubts(Cache<Digest, CodeRedemption>);

impl Default for Doubts {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(KEPT).build())
    }
}

impl Doubts {
    /// While `redemption` is under way. Nobody else may hear of it before that is over: who tries again meanwhile has the
    /// code a second time.
    pub(super) const fn about<'a>(&'a self, redemption: &'a CodeRedemption) -> Doubt<'a> {
        Doubt { doubts: self, redemption: Some(redemption) }
    }
}

/// Kept where this is dropped before the store has answered, also because the client went away.
pub(super) struct Doubt<'a> {
    doubts: &'a Doubts,
    redemption: Option<&'a CodeRedemption>,
}

impl Doubt<'_> {
    /// The store has answered.
    pub(super) fn end(mut self) {
        self.redemption = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        // Without a refresh token it cannot be told from another redemption of the same code.
        if let Some(redemption) = self.redemption.filter(|redemption| redemption.refresh.is_some())
        {
            self.doubts.0.insert(redemption.code, redemption.clone());
        }
    }
}

/// Undoes what an earlier attempt of this process with that code may have done.
///
/// # Errors
///
/// [`StoreError`]: it is still not known.
pub(super) async fn settle(server: &AuthorizationServer, code: &Digest) -> Result<(), StoreError> {
    let doubts = &server.tokens.doubts.0;
    let Some(doubtful) = doubts.get(code) else { return Ok(()) };
    server.store.return_code(&doubtful).await?;
    doubts.invalidate(code);
    Ok(())
}
