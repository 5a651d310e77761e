//! `/ext-authz/{server_id}`: Envoy's HTTP `ext_authz` with the body sent along, so that policy can decide about each tool.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};
use serde_json::value::RawValue;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::guard::{self, Message, Unrecorded, millis};
use crate::id::ToolName;
use crate::policy::{Arguments, Ask, Decision, Difference, Effect, Live, Operation, Recorded};
use crate::protect::Message as StrictMessage;

use super::servers::Server;
use super::{ForwardAuth, answer};

const METHOD: &str = "forward-auth";
const INVALID_PARAMS: i32 = -32602;
/// Envoy says with it that a body was sent, and whether all of it (`with_request_body`).
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// Decides by the token and by the message itself.
///
/// `POST` only: an older client's `GET` and `DELETE` get the `405` of a server without sessions. So a proxy that sends its
/// question without the body, as nginx, Traefik and Caddy do, is never told yes.
///
/// `200` where policy allows this caller the tool `{server_id}.{tool}`, or where the message calls none. Does *not* filter
/// lists, and cannot wait for an approval: a rule with `ask` refuses.
///
/// # Errors
///
/// - `401`, `403`, `404`, `503` as for `/forward-auth`; `403` also for a tool that policy does not allow
/// - `400`: the body was not sent, not sent whole, or is not one message that every reader reads alike (N118)
/// - `405`: any other method
/// - `429`: a limit
pub(super) async fn decide(
    State(gate): State<ForwardAuth>,
    Path(server_id): Path<String>,
    request: Request,
) -> Response<Body> {
    // A dot would make the tool `c` of `a.b` and the tool `b.c` of `a` one name.
    let server = match gate.server(&server_id).await {
        Ok(server) if !server.row.id.contains('.') => server,
        Ok(_) => {
            let text = "a server that is asked about by tool has an id without dots";
            return answer::refusal(StatusCode::BAD_REQUEST, "invalid_request", text);
        }
        Err(why) => return answer::not_served(&why),
    };
    let policy = gate.0.parts.policy.clone();
    gate.behind_the_token(server, request, move |server, caller, request| {
        let policy = policy.clone();
        async move { server.decide(caller, request, &policy).await }
    })
    .await
}

