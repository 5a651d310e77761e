//! Users, sessions, links, log-in failures.

use std::time::Duration;

use mcp_auth_broker::store::{
    AuthorizationRequestRow, Digest, ExternalIdentity, GrantRow, LinkPurpose, LogOut, LoginOrigin,
    NewSession, OneTimeLink, OwnLogin, PageRequest, Revokes, SessionRow, StoreError,
};

use super::rows::{claim, client_id, grant, session, user, user_id};
use super::{NOW, Store, after, on_both};

on_both! {
    a_name_is_taken_once;
    a_link_sets_a_password_once_and_ends_sessions;
    a_late_link_sets_nothing;
    disabling_ends_sessions_and_grants;
    an_identity_never_becomes_somebody_elses_account;
    a_person_has_the_groups_and_roles_that_the_provider_says_now;
    a_new_password_revokes_every_grant;
    an_administrator_counts_when_it_can_log_in;
    a_session_ends_by_idleness_and_by_age;
    who_logs_in_once_more_is_the_same_log_in_to_clients;
    what_waits_in_another_tab_goes_on_with_the_same_person_alone;
    who_logs_in_in_anothers_browser_ends_their_log_in;
    no_session_begins_with_what_holds_no_more;
    a_session_is_put_over_the_one_with_its_digest;
    what_is_no_session_hides_none;
    an_attempt_that_is_taken_back_does_not_count;
    failures_are_counted_within_their_window;
    a_text_with_a_zero_byte_is_not_kept;
}

async fn a_name_is_taken_once(store: Store) {
    let ada = user("ada");
    assert!(store.add_user(&ada).await.unwrap());
    assert!(!store.add_user(&user("ada")).await.unwrap());
    let found = store.find_user_by_name("ada").await.unwrap().unwrap();
    assert_eq!((found.id, found.groups), (ada.id, ada.groups));
    store.logged_in(ada.id, after(3)).await.unwrap();
    let found = store.find_user(ada.id).await.unwrap().unwrap();
    assert_eq!(found.last_login_at, Some(after(3)));
    let page = store.list_users(&PageRequest { after: None, limit: 1 }).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (1, None));
}

async fn a_link_sets_a_password_once_and_ends_sessions(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let link = Digest::of("link");
    let purpose = LinkPurpose::Reset;
    let row = OneTimeLink { link, user_id: ada.id, purpose, expires_at: after(60) };
    store.add_link(&row).await.unwrap();
    store.add_session(&session("s", ada.id)).await.unwrap();
    assert!(!store.set_password(user_id(), "$x", Some(&link), after(1)).await.unwrap());
    assert!(store.set_password(ada.id, "$1", Some(&link), after(1)).await.unwrap());
    assert!(!store.set_password(ada.id, "$2", Some(&link), after(1)).await.unwrap());
    let found = store.find_user(ada.id).await.unwrap().unwrap();
    assert_eq!(found.own_login, OwnLogin::Password("$1".to_owned()));
    assert!(store.find_session(&Digest::of("s"), NOW, after(2)).await.unwrap().is_none());
}

async fn a_late_link_sets_nothing(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let link = Digest::of("link");
    let purpose = LinkPurpose::SetUp;
    let row = OneTimeLink { link, user_id: ada.id, purpose, expires_at: after(60) };
    store.add_link(&row).await.unwrap();
    assert!(store.find_link(&link, after(59)).await.unwrap().is_some());
    assert!(store.find_link(&link, after(60)).await.unwrap().is_none());
    assert!(!store.set_password(ada.id, "$1", Some(&link), after(60)).await.unwrap());
}

async fn disabling_ends_sessions_and_grants(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    store.add_session(&session("s", ada.id)).await.unwrap();
    let mut grant = grant();
    grant.user_id = Some(ada.id);
    store.add_grant(&grant).await.unwrap();
    assert!(store.disable_user(ada.id, Some(after(1))).await.unwrap());
    assert!(store.is_revoked(Some(grant.id), None));
    assert!(store.find_session(&Digest::of("s"), NOW, after(2)).await.unwrap().is_none());
    assert!(store.disable_user(ada.id, None).await.unwrap());
    assert!(store.is_revoked(Some(grant.id), None), "enabling gives nothing back");
}

