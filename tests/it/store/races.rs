//! Many at once: exactly one wins.

use std::future::Future;
use std::sync::Arc;

use mcp_auth_broker::store::{
    Digest, ExternalIdentity, GrantRow, LogOut, LoginOrigin, LogoutToken, NewSession, Redeemed,
    Revokes, Rotated, SessionRow,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::rows::{
    allow, code, grant, redemption, rotation, session, user, user_id, with_refresh_token,
};
use super::{NOW, Place, Store, after, on_both};

on_both! {
    of_fifty_redemptions_one_is_granted;
    of_a_hundred_refreshes_one_is_granted_and_the_rest_get_its_reply;
    a_grant_revoked_meanwhile_gives_no_live_token;
    one_identity_becomes_one_user;
    a_name_goes_to_one_user;
    a_request_is_taken_by_one;
    what_is_allowed_while_somebody_is_logged_out_ends_with_it;
    no_log_in_with_the_old_password_outlives_the_new_one;
}

/// Runs `count` of them, started together.
pub(super) async fn race<T, F>(count: usize, each: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (barrier, each) = (Arc::clone(&barrier), each(number));
        tasks.spawn(async move {
            barrier.wait().await;
            each.await
        });
    }
    tasks.join_all().await
}

// RFC 6749 §4.1.2 — N30
async fn of_fifty_redemptions_one_is_granted(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    let redeemed = race(50, |number| {
        let store = Arc::clone(&store);
        async move {
            let refresh = format!("r{number}");
            store.redeem_code(&redemption("c", Some(&refresh))).await.unwrap()
        }
    })
    .await;
    let granted = redeemed.iter().filter(|one| matches!(one, Redeemed::Granted { .. })).count();
    let replayed = redeemed.iter().filter(|one| matches!(one, Redeemed::Replayed { .. })).count();
    assert_eq!((granted, replayed), (1, 49));
    assert!(store.is_revoked(Some(grant.id), None), "a race is a replay");
}

// RFC 9700 §4.14.2 — N46
async fn of_a_hundred_refreshes_one_is_granted_and_the_rest_get_its_reply(store: Store) {
    let grant = with_refresh_token(&store, "r").await;
    let rotated = race(100, |number| {
        let store = Arc::clone(&store);
        let rotation = rotation("r", &format!("s{number}"), 10);
        async move { (number, store.rotate_refresh_token(&rotation).await.unwrap()) }
    })
    .await;
    let mut winners =
        rotated.iter().filter(|(_, one)| matches!(one, Rotated::Granted { .. })).map(|one| one.0);
    let winner = winners.next().unwrap();
    assert_eq!(winners.next(), None);
    let reply = format!("sealed s{winner}").into_bytes();
    for (number, one) in &rotated {
        if *number == winner {
            continue;
        }
        assert!(matches!(one, Rotated::SameReply { sealed_reply, .. } if *sealed_reply == reply));
        let fork = Digest::of(&format!("s{number}"));
        assert!(store.find_refresh_token(&fork).await.unwrap().is_none(), "a single successor");
    }
    assert!(!store.is_revoked(Some(grant.id), None));
}

async fn a_grant_revoked_meanwhile_gives_no_live_token(store: Store) {
    for round in 0..10 {
        let grant = with_refresh_token(&store, &format!("r{round}")).await;
        let id = grant.id;
        race(8, |number| {
            let store = Arc::clone(&store);
            let rotation = rotation(&format!("r{round}"), &format!("s{round}.{number}"), 10);
            async move {
                if number == 4 {
                    let reason = mcp_auth_broker::store::RevokeReason::Person;
                    store.revoke_grant(id, reason, after(10)).await.unwrap();
                } else {
                    store.rotate_refresh_token(&rotation).await.unwrap();
                }
            }
        })
        .await;
        assert!(store.is_revoked(Some(id), None));
        for number in 0..8 {
            let token = Digest::of(&format!("s{round}.{number}"));
            assert!(store.find_refresh_token(&token).await.unwrap().is_none());
        }
    }
}

