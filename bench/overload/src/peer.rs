//! The proxies under test: each is started for one run, pinned, and stopped after it.

mod haproxy;
mod nginx;
mod plimsoll;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::command::{first_line, free_address, system, write};
use crate::failure::Failure;
use crate::proxy::{self, Proxy};

/// A proxy in one set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// As the distribution's package comes, with the one line that names the service.
    NginxDefault,
    /// With limits by one who knows the capacity.
    NginxTuned,
    /// The same, by one who also knows what one address may need.
    NginxAddress,
    HaproxyDefault,
    HaproxyTuned,
    HaproxyAddress,
    /// No number given.
    Plimsoll,
    /// The objective is declared, nothing else.
    PlimsollObjective,
}

impl Row {
    pub(crate) const ALL: [Self; 8] = [
        Self::NginxDefault,
        Self::NginxTuned,
        Self::NginxAddress,
        Self::HaproxyDefault,
        Self::HaproxyTuned,
        Self::HaproxyAddress,
        Self::Plimsoll,
        Self::PlimsollObjective,
    ];

    /// The word in `--rows` and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NginxDefault => "nginx-default",
            Self::NginxTuned => "nginx-tuned",
            Self::NginxAddress => "nginx-address",
            Self::HaproxyDefault => "haproxy-default",
            Self::HaproxyTuned => "haproxy-tuned",
            Self::HaproxyAddress => "haproxy-address",
            Self::Plimsoll => "plimsoll",
            Self::PlimsollObjective => "plimsoll-objective",
        }
    }

    /// Limits per address are of interest only where addresses differ.
    pub(crate) fn is_for_addresses(self) -> bool {
        matches!(self, Self::NginxAddress | Self::HaproxyAddress)
    }

    /// What it says its version is; empty where it is not installed.
    pub(crate) fn version(self, plimsoll: &Path) -> String {
        match self {
            Self::NginxDefault | Self::NginxTuned | Self::NginxAddress => {
                first_line(system("nginx").arg("-v"))
            }
            Self::HaproxyDefault | Self::HaproxyTuned | Self::HaproxyAddress => {
                first_line(system("haproxy").arg("-v"))
            }
            Self::Plimsoll | Self::PlimsollObjective => {
                first_line(Command::new(plimsoll).arg("--version"))
            }
        }
    }
}

impl FromStr for Row {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|row| row.name() == name);
        found.ok_or_else(|| Failure::usage(format!("there is no row `{name}`")))
    }
}

/// What the operator declares of the traffic, each proxy in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `/critical` comes first.
    pub(crate) classes: bool,
    /// `x-api-key` names the tenant.
    pub(crate) keys: bool,
}

/// What a proxy is given.
struct Setting<'a> {
    /// A folder of its own, empty.
    folder: PathBuf,
    listen: SocketAddr,
    upstreams: &'a [SocketAddr],
    shape: Shape,
}

/// A proxy that serves. Dropping it stops it.
pub(crate) struct Running {
    proxy: Proxy,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts `row`, and waits until it listens.
    pub(crate) fn start(
        row: Row,
        shape: Shape,
        upstreams: &[SocketAddr],
        binary: &Path,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let folder = proxy::folder_in(folder)?;
        let address = free_address()?;
        let setting = Setting {
            folder,
            listen: address,
            upstreams,
            shape,
        };
        let call = match row {
            Row::NginxDefault => nginx::default(&setting)?,
            Row::NginxTuned => nginx::tuned(&setting, false)?,
            Row::NginxAddress => nginx::tuned(&setting, true)?,
            Row::HaproxyDefault => haproxy::default(&setting)?,
            Row::HaproxyTuned => haproxy::tuned(&setting, false)?,
            Row::HaproxyAddress => haproxy::tuned(&setting, true)?,
            Row::Plimsoll => plimsoll::prepare(&setting, binary, false)?,
            Row::PlimsollObjective => plimsoll::prepare(&setting, binary, true)?,
        };
        Ok(Self {
            proxy: Proxy::start(row.name(), call, &[address], &setting.folder)?,
            address,
        })
    }

    /// The whole process tree.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.proxy.pids
    }
}
