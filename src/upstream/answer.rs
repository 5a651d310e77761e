//! One exchange with a server: what comes back is looked at, recorded, and only then handed on.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::audit::ResultStatus;
use crate::broker::Caller;
use crate::code::Code;
use crate::guard::{self, List, Presented, Unrecorded};
use crate::id::ToolName;
use crate::limits::Permits;
use crate::policy::{Decision, Difference};

use super::caller_tokens::For;
use super::era::Translation;
use super::fault::Fault;
use super::headers::SESSION;
use super::incoming::Incoming;
use super::lost::is_lost;
use super::seen::{Form, Seen};
use super::server::{Ended, Server};
use super::shown::Shown;
use super::who::Who;

/// What was asked, as far as the answer is treated differently.
#[derive(Debug)]
pub(super) enum Kind {
    Tool(Box<(Decision, Ended)>),
    /// A prompt or a resource.
    Thing(Box<(Decision, Ended)>),
    List(List),
    /// The protocol's own requests.
    Other,
    /// A stream that stays open: recorded when it opens, with what was decided about the resources it tells of.
    Stream(Option<Box<(Decision, Ended)>>),
    /// Has no answer.
    Notification,
}

/// A message on its way, and what is held for it: its caller's terminal event and its places.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) server: Arc<Server>,
    pub(super) caller: Caller,
    pub(super) method: &'static str,
    pub(super) kind: Kind,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) modern: bool,
    /// Whether its caller named a session of the server's.
    pub(super) session: bool,
    pub(super) permits: Permits,
    /// Of a stream that stays open.
    pub(super) place: Permits,
    /// What a stream that stays open tells of.
    pub(super) resources: Vec<String>,
    /// The caller's own token, where the server's credential is obtained with it.
    pub(super) presented: Option<Presented>,
    /// `None`: client and server are of one era.
    pub(super) translation: Option<Box<Translation>>,
    /// What the server was shown of the broker's, to be found in nothing that is handed on.
    pub(super) secret: Option<Shown>,
    /// Where the shadow rules would show another list: to be recorded.
    pub(super) unlike: Unlike,
}

/// Things of a list, as they were decided about, and what the shadow rules say instead.
pub(super) type Unlike = Mutex<Vec<(ToolName, Decision, Difference)>>;

impl Exchange {
    pub(super) fn new(
        server: Arc<Server>,
        caller: Caller,
        method: &'static str,
        kind: Kind,
    ) -> Self {
        let (permits, place) = (Permits::default(), Permits::default());
        let (id, presented, translation, secret) = (None, None, None, None);
        let (modern, session, resources) = (false, false, Vec::new());
        Self {
            server,
            caller,
            method,
            kind,
            id,
            modern,
            session,
            permits,
            place,
            resources,
            presented,
            translation,
            secret,
            unlike: Mutex::default(),
        }
    }

    pub(super) fn who(&self) -> Who {
        let presented = self.presented.clone();
        Who { principal: self.caller.principal().clone(), presented }
    }

    /// Sends the message, and gives the answer or a stream of them.
    pub(super) async fn run(
        mut self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Unrecorded> {
        match self.server.open(&self.who(), method, headers, body).await {
            Ok(incoming) => self.receive(incoming).await,
            Err(fault) => self.failed(&fault).await,
        }
    }

    /// Ends an exchange that needs no server.
    pub(super) async fn answered(
        mut self,
        response: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        let failed = response.status().is_client_error();
        let (status, code) = if failed {
            (ResultStatus::Error, Some(Code::InvalidField))
        } else {
            (ResultStatus::Ok, None)
        };
        self.notice(Vec::new()).await?;
        self.end(status, code).await?;
        Ok(response)
    }

    fn for_whom(&self) -> For<'_> {
        For { principal: self.caller.principal(), presented: self.presented.as_ref() }
    }

