//! What a name can stand for, and comparisons with what it never is.

use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};
use cel::{IdedExpr as Expression, Value};

use super::check::resolve;
use super::print::print;

/// Something about a part that its author cannot have meant, and what the name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Odd {
    pub(in crate::policy) message: String,
    pub(in crate::policy) hint: String,
}

/// Methods of a time: the least and the most, and how people are told. *Not* of a duration, whose hours have no end.
const OF_A_TIME: [(&str, i64, i64, &str); 7] = [
    ("getMonth", 0, 11, "0 (January) to 11"),
    ("getDayOfWeek", 0, 6, "0 (Sunday) to 6"),
    ("getDayOfYear", 0, 365, "0 (the first of January) to 365"),
    ("getDate", 1, 31, "1 to 31"),
    ("getHours", 0, 23, "0 to 23"),
    ("getMinutes", 0, 59, "0 to 59"),
    ("getSeconds", 0, 59, "0 to 59"),
];

/// What an expression comes to, whatever the call is.
enum Kind {
    Number(&'static str, i64, i64, &'static str),
    Text(String),
    Texts(String),
    Truth(String),
    Time,
}

/// What is odd about a part: it compares something with what that never is.
pub(super) fn odd(expression: &Expr) -> Option<Odd> {
    let Expr::Call(CallExpr { func_name, target: None, args, .. }) = expression else {
        return None;
    };
    let [one, other] = args.as_slice() else { return None };
    let operator = func_name.as_str();
    if operator == operators::IN {
        return is_in(expression, one, other);
    }
    let (kind, constant, operator) = match (Kind::of(&one.expr), resolve(other)) {
        (Some(kind), Some(constant)) => (kind, constant, operator),
        _ => (Kind::of(&other.expr)?, resolve(one)?, turned(operator)),
    };
    let message = match operator {
        operators::EQUALS | operators::NOT_EQUALS => {
            (!kind.may_be(&constant)).then_some("is the same for every call")
        }
        operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => kind.why_never(operator, &constant),
        _ => None,
    };
    message.map(|message| kind.odd(format!("`{}` {message}", print(expression))))
}

/// `x in [1, 2]`, and `1 in x`.
fn is_in(expression: &Expr, one: &Expression, other: &Expression) -> Option<Odd> {
    let part = print(expression);
    if let (Some(kind), Expr::List(list)) = (Kind::of(&one.expr), &other.expr) {
        let never = list
            .elements
            .iter()
            .find(|element| resolve(element).is_some_and(|constant| !kind.may_be(&constant)));
        if list.elements.is_empty() {
            return Some(kind.odd(format!("`{part}` is the same for every call")));
        }
        let never = print(&never?.expr);
        return Some(kind.odd(format!("`{part}` looks for {never}, which it never is")));
    }
    let kind @ Kind::Texts(_) = Kind::of(&other.expr)? else { return None };
    let looked_for = resolve(one)?;
    let message = format!("`{part}` is the same for every call");
    (!matches!(looked_for, Value::String(_))).then(|| kind.odd(message))
}

/// The operator with its sides exchanged.
fn turned(operator: &str) -> &str {
    match operator {
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        same => same,
    }
}

impl Kind {
    /// `None`: it may be anything.
    fn of(expression: &Expr) -> Option<Self> {
        match expression {
            Expr::Ident(name) if name == "now" => Some(Self::Time),
            Expr::Select(SelectExpr { operand, field, test: false, .. }) => {
                Self::of_member(&operand.expr, field, expression)
            }
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [root, Expression { expr: Expr::Literal(LiteralValue::String(field)), .. }] => {
                    Self::of_member(&root.expr, field.inner(), expression)
                }
                _ => None,
            },
            Expr::Call(CallExpr { func_name, target: Some(target), .. }) => {
                if func_name == "lowerAscii" {
                    return Some(Self::Text(print(expression)));
                }
                let is_time = match &target.expr {
                    Expr::Ident(name) => name == "now",
                    Expr::Call(call) => call.target.is_none() && call.func_name == "timestamp",
                    _ => false,
                };
                let known = OF_A_TIME.into_iter().find(|(name, ..)| name == func_name);
                let (name, least, most, says) = known.filter(|_| is_time)?;
                Some(Self::Number(name, least, most, says))
            }
            _ => None,
        }
    }

    fn of_member(root: &Expr, field: &str, whole: &Expr) -> Option<Self> {
        let Expr::Ident(root) = root else { return None };
        let name = || print(whole);
        match (root.as_str(), field) {
            ("caller", "groups" | "roles") => Some(Self::Texts(name())),
            ("request", "write") => Some(Self::Truth(name())),
            ("caller" | "request" | "path" | "query", _) => Some(Self::Text(name())),
            _ => None,
        }
    }

    /// Whether it can ever equal that.
    fn may_be(&self, constant: &Value) -> bool {
        match (self, constant) {
            (Self::Number(_, least, most, _), constant) => {
                let (least, most) = (as_float(*least), as_float(*most));
                let is = |number: f64| number.fract() == 0.0 && least <= number && number <= most;
                float(constant).is_some_and(is)
            }
            (Self::Text(_), Value::String(_))
            | (Self::Truth(_), Value::Bool(_))
            | (Self::Time, Value::Timestamp(_)) => true,
            (Self::Texts(_), Value::List(items)) => {
                items.iter().all(|item| matches!(item, Value::String(_)))
            }
            _ => false,
        }
    }

    /// Why it makes no difference which is less. `None`: it makes one.
    fn why_never(&self, operator: &str, constant: &Value) -> Option<&'static str> {
        let Self::Number(_, least, most, _) = self else {
            return (!self.may_be(constant)).then_some("fails for every call");
        };
        let Some(limit) = float(constant) else { return Some("fails for every call") };
        let holds = |number: f64| match operator {
            operators::LESS => number < limit,
            operators::LESS_EQUALS => number <= limit,
            operators::GREATER => number > limit,
            _ => number >= limit,
        };
        // What holds at both ends, or at neither, is the same between them.
        let same = holds(as_float(*least)) == holds(as_float(*most));
        same.then_some("is the same for every call")
    }

    fn odd(&self, message: String) -> Odd {
        let hint = match self {
            Self::Number(name, _, _, says) => format!("{name} is {says}"),
            Self::Text(name) => format!("{name} is a text: write '…'"),
            Self::Texts(name) => format!("{name} is a list of texts: write '…' in {name}"),
            Self::Truth(name) => format!("{name} is true or false"),
            Self::Time => "now is a time: compare it with timestamp('…'), or a part of it such as now.getHours('UTC')".to_owned(),
        };
        Odd { message, hint }
    }
}

