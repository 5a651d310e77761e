//! Our own access tokens, when they come back to us: whose they are, whatever resource they are for.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::sync::Cache;
use serde::Deserialize;
use serde_json::Value;

use crate::id::{ClientId, GrantId, Issuer, Subject};
use crate::resource_server::LocalKeys;
use crate::scope::Scope;
use crate::store::{Database, Digest, GrantOf, ResourceRow, StoreError};
use crate::time::Timestamp;

use super::confirmation::Confirmation;
use super::derived::{Actor, Origin};
use super::keys::SigningKeys;
use super::server::AuthorizationServer;

/// Longer than any token of ours.
const MAX_BYTES: usize = 16 * 1024;
/// How many tokens are remembered, and for how long: a signature is checked once, all the rest every time.
const REMEMBERED: (u64, Duration) = (10_000, Duration::from_mins(1));

/// What a token of ours says (RFC 9068 §2.2). `aud` is one text: we never made one with several.
#[derive(Debug, Deserialize)]
pub(super) struct OwnToken {
    pub(super) iss: Issuer,
    pub(super) aud: String,
    pub(super) sub: Subject,
    pub(super) client_id: ClientId,
    pub(super) scope: Scope,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: String,
    /// `None` for a client that acts for itself.
    pub(super) grant_id: Option<GrantId>,
    /// When its person logged in, and how strong that was (RFC 9068 §2.2.1).
    pub(super) auth_time: Option<i64>,
    pub(super) acr: Option<String>,
    /// What it is bound to.
    pub(super) cnf: Option<Confirmation<String>>,
    /// Who acts, where it was exchanged (RFC 8693 §4.1).
    pub(super) act: Option<Actor>,
    /// What it was made from.
    #[serde(default)]
    pub(super) derived_from: Vec<Origin>,
}

impl OwnToken {
    pub(super) const fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.exp)
    }

    /// Whether it was issued for the server that `row` is. One that was deleted and registered again is another one: it
    /// does not inherit the tokens of the first.
    pub(super) fn is_of(&self, row: &ResourceRow) -> bool {
        row.uri == self.aud && row.created_at.unix_seconds() <= self.iat
    }

    /// Whether what it is for is still there: one of ours, or registered and not disabled.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn is_for_a_server(
        &self,
        server: &AuthorizationServer,
    ) -> Result<bool, StoreError> {
        if server.settings.resources.iter().any(|own| own.uri == self.aud) {
            return Ok(true);
        }
        let row = server.store.find_resource_by_uri(&self.aud).await?;
        Ok(row.is_some_and(|row| row.disabled_at.is_none() && self.is_of(&row)))
    }

    /// Whether it, or anything that it was made from, was taken back.
    fn is_revoked(&self, store: &dyn Database) -> bool {
        let dead = |grant_id, jti: &str, client_id: &ClientId, iat| {
            store.is_revoked(grant_id, Some(jti))
                || store.is_client_revoked(client_id.as_str(), iat)
        };
        let of = |client_id: &ClientId, aud: &str| {
            let (user, client) = (self.sub.as_str(), client_id.as_str());
            let of = GrantOf { user, client, resource: aud };
            self.grant_id.is_some_and(|id| store.are_all_revoked(id, &of))
        };
        // The first one that it was made from is whom the grant was given to, and what for.
        let first = self.derived_from.first().and_then(|from| Some((from, from.aud.as_deref()?)));
        dead(self.grant_id, &self.jti, &self.client_id, self.iat)
            || of(&self.client_id, &self.aud)
            || first.is_some_and(|(from, aud)| of(&from.client_id, aud))
            || self.derived_from.iter().any(|from| dead(None, &from.jti, &from.client_id, from.iat))
    }
}

/// Keys to check with, and what they were made from.
#[derive(Debug)]
struct Checking {
    signing: Arc<SigningKeys>,
    keys: Arc<LocalKeys>,
}

/// Checks them.
#[derive(Debug)]
pub(super) struct OwnTokens {
    /// The keys in force when they were last used, to sign with and to check with.
    keys: RwLock<Option<Checking>>,
    /// With the keys it was checked with: a check under way while they change must not outlive them.
    known: Cache<Digest, (Arc<LocalKeys>, Arc<OwnToken>)>,
}

impl Default for OwnTokens {
    fn default() -> Self {
        let (most, keep) = REMEMBERED;
        let known = Cache::builder().max_capacity(most).time_to_live(keep).build();
        Self { keys: RwLock::default(), known }
    }
}

impl OwnTokens {
    /// A token that we signed as an access token, that is in date and not revoked. Does *not* check for whom it is:
    /// that is for the caller to compare with `aud` and `client_id`.
    ///
    /// `None` for everything else, without saying why.
    pub(super) fn read(
        &self,
        server: &AuthorizationServer,
        unverified: &str,
    ) -> Option<Arc<OwnToken>> {
        if unverified.len() > MAX_BYTES {
            return None;
        }
        let keys = self.keys(server)?;
        let digest = Digest::of(unverified);
        let known = self.known.get(&digest).filter(|(with, _)| Arc::ptr_eq(with, &keys));
        let token = if let Some((_, known)) = known {
            known
        } else {
            let token = Arc::new(signed(&keys, unverified)?);
            self.known.insert(digest, (keys, Arc::clone(&token)));
            token
        };
        let alive = server.clock.now() < token.expires_at()
            && token.iss == server.settings.issuer
            && !token.is_revoked(&*server.store);
        alive.then_some(token)
    }

    /// The client that an ID token of ours was made for (OIDC RP-Initiated Logout §2): also of one that has expired, as
    /// those are that clients keep for this. Proves nothing about who sends it.
    pub(super) fn id_token_client(
        &self,
        server: &AuthorizationServer,
        unverified: &str,
    ) -> Option<ClientId> {
        self.id_token(server, unverified).map(|(client_id, _)| client_id)
    }

    /// Of such an ID token, the client and the person that it tells it of (`sub`). As [`Self::id_token_client`].
    pub(super) fn id_token(
        &self,
        server: &AuthorizationServer,
        unverified: &str,
    ) -> Option<(ClientId, String)> {
        if unverified.len() > MAX_BYTES {
            return None;
        }
        let jwt = self.keys(server)?.verify_signature(unverified).ok()?;
        let text = |name: &str| jwt.claims.get(name).and_then(Value::as_str);
        let ours = jwt.typ == "jwt" && text("iss") == Some(server.settings.issuer.as_str());
        let client_id = text("aud").filter(|_| ours)?.parse().ok()?;
        Some((client_id, text("sub")?.to_owned()))
    }

    /// What was checked with keys that are no longer in force is forgotten with them.
    fn keys(&self, server: &AuthorizationServer) -> Option<Arc<LocalKeys>> {
        let current = server.keys.current();
        {
            let known = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(checking) = &*known
                && Arc::ptr_eq(&checking.signing, &current)
            {
                return Some(Arc::clone(&checking.keys));
            }
        }
        let jwks = serde_json::to_vec(&current.jwks()).ok()?;
        let keys = Arc::new(LocalKeys::new(&jwks).ok()?);
        self.known.invalidate_all();
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Checking { signing: current, keys: Arc::clone(&keys) });
        Some(keys)
    }
}

/// `at+jwt` alone: an ID token of ours is no access token (RFC 9068 §4; N52, N65).
fn signed(keys: &LocalKeys, unverified: &str) -> Option<OwnToken> {
    let jwt = keys.verify_signature(unverified).ok().filter(|jwt| jwt.typ == "at+jwt")?;
    serde_json::from_value(Value::Object(jwt.claims)).ok()
}
