//! The thread that writes to the store, so that nobody else waits for a disk.
//!
//! It is told what to write over a queue with a bound. While the store fails, records wait in memory, in order; what no
//! longer fits is counted, and once the store works again the loss is a record of its own, a `gap`. Whoever needs to know
//! that a record is durable gets an [`Appended`] to wait for. The store is opened here too, and again where it has to be:
//! one that can't be opened is one that fails, and so is one that does not answer: nobody waits for a disk that hangs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_core::Timestamp;
use serde_json::json;

use crate::record::{BODY_BYTES_MAX, Entry, Record};
use crate::store::{Store, StoreError};

/// How many entries wait at most, while the store fails.
const WAITING_MAX: usize = 4_096;
/// How many bytes of bodies wait at most, while the store fails.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// How many messages wait for the thread at most.
const QUEUE: usize = 1_024;
/// How long after a failure the store is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A store that has not answered for so long fails. The longest that SQLite waits for a lock is well below.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// See the module's docs. Dropping it writes what waits, once more, and ends the thread; one that hangs is left behind.
pub struct Keeper {
    send: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
    view: Arc<Mutex<KeeperView>>,
    flow: Arc<Flow>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What is known of the thread while it is with the store.
#[derive(Debug, Default)]
struct Flow {
    /// Entries in the queue.
    queued: AtomicUsize,
    /// Entries that did not even get into the queue, and are in no gap yet.
    lost: AtomicU64,
    /// Since when it is with the store, in nanoseconds since the epoch; 0: it is not.
    busy_since: AtomicU64,
}

/// How the keeper is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperView {
    /// Entries that wait for the store.
    pub waiting: usize,
    /// Entries that were lost since the process began.
    pub lost: u64,
    /// Records that were written since the process began.
    pub written: u64,
    /// Whether the store was opened; `false` too before the first try.
    pub open: bool,
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

type Open = Box<dyn FnMut() -> Result<Box<dyn Store>, StoreError> + Send>;

type Tell = Box<dyn FnOnce(Result<Record, String>) + Send>;

/// A change of the state, and the record of it.
pub struct Change {
    /// The record.
    pub entry: Entry,
    /// What is set.
    pub key: String,
    /// The version that it must still have; `None`: whatever it has.
    pub expected: Option<u64>,
    /// To what, told the record; `None` deletes it.
    pub value: ValueOf,
}

/// What a value is, told the record of its change.
pub type ValueOf = Box<dyn Fn(&Record) -> Option<Vec<u8>> + Send>;

/// Why a change was not made. Nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// Somebody else changed it before.
    Conflict,
    /// The store fails, and how.
    Failed(String),
}

type TellChanged = Box<dyn FnOnce(Result<(Record, u64), NotChanged>) + Send>;

