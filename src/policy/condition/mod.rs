//! Conditions (`when`): CEL expressions, checked when they are loaded and bounded when they are evaluated.
//!
//! The connectives `&&`, `||` and `!` are ours, over four values, so that a part that is not known yet
//! (the arguments, while a tool list is made) or that fails is told apart from one that is false. What is
//! between the connectives is CEL's.

mod check;
mod compared;
mod print;
mod range;
mod same;
#[cfg(test)]
mod tests;
mod truth;
mod values;

use std::sync::{Arc, LazyLock};

use cel::{Env, Value};

use super::judge::Witness;
use super::template::Template;

pub(super) use check::ConditionFault;
pub use truth::Truth;
pub(super) use values::{Known, Values};

use check::Roots;
use range::Odd;

/// The functions of CEL, and `lowerAscii`. Which of them a condition may call is for `check` to say.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // Cannot fail: nothing else was added. If it did, conditions that call `lowerAscii` would fail, which denies.
    environment.add_extension(cel::extensions::strings).ok();
    Arc::new(environment)
});

/// The names that stand for the issuer of the caller's token.
const ISSUER: [&str; 2] = ["caller.issuer", "claims.iss"];

/// A condition that passed every check.
#[derive(Debug)]
pub(super) struct Condition {
    text: Arc<str>,
    node: Node,
    roots: Roots,
}

/// A condition's parts, joined by its connectives.
#[derive(Debug)]
pub(super) enum Node {
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Part(Part),
}

/// An expression without connectives at its top.
#[derive(Debug)]
pub(super) struct Part {
    text: Arc<str>,
    expression: cel::IdedExpr,
    roots: Roots,
    /// The claims that it names.
    claims: Vec<String>,
}

/// One part of a condition and what it came to, for explanations and for coverage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Looked {
    /// As CEL reads it.
    pub part: Arc<str>,
    pub came_to: Truth,
    /// What the names in it stood for. Only in explanations, never in a log.
    pub saw: Vec<(String, String)>,
}

impl Condition {
    /// Parses and checks. `paths` are the templates whose placeholders `path.…` may name; `None`: the rule
    /// is about no Graph path.
    ///
    /// # Errors
    ///
    /// Every fault, each with its place in the expression.
    pub(super) fn compile(
        text: &str,
        paths: Option<&[Template]>,
    ) -> Result<Self, Vec<ConditionFault>> {
        let checked = check::check(text, paths, &ENVIRONMENT)?;
        let roots = checked.roots();
        Ok(Self { text: text.into(), node: checked, roots })
    }

    pub(super) const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it depends on the time.
    pub(super) const fn uses_time(&self) -> bool {
        self.roots.has(Roots::NOW)
    }

    /// Whether it looks at the whole list of groups or of roles.
    pub(super) const fn uses_lists(&self) -> bool {
        self.roots.has(Roots::LISTS)
    }

    /// Whether it depends on the arguments of the call.
    pub(super) const fn uses_arguments(&self) -> bool {
        self.roots.has(Roots::ARGUMENTS)
    }

    pub(super) fn evaluate<W: Witness>(&self, values: &Values<'_>, witness: &mut W) -> Truth {
        self.node.evaluate(values, witness)
    }

    /// The claims that it names.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        parts.into_iter().flat_map(|part| part.claims.iter().map(String::as_str))
    }

    /// The names in it with what follows them, such as `caller.subject` and `claims.oid`.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        let chains = parts.into_iter().flat_map(|part| check::chains(&part.expression));
        chains.map(|(name, ..)| name)
    }

    /// The parts that name nothing, and so are the same for every call.
    pub(super) fn constants(&self) -> impl Iterator<Item = &str> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        let constant = |part: &&Part| part.roots == Roots::default();
        parts.into_iter().filter(constant).map(|part| &*part.text)
    }

    /// What it compares with what that never is.
    pub(super) fn odd(&self) -> impl Iterator<Item = Odd> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        parts.into_iter().filter_map(|part| range::odd(&part.expression.expr))
    }

    /// Whether it can hold for one of these tools and methods, as far as they tell. `None` for a tool or a method: any.
    pub(super) fn may_hold_for(&self, tool: Option<&str>, method: Option<&str>) -> bool {
        self.node.may_hold(&|part: &Part| part.by_request(tool, method)) != Truth::False
    }

    /// The issuers that it compares the caller's with, `==`, `!=` or `in`.
    pub(super) fn issuers(&self) -> impl Iterator<Item = String> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        parts.into_iter().flat_map(|part| compared::texts(&part.expression.expr, &ISSUER))
    }

    /// Its parts, as CEL reads them.
    pub(super) fn part_texts(&self) -> impl Iterator<Item = &Arc<str>> {
        let mut parts = Vec::new();
        self.node.parts(&mut parts);
        parts.into_iter().map(|part| &part.text)
    }
}

