//! What an allow lets through: the proof of it, and which credential acts.

use std::sync::Arc;

use crate::id::ToolName;

use super::ask::{Ask, GraphAsk, Operation};
use super::decide::{Policy, Verdict, needed};
use super::decision::Decision;
use super::permit::{Approved, GraphGrant, Permit};
use super::rule::Rule;

impl Policy {
    /// Decides about a tool whose arguments policy does not look at.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where it is not an allow.
    pub fn permit_tool(
        &self,
        ask: &Ask<'_>,
        tool: ToolName,
    ) -> Result<Permit<ToolName>, Box<Decision>> {
        let decision = self.evaluate(ask).decision;
        if decision.is_allow() {
            Ok(Permit::new(tool, Arc::new(decision)))
        } else {
            Err(Box::new(decision))
        }
    }

    /// Decides about one Graph operation.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where it is not an allow.
    pub fn permit_graph(&self, ask: &Ask<'_>) -> Result<Permit<GraphGrant>, Box<Decision>> {
        let verdict = self.evaluate(ask);
        if verdict.decision.is_allow() { self.permit(ask, verdict) } else { Err(verdict.refused()) }
    }

    /// Decides about one Graph operation that a person approved. The approval is good for what these very rules ask by
    /// the rule it names, and for nothing else.
    ///
    /// # Errors
    ///
    /// The [`Decision`], where it is neither an allow nor that question.
    pub fn permit_approved(
        &self,
        ask: &Ask<'_>,
        approved: &Approved,
    ) -> Result<Permit<GraphGrant>, Box<Decision>> {
        let verdict = self.evaluate(ask);
        if verdict.decision.is_allow() || approved.fits(&verdict.decision) {
            self.permit(ask, verdict)
        } else {
            Err(verdict.refused())
        }
    }

    fn permit(
        &self,
        ask: &Ask<'_>,
        verdict: Verdict<'_>,
    ) -> Result<Permit<GraphGrant>, Box<Decision>> {
        let granted = match (ask.operation, verdict.rule) {
            (Operation::Graph(graph), Some(rule)) => self.grant(rule, &graph),
            _ => None,
        };
        match granted {
            Some(grant) => Ok(Permit::new(grant, Arc::new(verdict.decision))),
            None => Err(verdict.refused()),
        }
    }

    fn grant(&self, rule: &Rule, ask: &GraphAsk<'_>) -> Option<GraphGrant> {
        let graph = rule.graph.as_ref()?;
        Some(GraphGrant {
            profile: graph.profile.clone(),
            tenant: self.tenant_of(graph)?.clone(),
            resource: ask.resource.unwrap_or(&self.facts.resource).into(),
            permissions: needed(graph, ask).to_vec(),
            path_template: Arc::clone(graph.path(ask)?.text()),
            reveal_links: graph.reveal_links,
        })
    }
}

impl Verdict<'_> {
    fn refused(self) -> Box<Decision> {
        Box::new(self.decision)
    }
}
