//! The disk tier: what is stored is written behind to files of its own, is found there when memory has it no longer, and outlives
//! a restart.
//!
//! Memory asks here on a miss ([`Disk::find`], a look into an index), and the file is read on a thread that may block
//! ([`Found::read`]). A thread of its own writes and deletes, and reads the heads of what is in the folder when it starts. Files are not
//! synced: what the machine's power took along has a wrong checksum, and is deleted when it is met.
//! Bounds: bytes and number of files; answers that wait to be written, beyond which they are not. The oldest make room, but for
//! those that were used since they were last looked at (the clock of page replacement).
//! Invariant: what was removed is not found again, though its file be written, found or deleted later. A kill within these
//! milliseconds may bring it back.

mod file;
mod index;

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use plimsoll_core::{Instant, Timestamp};
use plimsoll_http1::{Fields, ResponseHead};
use plimsoll_policy::cache::key::CacheKey;
use plimsoll_policy::cache::{CacheParameters, CacheRequest, HeadFields, Received, Stored, Vary};

use self::file::{Head, PREFIX_BYTES, Prefix};
use self::index::{Asked, Index};
use super::purge::{Purging, SURROGATE_KEY, surrogates};
use super::{Answer, View};

/// Answers that wait to be written. They are in memory anyway, most of them.
const QUEUE_MAX: usize = 1_024;
/// The index is in parts with a lock each, so that a purge, which looks at all of it, keeps requests waiting for a part at a
/// time. A part is for so many bytes at least: the largest answer is to fit.
const PART_BYTES_MIN: u64 = 256 * 1024 * 1024;
const PARTS_MAX: u64 = 64;
/// Answers on disk: what is known of each takes memory.
const COUNT_MAX: usize = 1 << 20;
/// How long an earlier process may still write while this one has begun: what it left behind is deleted then.
const PREDECESSOR_MAX: Duration = Duration::from_secs(60);
/// Where it is never quiet for so long: after so many answers.
const TIDY_AFTER: u64 = 10_000;
/// How long the end waits for the disk.
const END_WAIT_MAX: Duration = Duration::from_secs(5);
/// So many answers are not written after one that could not be: a full disk is not asked each time.
const PAUSE: u64 = 256;
/// Files that are read at once: a disk that hangs holds no more threads than this.
const READS_MAX: usize = 16;
/// How the names of files end, and of those that are being written.
const END: &str = "answer";
const UNFINISHED: &str = "unfinished";

/// Answers on disk.
#[derive(Debug)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
}

/// What is on disk, and what was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// What answers take, and what is known of them.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Answers that were written.
    pub written: u64,
    /// Answers that were read again.
    pub read: u64,
    /// Files that were cut, damaged, or of another form.
    pub damaged: u64,
    /// Answers that were not written: too many waited, or the disk refused.
    pub missed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    read: AtomicU64,
    damaged: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    bytes_max: u64,
    first: Mutex<Index>,
    others: Box<[Mutex<Index>]>,
    hasher: RandomState,
    /// The name of the last file.
    last: AtomicU64,
    queue: Mutex<Queue>,
    asked: Condvar,
    reads: AtomicUsize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<Order>,
    /// Nothing is written any more.
    rests: bool,
    /// Nor is anything waited for.
    ends: bool,
    ended: bool,
}

/// What the disk's thread is to do.
enum Next {
    Order(Order),
    /// Nothing, for so long as was asked.
    Quiet,
    End,
}

/// What was in the folder when it was read.
struct Known {
    /// What is named later is of this process.
    began: u64,
    numbers: HashSet<u64>,
}

#[derive(Debug)]
enum Order {
    Write(u64, Box<[u8]>, Box<[u8]>, Arc<Answer>),
    Delete(u64),
    #[cfg(test)]
    Settle(std::sync::mpsc::SyncSender<()>),
}

/// An answer that is on disk. So many are read at once at most; dropping it gives its place back.
#[derive(Debug)]
pub(crate) struct Found {
    shared: Arc<Shared>,
    key: Box<[u8]>,
    number: u64,
}

