//! The page on which a browser makes a passkey, wherever it was asked for.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::authorization_server::pages::page_with_script;
use crate::authorization_server::person::People;
use crate::authorization_server::second_factor::Question;

use super::passkey::PasskeyForm;

/// A passkey that is about to be made.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    /// What its person calls it.
    pub(crate) name: &'a str,
    /// Where what is made goes.
    pub(crate) action: &'a str,
    pub(crate) form_token: String,
    /// Where else to go, and what that is called.
    pub(crate) back: (&'a str, &'static str),
}

#[derive(Template)]
#[template(path = "new_passkey.html")]
struct NewPage<'a> {
    name: &'a str,
    action: &'a str,
    back: &'a str,
    back_words: &'static str,
    passkey: PasskeyForm,
    form_token: String,
    host: String,
    root: String,
}

impl Making<'_> {
    pub(crate) fn page(self, people: &People, question: Question) -> Response {
        let Self { name, action, form_token, back: (back, back_words) } = self;
        let template = NewPage {
            name,
            action,
            back,
            back_words,
            passkey: question.into(),
            form_token,
            host: people.host(),
            root: people.root().to_owned(),
        };
        let script = people.server.url(template.passkey.script);
        page_with_script(StatusCode::OK, &script, &template)
    }
}
