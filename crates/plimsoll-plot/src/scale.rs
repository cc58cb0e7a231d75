//! From values to heights.

/// Grid lines at most.
const TICKS_MAX: usize = 3;

/// What is smaller or larger is drawn as these: at the ends of what a number can be, arithmetic has no room.
const EXTREMES: (f64, f64) = (1e-100, 1e100);

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From 0 to this, more than 0: for rates, shares and counts.
    Linear(f64),
    /// From the first to the second, both more than 0: for latencies and ratios.
    Log(f64, f64),
}

impl Scale {
    /// From 0 to a little more than the largest value.
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let max = finite.fold(0.0, f64::max).min(EXTREMES.1);
        Self::Linear(if max > 0.0 { 1.06 * max } else { 1.0 })
    }

    /// A little more than what the values span, and at least a factor of ten.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let usable = values
            .into_iter()
            .filter(|value| value.is_finite() && *value > 0.0)
            .map(|value| value.clamp(EXTREMES.0, EXTREMES.1));
        let (low, high) = usable.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if high <= 0.0 {
            return Self::Log(0.1, 10.0);
        }
        let (low, high) = (0.8 * low, 1.25 * high);
        let missing = libm::sqrt((10.0 * low / high).max(1.0));
        Self::Log(low / missing, high * missing)
    }

    /// Where a value is, from 0 at the bottom to 1 at the top.
    pub(crate) fn height(self, value: f64) -> f64 {
        let height = match self {
            Self::Linear(max) => value / max,
            Self::Log(low, high) => {
                if value <= 0.0 {
                    return 0.0;
                }
                libm::log(value / low) / libm::log(high / low)
            }
        };
        if height.is_finite() {
            height.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Values for grid lines, from the smallest.
    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(max) => {
                let step = round_up(max / (TICKS_MAX as f64 + 0.5));
                let ticks = (1..=TICKS_MAX).map(|index| index as f64 * step);
                ticks.filter(|tick| *tick <= max).collect()
            }
            Self::Log(low, high) => {
                let first = libm::ceil(libm::log10(low) - 1e-9);
                let last = libm::floor(libm::log10(high) + 1e-9);
                let powers = (last - first) as usize + 1;
                let every = powers.div_ceil(TICKS_MAX).max(1);
                let ticks = (0..TICKS_MAX).map(|index| first + (index * every) as f64);
                let ticks = ticks.filter(|power| *power <= last);
                ticks.map(libm::exp10).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, ... that is not less.
fn round_up(value: f64) -> f64 {
    let power = libm::exp10(libm::floor(libm::log10(value)));
    let rounds = [1.0, 2.0, 5.0, 10.0].map(|round| round * power);
    let enough = rounds
        .into_iter()
        .find(|round| *round >= value * (1.0 - 1e-9));
    enough.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_begins_at_zero_and_has_at_most_three_lines() {
        let scale = Scale::linear([3.0, 1_900.0]);
        assert_eq!(scale.height(0.0), 0.0);
        assert_eq!(scale.ticks(), [1_000.0, 2_000.0]);
        assert_eq!(Scale::linear([]).ticks(), [0.5, 1.0]);
        assert_eq!(Scale::linear([f64::NAN, 0.0]), Scale::Linear(1.0));
    }

    #[test]
    fn latencies_have_lines_at_powers_of_ten() {
        let ticks = Scale::log([0.004, 2.0]).ticks();
        assert_eq!(ticks.len(), 3);
        assert!((ticks[0] - 0.01).abs() < 1e-12);
        let wide = Scale::log([1e-6, 100.0]).ticks();
        assert!(wide.len() <= 3 && (wide[1] / wide[0] - 1e3).abs() < 1e-6);
        // One value alone gets room around it, with a line in it.
        assert!(!Scale::log([0.3]).ticks().is_empty());
    }

    proptest! {
        #[test]
        fn a_height_is_always_in_the_plot(values in prop::collection::vec(any::<f64>(), 0..9), at in any::<f64>()) {
            for scale in [Scale::linear(values.clone()), Scale::log(values)] {
                prop_assert!((0.0..=1.0).contains(&scale.height(at)));
                prop_assert!(scale.ticks().len() <= 3);
                prop_assert!(scale.ticks().iter().all(|tick| !tick.is_nan()));
            }
        }
    }
}
