//! Keeps what is needed to say when a change began: an hour of seconds, and the sum of the hour before.

use std::collections::VecDeque;

use plimsoll_core::Ratio;

use super::{Onset, Usual, marked, onset, usual_share};
use crate::objective::Tally;

/// Seconds that are kept.
const SECONDS: usize = 3_600;
/// What they are summed up to when they are older, and how many of these are kept.
const MINUTE: u64 = 60;
const MINUTES: usize = 60;

/// Fewer requests don't tell what is usual.
const USUAL_REQUESTS: u64 = 1_000;

/// Of one objective. At most 30 KiB.
#[derive(Clone, Debug, Default)]
pub struct OnsetWatch {
    /// Requests and bad ones, the newest at the back. More than 4 billion in a second are not told apart.
    seconds: VecDeque<(u32, u32)>,
    /// The second that the newest is of.
    newest: u64,
    /// The hour before.
    before: VecDeque<Minute>,
}

/// What came in a minute of the hour before.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    /// Which, since the epoch.
    minute: u64,
    requests: Tally,
    /// Of those with requests; a bad one is a bad second.
    seconds: Tally,
}

impl OnsetWatch {
    /// What a second brought; seconds that are left out brought nothing.
    pub fn on_second(&mut self, second: u64, tally: Tally) {
        if self.seconds.is_empty() {
            self.newest = second.saturating_sub(1);
        }
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64);
        for step in (0..passed).rev() {
            self.push(second - step);
        }
        self.newest = self.newest.max(second);
        if let Some((requests, bad)) = self.seconds.back_mut() {
            let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            *requests = requests.saturating_add(narrow(tally.total()));
            *bad = bad.saturating_add(narrow(tally.bad));
        }
    }

    fn push(&mut self, second: u64) {
        if self.seconds.len() == SECONDS
            && let Some((requests, bad)) = self.seconds.pop_front()
        {
            let minute = second.saturating_sub(SECONDS as u64) / MINUTE;
            if self.before.back().is_none_or(|it| it.minute != minute) {
                if self.before.len() == MINUTES {
                    self.before.pop_front();
                }
                self.before.push_back(Minute {
                    minute,
                    ..Minute::default()
                });
            }
            if let Some(sum) = self.before.back_mut() {
                sum.requests += tally(requests, bad);
                sum.seconds += marked(tally(requests, bad));
            }
        }
        self.seconds.push_back((0, 0));
    }

    /// When what is bad now began: seconds before now, of the likeliest one and of the interval, the latest first.
    /// `None`: nothing says that more is bad than usual. `allowed` is the share that the target leaves to fail: it is taken for
    /// what is usual where the hour before tells too little.
    pub fn onset(&self, allowed: Ratio) -> Option<Ago> {
        let seconds: Vec<Tally> = self.seconds.iter().map(|it| tally(it.0, it.1)).collect();
        let (mut requests, mut marks) = (Tally::default(), Tally::default());
        for minute in &self.before {
            requests += minute.requests;
            marks += minute.seconds;
        }
        let usual = if requests.total() < USUAL_REQUESTS {
            evenly(allowed, &seconds)
        } else {
            Usual {
                requests: usual_share(requests, true),
                seconds: usual_share(marks, true),
            }
        };
        let Onset {
            second, interval, ..
        } = onset(&seconds, usual)?;
        let last = seconds.len() - 1;
        Some(Ago {
            likeliest: (last - second) as u64,
            latest: (last - interval.end()) as u64,
            earliest: (last - interval.start()) as u64,
        })
    }
}

/// When something began, in seconds before the newest second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ago {
    /// The likeliest.
    pub likeliest: u64,
    /// Hardly later.
    pub latest: u64,
    /// Hardly earlier.
    pub earliest: u64,
}

