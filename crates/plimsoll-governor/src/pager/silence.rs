//! How long a service is silent as a matter of course: a job every hour, a shop at night.
//!
//! The mean rate says of traffic that comes in bursts that it is absent in each pause. So the longest silence between
//! requests is remembered, of this day and of the last one that had requests, and absence is what lasts three times as
//! long. Days without requests don't count: a silence of a weekend does not forget what it is to be compared with.
//!
//! A silence that was called an absence may be an outage, and an outage must not blind: after one of two hours the next
//! would be called after six. So one that was called counts as far as it recurs: as long as the shorter of it and the
//! longest one that was called in these two days before it. One outage is no habit; a pause that is there again is.
//! So a job pages in its first two pauses at most, and then no more. Who tries a service during an outage splits it in
//! two: so only a silence before which twenty requests came counts as another one.
//! What that can't tell from a habit is two outages within two days. Somebody was called for both, and no more than
//! the shorter one counts, until two days later.
//! The price: where requests come by chance, less often than one a second, the longest of two days' silences is up to a
//! dozen mean ones, so their absence is called up to 1.6 times as late as by the rate alone. At one a second it is not.
//! Units: seconds.

use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;
/// A silence is out of the ordinary at so many times the longest one.
const LONGER: u64 = 3;
/// So many requests are traffic again, and no trial: as many as must be missed for their absence to be called.
const BACK_REQUESTS: u64 = 20;

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Silences {
    /// The last day with a request, since the epoch.
    day: u64,
    /// The longest of that day, and of the day with requests before.
    longest: [u64; 2],
    /// The longest that were called, of the same days.
    called: [u64; 2],
    /// How many requests came since the last one that was called.
    back: u64,
}

impl Silences {
    /// There are `requests`, after `silent` seconds without, which were called an absence (or would have been, were more
    /// known) or not.
    pub(super) fn on_requests(&mut self, second: u64, requests: u64, silent: u64, called: bool) {
        let day = second / DAY;
        if day != self.day {
            self.day = day;
            self.longest = [0, self.longest[0]];
            self.called = [0, self.called[0]];
        }
        let counts = match called {
            false => silent,
            true if self.back >= BACK_REQUESTS => silent.min(self.called[0].max(self.called[1])),
            true => 0,
        };
        self.longest[0] = self.longest[0].max(counts);
        if called {
            self.called[0] = self.called[0].max(silent);
            self.back = 0;
        }
        self.back = self.back.saturating_add(requests);
    }

    /// Whether a silence of so many seconds is longer than is usual.
    pub(super) fn is_unusual(&self, silent: u64) -> bool {
        let longest = self.longest[0].max(self.longest[1]);
        silent > longest.saturating_mul(LONGER)
    }
}
