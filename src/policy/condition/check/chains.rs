//! The names in a checked expression, for explanations.

use cel::IdedExpr as Expression;
use cel::common::ast::{Expr, SelectExpr, operators};

use crate::policy::condition::print::print;

use super::Roots;

/// The names in a checked expression with what follows them, such as `claims.oid`.
pub(in crate::policy::condition) fn chains(
    expression: &Expression,
) -> Vec<(String, &Expression, Roots)> {
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
