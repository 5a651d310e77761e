//! People who go for good.

use std::collections::BTreeMap;

use mcp_auth_broker::id::{ApprovalId, UserId};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{
    ApprovalAnswer, ApprovalRow, ApprovalState, AuthenticatorRow, Consent, ConsentKey, Digest,
    ExternalIdentity, LinkPurpose, LogOut, LoginOrigin, OneTimeLink, PasskeyAdded, PasskeyRow,
    Requester, SessionRow, StepDown, StoreSettings, UpstreamAccountRow, UserRemoval, UserRemoved,
};
use mcp_auth_broker::time::FixedClock;

use super::rows::{allow, claim, code, grant, redemption, user, user_id};
use super::{NOW, Place, Store, after, on_both};

on_both! {
    what_is_about_a_person_goes_with_them_and_nothing_of_others;
    a_code_that_is_under_way_becomes_nothing;
    an_identity_comes_back_as_a_new_person;
    clients_are_told_that_the_log_ins_are_over;
    clients_are_told_also_of_a_log_in_whose_session_is_long_over;
    calls_that_wait_for_or_through_them_end;
    the_last_administrator_stays_unless_that_is_meant;
    of_two_administrators_who_remove_each_other_one_stays;
    the_last_administrator_keeps_role_and_access_unless_that_is_meant;
    of_two_administrators_who_take_it_from_each_other_one_stays;
}

const ISSUER: &str = "https://broker.example";

fn removal(id: UserId) -> UserRemoval {
    UserRemoval { id, issuer: ISSUER.to_owned(), keep_last_administrator: false, at: after(1) }
}

async fn removed(store: &Store, id: UserId) -> UserRemoved {
    store.remove_user(&removal(id)).await.unwrap()
}

/// The same where an administrator has to stay.
async fn removed_unless_last(store: &Store, id: UserId) -> UserRemoved {
    let removal = UserRemoval { keep_last_administrator: true, ..removal(id) };
    store.remove_user(&removal).await.unwrap()
}

fn session(user: UserId, sid: &str) -> SessionRow {
    SessionRow {
        session: Digest::of(sid),
        user_id: Some(user),
        auth_time: Some(NOW),
        method: Some("pwd".to_owned()),
        login: LoginOrigin { sid: Some(sid.to_owned()), ..LoginOrigin::default() },
        pending: None,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: after(3_600),
    }
}

/// A person with one of everything; what its digests are made of is `name`.
async fn person(store: &Store, name: &str) -> (UserId, mcp_auth_broker::id::GrantId) {
    let row = user(name);
    let id = row.id;
    assert!(store.add_user(&row).await.unwrap());
    store.add_session(&session(id, name)).await.unwrap();
    let link = Digest::of(&format!("link {name}"));
    let purpose = LinkPurpose::Reset;
    let link = OneTimeLink { link, user_id: id, purpose, expires_at: after(60) };
    store.add_link(&link).await.unwrap();
    let mut grant = grant();
    (grant.user_id, grant.login.sid) = (Some(id), Some(name.to_owned()));
    store.add_grant(&grant).await.unwrap();
    let key = ConsentKey {
        user_id: id,
        client_id: "agent".parse().unwrap(),
        redirect_class: "https://client.example".to_owned(),
        resource: "https://broker.example/mcp".to_owned(),
    };
    let scopes = "graph:read".parse().unwrap();
    let consent = Consent { key, scopes, granted_at: NOW, expires_at: after(600) };
    store.put_consent(&consent).await.unwrap();
    let (server, sealed) = ("weather".to_owned(), "sealed".to_owned());
    let account = UpstreamAccountRow { user_id: id, server, sealed, version: 0, connected_at: NOW };
    assert!(store.put_upstream_account(&account).await.unwrap());
    let sealed = "sealed".to_owned();
    let app = AuthenticatorRow { user_id: id, sealed, last_step: 1, confirmed_at: NOW };
    let code = Digest::of(&format!("recovery {name}"));
    assert!(store.add_authenticator(&app, &[code], None).await.unwrap());
    let passkey = PasskeyRow {
        credential_id: format!("passkey {name}"),
        user_id: id,
        user_handle: "01930000-0000-4000-8000-000000000001".to_owned(),
        credential: "{}".to_owned(),
        sign_count: 0,
        backed_up: false,
        alone: true,
        name: "key".to_owned(),
        created_at: NOW,
        last_used_at: None,
    };
    let added = store.add_passkey(&passkey, 1, &[], (None, true)).await.unwrap();
    assert_eq!(added, PasskeyAdded::Another);
    (id, grant.id)
}

