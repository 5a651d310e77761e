//! Who is told of calls, to measure or to trace them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use super::call::Call;
use super::error::OutboundError;

/// Told of every call that an [`Outbound`](super::Outbound) makes. It waits for nothing: the caller does.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A call begins. What this gives comes back at its end; `None`: nobody wants to know of this one.
    fn begins(&self) -> Option<Duration>;

    /// It has ended: with its whole answer, or with the head of one whose body is read as it comes. A call that nobody
    /// waits for any more does not get here.
    fn ended(&self, began: Duration, call: &Made<'_>);
}

/// A call that has ended.
#[derive(Debug)]
pub struct Made<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// Where to. Its path and query may hold what others should not see.
    pub url: &'a Url,
    /// The status of the answer, or why there was none.
    pub outcome: Result<StatusCode, &'a OutboundError>,
}

/// A call that is watched.
pub(super) struct Watched {
    watch: Arc<dyn Watch>,
    began: Duration,
    method: Method,
    url: Url,
}

impl Watched {
    pub(super) fn begin(watch: Option<&Arc<dyn Watch>>, call: &Call) -> Option<Self> {
        let watch = watch?;
        let began = watch.begins()?;
        let (method, url) = (call.method.clone(), call.url.clone());
        Some(Self { watch: Arc::clone(watch), began, method, url })
    }

    pub(super) fn end(self, outcome: Result<StatusCode, &OutboundError>) {
        let made = Made { method: &self.method, url: &self.url, outcome };
        self.watch.ended(self.began, &made);
    }
}
