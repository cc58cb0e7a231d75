//! Flags: which variant of a flag somebody has, after the flags in flagd's format and the context that a client sent.
//!
//! Sources: flagd's flag definitions (`flags`, `$evaluators`, JsonLogic with `fractional`, `sem_ver`, `starts_with` and
//! `ends_with`), the OpenFeature specification's reasons and error codes, OFREP 0.3.
//! A set is read as a whole or not at all ([`FlagSet::parse`]) and never changes; an evaluation only looks into it. It is told
//! the time, for `$flagd.timestamp`, schedules and ramps.
//! Invariants: what is evaluated is valid: variants are there, all of one type, and nothing refers to itself; an evaluation's
//! work is bounded, whatever rules and contexts are.
//! Elsewhere: files, OFREP and its tokens (`plimsoll-flags`); who may change a flag (`plimsoll-console`).

mod compile;
mod evaluate;
mod expression;
mod fractional;
mod guard;
mod in_force;
mod load;
mod murmur;
mod place;
mod settings;
#[cfg(test)]
mod tests;
mod value;
mod version;

use std::collections::BTreeMap;

use plimsoll_core::Timestamp;
use serde_json::{Map, Value};

use evaluate::{Evaluator, Stop, WORK_MAX};
use expression::Expression;
pub use guard::Guard;
pub use in_force::{DimmedFlag, FlagsInForce};
pub use load::{FILE_BYTES_MAX, FLAGS_MAX, FlagProblem};
pub use settings::{FlagSettings, Prerequisite, Ramp, Step};

/// What a prerequisite costs, so that many that refer to many end.
const PREREQUISITE_STEPS: usize = 10;

/// How `fractional` puts contexts into buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FractionalVersion {
    /// As flagd's specification is written: shares of a number from 0 to 100.
    V1,
    /// As flagd computes it by now: shares of 32 bits.
    #[default]
    V2,
}

/// A set of flags, as one file has them. See the module's docs.
#[derive(Clone, Debug, Default)]
pub struct FlagSet {
    flags: BTreeMap<String, Flag>,
    fractional: FractionalVersion,
}

/// One flag.
#[derive(Clone, Debug)]
pub struct Flag {
    is_enabled: bool,
    variants: BTreeMap<String, Value>,
    default: Option<String>,
    targeting: Option<Expression>,
    /// The set's own under the flag's.
    metadata: Map<String, Value>,
    settings: FlagSettings,
    /// What it has while a prerequisite is not met, before its default.
    off: Option<String>,
}

/// What is known of whoever asks: an object, with a text as its `targetingKey` if it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagContext(Value);

/// A context that can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAContext {
    /// It is something else.
    #[error("the context is an object")]
    NotAnObject,
    /// The targeting key is something else.
    #[error("`targetingKey` of the context is a text")]
    TargetingKey,
}

/// Why it is this variant, in OpenFeature's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlagReason {
    /// The same for all.
    Static,
    /// Targeting decided.
    TargetingMatch,
    /// A hash of the context decided.
    Split,
    /// The flag is disabled: there is no value, so that the code's own default counts.
    Disabled,
    /// Nothing decided: the default variant.
    Default,
}

impl FlagReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Static,
        Self::TargetingMatch,
        Self::Split,
        Self::Disabled,
        Self::Default,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Default => "DEFAULT",
        }
    }
}

/// What a flag is for somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<'a> {
    /// `None`: the code's own default counts.
    pub variant: Option<&'a str>,
    /// Of that variant.
    pub value: Option<&'a Value>,
    /// Why.
    pub reason: FlagReason,
    /// What is said of the flag, without what is for Plimsoll alone.
    pub metadata: &'a Map<String, Value>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// There is no such flag.
    #[error("there is no flag `{0}`")]
    NotFound(String),
    /// A split needs to know who it is.
    #[error("flag `{0}` splits by `targetingKey`, which the context does not have")]
    TargetingKeyMissing(String),
    /// Targeting gave something that is no variant.
    #[error("targeting of flag `{flag}` gave {given}, which is none of its variants")]
    UnknownVariant {
        /// Of which flag.
        flag: String,
        /// What it gave.
        given: String,
    },
    /// It would have taken too long.
    #[error("flag `{0}` is too much work for this context")]
    TooMuchWork(String),
}

impl EvaluationError {
    /// OpenFeature's code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "FLAG_NOT_FOUND",
            Self::TargetingKeyMissing(_) => "TARGETING_KEY_MISSING",
            Self::UnknownVariant { .. } | Self::TooMuchWork(_) => "GENERAL",
        }
    }
}

