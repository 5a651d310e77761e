//! What a condition may say: a closed list of names and functions, no loops, a bounded cost.

use std::sync::Arc;

use cel::common::ast::{Expr, LiteralValue, SourceInfo, operators};
use cel::{Context, Env, IdedExpr as Expression, Value};

use crate::policy::template::Template;

use super::print::print;
use super::{ENVIRONMENT, Node, Part};

mod chains;
mod functions;
mod names;
mod reading;
mod roots;

pub(super) use chains::chains;
pub(super) use roots::Roots;

use functions::GLOBAL;
use reading::{nesting, syntax};

/// Characters of an expression.
const MAX_LENGTH: usize = 2_048;
/// Nodes of its tree.
const MAX_NODES: usize = 200;
/// How often it may go through a value whose size others choose (64 KiB at most).
const MAX_COST: usize = 128;

/// One fault, `offset` characters into the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct ConditionFault {
    pub(in crate::policy) offset: usize,
    pub(in crate::policy) message: String,
    pub(in crate::policy) hint: String,
}
/// Checks a text and gives its parts.
pub(super) fn check(
    text: &str,
    paths: Option<&[Template]>,
    environment: &Env,
) -> Result<Node, Vec<ConditionFault>> {
    if text.len() > MAX_LENGTH {
        let message = format!("has {} characters, at most {MAX_LENGTH} are allowed", text.len());
        return Err(vec![fault(0, message, "split it into several rules")]);
    }
    nesting(text)?;
    let program = environment.compile(text).map_err(|errors| syntax(text, &errors))?;
    let mut check = Check {
        text,
        paths,
        source: program.source_info(),
        faults: Vec::new(),
        nodes: 0,
        cost: 0,
        claims: Vec::new(),
    };
    let node = check.node(program.expression());
    if check.nodes > MAX_NODES {
        let message = format!("has {} parts, at most {MAX_NODES} are allowed", check.nodes);
        check.faults.push(fault(0, message, "split it into several rules"));
    }
    if check.cost > MAX_COST {
        check.faults.push(fault(
            0,
            format!(
                "goes through large values {} times, at most {MAX_COST} are allowed",
                check.cost
            ),
            "join fewer claims, arguments and path parts in one comparison",
        ));
    }
    if check.faults.is_empty() { Ok(node) } else { Err(check.faults) }
}

fn fault(offset: usize, message: String, hint: &str) -> ConditionFault {
    ConditionFault { offset, message, hint: hint.to_owned() }
}

struct Check<'a> {
    text: &'a str,
    paths: Option<&'a [Template]>,
    source: &'a SourceInfo,
    faults: Vec<ConditionFault>,
    nodes: usize,
    cost: usize,
    /// Those that the part at hand names.
    claims: Vec<String>,
}

/// What an expression comes to that names nothing. `None`: it fails.
pub(super) fn resolve(constant: &Expression) -> Option<Value> {
    Context::with_env(Arc::clone(&ENVIRONMENT)).resolve(constant).ok()
}

/// What an expression uses, and how many values of unbounded size are in it.
#[derive(Clone, Copy, Default)]
struct Uses {
    roots: Roots,
    large: usize,
}

impl Uses {
    const fn with(self, other: Self) -> Self {
        Self { roots: self.roots.with(other.roots), large: self.large + other.large }
    }
}

impl Check<'_> {
    fn fault(&mut self, at: &Expression, message: impl Into<String>, hint: &str) {
        // The reader counts bytes.
        let start = self.source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        let offset = self.text.get(..start).map_or(0, |before| before.chars().count());
        self.faults.push(fault(offset, message.into(), hint));
    }

    /// Takes the connectives apart.
    fn node(&mut self, expression: &Expression) -> Node {
        match &expression.expr {
            Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
                self.nodes += 1;
                Node::And(call.args.iter().map(|part| self.node(part)).collect())
            }
            Expr::Call(call) if call.func_name == operators::LOGICAL_OR => {
                self.nodes += 1;
                Node::Or(call.args.iter().map(|part| self.node(part)).collect())
            }
            Expr::Call(call) if call.func_name == operators::LOGICAL_NOT => {
                self.nodes += 1;
                match call.args.as_slice() {
                    [only] => Node::Not(Box::new(self.node(only))),
                    _ => self.part(expression),
                }
            }
            _ => self.part(expression),
        }
    }

    fn part(&mut self, expression: &Expression) -> Node {
        self.must_be_truth(expression);
        self.claims.clear();
        let uses = self.uses(expression);
        let mut claims = std::mem::take(&mut self.claims);
        claims.sort_unstable();
        claims.dedup();
        Node::Part(Part {
            text: print(&expression.expr).into(),
            expression: expression.clone(),
            roots: uses.roots,
            claims,
        })
    }

    /// What is plainly no truth value, before it fails at evaluation.
    fn must_be_truth(&mut self, expression: &Expression) {
        const ARITHMETIC: [&str; 6] = [
            operators::ADD,
            operators::SUBSTRACT,
            operators::MULTIPLY,
            operators::DIVIDE,
            operators::MODULO,
            operators::NEGATE,
        ];
        let truth = match &expression.expr {
            Expr::Literal(literal) => matches!(literal, LiteralValue::Boolean(_)),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                !ARITHMETIC.contains(&name)
                    && !GLOBAL.contains(&name)
                    && !name.starts_with("get")
                    && name != "lowerAscii"
            }
            Expr::List(_) | Expr::Map(_) => false,
            Expr::Ident(name) => name != "now",
            Expr::Select(_) | Expr::Comprehension(_) | Expr::Struct(_) | Expr::Unspecified => true,
        };
        if !truth {
            let text = print(&expression.expr);
            self.fault(expression, format!("`{text}` is neither true nor false"), "compare it");
        }
    }

    /// What names nothing is the same for every call, so it is executed now: what fails would fail every call, and a rule that
    /// denies would deny them all.
    fn must_evaluate(&mut self, constant: &Expression) {
        if matches!(constant.expr, Expr::Literal(_)) || resolve(constant).is_some() {
            return;
        }
        let function = match &constant.expr {
            Expr::Call(call) => call.func_name.as_str(),
            _ => "",
        };
        let hint = match function {
            "timestamp" => "a time is written such as timestamp('2026-11-20T08:00:00Z')",
            "duration" => "a duration is written such as duration('90m') or duration('36h')",
            _ => {
                "compare and join values of one kind; a condition that fails denies every call of the rule"
            }
        };
        let text = print(&constant.expr);
        self.fault(constant, format!("`{text}` can never be evaluated"), hint);
    }

    fn uses(&mut self, expression: &Expression) -> Uses {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Uses::default(); // reported once, at the end
        }
        let before = self.faults.len();
        let uses = self.uses_of(expression);
        if uses.roots == Roots::default() && self.faults.len() == before && self.nodes <= MAX_NODES
        {
            self.must_evaluate(expression);
        }
        uses
    }

    fn uses_of(&mut self, expression: &Expression) -> Uses {
        match &expression.expr {
            Expr::Literal(_) => Uses::default(),
            Expr::Ident(name) => self.ident(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => {
                list.elements.iter().fold(Uses::default(), |all, item| all.with(self.uses(item)))
            }
            Expr::Comprehension(_) => {
                self.fault(
                    expression,
                    "loops over a list",
                    "all, exists, map and filter are off; use `in`, or name the element",
                );
                Uses::default()
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.fault(expression, "makes an object", "compare values with each other");
                Uses::default()
            }
        }
    }
}
