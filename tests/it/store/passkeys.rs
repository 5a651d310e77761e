//! Passkeys, and the recovery codes that come with the first second factor and go with the last.

use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    AuthenticatorRow, Digest, LinkPurpose, OneTimeLink, PasskeyAdded, PasskeyRemoved, PasskeyRow,
    PasskeyUse,
};

use super::races::race;
use super::rows::{session, user, user_id};
use super::{NOW, Store, after, on_both};

on_both! {
    a_passkey_is_read_back_as_it_was_added_and_used;
    a_credential_is_one_persons_alone;
    nobody_gets_one_by_a_password_that_is_another_by_now;
    since_a_new_password_one_is_used_beside_it_before_it_is_used_alone;
    nobody_adds_one_without_the_second_factor_that_is_there_by_now;
    a_person_has_so_many_and_no_more_however_many_come_at_once;
    a_sign_count_goes_up_or_stays_nothing;
    of_many_with_one_count_one_gets_in;
    recovery_codes_come_with_the_first_and_go_with_the_last;
    an_app_beside_passkeys_leaves_the_codes_when_it_goes;
    what_an_administrator_takes_away_takes_the_passkeys_along;
    changes_at_once_wait_for_each_other;
}

pub(super) const MOST: usize = 3;

pub(super) fn row(user_id: UserId, id: &str) -> PasskeyRow {
    PasskeyRow {
        credential_id: id.to_owned(),
        user_id,
        user_handle: "01930000-0000-4000-8000-000000000001".to_owned(),
        credential: format!("{{\"key\":\"{id}\"}}"),
        sign_count: 1,
        backed_up: true,
        alone: true,
        name: "Ada's phone".to_owned(),
        created_at: NOW,
        last_used_at: None,
    }
}

pub(super) fn used(id: &str, sign_count: u32) -> PasskeyUse {
    PasskeyUse {
        credential_id: id.to_owned(),
        sign_count,
        backed_up: false,
        beside: None,
        at: after(5),
    }
}

fn codes(names: [&str; 2]) -> Vec<Digest> {
    names.map(Digest::of).to_vec()
}

pub(super) async fn person(store: &Store, name: &str) -> UserId {
    let row = user(name);
    assert!(store.add_user(&row).await.unwrap());
    row.id
}

pub(super) async fn add(store: &Store, row: &PasskeyRow) -> PasskeyAdded {
    // No two people have a recovery code in common.
    let codes = ["a", "b"].map(|name| Digest::of(&format!("{name} {}", row.user_id)));
    store.add_passkey(row, MOST, &codes, (None, true)).await.unwrap()
}

pub(super) async fn remove(store: &Store, user: UserId, id: &str) -> PasskeyRemoved {
    store.remove_passkey(user, id).await.unwrap()
}

pub(super) async fn ids(store: &Store, user: UserId) -> Vec<String> {
    let rows = store.list_passkeys(user).await.unwrap();
    rows.into_iter().map(|row| row.credential_id).collect()
}

async fn a_passkey_is_read_back_as_it_was_added_and_used(store: Store) {
    let ada = person(&store, "ada").await;
    let new = row(ada, "one");
    assert_eq!(add(&store, &new).await, PasskeyAdded::First);
    let found = store.find_passkey("one").await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{new:?}"));
    assert!(store.use_passkey(&used("one", 7)).await.unwrap());
    let found = store.find_passkey("one").await.unwrap().unwrap();
    let changed = (found.sign_count, found.backed_up, found.last_used_at);
    assert_eq!(changed, (7, false, Some(after(5))));
    assert_eq!((found.credential, found.name), (new.credential, new.name));
    assert!(store.find_passkey("two").await.unwrap().is_none());
    assert!(!store.use_passkey(&used("two", 9)).await.unwrap());
}

// WebAuthn Level 3 §7.1
async fn a_credential_is_one_persons_alone(store: Store) {
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    assert_eq!(add(&store, &row(ada, "one")).await, PasskeyAdded::First);
    assert_eq!(add(&store, &row(bob, "one")).await, PasskeyAdded::Refused);
    assert_eq!(store.find_passkey("one").await.unwrap().unwrap().user_id, ada);
    assert_eq!(store.count_recovery_codes(bob).await.unwrap(), 0);
    assert_eq!(remove(&store, bob, "one").await, PasskeyRemoved::Unknown);
    assert_eq!(ids(&store, ada).await, ["one"]);
    assert_eq!(add(&store, &row(user_id(), "two")).await, PasskeyAdded::Refused, "nobody's");
}

