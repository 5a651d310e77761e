//! An answer whose body is read as it comes.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::error::{OutboundError, classify};
use super::refuse_compressed;

/// The head of an answer, and what is still to come. Dropping it ends the exchange. `Debug` shows the status only.
pub struct Incoming {
    /// The status.
    pub status: StatusCode,
    /// All header fields.
    pub headers: HeaderMap,
    host: String,
    response: reqwest::Response,
}

impl Incoming {
    pub(super) async fn open(
        request: reqwest::RequestBuilder,
        host: &str,
        limit: Duration,
    ) -> Result<Self, OutboundError> {
        let mut response = request.send().await.map_err(|source| classify(host, limit, source))?;
        let headers = std::mem::take(response.headers_mut());
        refuse_compressed(&headers, host)?;
        Ok(Self { status: response.status(), headers, host: host.to_owned(), response })
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`OutboundError::Timeout`] where none come within `limit`, or what broke.
    pub async fn chunk(&mut self, limit: Duration) -> Result<Option<Bytes>, OutboundError> {
        match tokio::time::timeout(limit, self.response.chunk()).await {
            Ok(read) => read.map_err(|source| classify(&self.host, limit, source)),
            Err(_elapsed) => Err(OutboundError::Timeout { host: self.host.clone(), limit }),
        }
    }

    /// The rest of the body.
    ///
    /// # Errors
    ///
    /// [`OutboundError::TooLarge`] over `most` bytes, [`OutboundError::Timeout`] where it is not whole within `limit`,
    /// or what broke.
    pub async fn rest(&mut self, most: usize, limit: Duration) -> Result<Bytes, OutboundError> {
        let whole = self.collect(most, limit);
        match tokio::time::timeout(limit, whole).await {
            Ok(body) => body,
            Err(_elapsed) => Err(OutboundError::Timeout { host: self.host.clone(), limit }),
        }
    }

    async fn collect(&mut self, most: usize, limit: Duration) -> Result<Bytes, OutboundError> {
        let failed = |source| classify(&self.host, limit, source);
        let Some(first) = self.response.chunk().await.map_err(failed)? else {
            return Ok(Bytes::new());
        };
        let (host, size) = (self.host.clone(), super::stated_size(&self.headers));
        let too_large = || OutboundError::TooLarge { host: host.clone(), size, limit: most };
        if first.len() > most {
            return Err(too_large());
        }
        let Some(second) = self.response.chunk().await.map_err(failed)? else {
            return Ok(first); // as it came: most answers are one chunk
        };
        let mut body = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            if body.len().saturating_add(chunk.len()) > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
            next = self.response.chunk().await.map_err(failed)?;
        }
        Ok(body.freeze())
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({})", self.status)
    }
}
