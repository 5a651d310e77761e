//! Definitions of tools, as they were approved.

use std::collections::BTreeSet;
use std::sync::Arc;

use mcp_auth_broker::store::{
    MetTool, PageRequest, ResourceRow, ToolApproval, ToolApproved, ToolPin, ToolPinList, ToolPinRow,
};
use mcp_auth_broker::time::Timestamp;

use super::races::race;
use super::{NOW, Place, Store, after, on_both};

on_both! {
    the_first_definition_is_pinned_and_another_one_waits;
    of_many_who_meet_a_tool_one_pins_it;
    of_many_who_see_a_change_one_is_to_tell;
    a_tool_that_changes_all_the_time_is_told_of_once_an_hour;
    only_what_somebody_has_looked_at_is_approved;
    an_approval_and_a_change_at_once_lose_neither;
    pins_go_with_their_server;
    pins_of_a_server_of_the_settings_stay_whatever_is_registered;
    pins_of_a_server_that_nobody_serves_are_cleaned_up;
    pins_of_a_server_that_is_disabled_stay;
    ten_thousand_tools_and_hostile_text_are_kept_within_bounds;
    a_list_comes_in_pages_with_and_without_what_is_as_it_was;
}

const HOUR: i64 = 3600;

fn met(tool: &str, digest: &str) -> MetTool {
    let definition = Some(format!(r#"{{"name":"{tool}","x":"{digest}"}}"#));
    MetTool { tool: tool.to_owned(), digest: digest.to_owned(), definition }
}

fn pin(tool: &str, digest: &str, found: Option<&str>) -> ToolPin {
    let found = found.map(str::to_owned);
    ToolPin { tool: tool.to_owned(), digest: digest.to_owned(), found }
}

/// What is to be told.
async fn meet(store: &Store, tool: &str, digest: &str, at: Timestamp) -> Vec<String> {
    store.meet_tools("a", vec![met(tool, digest)], at).await.unwrap().told
}

async fn found(store: &Store, tool: &str) -> ToolPinRow {
    store.find_tool_pin("a", tool).await.unwrap().unwrap()
}

fn approval(tool: &str, digest: &str) -> ToolApproval {
    let (server, by) = ("a".to_owned(), Some("ada".to_owned()));
    ToolApproval { server, tool: tool.to_owned(), digest: digest.to_owned(), by, at: after(9) }
}

async fn the_first_definition_is_pinned_and_another_one_waits(store: Store) {
    let first = store.meet_tools("a", vec![met("t", "1"), met("u", "1")], NOW).await.unwrap();
    assert_eq!(first.pins, [pin("t", "1", None), pin("u", "1", None)]);
    assert!(first.told.is_empty() && first.versions.0 < first.versions.1);
    let again = store.meet_tools("a", vec![met("t", "1")], after(1)).await.unwrap();
    assert_eq!(again.versions, (first.versions.1, first.versions.1), "nothing is another");
    let changed = store.meet_tools("a", vec![met("t", "2")], after(2)).await.unwrap();
    assert_eq!(
        (changed.pins, changed.told),
        (vec![pin("t", "1", Some("2"))], vec!["t".to_owned()])
    );
    let all = store.tool_pins("a").await.unwrap();
    assert_eq!(all.version, Some(changed.versions.1));
    let pins: BTreeSet<_> = all.pins.into_iter().map(|pin| (pin.tool, pin.found)).collect();
    assert_eq!(pins, [("t".into(), Some("2".into())), ("u".into(), None)].into());
    let row = found(&store, "t").await;
    assert_eq!((row.digest.as_str(), row.approved_at, row.approved_by), ("1", NOW, None));
    let waits = row.found.unwrap();
    assert_eq!((waits.digest.as_str(), waits.at), ("2", after(2)));
    assert_eq!(waits.definition.as_deref(), Some(r#"{"name":"t","x":"2"}"#));
}

async fn of_many_who_meet_a_tool_one_pins_it(store: Store) {
    let met = race(20, |number| {
        let store = Arc::clone(&store);
        async move {
            let tools = vec![met("t", &number.to_string()), met("u", "same")];
            store.meet_tools("a", tools, NOW).await.unwrap()
        }
    })
    .await;
    let digests: BTreeSet<_> = met.iter().map(|met| met.pins[0].digest.clone()).collect();
    assert_eq!(digests.len(), 1, "all are held to the same definition: {digests:?}");
    let told: Vec<_> = met.iter().flat_map(|met| met.told.clone()).collect();
    assert_eq!(told, ["t"], "the others are a change, which is told once");
}

async fn of_many_who_see_a_change_one_is_to_tell(store: Store) {
    meet(&store, "t", "old", NOW).await;
    let told = race(20, |_| {
        let store = Arc::clone(&store);
        async move { meet(&store, "t", "new", after(1)).await }
    })
    .await;
    assert_eq!(told.concat(), ["t"]);
}

async fn a_tool_that_changes_all_the_time_is_told_of_once_an_hour(store: Store) {
    meet(&store, "t", "0", NOW).await;
    assert_eq!(meet(&store, "t", "1", after(1)).await, ["t"]);
    assert!(meet(&store, "t", "2", after(2)).await.is_empty());
    assert_eq!(found(&store, "t").await.found.unwrap().digest, "1", "not written for each list");
    assert!(meet(&store, "t", "3", after(90)).await.is_empty());
    assert_eq!(found(&store, "t").await.found.unwrap().digest, "3");
    assert_eq!(meet(&store, "t", "4", after(1 + HOUR)).await, ["t"]);
}

async fn only_what_somebody_has_looked_at_is_approved(store: Store) {
    meet(&store, "t", "1", NOW).await;
    meet(&store, "t", "2", after(1)).await;
    for (asked, said) in [
        (approval("t", "3"), ToolApproved::Other),
        (approval("other", "2"), ToolApproved::Unknown),
        (approval("t", "2"), ToolApproved::Done),
        (approval("t", "1"), ToolApproved::Other),
    ] {
        assert_eq!(store.approve_tool(&asked).await.unwrap(), said, "{asked:?}");
    }
    let row = found(&store, "t").await;
    assert_eq!((row.digest.as_str(), row.found), ("2", None));
    assert_eq!((row.approved_at, row.approved_by.as_deref()), (after(9), Some("ada")));
    assert_eq!(row.definition.as_deref(), Some(r#"{"name":"t","x":"2"}"#));
    assert_eq!(meet(&store, "t", "1", after(10)).await, ["t"], "the old one is another by now");
    assert_eq!(store.approve_tool(&approval("t", "2")).await.unwrap(), ToolApproved::Done);
    assert_eq!(found(&store, "t").await.found, None, "what waited is dropped");
}

async fn an_approval_and_a_change_at_once_lose_neither(store: Store) {
    meet(&store, "t", "1", NOW).await;
    meet(&store, "t", "2", after(1)).await;
    let done = race(10, |number| {
        let store = Arc::clone(&store);
        async move {
            if number % 2 == 0 {
                let approved = store.approve_tool(&approval("t", "2")).await.unwrap();
                assert_ne!(approved, ToolApproved::Unknown);
            }
            store.meet_tools("a", vec![met("t", "3")], after(100)).await.unwrap().versions.1
        }
    })
    .await;
    let row = found(&store, "t").await;
    let waits = row.found.map(|found| found.digest);
    // Where the change came first, what was looked at is not there any more.
    let state = (row.digest.as_str(), waits.as_deref());
    assert!(matches!(state, ("2", None | Some("3")) | ("1", Some("3"))), "{state:?}");
    meet(&store, "t", "3", after(200)).await;
    assert_eq!(found(&store, "t").await.found.unwrap().digest, "3");
    let last = store.tool_pins("a").await.unwrap().version;
    assert!(last >= done.into_iter().max(), "versions count up");
}

fn server(id: &str) -> ResourceRow {
    ResourceRow {
        id: id.to_owned(),
        uri: format!("https://broker.example/servers/{id}/mcp"),
        aliases: Vec::new(),
        url: Some("https://weather.example/mcp".to_owned()),
        proxy: None,
        name: id.to_owned(),
        description: None,
        owner: None,
        scopes: "".parse().unwrap(),
        access_token_ttl_seconds: None,
        created_at: NOW,
        disabled_at: None,
    }
}

async fn pins_go_with_their_server(store: Store) {
    assert!(store.add_resource(&server("a")).await.unwrap());
    meet(&store, "t", "1", NOW).await;
    assert!(!store.delete_resource("b", false, NOW).await.unwrap());
    assert!(!store.tool_pins("a").await.unwrap().pins.is_empty());
    assert!(store.delete_resource("a", false, NOW).await.unwrap());
    assert_eq!(store.tool_pins("a").await.unwrap().version, None);
    meet(&store, "t", "of a replica that has not heard of it", after(1)).await;
    assert!(store.add_resource(&server("a")).await.unwrap());
    assert!(store.tool_pins("a").await.unwrap().pins.is_empty(), "it is another server");
}

/// Else what waits to be approved would be the first definition, and shown.
async fn pins_of_a_server_of_the_settings_stay_whatever_is_registered(store: Store) {
    meet(&store, "t", "1", NOW).await;
    meet(&store, "t", "2", after(1)).await;
    let reached_directly =
        ResourceRow { url: None, uri: "https://weather.example/".to_owned(), ..server("a") };
    assert!(store.add_resource(&reached_directly).await.unwrap());
    assert!(found(&store, "t").await.found.is_some());
    assert!(store.delete_resource("a", false, NOW).await.unwrap());
    assert!(found(&store, "t").await.found.is_some());
    assert!(store.add_resource(&server("a")).await.unwrap());
    meet(&store, "t", "1", NOW).await;
    assert!(store.delete_resource("a", true, NOW).await.unwrap(), "it is in the settings by now");
    assert_eq!(found(&store, "t").await.digest, "1");
}

async fn pins_of_a_server_that_is_disabled_stay(store: Store) {
    assert!(store.add_resource(&server("a")).await.unwrap());
    meet(&store, "t", "1", NOW).await;
    meet(&store, "t", "2", after(1)).await;
    assert!(store.disable_resource("a", Some(NOW)).await.unwrap());
    store.clean_up(after(31 * 24 * HOUR)).await.unwrap();
    assert!(found(&store, "t").await.found.is_some(), "it is disabled because of it, perhaps");
}

async fn pins_of_a_server_that_nobody_serves_are_cleaned_up(store: Store) {
    for id in ["served", "gone"] {
        store.meet_tools(id, vec![met("t", "1")], NOW).await.unwrap();
    }
    let later = after(31 * 24 * HOUR);
    store.hold_tool_pins(&["served".to_owned(), "never met".to_owned()], later).await.unwrap();
    store.clean_up(later).await.unwrap();
    let versions = store.tool_pin_versions().await.unwrap();
    assert_eq!(versions.iter().map(|(server, _)| server.as_str()).collect::<Vec<_>>(), ["served"]);
    assert!(store.find_tool_pin("gone", "t").await.unwrap().is_none());
    assert!(store.find_tool_pin("served", "t").await.unwrap().is_some());
}

async fn ten_thousand_tools_and_hostile_text_are_kept_within_bounds(store: Store) {
    for batch in 0..21_u32 {
        let tools = (0..1_000).map(|number| met(&format!("t{batch}-{number}"), "1")).collect();
        let pinned = store.meet_tools("a", tools, NOW).await.unwrap().pins.len();
        assert_eq!(pinned, if batch < 20 { 1_000 } else { 0 }, "{batch}");
    }
    let hostile = "' OR 1=1; -- \u{202e}\\u0000\" $1 {}";
    for (number, definition) in ["x".repeat(40_000), hostile.to_owned()].into_iter().enumerate() {
        let tool = MetTool { definition: Some(definition), ..met(hostile, "1") };
        store.meet_tools(&number.to_string(), vec![tool], NOW).await.unwrap();
    }
    let row = async |server| store.find_tool_pin(server, hostile).await.unwrap().unwrap();
    assert_eq!(row("0").await.definition, None, "longer than is kept");
    assert_eq!(row("1").await.definition.as_deref(), Some(hostile));
    assert!(store.delete_tool_pin("1", hostile).await.unwrap());
    assert!(!store.delete_tool_pin("1", hostile).await.unwrap());
}

async fn a_list_comes_in_pages_with_and_without_what_is_as_it_was(store: Store) {
    for tool in ["a", "b", "c"] {
        meet(&store, tool, "1", NOW).await;
    }
    meet(&store, "b", "2", after(1)).await;
    let list = async |which, after: Option<&str>| {
        let page = PageRequest { after: after.map(str::to_owned), limit: 2 };
        let page = store.list_tool_pins("a", which, &page).await.unwrap();
        let names: Vec<_> = page.rows.into_iter().map(|row| row.tool).collect();
        (names.concat(), page.next)
    };
    assert_eq!(list(ToolPinList::All, None).await, ("ab".to_owned(), Some("b".to_owned())));
    assert_eq!(list(ToolPinList::InFull, Some("b")).await, ("c".to_owned(), None));
    assert_eq!(list(ToolPinList::Changed, None).await, ("b".to_owned(), None));
}

/// Two replicas are two processes, each with connections of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_hold_a_tool_to_one_definition() {
    let place = Place::postgres();
    let replicas = [place.open().await, place.open().await];
    for round in 0..20 {
        let tool = format!("t{round}");
        let both = race(2, |number| {
            let (store, tool) = (Arc::clone(&replicas[number]), tool.clone());
            async move {
                store.meet_tools("a", vec![met(&tool, &number.to_string())], NOW).await.unwrap()
            }
        })
        .await;
        assert_eq!(both[0].pins[0].digest, both[1].pins[0].digest);
        assert_eq!(both.iter().map(|met| met.told.len()).sum::<usize>(), 1);
    }
}