    /// Hands on what the server answers.
    pub(super) async fn receive(
        mut self,
        mut incoming: Incoming,
    ) -> Result<Response<Body>, Unrecorded> {
        let shown = incoming.shown.take();
        self.secret = incoming.secret.take();
        if let (Some(secret), Some(session)) = (&self.secret, incoming.headers.get(SESSION))
            && secret.is_in(session.as_bytes())
        {
            return self.failed(&Fault::RepeatsCredential).await;
        }
        let form = match self.form(&incoming) {
            Ok(form) => form,
            Err(fault) => {
                if let (Fault::Credential, StatusCode::FORBIDDEN) = (&fault, incoming.status)
                    && let Some(wanted) =
                        self.server.credential.wants_more(self.for_whom(), &incoming.headers).await
                {
                    return self.failed(&Fault::NoToken(wanted)).await;
                }
                // 403 is about this call (RFC 6750 §3.1): another token would be told the same.
                if let (StatusCode::UNAUTHORIZED, Some(shown)) = (incoming.status, &shown) {
                    self.server.credential.refused(self.for_whom(), shown).await;
                }
                return self.failed(&fault).await;
            }
        };
        let session = match &self.translation {
            None => self.session(&incoming.headers),
            Some(translation) => translation.session().and_then(|id| self.bind(&id)),
        };
        let mut response = match form {
            Form::Nothing(status) => {
                // A request that was not answered failed, whatever its client makes of the status.
                let failed = self.id.is_some() && !status.is_success();
                let (ended, code) = if failed {
                    (ResultStatus::Error, Some(Code::ProviderBadResponse))
                } else {
                    (ResultStatus::Ok, None)
                };
                self.end(ended, code).await?;
                guard::plain(status)
            }
            Form::Json(status) | Form::Text(status) => {
                let server = Arc::clone(&self.server);
                let looked = match incoming.rest(server.max_response_bytes, server.timeout).await {
                    Ok(body) if self.has_lost_its_session(status, &body) => {
                        self.end(ResultStatus::Error, Some(Code::ProviderBadResponse)).await?;
                        return Ok(guard::plain(StatusCode::NOT_FOUND));
                    }
                    Ok(_) if matches!(form, Form::Text(_)) => Err(Fault::Status(status)),
                    Ok(body) => self.look(body).await,
                    Err(fault) => Err(fault),
                };
                match looked {
                    Ok(Seen { bytes: Some(bytes), last: true, said, news, http, .. }) => {
                        self.notice(news).await?;
                        self.end_seen(&said).await?;
                        json(http.unwrap_or(status), bytes)
                    }
                    Ok(_) => return self.failed(&Fault::NoAnswer).await,
                    Err(fault) => return self.failed(&fault).await,
                }
            }
            Form::Events => {
                if matches!(self.kind, Kind::Stream(_)) {
                    self.end(ResultStatus::Ok, None).await?;
                }
                self.stream(incoming)
            }
        };
        if let Some(session) = session {
            response.headers_mut().insert(SESSION, session);
        }
        Ok(response)
    }

    /// Whether its caller's own session is what it names.
    pub(super) const fn is_in_session(&self) -> bool {
        self.session && self.translation.is_none()
    }

    /// A session that the server has forgotten (2025-11-25 transports): the client is told so with a bare 404, whatever the
    /// server says it with, and starts a new one.
    fn has_lost_its_session(&self, status: StatusCode, body: &[u8]) -> bool {
        let lost = self.is_in_session() && self.asked().is_some_and(|id| is_lost(status, body, id));
        if lost {
            let (server, request_id) = (&self.server.id, self.caller.request_id());
            tracing::info!(%server, %request_id, "upstream.session_lost");
            self.server.era.doubt(self.server.door.clock.monotonic());
        }
        lost
    }

    /// The id of a session that the server opened, bound to the caller.
    fn session(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.bind(headers.get(SESSION)?.to_str().ok()?)
    }

    fn bind(&self, id: &str) -> Option<HeaderValue> {
        let bound = self.server.sessions.bind(&self.server.id, &self.caller, id);
        HeaderValue::from_str(&bound).ok()
    }

    /// The id of the request that the server answers. `None`: it answers nobody.
    pub(super) fn asked(&self) -> Option<&RawValue> {
        let id = self.id.as_deref();
        match &self.translation {
            None => id,
            Some(translation) => translation.asked(id),
        }
    }
}

/// One message as JSON.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