impl Disk {
    /// Goes on with what is in the folder, which is made where it is missing.
    pub(crate) fn open(folder: &Path, bytes_max: u64, now: Timestamp) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let parts = (bytes_max / PART_BYTES_MIN).clamp(1, PARTS_MAX);
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            bytes_max,
            first: Mutex::new(Index::unread()),
            others: (1..parts).map(|_| Mutex::new(Index::unread())).collect(),
            hasher: RandomState::new(),
            // Later than any name of before, and than those that another process still gives while it ends.
            last: AtomicU64::new(now.as_nanos() / 1_000),
            queue: Mutex::default(),
            asked: Condvar::new(),
            reads: AtomicUsize::new(0),
            counts: Counts::default(),
        });
        let work = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("cache-disk".to_owned())
            .spawn(move || work.run())?;
        Ok(Self { shared })
    }

    /// Has an answer written, in place of the one that is there for the same requests.
    pub(crate) fn put(&self, key: &CacheKey, request: &impl HeadFields, answer: &Arc<Answer>) {
        let Some(secondary) = answer.stored.vary().key(request) else {
            return;
        };
        let shared = &self.shared;
        let key: Box<[u8]> = key.as_bytes().into();
        let asked = Asked {
            key: &key,
            vary: answer.stored.vary(),
            secondary: &secondary,
            surrogates: &answer.surrogates,
        };
        let number = shared.last.fetch_add(1, Relaxed) + 1;
        let gone = shared.lock(&key).add(&asked, number, None);
        shared.delete(gone);
        let order = Order::Write(number, key.clone(), secondary, Arc::clone(answer));
        if !shared.ask(order) {
            shared.counts.missed.fetch_add(1, Relaxed);
            shared.lock(&key).forget(&key, number);
        }
    }

    /// What is there for a request, unless too many are being read.
    pub(crate) fn find(&self, key: &CacheKey, request: &impl HeadFields) -> Option<Found> {
        let shared = &self.shared;
        let number =
            (shared.lock(key.as_bytes())).find(key.as_bytes(), |vary| vary.key(request))?;
        let taken = (shared.reads).fetch_update(Relaxed, Relaxed, |reads| {
            (reads < READS_MAX).then_some(reads + 1)
        });
        taken.ok()?;
        Some(Found {
            number,
            key: key.as_bytes().into(),
            shared: Arc::clone(shared),
        })
    }

    /// Takes out what is there under a key, for whatever request.
    pub(crate) fn remove(&self, key: &CacheKey) {
        let gone = self.shared.lock(key.as_bytes()).remove(key.as_bytes());
        self.shared.delete(gone);
    }

    /// Takes out what is meant, by a look at all; says how many answers there were.
    pub(crate) fn purge(&self, purging: &Purging<'_>) -> u64 {
        let mut count = 0;
        for part in self.shared.parts() {
            let gone = locked(part).purge(purging);
            count += gone.len() as u64;
            self.shared.delete(gone);
        }
        count
    }

    /// Nothing is written any more: a successor has the folder.
    pub(crate) fn rest(&self) {
        self.shared.queue().rests = true;
    }

    /// Returns once all that was asked for before is done.
    #[cfg(test)]
    fn settle(&self) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        if self.shared.ask(Order::Settle(done)) {
            // An error: the thread has ended, and nothing is done any more.
            let _ended = wait.recv();
        }
    }

    /// As of now.
    pub(crate) fn stats(&self) -> DiskStats {
        let counts = &self.shared.counts;
        DiskStats {
            bytes: (self.shared.parts()).map(|part| locked(part).bytes()).sum(),
            bytes_max: self.shared.bytes_max,
            written: counts.written.load(Relaxed),
            read: counts.read.load(Relaxed),
            damaged: counts.damaged.load(Relaxed),
            missed: counts.missed.load(Relaxed),
        }
    }
}

impl Drop for Disk {
    /// What was to be deleted is; what was to be written is not.
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut queue = shared.queue();
        (queue.rests, queue.ends) = (true, true);
        shared.asked.notify_all();
        // A disk that hangs does not keep the process from its end.
        let waited = (shared.asked).wait_timeout_while(queue, END_WAIT_MAX, |queue| !queue.ended);
        if waited.is_ok_and(|(_, time)| time.timed_out()) {
            tracing::warn!(
                "the disk hangs: what was to be deleted of stored answers may still be there"
            );
        }
    }
}

impl Found {
    /// Reads it, and judges it as if it came now, with the age that it has by now. Blocks. `None`: it is no good any more.
    pub(crate) fn read(
        &self,
        parameters: &CacheParameters,
        now: Instant,
        date: Timestamp,
    ) -> Option<Answer> {
        let path = self.shared.path(self.number, END);
        let read = fs::read(&path).ok().map(Bytes::from).and_then(file::decode);
        let answer = match read {
            Some((head, body)) if head.key == self.key => {
                self.shared.counts.read.fetch_add(1, Relaxed);
                restored(head, body, parameters, now, date)
            }
            _ => {
                // What was taken out since it was found is gone and not damaged.
                let is_there = self.shared.lock(&self.key).has(&self.key, self.number);
                (self.shared.counts.damaged).fetch_add(u64::from(is_there), Relaxed);
                None
            }
        };
        if answer.is_none() {
            let gone = self.shared.lock(&self.key).forget(&self.key, self.number);
            self.shared.delete(gone.into_iter().collect());
        }
        answer
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.shared.reads.fetch_sub(1, Relaxed);
    }
}

