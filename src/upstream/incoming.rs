//! What a server answers, whatever way it is reached.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;

use crate::outbound;
use crate::secret_text::SecretText;

use super::era::ReadStream;
use super::events;
use super::fault::Fault;
use super::shown::Shown;
use super::stdio::{Opened, Spoken};

/// The head of an answer, and what is still to come. Dropping it ends the exchange.
pub(super) struct Incoming {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The token that the server was shown, where it is one that can be obtained anew.
    pub(super) shown: Option<SecretText>,
    /// Whatever credential it was shown, to be found in no answer.
    pub(super) secret: Option<Shown>,
    /// What was read of the body, and is still to be looked at.
    before: Bytes,
    body: Body,
}

enum Body {
    Http(outbound::Incoming),
    /// The answer of a child process, until it is taken.
    Whole(Bytes),
    Child(Spoken),
    /// What the broker makes of several streams.
    Told(ReadStream),
}

impl Incoming {
    /// The next bytes of a stream; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`Fault`] where none come within `limit`, or what broke.
    pub(super) async fn chunk(&mut self, limit: Duration) -> Result<Option<Bytes>, Fault> {
        if !self.before.is_empty() {
            return Ok(Some(std::mem::take(&mut self.before)));
        }
        match &mut self.body {
            Body::Http(incoming) => Ok(incoming.chunk(limit).await?),
            Body::Whole(whole) => Ok(Some(std::mem::take(whole)).filter(|whole| !whole.is_empty())),
            Body::Child(spoken) => {
                let message = spoken.next(limit).await.map_err(Fault::Child)?;
                Ok(message.map(|message| events::event(&message)))
            }
            Body::Told(told) => Ok(told.next(limit).await.map(|message| events::event(&message))),
        }
    }

    /// The same answer with a body that was read already.
    pub(super) fn with(self, whole: Bytes) -> Self {
        Self { body: Body::Whole(whole), ..self }
    }

    /// A stream that somebody else goes on with later, from `before` on. Nothing is left here.
    pub(super) fn set_aside(&mut self, before: Bytes, secret: Option<Shown>) -> Self {
        let body = std::mem::replace(&mut self.body, Body::Whole(Bytes::new()));
        let media = HeaderValue::from_static("text/event-stream");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media)]);
        Self { status: StatusCode::OK, headers, shown: None, secret, before, body }
    }

    /// The whole body of an answer that is no stream.
    ///
    /// # Errors
    ///
    /// [`Fault`]
    pub(super) async fn rest(&mut self, most: usize, limit: Duration) -> Result<Bytes, Fault> {
        match &mut self.body {
            Body::Http(incoming) => Ok(incoming.rest(most, limit).await?),
            Body::Whole(whole) => Ok(std::mem::take(whole)),
            Body::Child(_) | Body::Told(_) => Err(Fault::NotJson),
        }
    }
}

impl From<outbound::Incoming> for Incoming {
    fn from(mut incoming: outbound::Incoming) -> Self {
        let (status, headers) = (incoming.status, std::mem::take(&mut incoming.headers));
        let (before, body) = (Bytes::new(), Body::Http(incoming));
        Self { status, headers, shown: None, secret: None, before, body }
    }
}

impl From<ReadStream> for Incoming {
    fn from(told: ReadStream) -> Self {
        let media = HeaderValue::from_static("text/event-stream");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media)]);
        let (before, body) = (Bytes::new(), Body::Told(told));
        Self { status: StatusCode::OK, headers, shown: None, secret: None, before, body }
    }
}

/// As a server behind HTTP would answer (MCP Streamable HTTP).
impl From<Opened> for Incoming {
    fn from(opened: Opened) -> Self {
        let (status, media, body) = match opened {
            Opened::Nothing => (StatusCode::ACCEPTED, "", Body::Whole(Bytes::new())),
            Opened::Whole(answer) => (StatusCode::OK, "application/json", Body::Whole(answer)),
            Opened::Stream(spoken) => (StatusCode::OK, "text/event-stream", Body::Child(spoken)),
        };
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
        Self { status, headers, shown: None, secret: None, before: Bytes::new(), body }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({})", self.status)
    }
}
