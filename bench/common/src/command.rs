//! Commands of the system and their cores; addresses and files for what they start.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Doing, Failure};

/// The proxy's core, alone.
pub const PROXY_CORE: usize = 0;
/// The core of load and upstream.
pub const LOAD_CORE: usize = 1;

/// Refuses a machine on which proxy and load would share a core.
pub fn need_two_cores() -> Result<(), Failure> {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        0 | 1 => Err(Failure::unexpected(
            "two cores are needed: one for the proxy, one for the load",
        )),
        _ => Ok(()),
    }
}

/// A command that runs `program` on `core` only, and that the kernel ends with TERM should this process die in any
/// way, Ctrl-C and KILL included, where `setpriv` is installed.
pub fn pinned(core: usize, program: &str) -> Command {
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
pub fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// What `command` prints, in one line; empty if it cannot be run.
pub fn first_line(command: &mut Command) -> String {
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

/// This program, to start it as upstream and as load.
pub fn own_program() -> Result<String, Failure> {
    let path = std::env::current_exe().doing(|| "finding our own program".to_owned())?;
    Ok(path.to_string_lossy().into_owned())
}

/// An address of this machine at which nobody listens now.
pub fn free_address() -> Result<SocketAddr, Failure> {
    let doing = || "looking for a free port".to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
    listener.local_addr().doing(doing)
}

/// Writes a file, with its folder, and says where it is.
pub fn write(path: &Path, text: &str) -> Result<String, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}
