//! Works out a targeting rule for a context.
//!
//! Invariant: an evaluation takes at most [`WORK_MAX`] steps, each of a few values or some bytes of text, whatever rule and
//! context are; and no deeper recursion than rules are deep.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::expression::{Each, Expression, Operator, Path, Variable};
use super::value::{from_number, is_equal, is_same, is_true, number, order, text};
use super::version::Version;
use super::{FlagContext, FractionalVersion};

/// What one evaluation may take: some milliseconds. Rules that people write take tens of steps.
pub(super) const WORK_MAX: u32 = 50_000;
/// So many bytes of text are one step.
const BYTES_A_STEP: usize = 32;

/// An evaluation that came to no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    TooMuchWork,
    NoTargetingKey,
}

pub(super) type Worked<'a> = Result<Cow<'a, Value>, Stop>;

/// One evaluation.
pub(super) struct Evaluator<'a> {
    pub(super) context: &'a FlagContext,
    /// Of the flag that is evaluated.
    pub(super) key: &'a str,
    /// Seconds since the epoch.
    pub(super) now: u64,
    pub(super) fractional: FractionalVersion,
    pub(super) work_left: u32,
    /// A hash decided.
    pub(super) split: bool,
}

const fn truth<'a>(is_true: bool) -> Cow<'a, Value> {
    Cow::Owned(Value::Bool(is_true))
}

const NULL: Cow<'_, Value> = Cow::Owned(Value::Null);

