//! One message of a server, as it is handed on: what it says about the request, a list filtered, an era translated.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audit::FlawedThing;
use crate::broker::Failure;
use crate::code::Code;
use crate::guard::{Deciding, List, Thing, spelling};
use crate::outbound::Answer;
use crate::policy::Decision;
use crate::store::MetTool;

use super::answer::{Exchange, Kind};
use super::era::{Question, Told, Written};
use super::fault::{Fault, error_message, tool_error};
use super::fold;
use super::incoming::Incoming;
use super::list::{self, Filtered};
use super::reply::{self, Reply};
use super::server::Server;
use super::watch::{Look, News};

/// What the head of an answer promises.
pub(super) enum Form {
    /// No message: a status alone.
    Nothing(StatusCode),
    Json(StatusCode),
    /// No message, but it may be about the session.
    Text(StatusCode),
    Events,
}

/// A result as it is handed on, what it says about the request, and what was noticed.
type Looked<'a> = (Cow<'a, RawValue>, Said, Noticed);

/// What is to be recorded, and what the store has to be told of first.
#[derive(Default)]
struct Noticed {
    news: Vec<News>,
    unmet: Vec<MetTool>,
}

/// One message of the server, as it is handed on.
pub(super) struct Seen {
    /// `None`: it is not.
    pub(super) bytes: Option<Bytes>,
    /// Whether it answers the request.
    pub(super) last: bool,
    pub(super) said: Said,
    pub(super) news: Vec<News>,
    /// The status outside a stream, where it is not the server's.
    pub(super) http: Option<StatusCode>,
    /// What the server is answered.
    pub(super) answer: Option<Bytes>,
    /// What the server asks its client.
    pub(super) asks: Option<Question>,
}

impl Seen {
    fn last(bytes: Bytes, said: Said) -> Self {
        let (answer, asks) = (None, None);
        Self { bytes: Some(bytes), last: true, said, news: Vec::new(), http: None, answer, asks }
    }

    /// Nothing for the client.
    fn kept() -> Self {
        Self { bytes: None, last: false, ..Self::last(Bytes::new(), Said::Nothing) }
    }
}

/// What a message says about the request.
pub(super) enum Said {
    Nothing,
    Done,
    Failed,
    Refused(Code),
    Listed(List, usize, usize),
}

impl Exchange {
    /// What the head of the answer promises.
    pub(super) fn form(&self, incoming: &Incoming) -> Result<Form, Fault> {
        let status = incoming.status;
        let content = incoming.headers.get(header::CONTENT_TYPE);
        let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (&self.kind, status.as_u16()) {
            (_, 401 | 403) => Err(Fault::Credential),
            (_, 429) => Err(Fault::Busy(retry_after(incoming, &self.server))),
            (_, 300..=399) => Err(Fault::Redirect),
            (Kind::Notification, 200..=299) => Ok(Form::Nothing(StatusCode::ACCEPTED)),
            (Kind::Notification | Kind::Stream(_), 404 | 405) if self.id.is_none() => {
                Ok(Form::Nothing(status))
            }
            (_, 200 | 400 | 404) if media == "application/json" && self.id.is_some() => {
                Ok(Form::Json(status))
            }
            (_, 400 | 404) if self.is_in_session() && self.id.is_some() => Ok(Form::Text(status)),
            (_, 200) if media == "text/event-stream" => Ok(Form::Events),
            (_, 200) => Err(Fault::NotJson),
            _ => Err(Fault::Status(status)),
        }
    }

