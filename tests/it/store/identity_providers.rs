//! Identity providers of the store, and what ends with them.

use futures_util::future::join_all;
use mcp_auth_broker::id::{GrantId, UserId};
use mcp_auth_broker::store::{
    Digest, ExternalIdentity, IdentityProviderRow, LinkPurpose, LoginOrigin, NewSession,
    OneTimeLink, SessionRow, UpstreamAccountRow,
};

use super::rows::{allow, claim, code, grant, redemption, session, user, user_id};
use super::{NOW, Store, after, on_both};

on_both! {
    id_issuer_and_prefix_are_each_providers_own;
    of_many_who_add_one_at_once_one_does;
    a_change_of_what_was_changed_meanwhile_is_none;
    what_its_people_have_ends_with_a_provider_and_nothing_of_others;
    its_people_come_back_as_themselves_once_it_is_enabled_again;
    nobody_stays_in_a_group_of_a_provider_that_is_taken_out;
    no_session_begins_at_a_provider_that_is_gone_disabled_or_another;
    no_log_in_outlives_the_provider_that_is_disabled_meanwhile;
}

const ISSUER: &str = "https://partner.example";

fn row(id: &str) -> IdentityProviderRow {
    IdentityProviderRow {
        id: id.to_owned(),
        issuer: format!("https://{id}.example"),
        groups_prefix: format!("{id}:"),
        settings: "{}".to_owned(),
        created_at: NOW,
        disabled_at: None,
    }
}

async fn added(store: &Store) -> IdentityProviderRow {
    let row = row("partner");
    assert!(store.add_identity_provider(&row).await.unwrap());
    row
}

async fn id_issuer_and_prefix_are_each_providers_own(store: Store) {
    let partner = added(&store).await;
    for other in [
        IdentityProviderRow { id: "partner".to_owned(), ..row("other") },
        IdentityProviderRow { issuer: ISSUER.to_owned(), ..row("other") },
        IdentityProviderRow { groups_prefix: "partner:".to_owned(), ..row("other") },
    ] {
        assert!(!store.add_identity_provider(&other).await.unwrap(), "{other:?}");
    }
    let first = row("a");
    assert!(store.add_identity_provider(&first).await.unwrap());
    assert_eq!(store.list_identity_providers().await.unwrap(), [first, partner.clone()]);
    assert_eq!(store.find_identity_provider("partner").await.unwrap(), Some(partner));
    assert!(store.delete_identity_provider("partner", NOW).await.unwrap().is_some());
    assert!(store.delete_identity_provider("partner", NOW).await.unwrap().is_none());
    assert!(store.disable_identity_provider("partner", NOW).await.unwrap().is_none());
    assert!(!store.enable_identity_provider("partner").await.unwrap());
    assert!(store.find_identity_provider("partner").await.unwrap().is_none());
}

