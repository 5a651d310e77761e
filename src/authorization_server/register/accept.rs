//! What of a registration is taken (RFC 7591 §2): reduced where that is safe, refused where it is not.

use serde_json::Value;

use crate::authorization_server::client::{AuthMethod, ClientMetadata, display_name};
use crate::authorization_server::client_auth::{AssertionKeys, ClientCertificates};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::settings::{Registration, Settings};
use crate::public_jwks::PublicJwks;
use crate::redirect_uri::RedirectUri;
use crate::scope::Scope;

use super::stateless_id::{Flags, MAX_REDIRECT_URIS};

const MAX_TEXT: usize = 256;

/// A registration as it will be stored and answered.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) metadata: ClientMetadata,
    pub(super) redirect_uris: Vec<RedirectUri>,
    pub(super) method: AuthMethod,
}

impl Accepted {
    /// What of it the id of a public client carries.
    pub(super) fn flags(&self) -> Flags {
        Flags {
            refresh: self.metadata.known_grant_types().contains(&"refresh_token"),
            pushed: self.metadata.require_pushed_authorization_requests == Some(true),
            dpop: self.metadata.dpop_bound_access_tokens == Some(true),
        }
    }
}

/// What a client may register here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub(super) mode: Registration,
    pub(super) certificates: &'a ClientCertificates,
    /// Whether tokens can be bound to keys (RFC 9449).
    pub(super) dpop: bool,
}

impl<'a> Offer<'a> {
    pub(super) const fn of(settings: &'a Settings) -> Self {
        Self {
            mode: settings.registration,
            certificates: &settings.client_certificates,
            dpop: settings.dpop,
        }
    }
}

/// # Errors
///
/// - [`OAuthError::InvalidRedirectUri`]
/// - [`OAuthError::InvalidClientMetadata`]
pub(super) fn accept(asked: ClientMetadata, offer: Offer<'_>) -> Result<Accepted, OAuthError> {
    let redirect_uris = redirect_uris(&asked)?;
    let method = method(&asked, offer.mode)?;
    if !offer.certificates.serve(method) {
        return Err(OAuthError::InvalidClientMetadata(
            "token_endpoint_auth_method is about certificates, and this server asks for none such",
        ));
    }
    let keys = matches!(method, AuthMethod::PrivateKeyJwt | AuthMethod::SelfSignedTlsClientAuth);
    let named = method == AuthMethod::TlsClientAuth;
    check_binding(&asked, method, offer)?;
    let metadata = ClientMetadata {
        redirect_uris: asked.redirect_uris.clone(),
        client_name: asked.client_name.as_deref().and_then(display_name),
        // The TypeScript SDK refuses an answer with an empty one.
        client_uri: asked.client_uri.filter(|uri| (1..=MAX_TEXT).contains(&uri.len())),
        grant_types: Some(grant_types(asked.grant_types.as_deref())?),
        response_types: Some(response_types(asked.response_types.as_deref())?),
        token_endpoint_auth_method: Some(method.as_str().to_owned()),
        token_endpoint_auth_methods_supported: None,
        scope: asked.scope.as_deref().and_then(own_scope),
        application_type: asked.application_type.filter(|kind| kind == "native" || kind == "web"),
        software_id: asked.software_id.filter(|text| text.len() <= MAX_TEXT),
        software_version: asked.software_version.filter(|text| text.len() <= MAX_TEXT),
        jwks: asked.jwks.filter(|_| keys).map(jwks).transpose()?,
        jwks_uri: None,
        require_pushed_authorization_requests: demanded(
            asked.require_pushed_authorization_requests,
        ),
        dpop_bound_access_tokens: demanded(asked.dpop_bound_access_tokens),
        tls_client_auth_subject_dn: asked.tls_client_auth_subject_dn.filter(|_| named),
        tls_client_auth_san_dns: asked.tls_client_auth_san_dns.filter(|_| named),
        tls_client_auth_san_uri: asked.tls_client_auth_san_uri.filter(|_| named),
        tls_client_auth_san_ip: asked.tls_client_auth_san_ip.filter(|_| named),
        tls_client_auth_san_email: asked.tls_client_auth_san_email.filter(|_| named),
        tls_client_certificate_bound_access_tokens: demanded(
            asked.tls_client_certificate_bound_access_tokens,
        ),
        post_logout_redirect_uris: None,
        backchannel_logout_uri: None,
        client_secret: None,
    };
    Ok(Accepted { metadata, redirect_uris, method })
}

/// `false` is what holds for who says nothing.
fn demanded(asked: Option<bool>) -> Option<bool> {
    asked.filter(|demanded| *demanded)
}

/// What a client demands for its own safety is kept or refused: it must not believe its tokens bound that are not.
fn check_binding(
    asked: &ClientMetadata,
    method: AuthMethod,
    offer: Offer<'_>,
) -> Result<(), OAuthError> {
    let wrong = |text| Err(OAuthError::InvalidClientMetadata(text));
    let key = asked.dpop_bound_access_tokens == Some(true);
    let certificate = asked.tls_client_certificate_bound_access_tokens == Some(true);
    match (key, certificate) {
        (true, true) => wrong(
            "dpop_bound_access_tokens and tls_client_certificate_bound_access_tokens do not go together: a token is bound to one thing",
        ),
        (true, false) if !offer.dpop => {
            wrong("dpop_bound_access_tokens is true, and this server binds no tokens to keys")
        }
        (false, true) if !offer.certificates.are_asked_for() => wrong(
            "tls_client_certificate_bound_access_tokens is true, and this server asks for no certificates",
        ),
        (false, true) if method == AuthMethod::None => {
            wrong("tls_client_certificate_bound_access_tokens is for clients that prove themselves")
        }
        _ => Ok(()),
    }
}

