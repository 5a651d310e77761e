//! The promises that hold whatever the rules, the caller and the call are.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::scope::Scope;

use super::generated::{FORMS, Form, Question, TOOLS, alike, policy, questions, rules};
use super::{
    Ask, Decision, Effect, Made, Moment, Outcome, Policy, Recorded, Replay, RuleExplanation,
};

fn opens(decision: &Decision) -> bool {
    decision.effect != Effect::Deny
}

/// A call, and the question whether its tool is listed.
fn call_and_list() -> impl Strategy<Value = (Form, Form)> {
    select(&[(Form::Operation, Form::AnyOperation), (Form::Call, Form::Tool)][..])
}

/// What the event of a decision says of it.
fn made(decision: &Decision) -> Made {
    let mut payload = json!({ "reason": decision.reason, "evaluated": decision.evaluated });
    if decision.can_step_up() {
        payload["missing_scopes"] = json!(decision.missing_scopes);
    } else if let Some(login) = &decision.login {
        payload["assurance"] = json!(login.assurance);
        payload["max_age_seconds"] = json!(login.max_age_seconds);
    }
    serde_json::from_value(payload).unwrap()
}

fn decide(policy: &Policy, question: &Question, form: Form) -> Decision {
    question.ask(form, |ask| policy.decide(ask))
}

/// The decision with these scopes beside those of the caller.
fn with(policy: &Policy, question: &Question, form: Form, more: &Scope) -> Decision {
    question.ask(form, |ask| {
        let scopes = ask.who.scopes.union(more);
        let mut ask = *ask;
        ask.who.scopes = &scopes;
        policy.decide(&ask)
    })
}