/// Where a share is bad, here and there.
fn evenly(share: Ratio, seconds: &[Tally]) -> Usual {
    let requests: u64 = seconds.iter().map(|it| it.total()).sum();
    let busy = seconds.iter().filter(|it| it.total() > 0).count().max(1);
    let none_is_bad = libm::pow(share.complement().get(), requests as f64 / busy as f64);
    Usual {
        requests: share.get(),
        seconds: 1.0 - none_is_bad,
    }
}

fn tally(requests: u32, bad: u32) -> Tally {
    Tally {
        good: u64::from(requests.saturating_sub(bad)),
        bad: bad.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_a_minute_ago_is_found_after_two_hours_of_quiet() {
        let mut watch = OnsetWatch::default();
        for second in 0..7_200 {
            let bad = u64::from(second % 50 == 0);
            watch.on_second(second, Tally { good: 99, bad });
        }
        assert_eq!(watch.onset(allowed()), None);
        for second in 7_200..7_260 {
            watch.on_second(second, Tally { good: 80, bad: 20 });
        }
        let ago = watch.onset(allowed()).unwrap();
        assert_eq!(ago.likeliest, 59);
        assert!(ago.latest <= 59 && ago.earliest >= 59 && ago.earliest < 65);
        assert_eq!((watch.seconds.len(), watch.before.len()), (3_600, 60));
    }

    #[test]
    fn what_comes_in_bursts_is_held_against_the_seconds_that_were_bad_before() {
        // One of a thousand was bad, and so one second of ten.
        let quiet = |second: u64| Tally {
            good: 99,
            bad: u64::from(second.is_multiple_of(10)),
        };
        let mut watch = OnsetWatch::default();
        for second in 0..7_200 {
            watch.on_second(second, quiet(second));
        }
        let mut young = OnsetWatch::default();
        for second in 0..1_800 {
            young.on_second(second, quiet(second));
        }
        for second in 0..60_u64 {
            let bad = if second.is_multiple_of(3) { 20 } else { 0 };
            watch.on_second(7_200 + second, Tally { good: 80, bad });
            young.on_second(1_800 + second, Tally { good: 80, bad });
        }
        for watch in [watch, young] {
            let ago = watch.onset(allowed()).unwrap();
            assert!(ago.likeliest.abs_diff(59) <= 1, "{ago:?}");
            assert!(ago.earliest < 120 && ago.latest > 10, "{ago:?}");
        }
    }

    #[test]
    fn where_most_seconds_were_bad_before_bursts_are_counted_by_their_failures() {
        let mut watch = OnsetWatch::default();
        for second in 0..7_200 {
            watch.on_second(
                second,
                Tally {
                    good: 4_996,
                    bad: 4,
                },
            );
        }
        for second in 7_200..7_260_u64 {
            let bad = if second.is_multiple_of(3) { 400 } else { 100 };
            watch.on_second(second, Tally { good: 4_600, bad });
        }
        assert_eq!(watch.onset(allowed()).unwrap().likeliest, 59);
    }

    #[test]
    fn of_a_young_process_what_the_target_allows_is_usual() {
        let mut watch = OnsetWatch::default();
        for second in 0..30 {
            watch.on_second(second, Tally { good: 100, bad: 0 });
        }
        for second in 30..40 {
            watch.on_second(second, Tally { good: 50, bad: 50 });
        }
        assert_eq!(watch.onset(allowed()).unwrap().likeliest, 9);
    }

    fn allowed() -> Ratio {
        Ratio::of(1, 1_000).unwrap()
    }

    #[test]
    fn seconds_that_are_left_out_and_clocks_that_jump_lose_no_more_than_themselves() {
        let mut watch = OnsetWatch::default();
        let all_bad = Tally { good: 0, bad: 5 };
        watch.on_second(100, Tally { good: 5, bad: 0 });
        watch.on_second(130, all_bad);
        assert_eq!(watch.seconds.len(), 31);
        watch.on_second(90, all_bad);
        assert_eq!(watch.seconds.back(), Some(&(10, 10)), "backwards is now");
        watch.on_second(u64::MAX, all_bad);
        assert_eq!(watch.seconds.len(), SECONDS);
    }
}
