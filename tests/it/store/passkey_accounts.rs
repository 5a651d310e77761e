//! Accounts that are opened by passkeys and have no password.

use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    Digest, LinkPurpose, NewSession, OneTimeLink, OwnLogin, PasskeyAdded, PasskeyRemoved,
    PasskeySetUp, PasskeyUse, StepDown, UserRemoved, UserRow,
};

use super::copy::tamper;
use super::passkeys::{MOST, add, ids, person, remove, row, used};
use super::races::race;
use super::rows::{grant, session, user};
use super::{NOW, Place, Store, after, on_both};

on_both! {
    a_passkey_by_a_link_takes_the_place_of_the_password;
    the_first_one_brings_recovery_codes;
    without_a_right_link_or_second_factor_nothing_is_changed;
    of_many_with_one_link_one_sets_it_up;
    of_a_password_and_a_passkey_by_one_link_one_is_set;
    no_log_in_of_before_outlives_it;
    the_last_one_stays_where_there_is_no_password;
    of_two_that_are_removed_at_once_one_stays;
    a_password_beside_them_ends_nothing;
    an_administrator_with_passkeys_alone_counts;
    what_an_administrator_takes_away_leaves_nothing_that_opens_it;
}

fn own_name(name: &str) -> String {
    format!("mark of {name}")
}

/// What `id` becomes of `ada`, by this link.
fn set_up(ada: UserId, id: &str, link: &str) -> PasskeySetUp {
    PasskeySetUp {
        row: row(ada, id),
        most: MOST,
        recovery_codes: vec![Digest::of(&format!("code of {id}"))],
        second: true,
        link: Digest::of(link),
        mark: own_name(id),
        at: after(1),
    }
}

async fn with_link(store: &Store, user_id: UserId, name: &str) {
    let (link, purpose) = (Digest::of(name), LinkPurpose::Reset);
    let row = OneTimeLink { link, user_id, purpose, expires_at: after(60) };
    store.add_link(&row).await.unwrap();
}

async fn found(store: &Store, id: UserId) -> UserRow {
    store.find_user(id).await.unwrap().unwrap()
}

/// Somebody who logs in with this passkey and has no password.
async fn without_password(store: &Store, name: &str, id: &str) -> UserId {
    let ada = person(store, name).await;
    with_link(store, ada, name).await;
    let added = store.set_up_passkey(&set_up(ada, id, name)).await.unwrap();
    assert_eq!(added, PasskeyAdded::First);
    ada
}

fn logs_in(ada: UserId, name: &str, guard: &str) -> NewSession {
    let guard = Some(guard.to_owned());
    NewSession { row: session(name, ada), before: None, guard, provider: None }
}

// N51
async fn a_passkey_by_a_link_takes_the_place_of_the_password(store: Store) {
    let ada = person(&store, "ada").await;
    store.set_password(ada, "$old", None, NOW).await.unwrap();
    add(&store, &row(ada, "before")).await;
    let (mut hers, others) = (grant(), grant());
    hers.user_id = Some(ada);
    for grant in [&hers, &others] {
        store.add_grant(grant).await.unwrap();
    }
    for name in ["link", "other"] {
        with_link(&store, ada, name).await;
    }
    assert!(store.begin_session(&logs_in(ada, "s", "$old")).await.unwrap());
    let added = store.set_up_passkey(&set_up(ada, "new", "link")).await.unwrap();
    assert_eq!(added, PasskeyAdded::Another);
    assert_eq!(found(&store, ada).await.own_login, OwnLogin::Passkeys(own_name("new")));
    assert!(store.list_sessions(ada, NOW).await.unwrap().is_empty());
    assert!(store.is_revoked(Some(hers.id), None) && !store.is_revoked(Some(others.id), None));
    for name in ["link", "other"] {
        assert!(store.find_link(&Digest::of(name), NOW).await.unwrap().is_none(), "{name}");
    }
    for (id, alone) in [("before", false), ("new", true)] {
        assert_eq!(store.use_passkey(&used(id, 2)).await.unwrap(), alone, "{id}");
    }
    assert!(!store.begin_session(&logs_in(ada, "t", "$old")).await.unwrap());
    let mine = logs_in(ada, "u", &own_name("new"));
    assert!(store.begin_session(&mine).await.unwrap());
    let beside = PasskeyUse { beside: Some(mine.row.session), ..used("before", 3) };
    assert!(store.use_passkey(&beside).await.unwrap());
    assert!(store.use_passkey(&used("before", 4)).await.unwrap(), "shown beside it once");
}

async fn the_first_one_brings_recovery_codes(store: Store) {
    let ada = without_password(&store, "ada", "one").await;
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 1);
    assert!(store.use_recovery_code(ada, &Digest::of("code of one")).await.unwrap());
    with_link(&store, ada, "again").await;
    let added = store.set_up_passkey(&set_up(ada, "two", "again")).await.unwrap();
    assert_eq!(added, PasskeyAdded::Another);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 0, "those that they have stay");
    assert_eq!(found(&store, ada).await.own_login, OwnLogin::Passkeys(own_name("two")));
}

