//! Devices that wait for a person (RFC 8628).

use std::time::Duration;

use mcp_auth_broker::store::{CodeRow, DeviceAnswer, DeviceRequestRow, Digest, Polled};

use super::rows::{client_id, code, grant, redemption, user_id};
use super::{Store, after, on_both};

on_both! {
    a_device_waits_until_its_person_has_answered;
    a_poll_that_comes_too_early_makes_the_next_wait_longer;
    a_request_belongs_to_the_session_that_claimed_it;
    who_is_logged_out_meanwhile_answers_no_request;
    who_looks_for_a_request_claims_none;
    a_user_code_is_one_requests;
    a_late_request_is_answered_by_nobody;
}

fn row(name: &str) -> DeviceRequestRow {
    DeviceRequestRow {
        device_code: Digest::of(name),
        user_code: Digest::of(&format!("user {name}")),
        client_id: client_id(),
        parameters: "{}".to_owned(),
        wait: Duration::from_secs(5),
        expires_at: after(600),
    }
}

fn yes(name: &str) -> DeviceAnswer {
    let grant = grant();
    let code = CodeRow { code: Digest::of(name), expires_at: after(600), ..code(&grant, name) };
    DeviceAnswer::Approve(Box::new((grant, code)))
}

async fn polled(store: &Store, name: &str, at: i64) -> Polled {
    store.poll_device_request(&Digest::of(name), &client_id(), after(at)).await.unwrap()
}

/// Begins the session, too, where it has not begun.
async fn claims(store: &Store, name: &str, session: &str, at: i64) -> bool {
    store.put_session(&super::rows::session(session, user_id())).await.unwrap();
    let (code, session) = (Digest::of(&format!("user {name}")), Digest::of(session));
    store.claim_device_request(&code, &session, after(at)).await.unwrap().is_some()
}

async fn answers(store: &Store, name: &str, session: &str, answer: &DeviceAnswer) -> bool {
    let (code, session) = (Digest::of(&format!("user {name}")), Digest::of(session));
    store.answer_device_request(&code, &session, answer, after(10)).await.unwrap()
}

// RFC 8628 §3.5 — N82
async fn a_device_waits_until_its_person_has_answered(store: Store) {
    for name in ["yes", "no"] {
        assert!(store.add_device_request(&row(name)).await.unwrap());
        assert_eq!(polled(&store, name, 0).await, Polled::Pending);
        assert!(claims(&store, name, "s", 1).await);
    }
    assert!(answers(&store, "yes", "s", &yes("yes")).await);
    assert!(answers(&store, "no", "s", &DeviceAnswer::Deny).await);
    assert_eq!(polled(&store, "yes", 20).await, Polled::Approved);
    assert_eq!(polled(&store, "no", 20).await, Polled::Denied);
    assert!(store.find_code(&Digest::of("yes")).await.unwrap().is_some());
    assert!(store.find_code(&Digest::of("no")).await.unwrap().is_none());
    let other = "other".parse().unwrap();
    let stolen = store.poll_device_request(&Digest::of("yes"), &other, after(60)).await.unwrap();
    assert_eq!(stolen, Polled::Unknown);
    let redeemed = store.redeem_code(&redemption("yes", None)).await.unwrap();
    assert!(matches!(redeemed, mcp_auth_broker::store::Redeemed::Granted { .. }));
}

// RFC 8628 §3.5 — N82
async fn a_poll_that_comes_too_early_makes_the_next_wait_longer(store: Store) {
    store.add_device_request(&row("d")).await.unwrap();
    assert_eq!(polled(&store, "d", 0).await, Polled::Pending);
    assert_eq!(polled(&store, "d", 4).await, Polled::TooEarly);
    assert_eq!(polled(&store, "d", 13).await, Polled::TooEarly, "ten seconds by now");
    assert_eq!(polled(&store, "d", 27).await, Polled::TooEarly, "fifteen");
    assert_eq!(polled(&store, "d", 47).await, Polled::Pending, "twenty");
    assert_eq!(polled(&store, "unknown", 47).await, Polled::Unknown);
}

// RFC 8628 §5.4 — N83
async fn a_request_belongs_to_the_session_that_claimed_it(store: Store) {
    store.add_device_request(&row("d")).await.unwrap();
    assert!(!answers(&store, "d", "s", &yes("d")).await, "nobody has claimed it");
    assert!(claims(&store, "d", "s", 1).await && claims(&store, "d", "s", 2).await);
    assert!(!claims(&store, "d", "other", 3).await);
    assert!(!answers(&store, "d", "other", &yes("d")).await);
    assert!(store.find_code(&Digest::of("d")).await.unwrap().is_none(), "nothing of it stays");
    assert!(answers(&store, "d", "s", &yes("d")).await);
    assert!(!answers(&store, "d", "s", &DeviceAnswer::Deny).await, "once");
    assert!(!claims(&store, "d", "s", 11).await);
}

// N37, N83
async fn who_is_logged_out_meanwhile_answers_no_request(store: Store) {
    store.add_device_request(&row("d")).await.unwrap();
    assert!(claims(&store, "d", "s", 1).await);
    assert!(store.end_session(&Digest::of("s")).await.unwrap());
    assert!(!answers(&store, "d", "s", &yes("d")).await);
    assert_eq!(polled(&store, "d", 20).await, Polled::Pending);
    assert!(store.find_code(&Digest::of("d")).await.unwrap().is_none(), "nothing of it stays");
}

// RFC 8628 §5.1 — N82
async fn who_looks_for_a_request_claims_none(store: Store) {
    store.add_device_request(&row("d")).await.unwrap();
    let code = Digest::of("user d");
    let looks = |session: &str, at| {
        let (store, session) = (&store, Digest::of(session));
        async move {
            let found = store.claimed_device_request(&code, &session, after(at)).await;
            found.unwrap().is_some()
        }
    };
    assert!(!looks("s", 1).await);
    assert!(claims(&store, "d", "other", 2).await);
    assert!(looks("other", 3).await && !looks("s", 3).await);
    assert!(!looks("other", 600).await, "late");
    assert!(answers(&store, "d", "other", &DeviceAnswer::Deny).await);
    assert!(!looks("other", 11).await, "answered");
}

async fn a_user_code_is_one_requests(store: Store) {
    assert!(store.add_device_request(&row("d")).await.unwrap());
    let double = DeviceRequestRow { device_code: Digest::of("e"), ..row("d") };
    assert!(!store.add_device_request(&double).await.unwrap());
    assert_eq!(polled(&store, "e", 0).await, Polled::Unknown);
}

// RFC 8628 §3.5 — N82
async fn a_late_request_is_answered_by_nobody(store: Store) {
    let late = DeviceRequestRow { expires_at: after(5), ..row("d") };
    store.add_device_request(&late).await.unwrap();
    assert!(claims(&store, "d", "s", 1).await);
    assert!(!answers(&store, "d", "s", &yes("d")).await);
    assert_eq!(polled(&store, "d", 6).await, Polled::Expired);
    assert!(!claims(&store, "d", "s", 6).await);
    store.clean_up(after(4000)).await.unwrap();
    assert_eq!(polled(&store, "d", 4000).await, Polled::Unknown);
}
