//! Watch after a change: whether what a service gives has become worse than it was before.
//!
//! Time is cut into short batches; what is looked at is the share of bad requests of each. Two findings, either is enough:
//!
//! - **Plunge**: [`PLUNGE_BATCHES`] batches in a row are worse than the worst one before by [`PLUNGE_POINTS`]. It needs no
//!   history, and finds what is plainly broken within seconds.
//! - **Drift**: were nothing changed, the batches after would be as those before, in any order, whatever their level and
//!   however failures come in clusters within one. The rank of each new batch among all earlier ones then is a p-value
//!   (ties count against a finding), and a bet on small ones gains no wealth on average. Bets begin anew with each batch and are
//!   added up (the e-detector of Shiryaev and Roberts), so a harm that shows late is found as soon as one that shows at once.
//!   The sum grows by at most one with each batch on average, so that over a window of `n` batches it ever reaches `100 n`
//!   with a probability of 1 % at most (Doob). It counts only where more is bad than the objective allows, and more than before.
//!
//! Source: V. Vovk, G. Shafer, I. Nouretdinov, *Testing exchangeability on-line* (2003); power bets `e p^(e-1)` as there.
//! Invariant: batches without enough requests say nothing.
//! Elsewhere: what is counted as bad, which services are watched, what is done about a finding (the binary's `applying`).
//! What it can't tell: a harm that begins by chance in the minutes after a change. To return costs little then: what was in
//! force until just now is in force again.

/// A batch with fewer requests says nothing.
const REQUESTS_MIN: u64 = 5;
/// Batches in a row that make a plunge: an endpoint that restarts is back sooner.
const PLUNGE_BATCHES: u32 = 3;
/// How much worse they are than the worst batch before, as a share of requests.
const PLUNGE_POINTS: f64 = 0.2;
/// How many bad requests there are in them together, at least.
const PLUNGE_BAD_MIN: u64 = 20;
/// How often a window without a harm may be taken for one by its drift.
const ALPHA: f64 = 0.01;
/// The bets: small exponents gain more from the smallest ranks, large ones lose less to large ranks.
const BETS: [f64; 3] = [0.3, 0.5, 0.7];
/// Bad requests that a drift needs, so that one that is hardly used does not make it alone.
const DRIFT_BAD_MIN: u64 = 10;
/// Batches that are remembered: ten minutes before and an hour after, at five seconds each.
const BATCHES_MAX: usize = 840;

/// Requests of a short time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchBatch {
    /// All that count.
    pub requests: u64,
    /// Those that were bad.
    pub bad: u64,
}

impl WatchBatch {
    fn share(self) -> Option<f64> {
        (self.requests >= REQUESTS_MIN)
            .then(|| self.bad.min(self.requests) as f64 / self.requests as f64)
    }
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffering {
    /// Much worse at once.
    Plunge,
    /// Worse than before, and than it may be.
    Drift,
}

/// Why it is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchEvidence {
    /// What is found.
    pub suffering: Suffering,
    /// The share of bad requests before; `None`: there were too few requests to tell.
    pub before: Option<f64>,
    /// The share since the change.
    pub after: f64,
    /// Bad requests since the change.
    pub bad: u64,
    /// Requests since the change.
    pub requests: u64,
    /// The sum of bets, in units of what a window without harm reaches with 1 % at most.
    pub bets: f64,
}

/// See the module's docs.
#[derive(Clone, Debug)]
pub struct ChangeWatch {
    /// What the objective leaves to fail.
    allowed: f64,
    /// What the sum of bets must reach.
    threshold: f64,
    /// Shares of all batches, those before the change too.
    shares: Vec<f64>,
    worst_before: f64,
    before: WatchBatch,
    after: WatchBatch,
    plunge: (u32, u64),
    sums: [f64; BETS.len()],
}

impl ChangeWatch {
    /// With the batches before, the share of bad requests that is allowed, and how many batches the window has.
    pub fn new(before: &[WatchBatch], allowed: f64, window: u32) -> Self {
        let skipped = before.len().saturating_sub(BATCHES_MAX / 2);
        let enough = before
            .iter()
            .skip(skipped)
            .filter(|it| it.share().is_some());
        let enough: Vec<WatchBatch> = enough.copied().collect();
        let shares: Vec<f64> = enough.iter().filter_map(|it| it.share()).collect();
        Self {
            allowed,
            threshold: f64::from(window.max(1)) / ALPHA,
            worst_before: shares.iter().copied().fold(0.0, f64::max),
            shares,
            before: enough
                .iter()
                .fold(WatchBatch::default(), |sum, it| sum.and(*it)),
            after: WatchBatch::default(),
            plunge: (0, 0),
            sums: [0.0; BETS.len()],
        }
    }

    /// The batches in which there was enough to look at, before and after.
    pub fn batches(&self) -> usize {
        self.shares.len()
    }

    /// What came since the change.
    pub fn after(&self) -> WatchBatch {
        self.after
    }

