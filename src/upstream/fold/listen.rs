//! Whether somebody may be told of changes at `/mcp`, and of what (MCP 2026-07-28 basic/patterns/subscriptions).
//!
//! A stream is one request and one stream for all limits, however many servers are behind it; each resource that it names must
//! be allowed, as at its server's own address.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::ResultStatus;
use crate::broker::Caller;
use crate::guard::spelling;
use crate::guard::{self, Answered, BesideCall, Door, Listening, Message, Thing, Unrecorded};
use crate::limits::Permits;
use crate::policy::Decision;
use crate::upstream::admit::hidden_by;
use crate::upstream::era::{self, Filter};
use crate::upstream::reader::Read;
use crate::upstream::refused::{INVALID_PARAMS, not_there, out_of_form};
use crate::upstream::server::{Ended, Server};
use crate::upstream::wanted::Wanted;

use super::attend::OwnEars;
use super::follow::{Followed, Follower, Updates};
use super::heard::Lead;
use super::merged::{Client, Expected, Held, Merged, Subject};
use super::places::Places;
use super::visible::Which;
use super::{Folded, names, unknown};

const METHOD: &str = "subscriptions/listen";

/// Resources, as they are at their servers, and what policy says of each.
type Decided = Vec<(Followed, Decision)>;

/// What is decided about a stream.
enum Admission {
    /// With the decision that its terminal event names.
    Opens(Permits, Decided),
    Refused(Response<Body>),
}

#[derive(Deserialize)]
struct Params {
    notifications: Filter,
}

impl Folded {
    pub(super) async fn admit_listener(self: Arc<Self>, listening: Listening) -> Answered {
        let BesideCall { caller, presented, headers, body } = listening.call;
        let door = listening.door;
        let Ok(message) = Message::parse(&body) else {
            return Ok(guard::plain(StatusCode::BAD_REQUEST));
        };
        let wanted = Wanted::of(&message, true);
        let wrong = era::wrong_form(&message, &headers);
        let wrong = wrong.or_else(|| out_of_form(&headers, &message, &wanted, false));
        if let Some(wrong) = wrong {
            return door.malformed(&caller, (METHOD, message.id), wrong).await;
        }
        let (Some(Params { notifications }), Some(id)) = (message.params(), message.id) else {
            let text = "params of subscriptions/listen need notifications";
            let wrong = not_there(&message, INVALID_PARAMS, text);
            return door.malformed(&caller, (METHOD, message.id), wrong).await;
        };
        let admitted = self.admit((&door, &caller), (&message, &wanted), &notifications).await?;
        let (place, decided) = match admitted {
            Admission::Opens(place, decided) => (place, decided),
            Admission::Refused(refusal) => return Ok(refusal),
        };
        if let Some((named, decision)) = decided.first() {
            let deciding = named.server.decider.now();
            let question = deciding.question(&caller, Thing::Resource(&named.own));
            let ended = Ended { tool: None, question };
            let how = (decision, ResultStatus::Ok, None);
            named.server.end_as(&caller, METHOD, how, ended).await?;
        }
        let client = Client {
            lead: Lead { caller: caller.part(), presented },
            id: id.to_owned(),
            own: listening.own,
            clock: Arc::clone(&door.clock),
            around: self.around.clone(),
        };
        let followed = decided.into_iter().map(|(followed, _)| followed).collect();
        let merged = Self::open(&self, client, (notifications, followed), place);
        door.end(&caller, METHOD, answer(merged)).await
    }

    /// Decides about all resources together, and takes a place.
    async fn admit(
        &self,
        (door, caller): (&Door, &Caller),
        (message, wanted): (&Message<'_>, &Wanted<'_>),
        filter: &Filter,
    ) -> Result<Admission, Unrecorded> {
        let request = (METHOD, message.id);
        let mut decided = Decided::new();
        if filter.resource_subscriptions.is_empty() {
            if let Err(refusal) = door.within_request_limits(caller, request).await? {
                return Ok(Admission::Refused(refusal));
            }
        } else {
            let Some(all) = self.decide(caller, filter) else {
                let refusal = unknown(door, caller, (message, wanted, true)).await?;
                return Ok(Admission::Refused(refusal));
            };
            if let Some(refusal) = refused((door, caller), message, &all).await? {
                return Ok(Admission::Refused(refusal));
            }
            decided = all;
        }
        Ok(match door.within_stream_limits(caller, request).await? {
            Ok(place) => Admission::Opens(place, decided),
            Err(refusal) => Admission::Refused(refusal),
        })
    }

    /// `None`: one of them is of no server, or is written as no list shows it. With the prefix before it a spelling may look plain
    /// that the server reads as another's.
    fn decide(&self, caller: &Caller, filter: &Filter) -> Option<Decided> {
        let mut named = HashSet::new();
        let uris = filter.resource_subscriptions.iter().filter(|uri| named.insert(uri.as_str()));
        let decided = uris.map(|uri| {
            let (server, own) = self.of(uri, names::URI)?;
            if !spelling::is_plain(own) {
                return None;
            }
            let said = server.decider.now().about(caller, Thing::Resource(own));
            Some((Followed { server, own: own.to_owned(), uri: uri.clone() }, said))
        });
        decided.collect()
    }

