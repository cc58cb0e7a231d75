//! How unlike the tenants of a log are.

use std::collections::BTreeMap;

use super::Logged;

/// The largest exponent that a scenario can have.
const ZIPF_MAX: f64 = 3.0;
/// Halvings of that range: to a millionth of it.
const STEPS: u32 = 20;

/// What each tenant sent, the most first.
pub(super) fn counts(requests: &[Logged]) -> Vec<f64> {
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for request in requests {
        *counts.entry(request.tenant).or_default() += request.weight();
    }
    let mut counts: Vec<f64> = counts.into_values().collect();
    counts.sort_unstable_by(|one, other| other.total_cmp(one));
    counts
}

/// The exponent of Zipf's law by maximum likelihood, of what each tenant sent, the most first.
///
/// The likelihood has one maximum, where the mean logarithm of the rank is what the law expects. Ranks are those of
/// the log: tenants who are alike look a little unlike, the more the fewer requests they have.
pub(super) fn zipf(counts: &[f64]) -> f64 {
    let all: f64 = counts.iter().sum();
    if counts.len() < 2 || all <= 0.0 {
        return 0.0;
    }
    let logarithms: Vec<f64> = (1..=counts.len())
        .map(|rank| libm::log(rank as f64))
        .collect();
    let pairs = counts.iter().zip(&logarithms);
    let measured = pairs.map(|(count, log)| count * log).sum::<f64>() / all;
    let expected = |exponent: f64| {
        let weights = logarithms
            .iter()
            .map(|log| (libm::exp(-exponent * log), log));
        let (sum, logs) = weights.fold((0.0, 0.0), |(sum, logs), (weight, log)| {
            (sum + weight, logs + weight * log)
        });
        logs / sum
    };
    let (mut low, mut high) = (0.0, ZIPF_MAX);
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        // The more unlike they are, the lower the ranks of requests.
        if expected(middle) > measured {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}
