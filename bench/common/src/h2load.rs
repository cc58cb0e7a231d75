//! `h2load` is the load, its per-request log the record.
//!
//! The log has the start of each request as microseconds since 1970, the status, and the microseconds it
//! took. Requests are counted whose end lies between the two readings of the proxy's CPU time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::clock::{epoch_micros, now, sleep};
use crate::command::{LOAD_CORE, PROXY_CORE, pinned};
use crate::failure::{Doing, Failure};
use crate::measured::Measured;
use crate::process;
use crate::summary::quantile;

/// Before the window, beside the warm-up: TLS handshakes of 512 connections, of about 1 ms each.
const HANDSHAKES: Duration = Duration::from_secs(1);
/// After the window, so that the end of the load is not in it.
const MARGIN: Duration = Duration::from_millis(500);

/// What is asked for, and how.
pub struct Load {
    /// `https://` for HTTP/2.
    pub url: String,
    /// What is posted; `None` = it is got.
    pub body: Option<PathBuf>,
    /// Requests at a time on each connection over HTTP/2; `None` = HTTP/1.1, one at a time.
    pub streams: Option<usize>,
    /// Kept all the time.
    pub connections: usize,
    /// Before the window.
    pub warm_up: Duration,
    /// In which is measured.
    pub window: Duration,
}

/// Measures the processes of a proxy once.
pub fn measure(load: &Load, pids: &[u32], folder: &Path) -> Result<Measured, Failure> {
    let log = folder.join("h2load.log");
    if log.exists() {
        std::fs::remove_file(&log).doing(|| format!("removing {}", log.display()))?;
    }
    let total = load.warm_up + HANDSHAKES + load.window + MARGIN;
    let mut command = pinned(LOAD_CORE, "h2load");
    let protocol = match load.streams {
        Some(streams) => {
            command.args(["--max-concurrent-streams", &streams.to_string()]);
            "h2"
        }
        None => {
            command.arg("--h1");
            "http/1.1"
        }
    };
    if let Some(body) = &load.body {
        command.args(["--header", "content-type: application/json", "--data"]);
        command.arg(body);
    }
    let child = command
        .args(["--threads", "1", "--clients", &load.connections.to_string()])
        .args(["--duration", &total.as_secs_f64().ceil().to_string()])
        .arg("--log-file")
        .arg(&log)
        .arg(&load.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| "starting h2load".to_owned())?;

    sleep(load.warm_up + HANDSHAKES);
    let core = process::core_time(PROXY_CORE);
    let (cpu, start, start_micros) = (process::cpu_time(pids)?, now(), epoch_micros());
    sleep(load.window);
    let (cpu_end, elapsed, end_micros) =
        (process::cpu_time(pids)?, start.elapsed(), epoch_micros());
    let core = process::core_time(PROXY_CORE).saturating_sub(core);
    let memory = process::memory(pids)?;
    let cpu = cpu_end.saturating_sub(cpu);

    let output = child
        .wait_with_output()
        .doing(|| "waiting for h2load".to_owned())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.contains(&format!("Application protocol: {protocol}\n")) {
        return Err(Failure::unexpected(format!(
            "h2load failed or did not speak {protocol} ({}): {said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    let text = std::fs::read_to_string(&log).doing(|| format!("reading {}", log.display()))?;
    std::fs::remove_file(&log).doing(|| format!("removing {}", log.display()))?;
    let (latencies, errors) = within(&text, start_micros, end_micros);
    Ok(Measured {
        requests: latencies.len() as u64,
        errors,
        elapsed,
        cpu,
        foreign: core.saturating_sub(cpu),
        latency_p50: Duration::from_micros(quantile(&latencies, 0.50).into()),
        latency_p99: Duration::from_micros(quantile(&latencies, 0.99).into()),
        memory,
    })
}

/// Sorted latencies of the good requests that ended from `start` to `end`, and how many others there were.
fn within(log: &str, start: u64, end: u64) -> (Vec<u32>, u64) {
    let mut latencies = Vec::new();
    let mut errors = 0;
    for line in log.lines() {
        let mut fields = line.split('\t');
        let mut next = || {
            fields
                .next()
                .and_then(|field| field.trim().parse::<i64>().ok())
        };
        let (Some(begun), Some(status), Some(took)) = (next(), next(), next()) else {
            continue;
        };
        let ended = u64::try_from(begun.saturating_add(took)).unwrap_or(0);
        if ended < start || ended >= end {
            continue;
        }
        match status {
            200 => latencies.push(u32::try_from(took).unwrap_or(u32::MAX)),
            _ => errors += 1,
        }
    }
    latencies.sort_unstable();
    (latencies, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_where_it_ends() {
        let log = "100\t200\t50\n140\t200\t20\n190\t200\t20\n150\t503\t5\n150\t-1\t5\ngarbage\n";
        assert_eq!(within(log, 150, 200), (vec![20, 50], 2));
    }
}
