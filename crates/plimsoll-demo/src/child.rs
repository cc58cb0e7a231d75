//! Child processes that end when the demo ends, whatever ended it.
//!
//! Parts of the demo end with their input. Other programs are started through `demo-part under`, which
//! asks the kernel to end them with their parent before it becomes them. Both also end on drop.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

/// A process of the demo.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    /// What it wrote to standard error, and for other programs to standard output.
    log: PathBuf,
}

/// A process can't be started.
#[derive(Debug, thiserror::Error)]
#[error("starting {name}")]
pub(crate) struct StartError {
    name: String,
    #[source]
    source: io::Error,
}

impl Child {
    /// Starts a part of the demo; every line it writes becomes an event on `events`.
    pub(crate) fn part<T, E>(
        name: &str,
        args: &[&str],
        folder: &Path,
        events: UnboundedSender<E>,
        event: impl Fn(T) -> E + Send + 'static,
    ) -> Result<Self, StartError>
    where
        T: DeserializeOwned,
        E: Send + 'static,
    {
        let mut child = Self::start(
            name,
            &[&["demo-part"], args].concat(),
            folder,
            |command, _| {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                Ok(())
            },
        )?;
        if let Some(out) = child.process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let Ok(value) = serde_json::from_str(&line) else {
                        continue;
                    };
                    if events.send(event(value)).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(child)
    }

    /// Starts another program.
    pub(crate) fn program(
        name: &str,
        program: &Path,
        args: &[String],
        folder: &Path,
    ) -> Result<Self, StartError> {
        let parent = std::process::id().to_string();
        let program = program.to_string_lossy();
        let mut all = vec!["demo-part", "under", &parent, &program];
        all.extend(args.iter().map(String::as_str));
        Self::start(name, &all, folder, |command, log| {
            command.stdin(Stdio::null()).stdout(log.try_clone()?);
            Ok(())
        })
    }

    fn start(
        name: &str,
        args: &[&str],
        folder: &Path,
        streams: impl FnOnce(&mut Command, &File) -> io::Result<()>,
    ) -> Result<Self, StartError> {
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let spawn = || {
            let file = File::create(&log)?;
            let mut command = Command::new(std::env::current_exe()?);
            command.args(args);
            streams(&mut command, &file)?;
            // A group of its own: ^C on the terminal is for the demo, which then ends them in order.
            command.stderr(file).process_group(0).spawn()
        };
        match spawn() {
            Ok(process) => Ok(Self {
                name: name.to_owned(),
                process,
                log,
            }),
            Err(source) => Err(StartError {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Writes one line to its input. A process that is gone is noticed by [`Child::ended`].
    pub(crate) fn tell(&mut self, order: &impl Serialize) {
        if let (Some(input), Ok(mut line)) =
            (self.process.stdin.as_mut(), serde_json::to_vec(order))
        {
            line.push(b'\n');
            let _ = input.write_all(&line).and_then(|()| input.flush());
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// If it has ended, a sentence about that, with the last lines it wrote.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(8)..)
            .unwrap_or_default()
            .join("\n  ");
        Some(format!(
            "{} ended ({status}); its last words:\n  {last}",
            self.name
        ))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already gone is just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An error with all its causes, in one line.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// Becomes `program`, to be killed when process `parent` ends. Returns only if that fails: why.
pub(crate) fn become_program(parent: &str, program: &str, args: &[&str]) -> String {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            return format!("asking to end with process {parent}: {error}");
        }
        let parent_now = getppid().map(Pid::as_raw_nonzero).map(|id| id.to_string());
        if parent_now.as_deref() != Some(parent) {
            return format!("process {parent} is gone already");
        }
    }
    let error = Command::new(program).args(args).exec();
    format!("running {program}: {error}")
}
