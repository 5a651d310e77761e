//! `/ext-authz/{server_id}`: Envoy's HTTP `ext_authz` with the body sent along, so that policy can decide about each tool.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header, request};
use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::guard::{self, Deciding, INVALID_PARAMS, Message, Mirrored, Named, Thing, Unrecorded};
use crate::id::ToolName;
use crate::policy::{About, Effect};
use crate::protect::Message as StrictMessage;

use super::decided::Decided;
use super::servers::Server;
use super::{ForwardAuth, answer};

const METHOD: &str = "forward-auth";
const METHOD_NOT_FOUND: i32 = -32601;
const RESOURCE_NOT_FOUND: i32 = -32002;
const NEEDS_APPROVAL: &str = "this call needs an approval, which cannot be asked for here";
/// Envoy says with it that a body was sent, and whether all of it (`with_request_body`).
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// Decides by the token and by the message itself.
///
/// `POST` only: an older client's `GET` and `DELETE` get the `405` of a server without sessions. So a proxy that sends its
/// question without the body, as nginx, Traefik and Caddy do, is never told yes.
///
/// `200` where policy allows this caller the tool `{server_id}.{tool}`, the prompt or the resources that it names, and the
/// caller has the server's scopes as well; and for what names none of them (the handshake, a list) where no rule forbids all
/// of the server. Does *not* filter lists, and cannot wait for an approval: a rule with `ask` refuses.
///
/// # Errors
///
/// - `401`, `404`, `503` as for `/forward-auth`; `403` with a challenge where scopes alone are missing
/// - `403`: what policy does not allow, in the words of what does not exist; a method that is none of MCP's
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
    gate.behind_the_token(server, request, |server, caller, request| async move {
        server.decide(caller, request).await
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
        if let Err(why) = StrictMessage::parse(&body) {
            return self.door.unreadable(&caller, unreadable(&why.to_string())).await;
        }
        let Ok(message) = Message::parse(&body) else {
            let refusal = unreadable("the body is not one JSON-RPC message");
            return self.door.unreadable(&caller, refusal).await;
        };
        let named = Named::of(&message, false);
        // As far as Envoy forwards them (TR-24).
        if !Mirrored::from(&named).agrees_with(&parts.headers, message.method.as_deref()) {
            let refusal = unreadable("Mcp-Method, Mcp-Name or Mcp-Param-* differs from the body");
            return self.door.unreadable(&caller, refusal).await;
        }
        let tool_name = match &named {
            Named::Tool { name, .. } => self.decider.tool_name(name),
            _ => self.decider.server_name(),
        };
        let method = guard::method_name(message.method.as_deref());
        caller.describe(method, tool_name.clone(), None);
        self.door.accepted(&caller).await?;
        let deciding = self.decider.now();
        let asked = Asked { caller: &caller, message: &message, method, deciding: &deciding };
        match named {
            Named::Tool { name, arguments } => {
                self.tool(&asked, &name, (tool_name, arguments)).await
            }
            Named::Prompt { name, arguments } => {
                self.things(&asked, &[Thing::Prompt(&name, Some(&arguments))]).await
            }
            Named::Resources(uris) if !uris.is_empty() => {
                let things: Vec<_> = uris.iter().map(|uri| Thing::Resource(uri)).collect();
                self.things(&asked, &things).await
            }
            Named::Resources(_) | Named::List(_) | Named::Protocol | Named::Reply => {
                self.handshake(&asked).await
            }
            // Nothing in the rules could be about it.
            Named::Unknown => {
                let refusal = error(&message, METHOD_NOT_FOUND, "Method not found");
                self.door.malformed(&caller, (method, message.id), refusal).await
            }
            Named::Malformed(why) => {
                let refusal = error(&message, INVALID_PARAMS, why);
                self.door.malformed(&caller, (method, message.id), refusal).await
            }
        }
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
        asked: &Asked<'_>,
        name: &str,
        (tool, arguments): (Option<ToolName>, Option<&RawValue>),
    ) -> Result<Response<Body>, Unrecorded> {
        let Asked { caller, message, method, deciding } = *asked;
        let unknown = error(message, INVALID_PARAMS, &format!("Unknown tool: {name}"));
        let Some(tool) = tool else {
            // One that breaks the format of MCP: for policy there is no such tool.
            let within = self.door.within_limits(caller, message, (name, None), || None).await?;
            return match within {
                Ok(_permits) => self.door.refuse(caller, method, unknown).await,
                Err(refusal) => Ok(refusal),
            };
        };
        let (visible, decision) = deciding.call(caller, &tool, arguments);
        let asked = (tool.as_str(), Some(&decision));
        let question = || Some(deciding.question(caller, Thing::Tool(name)));
        let permits = self.door.within_limits(caller, message, asked, question).await?;
        if let Err(refusal) = permits {
            return Ok(refusal);
        }
        let other = deciding.difference(caller, &tool, (arguments, &decision));
        guard::record_policy(caller, &tool, &decision, other).await?;
        let question = deciding.question(caller, Thing::Tool(name));
        if decision.is_challenge() {
            return self.door.step_up(caller, message, tool, (&decision, question)).await;
        }
        let refusal = match decision.effect {
            Effect::Ask => error(message, guard::INVALID_REQUEST, NEEDS_APPROVAL),
            Effect::Deny if visible.shows_the_tool() => {
                error(message, guard::INVALID_REQUEST, "policy does not allow this call")
            }
            Effect::Allow | Effect::Deny => unknown,
        };
        let decided = Decided { method, tool_name: Some(tool), decision, question };
        self.end_as_decided(caller, decided, refusal).await
    }

    /// A prompt, or every one of these resources.
    async fn things(
        &self,
        asked: &Asked<'_>,
        things: &[Thing<'_>],
    ) -> Result<Response<Body>, Unrecorded> {
        let Asked { caller, message, method, deciding } = *asked;
        let decided = things.iter().map(|thing| (*thing, deciding.about(caller, *thing)));
        let worst = decided.max_by_key(|(_, said)| (!said.is_allow(), !said.is_challenge()));
        let Some((thing, decision)) = worst else { return self.handshake(asked).await };
        let name = deciding.name(thing);
        let counted = (&*name, Some(&decision));
        let question = || Some(deciding.question(caller, thing));
        let permits = self.door.within_limits(caller, message, counted, question).await?;
        if let Err(refusal) = permits {
            return Ok(refusal);
        }
        let question = deciding.question(caller, thing);
        let tool_name = self.decider.server_name();
        if let Some(server) = &tool_name {
            let other = deciding.difference_about(caller, thing, &decision);
            guard::record_policy(caller, server, &decision, other).await?;
        }
        if let (true, Some(server)) = (decision.is_challenge(), tool_name.clone()) {
            return self.door.step_up(caller, message, server, (&decision, question)).await;
        }
        let refusal = match thing {
            Thing::Prompt(name, _) => {
                error(message, INVALID_PARAMS, &format!("Unknown prompt: {name}"))
            }
            Thing::Tool(_) | Thing::Resource(_) => {
                error(message, RESOURCE_NOT_FOUND, "Resource not found")
            }
        };
        let decided = Decided { method, tool_name, decision, question };
        self.end_as_decided(caller, decided, refusal).await
    }

    /// What names nothing of the server: what it then is asked for is decided by itself.
    async fn handshake(&self, asked: &Asked<'_>) -> Result<Response<Body>, Unrecorded> {
        let Asked { caller, message, method, deciding } = *asked;
        let within = self.door.within_request_limits(caller, (method, message.id)).await?;
        if let Err(refusal) = within {
            return Ok(refusal);
        }
        let (decision, other, question) = deciding.server(caller, About::Handshake);
        let tool_name = self.decider.server_name();
        if let Some(server) = &tool_name {
            guard::record_policy(caller, server, &decision, other).await?;
        }
        if let (true, Some(server)) = (decision.is_challenge(), tool_name.clone()) {
            return self.door.step_up(caller, message, server, (&decision, question)).await;
        }
        let refusal =
            error(message, guard::INVALID_REQUEST, "policy does not let you use this server");
        let decided = Decided { method, tool_name, decision, question };
        self.end_as_decided(caller, decided, refusal).await
    }
}

/// One message that is decided about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    caller: &'a Caller,
    message: &'a Message<'a>,
    method: &'static str,
    deciding: &'a Deciding<'a>,
}

/// In the words of what does not exist, but as `403`: Envoy would take `200` for yes.
fn error(message: &Message<'_>, code: i32, text: &str) -> Response<Body> {
    guard::error(StatusCode::FORBIDDEN, message.id, code, text, None)
}
