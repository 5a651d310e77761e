//! The list of operations says what the decision about each says.

use super::*;

fn rule(id: &str, effect: &str, path: &str, more: &str) -> String {
    let permissions =
        if effect == "deny" { "" } else { ", permissions = [\"User.ReadWrite.All\"]" };
    format!(
        "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = ['auth\\.graph\\.operation\\.execute\\.v1']\n\
         graph = {{ methods = [\"DELETE\"], paths = [\"{path}\"]{permissions} }}\n{more}\n"
    )
}

fn listed(rules: &str) -> Vec<(String, bool)> {
    let (policy, ada) = (policy(rules), caller("a"));
    let views = policy.operations(ada.who(), EXECUTE, Moment::default());
    let shown = |view: super::super::OperationView| (view.path_template.to_string(), view.approval);
    views.into_iter().map(shown).collect()
}

#[test]
fn what_is_denied_under_another_name_of_its_placeholder_is_not_listed() {
    let allow = rule("a", "allow", "/v1.0/users/{id}", "");
    assert_eq!(listed(&allow), [("/v1.0/users/{id}".to_owned(), false)]);
    let (denied, ada) = (allow.clone() + &rule("d", "deny", "/v1.0/users/{user}", ""), caller("a"));
    assert_eq!(listed(&denied), []);
    assert!(!ada.graph(&policy(&denied), "DELETE", "/v1.0/users/7").is_allow());
    let narrower = allow + &rule("d", "deny", "/v1.0/users/admin", "");
    assert_eq!(listed(&narrower).len(), 1, "others of it are open");
}

#[test]
fn what_another_rule_asks_about_is_listed_so() {
    let allow = rule("a", "allow", "/v1.0/users/{id}", "");
    let asked = allow.clone() + &rule("q", "ask", "/v1.0/{all}/{id}", "");
    let users =
        |views: Vec<(String, bool)>| views.into_iter().find(|(path, _)| path.contains("users"));
    assert_eq!(users(listed(&asked)), Some(("/v1.0/users/{id}".to_owned(), true)));
    let effect = caller("a").graph(&policy(&asked), "DELETE", "/v1.0/users/7").effect;
    assert_eq!(effect, Effect::Ask);
    let broken = allow + &rule("q", "ask", "/v1.0/{all}/{id}", "when = \"claims.level > 3\"");
    let (broken, ada, claims) = (policy(&broken), caller("a"), serde_json::Map::new());
    let who = Who { claims: Some(&claims), ..ada.who() };
    assert!(
        broken.operations(who, EXECUTE, Moment::default()).is_empty(),
        "it fails, so it denies"
    );
}
