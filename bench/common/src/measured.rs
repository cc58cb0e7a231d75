//! One proxy under one load for one window: what that showed.

use std::time::Duration;

use crate::process::Memory;

/// What one window showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Answered with 200 within the window.
    pub requests: u64,
    /// Answered with anything else, or not at all.
    pub errors: u64,
    /// Length of the window.
    pub elapsed: Duration,
    /// CPU time of the proxy's process tree.
    pub cpu: Duration,
    /// CPU time of everything else on the proxy's core.
    pub foreign: Duration,
    /// Median of the answers' latencies.
    pub latency_p50: Duration,
    /// 99 % were at most that.
    pub latency_p99: Duration,
    /// At the end of the window, with all connections open.
    pub memory: Memory,
}

impl Measured {
    /// CPU time per request, in microseconds: the figure to trust.
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    /// Of the window.
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Share of its core that the proxy used. Well below 1, the load was the bottleneck.
    pub fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Whether others used so much of the proxy's core that caches and latencies are not the proxy's own.
    pub fn is_disturbed(&self) -> bool {
        self.foreign.as_secs_f64() > 0.05 * self.elapsed.as_secs_f64()
    }

    /// All figures in one line, times in microseconds: how the load hands them over.
    pub fn to_line(self) -> String {
        let Self {
            requests,
            errors,
            elapsed,
            cpu,
            foreign,
            latency_p50,
            latency_p99,
            memory,
        } = self;
        let times = [elapsed, cpu, foreign, latency_p50, latency_p99]
            .map(|time| time.as_micros().to_string());
        format!(
            "{requests},{errors},{},{},{}",
            times.join(","),
            memory.rss,
            memory.pss
        )
    }

    /// The other way round.
    pub fn from_line(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line
            .trim()
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let [requests, errors, elapsed, cpu, foreign, p50, p99, rss, pss] =
            numbers.try_into().ok()?;
        let micros = Duration::from_micros;
        Some(Self {
            requests,
            errors,
            elapsed: micros(elapsed),
            cpu: micros(cpu),
            foreign: micros(foreign),
            latency_p50: micros(p50),
            latency_p99: micros(p99),
            memory: Memory { rss, pss },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_the_line_between_load_and_harness() {
        let measured = Measured {
            requests: 90_000,
            errors: 1,
            elapsed: Duration::from_secs(3),
            cpu: Duration::from_millis(1_800),
            foreign: Duration::from_millis(160),
            latency_p50: Duration::from_micros(1_410),
            latency_p99: Duration::from_micros(9_810),
            memory: Memory {
                rss: 40 << 20,
                pss: 30 << 20,
            },
        };
        assert_eq!(Measured::from_line(&measured.to_line()), Some(measured));
        assert_eq!(Measured::from_line("1,2,3"), None);
        assert!((measured.cpu_per_request() - 20.0).abs() < 1e-9);
        assert!((measured.busy() - 0.6).abs() < 1e-9);
        assert!(measured.is_disturbed());
    }
}
