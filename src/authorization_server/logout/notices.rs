//! Telling clients that a log-in is over (OIDC Back-Channel Logout §2.5), beside the requests and after them.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::audit::{AuditEvent, Context};
use crate::authorization_server::client::{self, ClientError};
use crate::authorization_server::server::AuthorizationServer;
use crate::id::{ClientId, RequestId, Subject, TraceId};
use crate::outbound::{Call, Limits};
use crate::store::{ClientKind, LogoutNotice, NoticeClaim, StoreError};

use super::token::NewLogoutToken;

/// How often the store is asked where nobody has logged out here: other replicas may have stopped before they told.
const LOOK: Duration = Duration::from_secs(15);
/// For how long a notice is one replica's: longer than an attempt takes.
const CLAIMED: Duration = Duration::from_secs(30);
/// Notices that are told at a time, and of one client: it may hang.
const AT_ONCE: usize = 16;
const AT_ONCE_TO_ONE: u32 = 4;
const MOST_ATTEMPTS: u32 = 8;
/// After the first attempt; three times as long after each: all of it takes about three hours.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Nobody reads the answer.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 16 * 1024 };

/// Notices that are being told, and to whom.
#[derive(Debug, Default)]
pub(in crate::authorization_server) struct Telling {
    under_way: JoinSet<(ClientId, Result<(), StoreError>)>,
    /// By client, how many.
    to: HashMap<ClientId, u32>,
}

impl Telling {
    /// Waits until one has ended. `false` where there is none.
    pub(in crate::authorization_server) async fn ended(&mut self) -> bool {
        let Some(ended) = self.under_way.join_next().await else { return false };
        match ended {
            Ok((client, told)) => {
                if let Err(error) = told {
                    not_told(&error);
                }
                if let Some(count) = self.to.get_mut(&client) {
                    *count -= 1;
                }
                self.to.retain(|_, count| *count > 0);
            }
            // Whose it was is not known any more.
            Err(_) if self.under_way.is_empty() => self.to.clear(),
            Err(_) => {}
        }
        true
    }

    fn begin(&mut self, server: &AuthorizationServer, notice: LogoutNotice) {
        *self.to.entry(notice.client_id.clone()).or_default() += 1;
        let server = server.clone();
        self.under_way.spawn(async move {
            let client = notice.client_id.clone();
            (client, server.tell(notice).await)
        });
    }
}

impl AuthorizationServer {
    /// Tells clients of ended log-ins until `stop`. What is under way then is told by whoever looks next.
    pub async fn tell_of_logouts(self, stop: CancellationToken) {
        let mut telling = Telling::default();
        loop {
            let begun = stop.run_until_cancelled(self.begin_telling(&mut telling)).await;
            match begun {
                None => return,
                Some(Ok(_)) => {}
                Some(Err(error)) => not_told(&error),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                true = telling.ended() => {}
                () = self.logged_out.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Begins to tell those that are due, as many as there is room for. How many.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(in crate::authorization_server) async fn begin_telling(
        &self,
        telling: &mut Telling,
    ) -> Result<usize, StoreError> {
        let mut begun = 0;
        while let Some(room) = AT_ONCE.checked_sub(telling.under_way.len()).filter(|room| *room > 0)
        {
            let now = self.clock.now();
            let claim = NoticeClaim {
                now,
                until: now.plus(CLAIMED),
                limit: u32::try_from(room).unwrap_or(u32::MAX),
                each: AT_ONCE_TO_ONE,
                but: telling.to.keys().cloned().collect(),
            };
            let due = self.store.claim_logout_notices(&claim).await?;
            if due.is_empty() {
                break;
            }
            begun += due.len();
            for notice in due {
                telling.begin(self, notice);
            }
        }
        Ok(begun)
    }

    async fn tell(&self, notice: LogoutNotice) -> Result<(), StoreError> {
        let id = &notice.client_id;
        let configured =
            self.clients.configured(id).and_then(|index| self.settings.clients.get(index));
        let to = match configured {
            // Its secret has no part in this, and may be away.
            Some(client) => client.backchannel_logout_uri.clone(),
            // Of these no operator said where to tell them, and looking would ask their hosts.
            None if ClientKind::of_id(id).is_some() => None,
            None => match client::find(self, None, id).await {
                Ok(client) => client.logout().notify.clone(),
                Err(ClientError::Store(error)) => return Err(error),
                Err(_) => None,
            },
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

fn not_told(error: &StoreError) {
    tracing::warn!(error = error as &dyn std::error::Error, "logout.not_told");
}
