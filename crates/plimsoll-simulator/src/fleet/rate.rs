//! How the rate of new users goes over a phase, in steps in which it is even.
//!
//! Units: users per second; nanoseconds, since the phase's beginning if nothing else is said.

use plimsoll_config::scenario::{FlashCrowd, PhaseRate, Shape, Wave};

use crate::agenda::Nanos;
use crate::fleet::clients::{millis, nanos};
use crate::scenario::Load;

/// Steps of a wave: a minute of a day. Within one a rate with a swing of 100 % changes by 0.5 % of its mean at most.
const WAVE_STEPS: f64 = 1_440.0;
/// Steps of a flash crowd's rise and decay are this part of them, and no longer than a ramp's.
const CROWD_STEPS: f64 = 100.0;
const CROWD_STEP_MAX: f64 = 100e6;
const STEP_MIN: f64 = 1e6;
/// The part of a flash crowd that is there at once; it grows in proportion to itself from there.
const CROWD_FIRST: f64 = 0.01;

/// See the module's docs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rate {
    /// One that the suite knows as well.
    Plain(Load),
    /// A sine.
    Wave {
        mean: f64,
        swing: f64,
        period: f64,
        /// When it is highest; before the phase, if it is negative.
        peak_at: f64,
    },
    /// A crowd comes and goes.
    Crowd {
        base: f64,
        peak: f64,
        rise: f64,
        decay: f64,
    },
}

impl Rate {
    /// The rate of a phase that begins at this time of the run.
    pub(crate) fn new(rate: &PhaseRate, begins: Nanos) -> Self {
        match rate.shape {
            None if rate.from == rate.to => Self::Plain(Load::Steady(rate.to)),
            None => Self::Plain(Load::Ramp {
                from: rate.from,
                to: rate.to,
            }),
            Some(Shape::Bursts(burst)) => Self::Plain(Load::Bursts {
                base: rate.to,
                peak: burst.peak,
                lasts: millis(burst.lasts),
                every: millis(burst.every),
            }),
            Some(Shape::Wave(Wave {
                swing,
                period,
                peak_at,
            })) => Self::Wave {
                mean: rate.to,
                swing,
                period: nanos(period) as f64,
                peak_at: nanos(peak_at) as f64 - begins as f64,
            },
            Some(Shape::Crowd(FlashCrowd { peak, rise, decay })) => Self::Crowd {
                base: rate.to,
                peak,
                rise: nanos(rise) as f64,
                decay: nanos(decay) as f64,
            },
        }
    }

    /// The rate at a time, and until when it is that.
    pub(crate) fn at(self, into: Nanos, lasts: Nanos) -> (f64, Nanos) {
        let now = into as f64;
        let (rate, step) = match self {
            Self::Plain(load) => return load.at(into, lasts),
            Self::Wave {
                mean,
                swing,
                period,
                peak_at,
            } => {
                let step = (period / WAVE_STEPS).max(STEP_MIN);
                let turns = (now + step / 2.0 - peak_at) / period;
                let wave = libm::cos(std::f64::consts::TAU * turns);
                (mean * (1.0 + swing * wave), step)
            }
            Self::Crowd {
                base,
                peak,
                rise,
                decay,
            } => {
                let step = |time: f64| (time / CROWD_STEPS).clamp(STEP_MIN, CROWD_STEP_MAX);
                let (there, step) = if now < rise {
                    let step = step(rise);
                    let left = 1.0 - ((now + step / 2.0) / rise).min(1.0);
                    (libm::pow(CROWD_FIRST, left), step)
                } else {
                    let step = step(decay);
                    (libm::exp(-(now + step / 2.0 - rise) / decay), step)
                };
                (base + (peak - base) * there, step)
            }
        };
        (rate, into + step as Nanos)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Nanos = crate::agenda::SECOND;

    /// The rate at a second of a phase that begins after `begins` seconds.
    fn at(shape: Shape, begins: Nanos, second: Nanos) -> f64 {
        let rate = PhaseRate {
            shape: Some(shape),
            ..PhaseRate::even(100.0)
        };
        let rate = Rate::new(&rate, begins * SECOND);
        let (rate, until) = rate.at(second * SECOND, 1_000 * SECOND);
        assert!(until > second * SECOND);
        rate
    }

    #[track_caller]
    fn check(rate: f64, expected: f64) {
        assert!((rate / expected - 1.0).abs() < 0.02, "{rate}");
    }

    #[test]
    fn a_wave_is_highest_at_its_peak_in_whichever_phase_that_is() {
        let wave = Shape::Wave(Wave {
            swing: 0.5,
            period: Duration::from_secs(240),
            peak_at: Duration::from_secs(140),
        });
        for begins in [0, 60, 200] {
            let at = |second: Nanos| at(wave, begins, second + 240 - begins);
            check(at(140), 150.0);
            check(at(20), 50.0);
            check(at(80), 100.0);
        }
    }

    #[test]
    fn a_flash_crowd_grows_in_proportion_and_goes() {
        let crowd = Shape::Crowd(FlashCrowd {
            peak: 1_100.0,
            rise: Duration::from_secs(20),
            decay: Duration::from_secs(30),
        });
        let at = |second| at(crowd, 5, second);
        check(at(0), 110.0);
        check(at(10), 200.0);
        check(at(20), 1_100.0);
        check(at(50), 100.0 + 1_000.0 * 0.3679);
        check(at(350), 100.0);
    }
}
