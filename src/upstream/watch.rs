//! Tool definitions as they were last seen, and what is wrong with them.
//!
//! A server can change what a tool says of itself after somebody decided to trust it, and can hide words from people that a model reads.
//! The digest of a definition tells the first, a look at its characters the second.

mod foretold;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::value::RawValue;

use crate::audit::{FlawedThing, ToolFlaw};
use crate::store::{MetTool, StoreError, ToolPinStore};
use crate::time::Clock;

use super::definition::{Examined, examine, sha256, without_hidden};
use super::fault::Fault;
use super::looked::Looked;
use super::pinned::{Pinned, Standing};
use super::told::{TELL_AGAIN, Told};

/// Tools that are remembered: a server that makes up names takes no more memory than that, and no more of them are shown.
const MOST: usize = 20_000;

/// What becomes of a tool with a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFlaw {
    /// It is recorded, and the tool is shown.
    Alert,
    /// The tool is as if it did not exist.
    Hide,
}

/// What to look for, and what was seen. One for each server, whatever names it is reached by.
#[derive(Debug)]
pub struct Watch {
    /// By the server's own name of a tool: the digest that somebody approved.
    pub pins: HashMap<String, String>,
    pub on_change: OnFlaw,
    pub on_hidden_text: OnFlaw,
    /// To what the store holds the others. `None`: to what this process saw first.
    pinned: Option<Pinned>,
    seen: RwLock<HashMap<String, Seen>>,
    /// What is no tool and has a flaw.
    pub(super) told: Told,
    told_that_it_is_full: AtomicBool,
    /// Other definitions are approved than before.
    approved: tokio::sync::watch::Sender<()>,
    /// Lists that were asked for because of a pin.
    pub(super) looked: Looked,
}

/// A tool as it was last seen.
#[derive(Clone, Debug)]
struct Seen {
    /// SHA-256 of the text as it came: most lists are the same as before.
    text: [u8; 32],
    /// `None`: it could not be read.
    digest: Option<String>,
    flaw: Option<ToolFlaw>,
    /// When each flaw was told last, in monotonic time.
    told: [Option<Duration>; 3],
}

/// What is found about one definition.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) shown: bool,
    pub(super) news: Option<News>,
    /// The store has to be told of it, and it looked at again; until then it is not shown.
    pub(super) unmet: Option<MetTool>,
}

/// Whether a list was looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    First,
    /// What the store had to be told of it was told.
    Again,
}

/// What is to be recorded about a tool: it has come to have a flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// `None`: a tool.
    pub(super) thing: Option<FlawedThing>,
    pub(super) tool: String,
    pub(super) flaw: ToolFlaw,
    /// `None`: it could not be read.
    pub(super) digest: Option<String>,
    pub(super) hidden: bool,
}

const fn number(flaw: ToolFlaw) -> usize {
    match flaw {
        ToolFlaw::Changed => 0,
        ToolFlaw::HiddenText => 1,
        ToolFlaw::Unreadable => 2,
    }
}

impl Seen {
    /// Whether its flaw is to be told now; if so, it is noted as told.
    fn tells(&mut self, now: Duration) -> bool {
        let Some(told) = self.flaw.and_then(|flaw| self.told.get_mut(number(flaw))) else {
            return false;
        };
        let lately = told.is_some_and(|told| now.saturating_sub(told) < TELL_AGAIN);
        if !lately {
            *told = Some(now);
        }
        !lately
    }
}

/// What is left, and what is to be told of it.
type CutOut = (Box<RawValue>, Option<News>);

impl Watch {
    #[must_use]
    pub fn new(
        pins: HashMap<String, String>,
        (on_change, on_hidden_text): (OnFlaw, OnFlaw),
    ) -> Self {
        Self {
            pins,
            on_change,
            on_hidden_text,
            pinned: None,
            seen: RwLock::default(),
            told: Told::default(),
            told_that_it_is_full: AtomicBool::new(false),
            approved: tokio::sync::watch::Sender::default(),
            looked: Looked::default(),
        }
    }

    /// Holds the tools of this server to what the store has of them.
    #[must_use]
    pub fn kept_in(
        self,
        store: Arc<dyn ToolPinStore>,
        (server, clock): (&str, Arc<dyn Clock>),
    ) -> Self {
        Self { pinned: Some(Pinned::new(server, store, clock)), ..self }
    }

