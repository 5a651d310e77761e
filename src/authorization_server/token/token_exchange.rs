//! `token-exchange` (RFC 8693): a server that was sent a token gets one with which it calls the next. Writes nothing.
//!
//! Delegation, never impersonation (RFC 8693 §1.1): the new token says for whom it is *and* who acts. It has no more
//! scopes than the one it is made from, lives no longer, is for that token's resource or one that an operator named, and
//! ends with everything that it was made from.

use std::sync::Arc;

use crate::audit::{AuditEvent, GrantType, TokenName};
use crate::authorization_server::authorize::OWN_SCOPES;
use crate::authorization_server::derived::{Actor, Origin};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::own_token::OwnToken;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::settings::ExchangeRules;
use crate::authorization_server::target;
use crate::id::Subject;
use crate::scope::{Scope, ScopeToken};
use crate::store::{GrantRow, UserRow};

use super::exchange::{Exchange, Granted, Refused};
use super::issue::{Derived, Issue};
use super::person::still_granted_for;
use super::resource::{self, Target};

pub(in crate::authorization_server) const NAME: &str =
    "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How many may act one for the other. A chain of servers that is longer goes in a circle.
const MAX_ACTORS: usize = 4;

/// One answer for a token that is no token, late, revoked, or not this client's to bring: none tells more.
const DEAD_SUBJECT: OAuthError = OAuthError::InvalidSubjectToken(
    "the subject token is not valid here, or not for this client to use",
);

/// Gives an access token and never a refresh token: whoever needs a newer one brings a newer subject token.
///
/// # Errors
///
/// - `400 unauthorized_client`: the settings do not let this client exchange tokens
/// - `400 invalid_request` (RFC 8693 §2.2.2): a token is missing, of another type or issuer, late or revoked, was sent to
///   another server, or too many act already; an actor that is not the client itself (N85)
/// - `400 invalid_target`: a resource that is neither the subject token's nor one that the client may ask for
/// - `400 invalid_scope`: more than the subject token has, or nothing that may be granted; `429`, `503`
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let Exchange { server, client, form, .. } = exchange;
    let rules = rules(exchange)?;
    of_the_right_type(form.get("subject_token_type"), "subject_token_type is missing")?;
    if form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return Err(OAuthError::InvalidRequest("requested_token_type: only access_token").into());
    }
    let subject = subject(exchange, rules).await?;
    actor(exchange)?;
    server.tokens.admit_exchange(&subject.jti)?;
    let target = target(exchange, rules, &subject).await?;
    let wanted = wanted(exchange, &subject)?;
    let (behind, scope) = behind(exchange, &subject, &target, &wanted).await?;
    let (grant, user) = behind.as_ref().map(|(grant, user)| (grant, user)).unzip();
    let derived = derived(exchange, &subject)?;
    let issued = Issue {
        client_id: client.id(),
        target: &target,
        scope: &scope,
        grant,
        user,
        derived: Some(&derived),
        refresh_token: None,
        key: exchange.key,
        login: None,
        tells_resource: false,
        now: server.clock.now(),
    }
    .sign(server)?;
    let event = AuditEvent::TokenIssue {
        grant_type: GrantType::TokenExchange,
        token: issued.token,
        grant_id: subject.grant_id,
        resource: target.uri,
        scopes: scope,
        subject_token: Some(TokenName(Arc::from(subject.jti.as_str()))),
        workload_subject: None,
    };
    Ok(Granted { body: issued.body, subject: issued.subject, event, used_up: None })
}

/// What the settings let this client do. A public client proves nothing about itself, whatever it is set up for.
fn rules<'a>(exchange: &Exchange<'a>) -> Result<&'a ExchangeRules, OAuthError> {
    let Exchange { server, client, .. } = exchange;
    let refused = OAuthError::UnauthorizedClient("the client is not set up for token exchange");
    if !client.allows_grant(NAME) || !client.is_confidential() {
        return Err(refused);
    }
    server.exchange_rules(client.id()).ok_or(refused)
}

fn of_the_right_type(stated: Option<&str>, missing: &'static str) -> Result<(), OAuthError> {
    match stated {
        Some(ACCESS_TOKEN) => Ok(()),
        Some(_) => Err(OAuthError::InvalidSubjectToken(
            "only access tokens of this server can be exchanged",
        )),
        None => Err(OAuthError::InvalidRequest(missing)),
    }
}

/// A live access token of ours that was issued to this client, or sent to the server that this client is.
async fn subject(
    exchange: &Exchange<'_>,
    rules: &ExchangeRules,
) -> Result<Arc<OwnToken>, OAuthError> {
    let Exchange { server, client, form, .. } = exchange;
    let unverified = form.require("subject_token", "subject_token is missing")?;
    let token = server.tokens.own.read(server, unverified).ok_or(DEAD_SUBJECT)?;
    let own = token.client_id == *client.id();
    let received = rules.from.iter().any(|from| target::is_same(from, &token.aud));
    if (own || received) && token.is_for_a_server(server).await? {
        Ok(token)
    } else {
        Err(DEAD_SUBJECT)
    }
}

