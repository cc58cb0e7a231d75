//! The access log: one JSON object per line, for every bad or slow request and a sample of the rest.
//!
//! A request never waits for it: lines go through a bounded queue to a thread of its own, and what does not
//! fit is counted, as is what can't be written. Nor does the control plane: a reader that stopped reading
//! holds the writer's thread, and nobody else. Query strings and header values that the configuration
//! redacts are never written.
//!
//! The latest lines stay in memory, also where none are written: what became of a request can be asked.

mod recorder;

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_config::LogTarget;
use tokio::sync::Notify;

use recorder::Recorder;
pub use recorder::TenantTally;

/// Batches that may wait, and how large one grows: 4 MiB in all.
const BATCHES_MAX: usize = 128;
const BATCH_BYTES: usize = 32 * 1024;
/// How long a line may wait for others: handing each one over by itself would wake the writer each time.
const BATCH_EVERY: Duration = Duration::from_millis(20);
/// How long a line that was written may stay in the buffer.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// What the writer is given.
#[derive(Debug)]
enum Message {
    /// Whole lines, and how many.
    Lines(Vec<u8>, u64),
    /// Look at [`Told`].
    Wake,
}

/// What the writer is told beside the queue, which may be full.
#[derive(Debug, Default)]
struct Told {
    target: Mutex<Option<LogTarget>>,
    closing: AtomicBool,
    dropped: AtomicU64,
    recorder: Mutex<Recorder>,
}

/// Hands lines to the writer.
#[derive(Clone, Debug)]
pub struct AccessLogSender {
    lines: SyncSender<Message>,
    told: Arc<Told>,
}

/// The writer's end, held by the binary.
#[derive(Debug)]
pub struct AccessLogWriter {
    sender: AccessLogSender,
    ended: Receiver<()>,
}

/// The access log can't be written where the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("opening the access log {path}")]
pub struct AccessLogError {
    path: String,
    #[source]
    source: io::Error,
}

/// One thread's lines on their way to the writer.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sender: AccessLogSender,
    batch: RefCell<(Vec<u8>, u64)>,
    begun: Notify,
}

impl AccessLog {
    pub(crate) fn new(sender: AccessLogSender) -> Self {
        Self {
            sender,
            batch: RefCell::default(),
            begun: Notify::new(),
        }
    }

    /// Adds the line that `write` appends.
    pub(crate) fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let (begins, full) = {
            let mut batch = self.batch.borrow_mut();
            write(&mut batch.0);
            batch.1 += 1;
            (batch.1 == 1, batch.0.len() >= BATCH_BYTES)
        };
        if full {
            self.flush();
        } else if begins {
            self.begun.notify_one();
        }
    }

    /// Hands over what there is; it is dropped and counted if the writer does not keep up.
    pub(crate) fn flush(&self) {
        let (text, count) = std::mem::take(&mut *self.batch.borrow_mut());
        if count > 0
            && self
                .sender
                .lines
                .try_send(Message::Lines(text, count))
                .is_err()
        {
            self.sender.told.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Hands batches over in time, for ever.
    pub(crate) async fn run(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(BATCH_EVERY).await;
            self.flush();
        }
    }
}

impl AccessLogSender {
    /// How many lines were dropped: because the writer did not keep up, or because they can't be written.
    pub fn dropped(&self) -> u64 {
        self.told.dropped.load(Ordering::Relaxed)
    }

    /// The line of a request or of a trace, if it is among the latest: a JSON object. Reads up to 16 MiB.
    pub fn find(&self, id: &str) -> Option<String> {
        // The control thread writes down whose requests went wrong meanwhile.
        let batches = self.told.recorder().batches();
        recorder::find(&batches, id)
    }

    /// What tenants asked of a service within the last half minute, or the last whole one; the one with most bad
    /// requests first.
    pub fn tenants(&self, service: &str) -> Vec<TenantTally> {
        self.told.recorder().tenants(service)
    }

    /// Half a minute is over: what is older than it is left out of [`Self::tenants`] from now on.
    pub fn on_half_minute(&self) {
        self.told.recorder().on_half_minute();
    }
}

impl Told {
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        let recorder = &self.recorder;
        recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessLogWriter {
    /// Opens the target and starts the writer.
    pub fn start(target: &LogTarget) -> Result<Self, AccessLogError> {
        let output = open(target)?;
        let (lines, receiver) = sync_channel(BATCHES_MAX);
        let (ending, ended) = sync_channel(1);
        let told = Arc::<Told>::default();
        let writer_told = Arc::clone(&told);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                write_lines(&receiver, output, &writer_told);
                let _nobody_waits = ending.try_send(());
            })
            .map_err(|source| AccessLogError {
                path: "thread".to_owned(),
                source,
            })?;
        Ok(Self {
            sender: AccessLogSender { lines, told },
            ended,
        })
    }

    /// For the data plane.
    pub fn sender(&self) -> AccessLogSender {
        self.sender.clone()
    }

    /// Opens the target anew, as after a rotation; keeps the old one if that fails.
    pub fn reopen(&self, target: &LogTarget) -> Result<(), AccessLogError> {
        open(target)?;
        *self
            .sender
            .told
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(target.clone());
        self.wake();
        Ok(())
    }

    /// Writes what is queued and ends; waits for it no longer than `within`, as nobody may be reading.
    pub fn close(self, within: Duration) {
        self.sender.told.closing.store(true, Ordering::Release);
        self.wake();
        if self.ended.recv_timeout(within).is_err() {
            tracing::warn!("nobody takes the access log: its last lines are lost");
        }
    }

    fn wake(&self) {
        // A full queue wakes the writer as well.
        let _awake = self.sender.lines.try_send(Message::Wake);
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

fn write_lines(receiver: &Receiver<Message>, mut output: Output, told: &Told) {
    let mut failing = false;
    let mut unflushed = false;
    loop {
        // What was written leaves within 100 ms, so that `tail -f` is of use, and at once when it is quiet.
        let message = if told.closing.load(Ordering::Acquire) {
            // What is queued, and no more.
            receiver
                .try_recv()
                .map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(FLUSH_EVERY)
        };
        match message {
            Ok(Message::Lines(text, count)) => {
                let result = output.write(&text);
                if result.is_err() {
                    told.dropped.fetch_add(count, Ordering::Relaxed);
                }
                report(result, &mut failing);
                unflushed = true;
                told.recorder().add(text);
            }
            Ok(Message::Wake) => (),
            Err(RecvTimeoutError::Timeout) => {
                if unflushed {
                    report(output.flush(), &mut failing);
                    unflushed = false;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let target = told
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(target) = target {
            report(output.flush(), &mut failing);
            if let Ok(new) = open(&target) {
                output = new;
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
