//! What a proxy beside a server may let through.

use crate::id::Subject;
use crate::policy::generated::{questions, rules};
use crate::policy::{About, BesideAsk, Moment, Outcome, Recorded, Replay};
use crate::scope::Scope;
use crate::time::Timestamp;

use super::*;
use proptest::prelude::*;

fn rule(effect: &str, tools: &str, more: &str) -> String {
    format!("[[rule]]\nid = \"r\"\neffect = \"{effect}\"\ntools = ['{tools}']\n{more}\n")
}

fn decide(rules: &str, who: &Caller, (tool, about): (&str, About)) -> Decision {
    let needs: Scope = "weather:read".parse().unwrap();
    let beside = BesideAsk { server: "weather", scopes: &needs, about };
    super::policy(rules).decide(&who.ask(tool, Operation::Beside(beside)))
}

fn whole(rules: &str, scopes: &str) -> Decision {
    decide(rules, &caller(scopes), ("weather", About::Whole))
}

#[test]
fn the_scopes_of_a_registered_server_are_the_rule_that_opens_it_as_such() {
    for about in [About::Whole, About::Handshake] {
        let told = decide("", &caller("weather:read"), ("weather", about));
        assert_eq!(told.reason.to_string(), "policy.rule.allow.registered.weather");
        let refused = decide("", &caller("mail:read"), ("weather", about));
        assert_eq!(refused.missing_scopes.to_string(), "weather:read");
        assert_eq!(refused.evaluated.last().unwrap().outcome, Outcome::LackScope);
    }
}

#[test]
fn where_nobody_looks_later_a_rule_about_one_thing_stands_before_everything() {
    for tools in
        [".*", r"weather\..*", r"weather\.delete", r"(mail|weather)\.send", "weather/prompts/x"]
    {
        for effect in ["deny", "ask"] {
            let told = whole(&rule(effect, tools, ""), "weather:read");
            assert_eq!(told.matched_rule_id.unwrap().as_str(), "r", "{effect} {tools}");
            let hidden = whole(&rule(effect, tools, ""), "");
            assert!(!hidden.can_step_up(), "{effect} {tools}: policy before scope");
        }
    }
    for tools in ["delete", r"mail\..*", "weather", r"weather2\..*"] {
        assert!(whole(&rule("deny", tools, ""), "weather:read").is_allow(), "{tools}");
    }
}

#[test]
fn a_rule_stands_before_those_alone_to_whom_it_may_apply() {
    for (more, allowed) in [
        ("principals = { groups = [\"helpdesk\"] }", false),
        ("principals = { groups = [\"board\"] }", true),
        ("when = \"arguments.amount > 5\"", false),
        ("when = \"request.tool == 'weather.delete'\"", false),
        ("when = \"caller.subject == 'bob'\"", true),
        ("scopes = [\"weather:admin\"]", true),
    ] {
        let told = whole(&rule("deny", ".*", more), "weather:read");
        assert_eq!(told.is_allow(), allowed, "{more}");
    }
}

#[test]
fn the_handshake_is_refused_by_what_forbids_all_of_the_server_alone() {
    for (tools, allowed) in [(".*", false), ("weather[./].*", false), (r"weather\..*", true)] {
        let who = caller("weather:read");
        let told = decide(&rule("deny", tools, ""), &who, ("weather", About::Handshake));
        assert_eq!(told.is_allow(), allowed, "{tools}");
    }
}

#[test]
fn a_thing_of_it_needs_a_rule_and_the_scopes_of_the_server() {
    let thing =
        |rules: &str, scopes: &str| decide(rules, &caller(scopes), ("weather.get", About::Thing));
    let open = rule("allow", r"weather\.get", "scopes = [\"weather:get\"]");
    assert!(thing(&open, "weather:read weather:get").is_allow());
    for (scopes, missing) in [
        ("weather:read", "weather:get"),
        ("weather:get", "weather:read"),
        ("", "weather:get weather:read"),
    ] {
        assert_eq!(thing(&open, scopes).missing_scopes.to_string(), missing);
    }
    for closed in [String::new(), open + &rule("deny", ".*", "").replace("\"r\"", "\"s\"")] {
        let told = thing(&closed, "");
        assert!(!told.is_allow() && !told.is_challenge(), "{told:?}");
    }
}

