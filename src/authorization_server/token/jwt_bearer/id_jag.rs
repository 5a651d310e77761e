//! An ID-JAG: an identity provider vouches for a person to a client (MCP Enterprise-Managed Authorization;
//! draft-ietf-oauth-identity-assertion-authz-grant). There is no page: who may do what through which client is decided there,
//! and by policy here.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::audit::{AuditEvent, GrantType};
use crate::authorization_server::authorize::OWN_SCOPES;
use crate::authorization_server::error::OAuthError::{self, InvalidAssertion};
use crate::authorization_server::identity_provider::IdentityProviderSettings;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::target;
use crate::id::{GrantId, UserId};
use crate::resource_server::JwtHint;
use crate::scope::{Scope, ScopeToken};
use crate::store::{ExternalIdentity, GrantRow, LoginOrigin, OwnLogin, UserRow};

use super::id_jag_claims::{Expected, IdJag};
use super::{ID_JAG_TYPE, NAME, Once};
use crate::authorization_server::token::exchange::{Exchange, Granted, Refused};
use crate::authorization_server::token::issue::Issue;
use crate::authorization_server::token::person::granted_to;
use crate::authorization_server::token::resource::{self, Target};

/// Everything is looked at before the assertion counts as used, and nothing is changed before: one that comes again says
/// nothing of its person any more. A refresh token never comes of it.
///
/// # Errors
///
/// As [`super::exchange`].
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let Exchange { server, client, form, .. } = exchange;
    // Whoever finds an assertion must not be able to use it.
    if !client.allows_grant(NAME) || !client.is_confidential() {
        let refused = "the client is not registered for jwt-bearer, or proves nothing about itself";
        return Err(OAuthError::UnauthorizedClient(refused).into());
    }
    let (vouched, provider, claims) =
        vouched(exchange, form.require("assertion", "assertion is missing")?).await?;
    let target = named(exchange, &vouched).await?;
    let wanted = wanted(exchange, &vouched, &target).await?;
    let person = Vouched::read(server, provider, &claims).await?;
    let granted = granted_to(server, client, (&person.user, &target.uri), &wanted).await;
    let scope = granted.map_err(|error| match error {
        OAuthError::InvalidGrant(_) => NOTHING,
        other => other,
    })?;
    let once = Once {
        issuer: provider.issuer.clone(),
        name: Some(vouched.jti.clone()),
        again: false,
        workload: None,
        until: vouched.life.until(),
    };
    once.spend(server).await?;
    let user = person.written(server).await?;
    let grant = GrantRow {
        login: provider.origin(&claims),
        ..grant(exchange, &user, &target, (&vouched, &scope))
    };
    let issued = Issue {
        client_id: client.id(),
        target: &target,
        scope: &scope,
        grant: Some(&grant),
        user: Some(&user),
        derived: None,
        refresh_token: None,
        key: exchange.key,
        login: None,
        tells_resource: true,
        now: grant.created_at,
    }
    .sign(server)?;
    server.store.add_grant(&grant).await?;
    let event = AuditEvent::TokenIssue {
        grant_type: GrantType::JwtBearer,
        token: issued.token,
        grant_id: Some(grant.id),
        resource: target.uri,
        scopes: scope,
        subject_token: once.name(),
        workload_subject: None,
    };
    Ok(Granted { body: issued.body, subject: issued.subject, event, used_up: None })
}

const DISABLED: OAuthError = InvalidAssertion("sub: the person is disabled here");
const NOTHING: OAuthError = OAuthError::InvalidScope("nothing of this may be granted");

/// What a provider of the settings has signed for this client, and nobody changed.
async fn vouched<'a>(
    exchange: &Exchange<'a>,
    unverified: &str,
) -> Result<(IdJag, &'a IdentityProviderSettings, Map<String, Value>), OAuthError> {
    let Exchange { server, client, .. } = exchange;
    let hint = JwtHint::read(unverified).filter(|hint| hint.typ == ID_JAG_TYPE);
    let hint = hint.ok_or(InvalidAssertion("typ"))?;
    let known = server.assertions.of_people(&hint.issuer);
    let (given, keys) = known.ok_or(InvalidAssertion("iss: nobody who is trusted here"))?;
    let (typ, claims) = keys.verify(unverified).await?;
    let expected = Expected {
        issuer: given.from.issuer.as_str(),
        audience: server.settings.issuer.as_str(),
        client_id: client.id().as_str(),
        key: exchange.key,
        now: server.clock.now(),
    };
    let checked = expected.check(&typ, &claims).map_err(|rule| {
        tracing::info!(provider = given.provider.id, rule, "id_jag.refused");
        InvalidAssertion(rule)
    })?;
    Ok((checked, &given.provider, claims))
}

const WHICH: OAuthError =
    OAuthError::InvalidGrant("the assertion names no resource, and there is not only one here");

/// The server that the assertion names, and no other: it is for that server and for us together. One that names none is for
/// the only one there is: which of several the provider means, no request can say in its place.
async fn named(exchange: &Exchange<'_>, vouched: &IdJag) -> Result<Target, OAuthError> {
    let Exchange { server, form, .. } = exchange;
    let uri = match &vouched.resource {
        None => target::only(server).await?.ok_or(WHICH)?,
        Some(named) => target::named(server, named).await.map_err(|error| match error.into() {
            OAuthError::InvalidTarget(_) => InvalidAssertion("resource: no server of ours"),
            other => other,
        })?,
    };
    if target::requested(server, form).await?.is_some_and(|asked| asked != uri) {
        return Err(OAuthError::InvalidTarget("the assertion is for another resource"));
    }
    let known = resource::registered(server, uri).await?;
    known.ok_or(InvalidAssertion("resource: no server of ours"))
}

