//! What the names in a condition stand for. Made when they are first used, once for a decision.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, IdedExpr as Expression, Program, Value};
use serde_json::Value as Json;

use crate::id::{ClientId, Subject};
use crate::policy::ask::{Arguments, Ask, Moment, Operation, Who};
use crate::policy::beside::About;
use crate::policy::rule::query_option;
use crate::policy::template::Template;
use crate::time::Timestamp;

use super::ENVIRONMENT;
use super::check::{Roots, chains};
use super::same::same;
use super::truth::Truth;

/// The arguments of a call, as JSON without blanks, that conditions may look at.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// Turns a text into CEL's type for time.
static TIMESTAMP: LazyLock<Option<Program>> =
    LazyLock::new(|| ENVIRONMENT.compile("timestamp(text)").ok());

/// Something cannot be given to a condition: malformed, too large, or left out by the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Unusable;

/// What one question makes known to every condition.
pub(in crate::policy) struct Known<'a> {
    ask: &'a Ask<'a>,
    /// For a tool that is no Graph operation.
    writes: bool,
    arguments: OnceCell<Result<Json, Unusable>>,
    /// Made with the first condition that is evaluated.
    context: RefCell<Option<Context<'static, 'static>>>,
    bound: RefCell<Roots>,
}

/// What it makes known to the conditions of one rule.
pub(in crate::policy) struct Values<'k> {
    known: &'k Known<'k>,
    /// The rule's template that the path has the form of.
    pub(in crate::policy) template: Option<&'k Template>,
    /// Whether the rule is about Graph operations, of which a listed tool has none yet.
    pub(in crate::policy) of_graph: bool,
    pub(in crate::policy) now: Timestamp,
}

impl<'a> Known<'a> {
    /// `writes`: whether the tool, where it is no Graph operation, is not known to only read.
    pub(in crate::policy) fn new(ask: &'a Ask<'a>, writes: bool) -> Self {
        Self {
            ask,
            writes,
            arguments: OnceCell::new(),
            context: RefCell::default(),
            bound: RefCell::default(),
        }
    }

    pub(in crate::policy) const fn moment(&self) -> Moment {
        self.ask.now
    }

    /// The value at a dotted path of the arguments is one of `allowed`.
    pub(in crate::policy) fn argument(&self, path: &str, allowed: &[Json]) -> Truth {
        if matches!(self.ask.arguments, Arguments::Unknown) {
            return Truth::Unknown;
        }
        let Ok(arguments) = self.json() else { return Truth::Error };
        let found = path.split('.').try_fold(arguments, |value, step| match value {
            Json::Object(members) => members.get(step),
            Json::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        });
        found.is_some_and(|found| allowed.iter().any(|one| same(one, found))).into()
    }

    fn json(&self) -> Result<&Json, Unusable> {
        let parsed = self.arguments.get_or_init(|| match self.ask.arguments {
            Arguments::Json(text) => {
                let arguments = serde_json::from_str(text).map_err(|_| Unusable)?;
                if length(&arguments) <= MAX_ARGUMENTS { Ok(arguments) } else { Err(Unusable) }
            }
            Arguments::Unknown => Err(Unusable),
        });
        parsed.as_ref().map_err(|unusable| *unusable)
    }

    /// Gives the context what all rules see alike, each name once.
    fn bind(&self, roots: Roots) -> Result<(), Unusable> {
        for root in [Roots::CLAIMS, Roots::ARGUMENTS, Roots::CALLER, Roots::REQUEST, Roots::QUERY] {
            if !roots.has(root) || self.bound.borrow().has(root) {
                continue;
            }
            let value = self.value(root)?;
            let mut context = self.context.borrow_mut();
            context.get_or_insert_with(empty).add_variable_from_value(root.name(), value);
            let all = self.bound.borrow().with(root);
            *self.bound.borrow_mut() = all;
        }
        Ok(())
    }

    fn value(&self, root: Roots) -> Result<Value, Unusable> {
        let who = &self.ask.who;
        Ok(match root {
            Roots::CLAIMS => {
                let claims = who.claims.ok_or(Unusable)?;
                map(claims.iter().map(|(name, claim)| (name.as_str(), json(claim))))
            }
            Roots::ARGUMENTS => json(self.json()?),
            Roots::CALLER => caller(who),
            Roots::QUERY => self.query(),
            _ => self.request(),
        })
    }

    fn query(&self) -> Value {
        let Operation::Graph(graph) = self.ask.operation else { return map([].into_iter()) };
        let names: Vec<_> =
            graph.query.iter().map(|(name, value)| (query_option(name), *value)).collect();
        map(names.iter().map(|(name, value)| (name.as_str(), text(value))))
    }

    /// For a tool that is no Graph operation, what only those have is empty.
    fn request(&self) -> Value {
        let (method, version, tenant, write) = match self.ask.operation {
            Operation::Graph(graph) => (
                graph.method,
                graph.version,
                graph.tenant.map(crate::id::TenantId::as_str),
                graph.method != "GET",
            ),
            Operation::Plain | Operation::Beside(_) => ("", "", None, self.writes),
            Operation::AnyGraph => ("", "", None, true),
        };
        map([
            ("tool", text(self.ask.tool)),
            ("method", text(method)),
            ("version", text(version)),
            ("tenant", text(tenant.unwrap_or_default())),
            ("write", Value::Bool(write)),
        ]
        .into_iter())
    }
}

impl<'k> Values<'k> {
    pub(in crate::policy) const fn new(
        known: &'k Known<'k>,
        template: Option<&'k Template>,
        of_graph: bool,
        now: Timestamp,
    ) -> Self {
        Self { known, template, of_graph, now }
    }

