//! Which rules the cases reach, and which parts of conditions they see both true and false.

use serde_json::{Value, json};

use crate::policy::{Explanation, Outcome, Policy, Truth};

/// What was reached so far.
pub(super) struct Coverage {
    /// Rules by id, and whether a case met each.
    rules: Vec<(String, bool)>,
    parts: Vec<Part>,
}

struct Part {
    rule: String,
    text: String,
    seen_true: bool,
    seen_false: bool,
}

impl Coverage {
    pub(super) fn of(policy: &Policy) -> Self {
        let rules = policy.rule_ids().map(|id| (id.to_string(), false)).collect();
        let parts = policy.conditions().map(|(id, text)| Part {
            rule: id.to_string(),
            text: text.to_string(),
            seen_true: false,
            seen_false: false,
        });
        Self { rules, parts: parts.collect() }
    }

    /// A rule is reached where it applies; a part where it is looked at.
    pub(super) fn add(&mut self, explanation: &Explanation) {
        for rule in &explanation.rules {
            let id = rule.rule_id.as_str();
            if rule.decides || rule.outcome == Some(Outcome::Match) {
                self.rules
                    .iter_mut()
                    .filter(|(known, _)| known == id)
                    .for_each(|(_, met)| *met = true);
            }
            // Looked at by a call that it is not about, a part says nothing.
            let Some(_) = rule.outcome else { continue };
            for looked in &rule.condition {
                let same = |part: &&mut Part| part.rule == id && *part.text == *looked.part;
                if let Some(part) = self.parts.iter_mut().find(same) {
                    part.seen_true |= looked.came_to == Truth::True;
                    part.seen_false |= looked.came_to == Truth::False;
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.gaps().next().is_none()
    }

    /// What no case reaches, for people.
    pub(super) fn gaps(&self) -> impl Iterator<Item = String> {
        let rules = self.rules.iter().filter(|(_, met)| !met).map(|(id, _)| format!("rule {id}"));
        let parts = self.parts.iter().flat_map(|part| {
            let gap = |seen: bool, word: &str| {
                (!seen).then(|| format!("rule {}: `{}` {word}", part.rule, part.text))
            };
            [gap(part.seen_true, "true"), gap(part.seen_false, "false")].into_iter().flatten()
        });
        rules.chain(parts)
    }

    pub(super) fn summary(&self) -> String {
        let ((rules, of_rules), (parts, of_parts)) = self.counts();
        let conditions = if of_parts == 0 {
            String::new()
        } else {
            format!(", {parts} of {of_parts} outcomes of conditions")
        };
        format!("{rules} of {of_rules} rules reached{conditions}")
    }

    pub(super) fn as_json(&self) -> Value {
        let ((rules, of_rules), (outcomes, of_outcomes)) = self.counts();
        json!({
            "rules": { "reached": rules, "total": of_rules },
            "conditions": { "reached": outcomes, "total": of_outcomes },
            "gaps": self.gaps().collect::<Vec<_>>(),
        })
    }

    fn counts(&self) -> ((usize, usize), (usize, usize)) {
        let rules = self.rules.iter().filter(|(_, met)| *met).count();
        let outcomes = self
            .parts
            .iter()
            .map(|part| usize::from(part.seen_true) + usize::from(part.seen_false));
        ((rules, self.rules.len()), (outcomes.sum(), self.parts.len() * 2))
    }
}
