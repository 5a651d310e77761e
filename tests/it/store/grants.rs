//! Requests, codes, grants, consents, revocations.

use std::sync::Arc;

use mcp_auth_broker::store::{
    AuthorizationRequestRow, Consent, ConsentKey, Digest, GrantFilter, GrantRow, MetadataDocument,
    PageRequest, Redeemed, RevokeReason, RevokedToken,
};

use super::rows::{CHALLENGE, allow, client_id, code, grant, redemption, user_id};
use super::{Store, after, on_both};

on_both! {
    a_code_is_redeemed_once_and_its_replay_revokes_the_grant;
    a_wrong_redemption_does_not_use_up_the_code;
    a_late_code_is_refused;
    a_code_of_a_revoked_grant_gives_nothing;
    a_request_belongs_to_the_first_session_and_is_taken_once;
    withdrawing_ends_consent_and_grants_of_that_client_alone;
    a_revoked_access_token_is_known_at_once;
    an_assertion_is_used_once;
    grants_come_in_pages;
    clean_up_deletes_what_has_ended_and_nothing_else;
    one_clean_up_keeps_up_with_many_used_proofs;
    documents_that_nothing_names_are_forgotten;
}

// RFC 6749 §4.1.2, RFC 9700 §4.5 — N29
async fn a_code_is_redeemed_once_and_its_replay_revokes_the_grant(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    let first = store.redeem_code(&redemption("c", Some("r"))).await.unwrap();
    let Redeemed::Granted { grant: given, code } = first else { panic!("{first:?}") };
    assert_eq!((given.id, given.last_used_at), (grant.id, after(1)));
    assert_eq!((code.nonce.as_deref(), code.scopes), (Some("n-0S6"), grant.scopes));
    let second = store.redeem_code(&redemption("c", Some("r2"))).await.unwrap();
    assert!(matches!(second, Redeemed::Replayed { grant_id } if grant_id == grant.id));
    assert!(store.is_revoked(Some(grant.id), None));
    let row = store.find_grant(grant.id).await.unwrap().unwrap();
    assert_eq!(row.revoke_reason, Some(RevokeReason::CodeReplay));
    for token in ["r", "r2"] {
        assert!(store.find_refresh_token(&Digest::of(token)).await.unwrap().is_none());
    }
}

// RFC 7636 §4.6, RFC 6749 §4.1.3
async fn a_wrong_redemption_does_not_use_up_the_code(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    let right = redemption("c", None);
    let mut wrong = [right.clone(), right.clone(), right.clone(), right.clone()];
    wrong[0].client_id = "client-2".parse().unwrap();
    wrong[1].redirect_uri.push('/');
    wrong[2].code_challenge = CHALLENGE.replace('E', "e");
    wrong[3].code = Digest::of("another");
    for _ in 0..2 {
        for wrong in &wrong {
            assert!(matches!(store.redeem_code(wrong).await.unwrap(), Redeemed::Refused));
        }
        // The second time the code has been used: a guess must not be able to end the grant either.
        let _ = store.redeem_code(&right).await.unwrap();
        assert!(!store.is_revoked(Some(grant.id), None));
        if store.find_code(&right.code).await.unwrap().unwrap().used_at.is_some() {
            break;
        }
    }
    for wrong in &wrong {
        assert!(matches!(store.redeem_code(wrong).await.unwrap(), Redeemed::Refused));
    }
    assert!(!store.is_revoked(Some(grant.id), None));
}

async fn a_late_code_is_refused(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    let mut late = redemption("c", None);
    late.now = after(60);
    assert!(matches!(store.redeem_code(&late).await.unwrap(), Redeemed::Refused));
}

async fn a_code_of_a_revoked_grant_gives_nothing(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    assert!(store.revoke_grant(grant.id, RevokeReason::Person, after(0)).await.unwrap());
    assert!(!store.revoke_grant(grant.id, RevokeReason::Person, after(0)).await.unwrap());
    let redeemed = store.redeem_code(&redemption("c", Some("r"))).await.unwrap();
    assert!(matches!(redeemed, Redeemed::GrantEnded));
    assert!(store.find_refresh_token(&Digest::of("r")).await.unwrap().is_none());
}

async fn a_request_belongs_to_the_first_session_and_is_taken_once(store: Store) {
    let [handle, ours, theirs] = ["h", "ours", "theirs"].map(Digest::of);
    let row = AuthorizationRequestRow {
        handle,
        client_id: client_id(),
        parameters: "{}".to_owned(),
        session: None,
        expires_at: after(600),
    };
    store.add_authorization_request(&row).await.unwrap();
    assert!(store.bind_authorization_request(&handle, &ours, after(1)).await.unwrap());
    assert!(store.bind_authorization_request(&handle, &ours, after(1)).await.unwrap());
    assert!(!store.bind_authorization_request(&handle, &theirs, after(1)).await.unwrap());
    assert!(store.find_authorization_request(&handle, after(600)).await.unwrap().is_none());
    assert!(store.take_authorization_request(&handle, after(600)).await.unwrap().is_none());
    let taken = store.take_authorization_request(&handle, after(2)).await.unwrap().unwrap();
    assert_eq!(taken.session, Some(ours));
    assert!(store.take_authorization_request(&handle, after(2)).await.unwrap().is_none());
}

