//! The audit trail of one request of a client.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::audit::{AuditError, AuditEvent, Context};
use crate::id::{ClientId, RequestId, Subject, TraceId};

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
pub(super) struct Trail(Context);

impl Trail {
    /// The trace goes on where the caller sent one.
    pub(super) fn begin(server: &AuthorizationServer, headers: &HeaderMap) -> Self {
        let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace_id = sent.and_then(TraceId::from_traceparent);
        Self(Context {
            request_id: RequestId::generate(&*server.clock, &*server.random),
            trace_id: trace_id.unwrap_or_else(|| TraceId::generate(&*server.random)),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        })
    }

    /// Only what was proven: a claimed name in the log would be a lie in somebody else's words.
    pub(super) fn client(&mut self, client_id: &ClientId) {
        self.0.client_id = Some(client_id.clone());
    }

    pub(super) const fn has_client(&self) -> bool {
        self.0.client_id.is_some()
    }

    pub(super) fn person(&mut self, subject: Subject) {
        self.0.requester_id = Some(subject);
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
                self.client(client.id());
                Ok(client)
            }
            Err(error) => Err(self.refused(server, endpoint, posted, error).await),
        }
    }

    /// What to answer to a request that `error` refuses: recorded before, where it proved nobody.
    pub(super) async fn refused(
        &self,
        server: &AuthorizationServer,
        endpoint: &'static str,
        posted: &Posted,
        error: OAuthError,
    ) -> OAuthError {
        if !matches!(error, OAuthError::InvalidClient(_)) {
            return error;
        }
        let event = AuditEvent::TokenRefuse {
            grant_type: None,
            error: error.code(),
            unverified_client_id: posted.claimed(),
            sent: Box::new(sent(endpoint, &error, &posted.form, &posted.headers)),
        };
        match self.record_refusal(server, posted.address, event).await {
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
                let request_id = self.0.request_id;
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
        server.auditor.record(&self.0, event).await.map(drop)
    }
}
