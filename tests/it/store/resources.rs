//! Resources and their keys.

use mcp_auth_broker::store::{
    ApiKeyRow, Digest, GrantRow, PageRequest, ResourceChange, ResourceRow,
};

use super::rows::grant;
use super::{NOW, Store, after, on_both};

on_both! {
    a_uri_or_alias_belongs_to_one_resource;
    a_resource_goes_with_its_keys;
    a_key_is_revoked_by_its_own_resource_only;
    a_resource_that_goes_takes_the_grants_for_it_along;
    what_is_reached_through_us_is_listed_by_itself;
    a_change_leaves_what_it_does_not_name;
}

pub(super) fn resource(id: &str, uris: &[&str]) -> ResourceRow {
    ResourceRow {
        id: id.to_owned(),
        uri: uris[0].to_owned(),
        aliases: uris[1..].iter().map(|uri| (*uri).to_owned()).collect(),
        url: None,
        proxy: None,
        name: id.to_owned(),
        description: None,
        owner: None,
        scopes: "a b".parse().unwrap(),
        access_token_ttl_seconds: Some(600),
        created_at: NOW,
        disabled_at: None,
    }
}

fn key(prefix: &str, resource: &str) -> ApiKeyRow {
    ApiKeyRow {
        prefix: prefix.to_owned(),
        key: Digest::of(prefix),
        resource_id: resource.to_owned(),
        name: None,
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

async fn a_uri_or_alias_belongs_to_one_resource(store: Store) {
    let uris = ["https://a", "https://a/", "https://c/mcp", "https://d/mcp/"];
    assert!(store.add_resource(&resource("a", &uris)).await.unwrap());
    for taken in [
        resource("a", &["https://x"]),
        resource("b", &["https://a/"]),
        resource("b", &["https://b", "https://a"]),
        resource("b", &["https://b", "https://c/mcp/"]),
        resource("b", &["https://d/mcp"]),
    ] {
        assert!(!store.add_resource(&taken).await.unwrap());
    }
    assert!(store.add_resource(&resource("b", &["https://b"])).await.unwrap());
    let found = store.find_resource_by_uri("https://a").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.access_token_ttl_seconds), ("a", Some(600)));
    assert!(store.find_resource_by_uri("https://a/").await.unwrap().is_some());
    assert!(store.find_resource_by_uri("https://x").await.unwrap().is_none());
    let page = store.list_resources(&PageRequest { after: None, limit: 1 }).await.unwrap();
    assert_eq!(page.next.as_deref(), Some("a"));
}

async fn a_resource_goes_with_its_keys(store: Store) {
    assert!(!store.add_api_key(&key("k", "a")).await.unwrap(), "there is no such resource");
    store.add_resource(&resource("a", &["https://a"])).await.unwrap();
    assert!(store.add_api_key(&key("k", "a")).await.unwrap());
    assert!(!store.add_api_key(&key("k", "a")).await.unwrap());
    assert!(store.delete_resource("a", false, NOW).await.unwrap());
    assert!(store.find_api_key("k").await.unwrap().is_none());
    assert!(store.add_resource(&resource("b", &["https://a"])).await.unwrap());
}

async fn a_resource_that_goes_takes_the_grants_for_it_along(store: Store) {
    store.add_resource(&resource("a", &["https://a", "https://a/"])).await.unwrap();
    let grants = ["https://a", "https://a/", "https://b"]
        .map(|uri| GrantRow { resource: uri.to_owned(), ..grant() });
    for grant in &grants {
        store.add_grant(grant).await.unwrap();
    }
    assert!(store.delete_resource("a", false, after(1)).await.unwrap());
    let revoked = grants.each_ref().map(|grant| store.is_revoked(Some(grant.id), None));
    assert_eq!(revoked, [true, true, false]);
    assert!(!store.delete_resource("a", false, after(1)).await.unwrap());
}

