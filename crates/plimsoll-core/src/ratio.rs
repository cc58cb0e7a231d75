//! A share of a whole.

use serde::{Deserialize, Serialize};

/// A share of a whole, in `0.0..=1.0`. Never NaN, so every comparison has an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing of it.
    pub const ZERO: Self = Self(0.0);
    /// All of it.
    pub const ONE: Self = Self(1.0);

    /// The share as a number in `0.0..=1.0`.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// What is left of the whole.
    pub const fn complement(self) -> Self {
        Self(1.0 - self.0)
    }

    /// `part / whole`, or `None` where the whole is zero. A part larger than the whole counts as all of it.
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self((part as f64 / whole as f64).min(1.0)))
    }
}

/// The number was NaN or outside `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a share between 0 and 1")]
pub struct NotARatio(pub f64);

impl TryFrom<f64> for Ratio {
    type Error = NotARatio;

    fn try_from(value: f64) -> Result<Self, NotARatio> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(NotARatio(value))
        }
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shares_are_ratios() {
        assert!(Ratio::try_from(0.0).is_ok());
        assert!(Ratio::try_from(1.0).is_ok());
        assert!(Ratio::try_from(-0.1).is_err());
        assert!(Ratio::try_from(1.1).is_err());
        assert!(Ratio::try_from(f64::NAN).is_err());
        assert_eq!(Ratio::of(1, 0), None);
        assert_eq!(Ratio::of(1, 4).map(Ratio::get), Some(0.25));
    }
}
