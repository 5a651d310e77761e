//! What stands before every MCP endpoint: reads the body once, counts, records, and answers the step-up 403.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::value::RawValue;
use tower::Service;
use url::Url;

use crate::audit::{AuditError, AuditEvent, Auditor, ResultStatus, TokenName};
use crate::broker::Caller;
use crate::code::Code;
use crate::id::{RequestId, ToolName, TraceId};
use crate::limits::Limits;
use crate::policy::{Decision, Difference, LoginNeeded, Obligations, Recorded};
use crate::random::Random;
use crate::resource_server::{Challenge, ChallengeError, DpopUse, Principal};
use crate::scope::Scope;
use crate::time::Clock;

use super::answer::{method_name, plain};
use super::jsonrpc::{self, Message};

/// What the guards of all endpoints share; one for each endpoint, for its metadata is its own.
#[derive(Clone, Debug)]
pub struct Door {
    pub limits: Limits,
    pub auditor: Auditor,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Where the protected resource metadata of this endpoint is (RFC 9728 §5.1).
    pub metadata_url: Url,
    /// What the endpoint wants of tokens that are bound to keys.
    pub dpop: DpopUse,
    pub max_body_bytes: usize,
    /// For the body to arrive.
    pub body_timeout: Duration,
}

impl Door {
    /// Ends a request whose body is no message.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn unreadable(
        &self,
        caller: &Caller,
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        self.accepted(caller).await?;
        self.malformed(caller, ("unreadable", None), refusal).await
    }

    /// Ends a request for its form, before anybody could tell what is asked: counted like one that is no call, so that nobody
    /// gets answers without end for what is never well formed.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn malformed(
        &self,
        caller: &Caller,
        (method, id): (&'static str, Option<&RawValue>),
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        // What the broker asks itself is a part of a request that was counted.
        if caller.is_open()
            && let Err(too_much) = self.within_request_limits(caller, (method, id)).await?
        {
            return Ok(too_much);
        }
        self.refuse(caller, method, refusal).await
    }

    /// The whole body, within its limits of size and time.
    ///
    /// # Errors
    ///
    /// The answer to one that is not.
    pub async fn read(&self, body: Body) -> Result<Bytes, Response<Body>> {
        match tokio::time::timeout(self.body_timeout, to_bytes(body, self.max_body_bytes)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(self.unreadable_body(&error)),
            Err(_elapsed) => Err(plain(StatusCode::REQUEST_TIMEOUT)),
        }
    }

    /// Who makes this request.
    #[must_use]
    pub fn caller(&self, principal: Principal, headers: &HeaderMap) -> Caller {
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let trace_id = traceparent
            .and_then(TraceId::from_traceparent)
            .unwrap_or_else(|| TraceId::generate(&*self.random));
        let request_id = RequestId::generate(&*self.clock, &*self.random);
        Caller::new(principal, request_id, trace_id, self.clock.monotonic(), self.auditor.clone())
    }

    /// Records that the token was verified, unless it was found in the cache.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn accepted(&self, caller: &Caller) -> Result<(), Unrecorded> {
        caller.is_read();
        let principal = caller.principal();
        if !principal.is_fresh() {
            return Ok(());
        }
        let event = AuditEvent::TokenAccept {
            token: token_name(principal.token_name()),
            issuer: principal.issuer().clone(),
            scopes: principal.scopes().clone(),
        };
        caller.record(caller.context(), event).await?;
        Ok(())
    }

    /// Ends a request that goes no further.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn refuse(
        &self,
        caller: &Caller,
        method: &'static str,
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        caller.end(self.ended(caller, method, ResultStatus::Error)).await?;
        Ok(refusal)
    }

    /// Ends a request that nobody ended on the way: refused by rmcp, or a method that decides nothing.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn end(
        &self,
        caller: &Caller,
        method: &'static str,
        response: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        if caller.is_open() {
            let (response, failed) = failed(response).await;
            let status = if failed { ResultStatus::Error } else { ResultStatus::Ok };
            caller.end(self.ended(caller, method, status)).await?;
            return Ok(response);
        }
        Ok(response)
    }

    fn ended(&self, caller: &Caller, method: &'static str, status: ResultStatus) -> AuditEvent {
        AuditEvent::ResultEmit {
            method,
            tool_name: None,
            status,
            error_code: (status == ResultStatus::Error).then_some(Code::InvalidField),
            duration_ms: millis(self.spent(caller)),
            decision: None,
            reason: None,
            policy_version: None,
            evaluated: Vec::new(),
            obligations: Obligations::default(),
            question: None,
        }
    }

    /// The challenge: 403 where scopes alone stand in the way (RS-21, RS-22), 401 where the log-in does (RFC 9470 §3).
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]
    pub async fn step_up(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        tool_name: ToolName,
        (decision, question): (&Decision, Box<Recorded>),
    ) -> Result<Response<Body>, Unrecorded> {
        let method = method_name(message.method.as_deref());
        if let Some(login) = decision.login.as_ref().filter(|_| !decision.can_step_up()) {
            let event = AuditEvent::LoginInsufficient {
                method,
                tool_name,
                assurance: login.assurance.clone(),
                max_age_seconds: login.max_age_seconds,
                reason: decision.reason.clone(),
                policy_version: Arc::clone(&decision.policy_version),
                evaluated: decision.evaluated.clone(),
                question,
            };
            caller.end(event).await?;
            let mut response = self.ask_for_login(message, login, caller.request_id());
            super::refusal::name(&mut response, caller.request_id());
            return Ok(response);
        }
        let event = AuditEvent::ScopeInsufficient {
            method,
            tool_name,
            missing_scopes: decision.missing_scopes.clone(),
            reason: decision.reason.clone(),
            policy_version: Arc::clone(&decision.policy_version),
            evaluated: decision.evaluated.clone(),
            question,
        };
        caller.end(event).await?;
        let mut response = self.challenge(message, &decision.missing_scopes, caller.request_id());
        super::refusal::name(&mut response, caller.request_id());
        Ok(response)
    }

    /// Since the request arrived.
    #[must_use]
    pub fn spent(&self, caller: &Caller) -> Duration {
        self.clock.monotonic().saturating_sub(caller.started())
    }

    fn ask_for_login(
        &self,
        message: &Message<'_>,
        login: &LoginNeeded,
        request_id: RequestId,
    ) -> Response<Body> {
        let text = "this call needs another log-in of its person";
        let data = serde_json::json!({
            "acr_values": login.assurance, "max_age": login.max_age_seconds,
            "request_id": request_id,
        });
        let mut response = jsonrpc::error(
            StatusCode::UNAUTHORIZED,
            message.id,
            jsonrpc::INVALID_REQUEST,
            &format!("insufficient_user_authentication: {text}"),
            Some(data),
        );
        let challenge = Challenge::new(&self.metadata_url)
            .error(ChallengeError::InsufficientUserAuthentication)
            .login(&login.assurance, login.max_age_seconds)
            .description(text);
        self.with(&challenge, &mut response);
        response
    }

    fn challenge(
        &self,
        message: &Message<'_>,
        missing: &Scope,
        request_id: RequestId,
    ) -> Response<Body> {
        let text = format!("this call needs the scope {missing}");
        let data = serde_json::json!({ "missing_scopes": missing, "request_id": request_id });
        // In the body too: some clients show it and drop the header.
        let mut response = jsonrpc::error(
            StatusCode::FORBIDDEN,
            message.id,
            jsonrpc::INVALID_REQUEST,
            &format!("insufficient_scope: {text}"),
            Some(data),
        );
        let challenge = Challenge::new(&self.metadata_url)
            .error(ChallengeError::InsufficientScope)
            .scope(missing)
            .description(&text);
        self.with(&challenge, &mut response);
        response
    }

    /// In each scheme that the endpoint takes (RFC 9110 §11.6.1, RFC 9449 §7.1), as a refusal of the token itself.
    fn with(&self, challenge: &Challenge, response: &mut Response<Body>) {
        let bearer = (self.dpop != DpopUse::Required).then(|| challenge.to_header_value());
        let bound = (self.dpop != DpopUse::Off).then(|| challenge.to_dpop_header_value());
        for value in bearer.into_iter().chain(bound) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, value);
        }
    }

    fn unreadable_body(&self, error: &axum::Error) -> Response<Body> {
        let too_large = std::error::Error::source(error)
            .is_some_and(<dyn std::error::Error + 'static>::is::<http_body_util::LengthLimitError>);
        if too_large {
            let message = format!("the body is larger than {} bytes", self.max_body_bytes);
            return jsonrpc::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                None,
                jsonrpc::INVALID_REQUEST,
                &message,
                None,
            );
        }
        plain(StatusCode::BAD_REQUEST)
    }
}