fn float(constant: &Value) -> Option<f64> {
    match constant {
        Value::Int(number) => Some(as_float(*number)),
        Value::UInt(number) => i64::try_from(*number).ok().map(as_float),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Of a number that is far outside of every range the last digits are no matter.
#[expect(
    clippy::cast_precision_loss,
    reason = "small numbers are exact, and the others out of range"
)]
const fn as_float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use crate::policy::condition::Condition;

    fn odd(text: &str) -> Vec<(String, String)> {
        let paths = ["/v1.0/users/{id}".parse().unwrap()];
        let condition = Condition::compile(text, Some(&paths)).unwrap();
        condition.odd().map(|odd| (odd.message, odd.hint)).collect()
    }

    #[test]
    fn a_time_is_compared_with_what_it_can_be() {
        for text in [
            "now.getDayOfWeek('UTC') == 7",
            "7 == now.getDayOfWeek('UTC')",
            "now.getDayOfWeek() in [6, 7]",
            "now.getDayOfWeek() in []",
            "now.getHours('UTC') == 25",
            "now.getHours('UTC') != 24",
            "now.getHours('UTC') < 24",
            "now.getHours('UTC') > 23",
            "24 > now.getHours('UTC')",
            "now.getHours('UTC') >= 0",
            "now.getHours('UTC') == 9.5",
            "now.getHours('UTC') == '9'",
            "now.getMonth() == 12",
            "now.getDate() == 0",
            "now.getDayOfYear() == 366",
            "now.getMinutes() == 60",
            "timestamp(claims.t).getSeconds() == -1",
            "now < 5",
            "now == '2026-11-22'",
        ] {
            assert_eq!(odd(text).len(), 1, "{text}");
            assert_eq!(odd(&format!("claims.a == 1 || !({text})")).len(), 1, "{text}");
        }
        for text in [
            "now.getDayOfWeek('UTC') == 6",
            "now.getDayOfWeek('UTC') in [0, 6]",
            "now.getHours('UTC') < 23",
            "now.getHours('UTC') >= 1",
            "0 < now.getHours('UTC')",
            "now.getHours('UTC') == 9.0",
            "now.getMonth() == 11",
            "now.getDate() == 31",
            "now.getDayOfYear() == 365",
            "now.getFullYear() == 2026",
            "now > timestamp('2026-11-22T00:00:00Z')",
            "(now - timestamp(claims.t)).getHours() > 48",
            "claims.hour == 25",
            "now.getHours('UTC') == claims.hour",
        ] {
            assert_eq!(odd(text), [], "{text}");
        }
    }

    #[test]
    fn a_text_is_compared_with_texts() {
        for text in [
            "caller.subject == 1",
            "caller.subject in ['1', 1]",
            "caller['subject'] == 1",
            "caller.subject < 1",
            "caller.issuer == true",
            "caller.groups == 'it'",
            "1 in caller.groups",
            "request.tool == 1",
            "request.write == 'true'",
            "path.id == 7",
            "query['$top'] == 5",
            "query['$top'] <= 5",
            "request.tool.lowerAscii() == 1",
        ] {
            assert_eq!(odd(text).len(), 1, "{text}");
        }
        for text in [
            "caller.subject == '1'",
            "caller.subject in ['1', '2']",
            "caller.subject == claims.oid",
            "caller.groups == ['it']",
            "'it' in caller.groups",
            "request.write == true",
            "request.write",
            "path.id != 'a'",
            "'$top' in query",
            "query['$top'] == '5'",
            "int(query['$top']) <= 5",
            "has(caller.subject)",
            "claims.a == 1 && arguments.b == 'x'",
        ] {
            assert_eq!(odd(text), [], "{text}");
        }
    }

    #[test]
    fn what_is_odd_is_said_with_what_there_is() {
        let (message, hint) = odd("now.getDayOfWeek('UTC') in [6, 7]").remove(0);
        assert_eq!(message, "`now.getDayOfWeek('UTC') in [6, 7]` looks for 7, which it never is");
        assert_eq!(hint, "getDayOfWeek is 0 (Sunday) to 6");
    }
}
