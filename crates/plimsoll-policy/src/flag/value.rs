//! What JsonLogic takes values for: truth, numbers, text, equality, order.
//!
//! After the reference in JavaScript (jsonlogic.com), where flagd's own differs: an empty object is false.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether it counts as true.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// As a number; NaN where it is none.
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(is_true) => f64::from(u8::from(*is_true)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// A number as JSON has it: whole ones without a fraction, what is none as null.
pub(super) fn from_number(number: f64) -> Value {
    // Up to here each whole number has a `f64` of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        return Value::from(number as i64);
    }
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// As text, as `cat` puts it together.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => from_number(float).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// `===`: the same type, and equal.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

/// `==`: equal, once numbers in texts and booleans count as numbers.
pub(super) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, _) | (_, Value::Null) => one == other,
        (
            Value::Number(_) | Value::Bool(_),
            Value::String(_) | Value::Number(_) | Value::Bool(_),
        )
        | (Value::String(_), Value::Number(_) | Value::Bool(_)) => number(one) == number(other),
        _ => is_same(one, other),
    }
}

/// Which comes first; `None` where there is no order. Two texts go by their characters, all else by number.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => number(one).partial_cmp(&number(other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn truth_is_what_json_logic_says() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(""),
            json!([]),
            json!({}),
        ] {
            assert!(!is_true(&value), "{value}");
        }
        for value in [
            json!(true),
            json!(-1),
            json!("0"),
            json!("false"),
            json!([0]),
            json!({"a": 0}),
        ] {
            assert!(is_true(&value), "{value}");
        }
    }

    #[track_caller]
    fn equal(one: Value, other: Value, loosely: bool, strictly: bool) {
        assert_eq!(is_equal(&one, &other), loosely, "{one} == {other}");
        assert_eq!(is_equal(&other, &one), loosely, "{other} == {one}");
        assert_eq!(is_same(&one, &other), strictly, "{one} === {other}");
    }

    #[test]
    fn equality_knows_numbers_in_texts_and_strictness_does_not() {
        equal(json!(1), json!("1"), true, false);
        equal(json!(1), json!(1.0), true, true);
        equal(json!(1), json!(true), true, false);
        equal(json!("a"), json!("a"), true, true);
        equal(json!(0), json!(null), false, false);
        equal(json!(null), json!(null), true, true);
        equal(json!("x"), json!(1), false, false);
        equal(json!([1]), json!([1]), true, true);
        equal(json!(false), json!(""), true, false);
    }

    #[test]
    fn numbers_are_written_as_they_are_meant() {
        assert_eq!(from_number(3.0), json!(3));
        assert_eq!(from_number(-0.5), json!(-0.5));
        assert_eq!(from_number(f64::NAN), json!(null));
        assert_eq!(from_number(f64::INFINITY), json!(null));
        assert_eq!(text(&json!(2.0)), "2");
    }
}
