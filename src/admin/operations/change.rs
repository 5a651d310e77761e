//! What may be changed of people, clients and servers that are there. What a change does not name stays.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::audit::{AdminAction, AdminObject};
use crate::id::{ClientId, UserId};
use crate::scope::Scope;
use crate::store::{ClientKind, ClientRow, Digest, ResourceChange, UserProfile};

use super::client::{NewClient, metadata};
use super::server::{check_ttl, known};
use super::{Actor, ClientView, Operations, ServerView, UserView, found};

/// What is to be another about a person. Their role and whether they may log in have operations of their own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Empty: none.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Empty: none.
    #[serde(default)]
    pub email: Option<String>,
    /// All of them.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
}

/// What is to be another about a client. How it authenticates and its grant types stay: that would be another client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientChange {
    #[serde(default)]
    pub client_name: Option<String>,
    /// All of them.
    #[serde(default)]
    pub redirect_uris: Option<Vec<String>>,
    /// All of them, separated by spaces: the most it may get from now on. Not empty: disable the client instead.
    #[serde(default)]
    pub scope: Option<String>,
    /// For a client that signs: its keys from now on, instead of `jwks_uri` if it had one.
    #[serde(default)]
    pub jwks: Option<Value>,
    /// For a client that signs: where it publishes them from now on, instead of `jwks` if it had them.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// 0 to 120.
    #[serde(default)]
    pub refresh_grace_seconds: Option<u32>,
}

/// What is to be another about a server. Its id and its URI stay: tokens and grants name them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerChange {
    #[serde(default)]
    pub name: Option<String>,
    /// Empty: none.
    #[serde(default)]
    pub description: Option<String>,
    /// All of them, separated by spaces. Not empty: disable the server instead.
    #[serde(default)]
    pub scope: Option<String>,
    /// 30 to 86,400 seconds; 0: as the settings say.
    #[serde(default)]
    pub access_token_ttl_seconds: Option<u32>,
}

const CHANGED_MEANWHILE: AdminError =
    AdminError::Taken { field: "client", hint: "somebody else changed it meanwhile: try again" };

impl Operations {
    /// Changes a person. Groups count from the next token on; access tokens that are out keep theirs until they expire.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::NotFound`]; [`AdminError::Forbidden`] for who logs in elsewhere: there it is
    /// written, and read at each login.
    pub async fn change_user(
        &self,
        actor: &Actor,
        id: UserId,
        change: UserChange,
    ) -> Result<UserView, AdminError> {
        let label = |field, text: String| {
            if text.is_empty() { Ok(text) } else { input::label(field, &text) }
        };
        let email = |text: String| if text.is_empty() { Ok(text) } else { input::email(&text) };
        let groups = change.groups.map(|names| input::groups(&names));
        let profile = UserProfile {
            id,
            display_name: change
                .display_name
                .map(|text| label("display_name", text))
                .transpose()?,
            email: change.email.map(email).transpose()?,
            groups: groups.transpose()?,
        };
        self.change(actor, (AdminObject::User, AdminAction::Change, &id.to_string()), async {
            if !self.store.list_identities(id).await?.is_empty() {
                let hint = "change it at the identity provider; it is read at the next login";
                return Err(AdminError::Forbidden { problem: "they log in elsewhere", hint });
            }
            found(self.store.change_user(&profile).await?, "user")?;
            self.find_user(&id.to_string()).await
        })
        .await
    }

    /// Changes a client that an operator registered. Grants stay, and what is taken from its scopes is gone from the next
    /// token on; codes that are on their way to a redirect URI are good for their minute, and no open page makes another.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::NotFound`], also for a client that registered itself, and
    /// [`AdminError::Taken`]
    pub async fn change_client(
        &self,
        actor: &Actor,
        id: &ClientId,
        change: ClientChange,
    ) -> Result<ClientView, AdminError> {
        change.scope.as_deref().map(|text| some_scope(input::limit(text)?)).transpose()?;
        change.jwks_uri.as_deref().map_or(Ok(()), |uri| self.settings.may_ask_for_keys(uri))?;
        self.change(actor, (AdminObject::Client, AdminAction::Change, id.as_str()), async {
            let row = self.registered_client(id).await?;
            let metadata = metadata(&changed(&row, change)?)?;
            let digests = (row.metadata_digest, Digest::of(&metadata));
            if !self.store.change_client(id, &metadata, digests).await? {
                return Err(CHANGED_MEANWHILE);
            }
            self.find_client(id).await
        })
        .await
    }

