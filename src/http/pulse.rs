//! Whether an HTTP/2 connection is used: hyper bounds nothing of an idle one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// What asking whether the client is still there takes at most, within one look; everything beyond is answers.
const PING_BYTES: usize = 256;

/// Whether an HTTP/2 connection is used.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes read, of the first that count.
    read: AtomicUsize,
    /// Streams that were opened, ever.
    opened: AtomicUsize,
    /// Streams whose answer is not handed over yet to who writes it.
    open: AtomicUsize,
    /// Bytes written.
    written: AtomicUsize,
}

impl Pulse {
    pub(super) fn read(&self, bytes: usize) {
        if !self.has_preface() {
            self.read.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn has_preface(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= PREFACE_BYTES
    }

    pub(super) fn open(self: &Arc<Self>) -> Stream {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Stream(Arc::clone(self))
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Resolves when nothing was opened or answered for `limit`, and nothing is open: after twice that time at the latest.
    pub(super) async fn idle(&self, limit: Duration) {
        let now = || (self.opened.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed));
        loop {
            let (opened, written) = now();
            tokio::time::sleep(limit).await;
            let (opened_since, written_since) = now();
            let answers = written_since.wrapping_sub(written) > PING_BYTES;
            if opened_since == opened && !answers && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

/// One stream, until its answer is sent or given up.
#[derive(Debug)]
pub(super) struct Stream(Arc<Pulse>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer whose stream is open as long as there is more of it.
pub(super) struct Open {
    body: Body,
    _stream: Stream,
}

impl Open {
    pub(super) const fn new(body: Body, stream: Stream) -> Self {
        Self { body, _stream: stream }
    }
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_open_is_no_idleness() {
        let pulse = Arc::new(Pulse::default());
        let limit = Duration::from_millis(1);
        let stream = pulse.open();
        let waits = tokio::time::timeout(Duration::from_millis(50), pulse.idle(limit)).await;
        assert!(waits.is_err());
        drop(stream);
        // hyper hands over an answer as a whole, and a slow client takes a while to read it.
        let reads = async {
            loop {
                pulse.wrote(2 * PING_BYTES);
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        };
        let limit = Duration::from_millis(20);
        let busy = tokio::time::timeout(Duration::from_millis(200), async {
            tokio::select! { () = pulse.idle(limit) => {}, () = reads => {} }
        });
        assert!(busy.await.is_err());
        pulse.idle(limit).await;
    }
}
