//! What is measured: a real Plimsoll with many services, and one service of this bench behind all of them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client;
use crate::clock::wait_for;
use crate::failure::{Doing, Failure};

/// Until it serves.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A process that ends with its scope.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.kill().and_then(|()| self.0.wait()).is_err() {
            eprintln!("bench: a process had already ended");
        }
    }
}

/// See the module's docs.
pub(crate) struct Subject {
    plimsoll: Ends,
    _upstream: Ends,
    folder: PathBuf,
    pub(crate) gateway: SocketAddr,
    pub(crate) console: SocketAddr,
}

impl Subject {
    pub(crate) fn start(program: &Path, services: usize) -> Result<Self, Failure> {
        let folder =
            std::env::temp_dir().join(format!("plimsoll-bench-console-{}", std::process::id()));
        fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
        let (upstream, service) = upstream()?;
        let (gateway, console, ops) = (free_address()?, free_address()?, free_address()?);
        let file = folder.join("plimsoll.toml");
        let text = configuration(&folder, [gateway, console, ops], service, services);
        fs::write(&file, text).doing(|| format!("writing {}", file.display()))?;
        let said = folder.join("said");
        let said = File::create(&said).doing(|| format!("creating {}", said.display()))?;
        let process = Command::new(program)
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .doing(|| format!("starting {}", program.display()))?;
        let subject = Self {
            plimsoll: Ends(process),
            _upstream: upstream,
            folder,
            gateway,
            console,
        };
        let serves = || client::text(ops, "/readyz").is_ok_and(|it| it.starts_with("HTTP/1.1 200"));
        if !wait_for(START_TIME_MAX, serves) {
            let said = fs::read_to_string(subject.folder.join("said")).unwrap_or_default();
            return Err(Failure::unexpected(format!(
                "Plimsoll does not serve: {said}"
            )));
        }
        Ok(subject)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.plimsoll.0.id()
    }

    /// The file of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("state/plimsoll.db")
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("bench: removing {}: {error}", self.folder.display());
        }
    }
}

/// This program as the service.
fn upstream() -> Result<(Ends, SocketAddr), Failure> {
    let program = std::env::current_exe().doing(|| "looking for this program".to_owned())?;
    let mut child = Command::new(program)
        .arg("upstream")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing(|| "starting the upstream".to_owned())?;
    let output = child.stdout.take().map(BufReader::new);
    let child = Ends(child);
    let line = output.and_then(|output| output.lines().next());
    let address = line.and_then(|line| line.ok()?.parse().ok());
    let address =
        address.ok_or_else(|| Failure::unexpected("the upstream does not say its address"))?;
    Ok((child, address))
}

fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .doing(|| "looking for a free port".to_owned())
}

/// The path of a service.
pub(crate) fn path(service: usize) -> String {
    format!("/service-{service:03}/x")
}

fn configuration(
    folder: &Path,
    [gateway, console, ops]: [SocketAddr; 3],
    upstream: SocketAddr,
    services: usize,
) -> String {
    let here = folder.display();
    let mut text = format!(
        "[state]\npath = \"{here}/state\"\n\
         [gateway]\nlisten = [\"{gateway}\"]\n[gateway.log]\nto = \"{here}/access.log\"\n\
         [ops]\nlisten = \"{ops}\"\n[console]\nlisten = \"{console}\"\n"
    );
    for service in 0..services {
        let (name, owner) = (format!("service-{service:03}"), service % 20);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[service.{name}]\nowner = \"team-{owner}\"\ntier = {}\nendpoints = [\"http://{upstream}\"]\n\
             [service.{name}.objective.availability]\ntarget = \"99.9%\"\n\
             [service.{name}.objective.latency]\ntarget = \"99%\"\nbelow = \"250ms\"\n\
             [[route]]\nname = \"{name}\"\npath = \"/{name}/*\"\nservice = \"{name}\"\n",
            1 + service % 3
        );
    }
    text
}
