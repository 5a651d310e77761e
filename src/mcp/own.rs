//! The broker's own tools, for those who are told when what they see of them changes.

use std::sync::Arc;

use crate::broker::Caller;
use crate::guard::Own;
use crate::policy::InForce;

use super::decide::Decider;
use super::tools::Toolbox;

/// They are the same as long as the broker runs: what changes is who sees them.
#[derive(Clone, Debug)]
pub(super) struct OwnTools {
    pub(super) toolbox: Toolbox,
    pub(super) decider: Decider,
}

impl Own for OwnTools {
    fn seen(&self, caller: &Caller, rules: &Arc<InForce>) -> Vec<String> {
        let deciding = self.decider.under(Arc::clone(rules));
        let seen = self.toolbox.iter();
        let seen = seen.filter(|entry| deciding.tool(caller, entry).shows_the_tool());
        seen.map(|entry| entry.tool.name.clone().into_owned()).collect()
    }
}
