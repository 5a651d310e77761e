//! `refresh_token` (RFC 6749 §6, OAuth 2.1 §4.3): rotated at every use, with the same answer again within a grace.
//!
//! Many processes of one client share one token and use it at the same moment. Whoever is late within the grace gets
//! the very answer of whoever was first, as long as nobody has used what is in it: there is never a second successor.
//! Everything else that comes twice is a theft, and ends the grant.

use std::sync::Arc;

use crate::api_key::BearerSecret;
use crate::audit::{AuditEvent, Reused, TokenName};
use crate::authorization_server::client::Client;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::AuthorizationServer;
use crate::id::GrantId;
use crate::scope::Scope;
use crate::store::{Digest, GrantRow, NewRefreshToken, RefreshRotation, Rotated, StoreError};
use crate::time::Timestamp;

use super::exchange::{DEAD, Exchange, Granted, Refused};
use super::issue::Issue;
use super::person::{still_granted, still_vouched};
use super::refresh_reply::Kept;
use super::resource;

/// What a refresh led to, for everybody who asked the same at the same time.
#[derive(Debug)]
pub(super) struct Refreshed {
    kept: Kept,
    grant_id: GrantId,
    same_reply: bool,
}

/// # Errors
///
/// - `400 invalid_grant`: [`DEAD`]; with a revoked grant where the token was stolen (N45); where the person has to log in at
///   their identity provider again, with those words
/// - `400 invalid_scope`, `400 invalid_target`: more than was granted; nothing is rotated (N49)
/// - `429` for one grant that refreshes all the time; `503`, also while the person's identity provider has been away for too long
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let presented = exchange.form.require("refresh_token", "refresh_token is missing")?;
    if !BearerSecret::RefreshToken.may_be(presented) {
        return Err(DEAD.into());
    }
    let flights = &exchange.server.tokens.flights;
    let (refreshed, ran) = flights.join(exchange, presented, refresh(exchange, presented)).await?;
    let Refreshed { kept, grant_id, same_reply } = &*refreshed;
    let event = AuditEvent::TokenRefresh {
        token: TokenName(Arc::from(kept.token.as_str())),
        grant_id: *grant_id,
        resource: kept.resource.clone(),
        scopes: kept.scopes.clone(),
        same_reply: *same_reply || !ran,
    };
    Ok(Granted { body: kept.body(), subject: kept.subject.clone(), event, used_up: None })
}

async fn refresh(exchange: &Exchange<'_>, presented: &str) -> Result<Refreshed, Refused> {
    let Exchange { server, client, .. } = exchange;
    let (digest, now) = (Digest::of(presented), server.clock.now());
    let Some((grant, token)) = server.store.find_refresh_token(&digest).await? else {
        let rotated = late(server, client, presented).await?;
        return lost(exchange, presented, rotated).await;
    };
    let alive = token.expires_at > now && grant.expires_at > now;
    if grant.client_id != *client.id() || !alive || !holds(exchange, token.dpop_jkt.as_deref()) {
        return Err(DEAD.into());
    }
    may_refresh(exchange, &token.scopes)?;
    server.tokens.admit_refresh(grant.id)?;
    still_vouched(server, &grant).await?;
    let text = BearerSecret::RefreshToken.generate(&*server.random);
    let kept = prepare(exchange, &grant, &token.scopes, &text, now).await?;
    let sealed_reply = kept.seal(presented).ok_or(UNSEALED)?;
    let successor = NewRefreshToken {
        token: Digest::of(&text),
        scopes: token.scopes,
        dpop_jkt: token.dpop_jkt.or_else(|| exchange.key_of_refresh_token()),
        expires_at: now.plus(server.settings.refresh_token_ttl).min(grant.expires_at),
    };
    let rotation = RefreshRotation {
        presented: digest,
        client_id: client.id().clone(),
        successor,
        sealed_reply,
        replay_until: now.plus(client.refresh_grace().unwrap_or(server.settings.refresh_grace)),
        now,
    };
    match server.store.rotate_refresh_token(&rotation).await? {
        Rotated::Granted { grant } => Ok(Refreshed { kept, grant_id: grant.id, same_reply: false }),
        other => lost(exchange, presented, other).await,
    }
}

/// Whether the client holds the key that its refresh token is bound to (RFC 9449 §5): who stole the token does not.
fn holds(exchange: &Exchange<'_>, bound_to: Option<&str>) -> bool {
    bound_to.is_none_or(|jkt| exchange.key == Some(jkt))
}

const UNSEALED: OAuthError = OAuthError::Unavailable("the answer could not be sealed");

