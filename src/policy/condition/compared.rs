//! The texts that an expression compares a name with.

use cel::common::ast::{Expr, LiteralValue, operators};

use super::print::print;

/// Those that one of `names` is held against by `==`, `!=` or `in`; none where it is asked in another way.
pub(super) fn texts(expression: &Expr, names: &[&str]) -> Vec<String> {
    let Expr::Call(call) = expression else { return Vec::new() };
    let [one, other] = call.args.as_slice() else { return Vec::new() };
    let is_name = |expression: &Expr| names.contains(&&*print(expression));
    match (call.func_name.as_str(), &one.expr, &other.expr) {
        (operators::EQUALS | operators::NOT_EQUALS, name, text)
        | (operators::EQUALS | operators::NOT_EQUALS, text, name)
            if is_name(name) =>
        {
            literal(text).into_iter().collect()
        }
        (operators::IN, name, Expr::List(list)) if is_name(name) => {
            list.elements.iter().filter_map(|element| literal(&element.expr)).collect()
        }
        _ => Vec::new(),
    }
}

fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}