    /// Begins to listen to what is not listened to yet, and gives the stream. No server is waited for.
    fn open(
        self: &Arc<Self>,
        client: Client,
        (mut wanted, followed): (Filter, Vec<Followed>),
        place: Permits,
    ) -> Merged {
        let servers = self.all();
        // The broker itself has neither.
        wanted.prompts_list_changed &= !servers.is_empty();
        wanted.resources_list_changed &= !servers.is_empty();
        let lists = Which::ALL.into_iter().any(|which| which.is_wanted(&wanted));
        let shared = servers.into_iter().filter(|one| lists && one.server.knows_no_callers());
        let shared: Vec<_> = shared.collect();
        let (board, updates) = (Arc::new(self.hub.board.beside()), Arc::new(Updates::default()));
        let (mut listening, gone) = (JoinSet::new(), CancellationToken::new());
        let mut places = Places::of(&self.hub, &client.lead.caller);
        let theirs = (&client.lead, &gone, &mut places);
        let following = follow_each(theirs, (&followed, &updates), &mut listening);
        let own = lists.then(|| OwnEars::begin(self, (&client.lead, &board), (places, following)));
        let of_its_own = own.as_ref().map(OwnEars::ids).unwrap_or_default();
        if let Some(own) = own {
            listening.spawn(own.attend());
        }
        let seat = lists.then(|| self.hub.sit(client.lead.clone(), &shared));
        let shared = shared.iter().map(|one| Arc::from(&*one.server.id)).collect();
        let subject = Subject {
            wanted,
            followed,
            updates,
            boards: [self.hub.board.changes(), board.changes()],
            expected: Expected { shared, of_its_own, following },
        };
        let held = Held { _seat: seat, _board: board, _listening: listening, gone, _place: place };
        Merged::new(client, subject, held)
    }
}

/// Listens to what becomes of these resources. To how many servers.
fn follow_each(
    (lead, gone, places): (&Lead, &CancellationToken, &mut Places),
    (followed, updates): (&[Followed], &Arc<Updates>),
    listening: &mut JoinSet<()>,
) -> usize {
    let mut count = 0;
    for (server, followed) in by_server(followed) {
        let Some(place) = places.one_more(&server.id, count) else {
            updates.refuse(followed.into_iter().map(|followed| followed.uri));
            continue;
        };
        let (lead, updates, gone) = (lead.clone(), Arc::clone(updates), gone.clone());
        let closing = server.closing.clone();
        let one = Follower { server, lead, followed, updates };
        listening.spawn(async move {
            tokio::select! {
                () = one.follow() => {}
                () = closing.cancelled() => {}
            }
            drop(place);
            if closing.is_cancelled() {
                gone.cancel();
            }
        });
        count += 1;
    }
    count
}

/// The answer to who may not be told of all of them. Of several it is about the worst: what no challenge opens.
async fn refused(
    (door, caller): (&Door, &Caller),
    message: &Message<'_>,
    decided: &Decided,
) -> Result<Option<Response<Body>>, Unrecorded> {
    let worst = decided.iter().max_by_key(|(_, said)| (!said.is_allow(), !said.is_challenge()));
    let Some((Followed { server, own, .. }, decision)) = worst else { return Ok(None) };
    let deciding = server.decider.now();
    let thing = Thing::Resource(own);
    let name = deciding.name(thing);
    let question = || Some(deciding.question(caller, thing));
    let asked = (&*name, Some(decision));
    // What it holds from now on is its place among the streams, and none of a call.
    if let Err(refusal) = door.within_limits(caller, message, asked, question).await? {
        return Ok(Some(refusal));
    }
    for (server, of_it) in by_server(decided.iter().map(|(followed, _)| followed)) {
        let of_it = |followed: &Followed| of_it.iter().any(|one| one.uri == followed.uri);
        let things = decided.iter().filter(|(followed, _)| of_it(followed));
        let things: Vec<_> =
            things.map(|(one, said)| (Thing::Resource(&one.own), said.clone())).collect();
        server.record_policy(caller, &server.decider.now(), &things).await?;
    }
    if decision.is_allow() {
        return Ok(None);
    }
    let question = deciding.question(caller, thing);
    if let (true, Some(name)) = (decision.is_challenge(), server.decider.server_name()) {
        let said = (decision, question);
        return Ok(Some(door.step_up(caller, message, name, said).await?));
    }
    let ended = Ended { tool: None, question };
    server.end(caller, METHOD, (decision, Some(hidden_by(decision))), ended).await?;
    Ok(Some(not_there(message, INVALID_PARAMS, "Resource not found")))
}

fn by_server<'a>(
    all: impl IntoIterator<Item = &'a Followed>,
) -> impl Iterator<Item = (Arc<Server>, Vec<Followed>)> {
    let mut servers: BTreeMap<Box<str>, (Arc<Server>, Vec<Followed>)> = BTreeMap::new();
    for one in all {
        let entry = servers.entry(one.server.id.clone());
        entry.or_insert_with(|| (Arc::clone(&one.server), Vec::new())).1.push(one.clone());
    }
    servers.into_values()
}

fn answer(merged: Merged) -> Response<Body> {
    let of = merged.of();
    let events = stream::unfold(Box::new(merged), |mut merged| async move {
        let next = merged.next().await?;
        Some(((next, merged.is_at_its_end()), merged))
    });
    // Whoever does not read is let go: a stream looks at its token, and at what is closing, when it is asked for what is next.
    let mut response = Response::new(Body::from_stream(Read::new(events, of)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