/// The audit log cannot take the event, so nothing is done and nothing is said.
#[derive(Debug)]
pub struct Unrecorded;

impl From<AuditError> for Unrecorded {
    fn from(error: AuditError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "audit.record_failed");
        Self
    }
}

/// Records what a terminal event has no room for: conditions that failed, and a shadow that differs.
///
/// # Errors
///
/// [`Unrecorded`]
pub async fn record_policy(
    caller: &Caller,
    tool: &ToolName,
    decision: &Decision,
    other: Option<Difference>,
) -> Result<(), Unrecorded> {
    if let Some(event) = AuditEvent::conditions_failed(tool.clone(), decision) {
        caller.record(caller.context(), event).await?;
    }
    match other {
        Some(other) => record_difference(caller, tool, decision, other).await,
        None => Ok(()),
    }
}

/// Records a shadow that differs.
///
/// # Errors
///
/// [`Unrecorded`]
pub async fn record_difference(
    caller: &Caller,
    tool: &ToolName,
    decision: &Decision,
    mut other: Difference,
) -> Result<(), Unrecorded> {
    let first = other.take_first();
    let event = AuditEvent::differed(tool.clone(), decision, other);
    caller.record(caller.context(), event).await?;
    if let Some(first) = first {
        first.is_recorded();
    }
    Ok(())
}

/// Calls a service that is always ready, as all of ours are.
pub async fn call<S>(inner: &mut S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    match inner.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether it tells of an error, by its status or in its one message: on the older wires errors come with 200.
///
/// Does *not* look into streams, whose events are told of where they are made.
async fn failed(response: Response<Body>) -> (Response<Body>, bool) {
    const MOST: u64 = 64 * 1024;
    #[derive(serde::Deserialize)]
    struct Told {
        error: Option<serde::de::IgnoredAny>,
    }
    if response.status().is_client_error() || response.status().is_server_error() {
        return (response, true);
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let is_small = response.body().size_hint().exact().is_some_and(|size| size <= MOST);
    if !is_json || !is_small {
        return (response, false);
    }
    let (parts, body) = response.into_parts();
    // It is in memory already: a body of known size is not a stream.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return (plain(StatusCode::INTERNAL_SERVER_ERROR), true);
    };
    let told = serde_json::from_slice::<Told>(&body);
    let failed = told.is_ok_and(|told| told.error.is_some());
    (Response::from_parts(parts, Body::from(body)), failed)
}

/// As the audit log counts.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A token as the audit log names it.
pub(super) fn token_name(name: &str) -> TokenName {
    TokenName(name.into())
}
