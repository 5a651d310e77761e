//! How a server is reached: one message to it, with what it is shown of us and of the caller.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use url::Url;

use crate::code::Code;
use crate::outbound::Call;

use super::fault::Fault;
use super::incoming::Incoming;
use super::server::Server;
use super::shown::Shown;
use super::stdio::Hosted;
use super::traced::Traced;
use super::who::Who;

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Over Streamable HTTP.
    Http(Url),
    /// A child process of ours. It is shown no credential, and not told who calls.
    Child(Arc<Hosted>),
}

impl Server {
    /// Whether it answered when it was last asked.
    pub(super) fn note_outage(&self, code: Option<Code>) {
        self.outages.note(|| outage_name(&self.id), code);
    }

    /// Sends a message, and waits for the head of the answer.
    pub(super) async fn open(
        &self,
        who: &Who,
        method: Method,
        mut headers: HeaderMap,
        mut body: Bytes,
    ) -> Result<Incoming, Fault> {
        let traced = Traced::begin(self, &mut headers, &mut body);
        let opened = self.open_untraced(who, method, headers, body).await;
        if let Some(traced) = traced {
            traced.ended(self, opened.as_ref());
        }
        opened
    }

    async fn open_untraced(
        &self,
        who: &Who,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Incoming, Fault> {
        let url = match &self.reach {
            Reach::Http(url) => url.clone(),
            Reach::Child(child) => {
                let opened = child.open(&who.principal, &body, self.timeout).await;
                return Ok(opened.map_err(Fault::Child)?.into());
            }
        };
        let before = headers.clone();
        let shown = self.credential.add(&mut headers, who.caller(), &self.door.clock).await?;
        let secret = Shown::of(&before, &headers);
        if let Some(identity) = &self.identity {
            identity.add(&who.principal, &mut headers).await?;
        }
        let call = Call { method, url, headers, body };
        let opened = self.outbound.open(call, self.timeout).await.map_err(Fault::from);
        self.note_outage(match &opened {
            Ok(incoming) if says_away(incoming.status) => Some(Code::ProviderUnavailable),
            Ok(_) => None,
            Err(fault) => Some(fault.code()),
        });
        let mut incoming = Incoming::from(opened?);
        incoming.shown = shown;
        incoming.secret = secret;
        Ok(incoming)
    }
}

/// What is in front of a server says that it is away. With a 500 it has answered: one caller's request may be all that it
/// cannot take.
fn says_away(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What a server is called in `/ready`.
#[must_use]
pub fn outage_name(id: &str) -> String {
    format!("upstream {id}")
}
