//! Whether two JSON values say the same: numbers by their value, however they are written.

use serde_json::{Number, Value};

/// `7`, `7.0` and `70e-1` are one number to whoever reads them; a text is none.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| same(value, other))
            };
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.as_f64() == other.as_f64(),
        _ => false,
    }
}

/// The number, where it is a whole one that 64 bits hold: those are compared digit by digit, which a float could not.
fn whole(number: &Number) -> Option<i128> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    whole.or_else(|| {
        let text = number.as_f64().filter(|float| float.fract() == 0.0)?.to_string();
        // Without a fraction a float is written as the whole number that it is.
        text.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_same(one: &str, other: &str) -> bool {
        let value = |text| serde_json::from_str::<Value>(text).unwrap();
        let (one, other) = (value(one), value(other));
        assert_eq!(same(&one, &other), same(&other, &one));
        same(&one, &other)
    }

    #[test]
    fn numbers_are_compared_by_their_value() {
        for other in ["7", "7.0", "7e0", "70e-1", "0.7E1"] {
            assert!(are_same("7", other), "{other}");
            let (one, other) = (r#"{"a":[7,"x"]}"#, format!(r#"{{"a":[{other},"x"]}}"#));
            assert!(are_same(one, &other), "{other}");
        }
        for (one, other) in [("0", "-0"), ("0", "-0.0"), ("0.1", "1e-1"), ("1e300", "10e299")] {
            assert!(are_same(one, other), "{one} {other}");
        }
        assert!(are_same("18446744073709551615", "18446744073709551615"));
        assert!(are_same("9007199254740992", "9007199254740992.0"));
    }

    #[test]
    fn what_is_another_value_or_of_another_type_is_not_the_same() {
        for (one, other) in [
            ("7", "7.5"),
            ("7", "-7"),
            ("7", "\"7\""),
            ("1", "true"),
            ("9007199254740993", "9007199254740992.0"),
            ("9007199254740993", "9007199254740992"),
            ("[7]", "[7,7]"),
            (r#"{"a":7}"#, r#"{"a":7,"b":7}"#),
            (r#"{"a":7}"#, r#"{"b":7}"#),
        ] {
            assert!(!are_same(one, other), "{one} {other}");
        }
    }
}
