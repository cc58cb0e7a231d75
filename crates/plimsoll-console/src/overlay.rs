//! What people may set of a service for a while: what is asked for, and whether it can be.
//!
//! The command line sends what it was given as it is, so that whoever asks with either hears the same.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_core::Mode;
use plimsoll_measure::OverlayView;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::length;
use crate::problem::Problem;
use crate::wire::shown;

/// How long anything is in force at most: what is wanted for longer belongs in the configuration.
pub const LENGTH_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The last level of anything: a service has no more features.
pub const LEVEL_MAX: u8 = 32;
/// How many characters a reason has at most.
pub(crate) const WHY_MAX: usize = 500;

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Requests are refused by class.
    Shed,
    /// Failed attempts are not made again.
    NoRetries,
    /// Second attempts are not made beside slow ones.
    NoHedges,
    /// What would change something is refused.
    ReadOnly,
    /// Optional features are dimmed for all.
    Brownout,
    /// Whether the governor acts on this service.
    GovernorMode,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Shed,
        Self::NoRetries,
        Self::NoHedges,
        Self::ReadOnly,
        Self::Brownout,
        Self::GovernorMode,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shed => "shed",
            Self::NoRetries => "no-retries",
            Self::NoHedges => "no-hedges",
            Self::ReadOnly => "read-only",
            Self::Brownout => "brownout",
            Self::GovernorMode => "governor-mode",
        }
    }

    /// The last of its levels, which count from 1; `None`: it has none.
    pub const fn level_max(self) -> Option<u8> {
        match self {
            Self::Shed => Some(4),
            // How many features the service has, the running process knows.
            Self::Brownout => Some(LEVEL_MAX),
            Self::NoRetries | Self::NoHedges | Self::ReadOnly | Self::GovernorMode => None,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let verb = Self::ALL.into_iter().find(|verb| verb.name() == text);
        verb.ok_or_else(|| {
            let text = shown(text);
            format!("`{text}` can't be set; expected shed, no-retries, no-hedges, read-only, brownout or governor-mode")
        })
    }
}

/// What is in force now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// By service and what is set.
    pub entries: Vec<OverlayView>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingWanted {
    /// Of shedding: 1 to 4. Of brownout: how many features, 1 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Value>,
    /// Of the governor: `enforce`, `observe` or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How long, as `10m`; at most `7d`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is done without the approval that it may need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What.
    pub verb: Verb,
    /// 1 to [`Verb::level_max`], where there is one.
    pub level: Option<u8>,
    /// Of the governor.
    pub mode: Option<Mode>,
    /// How long: at most [`LENGTH_MAX`].
    pub lasts: Duration,
    /// The reason.
    pub why: String,
    /// It is done without the approval that it may need.
    pub breaks_glass: bool,
    /// It is a step of a runbook.
    pub from_runbook: bool,
}

impl SettingWanted {
    /// The level of shedding, as it is typed; what is no number is refused with the rest.
    pub fn level_of(typed: String) -> Value {
        let number = typed.parse::<u64>().map(Value::from);
        number.unwrap_or_else(|_| Value::from(typed))
    }

    /// Refuses what can't be.
    pub(crate) fn check(self, verb: Verb) -> Result<Setting, Problem> {
        let level = match (verb.level_max(), &self.level) {
            (Some(max), level) => Some(level_of(verb, max, level.as_ref())?),
            (None, None) => None,
            (None, Some(_)) => return Err(Problem::invalid(format!("{verb} has no level"))),
        };
        let mode = match (verb, self.mode.as_deref()) {
            (Verb::GovernorMode, mode) => Some(mode_of(mode)?),
            (_, None) => None,
            (_, Some(_)) => return Err(Problem::invalid(format!("{verb} has no mode"))),
        };
        Ok(Setting {
            verb,
            level,
            mode,
            lasts: length_of(self.lasts.as_deref())?,
            why: why_of(self.why)?,
            breaks_glass: self.break_glass,
            from_runbook: false,
        })
    }
}

fn level_of(verb: Verb, max: u8, level: Option<&Value>) -> Result<u8, Problem> {
    let expected = format!("expected 1 to {max}");
    let Some(level) = level else {
        return Err(Problem::invalid(format!(
            "{verb} needs a level: {expected}"
        )));
    };
    let number = level.as_u64().and_then(|level| u8::try_from(level).ok());
    let number = number.filter(|level| (1..=max).contains(level));
    number.ok_or_else(|| {
        let sent = match level {
            Value::String(text) => shown(text),
            other => shown(&other.to_string()),
        };
        Problem::invalid(format!("`{sent}` is no level of {verb}; {expected}"))
    })
}

