//! A recorded decision under the rules as they are now: every condition, what it saw, what would change it.

use serde::Serialize;

use crate::broker::execute;
use crate::policy::{Again, Made, Policy, RuleExplanation, Truth};

use super::record::Attempt;
use super::view::{ComparedView, DecisionView, RuleView};

/// `None`: policy was not asked, or its question is not on record.
pub(super) fn of(attempt: &Attempt, policy: &Policy) -> Option<DecisionView> {
    let (event, replay) = attempt.question()?;
    let tool = replay.question.tool.to_string();
    let has_operations = tool == execute::TOOL;
    let version = event.text("policy_version").unwrap_or_default();
    let made: Option<Made> = serde_json::from_value(event.payload.clone()).ok();
    let made = (version, made.as_ref());
    let Again { decision, changes, rules } = replay.explain(policy, made, has_operations);
    let (shown, others): (Vec<_>, Vec<_>) =
        rules.iter().partition(|rule| rule.decides || rule.outcome.is_some());
    Some(DecisionView {
        tool,
        reason: event.text("reason").unwrap_or_default().to_owned(),
        policy_version: version.to_owned(),
        effect_now: decision.as_ref().map(|decision| name(&decision.effect)),
        reason_now: decision.as_ref().map(|decision| decision.reason.to_string()),
        policy_version_now: policy.version().to_string(),
        certain: decision.is_some(),
        changes,
        rules: shown.into_iter().map(rule).collect(),
        other_rules: others.len(),
    })
}

fn rule(rule: &RuleExplanation) -> RuleView {
    let compared = rule.compared.iter().map(|compared| ComparedView {
        came_to: truth(compared.came_to).to_owned(),
        key: compared.key.clone(),
        wants: compared.wants.clone(),
        saw: compared.saw.clone(),
    });
    let condition = rule.condition.iter().map(|looked| {
        let saw: Vec<String> =
            looked.saw.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        ComparedView {
            came_to: truth(looked.came_to).to_owned(),
            key: "when".to_owned(),
            wants: looked.part.to_string(),
            saw: saw.join(", "),
        }
    });
    RuleView {
        id: rule.rule_id.to_string(),
        effect: name(&rule.effect),
        place: rule.place.to_string(),
        outcome: match (rule.decides, rule.outcome) {
            (true, _) => "decides".to_owned(),
            (false, Some(outcome)) => name(&outcome),
            (false, None) => "not about this".to_owned(),
        },
        compared: compared.chain(condition).collect(),
    }
}

const fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "yes",
        Truth::False => "no",
        Truth::Error => "error",
        Truth::Unknown => "unknown",
    }
}

/// A name as JSON spells it.
fn name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
