//! Who sees which tool, and which operations, by the old rules and by the new.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::app;
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Decision, Moment, Policy, Replay, Who};
use crate::time::{Clock, SystemClock};

use crate::cli::failure::Failure;
use crate::cli::policy::cases::callers;
use crate::cli::policy::log::Entry;
use crate::cli::policy::question::{Asker, visible};
use crate::cli::settings::Ready;

/// Callers that are told apart.
const MOST_CALLERS: usize = 10_000;

/// The callers that were met so far, and what the rules say to each.
pub(super) struct Matrix<'p> {
    old: &'p Policy,
    new: &'p Policy,
    tools: Vec<String>,
    now: Moment,
    met: BTreeSet<u64>,
    callers: usize,
    left_out: u64,
    cells: Cells,
}

/// What changes, by caller and by tool or operation.
#[derive(Default)]
struct Cells {
    changed: BTreeMap<(String, String), (String, String)>,
    /// The record of the caller does not say enough: it may change.
    not_told: BTreeSet<(String, String)>,
}

impl Cells {
    /// `None`: it cannot be told.
    fn note(&mut self, (caller, what): (&str, &str), from: Option<String>, to: Option<String>) {
        let cell = (caller.to_owned(), what.to_owned());
        match (from, to) {
            (Some(from), Some(to)) if from != to => drop(self.changed.insert(cell, (from, to))),
            (Some(_), Some(_)) => {}
            _ => drop(self.not_told.insert(cell)),
        }
    }
}

impl<'p> Matrix<'p> {
    pub(super) fn new(old: &'p Policy, new: &'p Policy) -> Self {
        let tools: BTreeSet<String> = old.known_tools().chain(new.known_tools()).collect();
        Self {
            old,
            new,
            tools: tools.into_iter().collect(),
            now: Moment::at(SystemClock.now()),
            met: BTreeSet::new(),
            callers: 0,
            left_out: 0,
            cells: Cells::default(),
        }
    }

    pub(super) fn add_callers_of(&mut self, file: &Path, ready: &Ready) -> Result<(), Failure> {
        let issuer = app::issuer(&ready.config).parse().map_err(|error| Failure::of(&error))?;
        for (name, asker) in callers(file, &issuer)? {
            let asker: Asker = asker;
            self.compare(&name, asker.who());
        }
        Ok(())
    }

    /// A caller as the log has it.
    pub(super) fn add(&mut self, entry: &Entry) {
        let replay = &entry.replay;
        if !self.met.insert(fingerprint(replay)) {
            return;
        }
        if self.met.len() > MOST_CALLERS {
            self.met.pop_last();
            self.left_out += 1;
            return;
        }
        let name = called(replay);
        let names = replay.told_by(&entry.policy_version, self.old);
        replay.ask(&names, false, |ask| self.compare(&name, ask.who));
    }

    fn compare(&mut self, caller: &str, who: Who<'_>) {
        self.callers += 1;
        for tool in &self.tools {
            let see = |policy: &Policy| {
                policy.lists_surely(&visible(who, tool, self.now)).as_ref().map(seen)
            };
            self.cells.note((caller, tool), see(self.old), see(self.new));
        }
        let operations = |policy: &Policy| -> BTreeMap<String, Option<String>> {
            policy
                .operations(who, GRAPH_EXECUTE, self.now)
                .into_iter()
                .map(|view| {
                    let access = match (view.needs_scopes.is_empty(), view.approval) {
                        (false, _) => format!("needs {}", view.needs_scopes),
                        (true, true) => "asks".to_owned(),
                        (true, false) => "open".to_owned(),
                    };
                    let operation = format!("{} {}", view.method, view.path_template);
                    (operation, view.certain.then_some(access))
                })
                .collect()
        };
        let (before, after) = (operations(self.old), operations(self.new));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for operation in all {
            let closed = || Some("closed".to_owned());
            let from = before.get(operation).cloned().unwrap_or_else(closed);
            let to = after.get(operation).cloned().unwrap_or_else(closed);
            self.cells.note((caller, operation), from, to);
        }
    }

    pub(super) fn differs(&self) -> bool {
        !self.cells.changed.is_empty()
    }

    pub(super) fn for_people(&self) -> String {
        let (callers, tools, cells) = (self.callers, self.tools.len(), self.cells.changed.len());
        let mut text = format!("{callers} callers, {tools} tools: {cells} cells would change\n");
        let not_told = self.cells.not_told.len();
        if not_told > 0 {
            let what = "cannot be told: the record does not hold what the rules look at";
            writeln!(text, "  {not_told} cells {what}").ok();
        }
        if self.left_out > 0 {
            writeln!(text, "  {} questions of more callers are not in it", self.left_out).ok();
        }
        for ((caller, what), (from, to)) in &self.cells.changed {
            writeln!(text, "  {caller}: {what}: {from} -> {to}").ok();
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let cells: Vec<_> = self
            .cells
            .changed
            .iter()
            .map(|((caller, what), (from, to))| {
                json!({ "caller": caller, "what": what, "from": from, "to": to })
            })
            .collect();
        json!({
            "callers": self.callers,
            "tools": self.tools,
            "questions_left_out": self.left_out,
            "not_told": self.cells.not_told.len(),
            "cells": cells,
        })
    }
}

fn seen(decision: &Decision) -> String {
    if decision.shows_the_tool() {
        "listed".to_owned()
    } else if decision.can_step_up() {
        format!("needs {}", decision.missing_scopes)
    } else if let Some(login) = decision.login.as_ref().filter(|_| decision.needs_login()) {
        format!("needs a log-in {login}")
    } else {
        "hidden".to_owned()
    }
}

/// Tells callers apart by all that rules look at.
fn fingerprint(replay: &Replay) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let question = &replay.question;
    let mut hasher = DefaultHasher::new();
    (&replay.subject, &replay.client_id, &question.issuer).hash(&mut hasher);
    question.scopes.to_string().hash(&mut hasher);
    (&question.groups, question.groups_incomplete).hash(&mut hasher);
    (&question.roles, question.roles_incomplete).hash(&mut hasher);
    question.login.hash(&mut hasher);
    for (name, value) in &question.claims {
        (name, value.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

fn called(replay: &Replay) -> String {
    let mut name = replay.subject.as_ref().map_or("nobody", |subject| subject.as_str()).to_owned();
    if let Some(client) = &replay.client_id {
        write!(name, " by {client}").ok();
    }
    let question = &replay.question;
    let mut having = vec![question.scopes.to_string()];
    having.extend(question.groups.iter().chain(&question.roles).map(Arc::to_string));
    having.retain(|text| !text.is_empty());
    if having.is_empty() { name } else { format!("{name} [{}]", having.join(" ")) }
}
