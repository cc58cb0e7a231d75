//! Numbers, with and without a unit, and what is wrong with them.
//!
//! Elsewhere: what a unit is (`unit`).

use toml::de::DeValue;

use super::{Problem, kind_name};
use crate::node::Value;
use crate::scheme::Kind;
use crate::unit::{self, RATE_COUNT_MAX, UnitError};

pub(super) fn count(
    kind: &Kind,
    value: &DeValue<'_>,
    min: u64,
    max: u64,
) -> Result<Value, Problem> {
    let DeValue::Integer(integer) = value else {
        return Err(Problem::wrong_type(kind, value));
    };
    let digits = integer.as_str().replace('_', "");
    match u64::from_str_radix(&digits, integer.radix()) {
        Ok(count) if (min..=max).contains(&count) => Ok(Value::Count(count)),
        _ => Err(Problem::new(
            "out-of-range",
            "is out of range",
            format!("a number from {min} to {max} was expected"),
        )),
    }
}

pub(super) fn number(
    kind: &Kind,
    value: &DeValue<'_>,
    min: f64,
    max: f64,
) -> Result<Value, Problem> {
    let number = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse(),
        DeValue::Float(float) => float.as_str().parse(),
        _ => return Err(Problem::wrong_type(kind, value)),
    };
    match number {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        _ => Err(Problem::new(
            "out-of-range",
            "is out of range",
            format!("a number from {min} to {max} was expected"),
        )),
    }
}

/// A number where the kind is written as text: mostly, the unit was forgotten.
pub(super) fn number_instead_of_text(kind: &Kind, value: &DeValue<'_>) -> Problem {
    let number = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().replace('_', ""),
        DeValue::Float(float) => float.as_str().replace('_', ""),
        _ => return Problem::wrong_type(kind, value),
    };
    let read = match kind {
        Kind::Duration { .. } => unit::duration(&number).map(|_| ()),
        Kind::Size { .. } => unit::size(&number).map(|_| ()),
        Kind::Percent => unit::percent(&number).map(|_| ()),
        Kind::Rate { .. } => unit::rate(&number).map(|_| ()),
        Kind::Address if number.parse::<u16>().is_ok() => {
            let label = format!("a number; {} was expected", kind.expected());
            return Problem::new("bad-address", "is a port without an address", label)
                .instead(format!("\"127.0.0.1:{number}\""));
        }
        _ => return Problem::wrong_type(kind, value),
    };
    match read {
        Err(UnitError::NoUnit { suggestion }) => missing_unit(kind, "a number", suggestion),
        _ => Problem::wrong_type(kind, value),
    }
}

fn missing_unit(kind: &Kind, found: &str, suggestion: Option<String>) -> Problem {
    let label = format!("{found}; {} was expected", kind_name(kind));
    Problem {
        instead: suggestion.map(quoted),
        ..Problem::new("missing-unit", "has no unit", label)
    }
}

pub(super) fn quoted(text: String) -> String {
    format!("\"{text}\"")
}

pub(super) fn out_of_range(is_zero: bool, min: &str, max: &str) -> Problem {
    let what = if is_zero {
        "is zero"
    } else {
        "is out of range"
    };
    Problem::new(
        "out-of-range",
        what,
        format!("from {min} to {max} was expected"),
    )
}

pub(super) fn unit_problem(kind: &Kind, error: UnitError) -> Problem {
    let expected = kind.expected();
    match error {
        UnitError::NoNumber => Problem::new(
            "wrong-type",
            format!("is not {}", kind_name(kind)),
            format!("{expected} was expected"),
        ),
        UnitError::NoUnit { suggestion } => missing_unit(kind, "a number in quotes", suggestion),
        UnitError::WrongUnit { unit, suggestion } => {
            let units = match kind {
                Kind::Duration { .. } => "ns, us, ms, s, m, h or d",
                Kind::Size { .. } => "B, KiB, MiB, GiB or TiB",
                Kind::Rate { .. } => "/s, /min, /h or /d",
                _ => "%",
            };
            let what = format!(
                "has the unit `{unit}`, which is no unit of {}",
                kind_name(kind)
            );
            let label = format!("the number must be followed by {units}, without a space");
            Problem {
                instead: suggestion.map(quoted),
                ..Problem::new("wrong-unit", what, label)
            }
        }
        UnitError::OutOfRange if matches!(kind, Kind::Percent) => Problem::new(
            "out-of-range",
            "is out of range",
            "a percentage from 0% to 100% was expected",
        ),
        UnitError::OutOfRange if matches!(kind, Kind::Rate { .. }) => Problem::new(
            "out-of-range",
            "is out of range",
            format!("from 1/d to {RATE_COUNT_MAX}/s was expected"),
        ),
        UnitError::OutOfRange => Problem::new(
            "out-of-range",
            "is out of range",
            "more, or finer, than can be counted",
        ),
    }
}
