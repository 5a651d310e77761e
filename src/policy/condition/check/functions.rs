//! The functions and operators that a condition may use.

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::{IdedExpr as Expression, Value};

use super::{Check, Uses, resolve};

pub(super) const GLOBAL: [&str; 6] = ["size", "int", "double", "string", "timestamp", "duration"];
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

impl Check<'_> {
    pub(super) fn call(&mut self, at: &Expression, call: &CallExpr) -> Uses {
        let name = call.func_name.as_str();
        let uses = match (name, &call.target, call.args.as_slice()) {
            (operators::INDEX, None, [operand, index]) => self.index(at, operand, index),
            (operators::IN, None, [needle, whole]) => self.is_in(at, needle, whole),
            _ => {
                self.function(at, call);
                self.divisor(call);
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

    /// What divides by zero fails whatever is divided. *Not* a fault: a fraction, which comes to no number.
    fn divisor(&mut self, call: &CallExpr) {
        let divides = [operators::DIVIDE, operators::MODULO].contains(&call.func_name.as_str());
        let [_, by] = call.args.as_slice() else { return };
        // What names something comes to nothing here.
        if divides && matches!(resolve(by), Some(Value::Int(0) | Value::UInt(0))) {
            let hint = "a condition that fails denies every call of the rule";
            self.fault(by, "divides by zero", hint);
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
