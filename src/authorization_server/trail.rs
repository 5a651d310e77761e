//! The audit trail of one request of a client.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::audit::{AuditError, AuditEvent, Context, GrantType};
use crate::id::{ClientId, RequestId, Subject, TraceId};

use super::authorize::asked_resource;
use super::client::Client;
use super::error::{OAuthError, RecordedAt};
use super::posted::Posted;
use super::sent::sent;
use super::server::AuthorizationServer;

/// What became of the record of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InALine,
    /// As one more of its network's, which have no line of their own.
    Counted,
}

/// Whose request it is, as far as that is known.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    context: Context,
    /// Whether a client has proved itself: what is recorded of others is bounded.
    proven: bool,
}

impl Trail {
    /// The trace goes on where the caller sent one.
    pub(super) fn begin(server: &AuthorizationServer, headers: &HeaderMap) -> Self {
        let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace_id = sent.and_then(TraceId::from_traceparent);
        let context = Context {
            request_id: RequestId::generate(&*server.clock, &*server.random),
            trace_id: trace_id.unwrap_or_else(|| TraceId::generate(&*server.random)),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        Self { context, proven: false }
    }

    /// Only what was proven: a claimed name in the log would be a lie in somebody else's words.
    pub(super) fn client(&mut self, client: &Client) {
        self.context.client_id = Some(client.id().clone());
        self.proven = client.is_confidential();
    }

    /// Whose token it is that was shown.
    pub(super) fn holder(&mut self, client_id: &ClientId, subject: Subject) {
        self.context.client_id = Some(client_id.clone());
        self.person(subject);
    }

    pub(super) fn person(&mut self, subject: Subject) {
        self.context.requester_id = Some(subject);
    }

    /// The client that a request proves to come from: it is written down as who asks, a refusal as one (N77).
    ///
    /// # Errors
    ///
    /// That of the authentication; [`OAuthError::Audit`]
    pub(super) async fn admitted(
        &mut self,
        server: &AuthorizationServer,
        endpoint: &'static str,
        posted: &Posted,
    ) -> Result<Client, OAuthError> {
        match posted.client(server).await {
            Ok(client) => {
                self.client(&client);
                Ok(client)
            }
            Err(error) => Err(self.refused(server, endpoint, posted, error).await),
        }
    }

    /// What to answer to a request that `error` refuses: recorded before, where it was decided.
    pub(super) async fn refused(
        &self,
        server: &AuthorizationServer,
        endpoint: &'static str,
        posted: &Posted,
        error: OAuthError,
    ) -> OAuthError {
        self.refused_grant(server, (endpoint, None), posted, error).await
    }

    /// The same of a request for tokens.
    pub(super) async fn refused_grant(
        &self,
        server: &AuthorizationServer,
        (endpoint, grant_type): (&'static str, Option<GrantType>),
        posted: &Posted,
        error: OAuthError,
    ) -> OAuthError {
        let event = AuditEvent::TokenRefuse {
            grant_type,
            error: error.code(),
            // Who proved it is in `client_id` already.
            unverified_client_id: posted.claimed().filter(|_| self.context.client_id.is_none()),
            sent: Box::new(sent(endpoint, &error, &posted.form, &posted.headers)),
        };
        self.kept(server, posted, event, error).await
    }

    /// The same of an authorization request that a client sends itself.
    pub(super) async fn refused_authorization(
        &self,
        server: &AuthorizationServer,
        endpoint: &'static str,
        posted: &Posted,
        error: OAuthError,
    ) -> OAuthError {
        let event = AuditEvent::AuthorizeRefuse {
            error: error.code(),
            unverified_client_id: None,
            resource: asked_resource(&posted.form),
            sent: Box::new(sent(endpoint, &error, &posted.form, &posted.headers)),
        };
        self.kept(server, posted, event, error).await
    }

    async fn kept(
        &self,
        server: &AuthorizationServer,
        posted: &Posted,
        event: AuditEvent,
        error: OAuthError,
    ) -> OAuthError {
        if !error.is_decision() {
            return error;
        }
        let kept = if self.proven {
            self.record(server, event).await.map(|()| Kept::InALine)
        } else {
            self.record_refusal(server, posted.address, event).await
        };
        match kept {
            Ok(kept) => self.told(server, kept, error),
            Err(failed) => failed.into(),
        }
    }

    /// The refusal with where it is on record, if it is.
    pub(super) fn told(
        &self,
        server: &AuthorizationServer,
        kept: Kept,
        error: OAuthError,
    ) -> OAuthError {
        match kept {
            Kept::Counted => error,
            Kept::InALine => {
                let request_id = self.context.request_id;
                let uri = server.url(&format!("/explain/{request_id}"));
                OAuthError::Recorded(Box::new(error), RecordedAt { request_id, uri })
            }
        }
    }

    /// Records the refusal of somebody who proved nothing: in a line, or as one more of its network's.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: what cannot be recorded is not answered.
    pub(super) async fn record_refusal(
        &self,
        server: &AuthorizationServer,
        address: Option<IpAddr>,
        event: AuditEvent,
    ) -> Result<Kept, AuditError> {
        if !server.auditor.admit_refusal(address) {
            return Ok(Kept::Counted);
        }
        self.record(server, event).await.map(|()| Kept::InALine)
    }

    /// # Errors
    ///
    /// [`AuditError`]: what cannot be recorded is not answered.
    pub(super) async fn record(
        &self,
        server: &AuthorizationServer,
        event: AuditEvent,
    ) -> Result<(), AuditError> {
        server.auditor.record(&self.context, event).await.map(drop)
    }
}
