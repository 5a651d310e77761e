//! Users, groups and members.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::answer::{Content, Reply, bad_request, method_not_allowed, not_found, problem};
use super::data::{Entity, is_user};
use super::query::{self, DIRECTORY};
use super::{Asked, Server};

pub(super) fn users(server: &Server, asked: &Asked) -> Reply {
    match asked.method {
        Method::GET => query::list(server, asked, &server.data().users, &DIRECTORY),
        Method::POST => create_user(server, asked),
        _ => method_not_allowed(),
    }
}

fn create_user(server: &Server, asked: &Asked) -> Reply {
    let mut user = Entity::new(asked.body.clone());
    let name = user.text("userPrincipalName").to_owned();
    let complete = ["displayName", "userPrincipalName", "mailNickname"]
        .iter()
        .all(|field| !user.text(field).is_empty());
    if !complete || !user.fields.contains_key("passwordProfile") {
        return bad_request(
            "One or more required properties are missing: displayName, userPrincipalName, mailNickname, passwordProfile.",
        );
    }
    let mut data = server.data();
    if data.user(&name).is_some() {
        return bad_request(
            "Another object with the same value for property userPrincipalName already exists.",
        );
    }
    user.fields.remove("passwordProfile"); // Graph never reads a password back
    user.fields.insert("id".to_owned(), server.new_id().into());
    data.messages.insert(user.text("id").to_owned(), Vec::new());
    data.users.push(user.clone());
    Reply::json(StatusCode::CREATED, query::select(asked, &user)).header("etag", user.etag())
}

/// `GET /users/$count` is an advanced query, so it needs `ConsistencyLevel: eventual`.
pub(super) fn count_users(server: &Server, asked: &Asked) -> Reply {
    if !query::eventual(asked) {
        return bad_request(
            "$count is not currently supported without the ConsistencyLevel header.",
        );
    }
    let count = server.data().users.len().to_string();
    Reply {
        status: StatusCode::OK,
        headers: Vec::new(),
        body: Content::Other("text/plain", count.into()),
    }
}

pub(super) fn user(server: &Server, asked: &Asked, wanted: &str) -> Reply {
    let mut data = server.data();
    let Some(found) = data.users.iter_mut().find(|user| is_user(user, wanted)) else {
        return not_found(wanted);
    };
    let mut changed = change(asked, found);
    if asked.method == Method::PATCH && changed.status == StatusCode::OK {
        changed = Reply::empty(StatusCode::NO_CONTENT); // as Graph does for users, and not for messages
    }
    if asked.method == Method::DELETE && changed.status == StatusCode::NO_CONTENT {
        let id = found.text("id").to_owned();
        data.users.retain(|user| user.text("id") != id);
        data.messages.remove(&id);
        data.members.values_mut().for_each(|members| members.retain(|member| *member != id));
    }
    changed
}

/// GET, PATCH and DELETE of one object, with its `ETag`. The caller takes a deleted one away.
pub(super) fn change(asked: &Asked, item: &mut Entity) -> Reply {
    let matches = |name: &str| {
        let etag = item.etag();
        asked.header(name).map(|tags| tags == "*" || tags.split(',').any(|tag| tag.trim() == etag))
    };
    if matches("if-match") == Some(false) {
        return problem(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "The ETag does not match.",
        );
    }
    match (&asked.method, &asked.body) {
        (&Method::GET, _) if matches("if-none-match") == Some(true) => {
            Reply::empty(StatusCode::NOT_MODIFIED).header("etag", item.etag())
        }
        (&Method::GET, _) => {
            Reply::json(StatusCode::OK, query::select(asked, item)).header("etag", item.etag())
        }
        (&Method::PATCH, Value::Object(changes)) => {
            item.patch(changes);
            Reply::json(StatusCode::OK, query::select(asked, item)).header("etag", item.etag())
        }
        (&Method::PATCH, _) => bad_request("A JSON object was expected."),
        (&Method::DELETE, _) => Reply::empty(StatusCode::NO_CONTENT),
        _ => method_not_allowed(),
    }
}

/// A picture of one pixel: enough to be binary.
pub(super) fn photo(server: &Server, wanted: &str) -> Reply {
    const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01\x00;";
    if server.data().user(wanted).is_none() {
        return not_found(wanted);
    }
    Reply {
        status: StatusCode::OK,
        headers: Vec::new(),
        body: Content::Other("image/gif", Bytes::from_static(GIF)),
    }
}

pub(super) fn groups(server: &Server, asked: &Asked) -> Reply {
    query::list(server, asked, &server.data().groups, &DIRECTORY)
}

pub(super) fn group(server: &Server, asked: &Asked, wanted: &str) -> Reply {
    let mut data = server.data();
    match data.groups.iter_mut().find(|group| group.text("id") == wanted) {
        Some(group) => change(asked, group),
        None => not_found(wanted),
    }
}

pub(super) fn members(server: &Server, asked: &Asked, wanted: &str) -> Reply {
    let data = server.data();
    let Some(ids) = data.members.get(wanted) else { return not_found(wanted) };
    let members: Vec<Entity> = ids.iter().filter_map(|id| data.user(id)).cloned().collect();
    query::list(server, asked, &members, &DIRECTORY)
}
