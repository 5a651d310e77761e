//! What a server has, and what of it a caller sees by one set of rules: whoever is told of a change is told of one that they see.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::guard::{Decider, List, Thing};
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

/// Things that are decided about before others have their turn.
const TURN: usize = 256;

/// What one server has.
#[derive(Clone, Debug)]
pub(super) struct Has {
    decider: Decider,
    /// How often it came back: whoever listed its things while it was away has seen none.
    pub(super) returns: u64,
    tools: Arc<[Entry]>,
    prompts: Arc<[Entry]>,
    resources: Arc<[Entry]>,
}

/// One thing of a server that a list would show to who may see it.
#[derive(Debug, PartialEq, Eq)]
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

    pub(super) fn thing(&self) -> Thing<'_> {
        match self.list {
            List::Tools => Thing::Tool(&self.name),
            List::Prompts => Thing::Prompt(&self.name, None),
            List::Resources | List::Templates => Thing::Resource(&self.name),
        }
    }
}

impl Has {
    pub(super) fn nothing(server: &Arc<Server>, returns: u64) -> Self {
        Self::nothing_by(server.decider.clone(), returns)
    }

    fn nothing_by(decider: Decider, returns: u64) -> Self {
        let none = || Arc::<[Entry]>::from([]);
        Self { decider, returns, tools: none(), prompts: none(), resources: none() }
    }

    /// Whether it is the same, word by word and in the same order.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let lists = |has: &Self| [&has.tools, &has.prompts, &has.resources].map(Arc::clone);
        self.returns == other.returns && lists(self) == lists(other)
    }

    /// How many things it has.
    pub(super) fn count(&self) -> usize {
        [&self.tools, &self.prompts, &self.resources].map(|list| list.len()).iter().sum()
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
    async fn seen(
        &self,
        which: Which,
        (caller, rules): (&Caller, &Arc<InForce>),
    ) -> Option<[u8; 32]> {
        let all = match which {
            Which::Tools => &self.tools,
            Which::Prompts => &self.prompts,
            Which::Resources => &self.resources,
        };
        let deciding = self.decider.under(Arc::clone(rules));
        let mut text = self.returns.to_be_bytes().to_vec();
        let none = text.len();
        for turn in all.chunks(TURN) {
            for entry in turn {
                if deciding.shows(caller, entry.thing()) {
                    text.extend_from_slice(&entry.digest);
                }
            }
            tokio::task::yield_now().await;
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
        let seen = async |has: Option<&Arc<Has>>, rules| match has {
            Some(has) => has.seen(which, (caller, rules)).await,
            None => None,
        };
        if seen(had, before.rules).await != seen(has, after.rules).await {
            return true;
        }
    }
    false
}

#[cfg(test)]
pub(super) mod tests {
    use crate::policy::{Facts, Live, Policy};
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    /// What a server has that came back so often.
    pub(in crate::upstream::fold) fn having(returns: u64, which: Which, names: &[&str]) -> Has {
        let facts = Facts {
            issuer: "https://broker.example".to_owned(),
            profiles: Vec::new(),
            resource: "https://graph.microsoft.com".to_owned(),
            allowed_resources: Vec::new(),
            allowed_permissions: None,
            tools: Vec::new(),
            reading_tools: Vec::new(),
        };
        let rules = Policy::load("policy.toml", "", None, &[], facts).unwrap();
        let policy = Live::new(rules, None, Arc::new(FixedClock::at(Timestamp::default())));
        let decider = Decider { policy, server: "weather".into(), beside: None };
        let mut has = Has::nothing_by(decider, returns);
        let list = which.lists()[0];
        let entry = |name: &&str| {
            let digest = sha256(name.as_bytes());
            Entry { list, name: (*name).into(), digest }
        };
        has.set(which, names.iter().map(entry).collect());
        has
    }

    #[test]
    fn a_resource_is_no_template_of_the_same_text() {
        let resource = having(0, Which::Resources, &["a"]);
        let mut template = having(0, Which::Resources, &[]);
        let entry = Entry { list: List::Templates, name: "a".into(), digest: sha256(b"a") };
        template.set(Which::Resources, vec![entry]);
        assert!(!resource.is_as(&template));
        assert_eq!((resource.count(), template.count()), (1, 1));
    }
}
