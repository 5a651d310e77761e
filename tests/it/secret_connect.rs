//! `op://` through a Connect server that speaks HTTP.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::code::Code;
use mcp_auth_broker::secret::{
    ConnectSettings, Credential, Detail, OnePassword, Secrets, Settings,
};
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{FixedClock, Timestamp};

use crate::secret_support::{read, secrets, secrets_at};

#[path = "support/fake_connect.rs"]
mod fake_connect;

use fake_connect::{FakeConnect, ITEM, SECRET, TOKEN, Trouble, VAULT};

const BY_NAME: &str = "op://Broker-Secrets/graph-client/client-secret";

fn settings(url: &str, token: &str) -> Settings {
    let token = Credential::Text(SecretText::new(token.to_owned()));
    let one_password = OnePassword::Connect(ConnectSettings { url: url.parse().unwrap(), token });
    Settings { one_password, timeout: Duration::from_secs(30), ..Settings::default() }
}

async fn connect() -> (FakeConnect, Secrets) {
    let server = FakeConnect::start().await;
    let secrets = secrets(settings(&server.url(), TOKEN));
    (server, secrets)
}

#[tokio::test]
async fn names_cost_three_requests_and_ids_one() {
    let (server, secrets) = connect().await;
    let by_name = "op://broker-secrets/graph-client/client-secret";
    assert_eq!(read(&secrets, by_name).await.unwrap().text().expose(), SECRET);
    assert_eq!(server.seen().len(), 3);
    assert_eq!(server.seen()[0], "GET /v1/vaults?filter=title+eq+%22broker-secrets%22");
    let by_id = format!("op://{VAULT}/{ITEM}/client-secret");
    assert_eq!(read(&secrets, &by_id).await.unwrap().text().expose(), SECRET);
    assert_eq!(server.seen()[3..], [format!("GET /v1/vaults/{VAULT}/items/{ITEM}")]);
}

#[tokio::test]
async fn a_section_chooses_among_fields_of_one_name() {
    let (_server, secrets) = connect().await;
    let found = read(&secrets, &format!("op://{VAULT}/{ITEM}/old/client-secret")).await.unwrap();
    assert_eq!(found.text().expose(), "old-CANARY");
}

#[tokio::test]
async fn what_is_absent_ambiguous_or_forbidden_gets_its_code() {
    let (_server, secrets) = connect().await;
    let other = "cccccccccccccccccccccccccc";
    for (reference, code, detail) in [
        ("op://nowhere/x/y".to_owned(), Code::SecretNotFound, None),
        (format!("op://{VAULT}/nothing/y"), Code::SecretNotFound, None),
        (format!("op://{VAULT}/{other}/y"), Code::SecretNotFound, None),
        (format!("op://{VAULT}/graph-client/nothing"), Code::SecretNotFound, None),
        (format!("op://{VAULT}/twin/x"), Code::SecretNotFound, Some(Detail::Ambiguous)),
        (format!("op://{VAULT}/{ITEM}/code"), Code::SecretNotFound, Some(Detail::Malformed)),
        (format!("op://{other}/x/y"), Code::SecretAccessDenied, None),
    ] {
        let error = read(&secrets, &reference).await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (code, detail), "{reference}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_not_tried_again() {
    let server = FakeConnect::start().await;
    let secrets = secrets(settings(&server.url(), "wrong-CANARY"));
    for _ in 0..10 {
        let error = read(&secrets, BY_NAME).await.unwrap_err();
        assert_eq!(error.code(), Code::SecretAccessDenied);
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn answers_that_are_no_answer_get_their_detail_and_leak_nothing() {
    let location = vec![("location", "http://127.0.0.1:1/CANARY".to_owned())];
    for (status, headers, body, detail) in [
        (500, vec![], "CANARY", Detail::Faulty),
        (302, location, "CANARY", Detail::Unexpected),
        (413, vec![], "CANARY", Detail::Unexpected),
        (200, vec![], "CANARY", Detail::Unexpected),
        (200, vec![("content-encoding", "gzip".to_owned())], "CANARY", Detail::Unexpected),
        (429, vec![("retry-after", "120".to_owned())], "CANARY", Detail::RateLimited),
    ] {
        let (server, secrets) = connect().await;
        server.trouble(Some(Trouble { status, headers, body: body.to_owned() }));
        let error = read(&secrets, BY_NAME).await.unwrap_err();
        assert_eq!(
            (error.code(), error.detail()),
            (Code::SecretUnavailable, Some(detail)),
            "{status}"
        );
        assert_eq!(server.seen().len(), 1, "{status} is not tried again");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let (server, secrets) = connect().await;
    let body = format!("\"{}\"", "CANARY".repeat(400_000));
    server.trouble(Some(Trouble { status: 200, headers: vec![], body }));
    let error = read(&secrets, BY_NAME).await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::Unexpected));
}

/// A server that ignores filters must not make us take the first of all items.
#[tokio::test]
async fn a_list_that_was_not_filtered_is_filtered_here() {
    let (server, secrets) = connect().await;
    let list = format!(r#"[{{"id":"{VAULT}","name":"somebody-elses"}}]"#);
    server.trouble(Some(Trouble { status: 200, headers: vec![], body: list }));
    assert_eq!(read(&secrets, BY_NAME).await.unwrap_err().code(), Code::SecretNotFound);
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let server = FakeConnect::start().await;
    let secrets = secrets(settings(&server.url(), TOKEN));
    drop(server);
    let error = read(&secrets, BY_NAME).await.unwrap_err();
    assert_eq!(error.detail(), Some(Detail::Unreachable));
}

#[tokio::test]
async fn a_rotated_secret_is_seen_when_its_time_in_memory_is_over() {
    let server = FakeConnect::start().await;
    let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
    let secrets = secrets_at(settings(&server.url(), TOKEN), Arc::clone(&clock) as _);
    let by_id = format!("op://{VAULT}/{ITEM}/client-secret");
    read(&secrets, &by_id).await.unwrap();
    server.rotate("new-CANARY");
    assert_eq!(read(&secrets, &by_id).await.unwrap().text().expose(), SECRET);
    clock.advance(Duration::from_mins(15));
    assert_eq!(read(&secrets, &by_id).await.unwrap().text().expose(), "new-CANARY");
}
