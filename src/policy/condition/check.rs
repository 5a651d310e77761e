//! What a condition may say: a closed list of names and functions, no loops, a bounded cost.

use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::{Env, IdedExpr as Expression};

use crate::policy::template::Template;

use super::print::print;
use super::{Node, Part};

/// Characters of an expression.
const MAX_LENGTH: usize = 2_048;
/// Brackets within brackets, choices, and signs in a row.
const MAX_DEPTH: usize = 12;
/// Dots, one for each part of a name and each call.
const MAX_MEMBERS: usize = 64;
/// Nodes of its tree.
const MAX_NODES: usize = 200;
/// How often it may go through a value whose size others choose (64 KiB at most).
const MAX_COST: usize = 128;

const GLOBAL: [&str; 6] = ["size", "int", "double", "string", "timestamp", "duration"];
const MEMBER: [&str; 13] = [
    "contains",
    "startsWith",
    "endsWith",
    "lowerAscii",
    "size",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getDate",
    "getDayOfWeek",
    "getDayOfYear",
    "getMonth",
    "getFullYear",
];
const OPERATORS: [&str; 15] = [
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    operators::IN,
    operators::CONDITIONAL,
    operators::LOGICAL_NOT,
];
const COMPREHENSIONS: [&str; 7] =
    ["all", "exists", "exists_one", "existsOne", "map", "filter", "transformList"];
const REQUEST: [&str; 5] = ["tool", "method", "version", "tenant", "write"];
const CALLER: [&str; 5] = ["subject", "client_id", "issuer", "groups", "roles"];
/// Scopes are a rule's `scopes`, where a step-up can be told from a refusal.
const SCOPE_CLAIMS: [&str; 4] = ["scope", "scp", "scopes", "mcp_tool_scopes"];

/// One fault, `offset` characters into the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct ConditionFault {
    pub(in crate::policy) offset: usize,
    pub(in crate::policy) message: String,
    pub(in crate::policy) hint: Option<String>,
}

/// Which names an expression uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roots(u16);

impl Roots {
    pub(super) const CLAIMS: Self = Self(1);
    pub(super) const ARGUMENTS: Self = Self(2);
    pub(super) const CALLER: Self = Self(4);
    /// `request.tool`: always known.
    pub(super) const REQUEST: Self = Self(8);
    /// The rest of `request`: known once there is an operation.
    pub(super) const OPERATION: Self = Self(16);
    pub(super) const PATH: Self = Self(32);
    pub(super) const QUERY: Self = Self(64);
    pub(super) const NOW: Self = Self(128);
    /// `caller.groups` or `claims.groups`, which an issuer may have left out.
    pub(super) const GROUPS: Self = Self(256);
    /// `caller.groups` or `caller.roles`, of which a record names some.
    pub(super) const LISTS: Self = Self(512);

    pub(super) const fn has(self, root: Self) -> bool {
        self.0 & root.0 == root.0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CLAIMS => "claims",
            Self::ARGUMENTS => "arguments",
            Self::CALLER => "caller",
            Self::PATH => "path",
            Self::QUERY => "query",
            Self::NOW => "now",
            _ => "request",
        }
    }
}

/// Checks a text and gives its parts.
pub(super) fn check(
    text: &str,
    paths: Option<&[Template]>,
    environment: &Env,
) -> Result<Node, Vec<ConditionFault>> {
    if text.len() > MAX_LENGTH {
        let message = format!("has {} characters, at most {MAX_LENGTH} are allowed", text.len());
        return Err(vec![fault(0, message, Some("split it into several rules"))]);
    }
    nesting(text)?;
    let program = environment.compile(text).map_err(|errors| syntax(text, &errors))?;
    let mut check = Check {
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
        check.faults.push(fault(0, message, Some("split it into several rules")));
    }
    if check.cost > MAX_COST {
        check.faults.push(fault(
            0,
            format!(
                "goes through large values {} times, at most {MAX_COST} are allowed",
                check.cost
            ),
            Some("join fewer claims, arguments and path parts in one comparison"),
        ));
    }
    if check.faults.is_empty() { Ok(node) } else { Err(check.faults) }
}

