//! One cell: one proxy under one load for one window.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::failure::{Doing, Failure};
use crate::options::Options;
use crate::peer::Running;
use crate::plan::{self, Protocol, Row};
use crate::process::Memory;
use crate::{h2load, peer};

/// What one window showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Answered with 200 within the window.
    pub(crate) requests: u64,
    /// Answered with anything else, or not at all.
    pub(crate) errors: u64,
    /// Length of the window.
    pub(crate) elapsed: Duration,
    /// CPU time of the proxy's process tree.
    pub(crate) cpu: Duration,
    /// CPU time of everything else on the proxy's core.
    pub(crate) foreign: Duration,
    pub(crate) latency_p50: Duration,
    pub(crate) latency_p99: Duration,
    /// At the end of the window, with all connections open.
    pub(crate) memory: Memory,
}

impl Measured {
    /// CPU time per request, in microseconds: the figure to trust.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Share of its core that the proxy used. Well below 1, the load was the bottleneck.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Whether others used so much of the proxy's core that caches and latencies are not the proxy's own.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.foreign.as_secs_f64() > 0.05 * self.elapsed.as_secs_f64()
    }

    /// All figures in one line, times in microseconds: how the load hands them over.
    pub(crate) fn to_line(self) -> String {
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
    pub(crate) fn from_line(line: &str) -> Option<Self> {
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

/// Measures `proxy` once under the load of `row`.
pub(crate) fn measure(
    row: &Row,
    proxy: &Running,
    options: &Options,
    folder: &Path,
) -> Result<Measured, Failure> {
    match row.protocol {
        Protocol::Http1 => http1(row, proxy, options),
        Protocol::Http2 { streams } => h2load::measure(row, streams, proxy, options, folder),
    }
}

fn http1(row: &Row, proxy: &Running, options: &Options) -> Result<Measured, Failure> {
    let output = peer::pinned(plan::LOAD_CORE, &own_program()?)
        .args(["load", "--path", &row.path()])
        .args(["--address", &proxy.cleartext.to_string()])
        .args(["--connections", &row.connections.to_string()])
        .args(["--warm-up", &options.warm_up.as_micros().to_string()])
        .args(["--window", &options.window.as_micros().to_string()])
        .args(["--pids", &plan::pids_to(&proxy.pids)])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .doing(|| "starting the load".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Measured::from_line(&text)
        .filter(|_| output.status.success())
        .ok_or_else(|| Failure::unexpected(format!("the load failed ({}): {text}", output.status)))
}

/// This program, to start it as upstream and as load.
pub(crate) fn own_program() -> Result<String, Failure> {
    let path = std::env::current_exe().doing(|| "finding our own program".to_owned())?;
    Ok(path.to_string_lossy().into_owned())
}

/// What `command` prints, in one line; empty if it cannot be run.
pub(crate) fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        return String::new();
    };
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
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