async fn without_a_right_link_or_second_factor_nothing_is_changed(store: Store) {
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    store.set_password(ada, "$old", None, NOW).await.unwrap();
    add(&store, &row(ada, "before")).await;
    add(&store, &row(bob, "bob's")).await;
    with_link(&store, ada, "link").await;
    with_link(&store, bob, "bob's link").await;
    store.add_session(&session("s", ada)).await.unwrap();
    let right = set_up(ada, "new", "link");
    for (why, wrong) in [
        ("no such link", PasskeySetUp { link: Digest::of("none"), ..right.clone() }),
        ("another's", PasskeySetUp { link: Digest::of("bob's link"), ..right.clone() }),
        ("late", PasskeySetUp { at: after(60), ..right.clone() }),
        ("no second factor", PasskeySetUp { second: false, ..right.clone() }),
        ("too many", PasskeySetUp { most: 1, ..right.clone() }),
        ("somebody's already", PasskeySetUp { row: row(ada, "bob's"), ..right.clone() }),
    ] {
        assert_eq!(store.set_up_passkey(&wrong).await.unwrap(), PasskeyAdded::Refused, "{why}");
        assert_eq!(found(&store, ada).await.own_login.password_hash(), Some("$old"), "{why}");
        assert_eq!(ids(&store, ada).await, ["before"], "{why}");
        assert!(store.find_link(&right.link, after(1)).await.unwrap().is_some(), "{why}");
        assert_eq!(store.list_sessions(ada, NOW).await.unwrap().len(), 1, "{why}");
        assert!(store.find_passkey("before").await.unwrap().unwrap().alone, "{why}");
    }
    assert_eq!(store.set_up_passkey(&right).await.unwrap(), PasskeyAdded::Another);
    with_link(&store, ada, "later").await;
    store.disable_user(ada, Some(NOW)).await.unwrap();
    with_link(&store, ada, "disabled").await;
    let disabled = set_up(ada, "third", "disabled");
    assert_eq!(store.set_up_passkey(&disabled).await.unwrap(), PasskeyAdded::Refused);
}

async fn of_many_with_one_link_one_sets_it_up(store: Store) {
    let ada = person(&store, "ada").await;
    with_link(&store, ada, "link").await;
    let each = |n: usize| {
        let (store, id) = (Arc::clone(&store), format!("key {n}"));
        async move { store.set_up_passkey(&set_up(ada, &id, "link")).await.unwrap() }
    };
    let added = race(20, each).await;
    assert_eq!(added.iter().filter(|one| **one == PasskeyAdded::First).count(), 1);
    assert_eq!(ids(&store, ada).await.len(), 1);
}

async fn of_a_password_and_a_passkey_by_one_link_one_is_set(store: Store) {
    for round in 0..20 {
        let ada = person(&store, &format!("ada {round}")).await;
        let (link, id) = (format!("link {round}"), format!("key {round}"));
        with_link(&store, ada, &link).await;
        let (new, digest) = (set_up(ada, &id, &link), Digest::of(&link));
        let (passkey, password) = tokio::join!(
            store.set_up_passkey(&new),
            store.set_password(ada, "$1", Some(&digest), after(1)),
        );
        let own_login = found(&store, ada).await.own_login;
        match (passkey.unwrap(), password.unwrap()) {
            (PasskeyAdded::First, false) => assert_eq!(own_login, OwnLogin::Passkeys(new.mark)),
            (PasskeyAdded::Refused, true) => assert_eq!(own_login.password_hash(), Some("$1")),
            both => panic!("{both:?}"),
        }
    }
}

// RFC 9700 §4.14.2
async fn no_log_in_of_before_outlives_it(store: Store) {
    for round in 0..20 {
        let [name, old, new, link] =
            ["ada", "old", "new", "link"].map(|what| format!("{what} {round}"));
        let ada = without_password(&store, &name, &old).await;
        with_link(&store, ada, &link).await;
        let login = logs_in(ada, &format!("s {round}"), &own_name(&old));
        let new = set_up(ada, &new, &link);
        let (begun, set) = tokio::join!(store.begin_session(&login), store.set_up_passkey(&new));
        assert!(begun.is_ok() && set.unwrap() == PasskeyAdded::Another);
        assert!(store.list_sessions(ada, NOW).await.unwrap().is_empty(), "{round}");
    }
}

async fn the_last_one_stays_where_there_is_no_password(store: Store) {
    let ada = without_password(&store, "ada", "one").await;
    assert_eq!(remove(&store, ada, "one").await, PasskeyRemoved::Last);
    add(&store, &row(ada, "two")).await;
    assert_eq!(remove(&store, ada, "none").await, PasskeyRemoved::Unknown);
    assert_eq!(remove(&store, ada, "one").await, PasskeyRemoved::Done);
    assert_eq!(remove(&store, ada, "two").await, PasskeyRemoved::Last);
    with_link(&store, ada, "again").await;
    store.set_up_passkey(&set_up(ada, "three", "again")).await.unwrap();
    let last = remove(&store, ada, "three").await;
    assert_eq!(last, PasskeyRemoved::Last, "the other one opens nothing by itself");
    assert_eq!(remove(&store, ada, "two").await, PasskeyRemoved::Done);
    assert_eq!(store.count_recovery_codes(ada).await.unwrap(), 1);
}

