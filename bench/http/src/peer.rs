//! The proxies under test: each is started for one cell, pinned, and stopped after it.

mod haproxy;
mod nginx;
mod plimsoll;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use self::plimsoll::Protect;
use crate::cell::first_line;
use crate::clock::{sleep, wait_for};
use crate::failure::{Doing, Failure};
use crate::{plan, process};

/// A proxy in one set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Without a log.
    Nginx,
    /// With a JSON access log of every request, unbuffered.
    NginxLog,
    /// Without a log.
    Haproxy,
    /// As it comes: everything is measured, 1 % of the good and fast requests are logged.
    Plimsoll,
    /// Every request is logged, as in `NginxLog`.
    PlimsollLog,
    /// As `Plimsoll`, without any protection.
    PlimsollOff,
    /// As `Plimsoll`, with those protections too that are off until asked for.
    PlimsollAll,
}

impl Peer {
    pub(crate) const ALL: [Self; 7] = [
        Self::Nginx,
        Self::NginxLog,
        Self::Haproxy,
        Self::Plimsoll,
        Self::PlimsollLog,
        Self::PlimsollOff,
        Self::PlimsollAll,
    ];

    /// Those of a run that names none: what protections cost is asked by itself.
    pub(crate) const USUAL: [Self; 5] = [
        Self::Nginx,
        Self::NginxLog,
        Self::Haproxy,
        Self::Plimsoll,
        Self::PlimsollLog,
    ];

    /// The word in `--peers` and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxLog => "nginx+log",
            Self::Haproxy => "haproxy",
            Self::Plimsoll => "plimsoll",
            Self::PlimsollLog => "plimsoll+log",
            Self::PlimsollOff => "plimsoll-off",
            Self::PlimsollAll => "plimsoll-all",
        }
    }

    /// What it says its version is; empty where it is not installed.
    pub(crate) fn version(self, plimsoll: &Path) -> String {
        match self {
            Self::Nginx | Self::NginxLog => first_line(system("nginx").arg("-v")),
            Self::Haproxy => first_line(system("haproxy").arg("-v")),
            Self::Plimsoll | Self::PlimsollLog | Self::PlimsollOff | Self::PlimsollAll => {
                first_line(Command::new(plimsoll).arg("--version"))
            }
        }
    }
}

impl FromStr for Peer {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|peer| peer.name() == name);
        found.ok_or_else(|| Failure::usage(format!("there is no peer `{name}`")))
    }
}

/// What a proxy is given.
pub(crate) struct Setting<'a> {
    /// A folder of its own, empty.
    pub(crate) folder: PathBuf,
    /// Where it listens in cleartext.
    pub(crate) cleartext: SocketAddr,
    /// Where it listens with TLS.
    pub(crate) tls: SocketAddr,
    /// Where it serves its metrics, if it does.
    pub(crate) ops: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) certificate: &'a Certificate,
    /// Plimsoll's binary.
    pub(crate) plimsoll: &'a Path,
}

/// A self-signed certificate in PEM files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants it.
    pub(crate) both: PathBuf,
}

/// A proxy that serves. Dropping it stops it.
pub(crate) struct Running {
    child: Child,
    peer: Peer,
    ops: SocketAddr,
    /// The whole process tree.
    pub(crate) pids: Vec<u32>,
    pub(crate) cleartext: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Running {
    /// Starts `peer`, and waits until it answers on both listeners.
    pub(crate) fn start(
        peer: Peer,
        upstream: SocketAddr,
        certificate: &Certificate,
        binary: &Path,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let folder = folder.join("proxy");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).doing(|| format!("emptying {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let (cleartext, tls, ops) = (free_address()?, free_address()?, free_address()?);
        let setting = Setting {
            folder,
            cleartext,
            tls,
            upstream,
            certificate,
            plimsoll: binary,
            ops,
        };
        let (program, arguments) = match peer {
            Peer::Nginx => nginx::prepare(&setting, false)?,
            Peer::NginxLog => nginx::prepare(&setting, true)?,
            Peer::Haproxy => haproxy::prepare(&setting)?,
            Peer::Plimsoll => plimsoll::prepare(&setting, "1%", Protect::Default)?,
            Peer::PlimsollLog => plimsoll::prepare(&setting, "100%", Protect::Default)?,
            Peer::PlimsollOff => plimsoll::prepare(&setting, "1%", Protect::Off)?,
            Peer::PlimsollAll => plimsoll::prepare(&setting, "1%", Protect::All)?,
        };
        let output_path = setting.folder.join("output");
        let output = std::fs::File::create(&output_path)
            .doing(|| format!("creating {}", output_path.display()))?;
        let errors = output.try_clone().doing(|| "sharing a file".to_owned())?;
        let mut child = pinned(plan::PROXY_CORE, &program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing(|| format!("starting {program}"))?;
        let answers = wait_for(Duration::from_secs(10), || {
            let ended = !matches!(child.try_wait(), Ok(None));
            ended
                || [cleartext, tls]
                    .iter()
                    .all(|address| TcpStream::connect(address).is_ok())
        });
        if !answers || !matches!(child.try_wait(), Ok(None)) {
            let said = std::fs::read_to_string(&output_path).unwrap_or_default();
            drop(Self {
                peer,
                ops,
                child,
                pids: Vec::new(),
                cleartext,
                tls,
            });
            return Err(Failure::unexpected(format!(
                "{} does not serve: {said}",
                peer.name()
            )));
        }
        // Workers are forked after the listeners exist: give the tree time to be complete.
        sleep(Duration::from_millis(200));
        let pids = process::tree(child.id());
        Ok(Self {
            peer,
            ops,
            child,
            pids,
            cleartext,
            tls,
        })
    }

    /// How many lines its access log has dropped, where it may drop some.
    pub(crate) fn log_lines_dropped(&self) -> Result<Option<u64>, Failure> {
        match self.peer {
            Peer::Nginx | Peer::NginxLog | Peer::Haproxy => Ok(None),
            Peer::Plimsoll | Peer::PlimsollLog | Peer::PlimsollOff | Peer::PlimsollAll => {
                plimsoll::log_lines_dropped(self.ops)
                    .map(Some)
                    .ok_or_else(|| {
                        Failure::unexpected(
                            "Plimsoll's metrics do not say how many lines were dropped",
                        )
                    })
            }
        }
    }
}

impl Drop for Running {
    /// TERM first, so that a master ends its workers; KILL if that takes too long.
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let tree = process::tree(self.child.id());
        let send = |pid: u32, signal| {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
        };
        send(self.child.id(), Signal::TERM);
        let child = &mut self.child;
        let ended = wait_for(Duration::from_secs(2), || {
            !matches!(child.try_wait(), Ok(None))
        });
        if !ended {
            for pid in tree {
                send(pid, Signal::KILL);
            }
            if let Err(error) = self.child.wait() {
                eprintln!("bench: waiting for a proxy to end: {error}");
            }
        }
    }
}

/// A command that runs `program` on `core` only.
pub(crate) fn pinned(core: usize, program: &str) -> Command {
    let mut command = system("taskset");
    command.args(["--cpu-list", &core.to_string(), program]);
    command
}

/// A command of the system, also where its folder is not in a user's path.
fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// An address of this machine at which nobody listens now.
fn free_address() -> Result<SocketAddr, Failure> {
    let listener =
        TcpListener::bind("127.0.0.1:0").doing(|| "looking for a free port".to_owned())?;
    listener
        .local_addr()
        .doing(|| "looking for a free port".to_owned())
}

/// Writes a configuration file.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}
