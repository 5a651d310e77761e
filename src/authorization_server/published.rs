//! A JSON document that is the same for everybody: made once, answered from memory.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// With a strong entity tag (RFC 9110 §8.8.3), so that who has it need not read it again.
#[derive(Clone, Debug)]
pub(super) struct Published {
    body: Bytes,
    etag: HeaderValue,
    content_type: HeaderValue,
}

impl Published {
    pub(super) fn new(body: Bytes, content_type: &'static str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        let tag = digest.as_ref().iter().take(8);
        let tag = tag.fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}"));
        let etag = HeaderValue::try_from(tag + "\"").unwrap_or(HeaderValue::from_static("\"-\""));
        Self { body, etag, content_type: HeaderValue::from_static(content_type) }
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// 304 for who has it, else 200; fresh for five minutes.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let common = [
            (header::ETAG, self.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
            (header::CONTENT_TYPE, self.content_type.clone()),
        ];
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        (common, self.body.clone()).into_response()
    }

    /// By weak comparison, as RFC 9110 §13.1.2 wants it: a proxy that compresses makes our tag a weak one.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let lines = request.get_all(header::IF_NONE_MATCH).iter();
        let mut tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        tags.any(|tag| {
            let tag = tag.trim();
            tag == "*" || self.etag == tag.strip_prefix("W/").unwrap_or(tag)
        })
    }
}
