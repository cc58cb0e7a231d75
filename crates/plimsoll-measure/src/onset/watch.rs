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

/// So many nats say that more is asked for, whatever the second is that is chosen: what comes in bursts has some by chance.
const RISE_NATS: f64 = 12.0;
/// What is asked for over fewer seconds before it is not known to be usual.
const RISE_BEFORE: f64 = 30.0;

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

    /// What came in the seconds from `oldest` ago to `newest` ago, both included, and how many seconds of these are known.
    pub fn between(&self, oldest: u64, newest: u64) -> (Tally, u64) {
        let mut sum = Tally::default();
        let wanted = oldest.saturating_sub(newest).saturating_add(1);
        let skipped = usize::try_from(newest).unwrap_or(usize::MAX);
        let taken = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut known = 0;
        for (requests, bad) in self.seconds.iter().rev().skip(skipped).take(taken) {
            sum += tally(*requests, *bad);
            known += 1;
        }
        (sum, known)
    }

    /// The second, in seconds before now, from which on more is asked for than before it, over the last `span` of seconds: the
    /// likeliest by the counts, which are taken to be Poisson. `None`: nowhere, or too little came before to tell what is usual:
    /// where traffic has just begun, that is no rise.
    pub fn rise(&self, span: u64) -> Option<Rise> {
        let span = usize::try_from(span).unwrap_or(usize::MAX);
        let counts = self.seconds.iter().rev().take(span);
        let counts: Vec<f64> = counts.map(|(requests, _)| f64::from(*requests)).collect();
        let all: f64 = counts.iter().sum();
        let mean = all / counts.len() as f64;
        let likelihood = |count: f64, seconds: f64| match count > 0.0 {
            true => count * libm::log(count / seconds / mean),
            false => 0.0,
        };
        let (mut best, mut found, mut since) = (RISE_NATS, None, 0.0);
        for (ago, count) in counts.iter().enumerate() {
            since += count;
            let (after, before) = (ago as f64 + 1.0, (counts.len() - ago) as f64 - 1.0);
            if before < RISE_BEFORE || since / after <= (all - since) / before {
                continue;
            }
            let likely = likelihood(since, after) + likelihood(all - since, before);
            if likely > best {
                best = likely;
                found = Some(Rise {
                    ago: ago as u64,
                    before: (all - since) / before,
                    after: since / after,
                });
            }
        }
        found
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

/// From when on more is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    /// The first second of it, in seconds before the newest one.
    pub ago: u64,
    /// Requests a second before it.
    pub before: f64,
    /// Requests a second since then.
    pub after: f64,
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
    fn a_rise_is_found_in_its_second_and_a_fall_is_none() {
        let mut watch = OnsetWatch::default();
        for second in 1..=600 {
            let good = if second <= 540 { 100 } else { 170 };
            watch.on_second(second, Tally { good, bad: 0 });
        }
        let rise = watch.rise(300).unwrap();
        assert_eq!(rise.ago, 59);
        assert!((rise.before - 100.0).abs() < 1e-9 && (rise.after - 170.0).abs() < 1e-9);
        assert_eq!(
            watch.between(59, 0),
            (
                Tally {
                    good: 10_200,
                    bad: 0
                },
                60
            )
        );
        assert_eq!(watch.between(9_999, 590).1, 10, "no more than is known");
        for second in 601..=900 {
            watch.on_second(second, Tally { good: 10, bad: 0 });
        }
        assert_eq!(watch.rise(330), None);
        assert_eq!(OnsetWatch::default().rise(60), None);
    }

    #[test]
    fn traffic_that_has_just_begun_is_no_rise() {
        let mut watch = OnsetWatch::default();
        for second in 1..=100 {
            let good = if second <= 5 { 1 } else { 50 };
            watch.on_second(second, Tally { good, bad: 0 });
        }
        let rise = watch.rise(300).map(|it| it.after / it.before);
        // What is left of it is small: as many came in the seconds after the first.
        assert!(rise.is_none_or(|times| times < 1.25), "{rise:?}");
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
