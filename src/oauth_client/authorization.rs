//! A person's consent at another authorization server: what is asked, what may come back (OAuth 2.1 §4.1).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;
use zeroize::Zeroizing;

use crate::outbound::Outbound;
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::at::At;
use super::challenge::BearerChallenge;
use super::discovery::{Discovered, ServerMetadata};
use super::registration::Registered;
use super::token_endpoint::{Granted, TokenEndpoint};
use super::unusable::Unusable;

/// Our client at one authorization server, for one server behind us.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub server: ServerMetadata,
    pub client: Registered,
    /// As the server spells itself (RFC 8707 §2).
    pub resource: String,
    pub redirect_uri: Url,
    pub outbound: Outbound,
    pub clock: Arc<dyn Clock>,
}

/// A request that a person's browser is sent with.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: Url,
    /// Comes back; kept bound to the browser (RFC 6749 §10.12).
    pub state: SecretText,
    /// Sent with the code (RFC 7636 §4.1).
    pub code_verifier: SecretText,
}

/// What the browser came back with (RFC 6749 §4.1.2, RFC 9207 §2). None of it is verified; `state` is the caller's to check.
#[derive(Clone, Default, Debug)]
pub struct Callback {
    pub state: Option<String>,
    pub code: Option<SecretText>,
    pub iss: Option<String>,
    pub error: Option<String>,
}

impl Callback {
    /// `None` where a parameter comes twice (RFC 6749 §3.1).
    #[must_use]
    pub fn parse(unverified_query: &str) -> Option<Self> {
        let mut callback = Self::default();
        for (name, value) in url::form_urlencoded::parse(unverified_query.as_bytes()) {
            let before = match name.as_ref() {
                "state" => callback.state.replace(value.into_owned()).is_some(),
                "code" => callback.code.replace(value.into_owned().into()).is_some(),
                "iss" => callback.iss.replace(value.into_owned()).is_some(),
                "error" => callback.error.replace(value.into_owned()).is_some(),
                _ => false,
            };
            if before {
                return None;
            }
        }
        Some(callback)
    }
}

impl Authorization {
    /// What to ask for: what the challenge names, else what the server's metadata names, else nothing (MCP authorization,
    /// scope selection); with what was granted before, which a step-up keeps; and a refresh token, where the authorization
    /// server says how to ask for one.
    #[must_use]
    pub fn scope(
        &self,
        challenge: &BearerChallenge,
        discovered: &Discovered,
        before: Option<&str>,
    ) -> Option<String> {
        let listed = || discovered.scopes.as_ref().map(|scopes| scopes.join(" "));
        let wanted = challenge.scope.clone().or_else(listed).unwrap_or_default();
        let offline = self.server.offers("offline_access").then_some("offline_access");
        let mut scopes: Vec<&str> = before.unwrap_or_default().split(' ').collect();
        scopes.extend(wanted.split(' ').chain(offline));
        let mut all: Vec<&str> = Vec::new();
        for scope in scopes {
            if !scope.is_empty() && !all.contains(&scope) {
                all.push(scope);
            }
        }
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// The request for `scope`, with PKCE (S256), `state` and `resource`.
    #[must_use]
    pub fn request(&self, scope: Option<&str>, random: &dyn Random) -> Request {
        let (state, code_verifier) = (random_text(random), random_text(random));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, code_verifier.expose().as_bytes()));
        let mut url = self.server.authorization_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &self.client.client_id);
            query.append_pair("redirect_uri", self.redirect_uri.as_str());
            query.append_pair("state", state.expose());
            query.append_pair("code_challenge", &challenge);
            query.append_pair("code_challenge_method", "S256");
            query.append_pair("resource", &self.resource);
            if let Some(scope) = scope {
                query.append_pair("scope", scope);
                if scope.split(' ').any(|one| one == "offline_access") {
                    query.append_pair("prompt", "consent");
                }
            }
        }
        Request { url, state, code_verifier }
    }

    /// Exchanges the code. Does *not* check `state`: who knows which browser began is the caller.
    ///
    /// # Errors
    ///
    /// [`Unusable`]. Mix-up comes first (RFC 9207 §2.4): another issuer's answer is not even read for its error.
    pub async fn finish(
        &self,
        callback: &Callback,
        code_verifier: &SecretText,
    ) -> Result<Granted, Unusable> {
        self.check_issuer(callback)?;
        if callback.error.is_some() {
            return Err(Unusable::Refused);
        }
        let code = callback.code.as_ref().ok_or(Unusable::Refused)?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", code_verifier.expose()),
            ("resource", &self.resource),
        ];
        Ok(self.endpoint().ask(&fields).await?)
    }

    /// The same with its secret read: what comes then takes no longer than the exchange.
    ///
    /// # Errors
    ///
    /// [`Unusable::NoToken`]
    pub async fn with_its_secret(mut self) -> Result<Self, Unusable> {
        self.client.authentication = self.client.authentication.read(&self.clock).await?;
        Ok(self)
    }

    /// New tokens for a refresh token (RFC 6749 §6).
    ///
    /// # Errors
    ///
    /// [`Unusable::NoToken`]; with `GrantEnded` the refresh token is worth nothing any more.
    pub async fn refresh(&self, refresh_token: &SecretText) -> Result<Granted, Unusable> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose()),
            ("resource", &self.resource),
        ];
        Ok(self.endpoint().ask(&fields).await?)
    }

    /// Gives a token back (RFC 7009). Nothing is done where the server has no endpoint for it.
    ///
    /// # Errors
    ///
    /// [`Unusable::NoToken`]
    pub async fn revoke(&self, token: &SecretText) -> Result<(), Unusable> {
        let Some(url) = self.server.revocation_endpoint.clone() else { return Ok(()) };
        let endpoint = TokenEndpoint { at: At::Url(url), ..self.endpoint() };
        endpoint.post(&[("token", token.expose())]).await?;
        Ok(())
    }

    fn endpoint(&self) -> TokenEndpoint {
        TokenEndpoint {
            at: At::Url(self.server.token_endpoint.clone()),
            client_id: self.client.client_id.clone(),
            authentication: self.client.authentication.clone(),
            outbound: self.outbound.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Whoever states an issuer must be the one that was asked, byte for byte, and whoever says that it will has to.
    fn check_issuer(&self, callback: &Callback) -> Result<(), Unusable> {
        match &callback.iss {
            Some(issuer) if *issuer == self.server.issuer => Ok(()),
            None if !self.server.states_issuer() => Ok(()),
            // Its redirect URI is this server's alone, which says as much (RFC 9700 §4.4.2.2).
            Some(_) if self.server.is_unnamed() => Ok(()),
            _ => Err(Unusable::WrongIssuer),
        }
    }
}

/// 256 random bits as 43 characters of base64url: a verifier by RFC 7636 §4.1, too.
fn random_text(random: &dyn Random) -> SecretText {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    SecretText::new(URL_SAFE_NO_PAD.encode(*bytes))
}
