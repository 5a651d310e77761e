//! `subscriptions/listen` before an old server: a session of its own, whose stream and subscriptions it has (TR-21).

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::guard;

use super::ask::{Answer, ask};
use super::held::{Opened, farewell, notify, open};
use super::input::Askable;
use super::message::{META, Members, SUBSCRIPTION, request};
use super::old_server::answer_to;
use super::{Told, Translation, Way};
use crate::upstream::fault::Fault;
use crate::upstream::reach::Reach;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

/// What a client wants to be told, and what it can be.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::upstream) struct Filter {
    #[serde(skip_serializing_if = "is_not")]
    pub(in crate::upstream) tools_list_changed: bool,
    #[serde(skip_serializing_if = "is_not")]
    pub(in crate::upstream) prompts_list_changed: bool,
    #[serde(skip_serializing_if = "is_not")]
    pub(in crate::upstream) resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::upstream) resource_subscriptions: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_not(wanted: &bool) -> bool {
    !wanted
}

/// A stream that is open. Dropped, it ends its session.
#[derive(Debug)]
pub(in crate::upstream) struct Listening {
    session: Session,
    /// The client's request, by which each message is tagged.
    id: Box<RawValue>,
    honored: Filter,
}

/// A session for one stream. Dropped, it is ended.
#[derive(Debug)]
struct Session {
    server: Arc<Server>,
    who: Who,
    opened: Arc<Opened>,
}

pub(super) async fn way(
    server: &Arc<Server>,
    who: &Who,
    (id, params): (&RawValue, &Members),
) -> Result<Way, Fault> {
    let Some(wanted) = params.get::<Filter>("notifications") else {
        let text = "params of subscriptions/listen need notifications";
        return Ok(Way::Here(guard::error(StatusCode::OK, Some(id), INVALID_PARAMS, text, None)));
    };
    // One process for all callers has no stream of its own for one of them.
    if matches!(server.reach, Reach::Child(_)) {
        return Ok(Way::Here(tells_of_nothing(id)));
    }
    let who = who.clone();
    let opened = Arc::new(open(server, &who, Askable::default()).await?);
    let session = Session { server: Arc::clone(server), who, opened };
    let mut headers = session.opened.headers();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let incoming = server.open(&session.who, Method::GET, headers, Bytes::new()).await?;
    if matches!(incoming.status.as_u16(), 400 | 404 | 405) {
        return Ok(Way::Here(tells_of_nothing(id)));
    }
    let honored = session.subscribe(wanted).await?;
    let listening = Listening { session, id: id.to_owned(), honored };
    Ok(Way::Sent(Box::new(incoming), Box::new(Translation::Listen(listening))))
}

fn tells_of_nothing(id: &RawValue) -> Response<Body> {
    let text = "Method not found: the server behind this endpoint tells of no changes";
    guard::error(StatusCode::NOT_FOUND, Some(id), METHOD_NOT_FOUND, text, None)
}

impl Session {
    /// What of `wanted` the server can tell of.
    async fn subscribe(&self, wanted: Filter) -> Result<Filter, Fault> {
        let offered = self.opened.said.members("capabilities");
        let can = |name: &str, what: &str| offered.members(name).get::<bool>(what) == Some(true);
        let mut honored = Filter {
            tools_list_changed: wanted.tools_list_changed && can("tools", "listChanged"),
            prompts_list_changed: wanted.prompts_list_changed && can("prompts", "listChanged"),
            resources_list_changed: wanted.resources_list_changed
                && can("resources", "listChanged"),
            resource_subscriptions: Vec::new(),
        };
        if !can("resources", "subscribe") {
            return Ok(honored);
        }
        for uri in wanted.resource_subscriptions {
            let (id, mut params) = (self.server.era.held.next_id(), Members::default());
            params.set("uri", &uri);
            let body = request(Some(&*id), "resources/subscribe", &params);
            let asked = (self.opened.headers(), body, &*id);
            if let (Answer::Result(_), _) = ask(&self.server, &self.who, asked).await? {
                honored.resource_subscriptions.push(uri);
            }
        }
        Ok(honored)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.opened.id.is_none() {
            return;
        }
        let (server, who, opened) =
            (Arc::clone(&self.server), self.who.clone(), Arc::clone(&self.opened));
        let held = Arc::clone(&self.server);
        held.era.held.part(async move {
            if let Some(id) = &opened.id {
                farewell(&server, &who, (Some(&opened.version), id)).await;
            }
        });
    }
}

impl Listening {
    /// What comes first: which of the wished is told.
    pub(super) fn acknowledged(&self) -> Bytes {
        let mut params = Members::default();
        params.set("notifications", &self.honored);
        self.tag(&mut params);
        request(None, "notifications/subscriptions/acknowledged", &params)
    }

    /// Only what was wished, and tagged with the stream it is on.
    pub(super) fn told(&self, body: &Bytes) -> Told {
        if let Some(answer) = answer_to(body) {
            return Told::Answer(answer);
        }
        let said: Members = serde_json::from_slice(body).unwrap_or_default();
        let (method, mut params) =
            (said.get::<String>("method").unwrap_or_default(), said.members("params"));
        let wished = match method.as_str() {
            "notifications/tools/list_changed" => self.honored.tools_list_changed,
            "notifications/prompts/list_changed" => self.honored.prompts_list_changed,
            "notifications/resources/list_changed" => self.honored.resources_list_changed,
            "notifications/resources/updated" => {
                let uri = params.get::<String>("uri");
                uri.is_some_and(|uri| self.honored.resource_subscriptions.contains(&uri))
            }
            _ => false,
        };
        if !wished {
            return Told::Kept;
        }
        self.tag(&mut params);
        Told::On(request(None, &method, &params))
    }

    fn tag(&self, params: &mut Members) {
        let mut meta = params.members(META);
        meta.set(SUBSCRIPTION, &self.id);
        params.set(META, meta);
    }

    pub(super) async fn answer(&self, answer: Bytes) {
        notify(&self.session.server, &self.session.who, &self.session.opened, answer).await;
    }
}
