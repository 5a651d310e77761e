//! Logging in to Vault or `OpenBao`: a token that is given, `AppRole`, or a signed Kubernetes or other JWT.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};

use crate::outbound::Call;
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::env::Environment;
use super::error::{Detail, Fault};
use super::own::OwnCredential;
use super::rest;
use super::settings::{SettingsError, VaultAuth};
use super::vault::Server;

/// How we log in, and the token that the last login gave.
#[derive(Debug)]
pub(super) struct Login {
    method: LoginMethod,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
enum LoginMethod {
    Token(OwnCredential),
    AppRole { mount: String, role_id: String, secret_id: OwnCredential },
    Jwt { mount: String, role: String, jwt: OwnCredential },
}

#[derive(Clone, Debug)]
struct Held {
    token: SecretText,
    /// Monotonic; `None` for a token that does not end.
    until: Option<Duration>,
}

/// A token to ask with.
pub(super) struct VaultToken {
    pub(super) text: SecretText,
    /// Whether it comes from an earlier login, so that a new login may help when it is refused.
    pub(super) is_old: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LoginRequest<'a> {
    AppRole { role_id: &'a str, secret_id: &'a str },
    Jwt { role: &'a str, jwt: &'a str },
}

#[derive(Deserialize)]
struct LoginReply {
    auth: LoginGrant,
}

#[derive(Deserialize)]
struct LoginGrant {
    client_token: SecretText,
    /// Seconds; zero for a token that does not end.
    lease_duration: u64,
}

impl Login {
    pub(super) fn new(
        auth: VaultAuth,
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        let method = match auth {
            VaultAuth::Token(token) => LoginMethod::Token(OwnCredential::new(
                "secrets.vault.auth.token",
                token,
                environment,
            )?),
            VaultAuth::AppRole { mount, role_id, secret_id } => {
                let key = "secrets.vault.auth.approle.secret_id";
                let secret_id = OwnCredential::new(key, secret_id, environment)?;
                let mount = plain_path("approle.mount", mount)?;
                LoginMethod::AppRole { mount, role_id, secret_id }
            }
            VaultAuth::Jwt { mount, role, jwt } => {
                let jwt =
                    OwnCredential::new("secrets.vault.auth.kubernetes.jwt", jwt, environment)?;
                LoginMethod::Jwt { mount: plain_path("kubernetes.mount", mount)?, role, jwt }
            }
        };
        Ok(Self { method, clock, held: Mutex::default() })
    }

    /// The token in hand while its lease lasts, else one from a new login.
    pub(super) async fn token(
        &self,
        server: &Server,
        limit: Duration,
    ) -> Result<VaultToken, Fault> {
        if let LoginMethod::Token(token) = &self.method {
            return Ok(VaultToken { text: token.text().await?, is_old: false });
        }
        if let Some(text) = self.in_hand() {
            return Ok(VaultToken { text, is_old: true });
        }
        Ok(VaultToken { text: self.log_in(server, limit).await?, is_old: false })
    }

    /// Forgets a token that was refused, unless somebody has already replaced it.
    pub(super) fn refuse(&self, refused: &SecretText) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.take_if(|held| held.token == *refused);
    }

    fn in_hand(&self) -> Option<SecretText> {
        let now = self.clock.monotonic();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().filter(|held| held.until.is_none_or(|until| now < until))?;
        Some(held.token.clone())
    }

    async fn log_in(&self, server: &Server, limit: Duration) -> Result<SecretText, Fault> {
        let asked = self.clock.monotonic();
        let (mount, body) = self.request().await?;
        let path = ["v1", "auth"].into_iter().chain(mount.split('/')).chain(["login"]);
        let call =
            Call { method: Method::POST, body, ..Call::get(rest::under(server.address(), path)?) }
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = server.send(call, None, limit).await?;
        let LoginGrant { client_token: token, lease_duration } = match answer.status.as_u16() {
            200 => rest::json::<LoginReply>(&answer)?.auth,
            // 400 is how an unknown role or a wrong secret id is answered.
            400 | 401 | 403 => return Err(Fault::AccessDenied(Some(Detail::Credential))),
            _ => return Err(Server::refusal(&answer)),
        };
        // Nine tenths, so that a token does not end on its way.
        let lease = Duration::from_secs(lease_duration.min(365 * 86_400));
        let until = (!lease.is_zero()).then(|| asked.saturating_add(lease * 9 / 10));
        let held = Held { token: token.clone(), until };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(token)
    }

    async fn request(&self) -> Result<(&str, Bytes), Fault> {
        match &self.method {
            LoginMethod::AppRole { mount, role_id, secret_id } => {
                let secret_id = secret_id.text().await?;
                let request = LoginRequest::AppRole { role_id, secret_id: secret_id.expose() };
                Ok((
                    mount,
                    serde_json::to_vec(&request).map_err(|_error| Fault::UNEXPECTED)?.into(),
                ))
            }
            LoginMethod::Jwt { mount, role, jwt } => {
                let jwt = jwt.text().await?;
                let request = LoginRequest::Jwt { role, jwt: jwt.expose() };
                Ok((
                    mount,
                    serde_json::to_vec(&request).map_err(|_error| Fault::UNEXPECTED)?.into(),
                ))
            }
            LoginMethod::Token(_) => Err(Fault::UNEXPECTED),
        }
    }
}

fn plain_path(key: &'static str, path: String) -> Result<String, SettingsError> {
    let plain = |part: &str| {
        !part.is_empty()
            && !matches!(part, "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if path.split('/').all(plain) { Ok(path) } else { Err(SettingsError::VaultMount { key }) }
}