/// The answer of a file. One from a time that is still to come has no age, and is not used.
fn restored(
    head: Head,
    body: Bytes,
    parameters: &CacheParameters,
    now: Instant,
    date: Timestamp,
) -> Option<Answer> {
    if date < head.written {
        return None;
    }
    let age = head.age + date.since(head.written);
    let mut aged = head.fields.clone();
    aged.push(b"Age", age.as_secs().to_string().as_bytes());
    let received = Received {
        requested: now,
        at: now,
        date,
    };
    let nobody = Fields::new();
    let request = CacheRequest::read(b"GET", &View(&nobody), false);
    let (view, length) = (View(&aged), Some(body.len() as u64));
    let stored = Stored::judge(&request, head.status, &view, length, received, parameters).ok()?;
    let mut response = ResponseHead::new();
    response.set_from_parts(head.status).ok()?;
    let surrogates = surrogates(&head.fields)?;
    response.fields = head.fields;
    Some(Answer::new(stored, &response, head.http2, body, surrogates))
}

impl Shared {
    /// The part of the index that a key is in.
    fn lock(&self, key: &[u8]) -> MutexGuard<'_, Index> {
        let part = self.hasher.hash_one(key) as usize % (self.others.len() + 1);
        locked(self.others.get(part).unwrap_or(&self.first))
    }

    fn parts(&self) -> impl Iterator<Item = &Mutex<Index>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Takes out of the part of a key what must go.
    fn make_room(&self, index: &mut Index) -> Vec<u64> {
        let parts = self.others.len() + 1;
        index.make_room(self.bytes_max / parts as u64, COUNT_MAX / parts)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64, end: &str) -> PathBuf {
        self.folder.join(format!("{number}.{end}"))
    }

    /// Only what is to be written waits for room: deletions are as many as there are files.
    fn ask(&self, order: Order) -> bool {
        let mut queue = self.queue();
        let writes = matches!(order, Order::Write(..));
        let full = queue.orders.len() >= QUEUE_MAX;
        if (writes && (full || queue.rests)) || queue.ended {
            return false;
        }
        queue.orders.push_back(order);
        self.asked.notify_all();
        true
    }

    fn delete(&self, numbers: Vec<u64>) {
        for number in numbers {
            self.ask(Order::Delete(number));
        }
    }

    fn run(&self) {
        let folder = self.folder.display();
        let known = self.scan().unwrap_or_else(|error| {
            tracing::warn!(%error, %folder, "what was stored on disk can't be read");
            None
        });
        for part in self.parts() {
            locked(part).end_reading();
        }
        let (mut left, mut orders, mut paused) = (known, 0_u64, 0_u64);
        loop {
            let wait = left.as_ref().map(|_| PREDECESSOR_MAX);
            orders += 1;
            if orders > TIDY_AFTER
                && let Some(known) = left.take()
            {
                self.tidy(&known);
            }
            match self.next(wait) {
                Next::Order(Order::Write(number, key, ..)) if paused > 0 => {
                    paused -= 1;
                    self.counts.missed.fetch_add(1, Relaxed);
                    self.lock(&key).forget(&key, number);
                }
                Next::Order(Order::Write(number, key, secondary, answer)) => {
                    if let Err(error) = self.write(number, &key, secondary, &answer) {
                        tracing::warn!(%error, %folder, "an answer can't be stored on disk");
                        paused = PAUSE;
                        self.counts.missed.fetch_add(1, Relaxed);
                        self.lock(&key).forget(&key, number);
                        self.unlink(number, UNFINISHED);
                    }
                }
                Next::Order(Order::Delete(number)) => self.unlink(number, END),
                // Nobody waits any more: nothing to be done about it.
                #[cfg(test)]
                Next::Order(Order::Settle(done)) => drop(done.send(())),
                Next::Quiet => {
                    if let Some(known) = left.take() {
                        self.tidy(&known);
                    }
                }
                Next::End => break,
            }
        }
        self.queue().ended = true;
        self.asked.notify_all();
    }

    /// `quiet_for`: how long without an order is said.
    fn next(&self, quiet_for: Option<Duration>) -> Next {
        let mut queue = self.queue();
        loop {
            match queue.orders.pop_front() {
                Some(Order::Write(number, key, ..)) if queue.rests => {
                    self.lock(&key).forget(&key, number);
                    continue;
                }
                Some(order) => return Next::Order(order),
                None if queue.ends => return Next::End,
                None => (),
            }
            let Some(quiet_for) = quiet_for else {
                queue = (self.asked.wait(queue)).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.asked.wait_timeout(queue, quiet_for);
            let (again, time) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = again;
            if time.timed_out() && queue.orders.is_empty() && !queue.ends {
                return Next::Quiet;
            }
        }
    }

    fn unlink(&self, number: u64, end: &str) {
        // It was never written, or somebody has tidied up.
        let _gone = fs::remove_file(self.path(number, end));
    }

    fn write(
        &self,
        number: u64,
        key: &[u8],
        secondary: Box<[u8]>,
        answer: &Answer,
    ) -> io::Result<()> {
        if !self.lock(key).has(key, number) {
            return Ok(());
        }
        let received = answer.stored.received();
        let mut fields = answer.head.fields.clone();
        for key in &answer.surrogates {
            fields.push(SURROGATE_KEY, key);
        }
        let head = Head {
            key: key.into(),
            secondary,
            written: received.date,
            age: answer.stored.age(received.at),
            status: answer.stored.status(),
            http2: answer.http2,
            fields,
        };
        let file = file::encode(&head, &answer.body);
        let unfinished = self.path(number, UNFINISHED);
        fs::write(&unfinished, &file)?;
        fs::rename(&unfinished, self.path(number, END))?;
        self.counts.written.fetch_add(1, Relaxed);
        let mut index = self.lock(key);
        let mut gone = Vec::new();
        if !index.on_written(key, number, file.len() as u64) {
            gone.push(number);
        }
        gone.extend(self.make_room(&mut index));
        drop(index);
        for number in gone {
            self.unlink(number, END);
        }
        Ok(())
    }

    /// Reads what is in the folder, oldest first. `None`: not to its end.
    fn scan(&self) -> io::Result<Option<Known>> {
        let began = self.last.load(Relaxed);
        let mut numbers = self.numbers(began)?;
        // What is not finished may be so soon, by an earlier process that has not ended.
        numbers.retain(|(_, end)| *end == END);
        numbers.sort_unstable();
        for &(number, _) in &numbers {
            if self.queue().ends {
                return Ok(None);
            }
            let Some((head, bytes)) = read_head(&self.path(number, END)) else {
                self.counts.damaged.fetch_add(1, Relaxed);
                self.unlink(number, END);
                continue;
            };
            let vary = Vary::read(&View(&head.fields));
            let surrogates = surrogates(&head.fields).unwrap_or_default();
            let asked = Asked {
                key: &head.key,
                vary: &vary,
                secondary: &head.secondary,
                surrogates: &surrogates,
            };
            let mut index = self.lock(&head.key);
            let mut gone = match index.was_removed(&head.key) {
                true => vec![number],
                false => index.add(&asked, number, Some(bytes)),
            };
            gone.extend(self.make_room(&mut index));
            drop(index);
            for number in gone {
                self.unlink(number, END);
            }
        }
        Ok(Some(Known {
            began,
            numbers: numbers.into_iter().map(|(number, _)| number).collect(),
        }))
    }

    /// The files in the folder up to a number, each with how its name ends.
    fn numbers(&self, last: u64) -> io::Result<Vec<(u64, &'static str)>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            // Others are not ours.
            let number = stem.and_then(|stem| stem.parse::<u64>().ok());
            let Some(number) = number.filter(|number| *number <= last) else {
                continue;
            };
            match path.extension().and_then(|end| end.to_str()) {
                Some(END) => numbers.push((number, END)),
                Some(UNFINISHED) => numbers.push((number, UNFINISHED)),
                _ => (),
            }
        }
        Ok(numbers)
    }

    /// Deletes what an earlier process wrote after this one had read the folder: it is in no index, and no purge finds it.
    fn tidy(&self, known: &Known) {
        let there = self.numbers(known.began).unwrap_or_default();
        for (number, end) in there {
            if end == UNFINISHED || !known.numbers.contains(&number) {
                self.unlink(number, end);
            }
        }
    }
}

fn locked(part: &Mutex<Index>) -> MutexGuard<'_, Index> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a file says but for its body, and its length; `None`: it is no good.
fn read_head(path: &Path) -> Option<(Head, u64)> {
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut prefix = [0; PREFIX_BYTES];
    file.read_exact(&mut prefix).ok()?;
    let prefix = Prefix::read(&prefix)?;
    let mut head = vec![0; prefix.head_bytes];
    file.read_exact(&mut head).ok()?;
    let head = prefix.head(&head)?;
    (length == prefix.file_bytes()?).then_some((head, length))
}

#[cfg(test)]
mod tests;
