//! Resource servers that run elsewhere, and their API keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::api_key::ApiKey;
use crate::audit::{AdminAction, AdminObject};
use crate::store::{ApiKeyRow, Digest, Page, ResourceRow};

use super::{
    Actor, KeyView, Operations, PageQuery, ProxySettings, ServerView, Shown, found, shown,
};

const SERVER_TAKEN: AdminError = AdminError::Taken {
    field: "id, uri or an alias",
    hint: "each server has an id and URIs of its own; GET /api/v1/resources lists them",
};

/// A server to register.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    pub id: String,
    /// Its resource identifier, as its clients write it (RFC 8707 §2). Absent where there is `url`: then it is this broker's
    /// `/servers/{id}/mcp`.
    #[serde(default)]
    pub uri: Option<String>,
    /// Its MCP endpoint (Streamable HTTP), for a server that is reached through this broker. Programs are never started
    /// for what is registered.
    #[serde(default)]
    pub url: Option<String>,
    /// How it is reached there; with `url`.
    #[serde(default)]
    pub proxy: Option<ProxySettings>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// Separated by spaces.
    #[serde(default)]
    pub scope: String,
    /// 30 to 86,400 seconds; absent: as the settings say.
    #[serde(default)]
    pub access_token_ttl_seconds: Option<u32>,
}

impl Operations {
    /// Registers a server; its owner is who adds it.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::Taken`]
    pub async fn add_server(
        &self,
        actor: &Actor,
        new: NewServer,
    ) -> Result<ServerView, AdminError> {
        let row = self.server_row(actor, new)?;
        let what = (AdminObject::Server, AdminAction::Add, &*row.id);
        self.change(actor, what, async {
            if self.store.add_resource(&row).await? { Ok(()) } else { Err(SERVER_TAKEN) }
        })
        .await?;
        Ok(row.into())
    }

    fn server_row(&self, actor: &Actor, new: NewServer) -> Result<ResourceRow, AdminError> {
        let ours = &*self.settings.names;
        let id = input::server_id(&new.id)?;
        check_ttl(new.access_token_ttl_seconds)?;
        if new.uri.is_some() && new.proxy.is_some() {
            return Err(AdminError::Invalid {
                field: "proxy",
                problem: "is for servers that are reached through this broker",
                allowed: "url instead of uri, or no proxy",
            });
        }
        let proxy = new.proxy.unwrap_or_default();
        let (uri, aliases, url) = match (&new.uri, &new.url) {
            (Some(uri), None) => {
                let aliases = new.aliases.iter();
                let aliases = aliases.map(|uri| input::resource_uri("aliases", uri, ours));
                (input::resource_uri("uri", uri, ours)?, aliases.collect::<Result<_, _>>()?, None)
            }
            (None, Some(url)) => {
                let (uri, aliases) = self.through_us(&id, &new.aliases)?;
                let url = input::endpoint_url("url", url, ours)?;
                let known = &self.settings.named_credentials;
                proxy.check(&url, (known, self.settings.bound_tokens))?;
                (uri, aliases, Some(url))
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(AdminError::Invalid {
                    field: "uri",
                    problem: "does not go with url, and one of them has to be there",
                    allowed: "uri for a server that its clients reach themselves, url for one that they reach through this broker",
                });
            }
        };
        Ok(ResourceRow {
            uri,
            aliases,
            url,
            proxy: proxy.text(),
            name: input::label("name", new.name.as_deref().unwrap_or(&id))?,
            description: new
                .description
                .map(|text| input::label("description", &text))
                .transpose()?,
            owner: actor.context.requester_id.as_ref().map(ToString::to_string),
            scopes: input::scope(&new.scope)?,
            access_token_ttl_seconds: new.access_token_ttl_seconds,
            created_at: self.clock.now(),
            disabled_at: None,
            id,
        })
    }

