//! Clients, their metadata documents, signing keys.

use mcp_auth_broker::store::{
    ClientKind, ClientRow, Digest, GrantRow, MetadataDocument, NewRegistration, PageRequest,
    RevokeReason, SigningKeyRow, SigningKeyState,
};

use super::rows::{client, client_id, grant};
use super::{NOW, Store, after, on_both};

on_both! {
    a_client_is_added_once_changed_and_deleted;
    of_two_who_replace_a_registration_with_one_token_one_does;
    a_client_that_is_disabled_loses_its_grants_in_the_same_step;
    a_client_without_a_row_can_be_disabled;
    a_disabled_client_has_no_token_of_its_own_any_more;
    a_rotated_secret_keeps_the_one_before;
    only_idle_dynamic_clients_without_a_live_grant_are_reaped;
    a_client_used_just_now_is_not_reaped;
    a_metadata_document_is_replaced;
    the_first_signing_key_is_added_once;
}

async fn a_client_is_added_once_changed_and_deleted(store: Store) {
    let row = client("client-1", ClientKind::Static);
    assert!(store.add_client(&row).await.unwrap());
    assert!(!store.add_client(&row).await.unwrap());
    assert!(store.update_client(&row.id, "{}", Digest::of("{}")).await.unwrap());
    assert!(store.disable_client(&row.id, Some(after(1))).await.unwrap());
    let found = store.find_client(&row.id).await.unwrap().unwrap();
    assert_eq!((found.metadata.as_str(), found.disabled_at), ("{}", Some(after(1))));
    assert!(store.delete_client(&row.id).await.unwrap());
    assert!(!store.delete_client(&row.id).await.unwrap());
    assert!(store.find_client(&row.id).await.unwrap().is_none());
}

async fn a_client_that_is_disabled_loses_its_grants_in_the_same_step(store: Store) {
    store.add_client(&client("client-1", ClientKind::Static)).await.unwrap();
    let (ours, other) = (grant(), GrantRow { client_id: "other".parse().unwrap(), ..grant() });
    for grant in [&ours, &other] {
        store.add_grant(grant).await.unwrap();
    }
    store.disable_client(&client_id(), Some(after(1))).await.unwrap();
    assert!(store.is_revoked(Some(ours.id), None) && !store.is_revoked(Some(other.id), None));
    let found = store.find_grant(ours.id).await.unwrap().unwrap();
    assert_eq!(found.revoke_reason, Some(RevokeReason::Disabled));
    store.disable_client(&client_id(), None).await.unwrap();
    assert!(store.is_revoked(Some(ours.id), None), "what was revoked stays revoked");
}

async fn a_client_without_a_row_can_be_disabled(store: Store) {
    for id in ["https://evil.example/client", "dcr1.AAAA"] {
        let id = id.parse().unwrap();
        assert!(store.disable_client(&id, Some(after(1))).await.unwrap());
        let found = store.find_client(&id).await.unwrap().unwrap();
        assert_eq!(found.disabled_at, Some(after(1)));
        assert!(store.disable_client(&id, None).await.unwrap());
        assert!(store.find_client(&id).await.unwrap().is_none(), "known by its id alone again");
    }
    let unknown = "typo".parse().unwrap();
    assert!(!store.disable_client(&unknown, Some(after(1))).await.unwrap());
}

async fn a_disabled_client_has_no_token_of_its_own_any_more(store: Store) {
    store.add_client(&client("client-1", ClientKind::Static)).await.unwrap();
    store.disable_client(&client_id(), Some(after(1))).await.unwrap();
    store.disable_client(&client_id(), None).await.unwrap();
    let issued = |at| store.is_client_revoked("client-1", after(at).unix_seconds());
    assert_eq!([issued(0), issued(1), issued(2)], [true, true, false]);
    assert!(!store.is_client_revoked("other", NOW.unix_seconds()));
}

async fn a_rotated_secret_keeps_the_one_before(store: Store) {
    let row = client("client-1", ClientKind::Static);
    store.add_client(&row).await.unwrap();
    let [old, new] = ["old", "new"].map(Digest::of);
    store.rotate_client_secret(&row.id, old, after(10)).await.unwrap();
    assert!(store.find_client(&row.id).await.unwrap().unwrap().previous_secret.is_none());
    store.rotate_client_secret(&row.id, new, after(20)).await.unwrap();
    let found = store.find_client(&row.id).await.unwrap().unwrap();
    assert_eq!((found.secret, found.previous_secret), (Some(new), Some((old, after(20)))));
}

