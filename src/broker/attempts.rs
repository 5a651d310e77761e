//! Records each attempt at Graph before the next begins.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderValue;

use crate::audit::{AuditError, AuditEvent, Outcome};
use crate::graph::{Attempt, AttemptObserver, AttemptOutcome};
use crate::id::ProfileName;
use crate::policy::GraphGrant;

use super::call::GraphCall;
use super::flow::{Flow, millis};

/// Counts and records the attempts of one call, over a second run with a new token as well.
pub(super) struct Attempts<'a> {
    flow: &'a Flow<'a>,
    operation: String,
    profile: ProfileName,
    /// The caller gave it less time than it may have.
    hurried: bool,
    count: u32,
    failed: Option<AuditError>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(flow: &'a Flow<'a>, call: &GraphCall, grant: &GraphGrant) -> Self {
        let operation = format!("{} {}", call.request().method(), grant.path_template);
        let (profile, hurried) = (grant.profile.clone(), call.is_hurried());
        Self { flow, operation, profile, hurried, count: 0, failed: None }
    }

    /// One caller must not make Graph look away to everybody: by waiting for it a millisecond, or by asking what it answers
    /// with a fault of its own.
    fn note_outage(&self, attempt: &Attempt) {
        let cut_short = self.hurried && attempt.timeout < self.flow.attempt_timeout();
        if cut_short && attempt.outcome == AttemptOutcome::Timeout {
            return;
        }
        let answered = attempt.http_status.is_some_and(|status| !matches!(status, 502..=504));
        let code = attempt.code.filter(|_| !answered);
        self.flow.outages().note(|| "graph".to_owned(), code);
    }

    fn event(&self, attempt: &Attempt) -> AuditEvent {
        AuditEvent::ProviderCall {
            provider: "microsoft_graph",
            operation: self.operation.clone(),
            profile: Some(self.profile.clone()),
            timeout_ms: millis(attempt.timeout),
            attempt: self.count,
            outcome: match attempt.outcome {
                AttemptOutcome::Success => Outcome::Success,
                AttemptOutcome::Error => Outcome::Error,
                AttemptOutcome::Timeout => Outcome::Timeout,
            },
            error_code: attempt.code,
            http_status: attempt.http_status,
            duration_ms: millis(attempt.duration),
        }
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Whether every attempt was recorded.
    pub(super) fn recorded(&mut self) -> Result<(), AuditError> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl AttemptObserver for Attempts<'_> {
    fn traceparent(&self) -> Option<HeaderValue> {
        let flow = self.flow;
        let text = flow.caller().traceparent(flow.context(), self.count.saturating_add(1));
        HeaderValue::try_from(text).ok()
    }

    fn attempted(&mut self, attempt: Attempt) -> BoxFuture<'_, ()> {
        self.count += 1;
        self.note_outage(&attempt);
        // Before the first wait: whoever goes away meanwhile takes nothing out of the log.
        let noted = self.flow.note(&self.event(&attempt));
        async move {
            let kept = match noted {
                Ok(noted) => self.flow.kept(noted).await,
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                self.failed = Some(error);
            }
        }
        .boxed()
    }

    fn cut_off(&mut self, attempt: Attempt) {
        self.count += 1;
        if let Err(error) = self.flow.note(&self.event(&attempt)) {
            let request_id = self.flow.context().request_id;
            tracing::error!(%request_id, %error, "a call of Graph that was cut off is not on record");
        }
    }
}
