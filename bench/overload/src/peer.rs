//! The proxies under test: each is started for one run, pinned, and stopped after it.

mod haproxy;
mod nginx;
mod plimsoll;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use crate::clock::{sleep, wait_for};
use crate::failure::{Doing, Failure};
use crate::{plan, process};

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
    child: Child,
    /// The whole process tree.
    pub(crate) pids: Vec<u32>,
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
        let folder = folder.join("proxy");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).doing(|| format!("emptying {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let address = free_address()?;
        let setting = Setting {
            folder,
            listen: address,
            upstreams,
            shape,
        };
        let (program, arguments) = match row {
            Row::NginxDefault => nginx::default(&setting)?,
            Row::NginxTuned => nginx::tuned(&setting, false)?,
            Row::NginxAddress => nginx::tuned(&setting, true)?,
            Row::HaproxyDefault => haproxy::default(&setting)?,
            Row::HaproxyTuned => haproxy::tuned(&setting, false)?,
            Row::HaproxyAddress => haproxy::tuned(&setting, true)?,
            Row::Plimsoll => plimsoll::prepare(&setting, binary, false)?,
            Row::PlimsollObjective => plimsoll::prepare(&setting, binary, true)?,
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
            !matches!(child.try_wait(), Ok(None)) || TcpStream::connect(address).is_ok()
        });
        // Workers are forked after the listeners exist: give the tree time to be complete.
        sleep(Duration::from_millis(200));
        let serves = answers && matches!(child.try_wait(), Ok(None));
        let running = Self {
            pids: process::tree(child.id()),
            child,
            address,
        };
        if serves {
            return Ok(running);
        }
        drop(running);
        let said = std::fs::read_to_string(&output_path).unwrap_or_default();
        Err(Failure::unexpected(format!(
            "{} does not serve: {said}",
            row.name()
        )))
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
        let child = &mut self.child;
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        send(child.id(), Signal::TERM);
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

/// A command that runs `program` on `core` only, and that the kernel ends with TERM should this process die in any
/// way, Ctrl-C and KILL included, where `setpriv` is installed.
fn pinned(core: usize, program: &str) -> Command {
    let has_setpriv = !first_line(system("setpriv").arg("--version")).is_empty();
    let mut command = if has_setpriv {
        let mut command = system("setpriv");
        command.args(["--pdeathsig", "TERM", "taskset"]);
        command
    } else {
        system("taskset")
    };
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
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// An address of this machine at which nobody listens now.
fn free_address() -> Result<SocketAddr, Failure> {
    let doing = || "looking for a free port".to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
    listener.local_addr().doing(doing)
}

/// Writes a configuration file, and says where it is.
fn write(path: &Path, text: &str) -> Result<String, Failure> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}
