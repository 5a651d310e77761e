//! What `/ready` says: only what makes every request wrong is failing; everything else is degraded.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audit::Auditor;
use crate::http::Readiness;
use crate::mcp::McpService;
use crate::policy::Live;
use crate::resource_server::{KeyHealth, Verifier};
use crate::store::Database;
use crate::upstream::Hosted;

use super::reload::ReloadStatus;

/// The servers that are child processes, by id.
pub(super) type Children = Arc<[(String, Arc<Hosted>)]>;

/// Asks the parts that know.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) auditor: Auditor,
    pub(super) verifier: Arc<Verifier>,
    pub(super) service: McpService,
    pub(super) policy: Live,
    pub(super) reload: ReloadStatus,
    pub(super) store: Arc<dyn Database>,
    pub(super) children: Children,
    pub(super) facts: Value,
}

impl Readiness for Parts {
    fn failing(&self) -> Vec<(String, String)> {
        if self.auditor.status().healthy {
            Vec::new()
        } else {
            vec![("audit".to_owned(), "a sink cannot be written; requests are refused".to_owned())]
        }
    }

    fn degraded(&self) -> Vec<(String, String)> {
        let secrets = self.service.secrets().status().into_iter().map(|status| {
            let name = serde_json::to_value(status.backend).unwrap_or_default();
            let detail = serde_json::to_value(status.detail).unwrap_or_default();
            let detail = detail.as_str().map(|detail| format!(" ({detail})")).unwrap_or_default();
            let name = format!("secrets {}", name.as_str().unwrap_or_default());
            (name, format!("{}{detail} since {}", status.code, status.failed_at))
        });
        let keys = self.verifier.health().into_iter().filter_map(|health| {
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
        let policy = self.reload.fault().map(|fault| {
            ("policy".to_owned(), format!("the changed file is not in force: {fault}"))
        });
        let store = (!self.store.answers()).then(|| {
            let what = "it does not answer: nobody can log in or renew a token, and revocations by other replicas are not seen";
            ("store".to_owned(), what.to_owned())
        });
        let children = self.children.iter().filter_map(|(id, child)| {
            Some((format!("upstream {id}"), format!("{}; calls try it again", child.trouble()?)))
        });
        keys.chain(secrets).chain(policy).chain(store).chain(children).collect()
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
