//! What is said before anything else: which revision a child speaks, and what it says about itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::fault::ChildFault;
use super::running::Running;
use super::wire;

const MODERN: &str = "2026-07-28";
/// Revisions that begin with `initialize`, the newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// What a child is, once it was greeted.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Each request says what it needs (2026-07-28 and later).
    Modern,
    /// It was initialized, once for all callers (2025-11-25 and before): with this result.
    Legacy(Box<RawValue>),
}

/// Asks a child what it speaks.
///
/// `server/discover` comes first, where `probe`; a child that answers anything but what it asks for, or nothing within
/// `patience`, is initialized (MCP 2026-07-28 stdio, Backward Compatibility). One that is slow to start may answer either.
///
/// # Errors
///
/// [`ChildFault`]; for how long it may take is the caller's to say.
pub(super) async fn greet(
    running: &Running,
    probe: bool,
    patience: Duration,
) -> Result<Greeting, ChildFault> {
    if !probe {
        return initialize(running).await;
    }
    let params = discover_params();
    let discovered = async {
        let answer = running.ask("server/discover", &params).await?;
        Ok::<_, ChildFault>(speaks_modern(&answer))
    };
    let mut discovered = std::pin::pin!(discovered);
    match tokio::time::timeout(patience, &mut discovered).await {
        Ok(Ok(true)) => Ok(Greeting::Modern),
        Ok(Ok(false)) => initialize(running).await,
        Ok(Err(fault)) => Err(fault),
        Err(_elapsed) => tokio::select! {
            biased;
            Ok(true) = &mut discovered => Ok(Greeting::Modern),
            greeting = initialize(running) => greeting,
        },
    }
}

/// Asks whether it still answers.
pub(super) async fn ping(running: &Running, greeting: &Greeting) -> Result<(), ChildFault> {
    let answer = match greeting {
        Greeting::Modern => running.ask("server/discover", &discover_params()).await,
        Greeting::Legacy(_) => running.ask("ping", &json!({})).await,
    };
    answer.map(drop)
}

fn discover_params() -> Value {
    json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    } })
}

fn client_info() -> Value {
    json!({ "name": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") })
}

fn speaks_modern(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Discovered>,
    }
    #[derive(Deserialize)]
    struct Discovered {
        #[serde(rename = "supportedVersions")]
        versions: Vec<String>,
    }
    let answer = serde_json::from_slice::<Answer>(answer).ok().and_then(|answer| answer.result);
    answer.is_some_and(|result| result.versions.iter().any(|version| version == MODERN))
}

async fn initialize(running: &Running) -> Result<Greeting, ChildFault> {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Box<RawValue>>,
    }
    let [newest, ..] = LEGACY;
    let params = json!({
        "protocolVersion": newest,
        "capabilities": {},
        "clientInfo": client_info(),
    });
    let answer = running.ask("initialize", &params).await?;
    let result = serde_json::from_slice::<Answer>(&answer).ok().and_then(|answer| answer.result);
    let result = result.ok_or(ChildFault::NoHandshake)?;
    if !version(&result).is_some_and(|version| LEGACY.contains(&&*version)) {
        return Err(ChildFault::NoHandshake);
    }
    running.tell(wire::INITIALIZED).await;
    Ok(Greeting::Legacy(result))
}

fn version(params: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(rename = "protocolVersion")]
        version: String,
    }
    serde_json::from_str::<Versioned>(params.get()).ok().map(|versioned| versioned.version)
}

/// What a caller's own `initialize` is answered: what the child said, in a revision that the caller knows, without what a
/// shared process cannot give: log levels and subscriptions would be one caller's for all, and what changes is told to
/// nobody.
pub(super) fn initialized(said: &RawValue, asked: Option<&RawValue>) -> Option<Box<RawValue>> {
    let mut members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(said.get()).ok()?;
    let own = version(said)?;
    let wanted = asked.and_then(version).filter(|version| LEGACY.contains(&&**version));
    let spoken = wanted.map_or(own.clone(), |wanted| wanted.min(own)); // dates compare as texts do
    let spoken = to_raw_value(&spoken).ok()?;
    members.insert("protocolVersion".into(), &spoken);
    let offered =
        members.get("capabilities").and_then(|text| serde_json::from_str(text.get()).ok());
    let mut offered: BTreeMap<String, Value> = offered.unwrap_or_default();
    offered.retain(|name, _| matches!(&**name, "tools" | "prompts" | "resources" | "completions"));
    for members in offered.values_mut().filter_map(Value::as_object_mut) {
        members.retain(|name, _| !matches!(&**name, "listChanged" | "subscribe"));
    }
    let offered = to_raw_value(&offered).ok()?;
    members.insert("capabilities".into(), &offered);
    to_raw_value(&members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_what_a_shared_process_can_give_in_a_revision_it_knows() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let said = raw(
            r#"{"protocolVersion":"2025-11-25","serverInfo":{"name":"x"},"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{}}}"#,
        );
        let told = |asked: Option<&str>| {
            let asked = asked.map(|version| raw(&format!(r#"{{"protocolVersion":"{version}"}}"#)));
            let told = initialized(&said, asked.as_deref()).unwrap();
            serde_json::from_str::<Value>(told.get()).unwrap()
        };
        let first = told(Some("2025-06-18"));
        assert_eq!(first["capabilities"], json!({ "tools": {}, "resources": {} }));
        assert_eq!(first["serverInfo"], json!({ "name": "x" }));
        assert_eq!(first["protocolVersion"], "2025-06-18");
        for asked in [None, Some("2025-11-25"), Some("2026-07-28"), Some("1999-01-01")] {
            assert_eq!(told(asked)["protocolVersion"], "2025-11-25", "{asked:?}");
        }
    }

    #[test]
    fn a_child_is_modern_if_it_says_so() {
        assert!(speaks_modern(br#"{"result":{"supportedVersions":["2026-07-28"]}}"#));
        for answer in [
            r#"{"result":{"supportedVersions":["2025-11-25"]}}"#,
            r#"{"error":{"code":-32601}}"#,
            r#"{"result":{}}"#,
        ] {
            assert!(!speaks_modern(answer.as_bytes()), "{answer}");
        }
    }
}
