//! How many refusals of strangers get a line: whoever sends requests without a token must not fill the log until what it
//! holds is deleted for want of room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::{RequestId, TraceId};
use crate::limits::{NetworkShare, site};
use crate::time::Clock;

use super::auditor::Auditor;
use super::envelope::Context;
use super::error::AuditError;
use super::event::AuditEvent;

/// Lines a minute for each network. Not less: many people of a hosted client, whose tokens end, are one network.
const LINES: NonZeroU32 = NonZeroU32::new(300).unwrap();
/// Networks that are named at a time; of more, only the sum is known.
const MAX_NAMED: usize = 1024;
const OTHERS: &str = "others";

/// Refusals of requests whose sender proved nothing.
#[derive(Debug)]
pub(super) struct Strangers {
    lines: NetworkShare,
    /// How many got no line since that was last recorded.
    held_back: Mutex<HashMap<Arc<str>, u64>>,
}

impl Strangers {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { lines: NetworkShare::new(LINES, clock), held_back: Mutex::default() }
    }

    fn hold_back(&self, name: Arc<str>, refusals: u64) {
        let mut held = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        let full = held.len() >= MAX_NAMED && !held.contains_key(&name);
        let name = if full { Arc::from(OTHERS) } else { name };
        let count = held.entry(name).or_default();
        *count = count.saturating_add(refusals);
    }

    fn take(&self) -> HashMap<Arc<str>, u64> {
        std::mem::take(&mut *self.held_back.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Auditor {
    /// Whether the refusal of somebody who proved nothing gets a line of its own. Ask before recording it.
    ///
    /// `false`: the network has had its share of lines. The refusal is counted here, and answered like any other:
    /// people whose tokens ended must find out, however loud their neighbours are.
    #[must_use]
    pub fn admit_refusal(&self, address: Option<IpAddr>) -> bool {
        let strangers = self.strangers();
        let admitted = strangers.lines.take(address).is_ok();
        if !admitted {
            let name = address.map_or_else(|| "unknown".to_owned(), site);
            strangers.hold_back(name.into(), 1);
        }
        admitted
    }

    /// Records for each network how many refusals got no line of their own since the last time.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: what is not recorded is kept for the next time.
    pub async fn record_held_back(&self) -> Result<(), AuditError> {
        let mut failed = Ok(());
        for (name, refusals) in self.strangers().take() {
            let event =
                AuditEvent::RefusalsHoldBack { network: Arc::clone(&name), held_back: refusals };
            let recorded = match &failed {
                Ok(()) => self.record(&self.of_no_request(), event).await.map(drop),
                Err(_) => Err(AuditError::SinkFailing),
            };
            if let Err(error) = recorded {
                self.strangers().hold_back(name, refusals);
                failed = failed.and(Err(error));
            }
        }
        failed
    }

    fn of_no_request(&self) -> Context {
        Context {
            request_id: RequestId::generate(self.clock(), self.random()),
            trace_id: TraceId::generate(self.random()),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    #[test]
    fn what_is_counted_takes_no_more_memory_for_more_networks() {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let strangers = Strangers::new(&clock);
        for n in 0..5000 {
            strangers.hold_back(n.to_string().into(), 2);
        }
        let held = strangers.take();
        assert_eq!((held.len(), held.values().sum::<u64>()), (1025, 10_000));
        assert!(strangers.take().is_empty());
    }
}
