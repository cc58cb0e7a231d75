//! Judges of other tools, as far as their documents say, on the same counts: for comparison only.

use plimsoll_policy::rollout::{Arms, Trials};

/// A threshold of the success rate, looked at each minute: a rollback at so many failed looks. Flagger counts them over the
/// whole rollout (`threshold`, 5 in its examples); Argo Rollouts fails at the first beyond its `failureLimit`, which is 0.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// The success rate that is asked for.
    pub success_min: f64,
    /// Failed looks that end it.
    pub failed_max: u32,
    failed: u32,
}

impl Fixed {
    /// Success of 99 %, and so many failed looks.
    pub const fn new(failed_max: u32) -> Self {
        Self {
            success_min: 0.99,
            failed_max,
            failed: 0,
        }
    }

    /// Whether what came in this minute ends it. A minute without requests is no look.
    pub fn on_minute(&mut self, canary: Trials) -> bool {
        let fails = canary
            .rate()
            .is_some_and(|bad| 1.0 - bad < self.success_min);
        self.failed += u32::from(fails);
        self.failed >= self.failed_max
    }
}

/// Mann and Whitney's test of rates by the minute, as Kayenta's judge makes it: the interval of the shift of location with a
/// confidence of 98 % lies above a quarter of the shift, and the mean is higher. Looked at each ten minutes.
#[derive(Clone, Debug, Default)]
pub struct MannWhitney {
    canary: Vec<f64>,
    stable: Vec<f64>,
    differences: Vec<f64>,
}

impl MannWhitney {
    /// Of a normal distribution, for 98 % on two sides.
    const Z: f64 = 2.326_348;
    const TOLERANCE: f64 = 0.25;
    const MINUTES: usize = 10;

    /// Whether the look that is due, if one is, ends it.
    pub fn on_minute(&mut self, minute: &Arms) -> bool {
        let rate = |trials: Trials| trials.rate();
        self.canary.extend(rate(minute.canary.errors()));
        self.stable.extend(rate(minute.stable.errors()));
        self.stable.len().is_multiple_of(Self::MINUTES) && self.is_higher()
    }

    fn is_higher(&mut self) -> bool {
        self.differences.clear();
        for canary in &self.canary {
            let against = self.stable.iter().map(|stable| canary - stable);
            self.differences.extend(against);
        }
        let (n, m) = (self.canary.len() as f64, self.stable.len() as f64);
        let spread = libm::sqrt(n * m * (n + m + 1.0) / 12.0);
        let rank = libm::floor(n * m / 2.0 - Self::Z * spread).max(0.0);
        let middle = self.differences.len() / 2;
        let first = self.differences.first().copied();
        if self.differences.iter().all(|it| Some(*it) == first) {
            return false;
        }
        let mut ranked = |rank: usize| {
            let (_, value, _) = self
                .differences
                .select_nth_unstable_by(rank, f64::total_cmp);
            *value
        };
        let (low, shift) = (ranked(rank as usize), ranked(middle));
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        low > Self::TOLERANCE * shift.abs() && mean(&self.canary) >= mean(&self.stable)
    }
}

/// The likelihood of each bad event by itself, against a mixture of ratios: valid only where bad events don't depend on each
/// other. Here as the control that has to fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Binomial {
    log_likelihood: [f64; Self::RATIOS.len()],
}

impl Binomial {
    const RATIOS: [f64; 8] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0, 1_000.0];

    /// The evidence with what came.
    pub fn on_batch(&mut self, came: &Arms) -> f64 {
        let pair = came.errors();
        if let Some((fair, _)) = pair.shares() {
            for (log_likelihood, ratio) in self.log_likelihood.iter_mut().zip(Self::RATIOS) {
                let share = ratio * fair / (ratio * fair + 1.0 - fair);
                *log_likelihood += pair.canary.bad as f64 * libm::log(share / fair)
                    + pair.stable.bad as f64 * libm::log((1.0 - share) / (1.0 - fair));
            }
        }
        let sum: f64 = self.log_likelihood.iter().map(|it| libm::exp(*it)).sum();
        sum / Self::RATIOS.len() as f64
    }
}
