//! The page for what went wrong: what it was, what to do next, and an id to ask about.

use std::borrow::Cow;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use url::Url;

use crate::broker::Family;
use crate::id::RequestId;

use super::response::{Forms, page};

/// What an error page says. None of it may quote a secret; what comes from others is shown as text.
#[derive(Clone, Debug, Default)]
pub struct ErrorPage {
    pub title: Cow<'static, str>,
    pub text: Cow<'static, str>,
    /// What the person can do, in order.
    pub steps: Vec<Cow<'static, str>>,
    /// Whether the person has to start anew in their app.
    pub again: bool,
    pub link: Option<Link>,
    /// The way back to a client, with the answer for it. Never taken without a click.
    pub back: Option<Link>,
}

/// Where an error page may lead: a path of ours, or a client's own redirect URI.
#[derive(Clone, Debug)]
pub struct Link {
    pub href: Cow<'static, str>,
    pub text: Cow<'static, str>,
}

impl ErrorPage {
    #[must_use]
    pub fn new(title: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            title: title.into(),
            text: text.into(),
            steps: Vec::new(),
            again: false,
            link: None,
            back: None,
        }
    }

    #[must_use]
    pub fn step(mut self, step: impl Into<Cow<'static, str>>) -> Self {
        self.steps.push(step.into());
        self
    }

    #[must_use]
    pub fn link(mut self, href: &'static str, text: &'static str) -> Self {
        self.link = Some(Link { href: href.into(), text: text.into() });
        self
    }

    #[must_use]
    pub fn back(mut self, url: &Url, receiver: &str) -> Self {
        let text = format!("Go back to {receiver}").into();
        self.back = Some(Link { href: url.to_string().into(), text });
        self
    }

    /// With how people start anew in their app.
    #[must_use]
    pub fn start_again(self) -> Self {
        Self { again: true, ..self }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorTemplate<'a> {
    root: &'a str,
    error: &'a ErrorPage,
    /// How to start anew in the app that it may be, or in any.
    first: Vec<Family>,
    others: Vec<Family>,
    request_id: RequestId,
}

/// An error page; `root` is what our links begin with. The caller logs under the same `request_id` what a person must
/// not see.
pub fn error_page(
    status: StatusCode,
    root: &str,
    request_id: RequestId,
    error: &ErrorPage,
) -> Response {
    error_page_for(status, root, request_id, (error, &[]))
}

/// The same for who has one of these apps, as far as can be told.
pub(super) fn error_page_for(
    status: StatusCode,
    root: &str,
    request_id: RequestId,
    (error, likely): (&ErrorPage, &[Family]),
) -> Response {
    let all = if error.again { &Family::ALL[..] } else { &[] };
    let mut first: Vec<_> = all.iter().copied().filter(|app| likely.contains(app)).collect();
    let mut others: Vec<_> = all.iter().copied().filter(|app| !likely.contains(app)).collect();
    if first.is_empty() {
        std::mem::swap(&mut first, &mut others);
    }
    page(status, Forms::Ours, &ErrorTemplate { root, error, first, others, request_id })
}

/// 503 with `Retry-After`: the store or the password pool cannot answer now.
pub(crate) fn unavailable(root: &str, request_id: RequestId) -> Response {
    let error = ErrorPage::new(
        "Please try again in a moment",
        "The broker is busy or cannot reach its database. Nothing was changed.",
    )
    .step("Wait a few seconds, then reload this page.");
    let mut response = error_page(StatusCode::SERVICE_UNAVAILABLE, root, request_id, &error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}
