//! Lists that change.

use serde_json::json;

use super::{Listener, Teller};
use crate::support::product::Product;

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";

/// The table of one folded server: its `get_…` tools, its prompt `day…`, its cities.
pub(super) fn table(id: &str, url: &str) -> String {
    format!(
        "[[upstream.server]]\nid = \"{id}\"\nurl = \"{url}\"\nera = \"both\"\nfold = true\n\
        [[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n\
        [[upstream.server.prompt]]\nname = \"day.*\"\nscopes = [\"weather:read\"]\n\
        [[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n"
    )
}

/// The broker with these tables.
pub(super) async fn broker(tables: &str) -> Product {
    Product::start(&format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{tables}")).await
}

// MCP 2026-07-28 patterns/subscriptions — TR-21
#[tokio::test]
async fn a_client_is_told_of_the_lists_it_asked_for_and_of_no_others() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true });
    let (mut listener, honored) = Listener::start(&product, &["weather:read"], &wanted).await;
    assert_eq!(honored, wanted);
    teller.has_prompts(&["day", "day_after"]);
    teller.is_asked("prompts/list", 2).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(listener.told().await, TOOLS);
}

// RS-28
#[tokio::test]
async fn nobody_is_told_of_what_changes_where_they_see_nothing_of_it() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &wanted).await;
    teller.has_tools(&["get_day", "delete_day"]);
    teller.is_asked("tools/list", 2).await;
    teller.has_prompts(&["day", "day_after"]);
    assert_eq!(listener.told().await, PROMPTS, "the other tool is hidden");
}

// RS-28
#[tokio::test]
async fn of_two_clients_the_one_is_told_that_sees_the_server() {
    let teller = Teller::start();
    let mut product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true });
    let (mut sees, _) = Listener::start(&product, &["weather:read"], &wanted).await;
    let (blind, _) = Listener::start(&product, &["public:read"], &wanted).await;
    teller.has_tools(&["get_day", "get_night"]);
    assert_eq!(sees.told().await, TOOLS);
    product.stop();
    blind.ends().await;
}

/// What a server says it says to all; what it says without a reason, to nobody.
#[tokio::test]
async fn a_list_that_is_the_same_as_before_is_no_news() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &wanted).await;
    teller.has_tools(&["get_day"]);
    teller.is_asked("tools/list", 2).await;
    teller.has_prompts(&[]);
    assert_eq!(listener.told().await, PROMPTS, "the last one is gone");
}

#[tokio::test]
async fn what_changes_many_times_at_once_is_told_once() {
    let teller = Teller::start();
    let mut product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &wanted).await;
    for number in 0..50 {
        teller.has_tools(&["get_day", &format!("get_{number}")]);
    }
    assert_eq!(listener.told().await, TOOLS);
    teller.is_asked("tools/list", 3).await;
    product.stop();
    let rest = listener.rest().await;
    assert!(rest.len() <= 2, "at most once again, and the end: {rest:?}");
    assert!(teller.asked("tools/list") <= 4, "{}", teller.asked("tools/list"));
}

/// What a list would hide because of its definition is not there.
#[tokio::test]
async fn a_tool_that_hides_text_is_no_news() {
    let teller = Teller::start();
    let product = broker(&table("weather", &teller.url)).await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let (mut listener, _) = Listener::start(&product, &["weather:read"], &wanted).await;
    teller.has_tools(&["get_day", "get_\u{200b}night"]);
    teller.is_asked("tools/list", 2).await;
    teller.has_prompts(&["day", "day_after"]);
    assert_eq!(listener.told().await, PROMPTS);
}
