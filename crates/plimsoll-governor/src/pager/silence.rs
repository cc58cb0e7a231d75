//! How long a service is silent as a matter of course: a job every hour, a shop at night.
//!
//! The mean rate says of traffic that comes in bursts that it is absent in each pause. So for each hour of the day the
//! longest silence that reached into it is remembered, of this day and of the last one that had requests, and absence is
//! what lasts three times as long as those about this hour: a service that is silent at night is missed at noon at once.
//! Days without requests don't count: a silence of a weekend does not forget what it is to be compared with.
//!
//! A silence that was called an absence may be an outage, and an outage must not blind: after one of two hours the next
//! would be called after six. So one that was called counts as far as it recurs: as long as the shorter of it and the
//! longest one that was called in these two days before it. One outage is no habit; a pause that is there again is.
//! So a job pages in its first two pauses at most, and then no more. Who tries a service during an outage splits it in
//! two: so only a silence before which twenty requests came counts as another one.
//! What that can't tell from a habit is two outages about the same hour within two days. Somebody was called for both, and no more than
//! the shorter one counts, until two days later.
//! What recurs by the week, as a weekend does, is told by the last two weeks: a silence that lies within one of twenty hours
//! and more of a week ago, and within another of two weeks ago, is usual. It says nothing about other days.
//! The price: where requests come by chance, less often than one a second, the longest of two days' silences is up to a
//! dozen mean ones, so their absence is called up to 1.6 times as late as by the rate alone. At one a second it is not.
//! Units: seconds.

use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
const WEEK: u64 = 7 * DAY;
/// From when on a silence is remembered by itself, for two weeks.
const LONG: u64 = 20 * HOUR;
/// How much earlier than the one a week ago a weekend may begin, and how much later it may end.
const ABOUT: u64 = HOUR;
/// In three weeks there is no room for more of them.
const LONG_MAX: usize = 26;
/// A silence is out of the ordinary at so many times the longest one.
const LONGER: u64 = 3;
/// So many requests are traffic again, and no trial: as many as must be missed for their absence to be called.
const BACK_REQUESTS: u64 = 20;

/// Hours of a day, UTC.
const HOURS: usize = 24;

/// Seconds for each hour of the day: of the longest silence that reached into it.
type Hours = [u32; HOURS];

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Silences {
    /// The last day with a request, since the epoch.
    day: u64,
    /// Of that day, and of the day with requests before.
    longest: [Hours; 2],
    /// Those that were called, of the same days.
    called: [Hours; 2],
    /// How many requests came since the last one that was called.
    back: u64,
    /// Begin and length of long ones, the newest last. Not in what was kept by versions that did not know them.
    #[serde(default)]
    long: Vec<(u64, u64)>,
}

impl Silences {
    /// There are `requests`, after `silent` seconds without, which were called an absence (or would have been, were more
    /// known) or not.
    pub(super) fn on_requests(&mut self, second: u64, requests: u64, silent: u64, called: bool) {
        let day = second / DAY;
        if day != self.day {
            self.day = day;
            self.longest = [Hours::default(), self.longest[0]];
            self.called = [Hours::default(), self.called[0]];
        }
        // What only last weeks excuse is no habit of the day.
        let called = called || (self.is_too_long(second, silent) && self.is_weekly(second, silent));
        if silent >= LONG {
            let begin = second.saturating_sub(silent);
            self.long.push((begin, silent));
            self.long.retain(|(it, _)| it + 3 * WEEK > begin);
            let too_many = self.long.len().saturating_sub(LONG_MAX);
            self.long.drain(..too_many);
        }
        if silent > 0 {
            self.remember(second, u32::try_from(silent).unwrap_or(u32::MAX), called);
        }
        self.back = self.back.saturating_add(requests);
    }

    fn remember(&mut self, second: u64, silent: u32, called: bool) {
        let habit = self.called;
        let first = second.saturating_sub(u64::from(silent)) / HOUR;
        let last = second / HOUR;
        for hour in first.max((last + 1).saturating_sub(HOURS as u64))..=last {
            let counts = match called {
                false => silent,
                true if self.back >= BACK_REQUESTS => silent.min(about(&habit, hour)),
                true => 0,
            };
            let place = (hour % HOURS as u64) as usize;
            let raise = |hours: &mut Hours, to: u32| {
                if let Some(known) = hours.get_mut(place) {
                    *known = (*known).max(to);
                }
            };
            raise(&mut self.longest[0], counts);
            if called {
                raise(&mut self.called[0], silent);
            }
        }
        if called {
            self.back = 0;
        }
    }

    /// Whether a silence of so many seconds, up to this one, is longer than is usual.
    pub(super) fn is_unusual(&self, second: u64, silent: u64) -> bool {
        self.is_too_long(second, silent) && !self.is_weekly(second, silent)
    }

    /// Whether it is longer than the days say.
    fn is_too_long(&self, second: u64, silent: u64) -> bool {
        silent > u64::from(about(&self.longest, second / HOUR)).saturating_mul(LONGER)
    }

    /// Whether it was as silent at that time a week ago, and two weeks ago.
    fn is_weekly(&self, second: u64, silent: u64) -> bool {
        let begin = second.saturating_sub(silent);
        let before = |weeks: u64| {
            self.long.iter().any(|(of, length)| {
                let of = of + weeks * WEEK;
                of <= begin + ABOUT && second <= of + length + ABOUT
            })
        };
        before(1) && before(2)
    }
}

/// The longest of this hour, of the one before and of the one after: nights don't begin on the minute.
fn about(days: &[Hours; 2], hour: u64) -> u32 {
    let places = (hour + HOURS as u64 - 1..).take(3);
    let of = |place: u64| {
        days.iter()
            .filter_map(move |it| it.get((place % HOURS as u64) as usize))
    };
    places.flat_map(of).copied().max().unwrap_or_default()
}
