//! What a proxy is answered that asks before a registered server: explained, and expected by cases, with the server's scopes.

use serde_json::json;

use crate::support::child::command;

use super::{as_json, said, text, write};

#[test]
fn what_a_gate_wants_beside_the_rules_is_explained_and_tested() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let rule = "[[rule]]\nid = \"get\"\neffect = \"allow\"\ntools = [\"weather\\\\.get\"]\nscopes = [\"w:get\"]\n";
    write(at, "rules.toml", rule);
    write(at, "broker.toml", "policy.file = \"rules.toml\"\n");
    let add =
        ["server", "add", "weather", "https://weather.example/mcp", "--scope", "weather:read"];
    let added = command(at, &add);
    assert!(added.status.success(), "{}", text(&added));
    let ask = ["explain", "weather.get", "--subject", "ada", "--scope", "w:get"];
    let (alone, _) = said(at, &ask);
    assert!(alone.starts_with("allow: "), "{alone}");
    assert!(alone.contains("needed as well: weather:read (--gate weather)"), "{alone}");
    let told = as_json(at, &[&ask[..], &["--gate", "weather"]].concat());
    assert_eq!(told["decision"]["missing_scopes"], "weather:read", "{told:#}");
    let both = ["--scope", "weather:read", "--gate", "weather"];
    let told = as_json(at, &[&ask[..], &both].concat());
    assert_eq!((&told["decision"]["effect"], &told["listed"]), (&json!("allow"), &json!(true)));
    // The whole of it, as for `/forward-auth`.
    let whole = ["explain", "weather", "--subject", "ada", "--gate", "weather"];
    assert_eq!(as_json(at, &whole)["decision"]["missing_scopes"], "weather:read");
    for (call, gate) in [("weather.get", "wether"), ("other.get", "weather")] {
        let (refused, code) = said(at, &["explain", call, "--subject", "ada", "--gate", gate]);
        assert_eq!(code, Some(1), "{refused}");
        assert!(refused.contains("hint: "), "{refused}");
    }
    let case = |call: &str, scopes: &str, expect: &str| {
        format!(
            "[[case]]\nname = \"{expect}\"\nwho = \"ada\"\ncall = \"{call}\"\nscopes = \"{scopes}\"\ngate = {{ id = \"weather\", scopes = \"weather:read\" }}\nexpect = \"{expect}\"\n"
        )
    };
    let cases = "policy = \"rules.toml\"\n[who]\nada = { subject = \"ada\" }\n".to_owned()
        + &case("weather.get", "w:get", "step_up")
        + &case("weather.get", "w:get weather:read", "allow")
        + &case("weather.set", "w:get weather:read", "deny");
    write(at, "cases.toml", &cases);
    let (passed, code) = said(at, &["test", "cases.toml"]);
    assert_eq!(code, Some(0), "{passed}");
    write(at, "wrong.toml", &cases.replace("weather.set", "other.set"));
    let (faults, _) = said(at, &["test", "wrong.toml"]);
    assert!(faults.contains("`other.set` is nothing of the server `weather`"), "{faults}");
}