async fn of_two_that_are_removed_at_once_one_stays(store: Store) {
    for round in 0..20 {
        let (name, one, two) =
            (format!("ada {round}"), format!("one {round}"), format!("two {round}"));
        let ada = without_password(&store, &name, &one).await;
        add(&store, &row(ada, &two)).await;
        let (first, second) = tokio::join!(remove(&store, ada, &one), remove(&store, ada, &two));
        assert_ne!(first == PasskeyRemoved::Done, second == PasskeyRemoved::Done, "{round}");
        assert_eq!(ids(&store, ada).await.len(), 1);
    }
}

async fn a_password_beside_them_ends_nothing(store: Store) {
    let ada = without_password(&store, "ada", "one").await;
    let mark = own_name("one");
    assert!(store.begin_session(&logs_in(ada, "s", &mark)).await.unwrap());
    for wrong in ["", "another", "$new"] {
        assert!(!store.add_password(ada, "$new", wrong).await.unwrap(), "{wrong}");
    }
    store.disable_user(ada, Some(NOW)).await.unwrap();
    assert!(!store.add_password(ada, "$new", &mark).await.unwrap());
    store.disable_user(ada, None).await.unwrap();
    assert!(store.begin_session(&logs_in(ada, "t", &mark)).await.unwrap());
    assert!(store.add_password(ada, "$new", &mark).await.unwrap());
    assert!(!store.add_password(ada, "$newer", &mark).await.unwrap(), "they have one");
    assert_eq!(found(&store, ada).await.own_login, OwnLogin::Password("$new".to_owned()));
    assert_eq!(store.list_sessions(ada, NOW).await.unwrap().len(), 1);
    assert!(store.use_passkey(&used("one", 2)).await.unwrap(), "it opens the account still");
    assert!(!store.begin_session(&logs_in(ada, "u", &mark)).await.unwrap());
    assert_eq!(remove(&store, ada, "one").await, PasskeyRemoved::Done, "there is a password");
}

async fn an_administrator_with_passkeys_alone_counts(store: Store) {
    let root = without_password(&store, "root", "one").await;
    store.set_administrator(root, true).await.unwrap();
    assert!(store.has_administrator().await.unwrap());
    let mut other = user("other");
    other.administrator = true;
    store.add_user(&other).await.unwrap();
    let done = store.step_down(root, StepDown::Role).await.unwrap();
    assert_eq!(done, UserRemoved::LastAdministrator, "the other one cannot log in");
    with_link(&store, other.id, "other").await;
    store.set_up_passkey(&set_up(other.id, "two", "other")).await.unwrap();
    assert_eq!(store.step_down(root, StepDown::Role).await.unwrap(), UserRemoved::Done);
}

async fn what_an_administrator_takes_away_leaves_nothing_that_opens_it(store: Store) {
    let ada = without_password(&store, "ada", "one").await;
    let (link, purpose) = (Digest::of("new"), LinkPurpose::SetUp);
    let new = OneTimeLink { link, user_id: ada, purpose, expires_at: after(60) };
    assert!(store.start_over(&new).await.unwrap());
    assert!(found(&store, ada).await.own_login.is_nothing());
    assert!(!store.begin_session(&logs_in(ada, "s", &own_name("one"))).await.unwrap());
    let added = store.set_up_passkey(&set_up(ada, "two", "new")).await.unwrap();
    assert_eq!(added, PasskeyAdded::First);
}

/// As schema 18 left them.
async fn old_rows_keep_working(place: Place) {
    let store = place.open().await;
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    store.set_password(ada, "$1", None, NOW).await.unwrap();
    add(&store, &row(ada, "one")).await;
    assert!(store.begin_session(&logs_in(ada, "s", "$1")).await.unwrap());
    drop(store);
    let back = "DROP INDEX revocations_ending; DROP INDEX grants_resource; DROP INDEX consents_client; \
        DROP INDEX consents_resource; ALTER TABLE revocations DROP COLUMN ending; \
        ALTER TABLE revocations DROP COLUMN ended_before; ALTER TABLE revocations DROP COLUMN ending_reason; \
        ALTER TABLE users DROP COLUMN passkey_login; DROP TABLE provider_tokens; \
        ALTER TABLE identities DROP COLUMN logged_in_at; DELETE FROM schema_versions WHERE version >= 19;";
    tamper(&place, back).await;
    let store = place.open().await;
    assert_eq!(found(&store, ada).await.own_login, OwnLogin::Password("$1".to_owned()));
    assert!(found(&store, bob).await.own_login.is_nothing());
    assert_eq!(store.list_sessions(ada, NOW).await.unwrap().len(), 1);
    assert!(store.begin_session(&logs_in(ada, "t", "$1")).await.unwrap());
    assert!(store.use_passkey(&used("one", 2)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_keep_working_on_sqlite() {
    old_rows_keep_working(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_keep_working_on_postgres() {
    old_rows_keep_working(Place::postgres()).await;
}
