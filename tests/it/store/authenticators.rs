//! Authenticator apps and recovery codes.

use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    AuthenticatorRow, Digest, LinkPurpose, LoginOrigin, NewSession, OneTimeLink, SessionRow,
};

use super::races::race;
use super::rows::{user, user_id};
use super::{NOW, Store, after, on_both};

on_both! {
    an_authenticator_is_added_once_with_its_codes;
    nobody_who_is_gone_gets_one;
    nobody_gets_one_by_a_password_that_is_another_by_now;
    no_app_of_the_old_password_comes_after_the_new_one;
    a_step_and_all_before_it_count_once;
    of_many_with_one_code_one_gets_in;
    a_recovery_code_counts_once_and_for_its_person;
    other_recovery_codes_take_the_place_of_all;
    removing_takes_the_codes_along;
    what_an_administrator_takes_away_takes_password_and_sessions_along;
    nothing_is_taken_of_who_is_disabled_or_has_none;
}

fn row(user_id: UserId, sealed: &str) -> AuthenticatorRow {
    AuthenticatorRow { user_id, sealed: sealed.to_owned(), last_step: 100, confirmed_at: NOW }
}

fn codes(names: [&str; 2]) -> Vec<Digest> {
    names.map(Digest::of).to_vec()
}

/// A person with an authenticator and two recovery codes.
async fn enrolled(store: &Store) -> UserId {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    assert!(store.add_authenticator(&row(ada.id, "s"), &codes(["a", "b"]), None).await.unwrap());
    ada.id
}

async fn an_authenticator_is_added_once_with_its_codes(store: Store) {
    let ada = enrolled(&store).await;
    assert!(!store.add_authenticator(&row(ada, "other"), &codes(["c", "d"]), None).await.unwrap());
    let found = store.find_authenticator(ada).await.unwrap().unwrap();
    assert_eq!((found.sealed.as_str(), found.last_step, found.confirmed_at), ("s", 100, NOW));
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 2, "none of the second's");
}

async fn nobody_who_is_gone_gets_one(store: Store) {
    assert!(
        !store.add_authenticator(&row(user_id(), "s"), &codes(["a", "b"]), None).await.unwrap()
    );
    assert!(store.find_authenticator(user_id()).await.unwrap().is_none());
    assert_eq!(store.count_recovery_codes(user_id()).await.unwrap(), 0);
}

async fn nobody_gets_one_by_a_password_that_is_another_by_now(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    store.set_password(ada.id, "$new", None, NOW).await.unwrap();
    let (app, codes) = (row(ada.id, "s"), codes(["a", "b"]));
    assert!(!store.add_authenticator(&app, &codes, Some("$old")).await.unwrap());
    assert_eq!(store.count_recovery_codes(ada.id).await.unwrap(), 0);
    assert!(store.add_authenticator(&app, &codes, Some("$new")).await.unwrap());
}

/// Removed, and set up again by who was half way through with the password that went along.
async fn no_app_of_the_old_password_comes_after_the_new_one(store: Store) {
    let ada = enrolled(&store).await;
    for round in 0..20 {
        let (old, codes) = (format!("hash {round}"), codes(["c", "d"]));
        store.set_password(ada, &old, None, NOW).await.unwrap();
        let (app, new) = (row(ada, "s"), link(ada, &format!("link {round}")));
        let (_, taken) =
            tokio::join!(store.add_authenticator(&app, &codes, Some(&old)), store.start_over(&new));
        if taken.unwrap() {
            assert!(store.find_authenticator(ada).await.unwrap().is_none(), "{round}");
        }
        store.add_authenticator(&app, &codes, None).await.unwrap();
    }
}

// RFC 6238 §5.2
async fn a_step_and_all_before_it_count_once(store: Store) {
    let ada = enrolled(&store).await;
    for (step, counts) in
        [(100, false), (99, false), (101, true), (101, false), (103, true), (102, false)]
    {
        assert_eq!(store.use_step(ada, step).await.unwrap(), counts, "{step}");
    }
    assert!(!store.use_step(user_id(), 200).await.unwrap());
}

// RFC 6238 §5.2
async fn of_many_with_one_code_one_gets_in(store: Store) {
    let ada = enrolled(&store).await;
    let each = |_| {
        let store = Arc::clone(&store);
        async move { store.use_step(ada, 101).await.unwrap() }
    };
    let through = race(50, each).await.into_iter().filter(|through| *through).count();
    assert_eq!(through, 1);
    let each = |_| {
        let store = Arc::clone(&store);
        async move { store.use_recovery_code(ada, &Digest::of("a")).await.unwrap() }
    };
    assert_eq!(race(50, each).await.into_iter().filter(|through| *through).count(), 1);
}

