//! The arguments of an action by name, as JSON has them; the Query dialect is brought into the same form.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::sqs::SqsError;

/// What is left of the arguments: each is taken out once. Members that no action knows are left alone, as SQS does.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// `null` is the same as nothing.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, SqsError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(SqsError::invalid(name, "Must be text")),
        }
    }

    /// Text that has to be there; empty is the same as absent.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, SqsError> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| SqsError::missing(name))
    }

    /// A whole number, or its digits, as the Query dialect has it.
    pub(crate) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, SqsError> {
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok()),
            Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()
            }
            Some(_) => None,
        };
        let expected = || {
            SqsError::invalid(
                name,
                &format!(
                    "Must be between {} and {}, if provided",
                    range.start(),
                    range.end()
                ),
            )
        };
        number
            .filter(|number| range.contains(number))
            .map(Some)
            .ok_or_else(expected)
    }

    pub(crate) fn texts(&mut self, name: &str, max: usize) -> Result<Vec<String>, SqsError> {
        let Some(value) = self.take(name) else {
            return Ok(Vec::new());
        };
        let expected =
            || SqsError::invalid(name, &format!("Must be a list of at most {max} texts"));
        let Value::Array(values) = value else {
            return Err(expected());
        };
        if values.len() > max {
            return Err(expected());
        }
        let text = |value| {
            if let Value::String(text) = value {
                Ok(text)
            } else {
                Err(expected())
            }
        };
        values.into_iter().map(text).collect()
    }

    pub(crate) fn text_map(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<BTreeMap<String, String>, SqsError> {
        let Some(value) = self.take(name) else {
            return Ok(BTreeMap::new());
        };
        let expected =
            || SqsError::invalid(name, &format!("Must be at most {max} names with texts"));
        let Value::Object(members) = value else {
            return Err(expected());
        };
        if members.len() > max {
            return Err(expected());
        }
        let pair = |(key, value)| {
            if let Value::String(text) = value {
                Ok((key, text))
            } else {
                Err(expected())
            }
        };
        members.into_iter().map(pair).collect()
    }

    /// The members of an object whose own members are objects, in the order of their names.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<(String, Self)>, SqsError> {
        let expected = || SqsError::invalid(name, "Must be an object of objects");
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Object(members)) => members
                .into_iter()
                .map(|(key, value)| Ok((key, object(value).ok_or_else(expected)?)))
                .collect(),
            Some(_) => Err(expected()),
        }
    }

    /// `None` where the list itself is absent.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Self>>, SqsError> {
        let expected = || SqsError::invalid(name, "Must be a list of objects");
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| object(value).ok_or_else(expected))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(expected()),
        }
    }
}

fn object(value: Value) -> Option<Arguments> {
    if let Value::Object(members) = value {
        Some(Arguments(members))
    } else {
        None
    }
}
