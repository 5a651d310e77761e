//! The call itself: attempts inside one budget, each reported, the answer made safe before it leaves here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::code::Code;
use crate::id::Permission;
use crate::outbound::{Answer, Call, Limits, Outbound};
use crate::policy::{GraphGrant, Permit};
use crate::random::Random;
use crate::time::{Budget, Clock};
use crate::token::ProviderToken;

use super::catalog::Catalog;
use super::cloud::Cloud;
use super::error::{GraphError, Problem};
use super::redact::Redactor;
use super::reply::{self, GraphReply};
use super::request::GraphRequest;

/// How often a call that may be repeated is repeated.
const RETRIES: u32 = 2;

/// `graph.*`
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// One attempt; the whole call is bounded by its budget.
    pub attempt_timeout: Duration,
    pub max_response_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { attempt_timeout: Duration::from_secs(4), max_response_bytes: 256 * 1024 }
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Success,
    Error,
    Timeout,
}

/// One attempt, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1, within one [`Graph::execute`].
    pub number: u32,
    pub outcome: AttemptOutcome,
    pub http_status: Option<u16>,
    pub code: Option<Code>,
    /// What the attempt was given.
    pub timeout: Duration,
    pub duration: Duration,
}

/// Told about each attempt before the next begins or the answer is handed on.
pub trait AttemptObserver: Send {
    /// What the attempt that comes now says about the trace it belongs to (`traceparent`, W3C Trace Context §3.2).
    fn traceparent(&self) -> Option<HeaderValue> {
        None
    }

    fn attempted(&mut self, attempt: Attempt) -> BoxFuture<'_, ()>;

    /// The attempt is given up under way: its caller went away, or the broker ends. Graph may have done it. Waits for nothing.
    fn cut_off(&mut self, attempt: Attempt);
}

/// An attempt from before it is sent until it is reported: one whose future is dropped in between is reported, too.
struct UnderWay<'a> {
    observer: &'a mut dyn AttemptObserver,
    clock: &'a dyn Clock,
    number: u32,
    timeout: Duration,
    started: Duration,
    reported: bool,
}

impl UnderWay<'_> {
    fn ended(
        &self,
        outcome: AttemptOutcome,
        http_status: Option<u16>,
        code: Option<Code>,
    ) -> Attempt {
        let Self { number, timeout, started, .. } = *self;
        let duration = self.clock.monotonic().saturating_sub(started);
        Attempt { number, outcome, http_status, code, timeout, duration }
    }

    async fn report(mut self, attempt: Attempt) {
        self.reported = true;
        self.observer.attempted(attempt).await;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.reported {
            let attempt = self.ended(AttemptOutcome::Error, None, None);
            self.observer.cut_off(attempt);
        }
    }
}

