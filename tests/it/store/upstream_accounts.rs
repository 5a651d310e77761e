//! What people have allowed at servers behind us.

use futures_util::future::join_all;
use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    GrantRow, RevokeReason, SealedPlace, UpstreamAccountRow, UserRemoval, UserRemoved,
};

use super::rows::{grant, user};
use super::{NOW, Store, after, on_both};

on_both! {
    a_new_consent_takes_the_place_of_the_one_before;
    of_many_who_renew_one_does;
    what_was_ended_meanwhile_stays_ended;
    what_was_connected_anew_after_its_end_is_another_account;
    an_account_is_taken_out_once;
    accounts_end_with_their_person;
    who_is_gone_or_disabled_connects_none;
    a_registration_is_kept_for_each_server;
    accounts_end_with_the_last_grant_and_not_before;
    what_its_person_ends_is_kept_until_its_tokens_are_given_back;
    what_ended_is_given_back_by_one_and_tried_again;
}

/// The version of an account that was connected at [`NOW`].
const FIRST: i64 = NOW.unix_millis();

async fn somebody(store: &Store) -> UserId {
    let mut row = user("somebody");
    row.username = row.id.to_string();
    assert!(store.add_user(&row).await.unwrap());
    row.id
}

fn account(user_id: UserId, server: &str, sealed: &str) -> UpstreamAccountRow {
    let (server, sealed) = (server.to_owned(), sealed.to_owned());
    UpstreamAccountRow { user_id, server, sealed, version: 0, connected_at: NOW }
}

async fn found(store: &Store, user: UserId, server: &str) -> Option<(String, i64)> {
    let row = store.find_upstream_account(user, server).await.unwrap();
    row.map(|row| (row.sealed, row.version))
}

async fn a_new_consent_takes_the_place_of_the_one_before(store: Store) {
    let (ada, bob) = (somebody(&store).await, somebody(&store).await);
    for (user, server, sealed) in
        [(ada, "a", "1"), (ada, "b", "2"), (bob, "a", "3"), (ada, "a", "4")]
    {
        store.put_upstream_account(&account(user, server, sealed)).await.unwrap();
    }
    assert_eq!(found(&store, ada, "a").await, Some(("4".to_owned(), FIRST + 1)));
    assert_eq!(found(&store, bob, "a").await, Some(("3".to_owned(), FIRST)));
    let listed = store.list_upstream_accounts(ada).await.unwrap();
    let servers: Vec<&str> = listed.iter().map(|row| row.server.as_str()).collect();
    assert_eq!(servers, ["a", "b"]);
}

async fn of_many_who_renew_one_does(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "old")).await.unwrap();
    let row = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    let claims =
        join_all((0..20).map(|_| store.claim_upstream_account(&row, NOW, after(15)))).await;
    assert_eq!(claims.into_iter().filter(|claim| *claim.as_ref().unwrap()).count(), 1);
    assert!(!store.claim_upstream_account(&row, after(14), after(30)).await.unwrap());
    assert!(
        store.claim_upstream_account(&row, after(15), after(30)).await.unwrap(),
        "who claimed is gone"
    );
    assert!(store.renew_upstream_account(&row, "new").await.unwrap());
    assert!(!store.renew_upstream_account(&row, "late").await.unwrap());
    assert!(!store.claim_upstream_account(&row, after(99), after(100)).await.unwrap());
    assert_eq!(found(&store, ada, "a").await, Some(("new".to_owned(), FIRST + 1)));
}

async fn what_was_ended_meanwhile_stays_ended(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "old")).await.unwrap();
    let row = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    assert!(store.claim_upstream_account(&row, NOW, after(15)).await.unwrap());
    assert!(store.disconnect_upstream_account(ada, "a", NOW).await.unwrap());
    assert!(!store.renew_upstream_account(&row, "new").await.unwrap());
    assert_eq!(found(&store, ada, "a").await, None);
}

async fn what_was_connected_anew_after_its_end_is_another_account(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "old")).await.unwrap();
    let old = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    assert!(store.renew_upstream_account(&old, "renewed").await.unwrap());
    let renewed = store.find_upstream_account(ada, "a").await.unwrap().unwrap();
    assert!(store.disconnect_upstream_account(ada, "a", NOW).await.unwrap());
    let new = UpstreamAccountRow { connected_at: after(1), ..account(ada, "a", "new") };
    store.put_upstream_account(&new).await.unwrap();
    for row in [old, renewed] {
        assert!(!store.claim_upstream_account(&row, after(2), after(30)).await.unwrap());
        assert!(!store.renew_upstream_account(&row, "of the old").await.unwrap());
        let ended = store.end_upstream_account(ada, "a", row.version).await.unwrap();
        assert!(ended.is_none());
    }
    assert_eq!(found(&store, ada, "a").await.unwrap().0, "new");
}

async fn an_account_is_taken_out_once(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "1")).await.unwrap();
    store.put_upstream_account(&account(ada, "a", "2")).await.unwrap();
    assert!(
        store.end_upstream_account(ada, "a", FIRST).await.unwrap().is_none(),
        "it was replaced"
    );
    let ends = join_all((0..10).map(|_| store.end_upstream_account(ada, "a", FIRST + 1))).await;
    let ended: Vec<_> = ends.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!((ended.len(), ended[0].sealed.as_str()), (1, "2"));
}

async fn accounts_end_with_their_person(store: Store) {
    let row = user("ada");
    assert!(store.add_user(&row).await.unwrap());
    store.put_upstream_account(&account(row.id, "a", "1")).await.unwrap();
    assert!(store.disable_user(row.id, Some(NOW)).await.unwrap());
    assert_eq!(found(&store, row.id, "a").await, None);
    store.disable_user(row.id, None).await.unwrap();
    store.put_upstream_account(&account(row.id, "a", "2")).await.unwrap();
    assert!(store.set_password(row.id, "hash", None, NOW).await.unwrap());
    assert_eq!(
        found(&store, row.id, "a").await,
        None,
        "whoever knew the old password may have connected it"
    );
}