proptest! {
    #[test]
    fn what_may_be_called_is_listed_and_what_is_hidden_is_refused_without_a_challenge(
        rules in rules(), question in questions(), (call, list) in call_and_list(),
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        let (call, list) = (decide(&policy, &question, call), decide(&policy, &question, list));
        if opens(&call) {
            prop_assert!(list.shows_the_tool(), "{call:?} {list:?}");
        }
        if !list.shows_the_tool() && !list.can_step_up() {
            prop_assert!(!opens(&call) && !call.can_step_up(), "{call:?} {list:?}");
        }
    }

    #[test]
    fn a_refusal_that_scopes_could_turn_names_them(
        rules in rules(), question in questions(), form in select(&FORMS[..]),
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        let refused = decide(&policy, &question, form);
        prop_assume!(!opens(&refused) && !refused.can_step_up());
        // Every set of scopes there is; a deny rule may come with a scope, so not only all of them.
        for scopes in ["a", "b", "c:x", "a b", "a c:x", "b c:x", "a b c:x"] {
            let more = scopes.parse().unwrap();
            prop_assert!(!opens(&with(&policy, &question, form, &more)), "{scopes} would do");
        }
    }

    // Rules that differ in scopes and permissions only, so that each stands in the way of the others.
    #[test]
    fn so_it_does_where_rules_differ_in_what_they_need_alone(
        rules in alike(), question in questions().prop_map(Question::of_alike),
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        let refused = decide(&policy, &question, Form::Operation);
        if opens(&refused) || refused.can_step_up() {
            return Ok(());
        }
        for scopes in ["a", "b", "c:x", "a b", "a c:x", "b c:x", "a b c:x"] {
            let more = scopes.parse().unwrap();
            prop_assert!(!opens(&with(&policy, &question, Form::Operation, &more)), "{scopes} would do");
        }
    }

    #[test]
    fn an_explanation_is_of_the_decision_that_was_made(
        rules in rules(), question in questions(), form in select(&FORMS[..]),
    ) {
        // The second policy knows no tool, so it looks at every rule, as an explanation does.
        for tools in [&TOOLS[..3], &[]] {
            let policy = policy(&rules, tools);
            let told = question.ask(form, |ask| policy.explain(ask));
            let mut said = decide(&policy, &question, form);
            // Of a tool as such a decision looks at the first of rules that differ in their operations only.
            if matches!(form, Form::AnyOperation | Form::Tool) {
                said.evaluated.clone_from(&told.decision.evaluated);
            }
            prop_assert_eq!(&told.decision, &said);
            let deciding: Vec<_> =
                told.rules.iter().filter(|rule| rule.decides).map(|rule| &rule.rule_id).collect();
            prop_assert_eq!(deciding, said.matched_rule_id.iter().collect::<Vec<_>>());
            prop_assert_eq!(told.changes.is_empty(), said.is_allow());
        }
    }

    // A step of the clock opens nothing: what is allowed while the clocks differ is allowed by each of them.
    #[test]
    fn what_is_allowed_while_the_clock_is_wrong_is_allowed_at_both_times(
        rules in rules(), question in questions(), form in select(&FORMS[..]), hours in -20_i64..20,
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        let [torn, wall, steady] = question.ask(form, |ask| {
            let wall = ask.now.wall;
            let steady = wall.plus_seconds(hours * 3600);
            [Moment { wall, steady }, Moment::at(wall), Moment::at(steady)].map(|now| {
                let mut ask = *ask;
                ask.now = now;
                policy.decide(&ask)
            })
        });
        // A tool as such is never called: what is asked about some of its operations does not hide it.
        if torn.is_allow() && form != Form::AnyOperation {
            prop_assert!(wall.is_allow() && steady.is_allow(), "{wall:?} {steady:?}");
        }
        if opens(&torn) {
            prop_assert!(opens(&wall) && opens(&steady), "{wall:?} {steady:?}");
        }
    }

    #[test]
    fn a_recorded_question_is_decided_as_it_was_or_not_at_all(
        rules in rules(), question in questions(), (call, list) in call_and_list(),
        hours in select(&[0_i64, 0, -9, 5][..]),
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        for form in [call, list] {
            let at_a_step = |ask: &Ask<'_>| Moment { steady: ask.now.wall.plus_seconds(hours * 3600), ..ask.now };
            let replay = question.ask(form, |ask| Replay {
                subject: ask.who.subject.cloned(),
                client_id: ask.who.client_id.cloned(),
                asserted_requester: None,
                at: ask.now.wall,
                question: Recorded::new(&Ask { now: at_a_step(ask), ..*ask }, policy.names()),
            });
            let text = serde_json::to_string(&replay.question).unwrap();
            let replay = Replay { question: serde_json::from_str(&text).unwrap(), ..replay };
            let has_operations = form == Form::AnyOperation;
            let said = question.ask(form, |ask| policy.decide(&Ask { now: at_a_step(ask), ..*ask }));
            let made = made(&said);
            let told = replay.explain(&policy, (policy.version(), Some(&made)), has_operations);
            // What became of the rules is on record, and of a call that is all that depends on its arguments.
            let is_call = matches!(form, Form::Call | Form::Operation) && !said.evaluated.is_empty();
            prop_assert!(told.decision.is_some() || !is_call, "{:?}", said);
            if let Some(explained) = told.decision {
                prop_assert!(explained.does_as(&said) && explained.reason == said.reason, "{:?}", explained);
                prop_assert_eq!(told.changes.is_empty(), said.is_allow());
                let undecided = |rule: &RuleExplanation| rule.outcome == Some(Outcome::Undecided);
                prop_assert!(!is_call || !told.rules.iter().any(undecided), "{:?}", said);
            }
            // A call of a tool without operations is recorded without its arguments, as the tool as such is.
            let Some(again) = replay.decide(&policy, policy.names(), has_operations) else { continue };
            prop_assert_eq!(again.effect, said.effect, "{}", text);
            prop_assert_eq!(&again.reason, &said.reason);
            prop_assert_eq!(&again.missing_scopes, &said.missing_scopes);
            prop_assert_eq!(&again.login, &said.login);
            let others = replay.explain(&policy, ("other+rules", None), has_operations);
            if let Some(decision) = others.decision {
                prop_assert!(decision.does_as(&said), "{:?}", decision);
            } else {
                prop_assert!(others.rules.iter().all(|rule| !rule.decides) && others.changes.is_empty());
            }
        }
    }
}

proptest! {
    // Few refusals are challenges.
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_challenge_names_what_turns_the_refusal_and_not_one_scope_more(
        rules in rules(), question in questions(), form in select(&FORMS[..]),
    ) {
        let policy = policy(&rules, &TOOLS[..3]);
        let refused = decide(&policy, &question, form);
        prop_assume!(refused.can_step_up());
        let missing = refused.missing_scopes;
        prop_assert!(opens(&with(&policy, &question, form, &missing)), "{missing}");
        for left_out in missing.iter() {
            let fewer: Scope = missing.iter().filter(|scope| *scope != left_out).cloned().collect();
            prop_assert!(!opens(&with(&policy, &question, form, &fewer)), "{fewer} is enough");
        }
    }
}