impl Node {
    fn roots(&self) -> Roots {
        match self {
            Self::Not(inner) => inner.roots(),
            Self::And(nodes) | Self::Or(nodes) => {
                nodes.iter().fold(Roots::default(), |all, node| all.with(node.roots()))
            }
            Self::Part(part) => part.roots,
        }
    }

    fn evaluate<W: Witness>(&self, values: &Values<'_>, witness: &mut W) -> Truth {
        match self {
            Self::Not(inner) => inner.evaluate(values, witness).not(),
            Self::And(nodes) => each(nodes, values, witness, |truths| Truth::all(truths)),
            Self::Or(nodes) => each(nodes, values, witness, |truths| Truth::any(truths)),
            Self::Part(part) => {
                let truth = part.evaluate(values);
                witness.part(|| part.looked(truth, values));
                truth
            }
        }
    }

    fn may_hold(&self, part: &impl Fn(&Part) -> Truth) -> Truth {
        match self {
            Self::Not(inner) => inner.may_hold(part).not(),
            Self::And(nodes) => Truth::all(nodes.iter().map(|node| node.may_hold(part))),
            Self::Or(nodes) => Truth::any(nodes.iter().map(|node| node.may_hold(part))),
            Self::Part(own) => part(own),
        }
    }

    fn parts<'a>(&'a self, into: &mut Vec<&'a Part>) {
        match self {
            Self::Not(inner) => inner.parts(into),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.parts(into)),
            Self::Part(part) => into.push(part),
        }
    }
}

/// Joins what the nodes come to; a node that cannot matter any more is evaluated only if somebody looks on.
fn each<W: Witness>(
    nodes: &[Node],
    values: &Values<'_>,
    witness: &mut W,
    join: impl FnOnce(&mut dyn Iterator<Item = Truth>) -> Truth,
) -> Truth {
    let mut truths = nodes.iter().map(|node| node.evaluate(values, witness));
    if W::SEES_ALL {
        let all: Vec<Truth> = truths.collect();
        return join(&mut all.into_iter());
    }
    join(&mut truths)
}

impl Part {
    /// What it comes to where it names nothing but the tool and the method.
    fn by_request(&self, tool: Option<&str>, method: Option<&str>) -> Truth {
        let known = |name: &str| match name {
            "request.tool" => tool.is_some(),
            "request.method" => method.is_some(),
            _ => false,
        };
        let chains = check::chains(&self.expression);
        let all = !chains.is_empty() && chains.iter().all(|(name, ..)| known(name));
        // What is asked with `has` is in no chain.
        let other = !Roots::REQUEST.with(Roots::OPERATION).has(self.roots);
        if !all || other {
            return Truth::Unknown;
        }
        values::of_request(&self.expression, (tool, method))
    }

    fn looked(&self, came_to: Truth, values: &Values<'_>) -> Looked {
        Looked { part: Arc::clone(&self.text), came_to, saw: values.shown(&self.expression) }
    }

    fn evaluate(&self, values: &Values<'_>) -> Truth {
        if values.lack(self.roots) || values.are_not_told(self.roots, &self.claims) {
            return Truth::Unknown;
        }
        match values.resolve(&self.expression, self.roots) {
            Ok(Value::Bool(true)) => Truth::True,
            Ok(Value::Bool(false)) => Truth::False,
            Ok(_) | Err(_) => Truth::Error,
        }
    }
}