async fn nobody_gets_one_by_a_password_that_is_another_by_now(store: Store) {
    let ada = person(&store, "ada").await;
    store.set_password(ada, "$new", None, NOW).await.unwrap();
    let (one, codes) = (row(ada, "one"), codes(["a", "b"]));
    for (hash, wanted) in [("$old", PasskeyAdded::Refused), ("$new", PasskeyAdded::First)] {
        let added = store.add_passkey(&one, MOST, &codes, (Some(hash), true));
        assert_eq!(added.await.unwrap(), wanted);
    }
    store.disable_user(ada, Some(NOW)).await.unwrap();
    assert_eq!(add(&store, &row(ada, "two")).await, PasskeyAdded::Refused);
}

// N51
async fn since_a_new_password_one_is_used_beside_it_before_it_is_used_alone(store: Store) {
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    add(&store, &row(ada, "one")).await;
    add(&store, &row(ada, "two")).await;
    add(&store, &row(bob, "bob's")).await;
    let before = session("before", ada);
    store.add_session(&before).await.unwrap();
    store.set_password(ada, "$new", None, NOW).await.unwrap();
    let alone = async |id: &str, count| store.use_passkey(&used(id, count)).await.unwrap();
    assert_eq!([alone("one", 2).await, alone("bob's", 2).await], [false, true]);
    let (mine, others) = (session("mine", ada), session("others", bob));
    store.add_session(&mine).await.unwrap();
    store.add_session(&others).await.unwrap();
    for (session, count, alone_then) in [(before, 3, false), (others, 4, false), (mine, 5, true)] {
        let beside = PasskeyUse { beside: Some(session.session), ..used("one", count) };
        assert!(store.use_passkey(&beside).await.unwrap(), "{count}");
        assert_eq!(store.find_passkey("one").await.unwrap().unwrap().alone, alone_then, "{count}");
    }
    assert_eq!([alone("one", 9).await, alone("two", 9).await], [true, false]);
}

async fn nobody_adds_one_without_the_second_factor_that_is_there_by_now(store: Store) {
    let ada = person(&store, "ada").await;
    let (one, codes) = (row(ada, "one"), codes(["a", "b"]));
    let sealed = "s".to_owned();
    let app = AuthenticatorRow { user_id: ada, sealed, last_step: 1, confirmed_at: NOW };
    assert!(store.add_authenticator(&app, &codes, None).await.unwrap());
    for (second, wanted) in [(false, PasskeyAdded::Refused), (true, PasskeyAdded::Another)] {
        let added = store.add_passkey(&one, MOST, &codes, (None, second));
        assert_eq!(added.await.unwrap(), wanted);
    }
}

async fn a_person_has_so_many_and_no_more_however_many_come_at_once(store: Store) {
    let ada = person(&store, "ada").await;
    let each = |n: usize| {
        let store = Arc::clone(&store);
        async move { add(&store, &row(ada, &format!("key {n}"))).await }
    };
    let added = race(20, each).await;
    let count = |wanted| added.iter().filter(|one| **one == wanted).count();
    assert_eq!((count(PasskeyAdded::First), count(PasskeyAdded::Another)), (1, MOST - 1));
    assert_eq!(ids(&store, ada).await.len(), MOST);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 2, "of the first alone");
}

// WebAuthn Level 3 §6.1.1, §7.2
async fn a_sign_count_goes_up_or_stays_nothing(store: Store) {
    let ada = person(&store, "ada").await;
    add(&store, &row(ada, "counts")).await;
    for (count, counts) in [(1, false), (0, false), (2, true), (2, false), (9, true), (3, false)] {
        assert_eq!(store.use_passkey(&used("counts", count)).await.unwrap(), counts, "{count}");
    }
    add(&store, &PasskeyRow { sign_count: 0, ..row(ada, "never counts") }).await;
    for (count, counts) in [(0, true), (0, true), (1, true), (0, false)] {
        let noted = store.use_passkey(&used("never counts", count)).await.unwrap();
        assert_eq!(noted, counts, "{count}");
    }
}