/// The same, with the path that Envoy appends.
pub(super) async fn decide_at(
    gate: State<ForwardAuth>,
    Path((server_id, _path)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    decide(gate, Path(server_id), request).await
}

impl Server {
    async fn decide(
        &self,
        mut caller: Caller,
        request: Request,
        policy: &Live,
    ) -> Result<Response<Body>, Unrecorded> {
        caller.owe_terminal_event(METHOD, None).await?;
        let (parts, body) = request.into_parts();
        let body = match self.body(&parts, body).await {
            Ok(body) => body,
            Err(refusal) => return self.door.unreadable(&caller, refusal).await,
        };
        let unreadable =
            |why: &str| answer::refusal(StatusCode::BAD_REQUEST, "invalid_request", why);
        // The server behind may be written in any language, so its reader may be laxer than ours.
        let strict = match StrictMessage::parse(&body) {
            Ok(strict) => strict,
            Err(why) => return self.door.unreadable(&caller, unreadable(&why.to_string())).await,
        };
        let Ok(message) = Message::parse(&body) else {
            let refusal = unreadable("the body is not one JSON-RPC message");
            return self.door.unreadable(&caller, refusal).await;
        };
        if !agrees(&parts.headers, message.method.as_deref(), strict.tool()) {
            let refusal = unreadable("Mcp-Method or Mcp-Name differs from the body");
            return self.door.unreadable(&caller, refusal).await;
        }
        let method = guard::method_name(message.method.as_deref());
        let tool = strict.tool().map(|tool| format!("{}.{tool}", self.row.id));
        caller.describe(method, tool.as_deref().and_then(|tool| tool.parse().ok()), None);
        self.door.accepted(&caller).await?;
        if !self.has_scopes(&caller) {
            let refusal = answer::insufficient_scope(self);
            return self.door.refuse(&caller, method, refusal).await;
        }
        if let Some(tool) = tool {
            return self.tool(&caller, &message, &tool, policy).await;
        }
        let admitted = answer::admitted(caller.principal());
        self.door.end(&caller, method, admitted).await
    }

    /// The whole body.
    async fn body(&self, parts: &request::Parts, body: Body) -> Result<Bytes, Response<Body>> {
        let refuse = |text| answer::refusal(StatusCode::BAD_REQUEST, "invalid_request", text);
        if parts.method != Method::POST {
            let mut refusal = guard::plain(StatusCode::METHOD_NOT_ALLOWED);
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return Err(refusal);
        }
        let mut partial = parts.headers.get_all(PARTIAL).iter();
        let whole =
            partial.next().is_some_and(|value| value == "false") && partial.next().is_none();
        if !whole {
            tracing::error!(
                server = self.row.id,
                "forward_auth.body_not_sent: set with_request_body with allow_partial_message: false in Envoy"
            );
            return Err(refuse(
                "the whole body must be sent along, by Envoy with with_request_body",
            ));
        }
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(refuse("a compressed body cannot be read"));
        }
        self.door.read(body).await
    }

    async fn tool(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        tool: &str,
        policy: &Live,
    ) -> Result<Response<Body>, Unrecorded> {
        let name: Option<ToolName> = tool.parse().ok();
        let Some(name) = name else {
            // One that breaks the format of MCP: for policy there is no such tool.
            return self.door.refuse(caller, "tools/call", unknown(message, tool)).await;
        };
        let arguments = message.tool_call().and_then(|call| call.arguments);
        let (decision, question, other) = ask(policy, caller, tool, arguments);
        let permits = self.door.within_limits(caller, message, (tool, Some(&decision))).await?;
        if let Err(refusal) = permits {
            return Ok(refusal);
        }
        guard::record_policy(caller, &name, &decision, other).await?;
        if decision.is_challenge() {
            return self.door.step_up(caller, message, name, (&decision, question)).await;
        }
        let allowed = decision.effect == Effect::Allow;
        let response = match decision.effect {
            Effect::Allow => answer::admitted(caller.principal()),
            Effect::Deny => unknown(message, tool),
            Effect::Ask => {
                refused(message, "this call needs an approval, which cannot be asked for here")
            }
        };
        caller
            .end(AuditEvent::ResultEmit {
                method: "tools/call",
                tool_name: Some(name),
                status: if allowed { ResultStatus::Ok } else { ResultStatus::Error },
                error_code: (!allowed).then_some(decision.code.unwrap_or(Code::PolicyDenied)),
                duration_ms: millis(self.door.spent(caller)),
                decision: Some(decision.effect),
                reason: Some(decision.reason),
                policy_version: Some(decision.policy_version),
                evaluated: decision.evaluated,
                obligations: decision.obligations,
                question: Some(question),
            })
            .await?;
        Ok(response)
    }
}

fn ask(
    policy: &Live,
    caller: &Caller,
    tool: &str,
    arguments: Option<&RawValue>,
) -> (Decision, Box<Recorded>, Option<Difference>) {
    let in_force = policy.current();
    let arguments = Arguments::Json(arguments.map_or("{}", RawValue::get));
    let now = in_force.moment();
    let ask = Ask { who: caller.who(), tool, operation: Operation::Plain, arguments, now };
    let decision = in_force.policy().decide(&ask);
    let other = policy.difference(&in_force, &ask, &decision);
    (decision, in_force.record(&ask), other)
}

/// In the words of a tool that does not exist, but as `403`: Envoy would take `200` for yes.
fn unknown(message: &Message<'_>, tool: &str) -> Response<Body> {
    let tool = tool.split_once('.').map_or(tool, |(_server, tool)| tool);
    let text = format!("Unknown tool: {tool}");
    guard::error(StatusCode::FORBIDDEN, message.id, INVALID_PARAMS, &text, None)
}

fn refused(message: &Message<'_>, text: &str) -> Response<Body> {
    guard::error(StatusCode::FORBIDDEN, message.id, guard::INVALID_REQUEST, text, None)
}

/// What 2026-07-28 mirrors in headers must be what the body says (TR-24), as far as Envoy forwards it.
fn agrees(headers: &HeaderMap, method: Option<&str>, tool: Option<&str>) -> bool {
    let same = |name: &str, expected: Option<&str>| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => true,
            (Some(value), None) => value.to_str().ok() == expected,
            (Some(_), Some(_)) => false,
        }
    };
    same("mcp-method", method) && (tool.is_none() || same("mcp-name", tool))
}
