//! The harness: rounds over rows over peers, then memory, then the report.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cell::measure;
use crate::clock::{now, sleep};
use crate::command::{LOAD_CORE, first_line, need_two_cores, own_program, pinned, write};
use crate::failure::{Doing, Failure};
use crate::measured::Measured;
use crate::options::Options;
use crate::peer::{Certificate, Peer, Running};
use crate::plan::Row;
use crate::process::{self, Memory};
use crate::{machine, report};

/// A settled process: start-up work is done, and nothing has been asked of it.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(1);

/// One window of one peer.
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) peer: Peer,
    pub(crate) measured: Measured,
    /// Lines that the access log dropped, where the proxy says so.
    pub(crate) log_lines_dropped: Option<u64>,
}

/// Memory of one peer in one round, in bytes.
pub(crate) struct Idle {
    pub(crate) peer: Peer,
    pub(crate) start: Memory,
    /// Per idle keep-alive connection, by PSS.
    pub(crate) per_connection: f64,
}

/// Runs everything and writes the report.
pub(crate) fn run(mut options: Options) -> Result<(), Failure> {
    need_two_cores()?;
    options.peers.retain(|peer| {
        let installed = !peer.version(&options.plimsoll).is_empty();
        if !installed {
            eprintln!("bench: {} is not there: left out", peer.name());
        }
        installed
    });
    let folder = std::env::temp_dir().join(format!("plimsoll-bench-http-{}", std::process::id()));
    std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    let result = measure_all(&options, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("bench: removing {}: {error}", folder.display());
    }
    let text = result?;
    println!("\n{text}");
    if let Some(path) = &options.output {
        write(path, &text)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

/// What is measured, and what loads it.
fn programs(options: &Options) -> String {
    let peers = options.peers.iter();
    let mut versions: Vec<String> = peers.map(|it| it.version(&options.plimsoll)).collect();
    versions.push(first_line(Command::new("h2load").arg("--version")));
    versions.push(first_line(Command::new("openssl").arg("version")));
    versions.retain(|version| !version.is_empty());
    versions.dedup();
    versions.join("; ")
}

fn measure_all(options: &Options, folder: &Path) -> Result<String, Failure> {
    let machine = machine::describe(&programs(options));
    let certificate = make_certificate(folder)?;
    let upstream = Upstream::start()?;
    let rows: Vec<Row> = if options.quick {
        Row::quick()
    } else {
        Row::all()
    };
    let wanted = |row: &Row| {
        options
            .rows
            .as_ref()
            .is_none_or(|part| row.name().contains(part.as_str()))
    };
    let rows: Vec<Row> = rows.into_iter().filter(wanted).collect();
    let start = |peer| {
        Running::start(
            peer,
            upstream.address,
            &certificate,
            &options.plimsoll,
            folder,
        )
    };

    let mut cells = Vec::new();
    let mut idle = Vec::new();
    let begun = now();
    for round in 0..options.rounds {
        for row in &rows {
            for place in 0..options.peers.len() {
                // Another order in each round: none always runs on what another left behind.
                let Some(&peer) = options.peers.get((place + round) % options.peers.len()) else {
                    continue;
                };
                let proxy = start(peer)?;
                let measured = measure(row, &proxy, options, folder)?;
                let log_lines_dropped = proxy.log_lines_dropped()?;
                drop(proxy);
                eprintln!(
                    "round {} of {}, {}, {}: {:.1} us/request, {:.0}/s, {} errors{}{} ({:.0} s)",
                    round + 1,
                    options.rounds,
                    row.name(),
                    peer.name(),
                    measured.cpu_per_request(),
                    measured.requests_per_second(),
                    measured.errors,
                    if measured.is_disturbed() {
                        ", disturbed"
                    } else {
                        ""
                    },
                    if log_lines_dropped > Some(0) {
                        ", log lines dropped"
                    } else {
                        ""
                    },
                    begun.elapsed().as_secs_f64(),
                );
                cells.push(Cell {
                    row: *row,
                    peer,
                    measured,
                    log_lines_dropped,
                });
            }
        }
        if options.memory {
            for &peer in &options.peers {
                idle.push(measure_idle(peer, &start(peer)?, options)?);
            }
        }
    }
    Ok(report::write(options, &machine, &rows, &cells, &idle))
}

/// Memory at start, then with many kept connections that each asked once.
fn measure_idle(peer: Peer, proxy: &Running, options: &Options) -> Result<Idle, Failure> {
    sleep(SETTLE);
    let start = process::memory(proxy.pids())?;
    let mut clients = pinned(LOAD_CORE, &own_program()?)
        .args(["idle", "--address", &proxy.cleartext.to_string()])
        .args(["--connections", &options.idle_connections.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(|| "starting idle clients".to_owned())?;
    let ready = clients
        .stdout
        .take()
        .map(BufReader::new)
        .and_then(|output| output.lines().next());
    let full = process::memory(proxy.pids());
    drop(clients.stdin.take());
    clients
        .wait()
        .doing(|| "waiting for idle clients".to_owned())?;
    if !matches!(ready, Some(Ok(line)) if line == "ready") {
        return Err(Failure::unexpected(format!(
            "{} does not hold idle connections",
            peer.name()
        )));
    }
    let grown = full?.pss.saturating_sub(start.pss);
    Ok(Idle {
        peer,
        start,
        per_connection: grown as f64 / options.idle_connections.max(1) as f64,
    })
}

/// The upstream as a process of its own. Dropping it stops it.
struct Upstream {
    child: Child,
    address: SocketAddr,
}

impl Upstream {
    fn start() -> Result<Self, Failure> {
        let mut child = pinned(LOAD_CORE, &own_program()?)
            .arg("upstream")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .doing(|| "starting the upstream".to_owned())?;
        let line = child
            .stdout
            .take()
            .map(BufReader::new)
            .and_then(|output| output.lines().next());
        let address = line.and_then(Result::ok).and_then(|line| line.parse().ok());
        // Made before the check, so that it is stopped if the check fails.
        let upstream = Self {
            child,
            address: address.unwrap_or_else(|| ([0, 0, 0, 0], 0).into()),
        };
        address
            .map(|_| upstream)
            .ok_or_else(|| Failure::unexpected("the upstream does not say its address"))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("bench: the upstream had already ended");
        }
    }
}

/// ECDSA on P-256, self-signed: what most sites use by now.
fn make_certificate(folder: &Path) -> Result<Certificate, Failure> {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let made = Certificate {
        certificate: path("cert.pem"),
        key: path("key.pem"),
        both: path("both.pem"),
    };
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "30", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-out",
        ])
        .arg(&made.certificate)
        .arg("-keyout")
        .arg(&made.key)
        .stdin(Stdio::null())
        .output()
        .doing(|| "starting openssl".to_owned())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::unexpected(format!(
            "openssl made no certificate: {said}"
        )));
    }
    let mut both =
        std::fs::File::create(&made.both).doing(|| "writing a certificate".to_owned())?;
    for part in [&made.certificate, &made.key] {
        let text = std::fs::read(part).doing(|| format!("reading {}", part.display()))?;
        both.write_all(&text)
            .doing(|| "writing a certificate".to_owned())?;
    }
    Ok(made)
}
