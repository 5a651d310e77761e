//! A rendered page as an answer, with the headers that guard it.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::STYLE;

/// Where a page's forms may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forms {
    /// To us, redirects included.
    Ours,
    /// No `form-action`: the answer to the form redirects to the client, which Chromium counts as the form's target.
    Anywhere,
}

/// Renders `template` with every header a page of ours carries.
pub(crate) fn page(status: StatusCode, forms: Forms, template: &impl Template) -> Response {
    rendered(status, headers(forms), template)
}

/// The same for a page that may run the script at this very address (CSP Level 3 §6.7.2.8), and whose forms lead to us.
pub(crate) fn page_with_script(
    status: StatusCode,
    script: &str,
    template: &impl Template,
) -> Response {
    let mut headers = headers(Forms::Ours);
    let policy = policy(&format!("; form-action 'self'; script-src {script}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    rendered(status, headers, template)
}

fn rendered(status: StatusCode, headers: HeaderMap, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, headers, html).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "page.not_rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 303, so that the browser never sends a form again to where it is led (RFC 9700 §4.12).
pub(crate) fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        tracing::error!("page.redirect_not_a_header");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn headers(forms: Forms) -> HeaderMap {
    static OURS: LazyLock<String> = LazyLock::new(|| policy("; form-action 'self'"));
    static ANYWHERE: LazyLock<String> = LazyLock::new(|| policy(""));
    let policy = match forms {
        Forms::Ours => OURS.as_str(),
        Forms::Anywhere => ANYWHERE.as_str(),
    };
    let mut headers = HeaderMap::new();
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers
}

/// Nothing but our own style sheet and the empty icon, and what is added.
fn policy(added: &str) -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; \
         frame-ancestors 'none'{added}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // N106
    #[test]
    fn no_page_may_be_framed_or_run_a_script() {
        for forms in [Forms::Ours, Forms::Anywhere] {
            let headers = headers(forms);
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers["x-frame-options"], "DENY");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        }
    }

    // N107
    #[test]
    fn only_pages_that_lead_to_a_client_leave_form_action_out() {
        let policy = |forms| headers(forms)[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy(Forms::Ours).ends_with("form-action 'self'"));
        assert!(!policy(Forms::Anywhere).contains("form-action"));
    }
}