enum Message {
    Append(Entry, Option<Tell>),
    Change(Box<Change>, TellChanged),
    Do(Work),
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("view", &self.view())
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Begins a thread that writes to the store that `open` gives. `clock` tells the time of gaps, and for how long the
    /// store has not answered.
    pub fn new(
        open: impl FnMut() -> Result<Box<dyn Store>, StoreError> + Send + 'static,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (send, receive) = mpsc::sync_channel(QUEUE);
        let (end, ended) = mpsc::sync_channel(0);
        let view = Arc::new(Mutex::new(KeeperView::default()));
        let flow = Arc::new(Flow::default());
        let clock: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(clock);
        let worker = Worker {
            open: Box::new(open),
            store: None,
            clock: Arc::clone(&clock),
            view: Arc::clone(&view),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            gap: None,
            flow: Arc::clone(&flow),
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                worker.run(&receive);
                drop::<SyncSender<()>>(end);
            })?;
        Ok(Self {
            send: Some(send),
            thread: Some(thread),
            ended,
            view,
            flow,
            clock,
        })
    }

    /// Has an entry written, some time. Never waits: where even the queue is full, the entry is lost and counted. So
    /// is one with a body that is too large.
    pub fn append(&self, entry: Entry) {
        self.send(entry, None);
    }

    /// The same, with word of it.
    pub fn append_and_tell(&self, entry: Entry) -> Appended {
        let (send, told) = mpsc::sync_channel(1);
        self.append_then(entry, move |said| {
            // Nobody may wait for it any more.
            let _nobody = send.try_send(said);
        });
        Appended(told)
    }

    /// The same; `tell` is called on the keeper's thread, and dropped where the entry is lost.
    pub fn append_then(
        &self,
        entry: Entry,
        tell: impl FnOnce(Result<Record, String>) + Send + 'static,
    ) {
        self.send(entry, Some(Box::new(tell)));
    }

    /// Has a value of the state changed and a record of it written, both or neither, after all that was asked for before.
    /// While the store fails nothing of it waits: `tell`, on the keeper's thread, says so.
    pub fn change(
        &self,
        change: Change,
        tell: impl FnOnce(Result<(Record, u64), NotChanged>) + Send + 'static,
    ) {
        let message = Message::Change(Box::new(change), Box::new(tell));
        let full = match &self.send {
            Some(send) => match send.try_send(message) {
                Ok(()) => return,
                Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
            },
            None => message,
        };
        if let Message::Change(_, tell) = full {
            let why = "too much waits for the store".to_owned();
            tell(Err(NotChanged::Failed(why)));
        }
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
        view.lost += self.flow.lost.load(Ordering::Relaxed);
        view.waiting += self.flow.queued.load(Ordering::Relaxed);
        let since = self.flow.busy_since.load(Ordering::Relaxed);
        let since = Timestamp::from_nanos(since);
        let is_busy = since != Timestamp::default();
        if is_busy && view.failing.is_none() && (self.clock)().since(since) > ANSWER_TIME_MAX {
            view.failing = Some((since, "it does not answer".to_owned()));
        }
        view
    }

    fn send(&self, entry: Entry, tell: Option<Tell>) {
        // It would never be written, and all that came after it would wait.
        let fits = entry.body.len() <= BODY_BYTES_MAX;
        let message = Message::Append(entry, tell);
        let send = self.send.as_ref().filter(|_| fits);
        // Before it is sent: the thread may be faster, and would count below zero.
        self.flow.queued.fetch_add(1, Ordering::Relaxed);
        if send.is_none_or(|send| send.try_send(message).is_err()) {
            self.flow.queued.fetch_sub(1, Ordering::Relaxed);
            self.flow.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.send = None;
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(ANSWER_TIME_MAX) {
            let waiting = self.view().waiting;
            tracing::error!(
                waiting,
                "the store does not answer: what waits for it is not written"
            );
            return;
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say here; the panic was reported where it was.
            let _ended = thread.join();
        }
    }
}

struct Worker {
    open: Open,
    /// `None`: to be opened.
    store: Option<Box<dyn Store>>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    view: Arc<Mutex<KeeperView>>,
    waiting: VecDeque<(Entry, Option<Tell>)>,
    /// The bytes of their bodies.
    waiting_bytes: usize,
    /// What was lost and is not recorded yet: how many, and from when to when.
    gap: Option<(u64, Timestamp, Timestamp)>,
    flow: Arc<Flow>,
}

