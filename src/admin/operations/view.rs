//! What may be shown of rows: never a digest, a password or a secret. Fields are named, so that nothing new of the
//! store is shown by itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::id::{ClientId, GrantId, UserId};
use crate::scope::Scope;
use crate::store::{
    ApiKeyRow, ClientKind, ClientRow, GrantRow, OwnLogin, PasskeyRow, ResourceRow, RevokeReason,
    UserRow,
};
use crate::time::Timestamp;

use super::ProxySettings;

/// A person.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct UserView {
    #[schemars(with = "String")]
    pub id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub administrator: bool,
    pub groups: Vec<String>,
    /// Those of their identity provider, as it said at the last login.
    pub roles: Vec<String>,
    /// Whether they have chosen a password here.
    pub has_password: bool,
    pub own_login: OwnLoginView,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub last_login_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub disabled_at: Option<Timestamp>,
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            email: row.email,
            administrator: row.administrator,
            groups: row.groups,
            roles: row.roles,
            has_password: row.own_login.password_hash().is_some(),
            own_login: (&row.own_login).into(),
            created_at: row.created_at,
            last_login_at: row.last_login_at,
            disabled_at: row.disabled_at,
        }
    }
}

/// How a person logs in with us.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnLoginView {
    /// Not at all: at an identity provider, or not before they have used their set-up link.
    Nothing,
    /// With a password, and what may follow or replace it.
    Password,
    /// With passkeys alone: there is no password.
    Passkeys,
}

impl From<&OwnLogin> for OwnLoginView {
    fn from(own_login: &OwnLogin) -> Self {
        match own_login {
            OwnLogin::Nothing => Self::Nothing,
            OwnLogin::Password(_) => Self::Password,
            OwnLogin::Passkeys(_) => Self::Passkeys,
        }
    }
}

/// What a person has beside their password, or in its place. Nothing of it can be used by who reads this.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SecondFactorView {
    /// Since when they have an authenticator app.
    #[schemars(with = "Option<String>")]
    pub authenticator_since: Option<Timestamp>,
    /// The oldest first.
    pub passkeys: Vec<PasskeyView>,
    /// How many are left.
    pub recovery_codes: u64,
}

/// A passkey.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PasskeyView {
    /// What the person calls it.
    pub name: String,
    /// Whether it was said to be backed up when it was last used.
    pub backed_up: bool,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub last_used_at: Option<Timestamp>,
}

impl From<PasskeyRow> for PasskeyView {
    fn from(row: PasskeyRow) -> Self {
        Self {
            name: row.name,
            backed_up: row.backed_up,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// A resource server.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ServerView {
    pub id: String,
    pub uri: String,
    pub aliases: Vec<String>,
    /// Where its MCP endpoint is, if it is reached through this broker.
    pub url: Option<String>,
    /// How it is reached there; null where it is not reached through this broker, or what the row holds cannot be read.
    pub proxy: Option<ProxySettings>,
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    #[schemars(with = "String")]
    pub scope: Scope,
    pub access_token_ttl_seconds: Option<u32>,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub disabled_at: Option<Timestamp>,
}

impl From<ResourceRow> for ServerView {
    fn from(row: ResourceRow) -> Self {
        let proxy = row.url.as_ref().and_then(|_| ProxySettings::of(&row).ok());
        Self {
            proxy,
            id: row.id,
            uri: row.uri,
            aliases: row.aliases,
            url: row.url,
            name: row.name,
            description: row.description,
            owner: row.owner,
            scope: row.scopes,
            access_token_ttl_seconds: row.access_token_ttl_seconds,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        }
    }
}

/// An API key, by its prefix.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KeyView {
    pub prefix: String,
    pub server_id: String,
    pub name: Option<String>,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub last_used_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub revoked_at: Option<Timestamp>,
}

impl From<ApiKeyRow> for KeyView {
    fn from(row: ApiKeyRow) -> Self {
        Self {
            prefix: row.prefix,
            server_id: row.resource_id,
            name: row.name,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

/// A client of the store. Those of the settings file are not here.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ClientView {
    #[schemars(with = "String")]
    pub client_id: ClientId,
    /// `static`, `dynamic` or `metadata_document`.
    pub kind: &'static str,
    /// RFC 7591 §2; null where the row holds none that can be read.
    pub metadata: Value,
    /// Whether it proves itself, by a secret, by signing with its key or by a certificate.
    pub confidential: bool,
    /// Until when the secret before the last rotation is still taken.
    #[schemars(with = "Option<String>")]
    pub previous_secret_until: Option<Timestamp>,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "String")]
    pub last_used_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub disabled_at: Option<Timestamp>,
}

/// Methods without a secret by which a client proves itself.
const BY_KEY: [&str; 3] = ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"];

impl From<ClientRow> for ClientView {
    fn from(row: ClientRow) -> Self {
        let metadata: Value = serde_json::from_str(&row.metadata).unwrap_or_default();
        let proof = metadata.get("token_endpoint_auth_method").and_then(Value::as_str);
        Self {
            client_id: row.id,
            kind: match row.kind {
                ClientKind::Static => "static",
                ClientKind::Dynamic => "dynamic",
                ClientKind::MetadataDocument => "metadata_document",
            },
            confidential: row.secret.is_some() || proof.is_some_and(|by| BY_KEY.contains(&by)),
            metadata,
            previous_secret_until: row.previous_secret.map(|(_, until)| until),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            disabled_at: row.disabled_at,
        }
    }
}

/// What somebody allowed a client.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct GrantView {
    #[schemars(with = "String")]
    pub id: GrantId,
    #[schemars(with = "Option<String>")]
    pub user_id: Option<UserId>,
    #[schemars(with = "String")]
    pub client_id: ClientId,
    #[schemars(with = "String")]
    pub scope: Scope,
    pub resource: String,
    pub redirect_origin: Option<String>,
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    #[schemars(with = "String")]
    pub last_used_at: Timestamp,
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    #[schemars(with = "Option<String>")]
    pub revoked_at: Option<Timestamp>,
    pub revoke_reason: Option<&'static str>,
}

impl From<GrantRow> for GrantView {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            client_id: row.client_id,
            scope: row.scopes,
            resource: row.resource,
            redirect_origin: row.redirect_origin,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            revoke_reason: row.revoke_reason.map(reason),
        }
    }
}

const fn reason(reason: RevokeReason) -> &'static str {
    match reason {
        RevokeReason::CodeReplay => "code_replay",
        RevokeReason::RefreshReuse => "refresh_reuse",
        RevokeReason::Client => "client",
        RevokeReason::Person => "person",
        RevokeReason::Administrator => "administrator",
        RevokeReason::Disabled => "disabled",
        RevokeReason::Password => "password",
        RevokeReason::LogOut => "log_out",
    }
}