async fn what_is_reached_through_us_is_listed_by_itself(store: Store) {
    let through_us = |id: &str, url: &str| ResourceRow {
        url: Some(url.to_owned()),
        ..resource(id, &[&format!("https://b/servers/{id}/mcp")])
    };
    store.add_resource(&resource("a", &["https://a"])).await.unwrap();
    let listed = async || store.list_proxied_resources().await.unwrap();
    assert_eq!(listed().await, []);
    let (b, c) = (through_us("b", "http://b"), through_us("c", "http://c"));
    for row in [&c, &b] {
        assert!(store.add_resource(row).await.unwrap());
    }
    assert_eq!(listed().await, [b.clone(), c.clone()]);
    let said = Some("{\"fold\":true}");
    assert!(!store.set_resource_proxy("c", "http://d", said).await.unwrap(), "it is elsewhere");
    assert!(store.set_resource_proxy("c", "http://c", said).await.unwrap());
    let told = ResourceRow { proxy: said.map(str::to_owned), ..c };
    assert_eq!(listed().await, [b, told.clone()]);
    assert_eq!(store.find_resource("c").await.unwrap(), Some(told));
    assert!(store.disable_resource("c", Some(NOW)).await.unwrap());
    assert!(store.delete_resource("b", false, NOW).await.unwrap());
    assert_eq!(listed().await, []);
}

async fn a_change_leaves_what_it_does_not_name(store: Store) {
    let before = resource("a", &["https://a", "https://a/"]);
    store.add_resource(&before).await.unwrap();
    let none = ResourceChange {
        id: "a".to_owned(),
        name: None,
        description: None,
        scopes: None,
        access_token_ttl_seconds: None,
    };
    let found = async || store.find_resource("a").await.unwrap().unwrap();
    assert!(store.disable_resource("a", Some(after(1))).await.unwrap());
    assert!(store.change_resource(&none).await.unwrap());
    let off = ResourceRow { disabled_at: Some(after(1)), ..before };
    assert_eq!(found().await, off, "a change enables nothing");
    let (name, description) = (Some("A".to_owned()), Some("about".to_owned()));
    let scopes = Some("a".parse().unwrap());
    let all = ResourceChange {
        name,
        description,
        scopes,
        access_token_ttl_seconds: Some(60),
        ..none.clone()
    };
    assert!(store.change_resource(&all).await.unwrap());
    assert!(store.disable_resource("a", None).await.unwrap());
    let changed = ResourceRow {
        name: "A".to_owned(),
        description: Some("about".to_owned()),
        scopes: "a".parse().unwrap(),
        access_token_ttl_seconds: Some(60),
        disabled_at: None,
        ..off
    };
    assert_eq!(found().await, changed, "enabling undoes no change");
    let (description, access_token_ttl_seconds) = (Some(String::new()), Some(0));
    let less = ResourceChange { description, access_token_ttl_seconds, ..none.clone() };
    assert!(store.change_resource(&less).await.unwrap());
    let less = ResourceRow { description: None, access_token_ttl_seconds: None, ..changed };
    assert_eq!(found().await, less);
    let nobody = ResourceChange { id: "b".to_owned(), ..none };
    assert!(!store.change_resource(&nobody).await.unwrap());
    assert!(!store.disable_resource("b", None).await.unwrap());
}

async fn a_key_is_revoked_by_its_own_resource_only(store: Store) {
    store.add_resource(&resource("a", &["https://a"])).await.unwrap();
    store.add_api_key(&key("k", "a")).await.unwrap();
    assert!(!store.revoke_api_key("b", "k", after(1)).await.unwrap());
    assert!(store.revoke_api_key("a", "k", after(1)).await.unwrap());
    assert!(!store.revoke_api_key("a", "k", after(2)).await.unwrap());
    assert_eq!(store.list_api_keys("a").await.unwrap()[0].revoked_at, Some(after(1)));
}
