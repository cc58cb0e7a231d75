//! CPU time of the demo's processes.

use std::time::Duration;

/// Looks at the CPU time of a set of processes, one for the beginning of each phase and one at the end.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    looks: Vec<Look>,
}

/// CPU time used at a moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Duration,
    used: Duration,
}

impl CpuMeter {
    /// Notes what `processes` have used `at` this moment. Where this system does not tell, nothing is known.
    pub(crate) fn on_phase(&mut self, at: Duration, processes: &[u32]) {
        self.looks
            .extend(used(processes).map(|used| Look { at, used }));
    }

    /// CPU time per second since the first look; 1.0 is one core.
    pub(crate) fn share_at(&self, at: Duration, processes: &[u32]) -> Option<f64> {
        share(
            self.looks.first()?,
            &Look {
                at,
                used: used(processes)?,
            },
        )
    }

    /// From the first look to the last.
    pub(crate) fn share(&self) -> Option<f64> {
        share(self.looks.first()?, self.looks.last()?)
    }

    /// The largest between two looks.
    pub(crate) fn share_max(&self) -> Option<f64> {
        let pairs = self.looks.windows(2);
        pairs
            .filter_map(|pair| share(pair.first()?, pair.last()?))
            .reduce(f64::max)
    }
}

fn share(from: &Look, to: &Look) -> Option<f64> {
    let seconds = to.at.saturating_sub(from.at).as_secs_f64();
    (seconds > 0.0).then(|| to.used.saturating_sub(from.used).as_secs_f64() / seconds)
}

/// CPU time that all of `processes` have used so far; `None` where this system does not tell.
fn used(processes: &[u32]) -> Option<Duration> {
    let ticks = processes.iter().map(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        ticks(&stat)
    });
    let total = ticks.sum::<Option<u64>>()?;
    Some(Duration::from_secs_f64(
        total as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// User and system time of a line of `/proc/PID/stat`, fields 14 and 15 of proc(5). The name in field 2
/// may contain anything, so counting begins at its closing parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_past_a_name_with_spaces_and_parentheses() {
        let line = "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 42 8 0 0 20 0 1 0 100 1000 10";
        assert_eq!(ticks(line), Some(50));
        assert_eq!(ticks("12 (a"), None);
    }

    #[test]
    fn the_busiest_phase_is_told_from_the_whole() {
        let look = |at, used| Look {
            at: Duration::from_secs(at),
            used: Duration::from_secs(used),
        };
        let meter = CpuMeter {
            looks: vec![look(0, 0), look(10, 8), look(20, 10)],
        };
        assert_eq!(meter.share(), Some(0.5));
        assert_eq!(meter.share_max(), Some(0.8));
        assert_eq!(CpuMeter::default().share(), None);
    }
}
