//! What is known about the servers at which people connect accounts.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use crate::oauth_client::{
    Authorization, BearerChallenge, Discovered, Held, ServerMetadata, Unusable, discover,
};
use crate::outbound::{Call, Limits, Outbound};

use super::kept::joined;
use super::{ConnectionError, Connections};

/// How long what was found out counts.
const KNOWN: Duration = Duration::from_mins(10);
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 64 * 1024 };

/// One server at which people connect accounts.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub id: String,
    /// Its MCP endpoint.
    pub url: Url,
    /// `None`: found out from its 401.
    pub endpoints: Option<Explicit>,
    /// `None`: our metadata document, or a registration.
    pub client: Option<(String, Option<Held>)>,
    /// The one authorization server that may be found out. `None`: whichever the server names.
    pub issuer: Option<String>,
    /// Joined by spaces. `None`: what the server names.
    pub scope: Option<String>,
    /// Its own: an answer that comes back there is of its authorization server (RFC 9700 §4.4.2.2).
    pub redirect_uri: Url,
    /// With what the server and everything that it names is reached: a server that leads us to an address of our own network
    /// must not get there, unless it is its own.
    pub outbound: Outbound,
}

/// Endpoints of an authorization server that publishes no metadata.
#[derive(Clone, Debug)]
pub struct Explicit {
    pub authorize: Url,
    pub token: Url,
    pub revocation: Option<Url>,
    /// As its answers state it (RFC 9207).
    pub issuer: Option<String>,
}

/// What was found out, and until when it counts (monotonic).
pub(super) struct Known {
    /// Where the server was then.
    url: Url,
    discovered: Arc<Discovered>,
    challenge: BearerChallenge,
    until: Duration,
}

impl Connections {
    /// Our client at the server's authorization server, and what to ask for there; with what was granted `before`.
    pub(super) async fn client(
        &self,
        server: &ServerSettings,
        before: Option<&str>,
    ) -> Result<(Authorization, Option<String>), ConnectionError> {
        let (discovered, challenge) = self.discovered(server).await?;
        let client = self.registered(server, &discovered.server).await?;
        let authorization = Authorization {
            server: discovered.server.clone(),
            client,
            resource: discovered.resource.clone(),
            redirect_uri: server.redirect_uri.clone(),
            outbound: server.outbound.clone(),
            clock: Arc::clone(&self.0.parts.clock),
        };
        let scope = match &server.scope {
            Some(scope) => joined(Some(scope), before),
            None => authorization.scope(&challenge, &discovered, before),
        };
        Ok((authorization, scope))
    }

    /// The same, if it still is the authorization server that gave the tokens: no other is shown them.
    pub(super) async fn authorization(
        &self,
        server: &str,
        issuer: &str,
    ) -> Result<Authorization, ConnectionError> {
        let (authorization, _) = self.client(&self.server(server)?, None).await?;
        if authorization.server.issuer == issuer {
            Ok(authorization)
        } else {
            Err(Unusable::OtherIssuer.into())
        }
    }

    async fn discovered(
        &self,
        server: &ServerSettings,
    ) -> Result<(Arc<Discovered>, BearerChallenge), ConnectionError> {
        if let Some(endpoints) = &server.endpoints {
            let Explicit { authorize, token, revocation, issuer } = endpoints.clone();
            let metadata = ServerMetadata::explicit(authorize, token, revocation, issuer);
            let resource = server.url.to_string();
            let discovered = Discovered { resource, scopes: None, server: metadata };
            return Ok((Arc::new(discovered), BearerChallenge::default()));
        }
        let now = self.0.parts.clock.monotonic();
        if let Some(known) = self.0.known.lock().await.get(&server.id)
            && now < known.until
            && known.url == server.url
        {
            return Ok((Arc::clone(&known.discovered), known.challenge.clone()));
        }
        let outbound = &server.outbound;
        let answer = outbound.send(probe(&server.url), LIMITS).await;
        let answer = answer.map_err(|_| Unusable::Away)?;
        let challenge = BearerChallenge::of(&answer.headers);
        let discovered = Arc::new(discover(&server.url, &challenge, outbound).await?);
        // A server that was taken over names another, to be shown the secret that an operator has from this one.
        if server.issuer.as_ref().is_some_and(|issuer| *issuer != discovered.server.issuer) {
            return Err(Unusable::OtherIssuer.into());
        }
        let until = now.saturating_add(KNOWN);
        let known = Known {
            url: server.url.clone(),
            discovered: Arc::clone(&discovered),
            challenge: challenge.clone(),
            until,
        };
        self.0.known.lock().await.insert(server.id.clone(), known);
        Ok((discovered, challenge))
    }
}

/// A request without a token, which the server should answer with a challenge.
fn probe(url: &Url) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let both = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, both);
    let body = bytes::Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    Call { method: Method::POST, url: url.clone(), headers, body }
}
