//! Whether what a person allowed still holds: people, clients and policy change while grants live.

use std::sync::Arc;

use crate::authorization_server::authorize::{OWN_SCOPES, grantable};
use crate::authorization_server::client::Client;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::{AuthorizationServer, PersonFacts};
use crate::authorization_server::target;
use crate::authorization_server::vouching::Stands;
use crate::scope::Scope;
use crate::store::{GrantRow, UserRow};

use super::exchange::DEAD;

/// The refresh token is good, and only its person can make it count again. Told to nobody but the client that has it.
const UNVOUCHED: OAuthError =
    OAuthError::InvalidGrant("the person has to log in at their identity provider again");

/// Whether the identity provider at which they logged in to allow it stands by the person still.
///
/// # Errors
///
/// [`UNVOUCHED`] where it does not, or they have not logged in there for too long; [`OAuthError::Unavailable`] where it has been
/// away for too long; [`OAuthError::Store`]
pub(super) async fn still_vouched(
    server: &AuthorizationServer,
    grant: &GrantRow,
) -> Result<(), OAuthError> {
    let (Some(user), Some(issuer)) = (grant.user_id, &grant.login.issuer) else { return Ok(()) };
    match server.vouching.of((user, issuer), grant.created_at).await? {
        Stands::Yes => Ok(()),
        Stands::No => Err(UNVOUCHED),
        Stands::Unknown => Err(OAuthError::Unavailable(
            "the identity provider has not said for too long who this is",
        )),
    }
}

/// The person behind a grant, and what of `wanted` they may still let this client have.
///
/// # Errors
///
/// [`DEAD`] where they are gone or disabled, or nothing is left; [`OAuthError::Store`]
pub(super) async fn still_granted(
    server: &AuthorizationServer,
    client: &Client,
    grant: &GrantRow,
    wanted: &Scope,
) -> Result<(UserRow, Scope), OAuthError> {
    still_granted_for(server, client, (grant, &grant.resource), wanted).await
}

/// The same for a token of another resource than the grant's.
///
/// # Errors
///
/// As [`still_granted`].
pub(super) async fn still_granted_for(
    server: &AuthorizationServer,
    client: &Client,
    (grant, resource): (&GrantRow, &str),
    wanted: &Scope,
) -> Result<(UserRow, Scope), OAuthError> {
    let id = grant.user_id.ok_or(DEAD)?;
    let user = server.store.find_user(id).await?;
    let user = user.filter(|user| user.disabled_at.is_none()).ok_or(DEAD)?;
    let left = granted_to(server, client, (&user, resource), wanted).await?;
    Ok((user, left))
}

/// What of `wanted` this person may let this client have at one resource.
///
/// # Errors
///
/// [`DEAD`] where nothing is left; [`OAuthError::Store`]
pub(super) async fn granted_to(
    server: &AuthorizationServer,
    client: &Client,
    (user, resource): (&UserRow, &str),
    wanted: &Scope,
) -> Result<Scope, OAuthError> {
    let facts = PersonFacts {
        subject: user.id.into(),
        administrator: user.administrator,
        groups: user.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
        groups_incomplete: user.groups_incomplete,
        roles: user.roles.iter().map(|role| Arc::from(role.as_str())).collect(),
        roles_incomplete: user.roles_incomplete,
        client_id: client.id().clone(),
        trusted_client: client.is_trusted(),
    };
    let carries = target::carries(server, resource).await?;
    let left = grantable(server, &facts, &carries, &limited(client, wanted));
    if left.is_empty() && !wanted.is_empty() { Err(DEAD) } else { Ok(left) }
}

/// An operator may have set a narrower limit for the client since.
fn limited(client: &Client, wanted: &Scope) -> Scope {
    let Some(limit) = client.scope() else { return wanted.clone() };
    let own = wanted.iter().filter(|token| OWN_SCOPES.contains(&token.as_str())).cloned();
    wanted.narrow(limit).union(&own.collect())
}
