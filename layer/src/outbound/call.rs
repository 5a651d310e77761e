//! What is sent and what comes back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::time::Timestamp;

/// How long one call may take and how much it may answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Of the answer's body. It is never decompressed, so this bounds memory as well.
    pub max_bytes: usize,
}

/// A call to make. `Debug` shows neither headers nor body: both may hold credentials.
#[derive(Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A `GET` of this URL.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A form post (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn post_form(url: Url, fields: &[(&str, &str)]) -> Self {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = HeaderMap::new();
        let form = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(http::header::CONTENT_TYPE, form);
        Self { method: Method::POST, url, headers, body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {})", self.method, self.url.host_str().unwrap_or_default())
    }
}

/// What came back. `Debug` shows the status only.
#[derive(Clone)]
pub struct Answer {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The first value of a header, if it is readable text.
    #[must_use]
    pub fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the other side asks us to wait: `Retry-After` (RFC 9110 §10.2.3) as seconds or a date,
    /// and as a decimal, which Microsoft Graph sends. At most an hour is believed.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_hours(1);
        let text = self.header(&http::header::RETRY_AFTER)?.trim();
        let wait = if let Ok(seconds) = text.parse::<f64>() {
            Duration::try_from_secs_f64(seconds).ok()?
        } else {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Timestamp::from_unix_millis(date.as_millisecond()).since(now)
        };
        Some(wait.min(LONGEST))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_decimal_and_date() {
        let now = Timestamp::from_unix_seconds(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            let status = StatusCode::TOO_MANY_REQUESTS;
            Answer { status, headers, body: Bytes::new() }.retry_after(now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0.249"), Some(Duration::from_millis(249)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:36 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(Duration::from_hours(1)));
        for bad in ["", "soon", "-1", "NaN", "1e400"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }
}
