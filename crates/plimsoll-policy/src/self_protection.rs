//! Plimsoll itself: as its own bounds come near, it takes on less, before it suffers.
//!
//! A level from 0 to 3 by two readings: memory against its bound, and how late the event loops' timers fire. The
//! worse of them counts. A level rises at once with memory, and with a lag that has lasted [`LAG_LASTS`]: one pause
//! is no overload. It falls by one step after [`CALM_LASTS`] in which every reading was well below what the level
//! takes, so it does not flap around a threshold. Connections are no such reading: most may be idle, and whoever
//! holds many open must not shut others' requests out. Where they come near their bound, idle ones are closed
//! sooner ([`SelfShared::is_crowded`]).
//! Units: memory in bytes; thresholds in percent of a bound. Invariants: `critical` is never shed here, at level
//! 3 it is new connections that are refused; higher readings never make a lower level.
//! Elsewhere: who takes the readings (`plimsoll-gateway`); the services' own overload (limiter, admission).

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use plimsoll_core::{Class, Instant};

/// What is admitted already grows on for a while: 80 % leaves it room, and at 95 % the next large body may not fit.
const MEMORY_PERCENT: [u64; 3] = [80, 90, 95];
/// From here on connections are crowded...
const CROWDED_PERCENT: u64 = 90;
/// ...and from here on down they no longer are.
const UNCROWDED_PERCENT: u64 = 85;
/// A loop that is 100 ms late adds that to every request: of the order of what services themselves take. However late it
/// is, connections are not refused, and with them what is critical: a machine that is too busy for Plimsoll may be
/// busy with something else.
const LAG: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(250)];
/// How long a lag must last before it counts.
const LAG_LASTS: Duration = Duration::from_millis(500);
/// How far below a level's threshold a share must be for the level to fall.
const CALM_POINTS: u64 = 5;
/// The same for the lag, in percent of the threshold.
const CALM_LAG_PERCENT: u32 = 80;
/// How long all must be that calm before the level falls by one.
const CALM_LASTS: Duration = Duration::from_secs(2);

/// How much Plimsoll takes on. Ordered: higher is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SelfLevel {
    /// Everything.
    #[default]
    All = 0,
    /// Nothing `sheddable`.
    ShedSheddable = 1,
    /// Only what is `critical`.
    ShedStandard = 2,
    /// Only what is `critical`, and no new connections.
    RefuseConnections = 3,
}

impl SelfLevel {
    /// All levels, in their order.
    pub const ALL: [Self; 4] = [
        Self::All,
        Self::ShedSheddable,
        Self::ShedStandard,
        Self::RefuseConnections,
    ];

    /// Whether requests of a class are refused. Never `critical` ones.
    pub fn sheds(self, class: Class) -> bool {
        match class {
            Class::Critical => false,
            Class::Standard => self >= Self::ShedStandard,
            Class::Sheddable => self >= Self::ShedSheddable,
        }
    }

    /// Whether new connections are refused.
    pub fn refuses_connections(self) -> bool {
        self >= Self::RefuseConnections
    }

    fn from_index(index: usize) -> Self {
        Self::ALL.get(index).copied().unwrap_or_default()
    }

    const fn lower(self) -> Self {
        match self {
            Self::All | Self::ShedSheddable => Self::All,
            Self::ShedStandard => Self::ShedSheddable,
            Self::RefuseConnections => Self::ShedStandard,
        }
    }
}

/// How much of a bound is used. A bound of zero is none: nothing is judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What is used.
    pub used: u64,
    /// The bound.
    pub max: u64,
}

/// What the level is judged by; what is absent is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfReadings {
    /// Bytes.
    pub memory: Option<Used>,
    /// Clients' connections.
    pub connections: Option<Used>,
    /// How late timers fire, on the event loop that is latest.
    pub lag: Option<Duration>,
}

/// Which reading made the level what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelfCause {
    /// Memory.
    Memory,
    /// The event loops' lag.
    Lag,
}

impl SelfCause {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Lag => "lag",
        }
    }
}

/// What all threads read.
#[derive(Debug, Default)]
pub struct SelfShared {
    level: AtomicU8,
    crowded: AtomicBool,
}

impl SelfShared {
    /// At level 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The level in force.
    pub fn level(&self) -> SelfLevel {
        SelfLevel::from_index(usize::from(self.level.load(Ordering::Relaxed)))
    }

    /// Whether requests of a class are refused.
    pub fn sheds(&self, class: Class) -> bool {
        self.level().sheds(class)
    }

    /// Whether connections come near their bound: then idle ones are to be closed sooner.
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }
}