/// What of a person is there: the row, a session, a link, a live grant, a consent, a connected account, a passkey.
async fn left(store: &Store, (id, grant): (UserId, mcp_auth_broker::id::GrantId)) -> [bool; 7] {
    let sessions = store.list_sessions(id, NOW).await.unwrap();
    let link = |name: &str| Digest::of(&format!("link {name}"));
    let mut links = false;
    for name in ["ada", "bob"] {
        let found = store.find_link(&link(name), NOW).await.unwrap();
        links |= found.is_some_and(|link| link.user_id == id);
    }
    let row = store.find_grant(grant).await.unwrap().unwrap();
    [
        store.find_user(id).await.unwrap().is_some(),
        !sessions.is_empty(),
        links,
        row.revoked_at.is_none() && !store.is_revoked(Some(grant), None),
        !store.list_consents(id).await.unwrap().is_empty(),
        !store.list_upstream_accounts(id).await.unwrap().is_empty(),
        !store.list_passkeys(id).await.unwrap().is_empty(),
    ]
}

async fn what_is_about_a_person_goes_with_them_and_nothing_of_others(store: Store) {
    let (ada, bob) = (person(&store, "ada").await, person(&store, "bob").await);
    assert_eq!(left(&store, ada).await, [true; 7]);
    assert_eq!(removed(&store, ada.0).await, UserRemoved::Done);
    assert_eq!(left(&store, ada).await, [false; 7]);
    assert_eq!(left(&store, bob).await, [true; 7]);
    assert_eq!(removed(&store, ada.0).await, UserRemoved::Unknown);
    let again = user("ada");
    assert!(store.add_user(&again).await.unwrap(), "the name is free");
    assert_ne!(again.id, ada.0);
}

// RFC 6749 §4.1.2 — N37
async fn a_code_that_is_under_way_becomes_nothing(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let mut grant = grant();
    grant.user_id = Some(ada.id);
    allow(&store, &grant, &code(&grant, "code")).await;
    assert_eq!(removed(&store, ada.id).await, UserRemoved::Done);
    assert!(store.find_code(&Digest::of("code")).await.unwrap().is_none());
    let redeemed = store.redeem_code(&redemption("code", Some("refresh"))).await.unwrap();
    assert!(matches!(redeemed, mcp_auth_broker::store::Redeemed::Refused), "{redeemed:?}");
    assert!(store.find_refresh_token(&Digest::of("refresh")).await.unwrap().is_none());
}

// OIDC Core §5.7
async fn an_identity_comes_back_as_a_new_person(store: Store) {
    let identity = ExternalIdentity {
        issuer: "https://idp.example".to_owned(),
        subject: "s".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: vec!["staff".to_owned()],
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let before = store.user_of_identity(&identity, user_id(), NOW).await.unwrap();
    store.set_administrator(before.id, true).await.unwrap();
    assert_eq!(removed(&store, before.id).await, UserRemoved::Done);
    assert!(store.find_user_of_identity("https://idp.example", "s").await.unwrap().is_none());
    let after = store.user_of_identity(&identity, user_id(), after(2)).await.unwrap();
    assert_ne!(after.id, before.id);
    assert_eq!((after.username.as_str(), after.administrator), ("ada", false));
}

// OIDC Back-Channel Logout §2.5
async fn clients_are_told_that_the_log_ins_are_over(store: Store) {
    let (id, _) = person(&store, "ada").await;
    assert_eq!(removed(&store, id).await, UserRemoved::Done);
    let notices = store.claim_logout_notices(&claim(2)).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].sid.as_str(), notices[0].user_id), ("ada", id));
    let everywhere = store.log_out(&LogOut::Everywhere(id), after(3)).await.unwrap().unwrap();
    assert_eq!(everywhere.sessions, 0);
}