async fn withdrawing_ends_consent_and_grants_of_that_client_alone(store: Store) {
    let (mine, mut other) = (grant(), grant());
    other.client_id = "client-2".parse().unwrap();
    other.user_id = mine.user_id;
    let theirs = grant();
    for grant in [&mine, &other, &theirs] {
        store.add_grant(grant).await.unwrap();
    }
    let key = ConsentKey {
        user_id: mine.user_id.unwrap(),
        client_id: client_id(),
        redirect_class: "https://client.example".to_owned(),
        resource: mine.resource.clone(),
    };
    let scopes = mine.scopes.clone();
    let consent =
        Consent { key: key.clone(), scopes, granted_at: after(0), expires_at: after(100) };
    store.put_consent(&consent).await.unwrap();
    store.put_consent(&consent).await.unwrap();
    assert!(store.find_consent(&key, after(99)).await.unwrap().is_some());
    assert!(store.find_consent(&key, after(100)).await.unwrap().is_none());
    assert_eq!(store.list_consents(key.user_id).await.unwrap().len(), 1);
    assert_eq!(store.withdraw(key.user_id, &key.client_id, after(5)).await.unwrap(), 1);
    assert!(store.find_consent(&key, after(6)).await.unwrap().is_none());
    let revoked = [mine, other, theirs].map(|grant| store.is_revoked(Some(grant.id), None));
    assert_eq!(revoked, [true, false, false]);
}

// RFC 7009 §2
async fn a_revoked_access_token_is_known_at_once(store: Store) {
    let token = RevokedToken { jti: "j".to_owned(), expires_at: after(300) };
    assert!(!store.is_revoked(None, Some("j")));
    store.revoke_access_token(&token).await.unwrap();
    assert!(store.is_revoked(None, Some("j")));
    assert!(!store.is_revoked(None, Some("k")));
}

// RFC 7523 §3
async fn an_assertion_is_used_once(store: Store) {
    assert!(store.first_use("a", "j", after(60)).await.unwrap());
    assert!(!store.first_use("a", "j", after(60)).await.unwrap());
    assert!(store.first_use("b", "j", after(60)).await.unwrap());
}

async fn grants_come_in_pages(store: Store) {
    let user = user_id();
    for _ in 0..5 {
        let mut row = grant();
        row.user_id = Some(user);
        store.add_grant(&row).await.unwrap();
        store.add_grant(&grant()).await.unwrap();
    }
    let filter = GrantFilter { user_id: Some(user), ..GrantFilter::default() };
    let mut page = PageRequest { after: None, limit: 2 };
    let mut sizes = Vec::new();
    loop {
        let part = store.list_grants(&filter, &page).await.unwrap();
        assert!(part.rows.iter().all(|grant| grant.user_id == Some(user)));
        sizes.push(part.rows.len());
        page.after = part.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    let all = GrantFilter { client_id: Some(client_id()), ..GrantFilter::default() };
    assert_eq!(store.revoke_grants(&filter, RevokeReason::Person, after(1)).await.unwrap(), 5);
    let page = PageRequest { after: None, limit: 100 };
    assert_eq!(store.list_grants(&all, &page).await.unwrap().rows.len(), 5);
    let ended = GrantFilter { ended: true, ..all };
    assert_eq!(store.list_grants(&ended, &page).await.unwrap().rows.len(), 10);
}

async fn clean_up_deletes_what_has_ended_and_nothing_else(store: Store) {
    let grant = grant();
    allow(&store, &grant, &code(&grant, "c")).await;
    store.redeem_code(&redemption("c", Some("r"))).await.unwrap();
    store.first_use("a", "j", after(60)).await.unwrap();
    assert_eq!(store.clean_up(after(0)).await.unwrap(), 0);
    assert_eq!(store.clean_up(after(7_200)).await.unwrap(), 2, "the code and the assertion");
    assert!(store.find_refresh_token(&Digest::of("r")).await.unwrap().is_some());
    assert_eq!(store.clean_up(after(3 * 86_400)).await.unwrap(), 2, "the token and the grant");
}

// RFC 9449 §11.1 — N88
async fn one_clean_up_keeps_up_with_many_used_proofs(store: Store) {
    use futures_util::StreamExt as _;
    let add = |number: usize| {
        let store = Arc::clone(&store);
        async move { store.first_use("a", &number.to_string(), after(60)).await.unwrap() }
    };
    let added = futures_util::stream::iter(0..25_000).map(add).buffer_unordered(128);
    assert!(added.all(std::future::ready).await);
    assert_eq!(store.clean_up(after(7_200)).await.unwrap(), 25_000);
}

// RFC 7591 §5 — N90
async fn documents_that_nothing_names_are_forgotten(store: Store) {
    let (day, quarter) = (86_400, 91 * 86_400);
    let grant = GrantRow { expires_at: after(2 * quarter), ..grant() };
    for (url, gone_at) in [
        (grant.client_id.as_str(), None),
        ("https://a.example/x", None),
        ("https://b.example/x", Some(after(0))),
    ] {
        let document = MetadataDocument {
            url: url.to_owned(),
            body: b"{}".to_vec(),
            digest: Digest::of("{}"),
            etag: None,
            fetched_at: after(0),
            fresh_until: after(60),
            gone_at,
        };
        store.put_metadata_document(&document).await.unwrap();
    }
    allow(&store, &grant, &code(&grant, "c")).await;
    assert_eq!(store.clean_up(after(600)).await.unwrap(), 0);
    assert_eq!(store.clean_up(after(day)).await.unwrap(), 2, "the code and one document");
    assert!(store.find_metadata_document("https://a.example/x").await.unwrap().is_none());
    assert_eq!(store.clean_up(after(quarter)).await.unwrap(), 1, "the one that was taken back");
    assert!(store.find_metadata_document(grant.client_id.as_str()).await.unwrap().is_some());
}
