//! What somebody wants to do that others may have to approve: all of it, so that nothing else can be done in its place.

use std::ops::Not;
use std::time::Duration;

use plimsoll_config::show_duration;
use plimsoll_console::{Freezing, Setting};
use plimsoll_core::Mode;
use plimsoll_policy::approval::Kind;
use plimsoll_store::Hash;
use serde::{Deserialize, Serialize};

/// How many differences of a configuration a request names; the rest is counted.
pub(crate) const LINES_MAX: usize = 100;

/// What somebody wants to do that others may have to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// Another configuration.
    Config {
        /// The SHA-256 of the text in force.
        before: String,
        /// That of the text to be.
        after: String,
        /// What is different, and how much more is.
        lines: Vec<String>,
        more: usize,
        /// Why, where somebody said so.
        why: Option<String>,
        /// Whether it is a fix: no freeze is in its way.
        is_fix: bool,
        /// The plan that is applied, and for how many seconds it is watched then; `None`: it is read again, as by a reload.
        #[serde(default)]
        plan: Option<(String, u64)>,
    },
    /// More of a service's requests may go to another version, or to a flag's variant.
    Rollout {
        service: String,
        rollout: String,
        verb: String,
        /// Which version, from which share, by which steps.
        from: String,
        why: String,
        /// Whether it is a fix: no freeze is in its way.
        #[serde(default, skip_serializing_if = "Not::not")]
        is_fix: bool,
    },
    /// A flag is to be another.
    Flag {
        key: String,
        act: String,
        definition: Option<serde_json::Value>,
        variant: Option<String>,
        seconds: Option<u64>,
        version: Option<u64>,
        why: String,
        /// Whether it is a fix: no freeze is in its way.
        #[serde(default, skip_serializing_if = "Not::not")]
        is_fix: bool,
    },
    /// A service is to do less for a while, or the governor's mode for it is another.
    Degrade {
        service: String,
        verb: String,
        level: Option<u8>,
        mode: Option<Mode>,
        seconds: u64,
        why: String,
        /// Whether it is a step of a runbook.
        runbook: bool,
    },
    /// A service is frozen, or all.
    Freeze {
        service: Option<String>,
        seconds: u64,
        why: String,
    },
    /// It is not any more.
    EndFreeze {
        service: Option<String>,
        why: Option<String>,
    },
}

impl Wanted {
    pub(crate) fn degrade(service: &str, setting: &Setting) -> Self {
        Self::Degrade {
            service: service.to_owned(),
            verb: setting.verb.name().to_owned(),
            level: setting.level,
            mode: setting.mode,
            seconds: setting.lasts.as_secs(),
            why: setting.why.clone(),
            runbook: setting.from_runbook,
        }
    }

    pub(crate) fn freeze(service: Option<&str>, freezing: &Freezing) -> Self {
        Self::Freeze {
            service: service.map(str::to_owned),
            seconds: freezing.lasts.as_secs(),
            why: freezing.why.clone(),
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Config { .. } => Kind::Config,
            Self::Degrade { .. } => Kind::Degrade,
            Self::Freeze { .. } | Self::EndFreeze { .. } => Kind::Freeze,
            Self::Rollout { .. } => Kind::Rollout,
            Self::Flag { .. } => Kind::Flag,
        }
    }

