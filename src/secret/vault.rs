//! `vault:mount/path#field`: the KV engine, version 2, of `HashiCorp` Vault or `OpenBao`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::outbound::{Answer, Call, Outbound};
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::env::Environment;
use super::error::{Detail, Fault, SecretError};
use super::provider::SecretProvider;
use super::rest;
use super::settings::{SettingsError, VaultSettings, base_url};
use super::value;
use super::vault_auth::Login;

/// One server and our login there.
#[derive(Debug)]
pub(super) struct Vault {
    server: Server,
    login: Login,
}

/// The server itself: where it is, and what every request to it carries.
#[derive(Debug)]
pub(super) struct Server {
    address: Url,
    namespace: Option<HeaderValue>,
    outbound: Outbound,
}

/// `data.data` of a KV v2 read. The other fields of the secret stay the bytes that they were.
#[derive(Deserialize)]
struct ReadReply<'a> {
    #[serde(borrow)]
    data: ReadData<'a>,
}

#[derive(Deserialize)]
struct ReadData<'a> {
    #[serde(borrow)]
    data: HashMap<String, &'a RawValue>,
}

/// Where a field is.
#[derive(Clone, Copy)]
struct Place<'a> {
    mount: &'a str,
    path: &'a str,
    field: &'a str,
}

impl Vault {
    pub(super) fn new(
        settings: VaultSettings,
        environment: &Environment,
        outbound: &Outbound,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        let VaultSettings { address, auth, namespace } = settings;
        let address = base_url("secrets.vault.address", address)?;
        let namespace = namespace
            .map(|text| HeaderValue::from_str(&text))
            .transpose()
            .map_err(|_error| SettingsError::VaultNamespace)?;
        let login = Login::new(auth, environment, clock)?;
        Ok(Self { server: Server { address, namespace, outbound: outbound.clone() }, login })
    }

    /// A 403 to a token of an earlier login may mean that the token ended early: one new login is
    /// tried. A 403 to a new token is an answer.
    async fn read(&self, place: Place<'_>, limit: Duration) -> Result<SecretText, Fault> {
        let token = self.login.token(&self.server, limit).await?;
        let answer = self.ask(place, &token.text, limit).await?;
        if answer.status.as_u16() != 403 || !token.is_old {
            return Self::field(&answer, place);
        }
        self.login.refuse(&token.text);
        let token = self.login.token(&self.server, limit).await?;
        Self::field(&self.ask(place, &token.text, limit).await?, place)
    }

    async fn ask(
        &self,
        at: Place<'_>,
        token: &SecretText,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        let path = ["v1", at.mount, "data"].into_iter().chain(at.path.split('/'));
        let call = Call::get(rest::under(&self.server.address, path)?);
        self.server.send(call, Some(token), limit).await
    }

    /// A deleted version answers 404 as well; a KV version 1 mount has no `data.data`, or answers 404.
    fn field(answer: &Answer, place: Place<'_>) -> Result<SecretText, Fault> {
        match answer.status.as_u16() {
            200 => {}
            401 | 403 => return Err(Fault::AccessDenied(None)),
            404 => return Err(Fault::NotFound(None)),
            _ => return Err(Server::refusal(answer)),
        }
        let reply: ReadReply<'_> =
            serde_json::from_slice(&answer.body).map_err(|_error| Fault::UNEXPECTED)?;
        let raw = reply.data.data.get(place.field).ok_or(Fault::NotFound(None))?;
        let text: SecretText =
            serde_json::from_str(raw.get()).map_err(|_error| Fault::MALFORMED)?;
        value::checked(text)
    }
}

impl Server {
    pub(super) const fn address(&self) -> &Url {
        &self.address
    }

    /// `X-Vault-Request` is asked for by agents and proxies, against forged requests.
    pub(super) async fn send(
        &self,
        call: Call,
        token: Option<&SecretText>,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        let mut call = call
            .header(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            call = call.header(HeaderName::from_static("x-vault-namespace"), namespace.clone());
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_error| Fault::AccessDenied(Some(Detail::Credential)))?;
            value.set_sensitive(true);
            call = call.header(HeaderName::from_static("x-vault-token"), value);
        }
        Ok(self.outbound.send(call, rest::limits(limit)).await?)
    }

    /// What an answer means that is neither a success nor about this one secret.
    pub(super) fn refusal(answer: &Answer) -> Fault {
        match answer.status.as_u16() {
            429 => Fault::Unavailable(Detail::RateLimited, rest::retry_after(answer)),
            // Not initialised, sealed; 472 and 473 are standby replicas that cannot serve a read.
            472 | 473 | 501 | 503 => Fault::Unavailable(Detail::Sealed, rest::retry_after(answer)),
            500..=599 => Fault::Unavailable(Detail::Faulty, rest::retry_after(answer)),
            _ => Fault::UNEXPECTED,
        }
    }
}

impl SecretProvider for Vault {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            let found = match reference {
                SecretRef::Vault { mount, path, field } => {
                    self.read(Place { mount, path, field }, limit).await
                }
                _ => Err(Fault::UNEXPECTED),
            };
            found.map_err(|fault| fault.at(reference))
        }
        .boxed()
    }
}
