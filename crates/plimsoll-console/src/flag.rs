//! Flags: what is shown of them, what people may change, and whether it can be.
//!
//! What is asked for is checked here for its form; whether a definition can be, and whether it may be changed at all, the
//! process knows.

use std::ops::Not;
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::Exempt;
use crate::length;
use crate::overlay::why_of;
use crate::problem::Problem;
use crate::wire::shown;

/// How long something is set of a flag at most, where it ends by itself.
const LENGTH_MAX: Duration = Duration::from_secs(400 * 86_400);

/// All flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlagList {
    /// Where they come from: a file, `managed`, or `none`.
    pub source: String,
    /// Of all of them: the same flags have the same.
    pub digest: String,
    /// By their keys.
    pub flags: Vec<FlagView>,
}

/// One flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagView {
    /// What clients ask for.
    pub key: String,
    /// Whose it is.
    pub owner: Option<String>,
    /// The rollout that says who gets one of its variants.
    #[serde(default)]
    pub rollout: Option<String>,
    /// For how many it is off, as a service leaves out the feature that it switches.
    #[serde(default)]
    pub dimmed: Option<FlagDimmed>,
    /// Whether it is in use.
    pub enabled: bool,
    /// The names of its variants.
    pub variants: Vec<String>,
    /// The variant of whoever no rule matches.
    pub default: Option<String>,
    /// Whether rules decide.
    pub targeting: bool,
    /// Why it should go.
    pub stale: Option<String>,
    /// How often it was evaluated over OFREP since the process began.
    pub evaluations: u64,
    /// For changes: the version that whoever changes it has seen. `null`: it comes from a file.
    pub version: Option<u64>,
    /// Who changed it last, and why.
    pub changed: Option<FlagChanged>,
    /// What is set of it, on top of its definition.
    pub set: Option<FlagSetting>,
    /// In flagd's format; only where one flag is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Value>,
}

/// A flag is off for some, whatever it says: the feature that it switches is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagDimmed {
    /// By which service.
    pub service: String,
    /// For this share of users.
    pub share: f64,
}

/// Who changed a flag, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagChanged {
    /// Who.
    pub by: String,
    /// The reason.
    pub why: String,
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
}

/// What is set of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagSetting {
    /// `enable`, `disable`, or `set` for a variant for all.
    pub verb: String,
    /// Which variant.
    pub variant: Option<String>,
    /// Who.
    pub by: String,
    /// The reason.
    pub why: String,
    /// When it ends by itself; `null`: when somebody ends it.
    #[serde(with = "wire::optional")]
    pub until: Option<Timestamp>,
}

/// A definition that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagWanted {
    /// In flagd's format.
    pub definition: Value,
    /// The version that it must still have, 0 for one that is not there; absent: whatever it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is a fix: no freeze is in its way.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub fix: bool,
    /// Whether it is done without the approval that it needs.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub break_glass: bool,
}

/// Something that is wanted of a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagActWanted {
    /// With `set`: the variant that all get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How long, as `10m`; absent: until somebody ends it.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The version that it must still have; absent: whatever it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is a fix: no freeze is in its way.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub fix: bool,
    /// Whether it is done without the approval that it needs.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub break_glass: bool,
}

/// Whom a flag is evaluated for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagContextWanted {
    /// As a client of OFREP sends it.
    #[serde(default)]
    pub context: Option<Value>,
}

/// What a flag is for somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagEvaluated {
    /// Which flag.
    pub key: String,
    /// `null`: the code's own default counts.
    pub variant: Option<String>,
    /// Of that variant.
    pub value: Value,
    /// In OpenFeature's words.
    pub reason: String,
}

/// A change of a flag that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagChange {
    /// What.
    pub act: FlagAct,
    /// The version that it must still have.
    pub version: Option<u64>,
    /// The reason.
    pub why: String,
    /// What it is let past.
    pub exempt: Exempt,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum FlagAct {
    /// It gets this definition.
    Define(Value),
    /// It goes.
    Delete,
    /// It is in use, whatever its definition says.
    Enable(Option<Duration>),
    /// It is not in use: clients get their code's own default.
    Disable(Option<Duration>),
    /// All get this variant.
    Set(String, Option<Duration>),
    /// What is set ends, and its definition counts.
    End,
}