/// One bad URI refuses the whole: a client that silently lost one would fail later, where nobody sees why (N92).
fn redirect_uris(asked: &ClientMetadata) -> Result<Vec<RedirectUri>, OAuthError> {
    if asked.redirect_uris.is_empty() {
        return Err(OAuthError::InvalidRedirectUri("redirect_uris is missing or empty"));
    }
    if asked.redirect_uris.len() > MAX_REDIRECT_URIS {
        return Err(OAuthError::InvalidRedirectUri("there are more than 16 redirect_uris"));
    }
    let parsed: Result<Vec<_>, _> =
        asked.redirect_uris.iter().map(|uri| RedirectUri::parse(uri)).collect();
    parsed.map_err(|error| OAuthError::InvalidRedirectUri(error.description()))
}

/// In `limited` a client that wants a secret becomes a public one and is told so (RFC 7591 §2); one that wants to sign
/// is refused, because that would be less than it asked for.
fn method(asked: &ClientMetadata, mode: Registration) -> Result<AuthMethod, OAuthError> {
    let unknown = OAuthError::InvalidClientMetadata(
        "token_endpoint_auth_method is none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth",
    );
    let stated = asked.token_endpoint_auth_method.as_deref();
    let method = match stated {
        None => AuthMethod::ClientSecretBasic, // the default of RFC 7591 §2
        Some(text) => AuthMethod::parse(text).ok_or(unknown)?,
    };
    let confidential = mode.takes_confidential();
    match (method, confidential) {
        (AuthMethod::None, _) => Ok(AuthMethod::None),
        (AuthMethod::PrivateKeyJwt, true) if asked.jwks.is_some() => Ok(method),
        (AuthMethod::TlsClientAuth, true) if asked.certificate_name().is_some() => Ok(method),
        (AuthMethod::TlsClientAuth, true) => Err(OAuthError::InvalidClientMetadata(
            "tls_client_auth needs exactly one of tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip and _san_email",
        )),
        (AuthMethod::SelfSignedTlsClientAuth, true) if has_certificates(asked) => Ok(method),
        (AuthMethod::SelfSignedTlsClientAuth, true) => Err(OAuthError::InvalidClientMetadata(
            "self_signed_tls_client_auth needs jwks with a certificate in x5c",
        )),
        (
            AuthMethod::PrivateKeyJwt
            | AuthMethod::TlsClientAuth
            | AuthMethod::SelfSignedTlsClientAuth,
            _,
        ) => Err(OAuthError::InvalidClientMetadata(
            "a client with keys is named by its metadata document or registered by an administrator",
        )),
        (_, true) => Ok(method),
        (_, false) => Ok(AuthMethod::None),
    }
}

fn has_certificates(asked: &ClientMetadata) -> bool {
    let keys = asked.jwks.as_ref().map(|jwks| AssertionKeys::inline(jwks.to_string().as_bytes()));
    keys.is_some_and(|keys| keys.is_ok_and(|keys| keys.has_certificates()))
}

/// Only public keys are kept.
fn jwks(asked: Value) -> Result<Value, OAuthError> {
    let parsed = PublicJwks::from_value(asked);
    let wrong = "jwks must be 1 to 16 public keys of kty RSA, EC or OKP";
    parsed.map(|jwks| jwks.to_value()).map_err(|_| OAuthError::InvalidClientMetadata(wrong))
}

/// Unknown grants are left out, `client_credentials` is never self-registered (N91), refresh is ours to offer.
fn grant_types(asked: Option<&[String]>) -> Result<Vec<String>, OAuthError> {
    let both = ["authorization_code", "refresh_token"];
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(both.map(str::to_owned).to_vec());
    };
    if !asked.iter().any(|grant| grant == "authorization_code") {
        return Err(OAuthError::InvalidClientMetadata("grant_types must have authorization_code"));
    }
    let wanted = |grant: &&str| asked.iter().any(|asked| asked == grant);
    Ok(both.into_iter().filter(wanted).map(str::to_owned).collect())
}

fn response_types(asked: Option<&[String]>) -> Result<Vec<String>, OAuthError> {
    match asked {
        Some(asked) if !asked.is_empty() && !asked.iter().any(|kind| kind == "code") => {
            Err(OAuthError::InvalidClientMetadata("response_types must have code"))
        }
        _ => Ok(vec!["code".to_owned()]),
    }
}

/// Without administrative scopes (N115). Says only what the client likes to be known for: it is no permission.
fn own_scope(asked: &str) -> Option<String> {
    let scope: Scope = asked.trim().parse().ok()?;
    let kept = scope.iter().map(ToString::to_string).filter(|one| !one.starts_with("broker:"));
    let kept: Vec<String> = kept.collect();
    (!kept.is_empty() && !kept.iter().any(|one| one == "*")).then(|| kept.join(" "))
}
