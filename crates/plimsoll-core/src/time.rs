//! Points in time: monotonic for deadlines, calendar for objectives and the journal.
//!
//! Units: nanoseconds inside; `std::time::Duration` at every interface.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A monotonic point in time: nanoseconds since an origin that the process (or the simulation) chose.
///
/// Only differences mean anything. For deadlines, latencies and windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin itself.
    pub const ORIGIN: Self = Self(0);
    /// Later than anything that will happen: 584 years after the origin.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::NEVER`].
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The same as [`Instant::since`].
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A calendar point in time: nanoseconds since 1970-01-01 00:00 UTC, leap seconds not counted.
///
/// May jump when the system's clock is set. For objective periods, the journal and what people read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `seconds` seconds after the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Time from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// So long before it; the epoch, where there is nothing before.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(by))
    }

    /// Year, month (from 1) and day (from 1), in UTC.
    pub fn date(self) -> (u64, u64, u64) {
        civil_from_days(self.as_seconds() / 86_400)
    }

    /// The beginning of a day, in UTC; `year` from 1970 on, `month` in `1..=12`, `day` from 1.
    pub fn of_date(year: u64, month: u64, day: u64) -> Self {
        Self::from_seconds(days_from_civil(year, month, day).saturating_mul(86_400))
    }

    /// Writes it as RFC 3339 in UTC with milliseconds, as in `2026-11-25T14:10:52.123Z`.
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = self.date();
        let second = self.as_seconds() % 86_400;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60,
            self.0 / 1_000_000 % 1_000
        )
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// Days since the epoch to (year, month, day) of the proleptic Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms" (2013): years begin in March, so
/// that the leap day is the last day of a year, and 400 years are always 146,097 days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The way back, from 1970 on.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 {
        year.saturating_sub(1)
    } else {
        year
    };
    let era = year / 400;
    let year_of_era = year % 400;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day.saturating_sub(1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_below_zero() {
        let early = Instant::from_nanos(10);
        let late = Instant::from_nanos(25);
        assert_eq!(late - early, Duration::from_nanos(15));
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(late + Duration::MAX, Instant::NEVER);
    }

    #[track_caller]
    fn check(seconds: u64, expected: &str) {
        assert_eq!(Timestamp::from_seconds(seconds).to_rfc3339(), expected);
    }

    #[test]
    fn calendar_dates_are_right_at_the_edges() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(951_868_800, "2000-03-01T00:00:00.000Z");
        check(1_795_615_852, "2026-11-25T14:10:52.000Z");
        check(4_102_444_799, "2099-12-31T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_of_two_centuries_has_a_date_that_leads_back_to_it() {
        for day in 0..73_050 {
            let at = Timestamp::from_seconds(day * 86_400);
            let (year, month, of_month) = at.date();
            assert_eq!(Timestamp::of_date(year, month, of_month), at);
        }
    }
}