    /// A batch after the change has ended.
    pub fn on_batch(&mut self, batch: WatchBatch) -> Option<WatchEvidence> {
        let share = batch.share()?;
        self.after = self.after.and(batch);
        let bets = self.bet(share);
        if self.shares.len() < BATCHES_MAX {
            self.shares.push(share);
        }
        if share >= self.worst_before + PLUNGE_POINTS {
            self.plunge = (self.plunge.0 + 1, self.plunge.1 + batch.bad);
        } else {
            self.plunge = (0, 0);
        }
        let (before, after) = (self.before.share(), self.after.share()?);
        let is_plunge = self.plunge.0 >= PLUNGE_BATCHES && self.plunge.1 >= PLUNGE_BAD_MIN;
        let is_drift = bets >= 1.0
            && self.after.bad >= DRIFT_BAD_MIN
            && after > self.allowed
            && before.is_some_and(|before| after > before);
        let suffering = match (is_plunge, is_drift) {
            (true, _) => Suffering::Plunge,
            (_, true) => Suffering::Drift,
            _ => return None,
        };
        Some(WatchEvidence {
            suffering,
            before,
            after,
            bad: self.after.bad,
            requests: self.after.requests,
            bets,
        })
    }

    /// The sum of bets with this batch, in units of the threshold.
    fn bet(&mut self, share: f64) -> f64 {
        let as_bad = self.shares.iter().filter(|it| **it >= share).count();
        let rank = (as_bad + 1) as f64 / (self.shares.len() + 1) as f64;
        for (sum, exponent) in self.sums.iter_mut().zip(BETS) {
            let gain = exponent * libm::pow(rank, exponent - 1.0);
            // What is far beyond all doubt need not grow further.
            *sum = ((*sum + 1.0) * gain).min(1e12);
        }
        let mean = self.sums.iter().sum::<f64>() / BETS.len() as f64;
        mean / self.threshold
    }
}

impl WatchBatch {
    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            bad: self.bad.saturating_add(other.bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn batch(requests: u64, bad: u64) -> WatchBatch {
        WatchBatch { requests, bad }
    }

    /// How many batches it takes until something is found.
    fn found(
        watch: &mut ChangeWatch,
        batches: impl Iterator<Item = WatchBatch>,
    ) -> Option<(usize, Suffering)> {
        let mut batches = batches.enumerate();
        batches.find_map(|(place, batch)| Some((place + 1, watch.on_batch(batch)?.suffering)))
    }

    fn uniform(random: &mut Xoshiro256PlusPlus) -> f64 {
        (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A batch in which each request fails with this probability; failures come in clusters of `cluster`.
    fn draw(
        random: &mut Xoshiro256PlusPlus,
        requests: u64,
        share: f64,
        cluster: u64,
    ) -> WatchBatch {
        let draws = requests / cluster;
        let bad = (0..draws).filter(|_| uniform(random) < share).count() as u64;
        batch(requests, bad * cluster)
    }

    #[test]
    fn what_is_plainly_broken_is_found_without_a_history() {
        let mut watch = ChangeWatch::new(&[], 0.001, 60);
        let broken = std::iter::repeat_n(batch(50, 45), 5);
        assert_eq!(found(&mut watch, broken), Some((3, Suffering::Plunge)));
    }

    #[test]
    fn a_service_that_was_as_bad_before_does_not_suffer() {
        let before = [batch(50, 45); 20];
        let mut watch = ChangeWatch::new(&before, 0.001, 60);
        assert_eq!(found(&mut watch, before.into_iter().cycle().take(60)), None);
    }

    #[test]
    fn two_bad_batches_are_no_plunge_and_few_requests_say_nothing() {
        let mut watch = ChangeWatch::new(&[batch(50, 0); 5], 0.001, 60);
        let blip = [batch(50, 50), batch(50, 50), batch(50, 0), batch(4, 4)];
        assert_eq!(found(&mut watch, blip.into_iter().cycle().take(30)), None);
    }

    #[test]
    fn a_small_and_lasting_harm_is_found_by_its_drift_early_or_late() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        for healthy in [0, 40] {
            let before: Vec<_> = (0..120).map(|_| draw(&mut random, 500, 0.001, 1)).collect();
            let mut watch = ChangeWatch::new(&before, 0.01, 60);
            let good: Vec<_> = (0..healthy)
                .map(|_| draw(&mut random, 500, 0.001, 1))
                .collect();
            assert_eq!(found(&mut watch, good.into_iter()), None);
            let bad = std::iter::repeat_with(|| draw(&mut random, 500, 0.05, 1));
            let at = found(&mut watch, bad.take(60));
            assert!(
                at.is_some_and(|(batches, kind)| batches <= 20 && kind == Suffering::Drift),
                "{at:?} after {healthy} good ones"
            );
        }
    }

    #[test]
    fn more_failures_than_before_that_the_objective_allows_are_no_harm() {
        let mut watch = ChangeWatch::new(&[batch(1_000, 0); 120], 0.01, 60);
        let within = std::iter::repeat_n(batch(1_000, 5), 60);
        assert_eq!(found(&mut watch, within), None);
    }

    /// The stated share of false findings: also where failures are clustered, and where the level is above the objective.
    #[test]
    fn windows_in_which_nothing_changes_are_hardly_ever_taken_for_a_harm() {
        for (share, cluster) in [(0.001, 1), (0.02, 1), (0.02, 10), (0.1, 10)] {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
            let mut false_findings = 0;
            for _ in 0..400 {
                let before: Vec<_> = (0..120)
                    .map(|_| draw(&mut random, 200, share, cluster))
                    .collect();
                let mut watch = ChangeWatch::new(&before, 0.001, 60);
                let after = std::iter::repeat_with(|| draw(&mut random, 200, share, cluster));
                false_findings += u32::from(found(&mut watch, after.take(60)).is_some());
            }
            // 1 % of 400 are 4; twice that is beyond four of five standard deviations.
            assert!(
                false_findings <= 8,
                "{false_findings} of 400 at {share}, {cluster}"
            );
        }
    }
}
