//! The access log: one JSON object per line, for every bad or slow request and a sample of the rest.
//!
//! A request never waits for it: lines go through a bounded queue to a thread of its own, and what does not
//! fit is counted. Query strings and header values that the configuration redacts are never written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_config::LogTarget;

/// Lines that may wait. At 400 bytes each, 3 MiB.
const LINES_MAX: usize = 8 * 1024;

/// What the writer is told.
enum Message {
    Line(Vec<u8>),
    Target(LogTarget),
    Flush,
}

/// Hands lines to the writer.
#[derive(Clone, Debug)]
pub struct AccessLogSender {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// The writer's end, held by the binary.
#[derive(Debug)]
pub struct AccessLogWriter {
    sender: AccessLogSender,
    thread: Option<JoinHandle<()>>,
}

/// The access log can't be written where the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("opening the access log {path}")]
pub struct AccessLogError {
    path: String,
    #[source]
    source: io::Error,
}

impl AccessLogSender {
    /// Queues a line; it is dropped and counted if the writer does not keep up.
    pub(crate) fn send(&self, line: Vec<u8>) {
        match self.lines.try_send(Message::Line(line)) {
            Ok(()) => (),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many lines were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AccessLogWriter {
    /// Opens the target and starts the writer.
    pub fn start(target: &LogTarget) -> Result<Self, AccessLogError> {
        let output = open(target)?;
        let (lines, receiver) = sync_channel(LINES_MAX);
        let dropped = Arc::default();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&receiver, output))
            .map_err(|source| AccessLogError {
                path: "thread".to_owned(),
                source,
            })?;
        Ok(Self {
            sender: AccessLogSender { lines, dropped },
            thread: Some(thread),
        })
    }

    /// For the data plane.
    pub fn sender(&self) -> AccessLogSender {
        self.sender.clone()
    }

    /// Opens the target anew, as after a rotation; keeps the old one if that fails.
    pub fn reopen(&self, target: &LogTarget) -> Result<(), AccessLogError> {
        open(target)?;
        // The writer opens it again; a full queue means that it is alive and behind, so this may wait.
        let _writer_is_gone = self.sender.lines.send(Message::Target(target.clone()));
        Ok(())
    }

    /// Writes what is queued, and ends once every sender is gone.
    pub fn close(mut self) {
        let _writer_is_gone = self.sender.lines.send(Message::Flush);
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }
}

enum Output {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
    Off,
}

fn open(target: &LogTarget) -> Result<Output, AccessLogError> {
    match target {
        LogTarget::Stdout => Ok(Output::Stdout(BufWriter::with_capacity(
            64 * 1024,
            io::stdout(),
        ))),
        LogTarget::Off => Ok(Output::Off),
        LogTarget::File(path) => {
            open_file(path).map(|file| Output::File(BufWriter::with_capacity(64 * 1024, file)))
        }
    }
}

fn open_file(path: &Path) -> Result<File, AccessLogError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| AccessLogError {
            path: path.display().to_string(),
            source,
        })
}

impl Output {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(output) => output.write_all(line),
            Self::File(output) => output.write_all(line),
            Self::Off => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(output) => output.flush(),
            Self::File(output) => output.flush(),
            Self::Off => Ok(()),
        }
    }
}

fn write_lines(receiver: &Receiver<Message>, mut output: Output) {
    let mut failing = false;
    let mut unflushed = false;
    loop {
        // What was written leaves within 100 ms, so that `tail -f` is of use, and at once when it is quiet.
        let message = match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                if unflushed {
                    report(output.flush(), &mut failing);
                    unflushed = false;
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match message {
            Message::Line(line) => {
                report(output.write(&line), &mut failing);
                unflushed = true;
            }
            Message::Target(target) => {
                report(output.flush(), &mut failing);
                if let Ok(new) = open(&target) {
                    output = new;
                }
            }
            Message::Flush => {
                report(output.flush(), &mut failing);
                unflushed = false;
            }
        }
    }
    report(output.flush(), &mut failing);
}

/// Says once that writing fails, and once that it works again.
fn report(result: io::Result<()>, failing: &mut bool) {
    match result {
        Ok(()) if *failing => {
            *failing = false;
            tracing::info!("the access log can be written again");
        }
        Err(error) if !*failing => {
            *failing = true;
            tracing::warn!(%error, "the access log can't be written: its lines are lost");
        }
        _ => (),
    }
}
