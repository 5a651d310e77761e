//! From the parameters of an authorization request to one that may wait for its person (OAuth 2.1 §4.1.1).
//!
//! In this order: which client, where the answer goes, and only then the rest: before the redirect URI is known to be
//! the client's own, nothing is sent anywhere (RFC 6749 §4.1.2.1; N23).

use std::net::IpAddr;

use crate::authorization_server::client::{self, Client, ClientError};
use crate::authorization_server::dpop::is_thumbprint;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::form::Form;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::pkce::CodeChallenge;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::target::{self, TargetError};
use crate::id::ClientId;
use crate::resource_server::JwtHint;
use crate::scope::Scope;
use crate::store::StoreError;

use super::OWN_SCOPES;
use super::pending::{Pending, Prompt, digest_text};
use super::redirect::Refused;

/// Why a request is not taken.
#[derive(Debug)]
pub(super) enum Rejected {
    /// Only the person may be told: whose redirect URI it is, is not known.
    Page(Fault),
    /// The client is told, at its own redirect URI; `trusted` where an operator knows the client.
    Client { redirect_uri: String, state: Option<String>, trusted: bool, refused: Refused },
}

impl From<Fault> for Rejected {
    fn from(fault: Fault) -> Self {
        Self::Page(fault)
    }
}

/// Bytes. Requests wait in the store before anybody logs in, and nobody knows who sends them.
const MAX_STATE: usize = 4096;
const MAX_NONCE: usize = 512;
/// A longer one is no name of anybody: it is left out.
const MAX_HINT: usize = 512;

