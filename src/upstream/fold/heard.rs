//! What one server tells of changes, as the broker asks for it on somebody's behalf.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use serde::Deserialize;

use crate::broker::Caller;
use crate::guard::Presented;
use crate::upstream::answer::Kind;
use crate::upstream::era::Filter;
use crate::upstream::events::Events;
use crate::upstream::server::Server;

use super::LIMIT;
use super::gather::{Asks, Said, is_stream, pages, question, said};
use super::visible::{Entry, Which};

/// Of one notification, in bytes.
const LARGEST: usize = 64 * 1024;
/// Resources of which a server may take as long to tell as for any other answer.
const OF_RESOURCES: usize = 10;

/// On whose behalf a server is asked. It is a part of a request that was counted and recorded.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub(super) caller: Caller,
    pub(super) presented: Option<Presented>,
}

/// Why nothing is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deaf {
    /// It did not answer, or did not answer properly.
    Away,
    /// It tells of no changes.
    Mute,
}

/// What a server says that it has, and of what of it it tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Offers {
    tools: Option<Offer>,
    prompts: Option<Offer>,
    resources: Option<Offer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Offer {
    list_changed: bool,
    subscribe: bool,
}

impl Offers {
    fn of(&self, which: Which) -> Option<&Offer> {
        match which {
            Which::Tools => self.tools.as_ref(),
            Which::Prompts => self.prompts.as_ref(),
            Which::Resources => self.resources.as_ref(),
        }
    }

    pub(super) fn has(&self, which: Which) -> bool {
        self.of(which).is_some()
    }

    pub(super) fn takes_subscriptions(&self) -> bool {
        self.resources.as_ref().is_some_and(|offer| offer.subscribe)
    }

    /// The changes of lists of which it tells. `None`: of none.
    pub(super) fn lists(&self) -> Option<Filter> {
        let tells = |which| self.of(which).is_some_and(|offer| offer.list_changed);
        let filter = Filter {
            tools_list_changed: tells(Which::Tools),
            prompts_list_changed: tells(Which::Prompts),
            resources_list_changed: tells(Which::Resources),
            resource_subscriptions: Vec::new(),
        };
        Which::ALL.into_iter().any(|which| which.is_wanted(&filter)).then_some(filter)
    }
}

/// What a server tells.
#[derive(Debug)]
pub(super) enum News {
    Changed(Which),
    Updated(String),
}

/// Its stream.
#[derive(Debug)]
pub(super) struct Heard {
    body: BodyDataStream,
    events: Events,
}

/// One server, asked on somebody's behalf.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) server: Arc<Server>,
    pub(super) lead: Lead,
}

impl Asking {
    /// What it says that it has.
    pub(super) async fn discover(&self) -> Result<Offers, Deaf> {
        #[derive(Deserialize)]
        struct Discovered {
            capabilities: Offers,
        }
        let asked = question("server/discover", None);
        match within(self.answer(asked)).await? {
            Said::Result(result) => serde_json::from_str::<Discovered>(result.get())
                .map(|discovered| discovered.capabilities)
                .map_err(|_| Deaf::Away),
            Said::NoSuchMethod => Err(Deaf::Mute),
            Said::Error | Said::Nothing => Err(Deaf::Away),
        }
    }

    async fn answer(&self, (headers, body): Question) -> Result<Said, Deaf> {
        let server = Arc::clone(&self.server);
        let answered = server.asked_by_us(self.whose(), (&headers, body), Kind::Other).await;
        let response = answered.map_err(|_| Deaf::Away)?;
        Ok(said(response, self.server.max_response_bytes).await)
    }

    /// All that it has of the kind.
    pub(super) async fn list(&self, which: Which) -> Result<Vec<Entry>, Deaf> {
        let mut all = Vec::new();
        for list in which.lists() {
            let (server, caller) =
                (&self.server, (&self.lead.caller, self.lead.presented.as_ref()));
            let kept = |entry: &serde_json::value::RawValue| Entry::of(server, *list, entry);
            let asking = Box::pin(pages(server, caller, (*list, Asks::ForUs), kept));
            all.extend(within(async { asking.await.map_err(|_| Deaf::Away) }).await?);
        }
        Ok(all)
    }

    /// Opens its stream of these changes. Which of them it tells of.
    pub(super) async fn listen(&self, wanted: &Filter) -> Result<(Filter, Heard), Deaf> {
        let resources = wanted.resource_subscriptions.len();
        let wanted = serde_json::to_value(wanted).unwrap_or_default();
        let (headers, body) = question("subscriptions/listen", Some(("notifications", wanted)));
        let opening = async {
            let server = Arc::clone(&self.server);
            let kind = Kind::Stream(None);
            let answered = server.asked_by_us(self.whose(), (&headers, body), kind).await;
            let response = answered.map_err(|_| Deaf::Away)?;
            if !is_stream(&response) {
                let said = said(response, self.server.max_response_bytes).await;
                let mute = matches!(said, Said::NoSuchMethod);
                return Err(if mute { Deaf::Mute } else { Deaf::Away });
            }
            let (body, events) = (response.into_body().into_data_stream(), Events::new(LARGEST));
            let mut heard = Heard { body, events };
            let honored = heard.acknowledged().await.ok_or(Deaf::Away)?;
            Ok((honored, heard))
        };
        let limit = opens_within(resources);
        tokio::time::timeout(limit, opening).await.unwrap_or(Err(Deaf::Away))
    }

    fn whose(&self) -> (Caller, Option<Presented>) {
        (self.lead.caller.part(), self.lead.presented.clone())
    }
}

type Question = (axum::http::HeaderMap, axum::body::Bytes);

/// For a stream about so many resources to open: a server of 2025-11-25 is asked for one after the other.
fn opens_within(resources: usize) -> Duration {
    let more = resources.div_ceil(OF_RESOURCES);
    LIMIT.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1))
}

async fn within<T>(asking: impl Future<Output = Result<T, Deaf>>) -> Result<T, Deaf> {
    tokio::time::timeout(LIMIT, asking).await.unwrap_or(Err(Deaf::Away))
}

/// A message of such a stream.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default)]
    params: Params,
}

#[derive(Default, Deserialize)]
struct Params {
    notifications: Option<Filter>,
    uri: Option<String>,
}

impl Heard {
    /// What the server tells next. `None`: the stream is over.
    pub(super) async fn next(&mut self) -> Option<News> {
        loop {
            let data = self.message().await?;
            let Told { method, params } = serde_json::from_slice(&data).ok()?;
            // The answer to the request is the end.
            let method = method?;
            if let Some(which) = Which::told(&method) {
                return Some(News::Changed(which));
            }
            if let ("notifications/resources/updated", Some(uri)) = (&*method, params.uri) {
                return Some(News::Updated(uri));
            }
        }
    }

    /// What comes first (MCP 2026-07-28 basic/patterns/subscriptions, Acknowledgment).
    async fn acknowledged(&mut self) -> Option<Filter> {
        let data = self.message().await?;
        let Told { method, params } = serde_json::from_slice(&data).ok()?;
        let acknowledges = method? == "notifications/subscriptions/acknowledged";
        params.notifications.filter(|_| acknowledges)
    }

    async fn message(&mut self) -> Option<axum::body::Bytes> {
        loop {
            match self.events.next() {
                Ok(Some(data)) if data.is_empty() => {}
                Ok(Some(data)) => return Some(data),
                Ok(None) => self.events.add(&self.body.next().await?.ok()?),
                Err(_too_large) => return None,
            }
        }
    }
}
