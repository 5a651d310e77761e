//! Which of the rules that were looked at decides.

use crate::scope::Scope;

use super::decision::Effect;
use super::judge::Seen;
use super::rule::Rule;

/// Which of the rules decides: deny beats ask beats allow, and of one effect the first.
pub(super) enum Order<'p> {
    Deny(&'p Rule),
    Ask(&'p Rule),
    /// A rule that asks has not the permissions that the call wants: naming others is no way around the person.
    AskOtherwise,
    Allow(&'p Rule),
    /// The same of rules that allow.
    AllowOtherwise,
    Nothing,
}

pub(super) fn order<'p>(seen: &[Seen<'p>], held: impl Fn(&Seen<'p>) -> bool) -> Order<'p> {
    let first = |effect: Effect, fits: Option<bool>| {
        let acts = |seen: &&Seen<'p>| {
            seen.acts_as() == Some(effect)
                && fits.is_none_or(|fits| seen.fits == fits)
                && held(seen)
        };
        seen.iter().find(acts).map(|seen| seen.rule)
    };
    if let Some(rule) = first(Effect::Deny, None) {
        Order::Deny(rule)
    } else if let Some(rule) = first(Effect::Ask, Some(true)) {
        Order::Ask(rule)
    } else if first(Effect::Ask, Some(false)).is_some() {
        Order::AskOtherwise
    } else if let Some(rule) = first(Effect::Allow, Some(true)) {
        Order::Allow(rule)
    } else if first(Effect::Allow, Some(false)).is_some() {
        Order::AllowOtherwise
    } else {
        Order::Nothing
    }
}

/// The fewest scopes beside those held that would turn the refusal into an allow or an ask, if scopes alone stand in the
/// way.
///
/// Conditions never depend on scopes, so what holds now holds after the step-up.
pub(super) fn step_up(held: &Scope, seen: &[Seen<'_>]) -> Option<Scope> {
    let opens = |scopes: &Scope| {
        let all = held.union(scopes);
        let order = order(seen, |seen| seen.rule.scopes.is_subset(&all));
        matches!(order, Order::Ask(_) | Order::Allow(_))
    };
    seen.iter()
        .filter(|seen| seen.fits && matches!(seen.acts_as(), Some(Effect::Allow | Effect::Ask)))
        .map(|seen| held.missing(&seen.rule.scopes))
        .filter(|missing| !missing.is_empty() && opens(missing))
        .min_by_key(Scope::len)
}