    /// Looks at one message of the server.
    pub(super) async fn look(&mut self, body: Bytes) -> Result<Seen, Fault> {
        if self.secret.as_ref().is_some_and(|secret| secret.is_in(&body)) {
            return Err(Fault::RepeatsCredential);
        }
        let reply = Reply::of(&body, self.asked())?;
        let (result, said, news) = match reply {
            Reply::Other => return Ok(self.told(body)),
            Reply::Error(error) => {
                let Some(translation) = &mut self.translation else {
                    return Ok(self.failing(&body, error));
                };
                let written = translation.error(error);
                return Ok(self.written(written, Said::Failed, Vec::new()));
            }
            Reply::Result(result) => {
                let looked = self.look_at(result, Look::First)?;
                self.meet(result, looked).await?
            }
        };
        let written = match (&mut self.translation, result) {
            // Nothing was changed: it goes on as it came.
            (None, Cow::Borrowed(_)) => None,
            (None, Cow::Owned(result)) => Some(Written::Result(result)),
            (Some(translation), result) => Some(translation.result(&result)),
        };
        Ok(match written {
            None => Seen { news, ..Seen::last(body, said) },
            Some(written) => self.written(written, said, news),
        })
    }

    /// An error as it came; but a client waits for its own id.
    fn failing(&self, body: &Bytes, error: &RawValue) -> Seen {
        if !reply::has_no_id(body) {
            return Seen::last(body.clone(), Said::Failed);
        }
        let written = Written::Error(error.to_owned(), StatusCode::OK);
        Seen { http: None, ..self.written(written, Said::Failed, Vec::new()) }
    }