// WebAuthn Level 3 §7.2
async fn of_many_with_one_count_one_gets_in(store: Store) {
    let ada = person(&store, "ada").await;
    add(&store, &row(ada, "one")).await;
    let each = |_| {
        let store = Arc::clone(&store);
        async move { store.use_passkey(&used("one", 2)).await.unwrap() }
    };
    assert_eq!(race(50, each).await.into_iter().filter(|through| *through).count(), 1);
}

async fn recovery_codes_come_with_the_first_and_go_with_the_last(store: Store) {
    let ada = person(&store, "ada").await;
    assert_eq!(add(&store, &row(ada, "one")).await, PasskeyAdded::First);
    let others =
        store.add_passkey(&row(ada, "two"), MOST, &codes(["c", "d"]), (None, true)).await.unwrap();
    assert_eq!(others, PasskeyAdded::Another);
    assert!(!store.use_recovery_code(ada, &Digest::of("c")).await.unwrap());
    assert!(store.replace_recovery_codes(ada, &codes(["e", "f"])).await.unwrap());
    assert_eq!(remove(&store, ada, "one").await, PasskeyRemoved::Done);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 2);
    assert_eq!(remove(&store, ada, "two").await, PasskeyRemoved::Done);
    assert_eq!(remove(&store, ada, "two").await, PasskeyRemoved::Unknown);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 0);
    assert!(!store.replace_recovery_codes(ada, &codes(["g", "h"])).await.unwrap());
}

async fn an_app_beside_passkeys_leaves_the_codes_when_it_goes(store: Store) {
    let ada = person(&store, "ada").await;
    let sealed = "s".to_owned();
    let app = AuthenticatorRow { user_id: ada, sealed, last_step: 1, confirmed_at: NOW };
    assert!(store.add_authenticator(&app, &codes(["a", "b"]), None).await.unwrap());
    let added =
        store.add_passkey(&row(ada, "one"), MOST, &codes(["c", "d"]), (None, true)).await.unwrap();
    assert_eq!(added, PasskeyAdded::Another);
    assert!(store.remove_authenticator(ada).await.unwrap());
    assert!(store.use_recovery_code(ada, &Digest::of("a")).await.unwrap());
    assert!(store.add_authenticator(&app, &codes(["c", "d"]), None).await.unwrap());
    assert_eq!(remove(&store, ada, "one").await, PasskeyRemoved::Done);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 2, "the app is still there");
}

fn link(user_id: UserId) -> OneTimeLink {
    let (link, purpose) = (Digest::of("new"), LinkPurpose::SetUp);
    OneTimeLink { link, user_id, purpose, expires_at: after(60) }
}

async fn what_an_administrator_takes_away_takes_the_passkeys_along(store: Store) {
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    store.set_password(ada, "$old", None, NOW).await.unwrap();
    add(&store, &row(ada, "one")).await;
    add(&store, &row(ada, "two")).await;
    let (theirs, others) = (row(bob, "bob's"), codes(["c", "d"]));
    store.add_passkey(&theirs, MOST, &others, (None, true)).await.unwrap();
    assert!(store.start_over(&link(ada)).await.unwrap());
    assert_eq!(ids(&store, ada).await, Vec::<String>::new());
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 0);
    assert!(store.find_user(ada).await.unwrap().unwrap().own_login.is_nothing());
    assert_eq!(ids(&store, bob).await, ["bob's"]);
    assert!(!store.start_over(&link(ada)).await.unwrap(), "nothing is left to be taken");
}

/// None of them is told that the database found them waiting for each other.
async fn changes_at_once_wait_for_each_other(store: Store) {
    let ada = person(&store, "ada").await;
    let sealed = "s".to_owned();
    let app = AuthenticatorRow { user_id: ada, sealed, last_step: 1, confirmed_at: NOW };
    for _ in 0..20 {
        let (one, two, new) = (row(ada, "one"), row(ada, "two"), codes(["a", "b"]));
        tokio::try_join!(
            store.add_passkey(&one, MOST, &new, (None, true)),
            store.add_passkey(&two, MOST, &new, (None, true)),
            store.add_authenticator(&app, &new, None),
        )
        .unwrap();
        let (used, other) = (used("two", 9), codes(["c", "d"]));
        tokio::try_join!(
            store.remove_passkey(ada, "one"),
            store.use_passkey(&used),
            store.replace_recovery_codes(ada, &other),
            store.remove_authenticator(ada),
            store.remove_passkey(ada, "two"),
        )
        .unwrap();
        assert_eq!(ids(&store, ada).await, Vec::<String>::new());
        assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 0);
    }
}
