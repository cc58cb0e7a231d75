//! Plimsoll: one data plane thread; all of its measuring stays on, two objectives included. Kept upstream
//! connections are bounded as for nginx; all else has its default.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Setting, write};
use crate::failure::Failure;

/// Which protections are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protect {
    /// None.
    Off,
    /// What is on without a word.
    Default,
    /// All that there are.
    All,
}

impl Protect {
    /// What the service's table says, and what the route's does. Bounds are so wide that nothing is refused.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Off => ("mode = \"off\"\n", ""),
            Self::Default => ("", ""),
            Self::All => (
                "\
hedge = \"p99\"
throttle = \"enforce\"
retry = { on = [\"connect\", \"reset\", \"502\", \"503\", \"504\"] }
bulkhead = { connections_max = 100000, pending_max = 100000, streams_max = 100000 }
",
                "\
tenant = { header = \"x-api-key\" }
rate = [{ limit = \"1000000/s\", burst = 1000000, by = \"address\" }]
",
            ),
        }
    }
}

/// Writes its configuration; the answer is what to call. `sample` is the share of good and fast requests
/// that is logged.
pub(super) fn prepare(
    setting: &Setting<'_>,
    sample: &str,
    protect: Protect,
) -> Result<(String, Vec<String>), Failure> {
    let Setting {
        folder,
        cleartext,
        tls,
        ops,
        upstream,
        certificate,
        plimsoll,
    } = setting;
    let here = folder.display();
    let (service, route) = protect.keys();
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let text = format!(
        "\
[state]
path = \"{here}/state\"

[gateway]
listen = [
    \"{cleartext}\",
    {{ address = \"{tls}\", tls = [{{ certificate = \"{chain}\", key = \"{key}\" }}] }},
]
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
{service}
[service.bench.objective.availability]
target = \"99.9%\"
period = \"28d\"

[service.bench.objective.latency]
target = \"99%\"
below = \"250ms\"
period = \"28d\"

[[route]]
service = \"bench\"
{route}"
    );
    let path = folder.join("plimsoll.toml");
    write(&path, &text)?;
    let arguments = [
        "run".to_owned(),
        "--config".to_owned(),
        path.to_string_lossy().into_owned(),
    ];
    Ok((plimsoll.to_string_lossy().into_owned(), arguments.to_vec()))
}

/// How many lines the access log has dropped so far: a log that cannot follow is cheap, and no log.
pub(super) fn log_lines_dropped(ops: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect(ops).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    dropped_in(&answer)
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
