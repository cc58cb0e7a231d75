//! The proxies under test: each is started for one cell, pinned, and stopped after it.

mod haproxy;
mod nginx;
mod plimsoll;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use plimsoll_bench_common::plimsoll::log_lines_dropped;

use self::plimsoll::Protect;
use crate::command::{first_line, free_address, system, write};
use crate::failure::Failure;
use crate::proxy::{self, Proxy};

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
    proxy: Proxy,
    peer: Peer,
    ops: SocketAddr,
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
        let folder = proxy::folder_in(folder)?;
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
        let call = match peer {
            Peer::Nginx => nginx::prepare(&setting, false)?,
            Peer::NginxLog => nginx::prepare(&setting, true)?,
            Peer::Haproxy => haproxy::prepare(&setting)?,
            Peer::Plimsoll => plimsoll::prepare(&setting, "1%", Protect::Default)?,
            Peer::PlimsollLog => plimsoll::prepare(&setting, "100%", Protect::Default)?,
            Peer::PlimsollOff => plimsoll::prepare(&setting, "1%", Protect::Off)?,
            Peer::PlimsollAll => plimsoll::prepare(&setting, "1%", Protect::All)?,
        };
        Ok(Self {
            proxy: Proxy::start(peer.name(), call, &[cleartext, tls], &setting.folder)?,
            peer,
            ops,
            cleartext,
            tls,
        })
    }

    /// The whole process tree.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.proxy.pids
    }

    /// How many lines its access log has dropped, where it may drop some.
    pub(crate) fn log_lines_dropped(&self) -> Result<Option<u64>, Failure> {
        match self.peer {
            Peer::Nginx | Peer::NginxLog | Peer::Haproxy => Ok(None),
            Peer::Plimsoll | Peer::PlimsollLog | Peer::PlimsollOff | Peer::PlimsollAll => {
                log_lines_dropped(self.ops).map(Some)
            }
        }
    }
}