/// Nothing that comes after it would look at the operation.
#[test]
fn a_rule_about_operations_of_graph_opens_nothing_of_a_server() {
    let graph = "graph = { methods = [\"GET\"], paths = [\"/v1.0/users/{id}\"], permissions = [\"User.Read.All\"] }";
    for more in ["", "when = \"path.id == claims.oid\""] {
        let rules = rule("allow", ".*", &format!("{graph}\n{more}"));
        for thing in ["weather.delete", "weather/prompts/x", "weather/resources/x"] {
            let told = decide(&rules, &caller("weather:read"), (thing, About::Thing));
            assert!(!told.is_allow() && !told.can_step_up(), "{thing}: {told:?}");
            // In front of it, as at a gate.
            let told = caller("weather:read").plain(&super::policy(&rules), thing);
            assert!(!told.shows_the_tool(), "{thing}: {told:?}");
        }
    }
}

#[test]
fn a_recorded_question_about_a_server_is_decided_again_as_it_was() {
    let (ada, needs) = (caller("weather:read"), "weather:read".parse().unwrap());
    let open = super::policy("");
    let frozen = super::policy(&rule("deny", ".*", "when = \"arguments.a == 1\""));
    for about in [About::Whole, About::Handshake] {
        let beside = BesideAsk { server: "weather", scopes: &needs, about };
        let question = Recorded::new(&ada.ask("weather", Operation::Beside(beside)), open.names());
        let text = serde_json::to_string(&question).unwrap();
        let replay = Replay {
            subject: Some("ada".parse::<Subject>().unwrap()),
            client_id: None,
            asserted_requester: None,
            at: Timestamp::default(),
            question: serde_json::from_str(&text).unwrap(),
        };
        let told = |policy: &Policy| {
            replay.decide(policy, open.names(), false).map(|decision| decision.is_allow())
        };
        assert_eq!(told(&open), Some(true));
        assert_eq!(told(&frozen), Some(about == About::Handshake));
    }
}

proptest! {
    /// The scopes of a challenge turn it into an allow or an ask, whatever the rules are; and without one they would not.
    #[test]
    fn a_challenge_at_a_server_names_what_opens_it(
        rules in rules(), question in questions(), about in proptest::sample::select(
            &[About::Thing, About::Whole, About::Handshake][..]),
    ) {
        let policy = crate::policy::generated::policy(&rules, &[]);
        let needs: Scope = "a".parse().unwrap();
        let decide = |more: &str| question.ask(crate::policy::generated::Form::Tool, |ask| {
            let more: Scope = more.parse().unwrap();
            let scopes = ask.who.scopes.union(&more);
            let tool = if about == About::Thing { ask.tool } else { "auth" };
            let beside = BesideAsk { server: "auth", scopes: &needs, about };
            let who = Who { scopes: &scopes, ..ask.who };
            policy.decide(&Ask { who, tool, operation: Operation::Beside(beside), now: Moment::default(), ..*ask })
        });
        // Before the whole of a server nobody can be asked.
        let opens = |told: &Decision| match about {
            About::Whole => told.is_allow(),
            About::Thing | About::Handshake => told.effect != Effect::Deny,
        };
        let told = decide("");
        if told.can_step_up() {
            prop_assert!(opens(&decide(&told.missing_scopes.to_string())));
        } else if !opens(&told) {
            for scopes in ["a", "b", "c:x", "a b", "a c:x", "b c:x", "a b c:x"] {
                prop_assert!(!opens(&decide(scopes)), "{} would do", scopes);
            }
        }
    }
}