    /// What rules may be about that hold for it.
    pub(crate) const fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Config { .. } => &[Kind::Config],
            Self::Degrade { runbook: true, .. } => &[Kind::Degrade, Kind::Runbook],
            Self::Degrade { .. } => &[Kind::Degrade],
            Self::Freeze { .. } | Self::EndFreeze { .. } => &[Kind::Freeze],
            Self::Rollout { .. } => &[Kind::Rollout],
            Self::Flag { .. } => &[Kind::Flag],
        }
    }

    /// What it is about. Of one subject one request waits.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Config { .. } => "configuration".to_owned(),
            Self::Degrade { service, verb, .. } => format!("service/{service}/overlay/{verb}"),
            Self::Rollout {
                service, rollout, ..
            } => format!("service/{service}/rollout/{rollout}"),
            Self::Flag { key, .. } => format!("flag/{key}"),
            Self::Freeze { service, .. } | Self::EndFreeze { service, .. } => match service {
                Some(service) => format!("service/{service}/freeze"),
                None => "freeze".to_owned(),
            },
        }
    }

    pub(crate) fn why(&self) -> Option<&str> {
        match self {
            Self::Degrade { why, .. }
            | Self::Freeze { why, .. }
            | Self::Rollout { why, .. }
            | Self::Flag { why, .. } => Some(why),
            Self::Config { why, .. } | Self::EndFreeze { why, .. } => why.as_deref(),
        }
    }

    /// Whether another would do the same, for whatever reason.
    pub(crate) fn does_as(&self, other: &Self) -> bool {
        self.without_why() == other.without_why()
    }

    fn without_why(&self) -> Self {
        let mut it = self.clone();
        match &mut it {
            Self::Config { why, is_fix, .. } => (*why, *is_fix) = (None, false),
            Self::EndFreeze { why, .. } => *why = None,
            Self::Rollout { why, is_fix, .. } | Self::Flag { why, is_fix, .. } => {
                why.clear();
                *is_fix = false;
            }
            Self::Degrade { why, .. } | Self::Freeze { why, .. } => why.clear(),
        }
        it
    }

    /// A hash of all that it would do.
    pub(crate) fn content(&self) -> String {
        let whole = serde_json::to_vec(self).unwrap_or_default();
        Hash::of(&whole).to_string()
    }

    /// What would be done, in a few words.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Config { after, is_fix, .. } => {
                let short = after.get(..12).unwrap_or(after);
                format!("the configuration {short} in force{}", as_fix(*is_fix))
            }
            Self::Degrade {
                service,
                verb,
                level,
                mode,
                seconds,
                ..
            } => {
                let value = match (level, mode) {
                    (Some(level), _) => format!(" {level}"),
                    (_, Some(mode)) => format!(" {}", mode.name()),
                    _ => String::new(),
                };
                format!("{verb}{value} of {service} for {}", lasting(*seconds))
            }
            Self::Freeze {
                service, seconds, ..
            } => format!(
                "a freeze of {} for {}",
                of(service.as_deref()),
                lasting(*seconds)
            ),
            Self::Rollout {
                service,
                rollout,
                verb,
                from,
                is_fix,
                ..
            } => format!(
                "{verb} of the rollout {rollout}, of {service}: {from}{}",
                as_fix(*is_fix)
            ),
            Self::Flag {
                key,
                act,
                variant,
                seconds,
                is_fix,
                ..
            } => {
                let variant = variant.as_ref().map(|it| format!(" to {it}"));
                let lasts = seconds.map(|it| format!(" for {}", lasting(it)));
                format!(
                    "{act} of the flag {key}{}{}{}",
                    variant.unwrap_or_default(),
                    lasts.unwrap_or_default(),
                    as_fix(*is_fix)
                )
            }
            Self::EndFreeze { service, .. } => {
                format!("the end of the freeze of {}", of(service.as_deref()))
            }
        }
    }

    /// The same in detail, a line each.
    pub(super) fn effect(&self) -> Vec<String> {
        match self {
            Self::Config {
                before,
                after,
                lines: differences,
                more,
                ..
            } => {
                let mut lines = vec![
                    format!("SHA-256 in force: {before}"),
                    format!("SHA-256 to be: {after}"),
                ];
                lines.extend(differences.iter().cloned());
                if *more > 0 {
                    lines.push(format!("and {more} more"));
                }
                lines
            }
            Self::Flag {
                definition: Some(definition),
                ..
            } => {
                let text = serde_json::to_string_pretty(definition).unwrap_or_default();
                let mut lines = vec![self.says()];
                lines.extend(text.lines().take(LINES_MAX).map(str::to_owned));
                lines
            }
            other => vec![other.says()],
        }
    }
}

fn as_fix(is_fix: bool) -> &'static str {
    if is_fix { ", as a fix" } else { "" }
}

fn of(service: Option<&str>) -> &str {
    service.unwrap_or("all services")
}

fn lasting(seconds: u64) -> String {
    show_duration(Duration::from_secs(seconds))
}