    /// Takes a client out that an operator registered, and revokes every grant and token it has.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`], also for a client that registered itself: it would be recognised again. Disable that.
    pub async fn delete_client(&self, actor: &Actor, id: &ClientId) -> Result<(), AdminError> {
        self.change(actor, (AdminObject::Client, AdminAction::Delete, id.as_str()), async {
            self.registered_client(id).await?;
            // First this: it revokes, and lets nothing new begin.
            found(self.store.disable_client(id, Some(self.clock.now())).await?, "client")?;
            found(self.store.delete_client(id).await?, "client")
        })
        .await
    }

    async fn registered_client(&self, id: &ClientId) -> Result<ClientRow, AdminError> {
        let row = self.store.find_client(id).await?;
        let row = row.filter(|row| row.kind == ClientKind::Static);
        row.ok_or(AdminError::NotFound("client that an operator registered"))
    }

    /// Changes a server.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::NotFound`]
    pub async fn change_server(
        &self,
        actor: &Actor,
        id: &str,
        change: ServerChange,
    ) -> Result<ServerView, AdminError> {
        let id = known(id)?;
        let ttl = change.access_token_ttl_seconds;
        check_ttl(ttl.filter(|ttl| *ttl != 0))?;
        let name = change.name.map(|name| input::label("name", &name)).transpose()?;
        let description = match change.description.as_deref() {
            None => None,
            Some("") => Some(String::new()),
            Some(text) => Some(input::label("description", text)?),
        };
        let scope =
            change.scope.as_deref().map(input::scope).transpose()?.map(some_scope).transpose()?;
        self.change(actor, (AdminObject::Server, AdminAction::Change, &id), async {
            let change = ResourceChange {
                id: id.clone(),
                name,
                description,
                scopes: scope,
                access_token_ttl_seconds: ttl,
            };
            found(self.store.change_resource(&change).await?, "server")?;
            self.find_server(&id).await
        })
        .await
    }
}

/// Of who is registered without any, an empty list means no limit of their own: taking everything away must not give more.
fn some_scope(scope: Scope) -> Result<Scope, AdminError> {
    if scope.is_empty() {
        return Err(AdminError::Invalid {
            field: "scope",
            problem: "is empty, which would be no limit",
            allowed: "the scopes that stay; to take all of them away, disable it",
        });
    }
    Ok(scope)
}

/// The client as if it were registered anew, so that nothing gets in that could not be registered.
fn changed(row: &ClientRow, change: ClientChange) -> Result<NewClient, AdminError> {
    let corrupt = |_| crate::store::StoreError::Corrupt("client.metadata");
    let before: Value = serde_json::from_str(&row.metadata).map_err(corrupt)?;
    let text = |name: &str| before.get(name).and_then(Value::as_str).map(str::to_owned);
    let list = |name: &str| {
        let items = before.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let method = text("token_endpoint_auth_method");
    let self_signed = method.as_deref() == Some("self_signed_tls_client_auth");
    let signs = method.as_deref() == Some("private_key_jwt") || self_signed;
    let keys = (change.jwks, change.jwks_uri);
    let (jwks, jwks_uri) = match keys {
        (None, None) => (before.get("jwks").cloned(), text("jwks_uri")),
        _ if signs => keys,
        _ => {
            return Err(AdminError::Invalid {
                field: "jwks",
                problem: "is for clients that sign",
                allowed: "none; a client with keys is registered as one",
            });
        }
    };
    let demands = |name: &str| before.get(name).is_some_and(|demanded| demanded == true);
    let grace = before.get("refresh_grace_seconds").and_then(Value::as_u64);
    let grace = grace.and_then(|grace| u32::try_from(grace).ok());
    Ok(NewClient {
        client_name: change.client_name.or_else(|| text("client_name")).unwrap_or_default(),
        redirect_uris: change.redirect_uris.unwrap_or_else(|| list("redirect_uris")),
        grant_types: Some(list("grant_types")),
        scope: change.scope.or_else(|| text("scope")).unwrap_or_default(),
        public: method.as_deref() == Some("none"),
        jwks,
        jwks_uri,
        post_logout_redirect_uris: list("post_logout_redirect_uris"),
        backchannel_logout_uri: text("backchannel_logout_uri"),
        refresh_grace_seconds: change.refresh_grace_seconds.or(grace),
        tls_client_auth_subject_dn: text("tls_client_auth_subject_dn"),
        tls_client_auth_san_dns: text("tls_client_auth_san_dns"),
        tls_client_auth_san_uri: text("tls_client_auth_san_uri"),
        tls_client_auth_san_ip: text("tls_client_auth_san_ip"),
        tls_client_auth_san_email: text("tls_client_auth_san_email"),
        self_signed_tls_client_auth: self_signed,
        tls_client_certificate_bound_access_tokens: demands(
            "tls_client_certificate_bound_access_tokens",
        ),
        dpop_bound_access_tokens: demands("dpop_bound_access_tokens"),
        require_pushed_authorization_requests: demands("require_pushed_authorization_requests"),
    })
}
