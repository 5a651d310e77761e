//! An expression as text again, for explanations.

use std::fmt::Write as _;

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};

/// Writes the expression; what cannot be written is `…`.
pub(super) fn print(expression: &Expr) -> String {
    let mut text = String::new();
    write(expression, &mut text);
    text
}

fn write(expression: &Expr, to: &mut String) {
    match expression {
        Expr::Ident(name) => to.push_str(name),
        Expr::Select(select) => {
            if select.test {
                to.push_str("has(");
            }
            write(&select.operand.expr, to);
            write!(to, ".{}", select.field).ok();
            if select.test {
                to.push(')');
            }
        }
        Expr::Literal(literal) => self::literal(literal, to),
        Expr::List(list) => {
            to.push('[');
            joined(list.elements.iter().map(|element| &element.expr), to);
            to.push(']');
        }
        Expr::Map(map) => {
            to.push('{');
            for (index, entry) in map.entries.iter().enumerate() {
                if index > 0 {
                    to.push_str(", ");
                }
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    write(&entry.key.expr, to);
                    to.push_str(": ");
                    write(&entry.value.expr, to);
                }
            }
            to.push('}');
        }
        Expr::Call(call) => self::call(call, to),
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Struct(_) => to.push('…'),
    }
}

fn call(call: &CallExpr, to: &mut String) {
    let operator = call.func_name.trim_matches('_').trim_start_matches('@');
    let is_operator = call.func_name.contains('_') || call.func_name.starts_with('@');
    match (is_operator, call.args.as_slice()) {
        (true, [left, index]) if call.func_name == "_[_]" => {
            write(&left.expr, to);
            to.push('[');
            write(&index.expr, to);
            to.push(']');
        }
        (true, [condition, then, otherwise]) => {
            write(&condition.expr, to);
            to.push_str(" ? ");
            write(&then.expr, to);
            to.push_str(" : ");
            write(&otherwise.expr, to);
        }
        (true, [left, right]) => {
            operand(&left.expr, to);
            write!(to, " {operator} ").ok();
            operand(&right.expr, to);
        }
        (true, [only]) => {
            to.push_str(operator);
            operand(&only.expr, to);
        }
        _ => {
            if let Some(target) = &call.target {
                operand(&target.expr, to);
                to.push('.');
            }
            write!(to, "{}(", call.func_name).ok();
            joined(call.args.iter().map(|argument| &argument.expr), to);
            to.push(')');
        }
    }
}

/// In parentheses where it is an operation itself.
fn operand(expression: &Expr, to: &mut String) {
    let nested = matches!(expression, Expr::Call(call)
        if call.func_name != "_[_]" && (call.func_name.contains('_') || call.func_name.starts_with('@')));
    if nested {
        to.push('(');
    }
    write(expression, to);
    if nested {
        to.push(')');
    }
}

fn joined<'a>(expressions: impl Iterator<Item = &'a Expr>, to: &mut String) {
    for (index, expression) in expressions.enumerate() {
        if index > 0 {
            to.push_str(", ");
        }
        write(expression, to);
    }
}

fn literal(literal: &LiteralValue, to: &mut String) {
    match literal {
        LiteralValue::Boolean(value) => write!(to, "{}", value.inner()).ok(),
        LiteralValue::Double(value) => write!(to, "{}", value.inner()).ok(),
        LiteralValue::Int(value) => write!(to, "{}", value.inner()).ok(),
        LiteralValue::UInt(value) => write!(to, "{}u", value.inner()).ok(),
        LiteralValue::String(value) => write!(to, "'{}'", value.inner()).ok(),
        LiteralValue::Bytes(_) => write!(to, "b'…'").ok(),
        LiteralValue::Null => write!(to, "null").ok(),
    };
}