// OIDC Core §5.7: issuer and subject, nothing else
async fn an_identity_never_becomes_somebody_elses_account(store: Store) {
    let local = user("ada");
    store.add_user(&local).await.unwrap();
    let identity = |issuer: &str| ExternalIdentity {
        issuer: issuer.to_owned(),
        subject: "s".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: local.email.clone(),
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let one = store.user_of_identity(&identity("https://a"), user_id(), NOW).await.unwrap();
    let two = store.user_of_identity(&identity("https://b"), user_id(), NOW).await.unwrap();
    let again = store.user_of_identity(&identity("https://a"), user_id(), NOW).await.unwrap();
    assert_eq!([one.username.as_str(), two.username.as_str()], ["ada-2", "ada-3"]);
    assert_eq!(again.id, one.id);
}

async fn a_person_has_the_groups_and_roles_that_the_provider_says_now(store: Store) {
    let ada = |groups: &[&str], groups_incomplete| ExternalIdentity {
        issuer: "https://a".to_owned(),
        subject: "s".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
        groups_incomplete,
        // All that is said of the one is said of the other here, the other way round.
        roles: groups.iter().rev().map(ToString::to_string).collect(),
        roles_incomplete: groups_incomplete,
    };
    let first = store.user_of_identity(&ada(&["it-leads", "staff"], false), user_id(), NOW).await;
    let first = first.unwrap();
    assert_eq!(
        (&first.groups[..], &first.roles[..]),
        (
            &["it-leads".to_owned(), "staff".to_owned()][..],
            &["staff".to_owned(), "it-leads".to_owned()][..]
        )
    );
    let found = store.find_user(first.id).await.unwrap().unwrap();
    assert_eq!((found.roles, found.roles_incomplete), (first.roles, false));
    let left = store.user_of_identity(&ada(&["staff"], false), user_id(), NOW).await.unwrap();
    assert_eq!((left.groups, left.roles), (vec!["staff".to_owned()], vec!["staff".to_owned()]));
    store.user_of_identity(&ada(&[], true), user_id(), NOW).await.unwrap();
    let found = store.find_user(left.id).await.unwrap().unwrap();
    assert_eq!((found.groups.len(), found.groups_incomplete), (0, true));
    assert_eq!((found.roles.len(), found.roles_incomplete), (0, true));
}

// RFC 9700 §4.14.2 — N51
async fn a_new_password_revokes_every_grant(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let (mut hers, others) = (grant(), grant());
    hers.user_id = Some(ada.id);
    for grant in [&hers, &others] {
        store.add_grant(grant).await.unwrap();
    }
    assert!(store.set_password(ada.id, "$1", None, after(1)).await.unwrap());
    assert!(store.is_revoked(Some(hers.id), None));
    assert!(!store.is_revoked(Some(others.id), None));
}

async fn an_administrator_counts_when_it_can_log_in(store: Store) {
    let mut root = user("root");
    root.administrator = true;
    store.add_user(&root).await.unwrap();
    assert!(!store.has_administrator().await.unwrap());
    assert!(store.set_password(root.id, "$1", None, NOW).await.unwrap());
    assert!(store.has_administrator().await.unwrap());
    assert!(store.set_administrator(root.id, false).await.unwrap());
    assert!(!store.has_administrator().await.unwrap());
}

async fn a_session_ends_by_idleness_and_by_age(store: Store) {
    let user = user_id();
    let row = session("a", user);
    store.add_session(&row).await.unwrap();
    assert!(store.find_session(&row.session, after(1), after(2)).await.unwrap().is_none());
    store.session_seen(&row.session, after(5)).await.unwrap();
    assert!(store.find_session(&row.session, after(1), after(6)).await.unwrap().is_some());
    assert!(store.find_session(&row.session, after(1), after(3_600)).await.unwrap().is_none());
    assert_eq!(store.list_sessions(user, after(6)).await.unwrap().len(), 1);
    assert_eq!(store.end_sessions(user).await.unwrap(), 1);
    assert!(!store.end_session(&row.session).await.unwrap());
}

/// Somebody who has the password and no code can make as many rows as they like.
async fn what_is_no_session_hides_none(store: Store) {
    let user = user_id();
    store.add_session(&session("hers", user)).await.unwrap();
    for number in 0..250 {
        let mut row = session(&format!("row {number}"), user);
        let method = if number % 2 == 0 { "device" } else { "first_step" };
        (row.method, row.created_at) = (Some(method.to_owned()), after(1));
        store.add_session(&row).await.unwrap();
    }
    let listed = store.list_sessions(user, after(2)).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.session).collect::<Vec<_>>(), [Digest::of("hers")]);
}

