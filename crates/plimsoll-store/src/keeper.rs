//! The thread that writes to the store, so that nobody else waits for a disk.
//!
//! It is told what to write over a queue with a bound. While the store fails, records wait in memory, in order; what no
//! longer fits is counted, and once the store works again the loss is a record of its own, a `gap`. Whoever needs to know
//! that a record is durable gets an [`Appended`] to wait for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_core::Timestamp;
use serde_json::json;

use crate::record::{BODY_BYTES_MAX, Entry, Record};
use crate::store::{Store, StoreError};

/// How many entries wait at most, while the store fails.
const WAITING_MAX: usize = 4_096;
/// How many messages wait for the thread at most.
const QUEUE: usize = 1_024;
/// How long after a failure the store is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module's docs. Dropping it writes what waits, once more, and ends the thread.
#[derive(Debug)]
pub struct Keeper {
    send: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    view: Arc<Mutex<KeeperView>>,
    /// What did not even get into the queue.
    lost: Arc<AtomicU64>,
}

/// How the keeper is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperView {
    /// Entries that wait for the store.
    pub waiting: usize,
    /// Entries that were lost since the process began.
    pub lost: u64,
    /// Since when the store fails, and how; `None`: it works.
    pub failing: Option<(Timestamp, String)>,
    /// The last record that is durable: its sequence and hash, in hex.
    pub last: Option<(u64, String)>,
}

/// What becomes of an entry.
#[derive(Debug)]
pub struct Appended(Receiver<Result<Record, String>>);

impl Appended {
    /// Waits until the record is durable, or the store can't write it now. Then it is written later, if it can be, and the
    /// error says so.
    pub fn wait(self, longest: Duration) -> Result<Record, String> {
        match self.0.recv_timeout(longest) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err("the store has not answered yet; the record waits for it".to_owned())
            }
            Err(RecvTimeoutError::Disconnected) => Err("the record was lost".to_owned()),
        }
    }
}

type Work = Box<dyn FnOnce(&mut dyn Store) -> Result<(), StoreError> + Send>;

type Tell = SyncSender<Result<Record, String>>;

enum Message {
    Append(Entry, Option<Tell>),
    Do(Work),
}

impl Keeper {
    /// Begins a thread that writes to a store. `clock` tells the time of gaps.
    pub fn new(
        store: Box<dyn Store>,
        clock: impl Fn() -> Timestamp + Send + 'static,
    ) -> std::io::Result<Self> {
        let (send, receive) = mpsc::sync_channel(QUEUE);
        let view = Arc::new(Mutex::new(KeeperView::default()));
        let lost = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            store,
            clock: Box::new(clock),
            view: Arc::clone(&view),
            waiting: VecDeque::new(),
            gap: None,
            refused: Arc::clone(&lost),
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || worker.run(&receive))?;
        Ok(Self {
            send: Some(send),
            thread: Some(thread),
            view,
            lost,
        })
    }

    /// Has an entry written, some time. Never waits: where even the queue is full, the entry is lost and counted. So
    /// is one with a body that is too large.
    pub fn append(&self, entry: Entry) {
        self.send(entry, None);
    }

    /// The same, with word of it.
    pub fn append_and_tell(&self, entry: Entry) -> Appended {
        let (tell, told) = mpsc::sync_channel(1);
        self.send(entry, Some(tell));
        Appended(told)
    }

    /// Has something else done with the store, after all that was asked for before. Says whether it will be.
    pub fn ask(
        &self,
        work: impl FnOnce(&mut dyn Store) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let send = self.send.as_ref();
        send.is_some_and(|send| send.try_send(Message::Do(Box::new(work))).is_ok())
    }

    /// How it is.
    pub fn view(&self) -> KeeperView {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = view.clone();
        view.lost += self.lost.load(Ordering::Relaxed);
        view
    }

    fn send(&self, entry: Entry, tell: Option<Tell>) {
        // It would never be written, and all that came after it would wait.
        let fits = entry.body.len() <= BODY_BYTES_MAX;
        let message = Message::Append(entry, tell);
        let send = self.send.as_ref().filter(|_| fits);
        if send.is_none_or(|send| send.try_send(message).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say here; the panic was reported where it was.
            let _ended = thread.join();
        }
    }
}