/// A client that was told not to refresh any more stops at its next one.
fn may_refresh(exchange: &Exchange<'_>, scopes: &Scope) -> Result<(), OAuthError> {
    let asked = scopes.iter().any(|scope| scope.as_str() == "offline_access");
    if asked || exchange.client.allows_grant("refresh_token") {
        return Ok(());
    }
    Err(OAuthError::UnauthorizedClient("the client is not registered for refresh_token"))
}

/// The whole answer, before anything is changed: a client that asks for too much keeps its token.
async fn prepare(
    exchange: &Exchange<'_>,
    grant: &GrantRow,
    granted: &Scope,
    successor: &str,
    now: Timestamp,
) -> Result<Kept, OAuthError> {
    let Exchange { server, client, form, .. } = exchange;
    let target = resource::granted(server, form, &grant.resource).await?;
    let wanted = narrowed(exchange, granted)?;
    let (user, scope) = still_granted(server, client, grant, &wanted).await?;
    let issued = Issue {
        client_id: client.id(),
        target: &target,
        scope: &scope,
        grant: Some(grant),
        user: Some(&user),
        derived: None,
        refresh_token: Some(successor),
        key: exchange.key,
        login: None, // OIDC Core §12.2 leaves it to us: nobody has logged in anew
        tells_resource: false,
        now,
    }
    .sign(server)?;
    Kept::new(&issued, (&target.uri, &scope), exchange.key).ok_or(UNSEALED)
}

/// RFC 6749 §6: less than was granted, or all of it; the refresh token keeps it all (N50).
fn narrowed(exchange: &Exchange<'_>, granted: &Scope) -> Result<Scope, OAuthError> {
    let Some(asked) = exchange.form.get("scope") else { return Ok(granted.clone()) };
    let too_much = OAuthError::InvalidScope("the grant has less than this; ask the person again");
    let asked: Scope = asked
        .parse()
        .map_err(|_| OAuthError::InvalidScope("scope is a list of names with one space between"))?;
    if asked.is_subset(granted) { Ok(asked) } else { Err(too_much) }
}

/// No such live token: it was used, or it never was. Only the store's guarded statement can tell, and ends what must end.
async fn late(
    server: &AuthorizationServer,
    client: &Client,
    presented: &str,
) -> Result<Rotated, StoreError> {
    let nobodys = random_text(&*server.random);
    let now = server.clock.now();
    let successor = NewRefreshToken {
        token: Digest::of(&nobodys),
        scopes: Scope::empty(),
        dpop_jkt: None,
        expires_at: now,
    };
    let rotation = RefreshRotation {
        presented: Digest::of(presented),
        client_id: client.id().clone(),
        successor,
        sealed_reply: Vec::new(),
        replay_until: now,
        now,
    };
    server.store.rotate_refresh_token(&rotation).await
}

/// Whose refresh token somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authorization_server) enum Holder {
    /// The client's own, of this grant.
    Own(GrantId),
    /// It lives, and was given to another client.
    Other,
    /// Unknown or dead.
    Nobody,
}

/// Whose a refresh token is, for as long as it could still be used, by `client` also for the same answer again.
///
/// A token that comes after its time is a theft here, too, and ends its grant.
///
/// # Errors
///
/// [`StoreError`]
pub(in crate::authorization_server) async fn holder(
    server: &AuthorizationServer,
    client: &Client,
    presented: &str,
) -> Result<Holder, StoreError> {
    if !BearerSecret::RefreshToken.may_be(presented) {
        return Ok(Holder::Nobody);
    }
    let found = server.store.find_refresh_token(&Digest::of(presented)).await?;
    if let Some((grant, _)) = found {
        let own = grant.client_id == *client.id();
        return Ok(if own { Holder::Own(grant.id) } else { Holder::Other });
    }
    match late(server, client, presented).await? {
        Rotated::SameReply { grant_id, .. } => Ok(Holder::Own(grant_id)),
        Rotated::Reused { .. }
        | Rotated::Granted { .. }
        | Rotated::Refused
        | Rotated::GrantEnded => Ok(Holder::Nobody),
    }
}

async fn lost(
    exchange: &Exchange<'_>,
    presented: &str,
    rotated: Rotated,
) -> Result<Refreshed, Refused> {
    match rotated {
        Rotated::SameReply { grant_id, sealed_reply } => {
            let kept = Kept::open(presented, &sealed_reply)?;
            if !holds(exchange, kept.key.as_deref()) {
                return Err(DEAD.into());
            }
            resource::granted(exchange.server, exchange.form, &kept.resource).await?;
            Ok(Refreshed { kept, grant_id, same_reply: true })
        }
        Rotated::Reused { grant_id } => Err(Refused::reused(Reused::RefreshToken, grant_id)),
        // `Granted` only where a token comes alive again, which none does.
        Rotated::Granted { .. } | Rotated::Refused | Rotated::GrantEnded => Err(DEAD.into()),
    }
}
