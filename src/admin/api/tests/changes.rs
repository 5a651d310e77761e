//! What a change may not do, and that what is asked is on record.

use serde_json::json;

use crate::admin::{AdminError, BoundTokens, ClientChange, NewClient, ServerChange};

use super::{Site, filled};

#[test]
fn whatever_is_asked_of_a_route_is_recorded_with_its_method() {
    for (path, operation) in &super::super::described().operations {
        let method = operation.method.to_ascii_uppercase();
        assert!(super::super::access::METHODS.contains(&method.as_str()), "{method} {path}");
    }
}

// RFC 9126 §6, RFC 9449 §5.2
#[tokio::test]
async fn what_a_client_is_held_to_outlives_a_change_and_what_cannot_be_kept_is_no_client() {
    let mut site = Site::new().await;
    let actor = site.actor();
    let new = |members: serde_json::Value| {
        let mut new = json!({ "client_name": "Desk", "redirect_uris": ["https://a.example/cb"] });
        for (name, value) in members.as_object().unwrap() {
            new[name] = value.clone();
        }
        serde_json::from_value::<NewClient>(new).unwrap()
    };
    let demands =
        json!({ "dpop_bound_access_tokens": true, "require_pushed_authorization_requests": true });
    let certificate = json!({ "dpop_bound_access_tokens": true, "tls_client_certificate_bound_access_tokens": true });
    let machine = json!({ "require_pushed_authorization_requests": true, "redirect_uris": [], "grant_types": ["client_credentials"] });
    let refused = async |site: &Site, members: &serde_json::Value| {
        let added = site.operations.add_client(&actor, new(members.clone())).await;
        let Err(AdminError::Invalid { field, .. }) = added else { panic!("{members}") };
        field
    };
    assert_eq!(refused(&site, &demands).await, "dpop_bound_access_tokens");
    assert_eq!(refused(&site, &machine).await, "require_pushed_authorization_requests");
    site.operations.settings.bound_tokens = BoundTokens::Some;
    site.operations.settings.client_certificates.self_signed = true;
    assert_eq!(refused(&site, &certificate).await, "dpop_bound_access_tokens");
    let (added, _) = site.operations.add_client(&actor, new(demands.clone())).await.unwrap();
    let change = ClientChange { client_name: Some("Desk 2".to_owned()), ..Default::default() };
    let changed = site.operations.change_client(&actor, &added.client_id, change).await.unwrap();
    for (name, value) in demands.as_object().unwrap() {
        assert_eq!((&added.metadata[name], &changed.metadata[name]), (value, value));
    }
}

// RFC 7591 §2
#[tokio::test]
async fn taking_every_scope_away_is_no_change_but_a_reason_to_disable() {
    let site = Site::new().await;
    let at = filled(&site).await;
    let (operations, actor) = (&site.operations, site.actor());
    let client = at("/clients/{id}").trim_start_matches("/clients/").parse().unwrap();
    for scope in ["", " "] {
        let scope = Some(scope.to_owned());
        let change = ClientChange { scope: scope.clone(), ..Default::default() };
        let refused = operations.change_client(&actor, &client, change).await;
        assert!(matches!(refused, Err(AdminError::Invalid { field: "scope", .. })));
        let change = ServerChange { scope, ..Default::default() };
        let refused = operations.change_server(&actor, "weather", change).await;
        assert!(matches!(refused, Err(AdminError::Invalid { field: "scope", .. })));
    }
}
