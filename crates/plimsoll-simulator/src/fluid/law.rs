//! Laws that a station goes by: N. Gunther's Universal Scalability Law, and what is even among tenants.

/// How many times as long each of `n` requests takes under the Universal Scalability Law.
pub(super) fn slowed(n: f64, contention: f64, crosstalk: f64) -> f64 {
    let others = (n - 1.0).max(0.0);
    1.0 + contention * others + crosstalk * n * others
}

/// How many requests at once give the highest throughput.
pub(super) fn knee(contention: f64, crosstalk: f64) -> f64 {
    libm::sqrt((1.0 - contention) / crosstalk).max(1.0)
}

/// How many are there at once if `offered` would be without the others: the fewest that do so much, or those that do the
/// most.
pub(super) fn steady(offered: f64, contention: f64, crosstalk: f64) -> f64 {
    let done = |n: f64| n / slowed(n, contention, crosstalk);
    let (mut low, mut high) = (0.0, knee(contention, crosstalk));
    if done(high) <= offered {
        return high;
    }
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if done(middle) < offered {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// What a tenant may have at most, so that all get `left` together. What each workload asks is split among its tenants.
pub(super) fn fair_level(left: f64, asked: &[f64], tenants: &[&[f64]]) -> f64 {
    let mut level = 0.0;
    // What those leave who ask for less is split among the rest, who are fewer each time.
    loop {
        let (mut below, mut above) = (0.0, 0_u32);
        for (asked, tenants) in asked.iter().zip(tenants) {
            for share in *tenants {
                match asked * share {
                    less if less < level => below += less,
                    _ => above += 1,
                }
            }
        }
        let next = (left - below) / f64::from(above);
        // Also where nobody is above.
        if !next.is_finite() || next <= level {
            return level;
        }
        level = next;
    }
}

pub(super) fn under_level(level: f64, asked: f64, tenants: &[f64]) -> f64 {
    tenants.iter().map(|share| (asked * share).min(level)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_share_evenly_what_does_not_suffice() {
        let (one, two) = (vec![1.0], vec![0.5, 0.5]);
        let level = fair_level(90.0, &[300.0, 100.0], &[&one, &two]);
        // Three tenants ask for 300, 50 and 50: 30 each.
        assert!((level - 30.0).abs() < 1e-6);
        assert!((under_level(level, 100.0, &two) - 60.0).abs() < 1e-6);
        let level = fair_level(150.0, &[300.0, 40.0], &[&one, &two]);
        assert!((under_level(level, 40.0, &two) - 40.0).abs() < 1e-6);
        assert!((level - 110.0).abs() < 1e-6);
    }

    #[test]
    fn what_interferes_has_a_steady_state_below_its_knee() {
        let (contention, crosstalk) = (0.01, 0.000_6);
        let there = steady(10.0, contention, crosstalk);
        assert!((there / slowed(there, contention, crosstalk) - 10.0).abs() < 1e-6);
        assert!(there < knee(contention, crosstalk));
        assert!((steady(1e9, contention, crosstalk) - 40.62).abs() < 0.01);
    }
}
