//! What people have said yes to, and when it no longer counts.

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    Consent, ConsentKey, ConsentUse, Digest, GrantRow, LinkPurpose, OneTimeLink, RevokeReason,
};

use super::rows::{client_id, code, grant, session, user};
use super::{NOW, Store, after, on_both};

on_both! {
    a_yes_in_a_session_that_is_over_is_not_remembered;
    a_grant_that_nobody_was_asked_about_needs_the_earlier_yes;
    a_second_yes_is_kept_beside_the_first;
    of_a_withdrawal_and_an_unasked_grant_none_is_left_alive;
    a_new_password_forgets_every_yes;
    a_second_factor_that_is_taken_away_takes_every_yes_along;
    a_grant_that_an_administrator_ends_takes_the_yes_along;
    a_resource_that_goes_takes_the_yes_along;
}

/// For the client of [`grant`], at its resource.
fn consent(user_id: UserId) -> Consent {
    let key = ConsentKey {
        user_id,
        client_id: client_id(),
        redirect_class: "https://client.example".to_owned(),
        resource: grant().resource,
    };
    let scopes = "graph:read".parse().unwrap();
    Consent { key, scopes, granted_at: NOW, expires_at: after(600) }
}

/// Somebody who is logged in (`s`) and has said yes to something.
async fn person(store: &Store) -> UserId {
    let ada = user("ada");
    assert!(store.add_user(&ada).await.unwrap());
    store.add_session(&session("s", ada.id)).await.unwrap();
    store.put_consent(&consent(ada.id)).await.unwrap();
    ada.id
}

fn grant_of(user_id: UserId) -> GrantRow {
    GrantRow { user_id: Some(user_id), ..grant() }
}

async fn allows(store: &Store, grant: &GrantRow, consent: &ConsentUse) -> bool {
    let code = code(grant, &grant.id.to_string());
    let session = Digest::of("s");
    store.add_grant_with_code(&session, grant, &code, Some(consent)).await.unwrap()
}

async fn yeses(store: &Store, user: UserId) -> usize {
    store.list_consents(user).await.unwrap().len()
}

// OIDC Back-Channel Logout §2.7 — N37
async fn a_yes_in_a_session_that_is_over_is_not_remembered(store: Store) {
    let ada = user("ada").id;
    let given = ConsentUse::Given(consent(ada));
    let grant = grant_of(ada);
    assert!(!allows(&store, &grant, &given).await);
    assert_eq!(yeses(&store, ada).await, 0);
    assert!(store.find_grant(grant.id).await.unwrap().is_none());
}

async fn a_grant_that_nobody_was_asked_about_needs_the_earlier_yes(store: Store) {
    let ada = person(&store).await;
    let consent = consent(ada);
    let before = store.find_consent(&consent.key, NOW).await.unwrap().unwrap().expires_at;
    let standing = ConsentUse::Standing(consent.key.clone());
    assert!(allows(&store, &grant_of(ada), &standing).await);
    let found = store.find_consent(&consent.key, NOW).await.unwrap().unwrap();
    assert_eq!(found.expires_at, before, "it lives no longer for being used");
    let late = GrantRow { created_at: after(600), ..grant_of(ada) };
    assert!(!allows(&store, &late, &standing).await);
    store.withdraw(ada, &client_id(), NOW).await.unwrap();
    assert!(!allows(&store, &grant_of(ada), &standing).await);
}

async fn a_second_yes_is_kept_beside_the_first(store: Store) {
    let ada = person(&store).await;
    let more = "graph:write".parse().unwrap();
    let consent = Consent { scopes: more, expires_at: after(900), ..consent(ada) };
    assert!(allows(&store, &grant_of(ada), &ConsentUse::Given(consent.clone())).await);
    let found = store.find_consent(&consent.key, after(800)).await.unwrap().unwrap();
    assert_eq!(found.scopes, "graph:read graph:write".parse().unwrap());
}

async fn of_a_withdrawal_and_an_unasked_grant_none_is_left_alive(store: Store) {
    let ada = person(&store).await;
    for round in 0..20 {
        store.put_consent(&consent(ada)).await.unwrap();
        let (grant, standing) = (grant_of(ada), ConsentUse::Standing(consent(ada).key));
        let client = client_id();
        let (allowed, _) =
            tokio::join!(allows(&store, &grant, &standing), store.withdraw(ada, &client, after(1)));
        assert!(!allowed || store.is_revoked(Some(grant.id), None), "{round}");
    }
}

// RFC 9700 §4.14.2 — N51
async fn a_new_password_forgets_every_yes(store: Store) {
    let ada = person(&store).await;
    let bob = consent(user("bob").id);
    store.put_consent(&bob).await.unwrap();
    assert!(store.set_password(ada, "$1", None, after(1)).await.unwrap());
    assert_eq!((yeses(&store, ada).await, yeses(&store, bob.key.user_id).await), (0, 1));
}

async fn a_second_factor_that_is_taken_away_takes_every_yes_along(store: Store) {
    let ada = person(&store).await;
    let sealed = "s".to_owned();
    let app = mcp_auth_broker::store::AuthenticatorRow {
        user_id: ada,
        sealed,
        last_step: 1,
        confirmed_at: NOW,
    };
    assert!(store.add_authenticator(&app, &[], None).await.unwrap());
    let (link, purpose) = (Digest::of("link"), LinkPurpose::Reset);
    let link = OneTimeLink { link, user_id: ada, purpose, expires_at: after(60) };
    assert!(store.start_over(&link).await.unwrap());
    assert_eq!(yeses(&store, ada).await, 0);
}

async fn a_grant_that_an_administrator_ends_takes_the_yes_along(store: Store) {
    let ada = person(&store).await;
    let mut other = consent(ada);
    other.key.client_id = "client-2".parse().unwrap();
    store.put_consent(&other).await.unwrap();
    for (reason, left) in [
        (RevokeReason::Client, 2),
        (RevokeReason::RefreshReuse, 2),
        (RevokeReason::Administrator, 1),
    ] {
        let grant = grant_of(ada);
        store.add_grant(&grant).await.unwrap();
        assert!(store.revoke_grant(grant.id, reason, after(1)).await.unwrap());
        assert_eq!(yeses(&store, ada).await, left, "{reason:?}");
    }
}

async fn a_resource_that_goes_takes_the_yes_along(store: Store) {
    let ada = person(&store).await;
    let mut other = consent(ada);
    other.key.resource = "https://b".to_owned();
    store.put_consent(&other).await.unwrap();
    let uri = grant().resource;
    store.add_resource(&super::resources::resource("a", &[&uri])).await.unwrap();
    assert!(store.delete_resource("a", false, after(1)).await.unwrap());
    let left = store.list_consents(ada).await.unwrap();
    assert_eq!(left.iter().map(|one| &*one.key.resource).collect::<Vec<_>>(), ["https://b"]);
}
