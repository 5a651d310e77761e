//! Log-ins that are over, and whom that is told to.

use mcp_auth_broker::store::{
    Digest, ExternalIdentity, GrantRow, LogOut, LoggedOut, LoginOrigin, LogoutToken, NoticeClaim,
    Revokes, SessionRow,
};

use super::rows::{grant, user, user_id};
use super::{NOW, Store, after, on_both, rows};

fn origin(sid: &str, issuer_sid: Option<&str>) -> LoginOrigin {
    LoginOrigin {
        sid: Some(sid.to_owned()),
        issuer: Some("https://idp.example".to_owned()),
        issuer_sid: issuer_sid.map(str::to_owned),
        acr: Some("mfa".to_owned()),
        amr: Some("pwd otp".to_owned()),
    }
}

fn session(value: &str, login: LoginOrigin) -> SessionRow {
    SessionRow {
        session: Digest::of(value),
        user_id: Some(user_id()),
        auth_time: Some(NOW),
        method: Some("idp:contoso".to_owned()),
        login,
        pending: None,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: after(3_600),
    }
}

fn of(client: &str, login: LoginOrigin) -> GrantRow {
    GrantRow { client_id: client.parse().unwrap(), login, ..grant() }
}

fn token(jti: &str, subject: Option<&str>, sid: Option<&str>) -> LogOut {
    LogOut::Elsewhere(LogoutToken {
        issuer: "https://idp.example".to_owned(),
        subject: subject.map(str::to_owned),
        sid: sid.map(str::to_owned),
        jti: jti.to_owned(),
        remember_until: after(600),
    })
}

