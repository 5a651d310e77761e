//! The predecessor's `MCP_AUTH_BROKER_ALLOWED_SCOPES`: names in it that open nothing are told.

use std::path::Path;

use serde_json::Value;

use crate::support::child::command;

const APP: &str = "MCP_AUTH_BROKER_GRAPH_CLIENT_ID=app\nMCP_AUTH_BROKER_GRAPH_TENANT_ID=contoso.example\n\
                   MCP_AUTH_BROKER_GRAPH_SECRET_REF=env:SECRET\nSECRET=some-secret-or-other\n";

/// Key, severity and hint of what a check finds about the name.
fn found(directory: &Path, names: &str) -> Vec<(String, String)> {
    let variables = format!("MCP_AUTH_BROKER_ALLOWED_SCOPES={names}\n{APP}");
    std::fs::write(directory.join(".env"), variables).unwrap();
    let output = command(directory, &["check", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = told["findings"].as_array().unwrap().iter();
    let about = findings.filter(|finding| finding["key"] == "MCP_AUTH_BROKER_ALLOWED_SCOPES");
    about.map(|finding| (text(finding, "severity"), text(finding, "hint"))).collect()
}

#[test]
fn a_permission_that_opens_nothing_is_told_with_the_nearest_that_does() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(found(directory.path(), "User.Read,Mail.Read"), []);
    let told = found(directory.path(), "User.Read,Mail.Red");
    assert!(
        matches!(&told[..], [(severity, hint)] if severity == "warning" && hint.contains("did you mean `Mail.Read`")),
        "{told:?}"
    );
    let told = found(directory.path(), "user.read");
    assert!(
        matches!(&told[..], [(severity, hint)] if severity == "error" && hint.contains("`User.Read.All`")),
        "{told:?}"
    );
}

/// The rules of servers are rules as well: the broker starts for them.
#[test]
fn a_permission_that_opens_nothing_stops_no_broker_that_stands_before_servers() {
    let directory = tempfile::tempdir().unwrap();
    let server = "[[upstream.server]]\nid = \"weather\"\nurl = \"https://weather.example/mcp\"\n";
    let tool = "[[upstream.server.tool]]\nname = \"get\"\nscopes = [\"weather:read\"]\n";
    for (settings, wanted) in [(server.to_owned(), "error"), ([server, tool].concat(), "warning")] {
        std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
        let told = found(directory.path(), "Sites.Chosen");
        assert!(matches!(&told[..], [(severity, _)] if severity == wanted), "{told:?}");
    }
}

#[test]
fn nothing_starts_where_no_name_opens_anything() {
    let directory = tempfile::tempdir().unwrap();
    found(directory.path(), "User.Red");
    let output = command(directory.path(), &["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`User.Red` in MCP_AUTH_BROKER_ALLOWED_SCOPES opens nothing"), "{said}");
    assert!(said.contains("\nhint: did you mean `User.Re"), "{said}");
}

#[test]
fn a_rule_of_the_policy_may_be_what_a_name_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let rule = |permission: &str| {
        format!(
            "version = \"1\"\ndefault = \"deny\"\n[[rule]]\nid = \"widgets\"\neffect = \"allow\"\n\
             tools = [\"auth\\\\.graph\\\\..*\"]\n\
             graph = {{ methods = [\"GET\"], paths = [\"/v1.0/widgets/{{id}}\"], permissions = [\"{permission}\"] }}\n"
        )
    };
    std::fs::write(directory.path().join("broker.toml"), "policy.file = \"policy.toml\"").unwrap();
    std::fs::write(directory.path().join("policy.toml"), rule("Widget.Read.All")).unwrap();
    assert_eq!(found(directory.path(), "Widget.Read.All"), []);
    let told = found(directory.path(), "Widget.Read.All,Widget.Chosen");
    assert!(matches!(&told[..], [(severity, _)] if severity == "warning"), "{told:?}");
}
