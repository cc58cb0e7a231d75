//! A proxy under test: started for one cell, on a core of its own, and stopped after it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::clock::{sleep, wait_for};
use crate::command::{PROXY_CORE, pinned};
use crate::failure::{Doing, Failure};
use crate::process;

/// Until it listens.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A program with its arguments.
pub type Call = (String, Vec<String>);

/// A proxy that serves. Dropping it stops it.
pub struct Proxy {
    child: Child,
    /// The whole process tree.
    pub pids: Vec<u32>,
}

impl Proxy {
    /// Starts it with `folder` for what it says, and waits until it listens at all of `addresses`.
    pub fn start(
        name: &str,
        (program, arguments): Call,
        addresses: &[SocketAddr],
        folder: &Path,
    ) -> Result<Self, Failure> {
        let output_path = folder.join("output");
        let output = std::fs::File::create(&output_path)
            .doing(|| format!("creating {}", output_path.display()))?;
        let errors = output.try_clone().doing(|| "sharing a file".to_owned())?;
        let mut child = pinned(PROXY_CORE, &program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing(|| format!("starting {program}"))?;
        let listens = |address| TcpStream::connect(address).is_ok();
        let answers = wait_for(START_TIME_MAX, || {
            !matches!(child.try_wait(), Ok(None)) || addresses.iter().all(listens)
        });
        // Workers are forked after the listeners exist: give the tree time to be complete.
        sleep(Duration::from_millis(200));
        let serves = answers && matches!(child.try_wait(), Ok(None));
        let proxy = Self {
            pids: process::tree(child.id()),
            child,
        };
        if serves {
            return Ok(proxy);
        }
        drop(proxy);
        let said = std::fs::read_to_string(&output_path).unwrap_or_default();
        Err(Failure::unexpected(format!(
            "{name} does not serve: {said}"
        )))
    }

    /// Looks again which processes belong to it.
    pub fn look_again(&mut self) {
        self.pids = process::tree(self.child.id());
    }
}

impl Drop for Proxy {
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

/// An empty folder for a proxy, in that of the run.
pub fn folder_in(folder: &Path) -> Result<PathBuf, Failure> {
    let folder = folder.join("proxy");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).doing(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