    /// Tells the store of tools that it has not heard of, and then looks at the list again.
    async fn meet<'a>(
        &mut self,
        result: &'a RawValue,
        (seen, said, noticed): Looked<'a>,
    ) -> Result<(Cow<'a, RawValue>, Said, Vec<News>), Fault> {
        let Noticed { mut news, unmet } = noticed;
        if unmet.is_empty() {
            return Ok((seen, said, news));
        }
        drop(seen);
        let watch = Arc::clone(&self.server.watch);
        watch.meet(unmet).await;
        let (seen, said, noticed) = self.look_at(result, Look::Again)?;
        news.extend(noticed.news);
        Ok((seen, said, news))
    }

    /// Looks at a result: a list is filtered.
    fn look_at<'a>(&self, result: &'a RawValue, look: Look) -> Result<Looked<'a>, Fault> {
        let mut noticed = Noticed::default();
        let (result, said) = match &self.kind {
            Kind::List(list) => {
                let filtered = self.filter((*list, look), result, &mut noticed)?;
                let said = Said::Listed(*list, filtered.listed, filtered.hidden);
                (Cow::Owned(filtered.result), said)
            }
            Kind::Other if matches!(self.method, "initialize" | "server/discover") => {
                let now = self.server.door.clock.monotonic();
                match self.server.watch.cut_out(result, now)? {
                    None => (Cow::Borrowed(result), Said::Done),
                    Some((result, found)) => {
                        noticed.news.extend(found);
                        (Cow::Owned(result), Said::Done)
                    }
                }
            }
            Kind::Tool(_) if reply::is_error(result) => (Cow::Borrowed(result), Said::Failed),
            _ => (Cow::Borrowed(result), Said::Done),
        };
        let links = self.server.folded && matches!(self.kind, Kind::Tool(_) | Kind::Thing(_));
        let outward = links.then(|| fold::outward(&self.server.id, &result)).flatten();
        Ok((outward.map_or(result, Cow::Owned), said, noticed))
    }

    /// What a server tells beside its answer.
    fn told(&self, body: Bytes) -> Seen {
        if !self.may_be_told(&body) {
            return Seen::kept();
        }
        let told = match &self.translation {
            None => Told::On(body),
            Some(translation) => translation.told(body),
        };
        let kept = Seen::kept();
        match told {
            Told::On(body) => Seen { bytes: Some(body), ..kept },
            Told::Kept => kept,
            Told::Answer(answer) => Seen { answer: Some(answer), ..kept },
            Told::Asks(question) => Seen { asks: Some(question), ..kept },
        }
    }

    /// Of what becomes of a resource only those are told who may have it now, whatever they may once have subscribed to.
    fn may_be_told(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Told<'a> {
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow)]
            params: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Updated<'a> {
            #[serde(borrow)]
            uri: Cow<'a, str>,
        }
        let Ok(told) = serde_json::from_slice::<Told<'_>>(body) else { return false };
        if told.method != "notifications/resources/updated" {
            return true;
        }
        let updated = told.params.and_then(|params| serde_json::from_str(params.get()).ok());
        updated.is_some_and(|Updated { uri }| {
            let deciding = self.server.decider.now();
            spelling::is_plain(&uri)
                && deciding.about(&self.caller, Thing::Resource(&uri)).is_allow()
        })
    }

    /// The answer as the client gets it.
    fn written(&self, written: Written, said: Said, news: Vec<News>) -> Seen {
        let Some(id) = &self.id else { return Seen::last(Bytes::new(), said) };
        let message = |member: &str, value: &RawValue| {
            let (id, value) = (id.get(), value.get());
            format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{value}}}"#).into()
        };
        let (bytes, said, http) = match written {
            Written::Result(result) => (message("result", &result), said, None),
            Written::Asks(result) => (message("result", &result), Said::Done, None),
            Written::Error(error, status) => (message("error", &error), said, Some(status)),
            Written::Refused(failure) => {
                let is_tool = matches!(self.kind, Kind::Tool(_));
                let message = refusal(id, (&failure, is_tool), self.modern);
                (message.into(), Said::Refused(failure.code), Some(StatusCode::OK))
            }
        };
        Seen { news, http, ..Seen::last(bytes, said) }
    }

    fn filter(
        &self,
        (list, look): (List, Look),
        result: &RawValue,
        noticed: &mut Noticed,
    ) -> Result<Filtered, Fault> {
        let (decider, watch) = (&self.server.decider, &self.server.watch);
        let deciding = decider.now();
        let found = RefCell::new(noticed);
        let now = self.server.door.clock.monotonic();
        let of_resources = match list {
            List::Templates => FlawedThing::ResourceTemplate,
            List::Tools | List::Prompts | List::Resources => FlawedThing::Resource,
        };
        list::filter(list, result, |thing, definition| {
            let named = decider.is_nameable(thing);
            let said = named.then(|| self.listed(&deciding, thing));
            let shown = said.is_some_and(|said| match thing {
                Thing::Tool(_) => said.shows_the_tool(),
                // Nobody can be asked about these: what is refused when it is asked for is not listed.
                Thing::Prompt(..) | Thing::Resource(_) => said.is_allow(),
            });
            if !shown {
                return false;
            }
            let verdict = match thing {
                Thing::Tool(tool) => watch.look(tool, definition, (look, now)),
                Thing::Prompt(name, _) => {
                    watch.look_at((FlawedThing::Prompt, name), definition, now)
                }
                Thing::Resource(uri) => watch.look_at((of_resources, uri), definition, now),
            };
            let mut found = found.borrow_mut();
            found.news.extend(verdict.news);
            found.unmet.extend(verdict.unmet);
            verdict.shown
        })
    }
}

impl Exchange {
    /// What is decided about one thing of a list; where the shadow rules differ, that is kept to be recorded.
    fn listed(&self, deciding: &Deciding<'_>, thing: Thing<'_>) -> Decision {
        let (said, other) = deciding.listed(&self.caller, thing);
        let Some(other) = other else { return said };
        let decider = &self.server.decider;
        let tool_name = match thing {
            Thing::Tool(tool) => decider.tool_name(tool),
            Thing::Prompt(..) | Thing::Resource(_) => decider.server_name(),
        };
        if let Some(tool_name) = tool_name {
            let mut unlike = self.unlike.lock().unwrap_or_else(PoisonError::into_inner);
            unlike.push((tool_name, said.clone(), other));
        }
        said
    }
}

fn retry_after(incoming: &Incoming, server: &Server) -> Option<Duration> {
    let (status, headers) = (incoming.status, incoming.headers.clone());
    Answer { status, headers, body: Bytes::new() }.retry_after(server.door.clock.now())
}

/// A call that failed, as a message.
pub(super) fn refusal(
    id: &RawValue,
    (failure, is_tool): (&Failure, bool),
    modern: bool,
) -> Vec<u8> {
    if is_tool { tool_error(id, failure, modern) } else { error_message(id, failure) }
}
