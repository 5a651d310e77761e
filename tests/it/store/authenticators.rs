//! Authenticator apps and recovery codes.

use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{AuthenticatorRow, Digest};

use super::races::race;
use super::rows::{user, user_id};
use super::{NOW, Store, on_both};

on_both! {
    an_authenticator_is_added_once_with_its_codes;
    nobody_who_is_gone_gets_one;
    a_step_and_all_before_it_count_once;
    of_many_with_one_code_one_gets_in;
    a_recovery_code_counts_once_and_for_its_person;
    other_recovery_codes_take_the_place_of_all;
    removing_takes_the_codes_along;
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
    assert!(store.add_authenticator(&row(ada.id, "s"), &codes(["a", "b"])).await.unwrap());
    ada.id
}

async fn an_authenticator_is_added_once_with_its_codes(store: Store) {
    let ada = enrolled(&store).await;
    assert!(!store.add_authenticator(&row(ada, "other"), &codes(["c", "d"])).await.unwrap());
    let found = store.find_authenticator(ada).await.unwrap().unwrap();
    assert_eq!((found.sealed.as_str(), found.last_step, found.confirmed_at), ("s", 100, NOW));
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 2, "none of the second's");
}

async fn nobody_who_is_gone_gets_one(store: Store) {
    assert!(!store.add_authenticator(&row(user_id(), "s"), &codes(["a", "b"])).await.unwrap());
    assert!(store.find_authenticator(user_id()).await.unwrap().is_none());
    assert_eq!(store.count_recovery_codes(user_id()).await.unwrap(), 0);
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
    assert!(store.add_authenticator(&row(ada, "new"), &codes(["a", "b"])).await.unwrap());
}