/// The control thread's half.
#[derive(Clone, Debug, Default)]
pub struct SelfControl {
    level: SelfLevel,
    cause: Option<SelfCause>,
    /// Since when the lag has been at or above each threshold.
    late_since: [Option<Instant>; LAG.len()],
    /// Since when all readings have been calm enough for the level to fall.
    calm_since: Option<Instant>,
}

impl SelfControl {
    /// At level 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The level last published.
    pub const fn level(&self) -> SelfLevel {
        self.level
    }

    /// What raised the level to where it is, or keeps it there; `None` at level 0.
    pub const fn cause(&self) -> Option<SelfCause> {
        self.cause
    }

    /// Judges new readings and publishes the level. To be called at least each 100 ms or so: what lasts is
    /// judged by the calls.
    pub fn tick(
        &mut self,
        now: Instant,
        readings: &SelfReadings,
        shared: &SelfShared,
    ) -> SelfLevel {
        let (level, cause) = self.judge(now, readings);
        if level > self.level {
            self.level = level;
            self.cause = cause;
            self.calm_since = None;
        } else if is_calm(self.level, readings) {
            if has_lasted(&mut self.calm_since, now, CALM_LASTS) {
                self.level = self.level.lower();
                // What is calm for the level it was may not be for the one it is: then the watch starts later.
                self.calm_since = is_calm(self.level, readings).then_some(now);
            }
        } else {
            self.calm_since = None;
            if level == self.level {
                self.cause = cause;
            }
        }
        if self.level == SelfLevel::All {
            self.cause = None;
        }
        shared.level.store(self.level as u8, Ordering::Relaxed);
        if let Some(connections) = readings.connections {
            let percent = match shared.is_crowded() {
                true => UNCROWDED_PERCENT,
                false => CROWDED_PERCENT,
            };
            let crowded = connections.reaches(percent);
            shared.crowded.store(crowded, Ordering::Relaxed);
        }
        self.level
    }

    /// The level that the readings by themselves ask for.
    fn judge(&mut self, now: Instant, readings: &SelfReadings) -> (SelfLevel, Option<SelfCause>) {
        let memory = share_level(readings.memory, MEMORY_PERCENT);
        let mut lag = SelfLevel::All;
        for ((threshold, since), &level) in LAG.iter().zip(&mut self.late_since).zip(&LEVELS_ABOVE)
        {
            if readings.lag.is_none_or(|lag| lag < *threshold) {
                *since = None;
            } else if has_lasted(since, now, LAG_LASTS) {
                lag = level;
            }
        }
        [(lag, SelfCause::Lag), (memory, SelfCause::Memory)]
            .into_iter()
            .max_by_key(|&(level, _)| level)
            .map_or((SelfLevel::All, None), |(level, cause)| {
                (level, Some(cause))
            })
    }
}

/// What the three thresholds lead to.
const LEVELS_ABOVE: [SelfLevel; 3] = [
    SelfLevel::ShedSheddable,
    SelfLevel::ShedStandard,
    SelfLevel::RefuseConnections,
];

/// Starts the watch at the first call; says whether it has run for `time`. A watch that was started by a clock
/// that has been set back since starts again.
fn has_lasted(since: &mut Option<Instant>, now: Instant, time: Duration) -> bool {
    let start = since.filter(|&start| start <= now).unwrap_or(now);
    *since = Some(start);
    now.since(start) >= time
}

fn share_level(used: Option<Used>, percents: [u64; 3]) -> SelfLevel {
    let reached = percents
        .iter()
        .filter(|&&percent| used.is_some_and(|used| used.reaches(percent)));
    SelfLevel::from_index(reached.count())
}

/// Whether every reading is well below what `level` takes.
fn is_calm(level: SelfLevel, readings: &SelfReadings) -> bool {
    let Some(index) = (level as usize).checked_sub(1) else {
        return true;
    };
    let share_is_calm = |used: Option<Used>, percents: [u64; 3]| {
        let calm = percents.get(index).map(|percent| percent - CALM_POINTS);
        used.zip(calm)
            .is_none_or(|(used, calm)| !used.reaches(calm))
    };
    let calm_lag = LAG.get(index).map(|lag| *lag * CALM_LAG_PERCENT / 100);
    let lag_is_calm = (readings.lag.zip(calm_lag)).is_none_or(|(lag, calm)| lag < calm);
    lag_is_calm && share_is_calm(readings.memory, MEMORY_PERCENT)
}

impl Used {
    fn reaches(self, percent: u64) -> bool {
        let (used, max) = (u128::from(self.used), u128::from(self.max));
        max > 0 && used * 100 >= max * u128::from(percent)
    }
}

#[cfg(test)]
mod tests;