async fn one_identity_becomes_one_user(store: Store) {
    let identity = mcp_auth_broker::store::ExternalIdentity {
        issuer: "https://idp.example".to_owned(),
        subject: "s".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let users = race(20, |_| {
        let (store, identity) = (Arc::clone(&store), identity.clone());
        async move { store.user_of_identity(&identity, user_id(), NOW).await.unwrap().id }
    })
    .await;
    assert!(users.iter().all(|id| *id == users[0]));
}

async fn a_name_goes_to_one_user(store: Store) {
    let added = race(20, |_| {
        let store = Arc::clone(&store);
        async move { store.add_user(&user("ada")).await.unwrap() }
    })
    .await;
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
}

async fn a_request_is_taken_by_one(store: Store) {
    let handle = Digest::of("h");
    let row = mcp_auth_broker::store::AuthorizationRequestRow {
        handle,
        client_id: super::rows::client_id(),
        parameters: "{}".to_owned(),
        session: None,
        expires_at: after(600),
    };
    store.add_authorization_request(&row).await.unwrap();
    let taken = race(20, |_| {
        let store = Arc::clone(&store);
        async move { store.take_authorization_request(&handle, NOW).await.unwrap().is_some() }
    })
    .await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
}

// OIDC Back-Channel Logout §2.7 — N37
async fn what_is_allowed_while_somebody_is_logged_out_ends_with_it(store: Store) {
    let ada = user("ada");
    let identity = ExternalIdentity {
        issuer: "https://idp.example".to_owned(),
        subject: "1".to_owned(),
        username: ada.username.clone(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let ada = store.user_of_identity(&identity, ada.id, NOW).await.unwrap();
    for round in 0..60 {
        let login = LoginOrigin {
            sid: Some(format!("sid {round}")),
            issuer: Some(identity.issuer.clone()),
            issuer_sid: Some(format!("theirs {round}")),
            ..LoginOrigin::default()
        };
        let method = Some("idp:contoso".to_owned());
        let row = SessionRow { login, method, ..session(&format!("s{round}"), ada.id) };
        store.add_session(&row).await.unwrap();
        let grant = GrantRow { user_id: Some(ada.id), login: row.login.clone(), ..grant() };
        let code = code(&grant, &format!("c{round}"));
        let which = match round % 3 {
            0 => LogOut::Session {
                left: None,
                session: row.session,
                sid: row.login.sid.clone(),
                revokes: Revokes::Everything,
            },
            1 => LogOut::Everywhere(ada.id),
            _ => LogOut::Elsewhere(LogoutToken {
                issuer: identity.issuer.clone(),
                subject: (round % 2 == 0).then(|| "1".to_owned()),
                sid: row.login.issuer_sid.clone(),
                jti: format!("j{round}"),
                remember_until: after(600),
            }),
        };
        let (allowed, _) = tokio::join!(
            store.add_grant_with_code(&row.session, &grant, &code, None),
            store.log_out(&which, after(1))
        );
        let ended = store.is_revoked(Some(grant.id), None)
            || store.find_code(&code.code).await.unwrap().is_none();
        assert!(!allowed.unwrap() || ended, "{round}");
    }
}

// RFC 9700 §4.14.2
async fn no_log_in_with_the_old_password_outlives_the_new_one(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    for round in 0..40 {
        let (old, new) = (format!("hash {round}"), format!("hash {}", round + 1));
        assert!(store.set_password(ada.id, &old, None, NOW).await.unwrap());
        let row = session(&format!("s{round}"), ada.id);
        let login = NewSession { row, before: None, guard: Some(old), provider: None };
        let (begun, set) =
            tokio::join!(store.begin_session(&login), store.set_password(ada.id, &new, None, NOW));
        assert!(begun.is_ok() && set.unwrap());
        assert!(store.list_sessions(ada.id, NOW).await.unwrap().is_empty(), "{round}");
    }
}

/// Another replica, or a command beside the server.
async fn a_revocation_elsewhere_is_seen(place: Place) {
    let (here, there) = (place.open().await, place.open().await);
    let grant = grant();
    here.add_grant(&grant).await.unwrap();
    there
        .revoke_grant(grant.id, mcp_auth_broker::store::RevokeReason::Administrator, NOW)
        .await
        .unwrap();
    // Bounded by the test's own patience; how soon is the poll's business.
    while !here.is_revoked(Some(grant.id), None) {
        tokio::task::yield_now().await;
    }
    let later = place.open().await;
    assert!(later.is_revoked(Some(grant.id), None), "loaded before anybody can ask");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_by_another_process_is_seen_on_sqlite() {
    a_revocation_elsewhere_is_seen(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_by_another_replica_is_seen_on_postgres() {
    a_revocation_elsewhere_is_seen(Place::postgres()).await;
}
