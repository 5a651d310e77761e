//! Telling clients that a log-in is over (OIDC Back-Channel Logout §2.5), beside the requests and after them.

use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::audit::{AuditEvent, Context};
use crate::authorization_server::client::{self, ClientError};
use crate::authorization_server::server::AuthorizationServer;
use crate::id::{RequestId, Subject, TraceId};
use crate::outbound::{Call, Limits};
use crate::store::{ClientKind, LogoutNotice, StoreError};

use super::token::NewLogoutToken;

/// How often the store is asked where nobody has logged out here: other replicas may have stopped before they told.
const LOOK: Duration = Duration::from_secs(15);
/// For how long a notice is one replica's: longer than an attempt takes.
const CLAIMED: Duration = Duration::from_secs(30);
/// Notices that are told at a time.
const AT_ONCE: u32 = 16;
const MOST_ATTEMPTS: u32 = 8;
/// After the first attempt; three times as long after each: all of it takes about three hours.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Nobody reads the answer.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 16 * 1024 };

impl AuthorizationServer {
    /// Tells clients of ended log-ins until `stop`. What is under way then is told by whoever looks next.
    pub async fn tell_of_logouts(self, stop: CancellationToken) {
        loop {
            let round = stop.run_until_cancelled(self.tell_those_due()).await;
            let more = match round {
                None => return,
                Some(Ok(told)) => told == AT_ONCE,
                Some(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "logout.not_told");
                    false
                }
            };
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.logged_out.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// One round. How many were due.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(in crate::authorization_server) async fn tell_those_due(&self) -> Result<u32, StoreError> {
        let now = self.clock.now();
        let due = self.store.claim_logout_notices(now, now.plus(CLAIMED), AT_ONCE).await?;
        let count = u32::try_from(due.len()).unwrap_or(AT_ONCE);
        let mut telling = JoinSet::new();
        for notice in due {
            let server = self.clone();
            telling.spawn(async move { server.tell(notice).await });
        }
        while let Some(told) = telling.join_next().await {
            if let Ok(Err(error)) = told {
                tracing::warn!(error = &error as &dyn std::error::Error, "logout.not_told");
            }
        }
        Ok(count)
    }

    async fn tell(&self, notice: LogoutNotice) -> Result<(), StoreError> {
        // Of others no operator said where to tell them, and looking would ask their hosts.
        let id = &notice.client_id;
        if self.clients.configured(id).is_none() && ClientKind::of_id(id).is_some() {
            return self.store.end_logout_notice(&notice).await;
        }
        let to = match client::find(self, None, &notice.client_id).await {
            Ok(client) => client.logout().notify.clone(),
            Err(ClientError::Store(error)) => return Err(error),
            Err(ClientError::Secret(_)) => return self.put_off(&notice).await,
            Err(_) => None,
        };
        let Some(to) = to else { return self.store.end_logout_notice(&notice).await };
        let delivered = self.deliver(&notice, to).await;
        if !delivered && notice.attempts < MOST_ATTEMPTS {
            return self.put_off(&notice).await;
        }
        // Its word is in the log before it is forgotten: a notice that is told twice ends nothing twice.
        let attempts = notice.attempts;
        let event = AuditEvent::LogoutNotify { delivered, attempts };
        if let Err(error) = self.auditor.record(&self.context_of(&notice), event).await {
            tracing::error!(error = &error as &dyn std::error::Error, "logout.unrecorded");
            return self.put_off(&notice).await;
        }
        self.store.end_logout_notice(&notice).await
    }

    async fn put_off(&self, notice: &LogoutNotice) -> Result<(), StoreError> {
        let more = notice.attempts.saturating_sub(1).min(MOST_ATTEMPTS);
        let wait = FIRST_WAIT.saturating_mul(3_u32.saturating_pow(more));
        self.store.put_off_logout_notice(notice, self.clock.now().plus(wait)).await
    }

    /// Whether the client has it: it says so by 200, or by 204 as some do.
    async fn deliver(&self, notice: &LogoutNotice, to: Url) -> bool {
        let (keys, random) = (self.keys.current(), &*self.random);
        let token = NewLogoutToken {
            issuer: &self.settings.issuer,
            client_id: &notice.client_id,
            subject: &Subject::from(notice.user_id),
            sid: &notice.sid,
            issued_at: self.clock.now(),
        };
        let Ok(token) = token.sign(&keys, random) else { return false };
        let call = Call::post_form(to, &[("logout_token", token.expose())]);
        match self.outbound.send(call, LIMITS).await {
            Ok(answer) => matches!(answer.status, StatusCode::OK | StatusCode::NO_CONTENT),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(client.id = %notice.client_id, error, "logout.client_away");
                false
            }
        }
    }

    /// The request in which somebody logged out has ended long ago.
    fn context_of(&self, notice: &LogoutNotice) -> Context {
        Context {
            request_id: RequestId::generate(&*self.clock, &*self.random),
            trace_id: TraceId::generate(&*self.random),
            requester_id: Some(Subject::from(notice.user_id)),
            client_id: Some(notice.client_id.clone()),
            asserted_requester_id: None,
            redactions: Vec::new(),
        }
    }
}
