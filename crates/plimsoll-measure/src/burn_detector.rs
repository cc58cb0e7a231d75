//! When a burn is worth a page: a restart e-detector on bad batches.
//!
//! For each of a few burn rates it keeps how much better "it burns so fast" explains what came than "it burns at
//! 1.0", summed over all moments at which that may have begun. Under a burn of at most 1.0 the sum grows by one a
//! batch at most, in the mean; so if the bar is the number of batches in a year, there is at most one false page a
//! year, however often one looks, at five requests an hour and at fifty thousand a second.
//! Source: J. Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential change
//! detection" (NEJSDS 2023). A batch is bad or not, so that a client that fails again and again counts once.
//!
//! A batch is ten requests, but at least six seconds and at most a minute. Where six seconds bring more than ten, the
//! batch is ten of them, and what would be learnt is averaged over which ten: an average of e-values is one. So a
//! burst that is over within seconds is one bad batch, and no page.
//!
//! A batch can only say that something in it is bad. Where a target is low, one of ten is bad at any burn that is
//! looked for, and that says nothing; so fewer are drawn from it: as many that at a burn of six no more than one is bad.

use plimsoll_core::Ratio;
use serde::{Deserialize, Serialize};

use crate::objective::Tally;

/// The burn rates that are looked for.
const BURNS: [f64; 6] = [3.0, 6.0, 14.4, 40.0, 120.0, 400.0];
/// From this one on it is worth a page at night; so is the fastest that a low target leaves room for.
const PAGE: f64 = 6.0;
/// A burn of which more than this share would be bad can't be told from one that is somewhat less.
const BAD_SHARE_MAX: f64 = 0.95;
/// A batch is closed at so many requests, and no more are drawn from it.
const BATCH: u64 = 10;
/// But not before so many seconds.
const BATCH_SECONDS_MIN: u64 = 6;
/// And always after so many.
const BATCH_SECONDS_MAX: u64 = 60;
/// The bar is at least the number of hours in a year.
const BAR_MIN: f64 = 8_760.0;

/// See the module's docs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnDetector {
    watched: Vec<Watched>,
    open: Tally,
    /// The second in which the open batch began, since the epoch.
    began: u64,
    batches: u64,
}

/// A burn rate that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Watched {
    burn: f64,
    /// What a good request multiplies the evidence by.
    good: f64,
    evidence: f64,
}

/// How soon somebody is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// In working hours: a burn of about three, where a target leaves room for more.
    Ticket,
    /// Now.
    Page,
}

/// The bar was passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// How soon somebody is to look.
    pub urgency: Urgency,
    /// The burn rate, of those looked for, that explains it best.
    pub burn: f64,
    /// The evidence: had it burnt at 1.0, so much or more would be seen once in so many batches at most.
    pub evidence: f64,
}

/// A target of which no burn can be told from another: less than 68.4 %.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "a burn of 3 would need {0:.0} % of all requests to be bad; the target must be above 68.3 %"
)]
pub struct Unwatchable(f64);

impl BurnDetector {
    /// For a target.
    pub fn new(target: Ratio) -> Result<Self, Unwatchable> {
        let budget = target.complement().get();
        let watched = |burn: &f64| {
            let bad = burn * budget;
            (bad < BAD_SHARE_MAX).then(|| Watched {
                burn: *burn,
                good: (1.0 - bad) / (1.0 - budget),
                evidence: 0.0,
            })
        };
        let watched: Vec<Watched> = BURNS.iter().filter_map(watched).collect();
        if watched.is_empty() {
            return Err(Unwatchable(100.0 * BURNS[0] * budget));
        }
        Ok(Self {
            watched,
            open: Tally::default(),
            began: 0,
            batches: 0,
        })
    }

