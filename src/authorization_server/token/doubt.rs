//! Codes of which nobody knows whether they are used up: the store went away before it said so.
//!
//! Their tokens were given to nobody, and the client was told to come back. When it does, what may have happened is undone
//! first: else it would be told of a code that came twice, and its person would have to log in again.

use std::time::Duration;

use moka::Entry;
use moka::sync::Cache;

use crate::authorization_server::server::AuthorizationServer;
use crate::store::{CodeRedemption, Digest, StoreError};

/// Longer than any code lives.
const KEPT: Duration = Duration::from_mins(15);
/// Of one process. Of those beyond, and after a restart, a second attempt is a replay: the safe side.
const MOST: u64 = 10_000;
/// Attempts with one code of which nothing is known, as where a client tries again before the store is back.
const OF_A_CODE: usize = 3;

#[derive(Debug)]
pub(super) struct Doubts(Cache<Digest, Vec<CodeRedemption>>);

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
            self.doubts.0.entry(redemption.code).and_upsert_with(|known| {
                let mut known = known.map(Entry::into_value).unwrap_or_default();
                if known.len() < OF_A_CODE {
                    known.push(redemption.clone());
                }
                known
            });
        }
    }
}

/// Undoes what earlier attempts of this process with that code may have done.
///
/// # Errors
///
/// [`StoreError`]: it is still not known.
pub(super) async fn settle(server: &AuthorizationServer, code: &Digest) -> Result<(), StoreError> {
    let doubts = &server.tokens.doubts.0;
    let Some(doubtful) = doubts.get(code) else { return Ok(()) };
    for redemption in &doubtful {
        server.store.return_code(redemption).await?;
    }
    doubts.invalidate(code);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewRefreshToken;
    use crate::time::Timestamp;

    fn attempt(refresh: Option<&str>) -> CodeRedemption {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let refresh = refresh.map(|token| NewRefreshToken {
            token: Digest::of(token),
            scopes: "a".parse().unwrap(),
            dpop_jkt: None,
            expires_at: now,
        });
        let (redirect_uri, code_challenge) = ("https://a.example".to_owned(), "c".to_owned());
        let (code, client_id) = (Digest::of("code"), "agent".parse().unwrap());
        CodeRedemption { code, client_id, redirect_uri, code_challenge, now, refresh }
    }

    #[test]
    fn every_attempt_that_nobody_knows_the_end_of_is_kept_and_no_other() {
        let doubts = Doubts::default();
        for token in ["first", "second"] {
            drop(doubts.about(&attempt(Some(token))));
        }
        drop(doubts.about(&attempt(None)));
        doubts.about(&attempt(Some("answered"))).end();
        let kept = doubts.0.get(&Digest::of("code")).unwrap();
        let tokens: Vec<_> =
            kept.iter().filter_map(|one| one.refresh.as_ref()).map(|one| one.token).collect();
        assert_eq!(tokens, [Digest::of("first"), Digest::of("second")]);
    }
}