/// Bounds how deep the parser recurses, before it does: its own limit counts too late to save the stack.
fn nesting(text: &str) -> Result<(), Vec<ConditionFault>> {
    let (mut depth, mut run, mut choices, mut members) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut quote = None;
    let mut signs = text.chars().enumerate();
    let mut before = ' ';
    while let Some((at, sign)) = signs.next() {
        let rest = text.get(text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)..);
        let rest = rest.unwrap_or_default();
        let raw = matches!(sign, '\'' | '"') && matches!(before, 'r' | 'R' | 'b' | 'B');
        let unusual = ["//", "\'\'\'", "\"\"\""].iter().any(|start| rest.starts_with(start));
        // What this scan reads otherwise than the parser does would let brackets hide in it.
        if quote.is_none() && (raw || unusual) {
            let message = "has a comment, a raw or a triple-quoted text".to_owned();
            return Err(vec![fault(at, message, Some("write texts in plain quotes"))]);
        }
        before = sign;
        match (quote, sign) {
            (Some(_), '\\') => drop(signs.next()),
            (Some(open), sign) if sign == open => quote = None,
            (None, '\'' | '"') => quote = Some(sign),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '?') => choices += 1,
            (None, '.') => members += 1,
            _ => {}
        }
        run = match sign {
            '!' | '-' => run + 1,
            ' ' | '\t' | '\n' | '\r' | '.' => run,
            _ => 0,
        };
        if depth + choices > MAX_DEPTH || run > MAX_DEPTH || members > MAX_MEMBERS {
            let message = format!(
                "is nested more than {MAX_DEPTH} deep, or has more than {MAX_MEMBERS} dots"
            );
            return Err(vec![fault(at, message, Some("split it into several rules"))]);
        }
    }
    Ok(())
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> Vec<ConditionFault> {
    let hint = Some("a condition is CEL, such as path.user == claims.oid");
    let offset = |(line, column): (isize, isize)| {
        let before: usize = text
            .split_inclusive('\n')
            .take(usize::try_from(line - 1).unwrap_or(0))
            .map(|line| line.chars().count())
            .sum();
        before + usize::try_from(column - 1).unwrap_or(0)
    };
    let faults: Vec<_> = errors
        .errors
        .iter()
        .map(|error| fault(offset(error.pos), plain(&error.msg), hint))
        .collect();
    if faults.is_empty() { vec![fault(0, "is no expression".to_owned(), hint)] } else { faults }
}

/// The parser's message on one line.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    format!("cannot be read: {}", line.trim_start_matches("Syntax error: "))
}

fn fault(offset: usize, message: String, hint: Option<&str>) -> ConditionFault {
    ConditionFault { offset, message, hint: hint.map(str::to_owned) }
}