    /// What a second brought; `second` counts from the epoch. Where the clock steps, the open batch is closed.
    pub fn on_second(&mut self, second: u64, tally: Tally) {
        let age = second.checked_sub(self.began);
        if age.is_none_or(|age| age >= BATCH_SECONDS_MAX) {
            self.close();
        }
        if self.open.total() == 0 {
            self.began = second;
        }
        self.open += tally;
        let seconds = second - self.began + 1;
        let full = self.open.total() >= BATCH && seconds >= BATCH_SECONDS_MIN;
        if full || seconds >= BATCH_SECONDS_MAX {
            self.close();
        }
    }

    /// The evidence for a burn above 1.0.
    pub fn evidence(&self) -> f64 {
        let sum: f64 = self.watched.iter().map(|it| it.evidence).sum();
        sum / self.watched.len() as f64
    }

    /// How many batches there were.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Whether the evidence has reached `bar`; then it begins anew.
    pub fn take_alarm(&mut self, bar: f64) -> Option<Alarm> {
        let evidence = self.evidence();
        if evidence < bar.max(BAR_MIN) {
            return None;
        }
        let leading = |a: &&Watched, b: &&Watched| a.evidence.total_cmp(&b.evidence);
        let burn = self.watched.iter().max_by(leading)?.burn;
        let fastest = self.watched.last()?.burn;
        for watched in &mut self.watched {
            watched.evidence = 0.0;
        }
        Some(Alarm {
            urgency: if burn >= PAGE.min(fastest) {
                Urgency::Page
            } else {
                Urgency::Ticket
            },
            burn,
            evidence,
        })
    }

    /// About how long a burn of `burn` lasts before there is an alarm, in seconds, at so many requests a second and
    /// with this bar: its logarithm by how fast the evidence grows. `None`: there is none.
    pub fn delay(&self, burn: f64, per_second: f64, bar: f64) -> Option<f64> {
        let (budget, drawn_max) = (self.budget(), self.drawn() as f64);
        let (shortest, longest) = (BATCH_SECONDS_MIN as f64, BATCH_SECONDS_MAX as f64);
        let seconds = (BATCH as f64 / per_second).clamp(shortest, longest);
        let brought = per_second * seconds;
        let requests = brought.clamp(1.0, drawn_max);
        let clean = libm::pow((1.0 - burn * budget).max(0.0), requests);
        let growth = |watched: &Watched| {
            let but_one = (requests - 1.0) * libm::log(watched.good);
            let says_clean = but_one + libm::log(watched.good);
            let says_bad = but_one + libm::log(watched.burn);
            // Of a few out of many, what is learnt is averaged; of all, it is as it comes.
            let average = clean * libm::exp(says_clean) + (1.0 - clean) * libm::exp(says_bad);
            let as_it_comes = clean * says_clean + (1.0 - clean) * says_bad;
            let drawn = drawn_max / brought.max(drawn_max);
            drawn * as_it_comes + (1.0 - drawn) * libm::log(average)
        };
        let fastest = self.watched.iter().map(growth).fold(0.0, f64::max);
        let bar = bar.max(BAR_MIN) * self.watched.len() as f64;
        let batch = seconds.max(1.0 / per_second);
        (fastest > 0.0).then(|| batch * libm::log(bar) / fastest)
    }

    /// The share that may be bad. A good request says of the first burn g = (1 - 3 b) / (1 - b), so b = (1 - g) / (3 - g).
    fn budget(&self) -> f64 {
        let first = self.watched.first();
        first.map_or(1.0, |it| (1.0 - it.good) / (it.burn - it.good))
    }

    /// How many requests of a batch are looked at, if it has as many: see the module's docs.
    fn drawn(&self) -> u64 {
        (1.0 / (PAGE * self.budget())).clamp(1.0, BATCH as f64) as u64
    }

