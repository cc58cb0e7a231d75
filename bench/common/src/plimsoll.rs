//! Plimsoll: one data plane thread; all of its measuring stays on, two objectives included. Kept upstream
//! connections are bounded as for nginx; all else has its default.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::command::write;
use crate::failure::Failure;
use crate::proxy::Call;

/// What its configuration says beside what is the same in all benches.
pub struct Differs<'a> {
    /// Elements of the list `listen`.
    pub listen: &'a str,
    /// The share of good and fast requests that is logged.
    pub sample: &'a str,
    /// Where its operations endpoints are.
    pub ops: SocketAddr,
    /// The one endpoint.
    pub upstream: SocketAddr,
    /// Lines of the table `service.bench.protect`.
    pub protect: &'a str,
    /// Lines of the one route.
    pub route: &'a str,
    /// Tables after all others.
    pub tables: &'a str,
}

/// Writes its configuration to `folder`; the answer is what to call.
pub fn prepare(folder: &Path, program: &Path, differs: &Differs<'_>) -> Result<Call, Failure> {
    let here = folder.display();
    let Differs {
        listen,
        sample,
        ops,
        upstream,
        protect,
        route,
        tables,
    } = differs;
    let text = format!(
        "\
[state]
path = \"{here}/state\"

[gateway]
listen = [{listen}]
threads = 1

[gateway.log]
to = \"{here}/access.log\"
sample = \"{sample}\"

[ops]
listen = \"{ops}\"

[console]
listen = \"127.0.0.1:0\"

[service.bench]
endpoints = [\"http://{upstream}\"]

[service.bench.protect]
idle_connections_max = 1024
{protect}
[service.bench.objective.availability]
target = \"99.9%\"
period = \"28d\"

[service.bench.objective.latency]
target = \"99%\"
below = \"250ms\"
period = \"28d\"

[[route]]
service = \"bench\"
{route}
{tables}"
    );
    let path = write(&folder.join("plimsoll.toml"), &text)?;
    let arguments = ["run".to_owned(), "--config".to_owned(), path];
    Ok((program.to_string_lossy().into_owned(), arguments.to_vec()))
}

/// How many lines the access log has dropped so far: a log that cannot follow is cheap, and no log.
pub fn log_lines_dropped(ops: SocketAddr) -> Result<u64, Failure> {
    let dropped = metrics(ops).and_then(|metrics| dropped_in(&metrics));
    dropped.ok_or_else(|| {
        Failure::unexpected("Plimsoll's metrics do not say how many lines were dropped")
    })
}

fn metrics(ops: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(ops).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn dropped_in(metrics: &str) -> Option<u64> {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("plimsoll_access_log_dropped_total "));
    value?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_line_of_a_metric_is_not_its_value() {
        let name = "plimsoll_access_log_dropped_total";
        let metrics = format!(
            "HTTP/1.1 200 OK\r\n\r\n# HELP {name} Lines.\n# TYPE {name} counter\n{name} 7\n"
        );
        assert_eq!(dropped_in(&metrics), Some(7));
        assert_eq!(dropped_in("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }
}
