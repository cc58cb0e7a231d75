//! `fractional`: which part of a split a context is in. The same context is in the same part, for as long as the weights stay.
//!
//! Version 2 is what flagd computes: the hash's 32 bits are spread over the sum of the weights, so that a part is as large
//! as its weight to one in 2^32. Version 1 is what its specification still says: whole shares of a number from 0 to 100.

use serde_json::Value;

use super::FractionalVersion;
use super::evaluate::{Evaluator, Stop, Worked};
use super::expression::{Expression, Fractional};
use super::murmur::murmur;

/// The largest sum of weights.
pub(super) const WEIGHTS_MAX: u64 = i32::MAX as u64;

impl<'a> Evaluator<'a> {
    pub(super) fn fractional<'d>(
        &mut self,
        fractional: &'d Fractional,
        data: &'d Value,
    ) -> Worked<'d> {
        let by = match &fractional.by {
            Some(by) => self.evaluate(by, data)?.into_owned(),
            None => Value::Null,
        };
        let hash = match &by {
            Value::String(by) => {
                self.spend(by.len() / 32)?;
                murmur(&[by])
            }
            // An expression that has no value is as one that is not there.
            Value::Null => {
                let key = self.context.targeting_key().ok_or(Stop::NoTargetingKey)?;
                self.spend(key.len() / 32)?;
                murmur(&[self.key, key])
            }
            _ => return Ok(std::borrow::Cow::Owned(Value::Null)),
        };
        let mut weights = Vec::with_capacity(fractional.parts.len());
        for part in &fractional.parts {
            match weight(self.evaluate(&part.weight, data)?.as_ref()) {
                Some(weight) => weights.push(weight),
                None => return Ok(std::borrow::Cow::Owned(Value::Null)),
            }
        }
        match chosen(self.fractional, hash, &weights).and_then(|index| fractional.parts.get(index))
        {
            Some(part) => {
                self.split = true;
                self.evaluate(&part.variant, data)
            }
            None => Ok(std::borrow::Cow::Owned(Value::Null)),
        }
    }
}

/// A weight that was worked out; below zero it is none, as for a ramp that has not begun.
fn weight(value: &Value) -> Option<u64> {
    let weight = match value {
        Value::Null => 1.0,
        Value::Number(number) => number.as_f64()?,
        _ => return None,
    };
    let is_whole = weight.fract() == 0.0 && weight <= WEIGHTS_MAX as f64;
    is_whole.then_some(weight.max(0.0) as u64)
}

/// The weight of a part as it is written; an error says why it can't be.
pub(super) fn literal_weight(expression: &Expression) -> Result<Option<u64>, &'static str> {
    let Expression::Literal(value) = expression else {
        return Ok(None);
    };
    let is_negative = value.as_f64().is_some_and(|weight| weight < 0.0);
    match weight(value) {
        Some(weight) if !is_negative => Ok(Some(weight)),
        _ => Err("a weight is a whole number from 0 to 2147483647"),
    }
}

/// The place of the part that a hash is in; `None` where no part has any weight, or all together too much.
pub(super) fn chosen(version: FractionalVersion, hash: u32, weights: &[u64]) -> Option<usize> {
    let total: u64 = weights.iter().sum();
    if total == 0 || total > WEIGHTS_MAX {
        return None;
    }
    match version {
        FractionalVersion::V2 => {
            let bucket = (u64::from(hash) * total) >> 32;
            let mut end = 0;
            weights.iter().position(|weight| {
                end += weight;
                bucket < end
            })
        }
        FractionalVersion::V1 => {
            let ratio = f64::from(hash.cast_signed()).abs() / f64::from(i32::MAX);
            let bucket = ratio * 100.0;
            let mut end = 0.0;
            weights.iter().position(|weight| {
                end += 100.0 * *weight as f64 / total as f64;
                bucket < end
            })
        }
    }
}
