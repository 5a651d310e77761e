//! A server's list of tools, asked for on nobody's behalf: what `broker check --live` looks at.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use crate::outbound::{Call, Outbound};
use crate::time::Clock;

use super::credential::{Credential, Own};
use super::era::{self, Probed};
use super::fault::Fault;
use super::headers::SESSION;
use super::incoming::Incoming;
use super::inspect::{self, Remark};

/// For all of it: whoever runs the check waits.
const LIMIT: Duration = Duration::from_secs(20);
/// Pages of one list.
const PAGES: usize = 50;
/// More of one server are not looked at.
const TOOLS: usize = 20_000;

/// A server to look at, over HTTP.
#[derive(Debug)]
pub struct Probe<'a> {
    pub id: &'a str,
    pub url: &'a Url,
    pub credential: &'a Credential,
    pub outbound: &'a Outbound,
    pub clock: &'a Arc<dyn Clock>,
    pub timeout: Duration,
    pub max_response_bytes: usize,
}

/// What was seen.
#[derive(Debug)]
pub struct Inspected {
    pub remarks: Vec<Remark>,
    /// The tools that a rule can name, by the server's own names: the digest of each definition.
    pub tools: BTreeMap<String, String>,
}

/// Why nothing was seen. Says no address, and nothing of the server's words.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("its list of tools cannot be read")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it shows its tools to callers alone, with tokens of theirs")]
    ForCallersAlone,
}

impl From<Fault> for ProbeError {
    fn from(fault: Fault) -> Self {
        Self::Server(Box::new(fault))
    }
}

impl Probe<'_> {
    /// Looks at the server's list: `others` are the ids of servers that stand beside it, `pins` what was approved.
    ///
    /// # Errors
    ///
    /// [`ProbeError`]
    pub async fn inspect(
        &self,
        others: &[&str],
        pins: &HashMap<String, String>,
    ) -> Result<Inspected, ProbeError> {
        let shown = match self.credential.own(self.clock).await? {
            Own::Nothing => None,
            Own::Header(name, value) => Some((name, value)),
            Own::ForCallersAlone => return Err(ProbeError::ForCallersAlone),
        };
        let mut headers = HeaderMap::new();
        headers.extend(shown.map(|(name, value)| (Some(name), value)));
        let list = tokio::time::timeout(LIMIT, self.list(&headers)).await;
        let tools = list.map_err(|_elapsed| Fault::NoReply)??;
        let (remarks, tools) = inspect::inspect((self.id, others), &tools, pins);
        Ok(Inspected { remarks, tools })
    }

    async fn list(&self, shown: &HeaderMap) -> Result<Vec<Box<RawValue>>, Fault> {
        if let (Probed::Result(said), _) = self.ask(shown, era::discovery()).await?
            && era::names_the_new(&said)
        {
            return self.pages(shown, &|cursor| era::new_list(cursor)).await;
        }
        let (greeting, session) = self.ask(shown, era::greeting()).await?;
        let Probed::Result(greeting) = greeting else { return Err(Fault::Handshake) };
        let opened = (era::version_of(&greeting).ok_or(Fault::Handshake)?, session);
        let opened = (&opened.0, opened.1.as_ref());
        self.tell(shown, (Method::POST, era::greeted(opened))).await?;
        let tools = self.pages(shown, &|cursor| era::old_list(opened, cursor)).await;
        if opened.1.is_some() {
            let (headers, _) = era::greeted(opened);
            self.tell(shown, (Method::DELETE, (headers, Bytes::new()))).await.ok();
        }
        tools
    }

    /// All pages of the list, each asked for as `page` says.
    async fn pages(
        &self,
        shown: &HeaderMap,
        page: &(dyn Fn(Option<&str>) -> (HeaderMap, Bytes) + Sync),
    ) -> Result<Vec<Box<RawValue>>, Fault> {
        let (mut tools, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let (Probed::Result(result), _) = self.ask(shown, page(cursor.as_deref())).await?
            else {
                return Err(Fault::NotAList);
            };
            let (some, next) = era::page(&result).ok_or(Fault::NotAList)?;
            tools.extend(some);
            cursor = next;
            if cursor.is_none() || tools.len() > TOOLS {
                break;
            }
        }
        tools.truncate(TOOLS);
        Ok(tools)
    }

    async fn ask(
        &self,
        shown: &HeaderMap,
        question: (HeaderMap, Bytes),
    ) -> Result<(Probed, Option<HeaderValue>), Fault> {
        let mut incoming = self.tell(shown, (Method::POST, question)).await?;
        let session = incoming.headers.get(SESSION).cloned();
        let limits = (self.max_response_bytes, self.timeout);
        Ok((era::read_own(limits, &mut incoming).await?, session))
    }

    async fn tell(
        &self,
        shown: &HeaderMap,
        (method, (mut headers, body)): (Method, (HeaderMap, Bytes)),
    ) -> Result<Incoming, Fault> {
        headers.extend(shown.clone());
        let call = Call { method, url: self.url.clone(), headers, body };
        let incoming = Incoming::from(self.outbound.open(call, self.timeout).await?);
        match incoming.status.as_u16() {
            401 | 403 => Err(Fault::Credential),
            300..=399 => Err(Fault::Redirect),
            500..=599 => Err(Fault::Status(incoming.status)),
            _ => Ok(incoming),
        }
    }
}
