//! Clients that an operator registers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::api_key::BearerSecret;
use crate::audit::{AdminAction, AdminObject};
use crate::id::ClientId;
use crate::redirect_uri::RedirectUri;
use crate::secret_text::SecretText;
use crate::store::{ClientKind, ClientRow, Digest, Page};

use super::client_certificate::{add_certificate, check_certificate};
use super::{Actor, BoundTokens, ClientView, Operations, PageQuery, Settings, Shown, found, shown};

/// RFC 7523, for ID-JAGs: which identity providers make them is in the settings.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const GRANT_TYPES: [&str; 4] =
    ["authorization_code", "refresh_token", "client_credentials", JWT_BEARER];

/// A client to register. Names are those of RFC 7591 §2.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "members of client metadata, by their names")]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    pub client_name: String,
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Absent: `authorization_code` and `refresh_token`.
    #[serde(default)]
    pub grant_types: Option<Vec<String>>,
    /// Separated by spaces: the most it may get, also of `broker:*`, which only who administers the broker has. Absent: what each person may have.
    #[serde(default)]
    pub scope: String,
    /// Without a secret: a program on people's machines.
    #[serde(default)]
    pub public: bool,
    /// Its public keys, a JSON Web Key Set: it signs assertions (`private_key_jwt`) and gets no secret.
    #[serde(default)]
    pub jwks: Option<Value>,
    /// Where it publishes them, instead: https, or http on loopback.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// How long a refresh token of it that was just used gets the same answer again: 0 to 120. Absent: as the settings say.
    #[serde(default)]
    pub refresh_grace_seconds: Option<u32>,
    /// Where people may be sent after they logged out for it (`OpenID` Connect RP-Initiated Logout 1.0).
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a log-in is over in which it got something (`OpenID` Connect Back-Channel Logout 1.0): https,
    /// or http on loopback.
    #[serde(default)]
    pub backchannel_logout_uri: Option<String>,
    /// The whole subject of its certificate, as RFC 4514 writes it: it proves itself by that (`tls_client_auth`, RFC 8705) and
    /// gets no secret. One of these five.
    #[serde(default)]
    pub tls_client_auth_subject_dn: Option<String>,
    /// A host name among the alternative names of its certificate.
    #[serde(default)]
    pub tls_client_auth_san_dns: Option<String>,
    /// A URI among them.
    #[serde(default)]
    pub tls_client_auth_san_uri: Option<String>,
    /// An address among them.
    #[serde(default)]
    pub tls_client_auth_san_ip: Option<String>,
    /// An e-mail address among them.
    #[serde(default)]
    pub tls_client_auth_san_email: Option<String>,
    /// Whether it proves itself by a certificate that is in `x5c` of one of its keys, instead of signing (RFC 8705).
    #[serde(default)]
    pub self_signed_tls_client_auth: bool,
    /// Whether each of its tokens is bound to the certificate of the connection that asks for it (RFC 8705).
    #[serde(default)]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// Whether each of its tokens is bound to a key of its own (`DPoP`, RFC 9449).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
    /// Whether its authorization requests must be pushed (RFC 9126): then nothing of them passes through a browser.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
}

impl NewClient {
    const fn has_keys(&self) -> bool {
        self.jwks.is_some() || self.jwks_uri.is_some()
    }

    /// Whether it proves itself by something else than a secret.
    fn has_proof(&self) -> bool {
        self.has_keys() || self.certificate_names().next().is_some()
    }
}

