//! A provider that does not answer: each question holds a request for as long as an answer may take, so one at a time asks,
//! until it does.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use crate::resource_server::TokenError;

use super::UpstreamError;
use super::renewal::Renewed;

/// Whether a provider answers, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Silence {
    is_silent: AtomicBool,
    turn: Mutex<()>,
}

/// Whoever has it may ask.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Of one that answers all may.
    _alone: Option<MutexGuard<'a, ()>>,
}

impl Silence {
    /// `None`: it did not answer, and somebody else looks whether it does again.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let alone = self.is_silent.load(Ordering::Relaxed).then(|| self.turn.try_lock());
        alone.transpose().ok().map(|alone| Turn { _alone: alone })
    }

    /// What came of a question.
    pub(super) fn note(&self, renewed: &Result<Renewed, UpstreamError>) {
        let error = match renewed {
            Ok(Renewed { said, .. }) => said.as_ref().err(),
            Err(error) => Some(error),
        };
        let is_silent = match error {
            // It was not asked, or not for what it says of itself.
            Some(UpstreamError::ClientSecret(_) | UpstreamError::Discovery(_)) => return,
            Some(UpstreamError::Signature(error)) => *error == TokenError::IssuerUnavailable,
            error => error.is_some_and(UpstreamError::is_silence),
        };
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::outbound::OutboundError;

    use super::*;

    #[test]
    fn one_at_a_time_asks_who_did_not_answer_until_it_does() {
        let silence = Silence::default();
        let both = || silence.turn().is_some_and(|_first| silence.turn().is_some());
        assert!(both());
        let (host, limit) = ("idp.example".to_owned(), Duration::from_secs(5));
        silence.note(&Err(OutboundError::Timeout { host, limit }.into()));
        assert!(!both() && silence.turn().is_some(), "who is done makes room");
        silence.note(&Err(UpstreamError::Discovery("it could not be read a moment ago")));
        assert!(!both(), "that is no answer of its own");
        silence.note(&Err(UpstreamError::Ended));
        assert!(both());
        silence.note(&Err(UpstreamError::Signature(TokenError::IssuerUnavailable)));
        assert!(!both(), "its keys are what does not come");
        let (host, size) = ("idp.example".to_owned(), Some(1 << 30));
        silence.note(&Err(OutboundError::TooLarge { host, size, limit: 1 }.into()));
        assert!(both(), "one person's answer is too large");
    }
}