/// Who acts is the client that asks. An actor token may say so again, and nothing else: nobody acts in another's name
/// (RFC 8693 §2.1, §4.4).
fn actor(exchange: &Exchange<'_>) -> Result<(), OAuthError> {
    let Exchange { server, client, form, .. } = exchange;
    let (token, kind) = (form.get("actor_token"), form.get("actor_token_type"));
    let Some(unverified) = token else {
        let alone = OAuthError::InvalidRequest("actor_token_type is for an actor_token");
        return if kind.is_some() { Err(alone) } else { Ok(()) };
    };
    of_the_right_type(kind, "actor_token_type is missing")?;
    let token = server.tokens.own.read(server, unverified);
    let is_the_client = token.is_some_and(|token| {
        token.client_id == *client.id()
            && token.grant_id.is_none()
            && token.sub == Subject::from(client.id())
    });
    let other = OAuthError::InvalidSubjectToken("the actor is the client itself, or none");
    if is_the_client { Ok(()) } else { Err(other) }
}

/// The subject token's own resource, or one that an operator lets this client reach (RFC 8693 §2.1).
async fn target(
    exchange: &Exchange<'_>,
    rules: &ExchangeRules,
    subject: &OwnToken,
) -> Result<Target, OAuthError> {
    let Exchange { server, form, .. } = exchange;
    let mut asked = target::requested(server, form).await?;
    if let Some(audience) = form.get("audience") {
        let named = target::named(server, audience).await?;
        if asked.as_ref().is_some_and(|asked| *asked != named) {
            return Err(OAuthError::InvalidTarget("resource and audience name two servers"));
        }
        asked = Some(named);
    }
    let uri = asked.unwrap_or_else(|| subject.aud.clone());
    if uri != subject.aud && !rules.to.iter().any(|to| target::is_same(to, &uri)) {
        return Err(OAuthError::InvalidTarget("the client may not get tokens for this resource"));
    }
    resource::registered(server, uri)
        .await?
        .ok_or(OAuthError::InvalidTarget("resource is not registered with this server"))
}

/// What is asked for, all of which the subject token must have; else all it has. Nothing about the person and nothing of
/// the broker itself: a token for a server is no way to either.
fn wanted(exchange: &Exchange<'_>, subject: &OwnToken) -> Result<Scope, OAuthError> {
    let asked = match exchange.form.get("scope") {
        None => subject.scope.clone(),
        Some(text) => text.parse::<Scope>().map_err(|_| {
            OAuthError::InvalidScope("scope is a list of names with one space between")
        })?,
    };
    if !asked.is_subset(&subject.scope) {
        return Err(OAuthError::InvalidScope("the subject token has less than this"));
    }
    let passes = |token: &&ScopeToken| {
        let name = token.as_str();
        name != "*" && name.split(':').next() != Some("broker") && !OWN_SCOPES.contains(&name)
    };
    Ok(asked.iter().filter(passes).cloned().collect())
}

/// A person's grant and who they are, where a person stands behind the subject token; and what may be granted now.
async fn behind(
    exchange: &Exchange<'_>,
    subject: &OwnToken,
    target: &Target,
    wanted: &Scope,
) -> Result<(Option<(GrantRow, UserRow)>, Scope), OAuthError> {
    const NOTHING: OAuthError = OAuthError::InvalidScope("nothing of this may be granted");
    let Exchange { server, client, .. } = exchange;
    let limit = client.scope().ok_or(NOTHING)?;
    let wanted = wanted.narrow(limit);
    let (behind, scope) = match subject.grant_id {
        None => {
            let carries = target::carries(server, &target.uri).await?;
            (None, carries.narrow(&wanted))
        }
        Some(id) => {
            let now = server.clock.now();
            let grant = server.store.find_grant(id).await?;
            let alive = |grant: &GrantRow| grant.revoked_at.is_none() && grant.expires_at > now;
            let grant = grant.filter(alive).ok_or(DEAD_SUBJECT)?;
            let still = still_granted_for(server, client, (&grant, &target.uri), &wanted).await;
            let (user, scope) = still.map_err(|error| match error {
                OAuthError::InvalidGrant(_) => NOTHING,
                other => other,
            })?;
            (Some((grant, user)), scope)
        }
    };
    if scope.is_empty() { Err(NOTHING) } else { Ok((behind, scope)) }
}

/// The chain with this client at its head (RFC 8693 §4.1), and every token that the new one is made from.
fn derived(exchange: &Exchange<'_>, subject: &OwnToken) -> Result<Derived, OAuthError> {
    let act = subject.act.clone().map(Box::new);
    let act = Actor { sub: Subject::from(exchange.client.id()), act };
    if act.depth() > MAX_ACTORS {
        return Err(OAuthError::InvalidSubjectToken("too many act for one another already"));
    }
    let (jti, client_id) = (subject.jti.clone(), subject.client_id.clone());
    let origin = Origin { jti, client_id, iat: subject.iat, aud: Some(subject.aud.clone()) };
    let mut origins = subject.derived_from.clone();
    origins.push(origin);
    Ok(Derived { subject: subject.sub.clone(), ends_at: subject.expires_at(), act, origins })
}

impl AuthorizationServer {
    /// What the settings let a client exchange. `None`: it is not one of the settings file.
    fn exchange_rules(&self, id: &crate::id::ClientId) -> Option<&ExchangeRules> {
        let place = self.clients.configured(id)?;
        self.settings.clients.get(place).map(|client| &client.exchange)
    }
}
