//! What publishes and verifies follows the keys in the store, and a key that has signed for long enough gets a successor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::{
    AdminAction, AdminObject, AdminOutcome, AuditError, AuditEvent, Auditor, Context,
};
use crate::authorization_server::{KeyError, KeyRing, Refreshed};
use crate::id::{RequestId, TraceId};
use crate::random::Random;
use crate::resource_server::{LocalKeys, Verifier};
use crate::time::Clock;

/// How often the store is looked at: half of the minute that a new key is published longer than others cache it.
const EVERY: Duration = Duration::from_secs(30);
/// The least time between two looks, whatever tokens name.
const COOL_DOWN: Duration = Duration::from_secs(5);

/// How the keys stand, for `/ready`. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct KeyStatus {
    ring: Arc<KeyRing>,
    /// The last look at the store did not succeed.
    failed: Arc<AtomicBool>,
}

impl KeyStatus {
    /// Whether there is a key in force that signs.
    pub(super) fn can_sign(&self) -> bool {
        self.ring.can_sign()
    }

    /// Whether they cannot be followed at the moment: those in force stay, and get no successor.
    pub(super) fn is_stuck(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Keeps what verifies in step with what signs.
#[derive(Debug)]
pub(super) struct Follower {
    /// What signs.
    pub(super) ring: Arc<KeyRing>,
    local: Arc<LocalKeys>,
    failed: Arc<AtomicBool>,
    /// Whose remembered tokens are forgotten when a key is gone.
    verifiers: Vec<Arc<Verifier>>,
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Follower {
    pub(super) fn new(
        (ring, local): (Arc<KeyRing>, Arc<LocalKeys>),
        verifiers: Vec<Arc<Verifier>>,
        auditor: &Auditor,
        (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Self {
        Self {
            ring,
            local,
            failed: Arc::default(),
            verifiers,
            auditor: auditor.clone(),
            clock: Arc::clone(clock),
            random: Arc::clone(random),
        }
    }

    pub(super) fn status(&self) -> KeyStatus {
        KeyStatus { ring: Arc::clone(&self.ring), failed: Arc::clone(&self.failed) }
    }

    /// Until `stop`: looks at the store every half minute, and when a token names a key that we do not have.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut questions = self.local.questions();
        let (mut due, mut allowed) = (Instant::now() + EVERY, Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due) => {}
                Ok(()) = questions.changed() => {}
            }
            if Instant::now() >= allowed {
                self.look().await;
                (due, allowed) = (Instant::now() + EVERY, Instant::now() + COOL_DOWN);
            }
            self.local.answer();
        }
    }

    async fn look(&self) {
        let mut failed = false;
        if let Err(error) = self.rotate().await {
            failed = true;
            tracing::warn!(error = &error as &dyn std::error::Error, "keys.not_rotated");
        }
        match self.ring.refresh().await {
            Ok(Refreshed::Same) => {}
            Ok(refreshed) => self.take(refreshed),
            // The keys in use stay.
            Err(error) => {
                failed = true;
                tracing::warn!(error = &error as &dyn std::error::Error, "keys.not_refreshed");
            }
        }
        self.failed.store(failed, Ordering::Relaxed);
    }

    /// Adds a key where the one in use is too old. What cannot be recorded is not done.
    async fn rotate(&self) -> Result<(), RotateError> {
        if !self.ring.is_due().await? {
            return Ok(());
        }
        let context = Context {
            request_id: RequestId::generate(&*self.clock, &*self.random),
            trace_id: TraceId::generate(&*self.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let (object, action) = (AdminObject::SigningKey, AdminAction::Add);
        let begin = AuditEvent::AdminChangeBegin { object, action, id: "all".into() };
        self.auditor.record(&context, begin).await?;
        let rotated = self.ring.rotate_if_due().await;
        let (id, outcome) = match &rotated {
            Ok(Some(kid)) => (kid.as_str(), AdminOutcome::Done),
            Ok(None) => ("all", AdminOutcome::Refused),
            Err(_) => ("all", AdminOutcome::Failed),
        };
        if let Ok(Some(kid)) = &rotated {
            let event = AuditEvent::KeyRotate { kid: kid.as_str().into(), at_once: false };
            self.auditor.record(&context, event).await?;
        }
        let end = AuditEvent::AdminChangeEnd { object, action, id: id.into(), outcome };
        self.auditor.record(&context, end).await?;
        rotated?;
        Ok(())
    }

    fn take(&self, refreshed: Refreshed) {
        if let Err(error) = self.local.replace(self.ring.current().jwks_json()) {
            tracing::error!(error = &error as &dyn std::error::Error, "keys.not_verifiable");
        }
        if refreshed == Refreshed::Removed {
            self.verifiers.iter().for_each(|verifier| verifier.forget());
        }
        tracing::info!(keys = ?self.ring.current(), "keys.changed");
    }
}

/// Why no successor was added. Tried again at the next look.
#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error("the keys cannot be read or written")]
    Keys(#[from] KeyError),
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditError),
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;
    use crate::audit::{AuditSettings, FileSettings, OnFailure, SinkSettings};
    use crate::authorization_server::{
        Algorithms, KeyEncryptionKey, KeySettings, SigningAlgorithm,
    };
    use crate::random::SystemRandom;
    use crate::store::{StoreSettings, open};
    use crate::time::{FixedClock, Timestamp};

    async fn follower(directory: &std::path::Path, clock: &Arc<FixedClock>) -> Follower {
        let store = StoreSettings::Sqlite(directory.join("broker.db"));
        let store = open(&store, Arc::<FixedClock>::clone(clock)).await.unwrap();
        let settings = KeySettings {
            store,
            encryption: KeyEncryptionKey::parse(&STANDARD.encode([1; 32]).into()).unwrap(),
            algorithms: Algorithms::new(SigningAlgorithm::Es256, []),
            longest_token: Duration::from_hours(1),
            signs_for: Some(Duration::from_hours(24 * 90)),
            clock: Arc::<FixedClock>::clone(clock),
        };
        let ring = Arc::new(KeyRing::from_store(settings, directory).await.unwrap());
        let local = Arc::new(LocalKeys::new(ring.current().jwks_json()).unwrap());
        let audit = AuditSettings {
            queue_length: 100,
            on_failure: OnFailure::Deny,
            limit: Duration::from_secs(10),
            sinks: vec![SinkSettings::File(FileSettings {
                durable: true,
                ..FileSettings::at(directory.join("audit.jsonl"))
            })],
            service: "test".into(),
            environment: "dev",
        };
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(clock);
        let auditor = Auditor::open(audit, Arc::clone(&clock), Arc::clone(&random)).unwrap();
        let (verifiers, failed) = (Vec::new(), Arc::default());
        Follower { ring, local, failed, verifiers, auditor, clock, random }
    }

    #[tokio::test]
    async fn a_key_of_ninety_days_gets_a_successor_and_the_log_says_so_once() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
        let follower = follower(directory.path(), &clock).await;
        clock.advance(Duration::from_hours(24 * 89));
        follower.look().await;
        assert_eq!(follower.ring.current().jwks().keys.len(), 1);
        clock.advance(Duration::from_hours(24));
        follower.look().await;
        follower.look().await;
        assert_eq!(follower.ring.current().jwks().keys.len(), 2, "published before it signs");
        follower.auditor.flush().await.unwrap();
        let log = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
        let events: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let types: Vec<_> = events.iter().map(|event| &event["event_type"]).collect();
        let expected = ["admin.change.begun", "oauth.key.rotated", "admin.change.ended"];
        assert_eq!(types, expected, "{log}");
        assert_eq!(events[2]["payload"]["outcome"], "done");
        assert_eq!(events[2]["payload"]["object"], "signing_key");
        assert!(events[1]["requester_id"].is_null());
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_is_not_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
        let follower = follower(directory.path(), &clock).await;
        let log = directory.path().join("audit.jsonl");
        std::fs::remove_file(&log).unwrap();
        std::fs::create_dir(&log).unwrap();
        clock.advance(Duration::from_hours(24 * 91));
        follower.look().await;
        assert_eq!(follower.ring.current().jwks().keys.len(), 1);
        assert!(follower.status().is_stuck() && follower.status().can_sign());
    }
}