impl Operations {
    /// Registers a client; a confidential one without keys of its own gets a secret that nobody can read again.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]
    pub async fn add_client(
        &self,
        actor: &Actor,
        new: NewClient,
    ) -> Result<(ClientView, Option<SecretText>), AdminError> {
        let metadata = metadata(&new)?;
        self.settings.client_certificates.check(&new)?;
        self.settings.check_keys_of_tokens(&new)?;
        new.jwks_uri.as_deref().map_or(Ok(()), |uri| self.settings.may_ask_for_keys(uri))?;
        let id = format!("client-{}", self.random.uuid_v7(self.clock.now()));
        let id: ClientId = id.parse().map_err(|_| AdminError::NotFound("client id"))?;
        let secret =
            (!new.public && !new.has_proof()).then(|| self.secret(BearerSecret::ClientSecret));
        let now = self.clock.now();
        let row = ClientRow {
            id,
            kind: ClientKind::Static,
            metadata_digest: Digest::of(&metadata),
            metadata,
            secret: secret.as_ref().map(|secret| Digest::of(secret.expose())),
            previous_secret: None,
            registration_token: None,
            created_at: now,
            last_used_at: now,
            expires_at: None,
            disabled_at: None,
        };
        self.change(actor, (AdminObject::Client, AdminAction::Add, row.id.as_str()), async {
            let hint = "try again: a random id was taken";
            let added = self.store.add_client(&row).await?;
            if added { Ok(()) } else { Err(AdminError::Taken { field: "client_id", hint }) }
        })
        .await?;
        Ok((row.into(), secret))
    }

    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_clients(&self, page: &PageQuery) -> Result<Page<ClientView>, AdminError> {
        Ok(shown(self.store.list_clients(&page.request()).await?))
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn find_client(&self, id: &ClientId) -> Result<ClientView, AdminError> {
        let row = self.store.find_client(id).await?;
        row.map(ClientView::from).ok_or(AdminError::NotFound("client"))
    }

    /// Disables or enables a client. Disabling revokes every grant it has.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn disable_client(
        &self,
        actor: &Actor,
        id: &ClientId,
        disabled: bool,
    ) -> Result<(), AdminError> {
        let action = if disabled { AdminAction::Disable } else { AdminAction::Enable };
        let now = self.clock.now();
        self.change(actor, (AdminObject::Client, action, id.as_str()), async {
            found(self.store.disable_client(id, disabled.then_some(now)).await?, "client")
        })
        .await
    }

    /// A new secret. The one before is taken for `grace` longer, so that a fleet can change over.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], also for a public client.
    pub async fn rotate_client_secret(
        &self,
        actor: &Actor,
        id: &ClientId,
        grace: Duration,
    ) -> Result<Shown<ClientView>, AdminError> {
        let secret = self.secret(BearerSecret::ClientSecret);
        let until = self.clock.now().plus(grace.min(Duration::from_hours(24 * 30)));
        let what = (AdminObject::Client, AdminAction::RotateSecret, id.as_str());
        let object = self
            .change(actor, what, async {
                let client = self.store.find_client(id).await?;
                // A public client must not become a confidential one by this.
                let confidential = client.is_some_and(|client| client.secret.is_some());
                found(confidential, "client with a secret")?;
                let digest = Digest::of(secret.expose());
                found(self.store.rotate_client_secret(id, digest, until).await?, "client")?;
                self.find_client(id).await
            })
            .await?;
        Ok(Shown { object, secret })
    }
}

impl Settings {
    /// A client whose tokens nobody could bind could never get any.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]
    fn check_keys_of_tokens(&self, new: &NewClient) -> Result<(), AdminError> {
        let invalid = |problem, allowed| {
            Err(AdminError::Invalid { field: "dpop_bound_access_tokens", problem, allowed })
        };
        if !new.dpop_bound_access_tokens {
            return Ok(());
        }
        if self.bound_tokens == BoundTokens::None {
            let allowed = "without it, until the settings have resource_server.dpop = \"allowed\" or \"required\"";
            return invalid("is given, and no token is bound to a key", allowed);
        }
        if new.tls_client_certificate_bound_access_tokens {
            let problem = "does not go with tls_client_certificate_bound_access_tokens";
            return invalid(problem, "one of the two: a token is bound to one thing");
        }
        Ok(())
    }

    /// A client whose keys nobody asks for could never prove itself.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]
    pub(super) fn may_ask_for_keys(&self, jwks_uri: &str) -> Result<(), AdminError> {
        let url = Url::parse(jwks_uri).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        if self.client_hosts.as_ref().is_some_and(|known| known.deny_by_name(host)) {
            return Err(AdminError::Invalid {
                field: "jwks_uri",
                problem: "is on a host that the settings deny",
                allowed: "a host that no authorization_server.client_host denies, or the keys themselves (jwks)",
            });
        }
        Ok(())
    }
}