async fn an_attempt_that_is_taken_back_does_not_count(store: Store) {
    let window = Duration::from_mins(15);
    store.take_back_attempt("account:x").await.unwrap();
    for counted in [1, 2] {
        let seen = store.count_attempt("account:x", NOW, window).await.unwrap();
        assert_eq!(seen.failures, counted);
    }
    for left in [1, 0, 0] {
        store.take_back_attempt("account:x").await.unwrap();
        assert_eq!(store.login_attempts("account:x", NOW, window).await.unwrap().failures, left);
    }
}

/// A log-in of `user`, known to clients as `sid`.
fn login(sid: &str, user: mcp_auth_broker::id::UserId, before: Option<&str>) -> NewSession {
    let origin = LoginOrigin { sid: Some(sid.to_owned()), ..LoginOrigin::default() };
    NewSession {
        row: SessionRow { login: origin, ..session(sid, user) },
        before: before.map(Digest::of),
        guard: None,
        provider: None,
    }
}

// OIDC Back-Channel Logout §2.1
async fn who_logs_in_once_more_is_the_same_log_in_to_clients(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    for new in [login("a", ada.id, None), login("b", ada.id, Some("a"))] {
        assert!(store.begin_session(&new).await.unwrap());
    }
    assert!(store.find_session(&Digest::of("a"), NOW, after(6)).await.unwrap().is_none());
    let now = store.find_session(&Digest::of("b"), NOW, after(6)).await.unwrap().unwrap();
    assert_eq!(now.login.sid.as_deref(), Some("a"));
    assert!(store.begin_session(&login("c", ada.id, Some("gone"))).await.unwrap());
    let other = store.find_session(&Digest::of("c"), NOW, after(6)).await.unwrap().unwrap();
    assert_eq!(other.login.sid.as_deref(), Some("c"));
}

// RFC 6749 §10.12 — N104
async fn what_waits_in_another_tab_goes_on_with_the_same_person_alone(store: Store) {
    let (ada, eve) = (user("ada"), user("eve"));
    for user in [&ada, &eve] {
        store.add_user(user).await.unwrap();
    }
    let handle = Digest::of("h");
    let row = AuthorizationRequestRow {
        handle,
        client_id: client_id(),
        parameters: "{}".to_owned(),
        session: Some(Digest::of("a")),
        expires_at: after(600),
    };
    store.add_authorization_request(&row).await.unwrap();
    let of = async |name: &str| {
        store.bind_authorization_request(&handle, &Digest::of(name), NOW).await.unwrap()
    };
    for (sid, person, before, theirs) in [
        ("a", &ada, None, true),
        ("b", &ada, Some("a"), true),
        ("c", &eve, Some("b"), false),
        ("d", &eve, None, false),
    ] {
        assert!(store.begin_session(&login(sid, person.id, before)).await.unwrap());
        assert_eq!(of(sid).await, theirs, "{sid}");
    }
    // Who says that they are not that person lets go of it, and nobody else does.
    let out = |name: &str| LogOut::Session {
        session: Digest::of(name),
        sid: None,
        revokes: Revokes::Nothing,
        left: Some(handle),
    };
    store.log_out(&out("d"), NOW).await.unwrap();
    assert!(!of("c").await);
    store.log_out(&out("b"), NOW).await.unwrap();
    assert!(of("c").await);
}