    fn close(&mut self) {
        let batch = std::mem::take(&mut self.open);
        if batch.total() == 0 {
            return;
        }
        self.batches += 1;
        let requests = batch.total().min(self.drawn());
        // That none of those that are drawn is bad.
        let clean: f64 = (0..requests)
            .map(|drawn| {
                let left = (batch.total() - drawn) as f64;
                batch.good.saturating_sub(drawn) as f64 / left
            })
            .product();
        for watched in &mut self.watched {
            let but_one = libm::pow(watched.good, (requests - 1) as f64);
            let says = clean * but_one * watched.good + (1.0 - clean) * watched.burn * but_one;
            watched.evidence = (watched.evidence + 1.0) * says;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng as _, SeedableRng as _};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    const YEAR: u64 = 365 * 86_400;

    fn detector(target: f64) -> BurnDetector {
        BurnDetector::new(Ratio::try_from(target).unwrap()).unwrap()
    }

    fn tally(requests: u64, bad: u64) -> Tally {
        let good = requests - bad;
        Tally { good, bad }
    }

    /// One batch a minute, as in the vectors of the design.
    #[track_caller]
    fn check(target: f64, expected: [f64; 7]) {
        let mut detector = detector(target);
        let batches = [(1, 0), (2, 0), (1, 1), (0, 0), (3, 1), (1, 1), (2, 1)];
        for (minute, (&(requests, bad), expected)) in batches.iter().zip(expected).enumerate() {
            detector.on_second(60 * minute as u64, tally(requests, bad));
            detector.close();
            let evidence = detector.evidence();
            assert!((evidence / expected - 1.0).abs() < 1e-6, "{evidence}");
        }
    }

    #[test]
    fn evidence_follows_the_test_vectors() {
        let at_999 = [
            0.903_670,
            1.624_402,
            184.597_240,
            184.597_240,
            20_615.866_249,
            6_659_956.052_356,
            1_519_794_552.236_8,
        ];
        check(0.999, at_999);
        let at_99 = [
            0.850_000,
            1.410_530,
            30.829_522,
            30.829_522,
            363.457_695,
            11_044.824_223,
            248_380.341_818,
        ];
        check(0.99, at_99);
    }

    #[test]
    fn a_target_that_no_burn_fits_is_refused() {
        let new = |target: f64| BurnDetector::new(Ratio::try_from(target).unwrap());
        assert!(new(0.69).is_ok());
        let error = new(0.6).unwrap_err().to_string();
        assert!(error.contains("120 %"), "{error}");
    }

    #[test]
    fn a_total_outage_pages_at_every_target_that_is_accepted() {
        // 31.6 % is the largest budget that three times of which is less than 95 %.
        let thousandths = (684..=998).map(|it| f64::from(it) / 1_000.0);
        for target in thousandths.chain([0.999, 0.9999]) {
            let bar = YEAR as f64 / 6.0;
            let mut detector = detector(target);
            for second in 0..7_200 {
                detector.on_second(second, tally(100, 0));
            }
            let said = detector.delay(1.0 / (1.0 - target), 100.0, bar).unwrap();
            let alarm = (1_u64..=120).find_map(|second| {
                detector.on_second(7_199 + second, tally(100, 100));
                detector.take_alarm(bar).map(|alarm| (second, alarm))
            });
            let (second, alarm) = alarm.unwrap();
            assert_eq!(alarm.urgency, Urgency::Page, "{target}: {alarm:?}");
            let rounding = 12.0;
            assert!(
                (second as f64 - said).abs() <= rounding,
                "{target}: after {second} s, said {said} s"
            );
        }
    }

    #[test]
    fn a_low_target_is_watched_at_five_requests_an_hour_too() {
        for target in [0.7, 0.8, 0.9, 0.95] {
            let mut detector = detector(target);
            let bar = YEAR as f64 / 720.0;
            let page = (1_u64..=20).find(|request| {
                detector.on_second(720 * request, tally(1, 1));
                detector.on_second(720 * request + 60, tally(0, 0));
                detector.take_alarm(bar).is_some()
            });
            assert!(
                page.is_some_and(|it| (4..=11).contains(&it)),
                "{target}: {page:?}"
            );
            // Somebody who tries again and again within a minute counts once.
            for second in 72_000..72_050 {
                let tries = u64::from(second % 7 == 0);
                detector.on_second(second, tally(tries, tries));
                assert_eq!(detector.take_alarm(bar), None);
            }
        }
    }

    /// Runs seconds with `per_second` requests each (below one: by chance); gives when the first alarm is.
    fn first_alarm(
        target: f64,
        per_second: f64,
        bad_share: f64,
        seconds: u64,
        seed: u64,
        bar: f64,
    ) -> Option<u64> {
        let mut detector = detector(target);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut unit = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (0..seconds).find(|&second| {
            let whole = libm::floor(per_second);
            let requests = whole as u64 + u64::from(unit() < per_second - whole);
            let bad = (0..requests).filter(|_| unit() < bad_share).count() as u64;
            detector.on_second(second, tally(requests, bad));
            detector.take_alarm(bar).is_some()
        })
    }

    #[test]
    fn a_burn_of_one_pages_no_more_than_once_in_the_time_of_the_bar() {
        // A bar of 8,760 batches: in 400 runs of a tenth as long, one in ten may page.
        for target in [0.99, 0.95, 0.8, 0.7] {
            let pages = |per_second: f64, seconds: u64| {
                let pages = |seed: &u64| {
                    let bad_share = 1.0 - target;
                    first_alarm(target, per_second, bad_share, seconds, *seed, 0.0).is_some()
                };
                (0..400).filter(pages).count()
            };
            assert!(pages(100.0, 876 * 6) <= 40, "{target}");
            assert!(pages(0.05, 876 * 60) <= 40, "{target}");
        }
    }

    #[test]
    fn the_stated_delay_is_about_the_measured_one() {
        let measured = |per_second: f64, burn: f64, bar: f64| {
            let runs: Vec<f64> = (0..40)
                .map(|seed| {
                    let bad = burn * 0.001;
                    first_alarm(0.999, per_second, bad, 4_000_000, seed, bar).unwrap() as f64
                })
                .collect();
            runs.iter().sum::<f64>() / runs.len() as f64
        };
        let cases = [
            (500.0, 1_000.0),
            (500.0, 6.0),
            (5.0, 20.0),
            (0.2, 100.0),
            (0.002, 1_000.0),
        ];
        for (per_second, burn) in cases {
            let bar = (YEAR as f64 / 6.0).min(per_second * YEAR as f64 / 10.0);
            let said = detector(0.999).delay(burn, per_second, bar).unwrap();
            let took = measured(per_second, burn, bar);
            let ratio = took / said;
            assert!(
                (0.6..1.7).contains(&ratio),
                "{per_second}/s at {burn}: {took} s, said {said} s"
            );
        }
        assert_eq!(detector(0.999).delay(0.5, 10.0, 1e7), None);
    }

    #[test]
    fn a_burst_inside_one_second_does_not_page() {
        let mut detector = detector(0.999);
        let bar = YEAR as f64 / 6.0;
        for second in 0..3_600 {
            // One second in a hundred has nine failures of one client: a burn of 0.18.
            let bad = if second % 100 == 50 { 9 } else { 0 };
            detector.on_second(second, tally(500, bad));
            assert_eq!(detector.take_alarm(bar), None, "second {second}");
        }
        // An outage does, within a minute.
        let alarm = (3_600..3_700).find_map(|second| {
            detector.on_second(second, tally(500, 500));
            detector.take_alarm(bar).map(|alarm| (second, alarm))
        });
        let (second, alarm) = alarm.unwrap();
        assert!(second < 3_660, "{second}");
        assert_eq!(alarm.urgency, Urgency::Page);
        assert!(detector.evidence() < 1.0);
    }

    #[test]
    fn a_clock_that_steps_loses_and_doubles_nothing() {
        let mut detector = detector(0.99);
        for second in [1_000, 1_001, 90, 91, 5_000] {
            detector.on_second(second, tally(2, 0));
        }
        assert_eq!((detector.batches(), detector.open), (2, tally(2, 0)));
        detector.on_second(5_005, tally(10, 0));
        assert_eq!((detector.batches(), detector.open), (3, Tally::default()));
    }
}
