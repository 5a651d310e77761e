//! `/forward-auth/{server_id}`: whether a caller may reach a server at all.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use tower::{Layer as _, service_fn};

use crate::audit::AuditEvent;
use crate::broker::Caller;
use crate::guard::{self, Recorder, Unrecorded, record_refusals, unavailable};
use crate::policy::About;
use crate::resource_server::{ClientCertificate, Principal};

use super::decided::Decided;
use super::servers::Server;
use super::{ForwardAuth, answer};

const METHOD: &str = "forward-auth";

/// Decides by the bearer token in the headers that the proxy forwards.
///
/// `200` where the token is for this server and has all of the server's scopes, and no rule may forbid this caller anything
/// there; the headers `X-Auth-Subject`, `X-Auth-Client-Id` and `X-Auth-Scope` say whose it is. Does *not* look at what is asked
/// of the server: neither at the path nor at the tool.
///
/// # Errors
///
/// - `401` with a challenge: no token, or one that is not for this server (RFC 6750 §3)
/// - `403` with a challenge: a scope of the server is missing, and nothing else
/// - `403`: a rule forbids something there, or asks a person about it
/// - `400`: the proxy asks about a tool, which headers cannot say
/// - `404`: no such server; `503`: the store or the audit log is away
/// - `429`: a limit of requests
pub(super) async fn decide(
    State(gate): State<ForwardAuth>,
    Path(server_id): Path<String>,
    request: Request,
) -> Response<Body> {
    let server = match gate.server(&server_id).await {
        Ok(server) => server,
        Err(why) => return answer::not_served(&why),
    };
    gate.behind_the_token(server, request, |server, caller, request| async move {
        let asks_about_a_tool = names_a_tool(&request);
        drop(request); // nothing of it is looked at but its head
        server.admit(&caller, asks_about_a_tool).await
    })
    .await
}

/// The same, where the proxy appends a path.
pub(super) async fn decide_at(
    gate: State<ForwardAuth>,
    Path((server_id, _path)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    decide(gate, Path(server_id), request).await
}

impl ForwardAuth {
    /// Verifies the token, records a refusal of it, and goes on with who it names.
    pub(super) async fn behind_the_token<F>(
        &self,
        server: Server,
        request: Request,
        decide: impl Fn(Server, Caller, Request) -> F + Clone + Send + 'static,
    ) -> Response<Body>
    where
        F: Future<Output = Result<Response<Body>, Unrecorded>> + Send,
    {
        let parts = &self.0.parts;
        let recorder = Recorder {
            auditor: parts.auditor.clone(),
            clock: parts.clock.clone(),
            random: parts.random.clone(),
        };
        let token = server.token.clone();
        // The connection is the proxy's: a certificate of its says nothing of who sent the token.
        let mut request = request;
        request.extensions_mut().remove::<ClientCertificate>();
        let decided = service_fn(move |mut request: Request| {
            let (server, decide) = (server.clone(), decide.clone());
            async move {
                let Some(principal) = request.extensions_mut().remove::<Principal>() else {
                    return Ok::<_, Infallible>(unavailable());
                };
                let caller = server.door.caller(principal, request.headers());
                let decided = decide(server, caller, request).await;
                Ok(decided.unwrap_or_else(|Unrecorded| unavailable()))
            }
        });
        record_refusals(&recorder, token.layer(decided), request).await
    }
}

impl Server {
    async fn admit(
        &self,
        caller: &Caller,
        asks_about_a_tool: bool,
    ) -> Result<Response<Body>, Unrecorded> {
        caller.owe_terminal_event(METHOD, None).await?;
        self.door.accepted(caller).await?;
        if let Err(refusal) = self.door.within_request_limits(caller, (METHOD, None)).await? {
            return Ok(refusal);
        }
        if asks_about_a_tool {
            tracing::error!(
                server = self.row.id,
                "forward_auth.asked_about_a_tool: headers cannot say which tool a body calls; use Envoy with /ext-authz"
            );
            let refusal = answer::refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "this decides for the whole server: which tool is called is in the body, which only Envoy sends, to /ext-authz",
            );
            return self.door.refuse(caller, METHOD, refusal).await;
        }
        let (decision, other, question) = self.decider.now().server(caller, About::Whole);
        let tool_name = self.decider.server_name();
        if let Some(name) = &tool_name {
            guard::record_policy(caller, name, &decision, other).await?;
        }
        if let (true, Some(tool_name)) = (decision.can_step_up(), tool_name.clone()) {
            let response = answer::insufficient_scope(self, &decision.missing_scopes);
            let (missing_scopes, reason) = (decision.missing_scopes, decision.reason);
            let (policy_version, evaluated) = (decision.policy_version, decision.evaluated);
            let event = AuditEvent::ScopeInsufficient {
                method: METHOD,
                tool_name,
                missing_scopes,
                reason,
                policy_version,
                evaluated,
                question,
            };
            caller.end(event).await?;
            return Ok(response);
        }
        if let Some(rule) = decision.matched_rule_id.as_ref().filter(|_| !decision.is_allow()) {
            tracing::warn!(
                server = self.row.id,
                %rule,
                "forward_auth.refused_by_a_rule: who passes here may do anything at the server, so nobody passes about whom a deny or ask rule may be"
            );
        }
        let decided = Decided { method: METHOD, tool_name, decision, question };
        self.end_as_decided(caller, decided, answer::denied()).await
    }
}

/// A proxy that was told to ask per tool (N118): what it says of the tool comes from a header of the client's.
fn names_a_tool(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| matches!(name, "tool" | "tools" | "name" | "method"))
        || request.headers().contains_key("x-mcp-tool")
}
