//! Rules about hosts that publish clients: which are none, and which can never count.

use mcp_auth_broker::config::FindingCode;

use super::{Place, errors, finding, warnings};

const AT: &str = "authorization_server.client_host";

fn place(first: &str, rules: &[(&str, &str)]) -> Place {
    let rule = |(host, trust): &(&str, &str)| {
        format!("[[{AT}]]\nhost = \"{host}\"\ntrust = \"{trust}\"\n")
    };
    let rules: String = rules.iter().map(rule).collect();
    Place::new(&format!("[authorization_server]\n{first}\n{rules}"))
}

#[test]
fn a_pattern_that_is_none_is_named() {
    let rules = [
        ("https://a.example", "deny"),
        ("a.*.example", "ask"),
        ("a.example:8443", "allow"),
        ("*", "deny"),
    ];
    let loaded = place("", &rules).load();
    assert_eq!(errors(&loaded).len(), rules.len(), "{:?}", errors(&loaded));
    for index in 0..rules.len() {
        let told = finding(&loaded, &format!("{AT}[{index}].host"));
        assert_eq!(told.code, FindingCode::NotAllowed);
        assert!(told.allowed.as_deref().unwrap().contains("*.contoso.example"), "{told:?}");
    }
}

#[test]
fn a_rule_that_an_earlier_one_hides_stops_a_start_where_it_says_something_else() {
    let rules = [
        ("*.example", "allow"),
        ("evil.example", "deny"),
        ("*.a.example", "allow"),
        ("ok.test", "ask"),
    ];
    let loaded = place("", &rules).load();
    let told = finding(&loaded, &format!("{AT}[1].host"));
    assert_eq!(told.code, FindingCode::Conflict);
    assert!(told.problem.contains(&format!("{AT}[0].host comes before")), "{told:?}");
    assert_eq!(errors(&loaded).len(), 1, "{:?}", errors(&loaded));
    assert_eq!(warnings(&loaded).len(), 1, "{:?}", warnings(&loaded));
    finding(&loaded, &format!("{AT}[2].host"));
    let right = [("evil.example", "deny"), ("*.example", "allow")];
    assert_eq!(place("", &right).load().findings, []);
}

#[test]
fn a_host_that_is_listed_and_denied_is_a_contradiction() {
    let listed = "client_metadata_documents = \"list\"\nclient_metadata_hosts = [\"claude.ai\"]";
    let loaded = place(listed, &[("claude.ai", "deny")]).load();
    let told = finding(&loaded, "authorization_server.client_metadata_hosts[0]");
    assert_eq!(told.code, FindingCode::Conflict);
}

#[test]
fn a_rule_about_hosts_that_can_publish_nothing_is_a_warning() {
    let rules = [("intranet", "allow"), ("10.0.0.1", "allow"), ("[::1]", "deny")];
    assert_eq!(warnings(&place("", &rules).load()).len(), 3);
    let known = "client_metadata_private = [\"intranet\", \"10.0.0.0/8\", \"::1\"]";
    assert_eq!(place(known, &rules).load().findings, []);
    let off = place("client_metadata_documents = \"off\"", &[("a.example", "deny")]).load();
    assert!(finding(&off, AT).problem.contains("is off"), "{off:?}");
}

#[test]
fn a_list_may_be_made_of_rules_alone() {
    let list = "client_metadata_documents = \"list\"";
    assert_eq!(place(list, &[("*.contoso.example", "ask")]).load().findings, []);
    let none = place(list, &[("*.contoso.example", "deny")]).load();
    finding(&none, "authorization_server.client_metadata_hosts");
}

#[test]
fn a_client_of_the_settings_has_no_keys_on_a_host_that_is_denied_by_name() {
    let client = "[[authorization_server.client]]\nclient_id = \"nightly\"\ngrants = [\"client_credentials\"]\n\
        scopes = [\"public:read\"]\njwks_uri = \"https://keys.example/jwks\"\n";
    let rule = |host: &str, trust: &str| {
        let rule = format!("[[{AT}]]\nhost = \"{host}\"\ntrust = \"{trust}\"\n");
        Place::new(&format!("{client}{rule}")).load()
    };
    let denied = rule("keys.example", "deny");
    let told = finding(&denied, "authorization_server.client");
    assert_eq!(told.code, FindingCode::Conflict);
    assert!(told.problem.contains("`nightly` has its jwks_uri on keys.example"), "{told:?}");
    assert_eq!(rule("keys.example", "ask").findings, []);
    assert_eq!(rule("other.example", "deny").findings, []);
}