// The upstream takes its time between the person's coming back and this.
async fn who_is_gone_or_disabled_connects_none(store: Store) {
    let (ada, bob) = (somebody(&store).await, somebody(&store).await);
    store.disable_user(ada, Some(NOW)).await.unwrap();
    let issuer = "https://broker.example".to_owned();
    let removal = UserRemoval { id: bob, issuer, keep_last_administrator: false, at: NOW };
    assert_eq!(store.remove_user(&removal).await.unwrap(), UserRemoved::Done);
    for id in [ada, bob] {
        assert!(!store.put_upstream_account(&account(id, "a", "1")).await.unwrap());
        assert_eq!(found(&store, id, "a").await, None);
    }
}

async fn a_registration_is_kept_for_each_server(store: Store) {
    assert_eq!(store.find_upstream_client("a").await.unwrap(), None);
    for sealed in ["1", "2"] {
        store.put_upstream_client("a", sealed, NOW).await.unwrap();
    }
    assert_eq!(store.find_upstream_client("a").await.unwrap().as_deref(), Some("2"));
    assert_eq!(store.find_upstream_client("b").await.unwrap(), None);
}

async fn grants(store: &Store, user: UserId, count: usize) -> Vec<mcp_auth_broker::id::GrantId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let row = GrantRow { user_id: Some(user), ..grant() };
        store.add_grant(&row).await.unwrap();
        ids.push(row.id);
    }
    ids
}

async fn accounts_end_with_the_last_grant_and_not_before(store: Store) {
    let (ada, bob) = (somebody(&store).await, somebody(&store).await);
    for user in [ada, bob] {
        store.put_upstream_account(&account(user, "a", "1")).await.unwrap();
    }
    assert_eq!(store.end_accounts_without_grant(after(1)).await.unwrap(), 0, "they had none yet");
    let given = grants(&store, ada, 2).await;
    grants(&store, bob, 1).await;
    let revoke = async |id, at| store.revoke_grant(id, RevokeReason::Person, at).await.unwrap();
    revoke(given[0], after(2)).await;
    assert_eq!(store.end_accounts_without_grant(after(3)).await.unwrap(), 0, "one is left");
    revoke(given[1], after(4)).await;
    assert_eq!(store.end_accounts_without_grant(after(5)).await.unwrap(), 1);
    assert!(found(&store, ada, "a").await.is_none() && found(&store, bob, "a").await.is_some());
    let anew = UpstreamAccountRow { connected_at: after(6), ..account(ada, "a", "2") };
    store.put_upstream_account(&anew).await.unwrap();
    assert_eq!(store.end_accounts_without_grant(after(7)).await.unwrap(), 0, "connected since");
    assert_eq!(store.end_accounts_without_grant(after(86_401)).await.unwrap(), 1, "it expired");
    assert!(found(&store, bob, "a").await.is_none());
}

/// However the process ends that was asked to, and whatever key everything is sealed with anew meanwhile.
async fn what_its_person_ends_is_kept_until_its_tokens_are_given_back(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "1")).await.unwrap();
    let ends = join_all((0..10).map(|_| store.disconnect_upstream_account(ada, "a", NOW))).await;
    assert_eq!(ends.into_iter().filter(|ended| *ended.as_ref().unwrap()).count(), 1);
    assert_eq!(found(&store, ada, "a").await, None);
    let rows = store.sealed_rows(SealedPlace::EndedAccounts, None).await.unwrap();
    assert_eq!(rows.into_iter().map(|row| row.sealed).collect::<Vec<_>>(), ["1"]);
    let ended = store.claim_ended_account(NOW, after(60)).await.unwrap().unwrap();
    assert_eq!((ended.account.sealed.as_str(), ended.attempts), ("1", 1));
}

async fn what_ended_is_given_back_by_one_and_tried_again(store: Store) {
    let ada = somebody(&store).await;
    store.put_upstream_account(&account(ada, "a", "1")).await.unwrap();
    assert!(store.set_password(ada, "hash", None, NOW).await.unwrap());
    let claims = join_all((0..10).map(|_| store.claim_ended_account(NOW, after(60)))).await;
    let mut claimed: Vec<_> = claims.into_iter().filter_map(Result::unwrap).collect();
    let ended = claimed.pop().unwrap();
    assert!(claimed.is_empty(), "one of them has it");
    assert_eq!((ended.account.sealed.as_str(), ended.attempts), ("1", 1));
    assert!(store.claim_ended_account(after(59), after(99)).await.unwrap().is_none());
    store.put_off_ended_account(&ended.account, after(100)).await.unwrap();
    assert!(store.claim_ended_account(after(99), after(200)).await.unwrap().is_none());
    let again = store.claim_ended_account(after(100), after(200)).await.unwrap().unwrap();
    assert_eq!(again.attempts, 2);
    store.forget_ended_account(&again.account).await.unwrap();
    assert!(store.claim_ended_account(after(300), after(400)).await.unwrap().is_none());
    store.put_off_ended_account(&again.account, after(1)).await.unwrap();
    assert!(
        store.claim_ended_account(after(300), after(400)).await.unwrap().is_none(),
        "it is gone"
    );
    store.put_upstream_account(&account(ada, "a", "2")).await.unwrap();
    assert!(store.set_password(ada, "hash", None, NOW).await.unwrap());
    store.clean_up(after(2 * 86_400)).await.unwrap();
    assert!(store.claim_ended_account(after(2 * 86_400), after(400)).await.unwrap().is_none());
}