    /// Reads what the store has, unless it is of this version. What was changed is looked at anew when it is seen next.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub async fn follow(&self, version: Option<i64>) -> Result<(), StoreError> {
        let Some(pinned) = &self.pinned else { return Ok(()) };
        let others = pinned.follow(version).await?;
        if !others.is_empty() {
            let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            all.retain(|tool, _| !others.contains(tool) || self.pins.contains_key(tool));
            drop(all);
            self.approved.send_replace(());
        }
        Ok(())
    }

    /// Tells the store of tools. Where it does not answer, they stay unknown.
    ///
    /// In a task of its own: of all replicas this one is to tell of a change, and would not if its client went away.
    pub(super) async fn meet(self: &Arc<Self>, tools: Vec<MetTool>) {
        let watch = Arc::clone(self);
        let Some(pinned) = &self.pinned else { return };
        let meeting = pinned.under_way.spawn(async move { watch.met(tools).await });
        // Where it failed it is met again with the next list.
        meeting.await.unwrap_or_default();
    }

    async fn met(&self, tools: Vec<MetTool>) {
        let Some(pinned) = &self.pinned else { return };
        let digests: Vec<_> =
            tools.iter().map(|met| (met.tool.clone(), met.digest.clone())).collect();
        let told = match pinned.meet(tools).await {
            Ok(told) => told,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                return tracing::warn!(error, "upstream.pins_unread");
            }
        };
        let (flaw, hidden) = (ToolFlaw::Changed, self.on_change == OnFlaw::Hide);
        let changed = digests.into_iter().filter(|(tool, _)| told.contains(tool));
        let news = changed.map(|(tool, digest)| News {
            thing: None,
            tool,
            flaw,
            digest: Some(digest),
            hidden,
        });
        self.told.keep_changes(news.collect());
    }

    /// Looks at a definition in a list, at a monotonic time. The verdict is about this very text, whatever else is seen
    /// meanwhile. What is wrong with a tool is told when it comes to be so, and of a tool that changes all the time once an hour.
    pub(super) fn look(
        &self,
        tool: &str,
        definition: &RawValue,
        (look, now): (Look, Duration),
    ) -> Verdict {
        let text = sha256(definition.get().as_bytes());
        if let Some(before) = self.read().get(tool).filter(|before| before.text == text) {
            return Verdict { shown: !self.hides_one_with(before.flaw), news: None, unmet: None };
        }
        let examined = examine(definition);
        if let Some(examined) = &examined
            && let Some(verdict) = self.unknown(tool, examined, look)
        {
            return verdict;
        }
        let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(tool);
        let may_remember = before.is_some() || all.len() < MOST || self.pins.contains_key(tool);
        if !may_remember {
            drop(all);
            self.warn_once();
            return Verdict { shown: false, news: None, unmet: None };
        }
        let flaw = self.flaw((tool, before), examined.as_ref());
        let digest = examined.map(|examined| examined.digest);
        let told = before.map(|before| before.told).unwrap_or_default();
        let mut seen = Seen { text, digest: digest.clone(), flaw, told };
        let by_the_store = flaw == Some(ToolFlaw::Changed) && self.is_held(tool);
        let tells = seen.tells(now) && !by_the_store;
        all.insert(tool.to_owned(), seen);
        drop(all);
        let hidden = self.hides_one_with(flaw);
        let tool = tool.to_owned();
        let news =
            flaw.filter(|_| tells).map(|flaw| News { thing: None, tool, flaw, digest, hidden });
        Verdict { shown: !hidden, news, unmet: None }
    }

    /// Whether the store says to what this tool is held: then of all replicas one is told to tell of a change.
    fn is_held(&self, tool: &str) -> bool {
        self.pinned.is_some() && !self.pins.contains_key(tool)
    }

    /// The verdict about a definition of which the store has not heard. `None`: it has.
    fn unknown(&self, tool: &str, examined: &Examined, look: Look) -> Option<Verdict> {
        let pinned = self.pinned.as_ref().filter(|_| !self.pins.contains_key(tool))?;
        let Examined { digest, text, hides_text } = examined;
        // What nobody is shown is not approved because it was the first.
        if *hides_text && self.on_hidden_text == OnFlaw::Hide && !pinned.has(tool) {
            return None;
        }
        let standing = pinned.standing(tool, digest);
        match (standing, look) {
            (Standing::Approved | Standing::Changed, _) => None,
            (Standing::Unmet, Look::First) => {
                let (tool, digest) = (tool.to_owned(), digest.clone());
                let unmet = Some(MetTool { tool, digest, definition: Some(text.clone()) });
                Some(Verdict { shown: false, news: None, unmet })
            }
            // The store does not answer, has no room for it, or was told of another one just now: whatever it is, nobody has approved it.
            (Standing::Unmet | Standing::ChangedAgain, _) => {
                let shown = self.on_change == OnFlaw::Alert
                    && !(*hides_text && self.on_hidden_text == OnFlaw::Hide);
                if !shown {
                    self.hide(tool, digest);
                }
                Some(Verdict { shown, news: None, unmet: None })
            }
        }
    }

    /// Keeps a tool from being called until its definition is looked at again.
    fn hide(&self, tool: &str, digest: &str) {
        let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(tool) {
            drop(all);
            return self.warn_once();
        }
        let told = all.get(tool).map(|before| before.told).unwrap_or_default();
        let (digest, flaw) = (Some(digest.to_owned()), Some(ToolFlaw::Changed));
        // Of no text: the next list has another one.
        all.insert(tool.to_owned(), Seen { text: [0; 32], digest, flaw, told });
    }

    /// Looks at the entry of another list than that of tools: for hidden text alone, whatever it was before.
    pub(super) fn look_at(
        &self,
        (thing, name): (FlawedThing, &str),
        definition: &RawValue,
        now: Duration,
    ) -> Verdict {
        let (flaw, digest) = match examine(definition) {
            None => (ToolFlaw::Unreadable, None),
            Some(Examined { digest, hides_text: true, .. }) => (ToolFlaw::HiddenText, Some(digest)),
            Some(_) => return Verdict { shown: true, news: None, unmet: None },
        };
        let hidden = self.hides_one_with(Some(flaw));
        let tool = name.to_owned();
        let tells = self.told.tells((thing, name), now);
        let news = tells.then_some(News { thing: Some(thing), tool, flaw, digest, hidden });
        Verdict { shown: !hidden, news, unmet: None }
    }

    /// What a server says of itself, with what people do not see of it cut out. `None`: there is nothing to cut out.
    ///
    /// # Errors
    ///
    /// [`Fault::NotAMessage`] where two readers could read it differently
    pub(super) fn cut_out(&self, said: &RawValue, now: Duration) -> Result<Option<CutOut>, Fault> {
        let examined = examine(said).ok_or(Fault::NotAMessage)?;
        if !examined.hides_text {
            return Ok(None);
        }
        let (thing, hidden) = (FlawedThing::Server, self.on_hidden_text == OnFlaw::Hide);
        let said = if hidden { without_hidden(said) } else { Some(said.to_owned()) };
        let said = said.ok_or(Fault::NotAMessage)?;
        let (flaw, digest) = (ToolFlaw::HiddenText, Some(examined.digest));
        let tells = self.told.tells((thing, ""), now);
        let thing = Some(thing);
        let news = tells.then_some(News { thing, tool: String::new(), flaw, digest, hidden });
        Ok(Some((said, news)))
    }

    /// Of two flaws the one that hides it.
    fn flaw(
        &self,
        (tool, before): (&str, Option<&Seen>),
        examined: Option<&Examined>,
    ) -> Option<ToolFlaw> {
        let Some(examined) = examined else { return Some(ToolFlaw::Unreadable) };
        let changed = match (self.pins.get(tool), before) {
            (Some(pin), _) => *pin != examined.digest,
            (None, _) if self.is_held(tool) => self.has_changed(tool, &examined.digest),
            // Once changed, changed: until it is approved, or the broker starts anew.
            (None, Some(before)) => {
                before.digest.as_ref() != Some(&examined.digest)
                    || before.flaw == Some(ToolFlaw::Changed)
            }
            (None, None) => false,
        };
        match (examined.hides_text, changed) {
            (true, true) if self.on_hidden_text == OnFlaw::Alert => Some(ToolFlaw::Changed),
            (true, _) => Some(ToolFlaw::HiddenText),
            (false, true) => Some(ToolFlaw::Changed),
            (false, false) => None,
        }
    }

    fn has_changed(&self, tool: &str, digest: &str) -> bool {
        let pinned = self.pinned.as_ref();
        pinned.is_some_and(|pinned| pinned.standing(tool, digest) == Standing::Changed)
    }

    fn warn_once(&self) {
        if !self.told_that_it_is_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(most = MOST, "upstream.too_many_tools");
        }
    }

    /// Whether the tool may be shown and called, as far as its definition goes. One that was in no list yet may, unless
    /// it is pinned and would be hidden if it were another, or so many were seen that no more are looked at.
    pub(super) fn shows(&self, tool: &str) -> bool {
        let all = self.read();
        match all.get(tool) {
            Some(seen) => !self.hides_one_with(seen.flaw),
            None => all.len() < MOST && !self.holds_by_a_pin(tool),
        }
    }

    /// Whether its definition has to be seen before it is called.
    pub(super) fn wants_to_see(&self, tool: &str) -> bool {
        self.holds_by_a_pin(tool) && !self.read().contains_key(tool)
    }

    fn holds_by_a_pin(&self, tool: &str) -> bool {
        let held = || self.pinned.as_ref().is_some_and(|pinned| pinned.may_hold(tool));
        self.on_change == OnFlaw::Hide && (self.pins.contains_key(tool) || held())
    }

    fn hides_one_with(&self, flaw: Option<ToolFlaw>) -> bool {
        match flaw {
            None => false,
            Some(ToolFlaw::Changed) => self.on_change == OnFlaw::Hide,
            Some(ToolFlaw::HiddenText) => self.on_hidden_text == OnFlaw::Hide,
            // What it says to a laxer reader nobody knows.
            Some(ToolFlaw::Unreadable) => true,
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Seen>> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