async fn only_idle_dynamic_clients_without_a_live_grant_are_reaped(store: Store) {
    for id in ["client-1", "idle"] {
        store.add_client(&client(id, ClientKind::Dynamic)).await.unwrap();
    }
    store.add_client(&client("static", ClientKind::Static)).await.unwrap();
    let grant = grant();
    store.add_grant(&grant).await.unwrap();
    assert_eq!(store.reap_clients(NOW, 100).await.unwrap(), 0, "not idle yet");
    assert_eq!(store.reap_clients(after(1), 100).await.unwrap(), 1);
    assert!(store.find_client(&client_id()).await.unwrap().is_some());
    store.revoke_grant(grant.id, RevokeReason::Person, NOW).await.unwrap();
    assert_eq!(store.reap_clients(after(1), 100).await.unwrap(), 1);
    let page = PageRequest { after: None, limit: 10 };
    assert_eq!(store.list_clients(&page).await.unwrap().rows.len(), 1);
}

async fn a_client_used_just_now_is_not_reaped(store: Store) {
    store.add_client(&client("client-1", ClientKind::Dynamic)).await.unwrap();
    store.client_used(&client_id(), after(100));
    assert_eq!(store.reap_clients(after(50), 100).await.unwrap(), 0);
    let found = store.find_client(&client_id()).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, after(100));
}

async fn a_metadata_document_is_replaced(store: Store) {
    let mut document = MetadataDocument {
        url: "https://client.example/id".to_owned(),
        body: b"{}".to_vec(),
        digest: Digest::of("{}"),
        etag: None,
        fetched_at: NOW,
        fresh_until: after(60),
        gone_at: None,
    };
    store.put_metadata_document(&document).await.unwrap();
    document.gone_at = Some(after(5));
    store.put_metadata_document(&document).await.unwrap();
    let found = store.find_metadata_document(&document.url).await.unwrap().unwrap();
    assert_eq!((found.body, found.gone_at), (document.body, document.gone_at));
}

async fn the_first_signing_key_is_added_once(store: Store) {
    let key = |kid: &str| SigningKeyRow {
        kid: kid.to_owned(),
        algorithm: "ES256".to_owned(),
        public_jwk: "{}".to_owned(),
        private: vec![0, 1, 255],
        state: SigningKeyState::Usable,
        created_at: NOW,
        not_before: NOW,
        retire_at: None,
    };
    assert!(store.add_first_signing_key(&key("a")).await.unwrap());
    assert!(!store.add_first_signing_key(&key("b")).await.unwrap());
    assert!(store.add_signing_key(&key("b")).await.unwrap());
    assert!(store.retire_signing_key("a", after(9)).await.unwrap());
    assert!(!store.retire_signing_key("a", after(10)).await.unwrap());
    let keys = store.signing_keys().await.unwrap();
    let seen: Vec<_> = keys.iter().map(|key| (key.kid.as_str(), key.state)).collect();
    assert_eq!(seen, [("a", SigningKeyState::Retiring), ("b", SigningKeyState::Usable)]);
    assert_eq!(keys[0].private, [0, 1, 255]);
    assert!(store.delete_signing_key("a").await.unwrap());
}

// RFC 7592 §2.2
async fn of_two_who_replace_a_registration_with_one_token_one_does(store: Store) {
    let row = client("client-1", ClientKind::Dynamic);
    let row = ClientRow { registration_token: Some(Digest::of("t1")), ..row };
    store.add_client(&row).await.unwrap();
    let replacing = |presented: &str, token: &str| NewRegistration {
        id: row.id.clone(),
        presented: Digest::of(presented),
        metadata: format!("{{\"client_name\":\"{token}\"}}"),
        metadata_digest: Digest::of(token),
        token: Digest::of(token),
    };
    let (one, other) = (replacing("t1", "t2"), replacing("t1", "t3"));
    let (one, other) =
        tokio::join!(store.replace_registration(&one), store.replace_registration(&other));
    assert_eq!([one.unwrap(), other.unwrap()].into_iter().filter(|done| *done).count(), 1);
    let found = store.find_client(&row.id).await.unwrap().unwrap();
    assert_ne!(found.registration_token, Some(Digest::of("t1")));
    assert!(!store.replace_registration(&replacing("t1", "t4")).await.unwrap());
    let in_force = if found.metadata.contains("t2") { "t2" } else { "t3" };
    store.disable_client(&row.id, Some(after(1))).await.unwrap();
    assert!(!store.replace_registration(&replacing(in_force, "t5")).await.unwrap(), "disabled");
}