/// Client metadata (RFC 7591 §2) with sorted members.
pub(super) fn metadata(new: &NewClient) -> Result<String, AdminError> {
    let invalid = |field, problem, allowed| Err(AdminError::Invalid { field, problem, allowed });
    let default = || vec!["authorization_code".to_owned(), "refresh_token".to_owned()];
    let grant_types = new.grant_types.clone().unwrap_or_else(default);
    let has = |wanted: &str| grant_types.iter().any(|name| name == wanted);
    if grant_types.is_empty() || !grant_types.iter().all(|name| GRANT_TYPES.contains(&&**name)) {
        let allowed = "authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:jwt-bearer";
        return invalid("grant_types", "is empty or names one that does not exist here", allowed);
    }
    if new.public && (has("client_credentials") || has(JWT_BEARER)) {
        let allowed =
            "a public client has no client_credentials (RFC 6749 §4.4) and brings no assertions";
        return invalid("grant_types", "needs a secret or keys", allowed);
    }
    if new.public && new.has_proof() {
        let allowed = "a client with keys or a certificate is confidential";
        return invalid("public", "does not go with keys or a certificate", allowed);
    }
    check_certificate(new)?;
    if new.jwks.is_some() && new.jwks_uri.is_some() {
        return invalid("jwks", "does not go with jwks_uri", "one of the two (RFC 7591 §2)");
    }
    if has("authorization_code") == new.redirect_uris.is_empty() {
        let allowed = "at least one with authorization_code, none without";
        return invalid("redirect_uris", "does not go with grant_types", allowed);
    }
    if new.require_pushed_authorization_requests && !has("authorization_code") {
        let allowed = "with authorization_code: nothing else has authorization requests";
        let field = "require_pushed_authorization_requests";
        return invalid(field, "does not go with grant_types", allowed);
    }
    if new.refresh_grace_seconds.is_some_and(|grace| grace > 120) {
        return invalid("refresh_grace_seconds", "is too long", "0 to 120");
    }
    let uris = new.redirect_uris.iter().map(|uri| input::redirect_uri("redirect_uris", uri));
    let uris = uris.collect::<Result<Vec<_>, _>>()?;
    let mut metadata = json!({
        "client_name": input::label("client_name", &new.client_name)?,
        "redirect_uris": uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>(),
        "grant_types": grant_types,
        "response_types": if has("authorization_code") { &["code"][..] } else { &[] },
        "scope": input::limit(&new.scope)?,
        "token_endpoint_auth_method": auth_method(new),
    });
    if let (Some(jwks), Some(metadata)) = (&new.jwks, metadata.as_object_mut()) {
        metadata.insert("jwks".to_owned(), input::jwks(jwks)?.to_value());
    }
    if let (Some(uri), Some(metadata)) = (&new.jwks_uri, metadata.as_object_mut()) {
        metadata.insert("jwks_uri".to_owned(), input::client_url("jwks_uri", uri)?.into());
    }
    if let (Some(grace), Some(metadata)) = (new.refresh_grace_seconds, metadata.as_object_mut()) {
        metadata.insert("refresh_grace_seconds".to_owned(), grace.into());
    }
    add_logout(&mut metadata, new)?;
    add_certificate(&mut metadata, new);
    add_demands(&mut metadata, new);
    Ok(metadata.to_string())
}

/// RFC 9449 §5.2, RFC 9126 §6
fn add_demands(metadata: &mut Value, new: &NewClient) {
    let Some(metadata) = metadata.as_object_mut() else { return };
    for (name, demanded) in [
        ("dpop_bound_access_tokens", new.dpop_bound_access_tokens),
        ("require_pushed_authorization_requests", new.require_pushed_authorization_requests),
    ] {
        if demanded {
            metadata.insert(name.to_owned(), true.into());
        }
    }
}

/// OIDC RP-Initiated Logout §3.1, Back-Channel Logout §2.2
fn add_logout(metadata: &mut Value, new: &NewClient) -> Result<(), AdminError> {
    let Some(metadata) = metadata.as_object_mut() else { return Ok(()) };
    let uris = new.post_logout_redirect_uris.iter();
    let uris = uris.map(|uri| input::redirect_uri("post_logout_redirect_uris", uri));
    let uris = uris.collect::<Result<Vec<_>, _>>()?;
    if !uris.is_empty() {
        let uris: Vec<_> = uris.iter().map(RedirectUri::as_str).collect();
        metadata.insert("post_logout_redirect_uris".to_owned(), uris.into());
    }
    if let Some(uri) = &new.backchannel_logout_uri {
        let uri = input::client_url("backchannel_logout_uri", uri)?;
        metadata.insert("backchannel_logout_uri".to_owned(), uri.into());
    }
    Ok(())
}

fn auth_method(new: &NewClient) -> &'static str {
    if new.public {
        "none"
    } else if new.self_signed_tls_client_auth {
        "self_signed_tls_client_auth"
    } else if new.certificate_names().next().is_some() {
        "tls_client_auth"
    } else if new.has_keys() {
        "private_key_jwt"
    } else {
        "client_secret_basic"
    }
}
