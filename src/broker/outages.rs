//! Which of those that we call did not answer when they were last asked. For `/ready`; nothing is asked here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::code::Code;

/// By a name for operators; the next answer takes it away, be it a refusal.
#[derive(Debug, Default)]
pub struct Outages(Mutex<BTreeMap<String, Code>>);

impl Outages {
    /// `code`: what the caller of the last request was told, where it got no answer of theirs.
    pub fn note(&self, name: impl FnOnce() -> String, code: Option<Code>) {
        let away = code.filter(|code| is_away(*code));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match away {
            Some(code) => drop(known.insert(name(), code)),
            None if known.is_empty() => {}
            None => drop(known.remove(&name())),
        }
    }

    /// Who is away, each with the code that its callers get.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Code)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, code)| (name.clone(), *code)).collect()
    }
}

const fn is_away(code: Code) -> bool {
    matches!(code, Code::ProviderUnavailable | Code::ProviderTimeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_is_there_and_who_answers_again_is_forgotten() {
        let outages = Outages::default();
        let graph = || "graph".to_owned();
        outages.note(graph, Some(Code::ProviderAuthFailed));
        assert!(outages.list().is_empty());
        outages.note(graph, Some(Code::ProviderTimeout));
        assert_eq!(outages.list(), [("graph".to_owned(), Code::ProviderTimeout)]);
        outages.note(|| "upstream weather".to_owned(), None);
        assert_eq!(outages.list().len(), 1);
        outages.note(graph, None);
        assert!(outages.list().is_empty());
    }
}
