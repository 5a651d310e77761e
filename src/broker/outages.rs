//! Which of those that we call did not answer when they were last asked. For `/ready`; nothing is asked here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::code::Code;
use crate::time::Clock;

/// What nobody has tried again for so long says nothing about now.
const REMEMBERED: Duration = Duration::from_mins(15);

/// By a name for operators; the next answer takes it away, be it a refusal.
#[derive(Debug)]
pub struct Outages {
    clock: Arc<dyn Clock>,
    /// With when each was last noted, in monotonic time.
    known: Mutex<BTreeMap<String, (Code, Duration)>>,
}

impl Outages {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// `code`: what the caller of the last request was told, where it got no answer of theirs.
    pub fn note(&self, name: impl FnOnce() -> String, code: Option<Code>) {
        let away = code.filter(|code| is_away(*code));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match away {
            Some(code) => drop(known.insert(name(), (code, self.clock.monotonic()))),
            None if known.is_empty() => {}
            None => drop(known.remove(&name())),
        }
    }

    /// It is called no more.
    pub fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Who is away, each with the code that its callers get.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Code)> {
        let now = self.clock.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, noted)| now.saturating_sub(*noted) < REMEMBERED);
        known.iter().map(|(name, (code, _))| (name.clone(), *code)).collect()
    }
}

const fn is_away(code: Code) -> bool {
    matches!(code, Code::ProviderUnavailable | Code::ProviderTimeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{FixedClock, Timestamp};

    fn outages() -> (Arc<FixedClock>, Outages) {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        (Arc::clone(&clock), Outages::new(clock))
    }

    fn graph() -> String {
        "graph".to_owned()
    }

    #[test]
    fn who_refuses_is_there_and_who_answers_again_is_forgotten() {
        let (_, outages) = outages();
        outages.note(graph, Some(Code::ProviderAuthFailed));
        assert!(outages.list().is_empty());
        outages.note(graph, Some(Code::ProviderTimeout));
        assert_eq!(outages.list(), [(graph(), Code::ProviderTimeout)]);
        outages.note(|| "upstream weather".to_owned(), None);
        assert_eq!(outages.list().len(), 1);
        outages.note(graph, None);
        assert!(outages.list().is_empty());
    }

    #[test]
    fn who_is_asked_no_more_is_forgotten_too() {
        let (clock, outages) = outages();
        outages.note(graph, Some(Code::ProviderUnavailable));
        outages.note(|| "upstream weather".to_owned(), Some(Code::ProviderTimeout));
        outages.forget("upstream weather");
        clock.advance(REMEMBERED.saturating_sub(Duration::from_secs(1)));
        assert_eq!(outages.list(), [(graph(), Code::ProviderUnavailable)]);
        clock.advance(Duration::from_secs(1));
        assert!(outages.list().is_empty());
    }
}
