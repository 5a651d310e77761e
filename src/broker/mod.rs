//! The use case: one Graph operation, from a caller to an answer. [`execute`] is the spine.

mod approval;
mod approve;
mod attempts;
mod call;
mod caller;
mod credential;
mod execute;
mod explain;
mod failure;
mod flow;
mod outages;
mod reply;

use std::sync::Arc;

use crate::code::Code;
use crate::graph::{Catalog, Graph};
use crate::id::{ProfileName, ToolName};
use crate::policy::Live;
use crate::secret::Secrets;
use crate::secret_ref::SecretRef;
use crate::time::Clock;
use crate::token::{ProfileSettings, ProviderTokens};

pub use approval::{
    Answer, ApprovalError, Approvals, Approver, Courier, Exactly, Notices, Open, Question,
    RulesVersion, Seal, Standing, Terms, Through, Webhook, WebhookError, in_words,
};
pub use approve::Wanted;
pub use call::{CONTRACT_VERSION, CallError, GraphCall};
pub use caller::Caller;
pub use explain::{
    Asked, AttemptView, ComparedView, DecisionView, EventView, ExplainError, Explained, Explainer,
    Family, OutcomeView, Records, RuleView, Rules, SentView, Situation, next_step,
};
pub use outages::Outages;
pub use reply::{Failure, Reply};

/// One Graph credential profile, and where its secret is.
#[derive(Clone, Debug)]
pub struct Profile {
    pub settings: ProfileSettings,
    /// `None` for federated tokens and managed identities, which have none.
    pub secret: Option<SecretRef>,
}

/// Executes Graph operations. One for the process.
#[derive(Debug)]
pub struct Broker {
    pub policy: Live,
    pub profiles: Vec<Profile>,
    pub secrets: Arc<Secrets>,
    pub tokens: ProviderTokens,
    pub graph: Graph,
    pub catalog: Arc<Catalog>,
    pub approvals: Approvals,
    pub outages: Arc<Outages>,
    pub clock: Arc<dyn Clock>,
    /// Whether the built-in simulation answers; every reply says so then.
    pub simulated: bool,
}

impl Broker {
    /// What is known about Graph's operations: for hints and descriptions, never for a decision.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn profile(&self, name: &ProfileName) -> Result<&Profile, Failure> {
        self.profiles.iter().find(|profile| profile.settings.name() == name).ok_or_else(|| {
            // Policy compiles against the same profiles, so this is a mistake of ours.
            Failure::new(
                Code::BrokerUnavailable,
                "the deciding rule names a profile that is not configured",
            )
        })
    }
}

/// The tool's name as an identifier.
fn tool_name() -> ToolName {
    #[expect(clippy::expect_used, reason = "the name is a constant that obeys the rule for names")]
    execute::TOOL.parse().expect("a tool's name is valid")
}
