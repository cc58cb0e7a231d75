//! Runs one command after the other, and says which, how long each took, and which failed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why a task stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A step ran and found something wrong; what it found is already on the screen.
    Step(String),
    /// The call was wrong.
    Usage(String),
    /// A tool is missing; the text says how to install it.
    Tool(String),
}

impl Failure {
    /// The exit status that goes with it.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Step(_) => 1,
            Self::Usage(_) | Self::Tool(_) => 2,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(text) | Self::Usage(text) | Self::Tool(text) => f.write_str(text),
        }
    }
}

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or_else(|| own.clone(), PathBuf::from)
}

/// Runs `command` as the step `name`; its output goes to the screen.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<(), Failure> {
    timed(name, || {
        let status = command
            .status()
            .map_err(|error| cannot_start(command, &error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::Step(format!("{name} failed ({status})")))
        }
    })
}

/// Runs `command` as the step `name`, shows its standard output and gives each line to `line` as well.
/// Whether it succeeded is the answer.
pub(crate) fn step_lines(
    name: &str,
    command: &mut Command,
    mut line: impl FnMut(&str),
) -> Result<bool, Failure> {
    timed(name, || {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_start(command, &error))?;
        if let Some(output) = child.stdout.take() {
            for text in BufReader::new(output).split(b'\n') {
                let text =
                    text.map_err(|error| Failure::Step(format!("reading {name}: {error}")))?;
                let text = String::from_utf8_lossy(&text);
                println!("{text}");
                line(&text);
            }
        }
        let status = child
            .wait()
            .map_err(|error| Failure::Step(format!("waiting for {name}: {error}")))?;
        Ok(status.success())
    })
}

/// What `command` writes to standard output; its errors go to the screen.
pub(crate) fn output(name: &str, command: &mut Command) -> Result<Vec<u8>, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Step(format!("{name} failed ({})", output.status)))
    }
}

/// Runs `work` as the step `name`, and says how long it took.
pub(crate) fn timed<T>(
    name: &str,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    println!("\n=== {name}");
    let start = now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "FAILED" };
    println!("=== {name}: {verdict} in {}", seconds(start.elapsed()));
    result
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock: for step timings"
)]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::Tool(format!(
        "starting {}: {error}",
        command.get_program().display()
    ))
}
