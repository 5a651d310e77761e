//! The explanation for people.

use std::fmt::Write as _;

use crate::cli::policy::name;
use crate::code::Code;
use crate::policy::{Decision, Effect, Obligations, RuleExplanation, Truth};

use super::{AtItsGate, Told};

pub(super) fn for_people(told: &Told, all: bool) -> String {
    let tool = &told.tool;
    let mut text = match &told.decision {
        Some(decision) => format!("{}: {}\n", name(&decision.effect), decision.reason),
        None => "cannot be told: it depends on what the record does not hold\n".to_owned(),
    };
    let listed = match (told.listed, &told.gate) {
        (Some(true), _) => "is in the caller's list",
        (Some(false), _) => "is not in the caller's list",
        (None, Some(id)) if id == tool => "is a server, and in no list",
        (None, _) => "may be in the caller's list",
    };
    writeln!(text, "  policy {}; {tool} {listed}", told.policy_version).ok();
    if let Some(id) = &told.gate {
        writeln!(
            text,
            "  asked by a proxy before the server {id}, whose scopes are needed as well"
        )
        .ok();
    }
    if let Some(AtItsGate { id, scopes }) = &told.at_its_gate {
        let what = "at the gates for proxies the scopes of the server are needed as well";
        writeln!(text, "  {what}: {scopes} (--gate {id})").ok();
    }
    if let Some(was) = &told.recorded {
        writeln!(text, "  at the time: {} by policy {}", was.reason, was.policy_version).ok();
        if let Some(limit) = was.limited_by {
            writeln!(text, "  then the call was refused all the same: {limit}").ok();
        }
        if let Some(step) = was.clock_step_ms {
            let held = "what looks at the time is held against both times";
            writeln!(text, "  the clock had been stepped by {} s: {held}", step / 1000).ok();
        }
        let what = "what the record does not hold (arguments, groups and claims that no rule named) is not known";
        writeln!(text, "  {what}").ok();
    }
    if let Some(decision) = &told.decision {
        if let Some(code) = decision.code {
            writeln!(text, "  the caller gets: {}", answer(code.as_str(), decision, told)).ok();
        }
        if told.gate.is_some() && decision.effect == Effect::Ask {
            text.push_str(
                "  a proxy is answered at once, so nobody is asked and the call is refused\n",
            );
        } else {
            obligations(&mut text, &decision.obligations);
        }
    }
    for change in &told.changes {
        writeln!(text, "  would be allowed with: {change}").ok();
    }
    let shown = |rule: &&RuleExplanation| all || rule.decides || rule.outcome.is_some();
    let rules: Vec<&RuleExplanation> = told.rules.iter().filter(shown).collect();
    for rule in &rules {
        text.push('\n');
        one_rule(&mut text, rule);
    }
    let others = told.rules.len() - rules.len();
    if others > 0 {
        let what = "about the tool, but not about this caller and operation";
        let rules = if others == 1 { "rule is" } else { "rules are" };
        writeln!(text, "\n{others} more {rules} {what}; --all shows them").ok();
    }
    if told.rules.is_empty() {
        text.push_str("\nno rule is about this tool\n");
    }
    text
}

/// What an allow or an ask comes with.
fn obligations(text: &mut String, with: &Obligations) {
    if let Some(approval) = &with.approval {
        let who = match approval.approvers.as_slice() {
            [] => "an administrator".to_owned(),
            groups => format!("a member of {}", groups.join(" or ")),
        };
        let own = if approval.self_approval { ", also who asks," } else { ", not who asks," };
        let seconds = approval.valid_for_seconds;
        writeln!(text, "  {who}{own} is asked first; the answer counts for {seconds} s").ok();
    }
    if with.conceal_links {
        text.push_str("  links that are credentials are taken out of the answer\n");
    }
    if !with.limits.is_empty() {
        let limits: Vec<String> =
            with.limits.iter().map(|limit| format!("{} {}", limit.setting, limit.most)).collect();
        writeln!(text, "  counted in the limits: {}", limits.join(", ")).ok();
    }
}

fn answer(code: &str, decision: &Decision, told: &Told) -> String {
    // No tool has a slash in its name; what is asked of a person about others is not offered.
    let (is_prompt, is_resource) =
        (told.tool.contains("/prompts/"), told.tool.contains("/resources/"));
    if decision.needs_login() {
        "HTTP 401 insufficient_user_authentication, which says how to log in".to_owned()
    } else if decision.can_step_up() {
        "HTTP 403 insufficient_scope, which names the scopes".to_owned()
    } else if code == Code::PolicyMissingIdentity.as_str() {
        code.to_owned()
    } else if is_prompt || is_resource {
        let what = if is_prompt { "prompt" } else { "resource" };
        format!(
            "what a {what} that does not exist gives (JSON-RPC -32602; of a resource, older clients -32002)"
        )
    } else if told.listed == Some(false) && told.gate.is_some() {
        "HTTP 403, as for a tool that does not exist".to_owned()
    } else if told.listed == Some(false) {
        "what a tool that does not exist gives (JSON-RPC -32602)".to_owned()
    } else {
        code.to_owned()
    }
}

fn one_rule(text: &mut String, rule: &RuleExplanation) {
    let outcome = match (rule.decides, rule.outcome) {
        (true, _) => "decides".to_owned(),
        (false, Some(outcome)) => name(&outcome).replace('_', " "),
        (false, None) => "is about somebody or something else".to_owned(),
    };
    writeln!(text, "rule {} ({}, {}): {outcome}", rule.rule_id, name(&rule.effect), rule.place)
        .ok();
    for compared in &rule.compared {
        let mark = mark(compared.came_to);
        writeln!(text, "  {mark} {}: wants {}; saw {}", compared.key, compared.wants, compared.saw)
            .ok();
    }
    for looked in &rule.condition {
        let saw: Vec<String> =
            looked.saw.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let with = if saw.is_empty() { String::new() } else { format!("; {}", saw.join(", ")) };
        writeln!(text, "      {} {}{with}", mark(looked.came_to), looked.part).ok();
    }
}

const fn mark(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "yes",
        Truth::False => "no ",
        Truth::Error => "ERR",
        Truth::Unknown => "?  ",
    }
}