// OIDC Back-Channel Logout §2.5
async fn clients_are_told_also_of_a_log_in_whose_session_is_long_over(store: Store) {
    let (id, _) = person(&store, "ada").await;
    assert!(store.end_session(&Digest::of("ada")).await.unwrap());
    assert_eq!(removed(&store, id).await, UserRemoved::Done);
    let notices = store.claim_logout_notices(&claim(2)).await.unwrap();
    let told: Vec<_> = notices.iter().map(|notice| (&*notice.sid, notice.user_id)).collect();
    assert_eq!(told, [("ada", id)]);
}

fn question(call: &str, issuer: &str, subject: &str) -> ApprovalRow {
    ApprovalRow {
        id: ApprovalId::generate(&FixedClock::at(NOW), &SystemRandom::new()),
        call: Digest::of(call),
        requester: Requester {
            issuer: issuer.parse().unwrap(),
            subject: subject.parse().unwrap(),
            client_id: None,
            asserted: None,
        },
        tool: "delete".parse().unwrap(),
        sealed_arguments: "sealed".to_owned(),
        rule: "r".parse().unwrap(),
        policy_version: "1+abc".to_owned(),
        approvers: Vec::new(),
        self_approval: false,
        state: ApprovalState::Pending,
        created_at: NOW,
        expires_at: after(600),
        answer: None,
    }
}

async fn calls_that_wait_for_or_through_them_end(store: Store) {
    let (ada, bob) = (user("ada"), user_id().to_string());
    store.add_user(&ada).await.unwrap();
    let name = ada.id.to_string();
    let own = question("own", ISSUER, &name);
    let elsewhere = question("elsewhere", "https://other.example", &name);
    let (given, refused) = (question("given", ISSUER, &bob), question("refused", ISSUER, &bob));
    for row in [&own, &elsewhere, &given, &refused] {
        store.ask_approval(row, 20, NOW).await.unwrap();
    }
    for (row, approved) in [(&given, true), (&refused, false)] {
        let approver = name.parse().unwrap();
        let answer = ApprovalAnswer { approver, approved, comment: None, at: after(1) };
        assert!(store.answer_approval(row.id, &answer).await.unwrap());
    }
    assert_eq!(removed(&store, ada.id).await, UserRemoved::Done);
    for (row, stays) in [(&own, false), (&elsewhere, true), (&given, false), (&refused, true)] {
        let found = store.find_approval(row.id).await.unwrap();
        assert_eq!(found.is_some(), stays, "{:?}", row.requester);
    }
    assert!(store.use_approval(&given.call, after(2)).await.unwrap().is_none());
}

/// Somebody who has the role and can log in.
async fn administrator(store: &Store, name: &str) -> UserId {
    let mut row = user(name);
    row.administrator = true;
    store.add_user(&row).await.unwrap();
    store.set_password(row.id, "$1", None, NOW).await.unwrap();
    row.id
}

async fn the_last_administrator_stays_unless_that_is_meant(store: Store) {
    let root = administrator(&store, "root").await;
    let mut never_came = user("new");
    never_came.administrator = true;
    store.add_user(&never_came).await.unwrap();
    let gone = administrator(&store, "gone").await;
    store.disable_user(gone, Some(NOW)).await.unwrap();
    store.add_user(&user("bob")).await.unwrap();
    assert_eq!(removed_unless_last(&store, root).await, UserRemoved::LastAdministrator);
    assert!(store.find_user(root).await.unwrap().is_some());
    assert_eq!(removed_unless_last(&store, user_id()).await, UserRemoved::Unknown);
    assert_eq!(removed(&store, root).await, UserRemoved::Done);
}

async fn of_two_administrators_who_remove_each_other_one_stays(store: Store) {
    for _ in 0..10 {
        let (ada, bob) = (administrator(&store, "ada").await, administrator(&store, "bob").await);
        let (one, two) =
            tokio::join!(removed_unless_last(&store, ada), removed_unless_last(&store, bob));
        let mut both = [one, two];
        both.sort_by_key(|removed| *removed == UserRemoved::LastAdministrator);
        assert_eq!(both, [UserRemoved::Done, UserRemoved::LastAdministrator]);
        let left = if one == UserRemoved::Done { bob } else { ada };
        removed(&store, left).await;
    }
}

