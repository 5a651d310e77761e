//! Mailboxes: reading, drafts, changes, deletion, sending.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Reply, bad_request, method_not_allowed, not_found, problem};
use super::data::Entity;
use super::directory::change;
use super::query::{self, MAIL};
use super::{Asked, Server};

pub(super) fn messages(server: &Server, asked: &Asked, user: &str) -> Reply {
    let mut data = server.data();
    let Some(id) = data.user_id(user) else { return not_found(user) };
    let mailbox = data.messages.entry(id).or_default();
    match (&asked.method, &asked.body) {
        (&Method::GET, _) => query::list(server, asked, mailbox, &MAIL),
        (&Method::POST, Value::Object(_)) => {
            let mut draft = Entity::new(asked.body.clone());
            draft.fields.insert("id".to_owned(), server.new_id().into());
            draft.fields.insert("isDraft".to_owned(), true.into());
            mailbox.insert(0, draft.clone());
            Reply::json(StatusCode::CREATED, query::select(asked, &draft))
                .header("etag", draft.etag())
        }
        (&Method::POST, _) => bad_request("A JSON object was expected."),
        _ => method_not_allowed(),
    }
}

pub(super) fn message(server: &Server, asked: &Asked, user: &str, wanted: &str) -> Reply {
    let mut data = server.data();
    let Some(id) = data.user_id(user) else { return not_found(user) };
    let mailbox = data.messages.entry(id).or_default();
    let Some(found) = mailbox.iter_mut().find(|message| message.text("id") == wanted) else {
        let text = "The specified object was not found in the store.";
        return problem(StatusCode::NOT_FOUND, "ErrorItemNotFound", text);
    };
    let changed = change(asked, found);
    if asked.method == Method::DELETE && changed.status == StatusCode::NO_CONTENT {
        mailbox.retain(|message| message.text("id") != wanted);
    }
    changed
}

/// Puts the message into the mailboxes of the recipients that Contoso has.
pub(super) fn send(server: &Server, asked: &Asked, user: &str) -> Reply {
    let mut data = server.data();
    let Some(sender) = data.user(user).map(|user| user.text("mail").to_owned()) else {
        return not_found(user);
    };
    let message = asked.body.get("message").filter(|message| message.is_object());
    let recipients = message.and_then(|message| message.get("toRecipients")?.as_array());
    let (Some(message), Some(recipients)) = (message, recipients) else {
        return bad_request("The body needs a message with toRecipients.");
    };
    for recipient in recipients {
        let address = recipient.pointer("/emailAddress/address").and_then(Value::as_str);
        let Some(id) = address.and_then(|address| data.user_id(address)) else { continue };
        let mut copy = Entity::new(message.clone());
        copy.fields.insert("id".to_owned(), server.new_id().into());
        copy.fields.insert("from".to_owned(), json!({"emailAddress": {"address": sender}}));
        copy.fields.insert("isRead".to_owned(), false.into());
        data.messages.entry(id).or_default().insert(0, copy);
    }
    Reply::empty(StatusCode::ACCEPTED)
}