    /// What a server is called that is reached through us: under each of our names.
    fn through_us(
        &self,
        id: &str,
        aliases: &[String],
    ) -> Result<(String, Vec<String>), AdminError> {
        input::proxied_id(id)?;
        if self.settings.configured_servers.iter().any(|known| known == id) {
            return Err(SERVER_TAKEN);
        }
        if !aliases.is_empty() {
            return Err(AdminError::Invalid {
                field: "aliases",
                problem: "are for servers that their clients reach themselves",
                allowed: "none, with url",
            });
        }
        let names = self.settings.names.iter();
        let mut uris =
            names.map(|base| format!("{}/servers/{id}/mcp", base.as_str().trim_end_matches('/')));
        let uri = uris.next().unwrap_or_default();
        Ok((uri, uris.collect()))
    }

    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_servers(&self, page: &PageQuery) -> Result<Page<ServerView>, AdminError> {
        Ok(shown(self.store.list_resources(&page.request()).await?))
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn find_server(&self, id: &str) -> Result<ServerView, AdminError> {
        let row = self.store.find_resource(&known(id)?).await?;
        row.map(ServerView::from).ok_or(AdminError::NotFound("server"))
    }

    /// Disables or enables a server. Disabled, it gets no new tokens, those it asks about are inactive, and its keys are
    /// refused; grants stay, for when it is enabled again.
    ///
    /// A server that checks tokens by their signature alone, and not by asking, takes those that are out there until they
    /// expire.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn disable_server(
        &self,
        actor: &Actor,
        id: &str,
        disabled: bool,
    ) -> Result<(), AdminError> {
        let id = known(id)?;
        let action = if disabled { AdminAction::Disable } else { AdminAction::Enable };
        self.change(actor, (AdminObject::Server, action, &id), async {
            let at = disabled.then(|| self.clock.now());
            found(self.store.disable_resource(&id, at).await?, "server")
        })
        .await
    }

    /// Takes a server out, with its keys, and revokes every grant for it.
    ///
    /// A server that checks tokens by their signature alone, and not by asking, takes those that are out there until they
    /// expire.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn delete_server(&self, actor: &Actor, id: &str) -> Result<(), AdminError> {
        let id = known(id)?;
        // It is not served where the settings have one of that id, and neither are the pins its own.
        let keep_pins = self.settings.configured_servers.contains(&id);
        self.change(actor, (AdminObject::Server, AdminAction::Delete, &id), async {
            found(self.store.delete_resource(&id, keep_pins, self.clock.now()).await?, "server")
        })
        .await
    }

    /// A key for a server; the secret is the whole key, and nobody can read it again.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`], [`AdminError::NotFound`]
    pub async fn add_key(
        &self,
        actor: &Actor,
        server_id: &str,
        name: Option<&str>,
        lives: Option<Duration>,
    ) -> Result<Shown<KeyView>, AdminError> {
        let key = ApiKey::generate(&*self.random);
        let now = self.clock.now();
        let row = ApiKeyRow {
            prefix: key.prefix().to_owned(),
            key: Digest::of(key.text().expose()),
            resource_id: known(server_id)?,
            name: name.map(|name| input::label("name", name)).transpose()?,
            created_at: now,
            expires_at: lives.map(|lives| now.plus(lives)),
            last_used_at: None,
            revoked_at: None,
        };
        self.change(actor, (AdminObject::ApiKey, AdminAction::Add, &row.prefix), async {
            found(self.store.add_api_key(&row).await?, "server")
        })
        .await?;
        Ok(Shown { object: row.into(), secret: key.text().clone() })
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn list_keys(&self, server_id: &str) -> Result<Vec<KeyView>, AdminError> {
        self.find_server(server_id).await?;
        let rows = self.store.list_api_keys(server_id).await?;
        Ok(rows.into_iter().map(KeyView::from).collect())
    }

    /// Ends a key at once. Only by the server it belongs to: a prefix of another one is not found (N113).
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn revoke_key(
        &self,
        actor: &Actor,
        server_id: &str,
        prefix: &str,
    ) -> Result<(), AdminError> {
        let id = known(server_id)?;
        let shaped = prefix.len() == 16 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
        // What is no prefix goes neither to the store nor, as somebody's text, into the audit log.
        found(shaped, "key")?;
        let now = self.clock.now();
        self.change(actor, (AdminObject::ApiKey, AdminAction::Revoke, prefix), async {
            found(self.store.revoke_api_key(&id, prefix, now).await?, "key")
        })
        .await
    }
}

pub(super) fn check_ttl(ttl: Option<u32>) -> Result<(), AdminError> {
    if ttl.is_some_and(|ttl| !(30..=86_400).contains(&ttl)) {
        return Err(AdminError::Invalid {
            field: "access_token_ttl_seconds",
            problem: "is too short or too long",
            allowed: "30 to 86400",
        });
    }
    Ok(())
}

/// What cannot be the id of a server is the id of none; nor does it, as somebody's text, get into the audit log.
pub(super) fn known(id: &str) -> Result<String, AdminError> {
    input::server_id(id).map_err(|_| AdminError::NotFound("server"))
}