/// Why the rest of a request is not taken, once it is known where to say so.
enum Wrong {
    Refused(Refused),
    Store(StoreError),
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Validates a request. Asks the settings, the store, and for a client with a metadata document its host; the person is
/// not known yet, so what they may be granted is *not* checked here.
///
/// # Errors
///
/// [`Rejected`]
pub(super) async fn validate(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    form: &Form,
) -> Result<Pending, Rejected> {
    let client = find_client(server, address, form).await?;
    let outcome = validate_of(server, &client, form).await?;
    if server.settings.require_pushed_requests || client.requires_pushed_requests() {
        let (redirect_uri, state) = (outcome.redirect_uri, outcome.state);
        let refused = Refused::NotPushed;
        let trusted = client.is_trusted();
        return Err(Rejected::Client { redirect_uri, state, trusted, refused });
    }
    Ok(outcome)
}

/// The same for a client that is known already.
///
/// # Errors
///
/// [`Rejected`]
pub(super) async fn validate_of(
    server: &AuthorizationServer,
    client: &Client,
    form: &Form,
) -> Result<Pending, Rejected> {
    let redirect_uri = redirect_uri(client, form)?;
    // Twice a state is none: there is no saying which one the client expects. One that is too long comes back to nobody.
    let state = form.get("state").filter(|state| state.len() <= MAX_STATE);
    let state = if form.is_repeated("state") { None } else { state };
    match rest(server, form, client, &redirect_uri).await {
        Ok(pending) => Ok(pending),
        Err(Wrong::Store(error)) => Err(Rejected::Page(Fault::Store(error))),
        Err(Wrong::Refused(refused)) => {
            let state = state.map(str::to_owned);
            Err(Rejected::Client { redirect_uri, state, trusted: client.is_trusted(), refused })
        }
    }
}

pub(super) async fn find_client(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    form: &Form,
) -> Result<Client, Fault> {
    if form.is_repeated("client_id") {
        return Err(Fault::MalformedRequest("client_id is there more than once"));
    }
    let id = form.get("client_id").ok_or(Fault::MalformedRequest("client_id is missing"))?;
    let id: ClientId = id.parse().map_err(|_| Fault::UnknownClient(ClientError::Unknown))?;
    client::find(server, address, &id).await.map_err(|error| match error {
        ClientError::Store(error) => Fault::Store(error),
        other => Fault::UnknownClient(other),
    })
}

/// N2 to N10
fn redirect_uri(client: &Client, form: &Form) -> Result<String, Fault> {
    if form.is_repeated("redirect_uri") {
        return Err(Fault::MalformedRequest("redirect_uri is there more than once"));
    }
    match form.get("redirect_uri") {
        Some(asked) if client.allows_redirect(asked) => Ok(asked.to_owned()),
        Some(_) => Err(Fault::WrongRedirect),
        None => client.sole_redirect_uri().map(ToString::to_string).ok_or(Fault::WrongRedirect),
    }
}

async fn rest(
    server: &AuthorizationServer,
    form: &Form,
    client: &Client,
    redirect_uri: &str,
) -> Result<Pending, Wrong> {
    check_shape(form)?;
    if !client.allows_grant("authorization_code") {
        return Err(Refused::UnauthorizedClient.into());
    }
    if client.requires_dpop() && server.dpop.is_none() {
        return Err(Refused::InvalidRequest(
            "tokens of this client must be bound to a key, and this server binds none",
        )
        .into());
    }
    if client.requires_certificate() && !server.settings.client_certificates.are_asked_for() {
        return Err(Refused::InvalidRequest(
            "tokens of this client must be bound to a certificate, and this server asks for none",
        )
        .into());
    }
    if client.requires_certificate() && (client.requires_dpop() || form.get("dpop_jkt").is_some()) {
        return Err(Refused::InvalidRequest(
            "tokens of this client are bound to its certificate, and to no other key",
        )
        .into());
    }
    let code_challenge = code_challenge(form)?;
    let resource = resource(server, form).await?;
    let carries = target::carries(server, &resource).await.map_err(Wrong::Store)?;
    let scope = asked_scope(carries.defaults(server), form).map_err(Refused::InvalidScope)?;
    let limit = client.scope().cloned();
    Ok(Pending {
        client_id: client.id().clone(),
        redirect_uri: redirect_uri.to_owned(),
        state: form.get("state").map(str::to_owned),
        scope,
        limit,
        resource,
        code_challenge: code_challenge.as_str().to_owned(),
        nonce: form.get("nonce").map(str::to_owned),
        login_hint: form.get("login_hint").filter(|hint| hint.len() <= MAX_HINT).map(str::to_owned),
        prompt: prompt(form)?,
        max_age: max_age(form)?,
        acr_values: acr_values(form)?,
        requested_at: server.clock.now().unix_seconds(),
        client_digest: client.digest().map(digest_text),
        trusted_client: client.is_trusted(),
        refresh: client.allows_grant("refresh_token"),
        dpop_jkt: dpop_jkt(server, form)?,
        hinted: hinted(server, client, form)?,
    })
}

/// N11, N15, N20
fn check_shape(form: &Form) -> Result<(), Refused> {
    if form.has_repetition() {
        return Err(Refused::InvalidRequest("a parameter is there more than once"));
    }
    let longer = |name: &str, most: usize| form.get(name).is_some_and(|value| value.len() > most);
    if longer("state", MAX_STATE) {
        return Err(Refused::InvalidRequest("state is longer than 4096 bytes"));
    }
    if longer("nonce", MAX_NONCE) {
        return Err(Refused::InvalidRequest("nonce is longer than 512 bytes"));
    }
    if form.get("request").is_some() {
        return Err(Refused::RequestNotSupported);
    }
    if form.get("request_uri").is_some() {
        return Err(Refused::RequestUriNotSupported);
    }
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(Refused::UnsupportedResponseType),
        None => return Err(Refused::InvalidRequest("response_type is missing")),
    }
    match form.get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(Refused::InvalidRequest("response_mode must be query")),
    }
}

/// N16 to N19
fn code_challenge(form: &Form) -> Result<CodeChallenge, Refused> {
    let challenge =
        form.get("code_challenge").ok_or(Refused::InvalidRequest("code_challenge is missing"))?;
    if form.get("code_challenge_method") != Some("S256") {
        return Err(Refused::InvalidRequest("code_challenge_method must be S256"));
    }
    let shape = "code_challenge must be 43 characters of base64url";
    CodeChallenge::parse(challenge).map_err(|_| Refused::InvalidRequest(shape))
}

