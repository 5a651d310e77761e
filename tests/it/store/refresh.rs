//! Rotation, the same reply within the grace, and reuse (OAuth 2.1 §4.3.1).

use mcp_auth_broker::store::{Digest, RevokeReason, Rotated};

use super::rows::{rotation, with_refresh_token};
use super::{Store, after, on_both};

on_both! {
    a_refresh_token_is_replaced_by_its_successor;
    a_retry_within_the_grace_gets_the_same_reply;
    the_grace_does_not_slide;
    reuse_after_the_successor_was_used_ends_the_family;
    another_client_changes_nothing;
    a_late_token_is_refused;
}

async fn a_refresh_token_is_replaced_by_its_successor(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    let rotated = store.rotate_refresh_token(&rotation("r1", "r2", 10)).await.unwrap();
    assert!(matches!(rotated, Rotated::Granted { grant: given } if given.id == grant.id));
    assert!(store.find_refresh_token(&Digest::of("r1")).await.unwrap().is_none());
    let (_, next) = store.find_refresh_token(&Digest::of("r2")).await.unwrap().unwrap();
    assert_eq!(next.expires_at, after(3_600));
    let unknown = store.rotate_refresh_token(&rotation("r0", "r3", 10)).await.unwrap();
    assert!(matches!(unknown, Rotated::Refused));
}

// RFC 9700 §4.14.2 — N46
async fn a_retry_within_the_grace_gets_the_same_reply(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    store.rotate_refresh_token(&rotation("r1", "r2", 10)).await.unwrap();
    for at in [10, 40, 70] {
        let again = store.rotate_refresh_token(&rotation("r1", "fork", at)).await.unwrap();
        let Rotated::SameReply { grant_id, sealed_reply } = again else { panic!("{again:?}") };
        assert_eq!((grant_id, sealed_reply.as_slice()), (grant.id, &b"sealed r2"[..]));
    }
    assert!(store.find_refresh_token(&Digest::of("fork")).await.unwrap().is_none());
}

// RFC 9700 §4.14.2 — N48
async fn the_grace_does_not_slide(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    store.rotate_refresh_token(&rotation("r1", "r2", 10)).await.unwrap();
    store.rotate_refresh_token(&rotation("r1", "r3", 60)).await.unwrap();
    let late = store.rotate_refresh_token(&rotation("r1", "r4", 71)).await.unwrap();
    assert!(matches!(late, Rotated::Reused { grant_id } if grant_id == grant.id));
    assert!(store.is_revoked(Some(grant.id), None));
}

// RFC 9700 §4.14.2 — N45
async fn reuse_after_the_successor_was_used_ends_the_family(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    store.rotate_refresh_token(&rotation("r1", "r2", 10)).await.unwrap();
    store.rotate_refresh_token(&rotation("r2", "r3", 11)).await.unwrap();
    let reused = store.rotate_refresh_token(&rotation("r1", "r4", 12)).await.unwrap();
    assert!(matches!(reused, Rotated::Reused { grant_id } if grant_id == grant.id));
    assert!(store.is_revoked(Some(grant.id), None));
    let row = store.find_grant(grant.id).await.unwrap().unwrap();
    assert_eq!(row.revoke_reason, Some(RevokeReason::RefreshReuse));
    let newest = store.rotate_refresh_token(&rotation("r3", "r5", 13)).await.unwrap();
    assert!(matches!(newest, Rotated::GrantEnded));
    let again = store.rotate_refresh_token(&rotation("r1", "r6", 14)).await.unwrap();
    assert!(matches!(again, Rotated::GrantEnded), "the family is killed once");
}

// RFC 6749 §6 and §10.4
async fn another_client_changes_nothing(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    let mut stolen = rotation("r1", "r2", 10);
    stolen.client_id = "client-2".parse().unwrap();
    for _ in 0..2 {
        assert!(matches!(store.rotate_refresh_token(&stolen).await.unwrap(), Rotated::Refused));
        store.rotate_refresh_token(&rotation("r1", "r2", 10)).await.unwrap();
    }
    assert!(!store.is_revoked(Some(grant.id), None));
}

async fn a_late_token_is_refused(store: Store) {
    let grant = with_refresh_token(&store, "r1").await;
    let late = store.rotate_refresh_token(&rotation("r1", "r2", 3_600)).await.unwrap();
    assert!(matches!(late, Rotated::Refused));
    assert!(!store.is_revoked(Some(grant.id), None));
}
