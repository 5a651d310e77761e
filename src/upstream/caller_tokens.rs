//! Tokens that are obtained for a caller: kept for as long as they and the caller's own last, asked for once at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::guard::Presented;
use crate::resource_server::Principal;
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::id_jag::IdJag;
use super::on_behalf_of::OnBehalfOf;
use super::token_exchange::TokenExchange;
use crate::oauth_client::{Forced, NoToken};

/// For how many callers of one server tokens are kept.
const MOST: u64 = 10_000;
/// The longest that anything is kept; no token is used as long.
const KEPT: Duration = Duration::from_hours(1);
/// How long a refusal is remembered: an agent that calls in a loop does not ask in a loop.
const PAUSE: Duration = Duration::from_secs(5);

/// For whom a token is obtained.
#[derive(Clone, Copy, Debug)]
pub(super) struct For<'a> {
    pub(super) principal: &'a Principal,
    /// Their own token. Noted only where a server's credential may need it.
    pub(super) presented: Option<&'a Presented>,
}

impl For<'_> {
    /// Their own token, where it is good by itself. One that is bound to their key (RFC 9449) or certificate (RFC 8705) is
    /// good only beside a proof that we cannot make: nobody else has a use for it.
    pub(super) fn own_token(&self) -> Option<&SecretText> {
        let principal = self.principal;
        let bound = principal.key_thumbprint().or(principal.certificate_thumbprint());
        let presented = self.presented.filter(|_| bound.is_none());
        presented.map(Presented::text)
    }
}

/// How a token for a caller is obtained.
#[derive(Debug)]
pub enum How {
    /// RFC 8693
    Exchange(TokenExchange),
    /// Entra's on-behalf-of flow.
    OnBehalfOf(OnBehalfOf),
    /// Cross-app access.
    IdJag(Box<IdJag>),
}

/// A token, and for how long it is used.
pub(super) struct Obtained {
    pub(super) token: SecretText,
    pub(super) lasts: Duration,
}

/// What became of the last question. Times are monotonic.
#[derive(Clone)]
enum Kept {
    Token(SecretText, Duration),
    Refused(NoToken, Duration),
}

/// Tokens for the callers of one server, by the token with which each calls.
///
/// A caller whose token ends or is revoked does not get as far as here, so that what was kept for it is never used
/// again; and it is kept no longer than that token lasts.
pub struct CallerTokens {
    how: How,
    clock: Arc<dyn Clock>,
    kept: Cache<[u8; 32], Kept>,
    forced: Forced<[u8; 32]>,
}

impl fmt::Debug for CallerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallerTokens").field(&self.how).finish()
    }
}

impl CallerTokens {
    #[must_use]
    pub fn new(how: How, clock: Arc<dyn Clock>) -> Self {
        let kept = Cache::builder().max_capacity(MOST).time_to_live(KEPT);
        let kept = kept.eviction_policy(EvictionPolicy::lru()).build();
        Self { how, clock, kept, forced: Forced::new() }
    }

    /// A token that lasts. Of several calls of one caller at once, one asks for it; when that one goes away, another does.
    ///
    /// # Errors
    ///
    /// [`NoToken`]
    pub(super) async fn token(&self, caller: For<'_>) -> Result<SecretText, NoToken> {
        let Some(key) = key(caller) else { return Err(NoToken::NotTheirs) };
        let now = self.clock.monotonic();
        let is_over = |kept: &Kept| match kept {
            Kept::Token(_, until) | Kept::Refused(_, until) => now >= *until,
        };
        let entry = self.kept.entry(key).or_insert_with_if(self.obtain(caller), is_over).await;
        match entry.into_value() {
            Kept::Token(token, _) => Ok(token),
            Kept::Refused(error, _) => Err(error),
        }
    }

    /// The server did not accept it.
    pub(super) async fn forget(&self, caller: For<'_>, shown: &SecretText) {
        let Some(key) = key(caller) else { return };
        let kept = self.kept.get(&key).await;
        let is_it = matches!(&kept, Some(Kept::Token(token, _)) if token == shown);
        if is_it && self.forced.may_be(key, self.clock.monotonic()) {
            self.kept.invalidate(&key).await;
        }
    }

    async fn obtain(&self, caller: For<'_>) -> Kept {
        let asked_at = self.clock.monotonic();
        let obtained = match &self.how {
            How::Exchange(exchange) => exchange.obtain(caller).await,
            How::OnBehalfOf(flow) => flow.obtain(caller).await,
            How::IdJag(flow) => flow.obtain(caller).await,
        };
        match obtained {
            Ok(Obtained { token, lasts }) => {
                let left = caller.principal.expires_at().since(self.clock.now());
                Kept::Token(token, asked_at.saturating_add(lasts.min(left)))
            }
            Err(error) => {
                let pause = if error.may_pass() { Duration::ZERO } else { PAUSE };
                Kept::Refused(error, self.clock.monotonic().saturating_add(pause))
            }
        }
    }
}

/// The caller's token by its digest: nothing of another token is ever found under it.
fn key(caller: For<'_>) -> Option<[u8; 32]> {
    let presented = caller.presented?.text().expose();
    digest(&SHA256, presented.as_bytes()).as_ref().try_into().ok()
}
