//! The run as plain lines, for pipes, logs and screen readers: a line per phase and one every two seconds.

use crate::message::{ArmLive, LoadLive};
use crate::table::{count, duration};

/// Seconds between two lines.
const INTERVAL: f64 = 2.0;

/// Writes lines when it is time to.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    next: f64,
}

impl Plain {
    /// The line for `live`, if one is due.
    pub(crate) fn on_live(&mut self, live: &LoadLive) -> Option<String> {
        if live.at < self.next.max(1.0) {
            return None;
        }
        self.next = live.at + INTERVAL;
        let [without, with] = &live.arms;
        Some(format!(
            "{:>5.1} s  offered {:>5}/s   without: {}   with: {}",
            live.at,
            count(live.offered.round() as u64),
            arm(without),
            arm(with),
        ))
    }
}

fn arm(arm: &ArmLive) -> String {
    let bad = arm.late + arm.failed + arm.refused + arm.gave_up;
    format!(
        "good {:>3}/s bad {:>5}/s P99 {:>5} waiting {:>5}",
        arm.good.iter().sum::<f64>().round(),
        count(bad.round() as u64),
        duration(arm.p99),
        count(arm.pending as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_two_seconds() {
        let mut plain = Plain::default();
        let mut lines = 0;
        for tick in 0..80 {
            let live = LoadLive {
                at: f64::from(tick) * 0.25,
                ..LoadLive::default()
            };
            lines += usize::from(plain.on_live(&live).is_some());
        }
        assert_eq!(lines, 10);
    }
}