impl Worker {
    fn run(mut self, receive: &Receiver<Message>) {
        self.is_with_the_store(true);
        self.opened();
        loop {
            self.is_with_the_store(false);
            let idle = self.waiting.is_empty() && self.gap.is_none() && self.store.is_some();
            let message = match idle {
                true => receive.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => receive.recv_timeout(AGAIN),
            };
            self.is_with_the_store(true);
            match message {
                Ok(Message::Append(entry, tell)) => {
                    self.take(entry, tell);
                    let mut work = None;
                    // What came meanwhile shares the disk's turn.
                    while self.waiting.len() < WAITING_MAX && work.is_none() {
                        match receive.try_recv() {
                            Ok(Message::Append(entry, tell)) => self.take(entry, tell),
                            Ok(other) => work = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write_waiting();
                    match work {
                        Some(Message::Do(work)) => self.work(work),
                        Some(Message::Change(change, tell)) => tell(self.change(&change)),
                        Some(Message::Append(..)) | None => (),
                    }
                }
                Ok(Message::Change(change, tell)) => tell(self.change(&change)),
                Ok(Message::Do(work)) => self.work(work),
                Err(RecvTimeoutError::Timeout) => self.write_waiting(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write_waiting();
                    return;
                }
            }
        }
    }

    fn is_with_the_store(&self, is_busy: bool) {
        let since = if is_busy {
            (self.clock)().as_nanos()
        } else {
            0
        };
        self.flow.busy_since.store(since, Ordering::Relaxed);
    }

    /// Opens the store if it has to be. Says whether there is one.
    fn opened(&mut self) -> bool {
        if self.store.is_none() {
            match (self.open)() {
                Ok(store) => {
                    self.store = Some(store);
                    let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
                    view.open = true;
                    works_again(&mut view);
                }
                Err(error) => self.failed(&error),
            }
        }
        self.store.is_some()
    }

    fn work(&mut self, work: Work) {
        // In their order: what waits comes first, however much else is asked for.
        if !self.waiting.is_empty() || self.gap.is_some() {
            self.write_waiting();
        }
        self.opened();
        let Some(store) = &mut self.store else {
            return;
        };
        match work(store.as_mut()) {
            // What waits has its own word on that.
            Ok(()) if self.waiting.is_empty() => {
                works_again(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
            }
            Ok(()) => (),
            Err(error) => self.failed(&error),
        }
    }

    fn change(&mut self, change: &Change) -> Result<(Record, u64), NotChanged> {
        // In their order: what waits comes first.
        if !self.waiting.is_empty() || self.gap.is_some() {
            self.write_waiting();
        }
        self.opened();
        let works = self.waiting.is_empty();
        let Some(store) = self.store.as_mut().filter(|_| works) else {
            return Err(NotChanged::Failed(self.why()));
        };
        let made = (|| {
            let Change { entry, key, .. } = change;
            let expected = match change.expected {
                Some(expected) => expected,
                None => store.value(key)?.map_or(0, |kept| kept.version),
            };
            store.append_and_set(entry, key, expected, &change.value)
        })();
        match made {
            Ok(Some((record, version))) => {
                let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
                view.written += 1;
                view.last = Some((record.sequence, record.hash.to_string()));
                works_again(&mut view);
                Ok((record, version))
            }
            Ok(None) => Err(NotChanged::Conflict),
            Err(error) => {
                self.failed(&error);
                Err(NotChanged::Failed(describe(&error)))
            }
        }
    }

    fn why(&self) -> String {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = view.failing.as_ref();
        failing.map_or("it is not open", |(_, why)| why).to_owned()
    }

    fn take(&mut self, entry: Entry, tell: Option<Tell>) {
        self.flow.queued.fetch_sub(1, Ordering::Relaxed);
        let bytes = self.waiting_bytes + entry.body.len();
        if self.waiting.len() < WAITING_MAX && bytes <= WAITING_BYTES_MAX {
            self.waiting_bytes = bytes;
            self.waiting.push_back((entry, tell));
        } else {
            // Whoever waits for it is told by the sender that goes.
            self.lose(entry.at);
        }
    }

    /// Writes all that waits, and what was lost before it.
    fn write_waiting(&mut self) {
        let now = (self.clock)();
        for _ in 0..self.flow.lost.swap(0, Ordering::Relaxed) {
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
        self.opened();
        let Some(store) = &mut self.store else {
            return self.tell_that_it_waits();
        };
        match store.append(&entries) {
            Ok(records) => {
                self.gap = None;
                self.waiting_bytes = 0;
                let last = records.last().map(|it| (it.sequence, it.hash.to_string()));
                let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
                view.waiting = 0;
                view.written += records.len() as u64;
                works_again(&mut view);
                view.last = last.or_else(|| view.last.take());
                drop(view);
                // A gap has nobody who waits for it.
                for ((_, tell), record) in self.waiting.drain(..).zip(records) {
                    say(tell, Ok(record));
                }
            }
            Err(error) => {
                self.failed(&error);
                self.tell_that_it_waits();
            }
        }
    }

    fn tell_that_it_waits(&mut self) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.waiting = self.waiting.len();
        let why = view.failing.as_ref().map_or("", |(_, why)| why).to_owned();
        drop(view);
        for (_, tell) in &mut self.waiting {
            say(
                tell.take(),
                Err(format!("{why}; the record waits in memory")),
            );
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
        let since = view.failing.as_ref().map_or(now, |(since, _)| *since);
        if view.failing.is_none() {
            tracing::warn!(error = %describe(error), "the store fails; serving goes on, records wait in memory");
        }
        view.failing = Some((since, describe(error)));
        if error.outlasts_the_connection() {
            view.open = false;
            self.store = None;
        }
    }
}

fn works_again(view: &mut KeeperView) {
    if view.failing.take().is_some() {
        tracing::info!("the store works again");
    }
}

fn say(tell: Option<Tell>, said: Result<Record, String>) {
    if let Some(tell) = tell {
        tell(said);
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
