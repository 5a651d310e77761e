//! What `/ready` says: only what makes every request wrong is failing; everything else is degraded.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::Auditor;
use crate::broker::Outages;
use crate::http::Readiness;
use crate::mcp::McpService;
use crate::policy::Live;
use crate::resource_server::KeyHealth;
use crate::store::Database;
use crate::upstream::Hosted;

use super::follow_keys::KeyStatus;
use super::reload::ReloadStatus;
use super::sealing::SealStatus;
use super::verifiers::Verifiers;

/// The servers that are child processes, by id.
pub(super) type Children = Arc<[(String, Arc<Hosted>)]>;

/// Asks the parts that know.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) auditor: Auditor,
    pub(super) verifiers: Verifiers,
    pub(super) keys: KeyStatus,
    pub(super) seal: SealStatus,
    /// Whether tokens of ours are needed for anything: not where others issue all of them.
    pub(super) issues: bool,
    pub(super) service: McpService,
    pub(super) policy: Live,
    pub(super) reload: ReloadStatus,
    pub(super) store: Arc<dyn Database>,
    pub(super) outages: Arc<Outages>,
    pub(super) children: Children,
    pub(super) facts: Value,
}

impl Parts {
    /// Where the key-encryption key opens no key that signs.
    fn no_key(&self) -> Option<(String, String)> {
        let what = "none that signs can be opened; no token can be issued, and those that they signed are refused: look at store.key_encryption_key";
        (!self.keys.can_sign()).then(|| ("signing keys".to_owned(), what.to_owned()))
    }
}

impl Readiness for Parts {
    fn failing(&self) -> Vec<(String, String)> {
        let mut failing = Vec::new();
        if !self.auditor.status().healthy {
            let what =
                "a sink cannot be written, or a write to it does not return; requests are refused";
            failing.push(("audit".to_owned(), what.to_owned()));
        }
        // Every request is answered by what was revoked up to then, and nobody knows what was since.
        if !self.store.answers() {
            let what = "it does not answer, or cannot be written: nobody can log in or renew a token, and revocations by other replicas may not be seen";
            failing.push(("store".to_owned(), what.to_owned()));
        }
        failing.extend(self.no_key().filter(|_| self.issues));
        failing
    }

    fn degraded(&self) -> Vec<(String, String)> {
        let secrets = self.service.secrets().status().into_iter().map(|status| {
            let name = serde_json::to_value(status.backend).unwrap_or_default();
            let detail = serde_json::to_value(status.detail).unwrap_or_default();
            let detail = detail.as_str().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let name = format!("secrets {}", name.as_str().unwrap_or_default());
            (name, format!("{}{detail} since {}", status.code, status.failed_at))
        });
        let keys = self.verifiers.health().into_iter().filter_map(|health| {
            let reason = match health.keys {
                KeyHealth::Unused | KeyHealth::Good => return None,
                KeyHealth::Stale => "the key set cannot be fetched; the last one is in use",
                KeyHealth::Unavailable if health.introspects => {
                    "the introspection endpoint does not answer properly; its tokens are answered 503"
                }
                KeyHealth::Unavailable => {
                    "the key set cannot be fetched; its tokens are answered 503"
                }
            };
            Some((format!("issuer {}", health.issuer), reason.to_owned()))
        });
        // Everybody may read this, and a fault quotes what the rules are about.
        let policy = self.reload.fault().map(|_| {
            let what = "a file of rules was changed, or is gone, and what it should hold is not in force; the log says why, and so does GET /api/v1/policy to administrators";
            ("policy".to_owned(), what.to_owned())
        });
        let clock = self.policy.current().clock_step_ms().map(|step| {
            let seconds = step / 1000;
            let what = format!("stepped by {seconds} s since the broker trusted it: what rules open by the time, or by the age of a log-in, has to hold at both times; once the clock is right, restart the broker");
            ("clock".to_owned(), what)
        });
        let stuck = self.keys.is_stuck().then(|| {
            let what = "the signing keys cannot be read anew or replaced; those in force stay, and the log says why";
            ("keys".to_owned(), what.to_owned())
        });
        let other = self.seal.is_lost().then(|| {
            let what = "the store is sealed with another key by now, which this broker does not have: what is sealed is not opened; set store.key_encryption_key and restart";
            ("store sealing".to_owned(), what.to_owned())
        });
        let stuck = stuck.into_iter().chain(other);
        let own = self.no_key().filter(|_| !self.issues).into_iter().chain(stuck);
        let children = self.children.iter().filter_map(|(id, child)| {
            Some((format!("upstream {id}"), format!("{}; calls try it again", child.trouble()?)))
        });
        let away = self.outages.list().into_iter();
        let away = away.map(|(name, code)| (name, format!("no answer; calls get {code}")));
        own.chain(keys)
            .chain(secrets)
            .chain(policy)
            .chain(clock)
            .chain(children)
            .chain(away)
            .collect()
    }

    fn facts(&self) -> Value {
        let mut facts = self.facts.clone();
        if let Some(members) = facts.as_object_mut() {
            let in_force = self.policy.current();
            members.insert("policy_version".to_owned(), json!(in_force.policy().version()));
            if let Some(shadow) = in_force.shadow() {
                members.insert("shadow_policy_version".to_owned(), json!(shadow.version()));
                members
                    .insert("shadow_differences".to_owned(), json!(in_force.differences().count()));
            }
            members.insert("audit_waiting".to_owned(), json!(self.auditor.status().waiting));
        }
        facts
    }
}
