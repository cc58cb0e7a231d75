//! What people freeze: for how long, and why.

use std::time::Duration;

use plimsoll_measure::FreezeView;
use serde::{Deserialize, Serialize};

use crate::length;
use crate::overlay::why_of;
use crate::problem::Problem;
use crate::wire::shown;

/// How long anybody freezes something at most: what is planned for longer belongs in the configuration.
pub const FREEZE_LENGTH_MAX: Duration = Duration::from_secs(92 * 86_400);

/// A freeze that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeWanted {
    /// How long, as `2d`; at most `92d`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is done without the approval that it may need.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// A freeze that can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freezing {
    /// How long.
    pub lasts: Duration,
    /// The reason.
    pub why: String,
    /// It is done without the approval that it may need.
    pub breaks_glass: bool,
}

impl FreezeWanted {
    /// Refuses what can't be.
    pub(crate) fn check(self) -> Result<Freezing, Problem> {
        let Some(text) = &self.lasts else {
            return Err(Problem::invalid(
                "say for how long (`for`): as 2h or 2d, at most 92d",
            ));
        };
        let lasts = length::parse(text).filter(|it| *it <= FREEZE_LENGTH_MAX);
        let lasts = lasts.ok_or_else(|| {
            let text = shown(text);
            Problem::invalid(format!(
                "`{text}` can't be how long (`for`); expected 90s, 10m, 2h or 2d, at most 92d"
            ))
        })?;
        Ok(Freezing {
            lasts,
            why: why_of(self.why)?,
            breaks_glass: self.break_glass,
        })
    }
}

/// What is frozen now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeList {
    /// By whom, and of what.
    pub freezes: Vec<FreezeView>,
}
