//! What a server has, and what of it a caller sees by one set of rules: whoever is told of a change is told of one that they see.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::guard::{List, Thing};
use crate::policy::InForce;
use crate::upstream::definition::sha256;
use crate::upstream::era::Filter;
use crate::upstream::server::Server;

use super::names;

/// Whose changes are told by one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Tools,
    Prompts,
    /// And templates of them.
    Resources,
}

impl Which {
    pub(super) const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    pub(super) const fn lists(self) -> &'static [List] {
        match self {
            Self::Tools => &[List::Tools],
            Self::Prompts => &[List::Prompts],
            Self::Resources => &[List::Resources, List::Templates],
        }
    }

    pub(super) const fn notification(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    pub(super) const fn is_wanted(self, filter: &Filter) -> bool {
        match self {
            Self::Tools => filter.tools_list_changed,
            Self::Prompts => filter.prompts_list_changed,
            Self::Resources => filter.resources_list_changed,
        }
    }

    /// The one that a server tells of.
    pub(super) fn told(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|which| which.notification() == method)
    }
}

/// All servers, as they were last seen. `None`: one that was asked and has not said yet.
pub(super) type Seen = HashMap<Arc<str>, Option<Arc<Has>>>;

/// What one server has.
#[derive(Clone, Debug)]
pub(super) struct Has {
    server: Arc<Server>,
    /// How often it came back: whoever listed its things while it was away has seen none.
    pub(super) returns: u64,
    tools: Arc<[Entry]>,
    prompts: Arc<[Entry]>,
    resources: Arc<[Entry]>,
}

/// One thing of a server that a list would show to who may see it.
#[derive(Debug)]
pub(super) struct Entry {
    list: List,
    name: Box<str>,
    /// Of all that the list says of it.
    digest: [u8; 32],
}

impl Entry {
    /// `None`: no list at `/mcp` would show it to anybody.
    pub(super) fn of(server: &Server, list: List, entry: &RawValue) -> Option<Self> {
        names::prefixed(&server.id, list, entry)?;
        let name = names::own(list, entry)?;
        let tool = (list == List::Tools).then_some(&*name);
        let shown = server.watch.would_show(tool, entry);
        let digest = sha256(entry.get().as_bytes());
        shown.then(|| Self { list, name: name.into(), digest })
    }

    fn thing(&self) -> Thing<'_> {
        match self.list {
            List::Tools => Thing::Tool(&self.name),
            List::Prompts => Thing::Prompt(&self.name, None),
            List::Resources | List::Templates => Thing::Resource(&self.name),
        }
    }
}

impl Has {
    pub(super) fn nothing(server: &Arc<Server>, returns: u64) -> Self {
        let (server, none) = (Arc::clone(server), || Arc::<[Entry]>::from([]));
        Self { server, returns, tools: none(), prompts: none(), resources: none() }
    }

    pub(super) fn set(&mut self, which: Which, entries: Vec<Entry>) {
        let all = match which {
            Which::Tools => &mut self.tools,
            Which::Prompts => &mut self.prompts,
            Which::Resources => &mut self.resources,
        };
        *all = entries.into();
    }

    /// What `caller` sees of it by these rules, as a digest. `None`: nothing.
    fn seen(&self, which: Which, caller: &Caller, rules: &Arc<InForce>) -> Option<[u8; 32]> {
        let all = match which {
            Which::Tools => &self.tools,
            Which::Prompts => &self.prompts,
            Which::Resources => &self.resources,
        };
        let decider = &self.server.decider;
        let deciding = decider.under(Arc::clone(rules));
        let mut text = self.returns.to_be_bytes().to_vec();
        let none = text.len();
        for entry in &**all {
            let thing = entry.thing();
            let said = decider.is_nameable(thing).then(|| deciding.about(caller, thing));
            // As lists are filtered.
            let shown = said.is_some_and(|said| match thing {
                Thing::Tool(_) => said.shows_the_tool(),
                Thing::Prompt(..) | Thing::Resource(_) => said.is_allow(),
            });
            if shown {
                text.extend_from_slice(&entry.digest);
            }
        }
        (text.len() > none).then(|| sha256(&text))
    }
}

/// What there was to see at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) rules: &'a Arc<InForce>,
    pub(super) seen: &'a Arc<Seen>,
}

/// Whether `caller` sees anything else than before. A server of which they see nothing, before and after, is as if it were not there.
pub(super) async fn differ(
    which: Which,
    caller: &Caller,
    (before, after): (View<'_>, View<'_>),
) -> bool {
    let same_rules = Arc::ptr_eq(before.rules, after.rules);
    if same_rules && Arc::ptr_eq(before.seen, after.seen) {
        return false;
    }
    let gone = before.seen.keys().filter(|id| !after.seen.contains_key(*id));
    for id in after.seen.keys().chain(gone) {
        let had = before.seen.get(id).and_then(Option::as_ref);
        let has = after.seen.get(id).and_then(Option::as_ref);
        let is_same = match (had, has) {
            (Some(had), Some(has)) => same_rules && Arc::ptr_eq(had, has),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            continue;
        }
        let seen =
            |has: Option<&Arc<Has>>, rules| has.and_then(|has| has.seen(which, caller, rules));
        if seen(had, before.rules) != seen(has, after.rules) {
            return true;
        }
        // Others have their turn: there may be a thousand servers.
        tokio::task::yield_now().await;
    }
    false
}