struct Worker {
    store: Box<dyn Store>,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    view: Arc<Mutex<KeeperView>>,
    waiting: VecDeque<(Entry, Option<Tell>)>,
    /// What was lost and is not recorded yet: how many, and from when to when.
    gap: Option<(u64, Timestamp, Timestamp)>,
    /// What did not even get here.
    refused: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self, receive: &Receiver<Message>) {
        loop {
            let message = match self.waiting.is_empty() && self.gap.is_none() {
                true => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => receive.recv_timeout(AGAIN),
            };
            match message {
                Ok(Message::Append(entry, tell)) => {
                    self.take(entry, tell);
                    let mut work = None;
                    // What came meanwhile shares the disk's turn.
                    while self.waiting.len() < WAITING_MAX && work.is_none() {
                        match receive.try_recv() {
                            Ok(Message::Append(entry, tell)) => self.take(entry, tell),
                            Ok(Message::Do(next)) => work = Some(next),
                            Err(_) => break,
                        }
                    }
                    self.write_waiting();
                    if let Some(work) = work {
                        self.work(work);
                    }
                }
                Ok(Message::Do(work)) => self.work(work),
                Err(RecvTimeoutError::Timeout) => self.write_waiting(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write_waiting();
                    return;
                }
            }
        }
    }

    fn work(&mut self, work: Work) {
        if let Err(error) = work(self.store.as_mut()) {
            self.failed(&error);
        }
    }

    fn take(&mut self, entry: Entry, tell: Option<Tell>) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((entry, tell));
        } else {
            // Whoever waits for it is told by the sender that goes.
            self.lose(entry.at);
        }
    }

    /// Writes all that waits, and what was lost before it.
    fn write_waiting(&mut self) {
        let now = (self.clock)();
        for _ in 0..self.refused.swap(0, Ordering::Relaxed) {
            self.lose(now);
        }
        let mut entries: Vec<Entry> = self.waiting.iter().map(|(it, _)| it.clone()).collect();
        if let Some((lost, from, to)) = self.gap {
            let body = json!({
                "lost": lost,
                "from": from.to_rfc3339(),
                "to": to.to_rfc3339(),
            });
            entries.push(Entry {
                at: now,
                kind: "gap".to_owned(),
                subject: "journal".to_owned(),
                cites: None,
                body: body.to_string().into_bytes(),
            });
        }
        match self.store.append(&entries) {
            Ok(records) => {
                self.gap = None;
                let last = records.last().map(|it| (it.sequence, it.hash.to_string()));
                let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
                view.waiting = 0;
                view.failing = None;
                view.last = last.or_else(|| view.last.take());
                drop(view);
                // A gap has nobody who waits for it.
                for ((_, tell), record) in self.waiting.drain(..).zip(records) {
                    say(tell, Ok(record));
                }
            }
            Err(error) => {
                for (_, tell) in &mut self.waiting {
                    let said = format!("{}; the record waits in memory", describe(&error));
                    say(tell.take(), Err(said));
                }
                self.failed(&error);
            }
        }
    }

    fn lose(&mut self, at: Timestamp) {
        self.gap = Some(match self.gap {
            Some((lost, from, _)) => (lost + 1, from, at),
            None => (1, at, at),
        });
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.lost += 1;
    }

    fn failed(&mut self, error: &StoreError) {
        let now = (self.clock)();
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.waiting = self.waiting.len();
        let since = view.failing.as_ref().map_or(now, |(since, _)| *since);
        if view.failing.is_none() {
            tracing::warn!(error = %describe(error), "the store fails; serving goes on, records wait in memory");
        }
        view.failing = Some((since, describe(error)));
    }
}

fn say(tell: Option<Tell>, said: Result<Record, String>) {
    if let Some(tell) = tell {
        // Nobody may wait for it any more.
        let _nobody = tell.try_send(said);
    }
}

fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
