//! What the REST backends share: paths put together safely, JSON read without echoing it.

use std::time::Duration;

use http::header::RETRY_AFTER;
use serde::de::DeserializeOwned;
use url::Url;

use crate::outbound::{Answer, Limits};

use super::error::Fault;
use super::value::MAX_ANSWER_BYTES;

pub(super) const fn limits(timeout: Duration) -> Limits {
    Limits { timeout, max_bytes: MAX_ANSWER_BYTES }
}

/// `base` with segments behind its path. Each is percent-encoded, so none can become two.
pub(super) fn under<'a>(
    base: &Url,
    segments: impl IntoIterator<Item = &'a str>,
) -> Result<Url, Fault> {
    let mut url = base.clone();
    url.path_segments_mut().map_err(|()| Fault::UNEXPECTED)?.pop_if_empty().extend(segments);
    Ok(url)
}

/// Not checked: members that we do not know. The backend may add some.
pub(super) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Fault> {
    serde_json::from_slice(&answer.body).map_err(|_error| Fault::UNEXPECTED)
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3). Its date form is not read.
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.header(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}
