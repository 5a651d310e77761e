//! The one script that pages may have: it asks the browser for a passkey. A file of ours, at an address that names its bytes.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const SCRIPT: &str = include_str!("../../../templates/passkey.js");

/// Where the script is, under the path of `server.public_url`.
pub(crate) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| {
    let name: String = URL_SAFE_NO_PAD.encode(digest(&SHA256, SCRIPT.as_bytes()));
    format!("/login/passkey-{}.js", name.get(..16).unwrap_or_default())
});

/// What a page's `<script>` says of it (Subresource Integrity §3.1).
pub(crate) static SCRIPT_INTEGRITY: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(digest(&SHA256, SCRIPT.as_bytes()))));

/// `GET /login/passkey-….js`
pub(crate) async fn script() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, SCRIPT).into_response()
}
