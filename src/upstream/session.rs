//! Sessions of servers that have them (2025-11-25 and before), bound to who opened them (RS-32).
//!
//! A client is given the server's session id with a code over it, the server and its own identity. Nothing is kept, so
//! every replica can check it; a stolen id is of no use to another caller.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::broker::Caller;
use crate::resource_server::Principal;
use crate::secret_text::SecretText;

/// Makes and checks session ids, and the state of calls that wait for input (RS-33).
#[derive(Clone)]
pub struct Sessions {
    sessions: hmac::Key,
    states: hmac::Key,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// `secret` is the deployment's; each key is derived from it for one use alone.
    #[must_use]
    pub fn new(secret: &SecretText) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let derived =
            |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, label).as_ref());
        Self {
            sessions: derived(b"mcp-auth-broker upstream session v1"),
            states: derived(b"mcp-auth-broker upstream request state v1"),
        }
    }

    /// What the client gets for the server's id.
    pub(super) fn bind(&self, server: &str, caller: &Caller, id: &str) -> String {
        bound(&self.sessions, server, caller.principal(), id)
    }

    /// The server's id, if `bound` was made for this server and caller. Compared in constant time.
    pub(super) fn open<'a>(
        &self,
        server: &str,
        caller: &Caller,
        bound: &'a str,
    ) -> Option<&'a str> {
        opened(&self.sessions, server, caller.principal(), bound)
    }

    /// The request state that a client brings back for the call that waits under `name`.
    pub(super) fn bind_state(&self, server: &str, whose: &Principal, name: &str) -> String {
        bound(&self.states, server, whose, name)
    }

    /// That name, if the state was made for this server and caller.
    pub(super) fn open_state<'a>(
        &self,
        server: &str,
        whose: &Principal,
        state: &'a str,
    ) -> Option<&'a str> {
        opened(&self.states, server, whose, state)
    }
}

fn bound(key: &hmac::Key, server: &str, caller: &Principal, id: &str) -> String {
    let code = hmac::sign(key, &material(server, caller, id));
    format!("{}.{id}", URL_SAFE_NO_PAD.encode(code.as_ref()))
}

fn opened<'a>(
    key: &hmac::Key,
    server: &str,
    caller: &Principal,
    bound: &'a str,
) -> Option<&'a str> {
    let (code, id) = bound.split_once('.')?;
    let code = URL_SAFE_NO_PAD.decode(code).ok()?;
    hmac::verify(key, &material(server, caller, id), &code).ok()?;
    Some(id)
}

fn material(server: &str, caller: &Principal, id: &str) -> Vec<u8> {
    joined(&[server.as_bytes(), &whose(caller), id.as_bytes()])
}

/// Who calls, as far as one caller is told from another: user and client, within their issuer.
pub(super) fn whose(principal: &Principal) -> Vec<u8> {
    let subject = principal.subject().map_or("", |subject| subject.as_str());
    let client = principal.client_id().map_or("", |client| client.as_str());
    let parts = [principal.issuer().as_str(), subject, client];
    joined(&parts.map(str::as_bytes))
}

/// Who takes up room: a person, by however many clients they call; a client that calls for itself.
pub(super) fn who_takes_room(principal: &Principal) -> Vec<u8> {
    let issuer = principal.issuer().as_str().as_bytes();
    match (principal.subject(), principal.client_id()) {
        (Some(subject), _) => joined(&[issuer, b"subject", subject.as_str().as_bytes()]),
        (None, Some(client)) => joined(&[issuer, b"client", client.as_str().as_bytes()]),
        (None, None) => joined(&[issuer]),
    }
}

/// Each part with its length, so that no two callers have the same.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut material = Vec::new();
    for part in parts {
        material.extend_from_slice(&part.len().to_be_bytes());
        material.extend_from_slice(part);
    }
    material
}