struct Check<'a> {
    paths: Option<&'a [Template]>,
    source: &'a SourceInfo,
    faults: Vec<ConditionFault>,
    nodes: usize,
    cost: usize,
    /// Those that the part at hand names.
    claims: Vec<String>,
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
        let offset = self.source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        self.faults.push(fault(offset, message.into(), Some(hint)));
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

    fn uses(&mut self, expression: &Expression) -> Uses {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Uses::default(); // reported once, at the end
        }
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

    /// A name by itself.
    fn ident(&mut self, at: &Expression, name: &str) -> Uses {
        match name {
            "now" => Uses { roots: Roots::NOW, large: 0 },
            "claims" | "arguments" | "caller" | "request" | "path" | "query" => {
                self.fault(
                    at,
                    format!("`{name}` is used as a whole"),
                    &format!("name a part of it, such as {name}.NAME"),
                );
                Uses::default()
            }
            unknown => self.unknown_name(at, unknown),
        }
    }

    fn unknown_name(&mut self, at: &Expression, name: &str) -> Uses {
        self.fault(
            at,
            format!("`{name}` is not a name that conditions know"),
            "the names are claims, caller, request, path, query, arguments and now",
        );
        Uses::default()
    }

    fn select(&mut self, at: &Expression, select: &SelectExpr) -> Uses {
        match &select.operand.expr {
            Expr::Ident(root) => {
                self.nodes += 1;
                self.member(at, root, &select.field)
            }
            _ => self.uses(&select.operand),
        }
    }

    /// `root.field` or `root["field"]`.
    fn member(&mut self, at: &Expression, root: &str, field: &str) -> Uses {
        match root {
            "claims" if SCOPE_CLAIMS.contains(&field) => {
                self.fault(
                    at,
                    format!("claims.{field} holds scopes"),
                    "name them in the rule's `scopes`: there a missing one can be asked for",
                );
                Uses::default()
            }
            "claims" if field == "groups" => {
                self.claims.push(field.to_owned());
                Uses { roots: Roots::CLAIMS.with(Roots::GROUPS), large: 1 }
            }
            "claims" => {
                self.claims.push(field.to_owned());
                Uses { roots: Roots::CLAIMS, large: 1 }
            }
            "arguments" => Uses { roots: Roots::ARGUMENTS, large: 1 },
            "query" => self.query(at, field),
            "path" => self.path(at, field),
            "caller" => {
                self.known(at, root, field, &CALLER);
                let groups = match field {
                    "groups" => Roots::GROUPS.with(Roots::LISTS),
                    "roles" => Roots::LISTS,
                    _ => Roots::default(),
                };
                Uses { roots: Roots::CALLER.with(groups), large: 1 }
            }
            "request" => {
                self.known(at, root, field, &REQUEST);
                let operation = if field == "tool" { Roots::default() } else { Roots::OPERATION };
                Uses { roots: Roots::REQUEST.with(operation), large: 0 }
            }
            "now" => {
                self.fault(
                    at,
                    "`now` has no parts",
                    "call a function: now.getHours('Europe/Berlin')",
                );
                Uses::default()
            }
            unknown => self.unknown_name(at, unknown),
        }
    }

    fn known(&mut self, at: &Expression, root: &str, field: &str, fields: &[&str]) {
        if !fields.contains(&field) {
            let hint = format!("{root} has {}", fields.join(", "));
            self.fault(at, format!("{root}.{field} is not known"), &hint);
        }
    }

    fn path(&mut self, at: &Expression, name: &str) -> Uses {
        let captured = self.paths.is_some_and(|paths| {
            paths.iter().all(|path| path.names().any(|captured| captured == name))
        });
        if !captured {
            let hint = match self.paths {
                Some(_) => format!("write {{{name}}} where it stands in each of graph.paths"),
                None => "a rule without `graph` has no path".to_owned(),
            };
            self.fault(at, format!("path.{name} is not captured by every path of the rule"), &hint);
        }
        Uses { roots: Roots::PATH, large: 1 }
    }

    fn query(&mut self, at: &Expression, name: &str) -> Uses {
        if self.paths.is_none() {
            self.fault(at, "a rule without `graph` has no query", "add graph = { … } to the rule");
        }
        if crate::policy::rule::query_option(name) != name {
            let right = crate::policy::rule::query_option(name);
            self.fault(at, format!("query has no `{name}`"), &format!("spell it {right}"));
        }
        Uses { roots: Roots::QUERY, large: 1 }
    }

    fn call(&mut self, at: &Expression, call: &CallExpr) -> Uses {
        let name = call.func_name.as_str();
        let uses = match (name, &call.target, call.args.as_slice()) {
            (operators::INDEX, None, [operand, index]) => self.index(at, operand, index),
            (operators::IN, None, [needle, whole]) => self.is_in(at, needle, whole),
            _ => {
                self.function(at, call);
                let target = call.target.as_deref();
                let all = target.into_iter().chain(&call.args);
                all.fold(Uses::default(), |all, argument| all.with(self.inner(argument)))
            }
        };
        self.cost += uses.large;
        uses
    }

    /// Connectives within an expression are CEL's own.
    fn inner(&mut self, expression: &Expression) -> Uses {
        match &expression.expr {
            Expr::Call(call)
                if call.func_name == operators::LOGICAL_AND
                    || call.func_name == operators::LOGICAL_OR =>
            {
                self.nodes += 1;
                call.args.iter().fold(Uses::default(), |all, part| all.with(self.inner(part)))
            }
            _ => self.uses(expression),
        }
    }

    fn function(&mut self, at: &Expression, call: &CallExpr) {
        let name = call.func_name.as_str();
        let known = match &call.target {
            Some(_) => MEMBER.contains(&name),
            None => GLOBAL.contains(&name) || OPERATORS.contains(&name),
        };
        if known {
            self.zone(at, call);
        } else if COMPREHENSIONS.contains(&name) {
            let hint = "all, exists, map and filter are off; use `in`, or name the element";
            self.fault(at, format!("`{name}` loops over a list"), hint);
        } else {
            let hint = format!("functions: {}; methods: {}", GLOBAL.join(", "), MEMBER.join(", "));
            self.fault(at, format!("`{name}` is not a function that conditions know"), &hint);
        }
    }

    /// A time zone is looked up now, so that a misspelt one does not fail at night.
    fn zone(&mut self, at: &Expression, call: &CallExpr) {
        if !call.func_name.starts_with("get") {
            return;
        }
        let hint = "a zone is an IANA name in quotes, such as now.getHours('Europe/Berlin')";
        match call.args.as_slice() {
            [] => {}
            [Expression { expr: Expr::Literal(LiteralValue::String(zone)), .. }]
                if zone_is_known(zone.inner()) => {}
            _ => self.fault(at, "the time zone is not known", hint),
        }
    }

    fn index(&mut self, at: &Expression, operand: &Expression, index: &Expression) -> Uses {
        self.nodes += 1;
        match (&operand.expr, &index.expr) {
            (Expr::Ident(root), Expr::Literal(LiteralValue::String(field))) => {
                self.member(at, root, field.inner())
            }
            (Expr::Ident(_), _) => {
                let hint = "name the part: claims[\"NAME\"]";
                self.fault(at, "the name in [ ] is not a text", hint);
                Uses::default()
            }
            (_, Expr::Literal(_)) => self.uses(operand),
            _ => {
                self.fault(at, "the index in [ ] is not a literal", "write a number or a text");
                Uses::default()
            }
        }
    }

    /// `"$top" in query` asks for a member; otherwise for an element of a list.
    fn is_in(&mut self, at: &Expression, needle: &Expression, whole: &Expression) -> Uses {
        match (&needle.expr, &whole.expr) {
            (Expr::Literal(LiteralValue::String(field)), Expr::Ident(root)) => {
                self.nodes += 2;
                self.member(at, root, field.inner())
            }
            _ => self.uses(needle).with(self.uses(whole)),
        }
    }
}

