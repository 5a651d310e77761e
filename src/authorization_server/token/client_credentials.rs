//! `client_credentials` (RFC 6749 §4.4): a client acts for itself. Writes nothing.

use crate::audit::{AuditEvent, GrantType};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::target::{self, Carries};
use crate::scope::Scope;

use super::exchange::{Exchange, Granted, Refused};
use super::issue::{Issue, Issued};
use super::resource::{self, Target};

const NAME: &str = "client_credentials";

/// Gives an access token and never a refresh token (RFC 6749 §4.4.3).
///
/// # Errors
///
/// - `400 unauthorized_client`: not registered for this grant, or a public client (N54)
/// - `400 invalid_scope`: a scope that the client is not registered for, or none that it could have
/// - `400 invalid_target`, `503`
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let Exchange { server, client, form, .. } = exchange;
    // A public client proves nothing about itself, whatever it is registered for.
    if !client.allows_grant(NAME) || !client.is_confidential() {
        let refused = "the client is not registered for client_credentials";
        return Err(OAuthError::UnauthorizedClient(refused).into());
    }
    let target = resource::requested(server, form).await?;
    let (issued, scope) = of_its_own(exchange, &target).await?;
    let event = AuditEvent::TokenIssue {
        grant_type: GrantType::ClientCredentials,
        token: issued.token,
        grant_id: None,
        resource: target.uri,
        scopes: scope,
        subject_token: None,
        workload_subject: None,
    };
    Ok(Granted { body: issued.body, subject: issued.subject, event, used_up: None })
}

/// The token of a client that has proved who it is, and acts for itself.
///
/// # Errors
///
/// [`OAuthError::InvalidScope`], [`OAuthError::Store`], and those of [`Issue::sign`]
pub(super) async fn of_its_own(
    exchange: &Exchange<'_>,
    target: &Target,
) -> Result<(Issued, Scope), OAuthError> {
    let Exchange { server, client, .. } = exchange;
    let carries = target::carries(server, &target.uri).await?;
    let scope = scope(exchange, &carries)?;
    let issued = Issue {
        client_id: client.id(),
        target,
        scope: &scope,
        grant: None,
        user: None,
        derived: None,
        refresh_token: None,
        key: exchange.key,
        login: None,
        tells_resource: exchange.workload.is_some(),
        now: server.clock.now(),
    }
    .sign(server)?;
    Ok((issued, scope))
}

/// What is asked for, else the default scopes; never more than an operator allowed this client.
fn scope(exchange: &Exchange<'_>, carries: &Carries) -> Result<Scope, OAuthError> {
    let Exchange { server, client, form, .. } = exchange;
    let none = Scope::empty();
    let limit = client.scope().unwrap_or(&none);
    let asked = match form.get("scope") {
        Some(text) => text.parse::<Scope>().map_err(|_| {
            OAuthError::InvalidScope("scope is a list of names with one space between")
        })?,
        None => carries.defaults(server).clone(),
    };
    let mut granted = carries.narrow(&asked.narrow(limit));
    if granted.iter().any(|scope| is_administrative(scope.as_str()))
        && !is_administrator(server, exchange)
    {
        granted =
            granted.iter().filter(|scope| !is_administrative(scope.as_str())).cloned().collect();
    }
    if granted.is_empty() {
        return Err(OAuthError::InvalidScope("nothing of this may be granted to the client"));
    }
    Ok(granted)
}

fn is_administrative(scope: &str) -> bool {
    scope.starts_with("broker:") || scope == "*"
}

/// By the settings alone: a client has no groups and no role (N115).
fn is_administrator(server: &AuthorizationServer, exchange: &Exchange<'_>) -> bool {
    let subjects = &server.settings.administrators.subjects;
    subjects.iter().any(|subject| subject == exchange.client.id().as_str())
}
