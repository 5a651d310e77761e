//! A body as the guard reads it: what it takes for a message, any other reader takes for the same one.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::guard::Message;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(message) = Message::parse(body) else { return };
    // Numbers beyond what a reader can hold are for whoever reads them.
    let Ok(plain) = serde_json::from_slice::<Value>(body) else { return };
    assert_eq!(message.method.as_deref(), plain["method"].as_str());
    assert_eq!(message.id.is_some(), plain.get("id").is_some());
    black_box(message.trace());
    black_box(message.names_its_version());
    let Some(call) = message.tool_call() else { return };
    assert_eq!(Some(&*call.name), plain["params"]["name"].as_str());
    let arguments = call.arguments.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
    assert_eq!(arguments.as_ref().unwrap_or(&Value::Null), &plain["params"]["arguments"]);
    black_box(call.chosen_id());
});