impl<'a> Evaluator<'a> {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.work_left = self.work_left.checked_sub(steps).ok_or(Stop::TooMuchWork)?;
        Ok(())
    }

    fn spend_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        self.spend(bytes / BYTES_A_STEP)
    }

    /// A value of one's own; a large one costs what it holds.
    fn own(&mut self, value: Cow<'_, Value>) -> Result<Value, Stop> {
        if let Cow::Borrowed(value) = &value {
            self.weigh(value)?;
        }
        Ok(value.into_owned())
    }

    fn weigh(&mut self, value: &Value) -> Result<(), Stop> {
        self.spend(1)?;
        match value {
            Value::String(text) => self.spend_bytes(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.weigh(item)),
            Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
                self.spend_bytes(name.len())?;
                self.weigh(field)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// `data` is what `var` looks at: the context, or an item of a list.
    pub(super) fn evaluate<'d>(
        &mut self,
        expression: &'d Expression,
        data: &'d Value,
    ) -> Worked<'d> {
        self.spend(1)?;
        match expression {
            Expression::Literal(value) => Ok(Cow::Borrowed(value)),
            Expression::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    let item = self.evaluate(item, data)?;
                    list.push(self.own(item)?);
                }
                Ok(Cow::Owned(Value::Array(list)))
            }
            Expression::Variable(variable) => self.variable(variable, data),
            Expression::Operation(operator, arguments) => {
                self.operation(*operator, arguments, data)
            }
            Expression::Each(each, parts) => self.each(*each, parts, data),
            Expression::Reduce(parts) => self.reduce(parts, data),
            Expression::Version(comparison, versions) => {
                let [one, other] = versions.as_ref();
                let (one, other) = (self.evaluate(one, data)?, self.evaluate(other, data)?);
                let (one, other) = (text(&one), text(&other));
                self.spend_bytes(one.len() + other.len())?;
                let holds = Version::parse(&one)
                    .zip(Version::parse(&other))
                    .map(|(one, other)| comparison.holds(one, other));
                Ok(holds.map_or(NULL, truth))
            }
            Expression::Fractional(fractional) => self.fractional(fractional, data),
            Expression::Shared(shared) => self.evaluate(shared, data),
        }
    }

    fn variable<'d>(&mut self, variable: &'d Variable, data: &'d Value) -> Worked<'d> {
        let found = match &variable.path {
            Path::Whole => Some(data),
            Path::FlagKey => return Ok(Cow::Owned(Value::from(self.key))),
            Path::Timestamp => return Ok(Cow::Owned(Value::from(self.now))),
            Path::Keys(keys) => find(data, keys.iter().map(String::as_str)),
            Path::Computed(path) => {
                let path = self.evaluate(path, data)?;
                let path = text(&path);
                self.spend_bytes(path.len())?;
                match Path::of(&path) {
                    Path::Whole => Some(data),
                    Path::FlagKey => return Ok(Cow::Owned(Value::from(self.key))),
                    Path::Timestamp => return Ok(Cow::Owned(Value::from(self.now))),
                    _ => find(data, path.split('.')),
                }
            }
        };
        match (found.filter(|value| !value.is_null()), &variable.default) {
            (Some(value), _) => Ok(Cow::Borrowed(value)),
            (None, Some(default)) => self.evaluate(default, data),
            (None, None) => Ok(NULL),
        }
    }

    fn operation<'d>(
        &mut self,
        operator: Operator,
        arguments: &'d [Expression],
        data: &'d Value,
    ) -> Worked<'d> {
        match operator {
            Operator::If => return self.branch(arguments, data),
            Operator::Or | Operator::And => {
                let mut last = NULL;
                for argument in arguments {
                    last = self.evaluate(argument, data)?;
                    if is_true(&last) == (operator == Operator::Or) {
                        break;
                    }
                }
                return Ok(last);
            }
            Operator::Add | Operator::Multiply | Operator::Max | Operator::Min => {
                return self.fold_numbers(operator, arguments, data);
            }
            Operator::Merge => return self.merge(arguments, data),
            Operator::Cat => {
                let mut all = String::new();
                for argument in arguments {
                    let piece = self.evaluate(argument, data)?;
                    let piece = match piece.as_ref() {
                        Value::String(text) => Cow::Borrowed(text.as_str()),
                        other => Cow::Owned(text(other)),
                    };
                    self.spend_bytes(piece.len())?;
                    all.push_str(&piece);
                }
                return Ok(Cow::Owned(Value::String(all)));
            }
            Operator::Missing => return self.missing(arguments, data),
            _ => (),
        }
        let mut argument = |index: usize| match arguments.get(index) {
            Some(argument) => self.evaluate(argument, data),
            None => Ok(NULL),
        };
        let (one, other) = (argument(0)?, argument(1)?);
        let third = match arguments.get(2) {
            Some(third) => Some(self.evaluate(third, data)?),
            None => None,
        };
        let result = match operator {
            Operator::Equal | Operator::NotEqual => {
                self.weigh_lists(&one, &other)?;
                is_equal(&one, &other) == (operator == Operator::Equal)
            }
            Operator::Same | Operator::NotSame => {
                self.weigh_lists(&one, &other)?;
                is_same(&one, &other) == (operator == Operator::Same)
            }
            Operator::Not => !is_true(&one),
            Operator::IsTrue => is_true(&one),
            Operator::Greater => order(&one, &other).is_some_and(|order| order.is_gt()),
            Operator::GreaterOrEqual => order(&one, &other).is_some_and(|order| order.is_ge()),
            Operator::Less => {
                let below =
                    |one: &Value, other: &Value| order(one, other).is_some_and(|it| it.is_lt());
                below(&one, &other) && third.is_none_or(|third| below(&other, &third))
            }
            Operator::LessOrEqual => {
                let below =
                    |one: &Value, other: &Value| order(one, other).is_some_and(|it| it.is_le());
                below(&one, &other) && third.is_none_or(|third| below(&other, &third))
            }
            Operator::In => match other.as_ref() {
                Value::String(whole) => {
                    self.spend_bytes(whole.len())?;
                    match one.as_ref() {
                        Value::String(part) => whole.contains(part.as_str()),
                        Value::Number(_) => whole.contains(&text(&one)),
                        _ => false,
                    }
                }
                Value::Array(items) => {
                    self.spend(items.len())?;
                    items.iter().any(|item| is_same(item, &one))
                }
                _ => false,
            },
            Operator::StartsWith | Operator::EndsWith => match (one.as_ref(), other.as_ref()) {
                (Value::String(whole), Value::String(part)) if operator == Operator::StartsWith => {
                    whole.starts_with(part.as_str())
                }
                (Value::String(whole), Value::String(part)) => whole.ends_with(part.as_str()),
                _ => return Ok(NULL),
            },
            Operator::Subtract if arguments.len() == 1 => return Ok(numbered(-number(&one))),
            Operator::Subtract => return Ok(numbered(number(&one) - number(&other))),
            Operator::Divide => return Ok(numbered(number(&one) / number(&other))),
            Operator::Remainder => return Ok(numbered(number(&one) % number(&other))),
            Operator::Substring => {
                let whole = text(&one);
                self.spend_bytes(whole.len())?;
                let length = third.map(|third| number(&third));
                let part = substring(&whole, number(&other), length);
                return Ok(Cow::Owned(Value::String(part)));
            }
            Operator::MissingSome => {
                let names = other.as_array().map(Vec::as_slice).unwrap_or_default();
                let missing = self.missing_of(names, data)?;
                let found = names.len().saturating_sub(missing.len());
                let enough = found as f64 >= number(&one);
                return Ok(Cow::Owned(Value::Array(if enough {
                    Vec::new()
                } else {
                    missing
                })));
            }
            // What is logged is nobody's business but its owner's: it only passes on.
            Operator::Log => return Ok(one),
            // Done above.
            Operator::If
            | Operator::Or
            | Operator::And
            | Operator::Add
            | Operator::Multiply
            | Operator::Max
            | Operator::Min
            | Operator::Merge
            | Operator::Cat
            | Operator::Missing => return Ok(NULL),
        };
        Ok(truth(result))
    }

    /// Comparing two lists looks into both.
    fn weigh_lists(&mut self, one: &Value, other: &Value) -> Result<(), Stop> {
        match (one, other) {
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
                self.weigh(one)
            }
            (Value::String(text), Value::String(_)) => self.spend_bytes(text.len()),
            _ => Ok(()),
        }
    }

    fn branch<'d>(&mut self, arguments: &'d [Expression], data: &'d Value) -> Worked<'d> {
        let mut rest = arguments;
        loop {
            match rest {
                [] => return Ok(NULL),
                [otherwise] => return self.evaluate(otherwise, data),
                [condition, then, after @ ..] => {
                    if is_true(self.evaluate(condition, data)?.as_ref()) {
                        return self.evaluate(then, data);
                    }
                    rest = after;
                }
            }
        }
    }

    fn fold_numbers<'d>(
        &mut self,
        operator: Operator,
        arguments: &'d [Expression],
        data: &'d Value,
    ) -> Worked<'d> {
        let mut folded = None;
        for argument in arguments {
            let next = number(self.evaluate(argument, data)?.as_ref());
            folded = Some(match (folded, operator) {
                (None, _) => next,
                (Some(before), Operator::Add) => before + next,
                (Some(before), Operator::Multiply) => before * next,
                // One that is no number makes the whole none.
                (Some(before), _) if f64::is_nan(before) || next.is_nan() => f64::NAN,
                (Some(before), Operator::Max) => f64::max(before, next),
                (Some(before), _) => f64::min(before, next),
            });
        }
        Ok(folded.map_or(NULL, numbered))
    }

    fn merge<'d>(&mut self, arguments: &'d [Expression], data: &'d Value) -> Worked<'d> {
        let mut merged = Vec::new();
        for argument in arguments {
            let part = self.evaluate(argument, data)?;
            match self.own(part)? {
                Value::Array(items) => merged.extend(items),
                other => merged.push(other),
            }
        }
        Ok(Cow::Owned(Value::Array(merged)))
    }

    fn missing<'d>(&mut self, arguments: &'d [Expression], data: &'d Value) -> Worked<'d> {
        let mut names = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let name = self.evaluate(argument, data)?;
            match self.own(name)? {
                Value::Array(several) => names.extend(several),
                name => names.push(name),
            }
        }
        Ok(Cow::Owned(Value::Array(self.missing_of(&names, data)?)))
    }

    fn missing_of(&mut self, names: &[Value], data: &Value) -> Result<Vec<Value>, Stop> {
        let mut missing = Vec::new();
        for name in names {
            self.spend(1)?;
            let path = text(name);
            self.spend_bytes(path.len())?;
            let found = match Path::of(&path) {
                Path::FlagKey | Path::Timestamp => continue,
                Path::Whole => Some(data),
                _ => find(data, path.split('.')),
            };
            let is_missing = found.is_none_or(|found| found.is_null() || found == "");
            if is_missing {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    fn each<'d>(&mut self, each: Each, parts: &'d [Expression; 2], data: &'d Value) -> Worked<'d> {
        let [list, body] = parts;
        let list = self.evaluate(list, data)?;
        let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut gathered = Vec::new();
        for item in items {
            let worked = self.evaluate(body, item)?;
            match each {
                Each::Map => {
                    let worked = self.own(worked)?;
                    gathered.push(worked);
                }
                Each::Filter if is_true(&worked) => {
                    gathered.push(self.own(Cow::Borrowed(item))?);
                }
                Each::All if !is_true(&worked) => return Ok(truth(false)),
                Each::None if is_true(&worked) => return Ok(truth(false)),
                Each::Some if is_true(&worked) => return Ok(truth(true)),
                _ => (),
            }
        }
        Ok(match each {
            Each::Map | Each::Filter => Cow::Owned(Value::Array(gathered)),
            // Of nothing, not even all are.
            Each::All => truth(!items.is_empty()),
            Each::None => truth(true),
            Each::Some => truth(false),
        })
    }

    fn reduce<'d>(&mut self, parts: &'d [Expression; 3], data: &'d Value) -> Worked<'d> {
        let [list, body, begin] = parts;
        let list = self.evaluate(list, data)?;
        let begin = self.evaluate(begin, data)?;
        let mut gathered = self.own(begin)?;
        for item in list.as_array().map(Vec::as_slice).unwrap_or_default() {
            let item = self.own(Cow::Borrowed(item))?;
            let mut scope = Map::new();
            scope.insert("current".to_owned(), item);
            scope.insert("accumulator".to_owned(), gathered);
            let scope = Value::Object(scope);
            let worked = self.evaluate(body, &scope)?;
            gathered = self.own(worked)?;
        }
        Ok(Cow::Owned(gathered))
    }
}

fn numbered<'a>(number: f64) -> Cow<'a, Value> {
    Cow::Owned(from_number(number))
}

fn find<'d, 'k>(data: &'d Value, keys: impl Iterator<Item = &'k str>) -> Option<&'d Value> {
    let mut found = data;
    for key in keys {
        found = match found {
            Value::Object(fields) => fields.get(key)?,
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(found)
}

/// `length` below zero leaves so many characters out at the end; `start` below zero counts from there.
fn substring(whole: &str, start: f64, length: Option<f64>) -> String {
    let count = whole.chars().count();
    // What is no number counts as zero, and what is too far is cut.
    let from = match start as i64 {
        start @ 0.. => usize::try_from(start).unwrap_or(count).min(count),
        start => count.saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(count)),
    };
    let to = match length.map(|length| length as i64) {
        None => count,
        Some(length @ 0..) => from.saturating_add(usize::try_from(length).unwrap_or(count)),
        Some(length) => {
            count.saturating_sub(usize::try_from(length.unsigned_abs()).unwrap_or(count))
        }
    };
    whole
        .chars()
        .skip(from)
        .take(to.saturating_sub(from))
        .collect()
}