async fn of_many_who_add_one_at_once_one_does(store: Store) {
    let row = row("partner");
    let all = join_all((0..10).map(|_| store.add_identity_provider(&row))).await;
    assert_eq!(all.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
}

async fn a_change_of_what_was_changed_meanwhile_is_none(store: Store) {
    let known = added(&store).await;
    assert!(store.change_identity_provider(&known, r#"{"a":1}"#).await.unwrap());
    assert!(!store.change_identity_provider(&known, r#"{"b":1}"#).await.unwrap());
    let now = store.find_identity_provider("partner").await.unwrap().unwrap();
    assert_eq!(now.settings, r#"{"a":1}"#);
}

fn identity(issuer: &str) -> ExternalIdentity {
    ExternalIdentity {
        issuer: issuer.to_owned(),
        subject: "1".to_owned(),
        username: "bob".to_owned(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    }
}

fn login(user: UserId, name: &str, issuer: &str) -> SessionRow {
    let login = LoginOrigin {
        sid: Some(name.to_owned()),
        issuer: Some(issuer.to_owned()),
        ..LoginOrigin::default()
    };
    SessionRow { login, method: Some("idp:partner".to_owned()), ..session(name, user) }
}

/// Somebody who logged in at `issuer`, with one of everything; what its digests are made of is `name`.
async fn person(store: &Store, name: &str, issuer: &str) -> (UserId, GrantId) {
    let user = store.user_of_identity(&identity(issuer), user_id(), NOW).await.unwrap();
    let row = login(user.id, name, issuer);
    store.add_session(&row).await.unwrap();
    let link = Digest::of(&format!("link {name}"));
    let purpose = LinkPurpose::SetUp;
    let link = OneTimeLink { link, user_id: user.id, purpose, expires_at: after(60) };
    store.add_link(&link).await.unwrap();
    let mut grant = grant();
    (grant.user_id, grant.login) = (Some(user.id), row.login);
    allow(store, &grant, &code(&grant, name)).await;
    let (server, sealed) = ("weather".to_owned(), "sealed".to_owned());
    let account =
        UpstreamAccountRow { user_id: user.id, server, sealed, version: 0, connected_at: NOW };
    assert!(store.put_upstream_account(&account).await.unwrap());
    (user.id, grant.id)
}

/// What of a person is there: a session, a link, a code, a live grant, a connected account.
async fn left(store: &Store, name: &str, (id, grant): (UserId, GrantId)) -> [bool; 5] {
    let link = Digest::of(&format!("link {name}"));
    let row = store.find_grant(grant).await.unwrap().unwrap();
    [
        !store.list_sessions(id, NOW).await.unwrap().is_empty(),
        store.find_link(&link, NOW).await.unwrap().is_some(),
        store.find_code(&Digest::of(name)).await.unwrap().is_some(),
        row.revoked_at.is_none() && !store.is_revoked(Some(grant), None),
        !store.list_upstream_accounts(id).await.unwrap().is_empty(),
    ]
}

// RFC 9700 §4.14.2 — N37, N51
async fn what_its_people_have_ends_with_a_provider_and_nothing_of_others(store: Store) {
    for removed in [false, true] {
        let tag = |name: &str| format!("{name} {removed}");
        added(&store).await;
        let bob = person(&store, &tag("bob"), ISSUER).await;
        let eve = person(&store, &tag("eve"), "https://other.example").await;
        assert_eq!(left(&store, &tag("bob"), bob).await, [true; 5]);
        let ended = if removed {
            store.delete_identity_provider("partner", after(1)).await
        } else {
            store.disable_identity_provider("partner", after(1)).await
        };
        let ended = ended.unwrap().unwrap();
        assert_eq!((ended.sessions, ended.grants), (1, 1));
        assert_eq!(left(&store, &tag("bob"), bob).await, [false; 5]);
        assert_eq!(left(&store, &tag("eve"), eve).await, [true; 5]);
        // RFC 7009: the tokens of the connected account are still there to be given back.
        let account = store.claim_ended_account(after(2), after(60)).await.unwrap().unwrap();
        assert_eq!((account.account.user_id, &*account.account.server), (bob.0, "weather"));
        store.forget_ended_account(&account.account).await.unwrap();
        assert!(store.claim_ended_account(after(2), after(60)).await.unwrap().is_none());
        let redeemed = store.redeem_code(&redemption(&tag("bob"), Some("refresh"))).await.unwrap();
        assert!(matches!(redeemed, mcp_auth_broker::store::Redeemed::Refused), "{redeemed:?}");
        let notices = store.claim_logout_notices(&claim(2)).await.unwrap();
        let told: Vec<_> = notices.iter().map(|notice| &*notice.sid).collect();
        assert_eq!(told, [tag("bob")]);
        for notice in &notices {
            store.end_logout_notice(notice).await.unwrap();
        }
        store.delete_identity_provider("partner", after(3)).await.unwrap();
    }
}

async fn its_people_come_back_as_themselves_once_it_is_enabled_again(store: Store) {
    added(&store).await;
    let (bob, _) = person(&store, "bob", ISSUER).await;
    store.disable_identity_provider("partner", after(1)).await.unwrap();
    store.disable_identity_provider("partner", after(2)).await.unwrap();
    let row = store.find_identity_provider("partner").await.unwrap().unwrap();
    assert_eq!(row.disabled_at, Some(after(1)), "since the first time");
    assert!(store.enable_identity_provider("partner").await.unwrap());
    assert_eq!(store.find_identity_provider("partner").await.unwrap().unwrap().disabled_at, None);
    let again = store.user_of_identity(&identity(ISSUER), user_id(), after(3)).await.unwrap();
    assert_eq!(again.id, bob);
}

// N115
async fn nobody_stays_in_a_group_of_a_provider_that_is_taken_out(store: Store) {
    added(&store).await;
    let mut ids = Vec::new();
    for issuer in [ISSUER, "https://other.example"] {
        let named = vec!["a:b".to_owned()];
        let identity = ExternalIdentity { groups: named.clone(), roles: named, ..identity(issuer) };
        ids.push(store.user_of_identity(&identity, user_id(), NOW).await.unwrap().id);
    }
    let kept = async || {
        let mut kept = Vec::new();
        for id in &ids {
            let user = store.find_user(*id).await.unwrap().unwrap();
            assert_eq!(user.roles.len(), user.groups.len());
            assert_eq!(user.roles_incomplete, user.groups_incomplete);
            kept.push((user.groups.len(), user.groups_incomplete));
        }
        kept
    };
    store.disable_identity_provider("partner", after(1)).await.unwrap();
    assert_eq!(kept().await, [(1, false), (1, false)]);
    store.delete_identity_provider("partner", after(2)).await.unwrap();
    assert_eq!(kept().await, [(0, true), (1, false)]);
}

fn beginning(user: UserId, name: &str, issuer: &str) -> NewSession {
    NewSession {
        row: login(user, name, issuer),
        before: None,
        guard: None,
        provider: Some("partner".to_owned()),
    }
}

// RFC 9700 §4.4 — N109
async fn no_session_begins_at_a_provider_that_is_gone_disabled_or_another(store: Store) {
    let bob = user("bob");
    store.add_user(&bob).await.unwrap();
    let begins = async |name: &str, issuer: &str| {
        store.begin_session(&beginning(bob.id, name, issuer)).await.unwrap()
    };
    assert!(!begins("a", ISSUER).await, "there is none");
    added(&store).await;
    assert!(begins("b", ISSUER).await);
    assert!(!begins("c", "https://other.example").await);
    store.disable_identity_provider("partner", after(1)).await.unwrap();
    assert!(!begins("d", ISSUER).await);
    store.enable_identity_provider("partner").await.unwrap();
    assert!(begins("e", ISSUER).await);
    store.delete_identity_provider("partner", after(1)).await.unwrap();
    assert!(!begins("f", ISSUER).await);
}

// RFC 9700 §4.14.2
async fn no_log_in_outlives_the_provider_that_is_disabled_meanwhile(store: Store) {
    added(&store).await;
    let bob = store.user_of_identity(&identity(ISSUER), user_id(), NOW).await.unwrap();
    for round in 0..40 {
        store.enable_identity_provider("partner").await.unwrap();
        let login = beginning(bob.id, &format!("s{round}"), ISSUER);
        let (begun, disabled) = tokio::join!(
            store.begin_session(&login),
            store.disable_identity_provider("partner", NOW)
        );
        assert!(begun.is_ok() && disabled.unwrap().is_some());
        assert!(store.list_sessions(bob.id, NOW).await.unwrap().is_empty(), "{round}");
    }
}