/// A person with two log-ins elsewhere and one here, each with a session and a grant. The grants, in this order.
async fn three_log_ins(store: &Store) -> [GrantRow; 3] {
    let ada = user("ada");
    let identity = ExternalIdentity {
        issuer: "https://idp.example".to_owned(),
        subject: "1".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let ada = store.user_of_identity(&identity, ada.id, NOW).await.unwrap();
    let here = LoginOrigin { sid: Some("c".to_owned()), ..LoginOrigin::default() };
    let logins = [origin("a", Some("one")), origin("b", Some("two")), here];
    let grants = logins.map(|login| GrantRow { user_id: Some(ada.id), ..of("app", login) });
    for (grant, name) in grants.iter().zip(["a", "b", "c"]) {
        let row = SessionRow { user_id: Some(ada.id), ..session(name, grant.login.clone()) };
        store.add_session(&row).await.unwrap();
        store.add_grant(grant).await.unwrap();
    }
    grants
}

fn revoked(store: &Store, grants: &[GrantRow; 3]) -> [bool; 3] {
    grants.each_ref().map(|grant| store.is_revoked(Some(grant.id), None))
}

async fn sessions(store: &Store) -> usize {
    let mut count = 0;
    for name in ["a", "b", "c"] {
        let found = store.find_session(&Digest::of(name), NOW, after(1)).await.unwrap();
        count += usize::from(found.is_some());
    }
    count
}

async fn where_it_comes_from_is_kept(store: Store) {
    let kept = origin("a", Some("one"));
    store.add_session(&session("a", kept.clone())).await.unwrap();
    let grant = of("app", kept.clone());
    store.add_grant(&grant).await.unwrap();
    let found = store.find_session(&Digest::of("a"), NOW, after(1)).await.unwrap().unwrap();
    assert_eq!(found.login, kept);
    assert_eq!(store.find_grant(grant.id).await.unwrap().unwrap().login, kept);
}

async fn a_session_elsewhere_ends_what_comes_from_it(store: Store) {
    let grants = three_log_ins(&store).await;
    let ended = store.log_out(&token("j", None, Some("one")), after(1)).await.unwrap();
    assert_eq!(ended, Some(LoggedOut { sessions: 1, grants: 1 }));
    assert_eq!((revoked(&store, &grants), sessions(&store).await), ([true, false, false], 2));
}

async fn a_person_elsewhere_ends_all_that_comes_from_there(store: Store) {
    let grants = three_log_ins(&store).await;
    let nobody = store.log_out(&token("i", Some("2"), None), after(1)).await.unwrap();
    assert_eq!(nobody, Some(LoggedOut::default()));
    let ended = store.log_out(&token("j", Some("1"), None), after(1)).await.unwrap();
    assert_eq!(ended, Some(LoggedOut { sessions: 2, grants: 2 }));
    assert_eq!((revoked(&store, &grants), sessions(&store).await), ([true, true, false], 1));
}

async fn a_session_of_another_person_is_not_meant(store: Store) {
    let grants = three_log_ins(&store).await;
    store.log_out(&token("j", Some("2"), Some("one")), after(1)).await.unwrap();
    store.log_out(&token("k", Some("1"), Some("three")), after(1)).await.unwrap();
    assert_eq!(revoked(&store, &grants), [false; 3]);
}

async fn what_says_nothing_of_its_session_elsewhere_ends_with_any(store: Store) {
    three_log_ins(&store).await;
    let ada = store.find_user_by_name("ada").await.unwrap().unwrap();
    let unsaid = GrantRow { user_id: Some(ada.id), ..of("app", origin("d", None)) };
    let older = GrantRow { user_id: Some(ada.id), ..of("app", LoginOrigin::default()) };
    for grant in [&unsaid, &older] {
        store.add_grant(grant).await.unwrap();
    }
    let ended = store.log_out(&token("j", Some("1"), Some("one")), after(1)).await.unwrap();
    assert_eq!(ended, Some(LoggedOut { sessions: 1, grants: 3 }));
}

async fn what_an_assertion_gave_ends_with_the_session_that_it_names(store: Store) {
    three_log_ins(&store).await;
    let ada = store.find_user_by_name("ada").await.unwrap().unwrap();
    let of = |issuer: &str, sid: Option<&str>| LoginOrigin {
        sid: None,
        issuer: Some(issuer.to_owned()),
        ..origin("", sid)
    };
    let [one, two, unsaid, elsewhere] = [
        of("https://idp.example", Some("one")),
        of("https://idp.example", Some("two")),
        of("https://idp.example", None),
        of("https://other.example", Some("one")),
    ]
    .map(|login| GrantRow { user_id: Some(ada.id), ..self::of("agent", login) });
    for grant in [&one, &two, &unsaid, &elsewhere] {
        store.add_grant(grant).await.unwrap();
    }
    store.log_out(&token("j", Some("1"), Some("one")), after(1)).await.unwrap();
    let revoked = [one, two, unsaid, elsewhere].map(|row| store.is_revoked(Some(row.id), None));
    assert_eq!(revoked, [true, false, true, false]);
}

async fn a_logout_token_is_used_once(store: Store) {
    let grants = three_log_ins(&store).await;
    let none = token("j", None, Some("three"));
    assert_eq!(store.log_out(&none, after(1)).await.unwrap(), Some(LoggedOut::default()));
    let again = store.log_out(&token("j", None, Some("one")), after(2)).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(revoked(&store, &grants), [false; 3]);
}

async fn a_session_here_ends_what_is_to_end_with_it(store: Store) {
    let grants = three_log_ins(&store).await;
    let out = |name: &str, revokes| LogOut::Session {
        session: Digest::of(name),
        sid: Some(name.to_owned()),
        revokes,
        left: None,
    };
    for (name, revokes, count) in [
        ("a", Revokes::Nothing, 0),
        ("b", Revokes::Client("other".parse().unwrap()), 0),
        ("b", Revokes::Client("app".parse().unwrap()), 1),
        ("c", Revokes::Everything, 1),
    ] {
        let ended = store.log_out(&out(name, revokes), after(1)).await.unwrap().unwrap();
        assert_eq!(ended.grants, count, "{name}");
    }
    assert_eq!((revoked(&store, &grants), sessions(&store).await), ([false, true, true], 0));
}

async fn each_client_of_an_ended_log_in_is_told_once_by_one(store: Store) {
    let [first, ..] = three_log_ins(&store).await;
    let user = first.user_id.unwrap();
    let ended = store.log_out(&LogOut::Everywhere(user), after(1)).await.unwrap();
    assert_eq!(ended, Some(LoggedOut { sessions: 3, grants: 0 }));
    let claim = async |at| store.claim_logout_notices(&rows::claim(at)).await.unwrap();
    let (one, other) = tokio::join!(claim(1), claim(1));
    let mut told: Vec<_> = one.iter().chain(&other).collect();
    told.sort_by(|a, b| a.sid.cmp(&b.sid));
    let sids: Vec<_> = told.iter().map(|notice| (notice.sid.as_str(), notice.attempts)).collect();
    assert_eq!(sids, [("a", 1), ("b", 1), ("c", 1)]);
    store.end_logout_notice(told[0]).await.unwrap();
    store.put_off_logout_notice(told[1], after(100)).await.unwrap();
    let again = claim(31).await;
    assert_eq!((again.len(), again[0].sid.as_str(), again[0].attempts), (1, "c", 2));
    assert_eq!(claim(100).await.len(), 2);
}

async fn notices_of_one_client_leave_room_for_those_of_others(store: Store) {
    let [first, ..] = three_log_ins(&store).await;
    let more = ["app", "app", "other", "App"];
    for (number, client) in more.into_iter().enumerate() {
        let mut login = first.login.clone();
        login.sid = Some(["a", "b"][number % 2].to_owned());
        store.add_grant(&GrantRow { user_id: first.user_id, ..of(client, login) }).await.unwrap();
    }
    store.log_out(&LogOut::Everywhere(first.user_id.unwrap()), after(1)).await.unwrap();
    let taken = async |limit, each, but: &[&str]| {
        let but = but.iter().map(|id| id.parse().unwrap()).collect();
        let claim = NoticeClaim { limit, each, but, ..rows::claim(1) };
        let taken = store.claim_logout_notices(&claim).await.unwrap();
        let mut taken: Vec<_> = taken.iter().map(|it| it.client_id.to_string()).collect();
        taken.sort();
        taken
    };
    assert_eq!(taken(1, 1, &["app", "App"]).await, ["other"]);
    assert_eq!(taken(10, 1, &["other"]).await, ["App", "app"]);
    assert_eq!(taken(1, 10, &[]).await, ["app"]);
    assert_eq!(taken(10, 10, &["ap"]).await, ["app"]);
}

on_both! {
    where_it_comes_from_is_kept;
    a_session_elsewhere_ends_what_comes_from_it;
    a_person_elsewhere_ends_all_that_comes_from_there;
    a_session_of_another_person_is_not_meant;
    what_says_nothing_of_its_session_elsewhere_ends_with_any;
    what_an_assertion_gave_ends_with_the_session_that_it_names;
    a_logout_token_is_used_once;
    a_session_here_ends_what_is_to_end_with_it;
    each_client_of_an_ended_log_in_is_told_once_by_one;
    notices_of_one_client_leave_room_for_those_of_others;
}