async fn the_last_administrator_keeps_role_and_access_unless_that_is_meant(store: Store) {
    let root = administrator(&store, "root").await;
    for how in [StepDown::Role, StepDown::Access(NOW)] {
        let done = store.step_down(root, how).await.unwrap();
        assert_eq!(done, UserRemoved::LastAdministrator, "{how:?}");
        let row = store.find_user(root).await.unwrap().unwrap();
        assert!(row.administrator && row.disabled_at.is_none(), "{how:?}");
    }
    for how in [StepDown::Role, StepDown::Access(NOW)] {
        let other = administrator(&store, &format!("{how:?}")).await;
        assert_eq!(store.step_down(other, how).await.unwrap(), UserRemoved::Done);
        let row = store.find_user(other).await.unwrap().unwrap();
        assert_eq!(row.administrator, how != StepDown::Role);
        assert_eq!(row.disabled_at.is_some(), how != StepDown::Role);
        assert_eq!(removed(&store, other).await, UserRemoved::Done);
    }
    assert_eq!(store.step_down(user_id(), StepDown::Role).await.unwrap(), UserRemoved::Unknown);
}

async fn of_two_administrators_who_take_it_from_each_other_one_stays(store: Store) {
    for _ in 0..10 {
        let (ada, bob) = (administrator(&store, "ada").await, administrator(&store, "bob").await);
        let (role, access) = (StepDown::Role, StepDown::Access(NOW));
        let (one, two) = tokio::join!(store.step_down(ada, role), store.step_down(bob, access));
        let mut both = [one.unwrap(), two.unwrap()];
        both.sort_by_key(|removed| *removed == UserRemoved::LastAdministrator);
        assert_eq!(both, [UserRemoved::Done, UserRemoved::LastAdministrator]);
        removed(&store, ada).await;
        removed(&store, bob).await;
    }
}

/// Rows about a person, in every table that says whose a row is.
fn rows_of(place: &Place, id: UserId) -> BTreeMap<String, i64> {
    const TABLES: &str = "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
        WHERE t.type = 'table' AND c.name = 'user_id'";
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let file = rusqlite::Connection::open(path).unwrap();
    let mut tables = file.prepare(TABLES).unwrap();
    let tables = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap);
    let tables: Vec<String> = tables.collect();
    let count = |table: &String| {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE user_id = ?1");
        file.query_row(&sql, [id.to_string()], |row| row.get(0)).unwrap()
    };
    tables.iter().map(|table| (table.clone(), count(table))).collect()
}

/// A table that comes later is asked about here, before its rows outlive their people.
#[tokio::test]
async fn every_table_that_says_whose_a_row_is_forgets_who_is_removed() {
    let place = Place::sqlite();
    let store = place.open().await;
    let (id, _) = person(&store, "ada").await;
    let identity = "INSERT INTO identities (issuer, subject, user_id) VALUES ('i', 's', ?1)";
    let StoreSettings::Sqlite(path) = &place.settings else { unreachable!() };
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute(identity, [id.to_string()]).unwrap();
    let tokens = "INSERT INTO provider_tokens (user_id, issuer, sealed, version, claimed_until, ask_at, heard_at) \
        VALUES (?1, 'i', 'sealed', 1, 0, 0, 0)";
    file.execute(tokens, [id.to_string()]).unwrap();
    let mut before = rows_of(&place, id);
    before.retain(|table, _| !["logout_notices", "ended_accounts"].contains(&&**table)); // made by the removal
    assert!(before.values().all(|rows| *rows > 0), "give `person` one of each: {before:?}");
    assert_eq!(removed(&store, id).await, UserRemoved::Done);
    let mut left = rows_of(&place, id);
    left.retain(|_, rows| *rows > 0);
    // All end with their time: what ended is refused by one, clients are told by another, tokens are given back by the third.
    assert_eq!(left.keys().collect::<Vec<_>>(), ["ended_accounts", "grants", "logout_notices"]);
}