/// Whether CEL can tell the hour in a zone.
fn zone_is_known(zone: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+' | b':');
    if !zone.bytes().all(plain) {
        return false;
    }
    let text = format!("timestamp('2026-01-01T00:00:00Z').getHours('{zone}') >= 0");
    let context = cel::Context::default();
    cel::Program::compile(&text).is_ok_and(|program| program.execute(&context).is_ok())
}

/// The names in a checked expression with what follows them, such as `claims.oid`.
pub(super) fn chains(expression: &Expression) -> Vec<(String, &Expression, Roots)> {
    let mut found = Vec::new();
    collect(expression, &mut found);
    found
}

fn collect<'a>(expression: &'a Expression, into: &mut Vec<(String, &'a Expression, Roots)>) {
    match &expression.expr {
        Expr::Ident(name) if name == "now" => into.push((name.clone(), expression, Roots::NOW)),
        Expr::Select(select) if select.test => {}
        Expr::Select(SelectExpr { operand, field, .. }) => match &operand.expr {
            Expr::Ident(root) => {
                into.push((format!("{root}.{field}"), expression, roots(root, field)));
            }
            _ => collect(operand, into),
        },
        Expr::Call(call) if call.func_name == operators::INDEX => {
            if let [Expression { expr: Expr::Ident(root), .. }, _] = call.args.as_slice() {
                into.push((print(&expression.expr), expression, roots(root, "")));
            } else {
                call.args.iter().for_each(|argument| collect(argument, into));
            }
        }
        Expr::Call(call) => {
            call.target
                .as_deref()
                .into_iter()
                .chain(&call.args)
                .for_each(|argument| collect(argument, into));
        }
        Expr::List(list) => list.elements.iter().for_each(|element| collect(element, into)),
        Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => {}
    }
}

fn roots(root: &str, field: &str) -> Roots {
    match root {
        "claims" => Roots::CLAIMS,
        "arguments" => Roots::ARGUMENTS,
        "caller" => Roots::CALLER,
        "path" => Roots::PATH,
        "query" => Roots::QUERY,
        _ if field == "tool" => Roots::REQUEST,
        _ => Roots::REQUEST.with(Roots::OPERATION),
    }
}
