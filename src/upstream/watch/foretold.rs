//! What a list would show, for those who are told when that changes: nothing is noted as seen, and nobody is told of flaws.

use serde_json::value::RawValue;

use crate::upstream::definition::{Examined, examine};
use crate::upstream::pinned::Standing;

use super::{OnFlaw, Watch};

impl Watch {
    /// Tells whenever tools are held to other definitions than before.
    pub(in crate::upstream) fn approvals(&self) -> tokio::sync::watch::Receiver<()> {
        self.approved.subscribe()
    }

    /// Whether a list would show what says this of itself, without noting that it was seen. `None`: it is no tool.
    pub(in crate::upstream) fn would_show(
        &self,
        tool: Option<&str>,
        definition: &RawValue,
    ) -> bool {
        let Some(Examined { digest, hides_text, .. }) = examine(definition) else { return false };
        if hides_text && self.on_hidden_text == OnFlaw::Hide {
            return false;
        }
        let Some(tool) = tool.filter(|_| self.on_change == OnFlaw::Hide) else { return true };
        match (self.pins.get(tool), &self.pinned) {
            (Some(pin), _) => *pin == digest,
            // Of one that is held to none the first is shown.
            (None, Some(pinned)) => {
                !pinned.has(tool) || pinned.standing(tool, &digest) == Standing::Approved
            }
            (None, None) => self.shows(tool),
        }
    }
}