/// Microsoft Graph in one cloud.
#[derive(Debug)]
pub struct Graph {
    outbound: Outbound,
    origin: Url,
    resource: Arc<str>,
    settings: Settings,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Graph {
    /// The catalogue only feeds the hint of a 403, never a decision.
    #[must_use]
    pub fn new(
        outbound: Outbound,
        cloud: &Cloud,
        settings: Settings,
        catalog: Arc<Catalog>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Self {
        let (origin, resource) = (cloud.graph(), cloud.resource());
        Self { outbound, origin, resource, settings, catalog, clock, random }
    }

    /// What one attempt gets at most.
    #[must_use]
    pub const fn attempt_timeout(&self) -> Duration {
        self.settings.attempt_timeout
    }

    /// Makes the call that `permit` allows.
    ///
    /// Repeats an idempotent one up to twice after 429, 5xx, a timeout or a broken connection, where
    /// the wait that Graph asks for fits the budget. Never repeats after 401: drop the token first.
    /// Does *not* check that `request` is what was decided on; the spine passes one value to both.
    ///
    /// # Errors
    ///
    /// [`GraphError`]: `provider.*` codes of the contract. A 4xx about the operation is a [`GraphReply`].
    pub async fn execute(
        &self,
        permit: &Permit<GraphGrant>,
        token: &ProviderToken,
        request: &GraphRequest,
        budget: &Budget,
        observer: &mut dyn AttemptObserver,
    ) -> Result<GraphReply, GraphError> {
        let started = self.clock.monotonic();
        let call = self.call(permit.operation(), token, request).map_err(unsent)?;
        if budget.is_spent() {
            return Err(unsent(Problem::NoTimeLeft));
        }
        let mut number = 1;
        loop {
            let error = match self.attempt(&call, request, budget, (number, observer)).await {
                Ok(answer) => {
                    let grant = permit.operation();
                    let reply = self.reply(&answer, grant, token, request, number);
                    let duration = self.clock.monotonic().saturating_sub(started);
                    return reply.map(|reply| GraphReply { duration, ..reply });
                }
                Err(error) => error,
            };
            let again = number <= RETRIES && request.is_idempotent();
            match self.pause(&error, number).filter(|wait| again && *wait < budget.remaining()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
            if budget.is_spent() {
                return Err(error);
            }
            number += 1;
        }
    }

    fn call(
        &self,
        grant: &GraphGrant,
        token: &ProviderToken,
        request: &GraphRequest,
    ) -> Result<Call, Problem> {
        let same = token.profile() == &grant.profile
            && token.tenant() == &grant.tenant
            && token.resource() == &grant.resource
            && grant.resource == self.resource;
        if !same {
            return Err(Problem::TokenMismatch);
        }
        let url = request.path().url(&self.origin).map_err(|_| Problem::AddressChanged)?;
        let (method, body) = (request.method().clone(), request.body().clone());
        let call = Call { method, url, headers: request.headers().clone(), body };
        Ok(call.header(http::header::AUTHORIZATION, token.authorization()))
    }

    async fn attempt(
        &self,
        call: &Call,
        request: &GraphRequest,
        budget: &Budget,
        (number, observer): (u32, &mut dyn AttemptObserver),
    ) -> Result<Answer, GraphError> {
        let timeout = budget.cap(self.settings.attempt_timeout);
        let mut call = call.clone();
        if let Some(traceparent) = observer.traceparent() {
            call.headers.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        let (clock, started) = (&*self.clock, self.clock.monotonic());
        let under_way = UnderWay { observer, clock, number, timeout, started, reported: false };
        let (answer, problem) = self.send(call, request, timeout).await;
        let http_status = answer.as_ref().map(|answer| answer.status.as_u16());
        let outcome = match &problem {
            None => AttemptOutcome::Success,
            Some(Problem::Timeout) => AttemptOutcome::Timeout,
            Some(_) => AttemptOutcome::Error,
        };
        let attempt = under_way.ended(outcome, http_status, problem.as_ref().map(Problem::code));
        under_way.report(attempt).await;
        match (answer, problem) {
            (Some(answer), None) => Ok(answer),
            (answer, problem) => Err(GraphError {
                problem: problem.unwrap_or(Problem::Timeout),
                http_status,
                provider_request_id: answer.as_ref().and_then(request_id),
                attempts: number,
            }),
        }
    }

    async fn send(
        &self,
        call: Call,
        request: &GraphRequest,
        timeout: Duration,
    ) -> (Option<Answer>, Option<Problem>) {
        if timeout.is_zero() {
            return (None, Some(Problem::Timeout));
        }
        let limits = Limits { timeout, max_bytes: self.settings.max_response_bytes };
        match self.outbound.send(call, limits).await {
            Ok(answer) => {
                let problem = reply::judge(&answer, self.clock.now()).err();
                (Some(answer), problem.map(|problem| self.with_hint(problem, request)))
            }
            Err(error) => (None, Some(error.into())),
        }
    }

    fn with_hint(&self, problem: Problem, request: &GraphRequest) -> Problem {
        match problem {
            Problem::Forbidden { .. } => {
                Problem::Forbidden { least_permissions: self.least(request) }
            }
            other => other,
        }
    }

    fn least(&self, request: &GraphRequest) -> Vec<Permission> {
        let found = self.catalog.find(request.method(), request.path().segments());
        found.and_then(|operation| operation.least()).cloned().into_iter().collect()
    }

    /// How long to wait before the next attempt; `None` where another would not help.
    fn pause(&self, error: &GraphError, number: u32) -> Option<Duration> {
        if !error.problem.is_transient() {
            return None;
        }
        if let Some(asked) = error.retry_after() {
            return Some(asked);
        }
        let throttled = matches!(error.problem, Problem::RateLimited { .. });
        let base = Duration::from_millis(if throttled { 1000 } else { 200 });
        let mut dice = [0];
        self.random.fill(&mut dice);
        Some(base * number + base * u32::from(dice[0]) / 512)
    }

    fn reply(
        &self,
        answer: &Answer,
        grant: &GraphGrant,
        token: &ProviderToken,
        request: &GraphRequest,
        attempts: u32,
    ) -> Result<GraphReply, GraphError> {
        let origin = self.origin.origin().ascii_serialization();
        let origins = [origin.as_str(), &*self.resource];
        let segments = request.path().segments();
        let mut redactor =
            Redactor::new(token.known_values(), origins, grant.reveal_links, segments);
        let http_status = answer.status.as_u16();
        let headers = reply::headers(answer, &mut redactor);
        let body = reply::body(answer, &mut redactor).map_err(|problem| GraphError {
            problem,
            http_status: Some(http_status),
            provider_request_id: request_id(answer),
            attempts,
        })?;
        let redactions = redactor.into_redactions();
        Ok(GraphReply {
            http_status,
            headers,
            body,
            redactions,
            attempts,
            duration: Duration::ZERO,
        })
    }
}

fn unsent(problem: Problem) -> GraphError {
    GraphError { problem, http_status: None, provider_request_id: None, attempts: 0 }
}

/// Graph's `request-id` is a UUID; anything else is not repeated, because errors are not scrubbed.
fn request_id(answer: &Answer) -> Option<String> {
    let text = answer.header(&HeaderName::from_static("request-id"))?;
    uuid::Uuid::try_parse(text).ok().map(|id| id.to_string())
}