/// N59 to N63
async fn resource(server: &AuthorizationServer, form: &Form) -> Result<String, Wrong> {
    match target::requested(server, form).await {
        Ok(Some(resource)) => Ok(resource),
        Ok(None) => {
            let default = target::default(server).map(str::to_owned);
            default.ok_or(Refused::InvalidTarget("resource is missing").into())
        }
        Err(TargetError::Invalid(text)) => Err(Refused::InvalidTarget(text).into()),
        Err(TargetError::Store(error)) => Err(Wrong::Store(error)),
    }
}

/// What is asked for; the default scopes where that says nothing about what the client wants to do.
///
/// # Errors
///
/// What is wrong with it, for the client.
pub(in crate::authorization_server) fn asked_scope(
    defaults: &Scope,
    form: &Form,
) -> Result<Scope, &'static str> {
    let Some(asked) = form.get("scope") else { return Ok(defaults.clone()) };
    let asked: Scope =
        asked.parse().map_err(|_| "scope is a list of names with one space between")?;
    let only_own = asked.iter().all(|token| OWN_SCOPES.contains(&token.as_str()));
    Ok(if only_own { asked.union(defaults) } else { asked })
}

/// OIDC Core §3.1.2.1. One that has expired still says whom it is about; an access token is none (N66).
///
/// Clients keep them for longer than we keep keys. One whose key is gone may be anybody's: where people are asked, they see
/// who they are.
fn hinted(
    server: &AuthorizationServer,
    client: &Client,
    form: &Form,
) -> Result<Option<String>, Refused> {
    const NONE: Refused =
        Refused::InvalidRequest("id_token_hint is no ID token of this server for this client");
    let Some(unverified) = form.get("id_token_hint") else { return Ok(None) };
    if let Some((of, person)) = server.tokens.own.id_token(server, unverified) {
        return if of == *client.id() { Ok(Some(person)) } else { Err(NONE) };
    }
    let hint = JwtHint::read(unverified).ok_or(NONE)?;
    if hint.typ != "jwt" || hint.issuer != server.settings.issuer.as_str() {
        return Err(NONE);
    }
    if prompt(form)?.none { Err(Refused::NewLoginRequired) } else { Ok(None) }
}

/// RFC 9449 §10. Where no token is bound to any key, the parameter is one of those that are not known (RFC 6749 §3.1).
fn dpop_jkt(server: &AuthorizationServer, form: &Form) -> Result<Option<String>, Refused> {
    let Some(jkt) = form.get("dpop_jkt").filter(|_| server.dpop.is_some()) else { return Ok(None) };
    if !is_thumbprint(jkt) {
        return Err(Refused::InvalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key"));
    }
    Ok(Some(jkt.to_owned()))
}

/// N28
fn prompt(form: &Form) -> Result<Prompt, Refused> {
    let mut prompt = Prompt::default();
    for value in form.get("prompt").unwrap_or_default().split(' ') {
        match value {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "consent" => prompt.consent = true,
            "select_account" => prompt.select_account = true,
            _ => {}
        }
    }
    if prompt.none && (prompt.login || prompt.consent || prompt.select_account) {
        return Err(Refused::InvalidRequest("prompt=none stands alone"));
    }
    Ok(prompt)
}

/// OIDC Core §3.1.2.1. More than anybody means would only fill the store.
fn acr_values(form: &Form) -> Result<Vec<String>, Refused> {
    let values = form.get("acr_values").unwrap_or_default().split(' ');
    let values: Vec<String> = values.filter(|value| !value.is_empty()).map(str::to_owned).collect();
    if values.len() > 16 || values.iter().any(|value| value.len() > 128) {
        return Err(Refused::InvalidRequest("acr_values is a list of up to 16 short values"));
    }
    Ok(values)
}

fn max_age(form: &Form) -> Result<Option<u32>, Refused> {
    let parsed = form.get("max_age").map(str::parse).transpose();
    parsed.map_err(|_| Refused::InvalidRequest("max_age is a number of seconds"))
}

/// A query or form that cannot be read names no client, so that only the person can be told.
pub(super) fn read(encoded: &[u8]) -> Result<Form, Fault> {
    Form::decode(encoded).map_err(|error| {
        Fault::MalformedRequest(match error {
            OAuthError::InvalidRequest(text) => text,
            _ => "the request is too large",
        })
    })
}