// OIDC Back-Channel Logout §2.3
async fn who_logs_in_in_anothers_browser_ends_their_log_in(store: Store) {
    let (ada, eve) = (user("ada"), user("eve"));
    for user in [&ada, &eve] {
        store.add_user(user).await.unwrap();
    }
    let first = login("a", ada.id, None);
    assert!(store.begin_session(&first).await.unwrap());
    let grant = GrantRow { user_id: Some(ada.id), login: first.row.login.clone(), ..grant() };
    store.add_grant(&grant).await.unwrap();
    assert!(store.begin_session(&login("b", eve.id, Some("a"))).await.unwrap());
    let now = store.find_session(&Digest::of("b"), NOW, after(6)).await.unwrap().unwrap();
    assert_eq!(now.login.sid.as_deref(), Some("b"));
    let told = store.claim_logout_notices(&claim(0)).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].sid.as_str(), told[0].user_id), ("a", ada.id));
}

// RFC 9700 §4.14.2 — N37
async fn no_session_begins_with_what_holds_no_more(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    assert!(store.set_password(ada.id, "old", None, NOW).await.unwrap());
    let with = |sid: &str, hash: &str| NewSession {
        guard: Some(hash.to_owned()),
        ..login(sid, ada.id, None)
    };
    assert!(store.begin_session(&with("a", "old")).await.unwrap());
    assert!(store.set_password(ada.id, "new", None, NOW).await.unwrap());
    assert!(!store.begin_session(&with("b", "old")).await.unwrap(), "it was right a moment ago");
    assert!(store.begin_session(&with("c", "new")).await.unwrap());
    store.disable_user(ada.id, Some(NOW)).await.unwrap();
    assert!(!store.begin_session(&with("d", "new")).await.unwrap());
    assert!(!store.begin_session(&login("e", ada.id, None)).await.unwrap());
    assert!(!store.begin_session(&login("f", user_id(), None)).await.unwrap(), "nobody");
    assert!(store.list_sessions(ada.id, NOW).await.unwrap().is_empty());
}

async fn a_session_is_put_over_the_one_with_its_digest(store: Store) {
    let row = session("device", user_id());
    store.add_session(&row).await.unwrap();
    assert!(store.add_session(&row).await.is_err());
    let later = SessionRow { expires_at: after(7_200), ..row.clone() };
    let (one, two) = tokio::join!(store.put_session(&later), store.put_session(&later));
    assert!(one.is_ok() && two.is_ok());
    let found = store.find_session(&row.session, NOW, after(3_600)).await.unwrap().unwrap();
    assert_eq!(found.expires_at, after(7_200));
}

async fn failures_are_counted_within_their_window(store: Store) {
    let window = Duration::from_mins(1);
    for (at, failures) in [(0, 1), (10, 2), (70, 3), (200, 1)] {
        let counted = store.count_attempt("account:a", after(at), window).await.unwrap();
        assert_eq!((at, counted.failures), (at, failures));
    }
    let seen = store.login_attempts("account:a", after(260), window).await.unwrap();
    assert_eq!((seen.failures, seen.last_failure_at), (1, Some(after(200))));
    assert_eq!(store.login_attempts("account:a", after(261), window).await.unwrap().failures, 0);
    store.forget_login_failures("account:a").await.unwrap();
    assert_eq!(store.login_attempts("account:a", after(201), window).await.unwrap().failures, 0);
}

async fn a_text_with_a_zero_byte_is_not_kept(store: Store) {
    let added = store.add_user(&user("a\0b")).await;
    assert!(matches!(added, Err(StoreError::Corrupt("a text with a zero byte"))), "{added:?}");
    assert!(store.find_user_by_name("a\0b").await.is_err());
    assert!(store.find_user_by_name("ab").await.unwrap().is_none());
}
