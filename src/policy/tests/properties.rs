//! What holds for any rules and any caller.

use proptest::prelude::*;

use super::*;

fn rule(index: usize) -> impl Strategy<Value = String> {
    let effect = prop::sample::select(vec!["allow", "allow", "deny", "ask"]);
    let scopes = prop::collection::vec("[ab]", 0..3);
    let method = prop::sample::select(vec!["GET", "DELETE"]);
    let path = prop::sample::select(vec!["/v1.0/users", "/v1.0/users/{id}"]);
    (effect, scopes, method, path, any::<bool>()).prop_map(move |(effect, scopes, method, path, graph)| {
        let graph = if graph { format!("graph = {{ methods = [\"{method}\"], paths = [\"{path}\"] }}") } else { String::new() };
        format!("[[rule]]\nid = \"r{index}\"\neffect = \"{effect}\"\ntools = [\".*\"]\nscopes = {scopes:?}\n{graph}\n")
    })
}

fn rules() -> impl Strategy<Value = String> {
    (rule(0), rule(1), rule(2), rule(3)).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"))
}

proptest! {
    /// The challenge names exactly what turns the refusal into an allow (or a question to a person).
    #[test]
    fn what_a_challenge_names_is_enough(rules in rules(), held in "[ab]?") {
        let policy = policy(&rules);
        let refused = caller(&held).graph(&policy, "GET", "/v1.0/users");
        if refused.can_step_up() {
            let more = format!("{held} {}", refused.missing_scopes);
            prop_assert_ne!(caller(&more).graph(&policy, "GET", "/v1.0/users").effect, Effect::Deny);
        }
    }

    /// A tool whose call would be allowed is never hidden from the list.
    #[test]
    fn what_may_be_called_is_listed(rules in rules(), held in "[ab]( [ab])?") {
        let policy = policy(&rules);
        if caller(&held).graph(&policy, "GET", "/v1.0/users").is_allow() {
            prop_assert!(caller(&held).visible(&policy));
        }
    }

    /// Adding a deny rule never opens anything.
    #[test]
    fn a_deny_rule_never_opens_anything(rules in rules(), held in "[ab]( [ab])?") {
        let denying = format!("{rules}[[rule]]\nid = \"deny\"\neffect = \"deny\"\ntools = [\".*\"]\nscopes = [\"b\"]\n");
        let (before, after) = (policy(&rules), policy(&denying));
        if caller(&held).graph(&after, "GET", "/v1.0/users").is_allow() {
            prop_assert!(caller(&held).graph(&before, "GET", "/v1.0/users").is_allow());
        }
    }
}