/// What may be done with a flag by `POST`.
pub(crate) const VERBS: [&str; 4] = ["enable", "disable", "set", "end"];

impl FlagWanted {
    pub(crate) fn check(self) -> Result<FlagChange, Problem> {
        if !self.definition.is_object() {
            let text =
                "`definition` is a flag in flagd's format: an object with `state` and `variants`";
            return Err(Problem::invalid(text));
        }
        Ok(FlagChange {
            act: FlagAct::Define(self.definition),
            version: self.version,
            why: why_of(self.why)?,
            exempt: Exempt {
                is_fix: self.fix,
                breaks_glass: self.break_glass,
            },
        })
    }
}

impl FlagActWanted {
    pub(crate) fn check(self, verb: &str) -> Result<FlagChange, Problem> {
        let lasts = match self.lasts.as_deref() {
            None => None,
            Some(text) => match length::parse(text).filter(|it| *it <= LENGTH_MAX) {
                Some(lasts) => Some(lasts),
                None => {
                    let text = shown(text);
                    return Err(Problem::invalid(format!(
                        "`for` is `{text}`: expected a length such as 10m, 2h or 7d, at most 400d"
                    )));
                }
            },
        };
        let act = match (verb, self.variant) {
            ("enable", None) => FlagAct::Enable(lasts),
            ("disable", None) => FlagAct::Disable(lasts),
            ("set", Some(variant)) => FlagAct::Set(variant, lasts),
            ("set", None) => {
                let text = "say which variant all get (`variant`)";
                return Err(Problem::invalid(text));
            }
            ("end" | "delete", None) if lasts.is_none() => match verb {
                "end" => FlagAct::End,
                _ => FlagAct::Delete,
            },
            ("enable" | "disable" | "end" | "delete", _) => {
                return Err(Problem::invalid(format!(
                    "{verb} has no variant, and only enable, disable and set last for a while"
                )));
            }
            (verb, _) => {
                let (verb, verbs) = (shown(verb), VERBS.join(", "));
                return Err(Problem::not_found(format!(
                    "`{verb}` can't be done with a flag; expected {verbs}"
                )));
            }
        };
        Ok(FlagChange {
            act,
            version: self.version,
            why: why_of(self.why)?,
            exempt: Exempt {
                is_fix: self.fix,
                breaks_glass: self.break_glass,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variant: Option<&str>, lasts: Option<&str>) -> FlagActWanted {
        FlagActWanted {
            variant: variant.map(str::to_owned),
            lasts: lasts.map(str::to_owned),
            version: None,
            why: Some("it hurts".to_owned()),
            ..FlagActWanted::default()
        }
    }

    #[track_caller]
    fn refused(verb: &str, variant: Option<&str>, lasts: Option<&str>, part: &str) {
        let problem = wanted(variant, lasts).check(verb).unwrap_err();
        assert!(format!("{problem:?}").contains(part), "{problem:?}");
    }

    #[test]
    fn what_cannot_be_done_with_a_flag_is_refused_with_the_reason() {
        let act = |verb, variant, lasts| wanted(variant, lasts).check(verb).unwrap().act;
        let hour = Some(Duration::from_secs(3_600));
        assert_eq!(act("disable", None, Some("1h")), FlagAct::Disable(hour));
        assert_eq!(
            act("set", Some("on"), None),
            FlagAct::Set("on".to_owned(), None)
        );
        assert_eq!(act("end", None, None), FlagAct::End);
        refused("set", None, None, "say which variant");
        refused("enable", Some("on"), None, "has no variant");
        refused("end", None, Some("1h"), "only enable, disable and set");
        refused("set", Some("on"), Some("soon"), "expected a length");
        refused("set", Some("on"), Some("500d"), "at most 400d");
        refused("stop", None, None, "expected enable, disable, set, end");
        let without = FlagActWanted {
            why: None,
            ..wanted(None, None)
        };
        assert!(without.check("end").is_err());
    }
}