/// A flag that should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It was to be gone by then.
    Expired(Timestamp),
    /// All have had this variant for long.
    SameForAll(String),
}

impl FlagContext {
    /// Takes over a context as a client sent it.
    ///
    /// # Errors
    /// It can't be one.
    pub fn new(value: Value) -> Result<Self, NotAContext> {
        let fields = value.as_object().ok_or(NotAContext::NotAnObject)?;
        match fields.get("targetingKey") {
            None | Some(Value::Null | Value::String(_)) => Ok(Self(value)),
            Some(_) => Err(NotAContext::TargetingKey),
        }
    }

    /// Of somebody of whom no more is known.
    pub fn of(targeting_key: &str) -> Self {
        let mut context = Self::empty();
        context.set(Self::TARGETING_KEY, targeting_key);
        context
    }

    /// Of nobody.
    pub fn empty() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// The attribute that says who it is.
    pub const TARGETING_KEY: &'static str = "targetingKey";

    /// An attribute is known.
    pub fn set(&mut self, attribute: &str, value: &str) {
        if let Value::Object(fields) = &mut self.0 {
            fields.insert(attribute.to_owned(), value.into());
        }
    }

    /// Who it is.
    pub fn targeting_key(&self) -> Option<&str> {
        self.0.get(Self::TARGETING_KEY).and_then(Value::as_str)
    }

    /// All of it, its fields in order: the same contexts give the same text.
    pub fn as_value(&self) -> &Value {
        &self.0
    }
}

impl Flag {
    /// Whether it is in use.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Its variants by name.
    pub fn variants(&self) -> &BTreeMap<String, Value> {
        &self.variants
    }

    /// What is known beyond flagd.
    pub fn settings(&self) -> &FlagSettings {
        &self.settings
    }

    /// The variant that turns it off, if one means that.
    pub fn off(&self) -> Option<&str> {
        self.off.as_deref()
    }

    /// The variant that whoever no targeting matches has.
    pub fn default_variant(&self, now: Timestamp) -> Option<&str> {
        let mut steps = self.settings.schedule.iter().rev();
        match steps.find(|step| step.at <= now) {
            Some(step) => Some(&step.variant),
            None => self.default.as_deref(),
        }
    }

    /// Whether rules decide, beyond its default variant.
    pub fn has_targeting(&self) -> bool {
        self.targeting.is_some()
    }

    /// The variant that all have, and will have unless it is changed.
    pub fn same_for_all(&self, now: Timestamp) -> Option<&str> {
        let settings = &self.settings;
        let moves = self.targeting.is_some()
            || !settings.prerequisites.is_empty()
            || settings
                .ramp
                .as_ref()
                .is_some_and(|ramp| !ramp.is_over(now))
            || settings.schedule.last().is_some_and(|step| step.at > now);
        if moves || !self.is_enabled {
            return None;
        }
        match &settings.ramp {
            // It may have ended with less than all.
            Some(ramp) => match ramp.has("", None, now)? {
                true => Some(&ramp.variant),
                false => self.default_variant(now),
            },
            None => self.default_variant(now),
        }
    }

    fn is_static(&self) -> bool {
        let settings = &self.settings;
        self.targeting.is_none()
            && settings.prerequisites.is_empty()
            && settings.schedule.is_empty()
            && settings.ramp.is_none()
    }

    fn variant(&self, name: &str) -> Option<(&str, &Value)> {
        let (name, value) = self.variants.get_key_value(name)?;
        Some((name, value))
    }
}