fn mode_of(mode: Option<&str>) -> Result<Mode, Problem> {
    match mode {
        Some("enforce") => Ok(Mode::Enforce),
        Some("observe") => Ok(Mode::Observe),
        Some("off") => Ok(Mode::Off),
        Some(other) => Err(Problem::invalid(format!(
            "`{}` is no mode; expected enforce, observe or off",
            shown(other)
        ))),
        None => Err(Problem::invalid(
            "governor-mode needs a mode: enforce, observe or off",
        )),
    }
}

pub(crate) fn length_of(text: Option<&str>) -> Result<Duration, Problem> {
    let Some(text) = text else {
        return Err(Problem::invalid(
            "say for how long (`for`): as 10m or 2h, at most 7d",
        ));
    };
    let lasts = length::parse(text).ok_or_else(|| {
        let text = shown(text);
        Problem::invalid(format!(
            "`{text}` is no length of time (`for`); expected one as 90s, 10m, 2h or 7d"
        ))
    })?;
    if lasts > LENGTH_MAX {
        let text = shown(text);
        return Err(Problem::invalid(format!(
            "{text} is too long (`for`): at most 7d; what is wanted for longer belongs in the configuration"
        )));
    }
    Ok(lasts)
}

pub(crate) fn why_of(why: Option<String>) -> Result<String, Problem> {
    let why = why.unwrap_or_default();
    let why = why.trim();
    if why.is_empty() {
        return Err(Problem::invalid(
            "say why (`why`): whoever finds it in force wants to know",
        ));
    }
    let length = why.chars().count();
    if length > WHY_MAX {
        return Err(Problem::invalid(format!(
            "the reason (`why`) has {length} characters; at most {WHY_MAX} are kept"
        )));
    }
    if why.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "the reason (`why`) has control characters: expected one line of text",
        ));
    }
    Ok(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(verb: Verb, wanted: &Value) -> Result<Setting, String> {
        let wanted: SettingWanted = serde_json::from_value(wanted.clone()).unwrap();
        wanted.check(verb).map_err(|problem| problem.to_string())
    }

    #[track_caller]
    fn refused(verb: Verb, wanted: &Value, part: &str) {
        let said = asked(verb, wanted).unwrap_err();
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let shed = json!({ "level": 2, "for": "10m", "why": " it melts " });
        let setting = asked(Verb::Shed, &shed).unwrap();
        assert_eq!((setting.level, setting.mode), (Some(2), None));
        assert_eq!(setting.lasts, Duration::from_secs(600));
        assert_eq!(setting.why, "it melts");
        let mode = json!({ "mode": "off", "for": "7d", "why": "x" });
        let setting = asked(Verb::GovernorMode, &mode).unwrap();
        assert_eq!((setting.mode, setting.lasts), (Some(Mode::Off), LENGTH_MAX));
        let plain = json!({ "for": "1s", "why": "é".repeat(500) });
        assert!(asked(Verb::NoRetries, &plain).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_was_expected() {
        use Verb::{GovernorMode, NoHedges, Shed};
        let with = |key: &str, value: Value| {
            let mut wanted = json!({ "level": 2, "for": "10m", "why": "x" });
            wanted[key] = value;
            wanted
        };
        for level in [json!(0), json!(5), json!(-1), json!(1.5), json!("two")] {
            refused(
                Shed,
                &with("level", level),
                "is no level of shed; expected 1 to 4",
            );
        }
        refused(Shed, &with("level", Value::Null), "shed needs a level");
        refused(NoHedges, &with("level", json!(1)), "no-hedges has no level");
        refused(Shed, &with("mode", json!("off")), "shed has no mode");
        let no_level = |mode: Value| json!({ "mode": mode, "for": "1m", "why": "x" });
        refused(GovernorMode, &no_level(json!("on")), "`on` is no mode");
        refused(GovernorMode, &no_level(Value::Null), "needs a mode");
        refused(Shed, &with("for", Value::Null), "say for how long");
        refused(Shed, &with("for", json!("soon")), "`soon` is no length");
        refused(
            Shed,
            &with("for", json!("8d")),
            "8d is too long (`for`): at most 7d",
        );
        refused(Shed, &with("for", json!("604801s")), "too long");
        refused(Shed, &with("why", Value::Null), "say why");
        refused(Shed, &with("why", json!("  ")), "say why");
        refused(
            Shed,
            &with("why", json!("a".repeat(501))),
            "has 501 characters",
        );
        refused(Shed, &with("why", json!("a\nb")), "control characters");
        assert!("stop".parse::<Verb>().is_err());
    }
}
