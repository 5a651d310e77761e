//! `/forward-auth/{server_id}`: whether a caller may reach a server at all.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use tower::{Layer as _, service_fn};

use crate::broker::Caller;
use crate::guard::{Recorder, Unrecorded, record_refusals, unavailable};
use crate::resource_server::Principal;

use super::servers::Server;
use super::{ForwardAuth, answer};

const METHOD: &str = "forward-auth";

/// Decides by the bearer token in the headers that the proxy forwards.
///
/// `200` where the token is for this server and has all of the server's scopes; the headers `X-Auth-Subject`,
/// `X-Auth-Client-Id` and `X-Auth-Scope` say whose it is. Does *not* look at what is asked of the server: neither at the path
/// nor at the tool.
///
/// # Errors
///
/// - `401` with a challenge: no token, or one that is not for this server (RFC 6750 §3)
/// - `403` with a challenge: a scope of the server is missing
/// - `400`: the proxy asks about a tool, which headers cannot say
/// - `404`: no such server; `503`: the store or the audit log is away
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
        let response = if self.has_scopes(caller) {
            answer::admitted(caller.principal())
        } else {
            answer::insufficient_scope(self)
        };
        self.door.end(caller, METHOD, response).await
    }

    pub(super) fn has_scopes(&self, caller: &Caller) -> bool {
        self.row.scopes.is_subset(caller.principal().scopes())
    }
}

/// A proxy that was told to ask per tool (N118): what it says of the tool comes from a header of the client's.
fn names_a_tool(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| matches!(name, "tool" | "tools" | "name" | "method"))
        || request.headers().contains_key("x-mcp-tool")
}
