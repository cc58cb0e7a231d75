//! What one arm changes against another: differences of runs with the same seed, and how sure they are.
//!
//! Both arms of a seed draw from the same random numbers (common random numbers): users that come whatever is answered are
//! the same ones at the same times. So one pair of runs is one value, and the interval is of the mean of these.

use plimsoll_measure::MeanInterval;
use plimsoll_measure::figure::latency;
use plimsoll_simulator::fleet::{Cell, Ledger};

use super::report::{critical_good_share, good_share, refused_share};

/// How sure an interval is to cover the true difference.
pub(super) const CONFIDENCE: f64 = 0.95;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The share of users with a good answer.
    Good,
    /// The same of class `critical`.
    Critical,
    /// The share of requests that Plimsoll refused.
    Refused,
    /// In seconds, of what was answered.
    LatencyP99,
}

impl Figure {
    pub(super) const ALL: [Self; 4] = [Self::Good, Self::Critical, Self::Refused, Self::LatencyP99];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Critical => "critical",
            Self::Refused => "refused",
            Self::LatencyP99 => "P99",
        }
    }

    /// In JSON, with its unit.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Good => "good_share",
            Self::Critical => "critical_good_share",
            Self::Refused => "refused_share",
            Self::LatencyP99 => "latency_p99_seconds",
        }
    }

    /// Of one run. `None` where there is none: nobody came, nothing was answered.
    fn of(self, cell: &Cell) -> Option<f64> {
        match self {
            Self::Good => good_share(cell),
            Self::Critical => critical_good_share(cell),
            Self::Refused => refused_share(cell),
            Self::LatencyP99 => Some(cell.latencies.quantile(0.99)?.as_secs_f64()),
        }
    }

    /// A difference as people read it, with its sign: percentage points, or a time.
    fn signed(self, difference: f64, gap: &str) -> String {
        match self {
            Self::LatencyP99 if difference == 0.0 => "0".to_owned(),
            Self::LatencyP99 => {
                let sign = if difference < 0.0 { '\u{2212}' } else { '+' };
                format!("{sign}{}", latency(Some(difference.abs()), gap))
            }
            Self::Good | Self::Critical | Self::Refused => points(difference),
        }
    }
}

/// Percentage points with one decimal and a sign; no sign on what is zero.
pub(super) fn points(difference: f64) -> String {
    let tenths = (1_000.0 * difference).round();
    let sign = match tenths {
        0.0 => "",
        _ if tenths < 0.0 => "\u{2212}",
        _ => "+",
    };
    format!("{sign}{:.1}", tenths.abs() / 10.0)
}

/// The difference of one figure over all seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// `None` with one seed.
    pub(super) interval: Option<MeanInterval>,
}

impl Difference {
    /// Of two arms by seed, in the cells that `pick` adds up. `None` if one of the runs has no such figure.
    pub(super) fn of(
        figure: Figure,
        arms: [&[Ledger]; 2],
        pick: &dyn Fn(&Ledger) -> Cell,
    ) -> Option<Self> {
        let [of, from] = arms;
        let pairs = of.iter().zip(from);
        let values = pairs.map(|(of, from)| Some(figure.of(&pick(of))? - figure.of(&pick(from))?));
        let values: Vec<f64> = values.collect::<Option<_>>()?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let interval = MeanInterval::of(&values, CONFIDENCE);
        mean.is_finite().then_some(Self { mean, interval })
    }

    /// Whether the runs show that there is one. With one seed that is not known.
    pub(super) fn is_shown(&self) -> Option<bool> {
        Some(!self.interval?.covers_zero())
    }

    /// The interval's ends, within what a figure can be: no share differs by more than all. `None` with one seed.
    pub(super) fn ends(&self, figure: Figure) -> Option<[f64; 2]> {
        let ends = [self.interval?.low(), self.interval?.high()];
        Some(match figure {
            Figure::LatencyP99 => ends,
            Figure::Good | Figure::Critical | Figure::Refused => {
                ends.map(|end| end.clamp(-1.0, 1.0))
            }
        })
    }

    /// `+2.1 (+1.8 to +2.4)`, and where an interval covers 0, that none is shown.
    pub(super) fn text(&self, figure: Figure, gap: &str) -> String {
        let Some(ends) = self.ends(figure) else {
            return figure.signed(self.mean, gap);
        };
        let [low, high] = ends.map(|end| figure.signed(end, gap));
        match self.is_shown() {
            Some(true) => format!("{} ({low} to {high})", figure.signed(self.mean, gap)),
            _ => format!("none shown ({low} to {high})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(mean: f64, half_width: f64) -> Difference {
        Difference {
            mean,
            interval: Some(MeanInterval { mean, half_width }),
        }
    }

    #[test]
    fn a_difference_has_its_sign_and_its_interval() {
        let text = |it: Difference, figure| it.text(figure, "");
        let good = text(difference(0.021, 0.003), Figure::Good);
        assert_eq!(good, "+2.1 (+1.8 to +2.4)");
        let refused = text(difference(-0.021, 0.003), Figure::Refused);
        assert_eq!(refused, "\u{2212}2.1 (\u{2212}2.4 to \u{2212}1.8)");
        let latency = text(difference(-0.2, 0.05), Figure::LatencyP99);
        let certain = text(difference(0.97, 0.05), Figure::Good);
        assert_eq!(certain, "+97.0 (+92.0 to +100.0)");
        let none = text(difference(0.0, 0.0), Figure::LatencyP99);
        assert_eq!(none, "none shown (0 to 0)");
        assert_eq!(latency, "\u{2212}200ms (\u{2212}250ms to \u{2212}150ms)");
    }

    #[test]
    fn an_interval_that_covers_zero_shows_nothing() {
        let none = difference(0.001, 0.002);
        assert_eq!(
            none.text(Figure::Good, ""),
            "none shown (\u{2212}0.1 to +0.3)"
        );
        assert_eq!(none.is_shown(), Some(false));
        let alone = Difference {
            interval: None,
            ..none
        };
        assert_eq!(
            (alone.text(Figure::Good, ""), alone.is_shown()),
            ("+0.1".into(), None)
        );
    }
}