impl FlagSet {
    /// How its flags split.
    pub fn fractional(&self) -> FractionalVersion {
        self.fractional
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// All flags, by their keys.
    pub fn flags(&self) -> impl Iterator<Item = (&str, &Flag)> {
        self.flags.iter().map(|(key, flag)| (key.as_str(), flag))
    }

    /// One of them.
    pub fn flag(&self, key: &str) -> Option<&Flag> {
        self.flags.get(key)
    }

    /// What a flag is for a context.
    ///
    /// # Errors
    /// There is no such flag, or no answer.
    pub fn evaluate<'a>(
        &'a self,
        key: &str,
        context: &FlagContext,
        now: Timestamp,
    ) -> Result<Evaluation<'a>, EvaluationError> {
        let (key, flag) = self
            .flags
            .get_key_value(key)
            .ok_or_else(|| EvaluationError::NotFound(key.to_owned()))?;
        let mut work_left = WORK_MAX;
        let (variant, reason) = self.decide(key, flag, context, now, &mut work_left)?;
        let variant = variant.and_then(|variant| flag.variant(variant));
        Ok(Evaluation {
            variant: variant.map(|(name, _)| name),
            value: variant.map(|(_, value)| value),
            reason,
            metadata: &flag.metadata,
        })
    }

    /// Prerequisites refer to no flag that refers back, and not deeper than a bound: it ends.
    fn decide<'a>(
        &'a self,
        key: &str,
        flag: &'a Flag,
        context: &FlagContext,
        now: Timestamp,
        work_left: &mut u32,
    ) -> Result<(Option<&'a str>, FlagReason), EvaluationError> {
        if !flag.is_enabled {
            return Ok((None, FlagReason::Disabled));
        }
        let default = flag.default_variant(now);
        if flag.is_static() {
            return Ok((default, FlagReason::Static));
        }
        let stopped = |stop: Stop| match stop {
            Stop::TooMuchWork => EvaluationError::TooMuchWork(key.to_owned()),
            Stop::NoTargetingKey => EvaluationError::TargetingKeyMissing(key.to_owned()),
        };
        let mut evaluator = Evaluator {
            context,
            key,
            now: now.as_seconds(),
            fractional: self.fractional,
            work_left: *work_left,
            split: false,
        };
        for prerequisite in &flag.settings.prerequisites {
            evaluator.spend(PREREQUISITE_STEPS).map_err(stopped)?;
            let other = self.flags.get(&prerequisite.flag);
            let Some(other) = other else {
                return Err(EvaluationError::NotFound(prerequisite.flag.clone()));
            };
            let work = &mut evaluator.work_left;
            let (variant, _) = self.decide(&prerequisite.flag, other, context, now, work)?;
            if variant != Some(&prerequisite.variant) {
                *work_left = evaluator.work_left;
                let off = flag.off().or(flag.default.as_deref());
                return Ok((off, FlagReason::Default));
            }
        }
        if let Some(targeting) = &flag.targeting {
            let given = evaluator
                .evaluate(targeting, context.as_value())
                .map_err(stopped)?;
            let name = match given.as_ref() {
                Value::Null => None,
                Value::String(name) => flag.variant(name),
                Value::Bool(true) => flag.variant("true"),
                Value::Bool(false) => flag.variant("false"),
                other => flag.variant(&value::text(other)),
            };
            *work_left = evaluator.work_left;
            match (given.as_ref(), name) {
                (Value::Null, _) => (),
                (_, Some((name, _))) if evaluator.split => {
                    return Ok((Some(name), FlagReason::Split));
                }
                (_, Some((name, _))) => return Ok((Some(name), FlagReason::TargetingMatch)),
                (given, None) => {
                    return Err(EvaluationError::UnknownVariant {
                        flag: key.to_owned(),
                        given: shortened(given),
                    });
                }
            }
        }
        *work_left = evaluator.work_left;
        if let Some(ramp) = &flag.settings.ramp {
            let has = ramp.has(key, context.targeting_key(), now);
            if has.ok_or_else(|| stopped(Stop::NoTargetingKey))? {
                return Ok((Some(&ramp.variant), FlagReason::Split));
            }
        }
        Ok((default, FlagReason::Default))
    }

    /// Flags that are to be gone by now, and those of which all have had the same for too long, as far as `changed` knows when a
    /// flag was changed last.
    pub fn stale(
        &self,
        now: Timestamp,
        unchanged_before: Timestamp,
        changed: impl Fn(&str) -> Option<Timestamp>,
    ) -> Vec<(&str, Stale)> {
        let stale = |(key, flag): (&'_ str, &Flag)| {
            if let Some(expires) = flag.settings.expires.filter(|expires| *expires <= now) {
                return Some(Stale::Expired(expires));
            }
            let variant = flag.same_for_all(now)?;
            let last = flag.settings.schedule.last().map(|step| step.at);
            let last = last.max(flag.settings.ramp.as_ref().map(Ramp::end));
            let since = changed(key)?.max(last.unwrap_or_default());
            (since <= unchanged_before).then(|| Stale::SameForAll(variant.to_owned()))
        };
        let flags = self.flags.iter();
        flags
            .filter_map(|(key, flag)| Some((key.as_str(), stale((key, flag))?)))
            .collect()
    }
}

/// What is said of a value that a client may have sent: enough to find it.
fn shortened(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 60;
    match value {
        Value::String(text) if text.chars().count() <= CHARACTERS_MAX => format!("`{text}`"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => format!("`{other}`"),
    }
}
