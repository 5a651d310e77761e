//! `authorization_code` (RFC 6749 §4.1.3, OAuth 2.1 §4.1.3): a code becomes tokens, once.

use subtle::ConstantTimeEq;

use crate::api_key::BearerSecret;
use crate::audit::{AuditEvent, GrantType, Reused};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::pkce::CodeChallenge;
use crate::authorization_server::server::AuthorizationServer;
use crate::scope::Scope;
use crate::store::{CodeRedemption, CodeRow, Digest, GrantRow, NewRefreshToken, Redeemed};
use crate::time::Timestamp;

use super::doubt;
use super::exchange::{DEAD, Exchange, Granted, Refused};
use super::issue::{Issue, Login};
use super::person::still_granted;
use super::resource::{self, Target};

const NAME: &str = "authorization_code";

/// Everything is looked at before the code is used: a request that is wrong in any way leaves it as it was, so that
/// nobody can use up another client's code (N31, N32, N35, N59, N60).
///
/// # Errors
///
/// - `400 invalid_grant`: [`DEAD`]; with a revoked grant where the code came twice and all of it was right (N29)
/// - `400 unauthorized_client`, `400 invalid_request`, `400 invalid_target`, `503`
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    let Exchange { server, client, form, .. } = exchange;
    if !client.allows_grant(NAME) {
        let refused = "the client is not registered for authorization_code";
        return Err(OAuthError::UnauthorizedClient(refused).into());
    }
    let digest = Digest::of(form.require("code", "code is missing")?);
    let challenge = challenge(exchange)?;
    doubt::settle(server, &digest).await?;
    let now = server.clock.now();
    let code = server.store.find_code(&digest).await?.ok_or(DEAD)?;
    check(exchange, &code, &challenge)?;
    let grant = server.store.find_grant(code.grant_id).await?.ok_or(DEAD)?;
    let target = resource::granted(server, form, &grant.resource).await?;
    let asked = CodeRedemption {
        code: digest,
        client_id: client.id().clone(),
        redirect_uri: code.redirect_uri.clone(),
        code_challenge: challenge.as_str().to_owned(),
        now,
        refresh: None,
    };
    if code.used_at.is_some() {
        let replayed = redeem(server, &asked, Reused::AuthorizationCode).await;
        return Err(replayed.err().unwrap_or_else(|| DEAD.into()));
    }
    check_document(exchange, &grant)?;
    let code = Redeeming { code, grant, target, asked };
    code.tokens(exchange, (GrantType::AuthorizationCode, Reused::AuthorizationCode)).await
}

/// A code of this client that may be used up now.
pub(super) struct Redeeming {
    pub(super) code: CodeRow,
    pub(super) grant: GrantRow,
    pub(super) target: Target,
    pub(super) asked: CodeRedemption,
}

impl Redeeming {
    /// The tokens, signed first; then the code is used up.
    ///
    /// # Errors
    ///
    /// As [`exchange`].
    pub(super) async fn tokens(
        self,
        exchange: &Exchange<'_>,
        (grant_type, reused): (GrantType, Reused),
    ) -> Result<Granted, Refused> {
        let Exchange { server, client, .. } = exchange;
        let Self { code, grant, target, asked } = self;
        let now = asked.now;
        let (user, scope) = still_granted(server, client, &grant, &code.scopes).await?;
        let (token, refresh) = new_refresh_token(exchange, &grant, &code.scopes, now);
        let wants_id = scope.iter().any(|scope| scope.as_str() == "openid");
        let issued = Issue {
            client_id: client.id(),
            target: &target,
            scope: &scope,
            grant: Some(&grant),
            user: Some(&user),
            derived: None,
            refresh_token: refresh.as_ref().map(|_| token.as_str()),
            key: exchange.key,
            login: wants_id.then_some(Login { nonce: code.nonce.as_deref() }),
            tells_resource: false,
            now,
        }
        .sign(server)?;
        let used_up = CodeRedemption { refresh, ..asked };
        redeem(server, &used_up, reused).await?;
        let event = AuditEvent::TokenIssue {
            grant_type,
            token: issued.token,
            grant_id: Some(grant.id),
            resource: target.uri,
            scopes: scope,
            subject_token: None,
            workload_subject: None,
        };
        Ok(Granted { body: issued.body, subject: issued.subject, event, used_up: Some(used_up) })
    }
}

/// N34: a missing verifier is an incomplete request, one of another shape answers to no challenge.
fn challenge(exchange: &Exchange<'_>) -> Result<CodeChallenge, OAuthError> {
    let verifier = exchange.form.require("code_verifier", "code_verifier is missing")?;
    CodeChallenge::of_verifier(verifier).map_err(|_| DEAD)
}

/// A redirect URI must be the code's where one is sent. It need not be: the verifier proves more (OAuth 2.1 §10.2).
fn check(
    exchange: &Exchange<'_>,
    code: &CodeRow,
    challenge: &CodeChallenge,
) -> Result<(), OAuthError> {
    let proven: bool = challenge.as_str().as_bytes().ct_eq(code.code_challenge.as_bytes()).into();
    let redirect = exchange.form.get("redirect_uri");
    let fits = proven
        && code.client_id == *exchange.client.id()
        // RFC 9449 §10 — N89
        && code.dpop_jkt.as_deref().is_none_or(|jkt| exchange.key == Some(jkt))
        && redirect.is_none_or(|redirect| redirect == code.redirect_uri);
    if fits { Ok(()) } else { Err(DEAD) }
}

/// A metadata document that changed since the person saw it is another client (N99).
fn check_document(exchange: &Exchange<'_>, grant: &GrantRow) -> Result<(), OAuthError> {
    let changed =
        grant.client_digest.is_some() && grant.client_digest.as_ref() != exchange.client.digest();
    if changed { Err(DEAD) } else { Ok(()) }
}

/// The one guarded statement that uses the code up: of any number of callers, one gets past it (N30).
pub(super) async fn redeem(
    server: &AuthorizationServer,
    asked: &CodeRedemption,
    reused: Reused,
) -> Result<(), Refused> {
    let doubt = server.tokens.doubts.about(asked);
    let redeemed = server.store.redeem_code(asked).await?;
    doubt.end();
    match redeemed {
        Redeemed::Granted { .. } => Ok(()),
        Redeemed::Replayed { grant_id } => Err(Refused::reused(reused, grant_id)),
        Redeemed::Refused | Redeemed::GrantEnded => Err(DEAD.into()),
    }
}

/// Where the client is registered for it or the person was asked for `offline_access`, and the grant lives long enough
/// for it to be of use.
fn new_refresh_token(
    exchange: &Exchange<'_>,
    grant: &GrantRow,
    scopes: &Scope,
    now: Timestamp,
) -> (zeroize::Zeroizing<String>, Option<NewRefreshToken>) {
    let settings = &exchange.server.settings;
    let token = BearerSecret::RefreshToken.generate(&*exchange.server.random);
    let asked = scopes.iter().any(|scope| scope.as_str() == "offline_access");
    let useful = grant.expires_at.since(now) > settings.access_token_ttl;
    let wanted = useful && (asked || exchange.client.allows_grant("refresh_token"));
    let refresh = wanted.then(|| NewRefreshToken {
        token: Digest::of(&token),
        dpop_jkt: exchange.key_of_refresh_token(),
        scopes: scopes.clone(),
        expires_at: now.plus(settings.refresh_token_ttl).min(grant.expires_at),
    });
    (token, refresh)
}