async fn a_recovery_code_counts_once_and_for_its_person(store: Store) {
    let ada = enrolled(&store).await;
    assert!(!store.use_recovery_code(user_id(), &Digest::of("a")).await.unwrap());
    assert!(!store.use_recovery_code(ada, &Digest::of("c")).await.unwrap());
    assert!(store.use_recovery_code(ada, &Digest::of("a")).await.unwrap());
    assert!(!store.use_recovery_code(ada, &Digest::of("a")).await.unwrap());
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 1);
}

async fn other_recovery_codes_take_the_place_of_all(store: Store) {
    let ada = enrolled(&store).await;
    assert!(store.replace_recovery_codes(ada, &codes(["c", "d"])).await.unwrap());
    assert!(!store.use_recovery_code(ada, &Digest::of("a")).await.unwrap());
    assert!(store.use_recovery_code(ada, &Digest::of("d")).await.unwrap());
    assert!(!store.replace_recovery_codes(user_id(), &codes(["e", "f"])).await.unwrap());
    assert_eq!(store.count_recovery_codes(user_id()).await.unwrap(), 0);
}

async fn removing_takes_the_codes_along(store: Store) {
    let ada = enrolled(&store).await;
    assert!(store.remove_authenticator(ada).await.unwrap());
    assert!(!store.remove_authenticator(ada).await.unwrap());
    assert!(store.find_authenticator(ada).await.unwrap().is_none());
    assert!(!store.use_recovery_code(ada, &Digest::of("a")).await.unwrap());
    assert!(store.add_authenticator(&row(ada, "new"), &codes(["a", "b"]), None).await.unwrap());
}

/// What an administrator hands out.
fn link(user_id: UserId, name: &str) -> OneTimeLink {
    let (link, purpose) = (Digest::of(name), LinkPurpose::SetUp);
    OneTimeLink { link, user_id, purpose, expires_at: after(60) }
}

/// A log-in of theirs with the password of this hash: whether there is a session now.
async fn logs_in(store: &Store, user_id: UserId, hash: &str) -> bool {
    let row = SessionRow {
        session: Digest::of("session"),
        user_id: Some(user_id),
        auth_time: Some(NOW),
        method: Some("first_step".to_owned()),
        login: LoginOrigin::default(),
        pending: None,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: after(60),
    };
    let guard = Some(hash.to_owned());
    store.begin_session(&NewSession { row, before: None, guard, provider: None }).await.unwrap()
}

// Whoever has the password would set up an app in place of the one that is lost.
async fn what_an_administrator_takes_away_takes_password_and_sessions_along(store: Store) {
    let ada = enrolled(&store).await;
    store.set_password(ada, "$old", None, NOW).await.unwrap();
    store.add_link(&link(ada, "before")).await.unwrap();
    assert!(logs_in(&store, ada, "$old").await);
    assert!(store.start_over(&link(ada, "new")).await.unwrap());
    assert!(store.find_authenticator(ada).await.unwrap().is_none());
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 0);
    assert!(store.find_user(ada).await.unwrap().unwrap().own_login.is_nothing());
    assert!(store.list_sessions(ada, NOW).await.unwrap().is_empty());
    assert!(store.find_session(&Digest::of("session"), NOW, NOW).await.unwrap().is_none());
    assert!(!logs_in(&store, ada, "$old").await, "who was just typing it");
    assert!(store.find_link(&Digest::of("before"), NOW).await.unwrap().is_none());
    let new = Digest::of("new");
    assert!(store.set_password(ada, "$new", Some(&new), NOW).await.unwrap());
}

async fn nothing_is_taken_of_who_is_disabled_or_has_none(store: Store) {
    let bob = user("bob");
    store.add_user(&bob).await.unwrap();
    store.set_password(bob.id, "$bob", None, NOW).await.unwrap();
    let ada = enrolled(&store).await;
    store.disable_user(ada, Some(NOW)).await.unwrap();
    for id in [bob.id, ada, user_id()] {
        assert!(!store.start_over(&link(id, "new")).await.unwrap());
    }
    assert!(store.find_link(&Digest::of("new"), NOW).await.unwrap().is_none());
    assert!(store.find_authenticator(ada).await.unwrap().is_some());
    assert!(store.find_user(bob.id).await.unwrap().unwrap().own_login.password_hash().is_some());
}