    /// Whether a name that is used stands for something that is not said yet.
    pub(super) fn lack(&self, roots: Roots) -> bool {
        let ask = self.known.ask;
        let no_operation = match ask.operation {
            Operation::Graph(_) => false,
            Operation::AnyGraph => true,
            Operation::Plain | Operation::Beside(_) => self.of_graph,
        };
        // At a server as such: whatever is asked of it later.
        let any_thing =
            matches!(ask.operation, Operation::Beside(beside) if beside.about != About::Thing);
        (roots.has(Roots::CLAIMS) && ask.who.claims.is_none())
            || (roots.has(Roots::ARGUMENTS) && matches!(ask.arguments, Arguments::Unknown))
            || (any_thing && roots.has(Roots::REQUEST))
            || (no_operation
                && [Roots::OPERATION, Roots::PATH, Roots::QUERY]
                    .iter()
                    .any(|root| roots.has(*root)))
    }

    /// Whether the question is a recorded one, and the record has no room for what is used.
    pub(super) fn are_not_told(&self, roots: Roots, claims: &[String]) -> bool {
        let Some(told) = self.known.ask.who.told else { return false };
        roots.has(Roots::QUERY)
            || roots.has(Roots::LISTS)
            || claims.iter().any(|claim| !told.names.claims.contains(claim))
    }

    /// Evaluates one expression.
    pub(super) fn resolve(&self, expression: &Expression, roots: Roots) -> Result<Value, Unusable> {
        let who = &self.known.ask.who;
        if (roots.has(Roots::GROUPS) && who.groups_incomplete)
            || (roots.has(Roots::ROLES) && who.roles_incomplete)
        {
            return Err(Unusable);
        }
        self.known.bind(roots)?;
        let mut shared = self.known.context.borrow_mut();
        let mut context = shared.get_or_insert_with(empty).new_inner_scope();
        if roots.has(Roots::PATH) {
            let Operation::Graph(graph) = self.known.ask.operation else { return Err(Unusable) };
            let captures = self.template.ok_or(Unusable)?.captures(graph.segments);
            let path = map(captures.map(|(name, segment)| (name, text(segment))));
            context.add_variable_from_value("path", path);
        }
        if roots.has(Roots::NOW) {
            context.add_variable_from_value("now", time(self.now)?);
        }
        context.resolve(expression).map_err(|_| Unusable)
    }

    /// What the names in an expression stand for, for explanations.
    pub(super) fn shown(&self, expression: &Expression) -> Vec<(String, String)> {
        let mut shown = Vec::new();
        for (name, chain, roots) in chains(expression) {
            let value = if self.lack(roots) {
                "not known".to_owned()
            } else {
                self.resolve(chain, roots)
                    .map_or_else(|_| "missing".to_owned(), |value| short(&value))
            };
            if !shown.iter().any(|(known, _)| *known == name) {
                shown.push((name, value));
            }
        }
        shown
    }
}

/// Bytes of the one spelling without blanks and needless escapes: how a caller spells a call decides nothing.
fn length(arguments: &Json) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, arguments).map_or(usize::MAX, |()| counted.0)
}

fn empty() -> Context<'static, 'static> {
    Context::with_env(Arc::clone(&ENVIRONMENT))
}

fn caller(who: &Who<'_>) -> Value {
    let list = |values: &[Arc<str>]| {
        Value::List(Arc::new(values.iter().map(|value| text(value)).collect()))
    };
    let mut members = vec![
        ("issuer", text(who.issuer.as_str())),
        ("groups", list(who.groups)),
        ("roles", list(who.roles)),
    ];
    members.extend(who.subject.map(Subject::as_str).map(|subject| ("subject", text(subject))));
    members.extend(who.client_id.map(ClientId::as_str).map(|client| ("client_id", text(client))));
    map(members.into_iter())
}

fn time(at: Timestamp) -> Result<Value, Unusable> {
    let program = TIMESTAMP.as_ref().ok_or(Unusable)?;
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_from_value("text", text(&at.to_string()));
    program.execute(&context).map_err(|_| Unusable)
}

/// What an expression comes to that names the tool and the method alone.
pub(super) fn of_request(
    expression: &Expression,
    (tool, method): (Option<&str>, Option<&str>),
) -> Truth {
    let members = [("tool", tool), ("method", method)];
    let known = members.into_iter().filter_map(|(name, value)| Some((name, text(value?))));
    let mut context = empty();
    context.add_variable_from_value("request", map(known));
    match context.resolve(expression) {
        Ok(Value::Bool(truth)) => truth.into(),
        Ok(_) | Err(_) => Truth::Error,
    }
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn map<'a>(members: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let members: HashMap<Key, Value> =
        members.map(|(name, value)| (Key::String(Arc::new(name.to_owned())), value)).collect();
    Value::Map(Map { map: Arc::new(members) })
}

/// Whole numbers are `int` where they fit, as people write them in conditions.
fn json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(uint)) => Value::UInt(uint),
            (None, None) => number.as_f64().map_or(Value::Null, Value::Float),
        },
        Json::String(value) => text(value),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(json).collect())),
        Json::Object(members) => {
            map(members.iter().map(|(name, value)| (name.as_str(), json(value))))
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(value) => format!("{value:?}"),
        Value::Timestamp(value) => value.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().take(20).map(plain).collect();
            format!("[{}]", items.join(", "))
        }
        _ => "…".to_owned(),
    }
}

fn short(value: &Value) -> String {
    let text = plain(value);
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