/// What is asked for, of what the provider allows; where that does not say, of what a request without a scope gets. Nothing
/// about the person and nothing of the broker itself: that needs somebody who logs in here.
async fn wanted(
    exchange: &Exchange<'_>,
    vouched: &IdJag,
    target: &Target,
) -> Result<Scope, OAuthError> {
    let Exchange { server, form, .. } = exchange;
    let allowed = match &vouched.scope {
        Some(allowed) => allowed.clone(),
        None => target::carries(server, &target.uri).await?.defaults(server).clone(),
    };
    let asked = match form.get("scope") {
        None => allowed.clone(),
        Some(text) => text.parse::<Scope>().map_err(|_| {
            OAuthError::InvalidScope("scope is a list of names with one space between")
        })?,
    };
    let passes = |token: &&ScopeToken| {
        let name = token.as_str();
        name != "*" && name.split(':').next() != Some("broker") && !OWN_SCOPES.contains(&name)
    };
    let wanted: Scope = asked.narrow(&allowed).iter().filter(passes).cloned().collect();
    if wanted.is_empty() { Err(NOTHING) } else { Ok(wanted) }
}

/// Who the person is here: the same as if they logged in at that provider. Groups and roles become what the assertion says,
/// where it says anything of them; else they stay what the last log-in said, and of somebody new all are missing.
struct Vouched {
    /// As they are once the assertion counts. Nothing of it is stored yet.
    user: UserRow,
    /// What is to be stored then.
    said: Option<ExternalIdentity>,
}

impl Vouched {
    async fn read(
        server: &AuthorizationServer,
        provider: &IdentityProviderSettings,
        claims: &Map<String, Value>,
    ) -> Result<Self, OAuthError> {
        let said = provider.identity(claims).map_err(|error| {
            tracing::info!(provider = provider.id, %error, "id_jag.refused");
            InvalidAssertion("claims of the person, or require")
        })?;
        let known = server.store.find_user_of_identity(&said.issuer, &said.subject).await?;
        if known.as_ref().is_some_and(|user| user.disabled_at.is_some()) {
            return Err(DISABLED);
        }
        let spoken = (provider.speaks_of_groups(claims), provider.speaks_of_roles(claims));
        let said = completed(said, known.as_ref(), spoken);
        match known {
            Some(user) if is_known(&user, &said) => Ok(Self { user, said: None }),
            known => {
                let named = known.as_ref().and_then(|user| user.display_name.clone());
                let email = known.as_ref().and_then(|user| user.email.clone());
                let said = ExternalIdentity {
                    display_name: said.display_name.or(named),
                    email: said.email.or(email),
                    ..said
                };
                let user = known.unwrap_or_else(|| newcomer(server, &said));
                let user = UserRow {
                    groups: said.groups.clone(),
                    groups_incomplete: said.groups_incomplete,
                    roles: said.roles.clone(),
                    roles_incomplete: said.roles_incomplete,
                    ..user
                };
                Ok(Self { user, said: Some(said) })
            }
        }
    }

    async fn written(self, server: &AuthorizationServer) -> Result<UserRow, OAuthError> {
        let Some(said) = self.said else { return Ok(self.user) };
        let now = server.clock.now();
        let user = server.store.user_of_identity(&said, self.user.id, now).await?;
        if user.disabled_at.is_some() { Err(DISABLED) } else { Ok(user) }
    }
}

/// Somebody who was never here.
fn newcomer(server: &AuthorizationServer, said: &ExternalIdentity) -> UserRow {
    UserRow {
        id: UserId::generate(&*server.clock, &*server.random),
        username: said.username.clone(),
        display_name: said.display_name.clone(),
        email: said.email.clone(),
        own_login: OwnLogin::Nothing,
        administrator: false,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
        created_at: server.clock.now(),
        last_login_at: None,
        disabled_at: None,
    }
}

fn is_known(user: &UserRow, said: &ExternalIdentity) -> bool {
    user.groups == said.groups
        && user.groups_incomplete == said.groups_incomplete
        && user.roles == said.roles
        && user.roles_incomplete == said.roles_incomplete
}

/// With the groups, and the roles, that the assertion does not speak of.
fn completed(
    said: ExternalIdentity,
    known: Option<&UserRow>,
    (groups, roles): (bool, bool),
) -> ExternalIdentity {
    let mut said = said;
    if !groups {
        let before = known.map(|user| (user.groups.clone(), user.groups_incomplete));
        (said.groups, said.groups_incomplete) = before.unwrap_or((Vec::new(), true));
    }
    if !roles {
        let before = known.map(|user| (user.roles.clone(), user.roles_incomplete));
        (said.roles, said.roles_incomplete) = before.unwrap_or((Vec::new(), true));
    }
    said
}

/// By which the person and administrators see it and can end it; it ends with its only token.
fn grant(
    exchange: &Exchange<'_>,
    user: &UserRow,
    target: &Target,
    (vouched, scopes): (&IdJag, &Scope),
) -> GrantRow {
    let Exchange { server, client, .. } = exchange;
    let now = server.clock.now();
    let lives: Duration = target.lifetime.unwrap_or(server.settings.access_token_ttl);
    GrantRow {
        id: GrantId::generate(&*server.clock, &*server.random),
        user_id: Some(user.id),
        client_id: client.id().clone(),
        scopes: scopes.clone(),
        resource: target.uri.clone(),
        redirect_origin: None,
        client_digest: client.digest().copied(),
        auth_time: vouched.auth_time,
        login: LoginOrigin::default(),
        extra: None,
        created_at: now,
        last_used_at: now,
        expires_at: now.plus(lives),
        revoked_at: None,
        revoke_reason: None,
    }
}
