//! The disk tier: what is stored is written behind to files of its own, is found there when memory has it no longer, and outlives
//! a restart.
//!
//! Memory asks here on a miss ([`Disk::find`], a look into an index), and the file is read on a thread that may block
//! ([`Found::read`]). A thread of its own writes and deletes, and reads the heads of what is in the folder when it starts. Files are not
//! synced: what the machine's power took along has a wrong checksum, and is deleted when it is met.
//! Bounds: bytes of files; answers that wait to be written, beyond which they are not. The oldest make room, but for those that
//! were used since they were last looked at (the clock of page replacement).
//! Invariant: what was removed is not found again, though its file be written or deleted later. A kill within these milliseconds
//! may bring it back.

mod file;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use plimsoll_core::{Instant, Timestamp};
use plimsoll_http1::{Fields, ResponseHead};
use plimsoll_policy::cache::key::CacheKey;
use plimsoll_policy::cache::{CacheParameters, CacheRequest, HeadFields, Received, Stored, Vary};

use self::file::{Head, PREFIX_BYTES, Prefix};
use super::purge::{Purging, SURROGATE_KEY, surrogates};
use super::{Answer, View};

/// Answers that wait to be written. They are in memory anyway, most of them.
const QUEUE_MAX: usize = 1_024;
/// What an entry of the index is counted as beside its file.
const ENTRY_BYTES: u64 = 512;
/// Answers under one key: a service that has more is not kept in step with on disk.
const VARIANTS_MAX: usize = 64;
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
    thread: Option<JoinHandle<()>>,
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
    index: Mutex<Index>,
    queue: Mutex<Queue>,
    asked: Condvar,
    reads: AtomicUsize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<Order>,
    ends: bool,
}

#[derive(Debug)]
enum Order {
    Write(u64, Box<[u8]>, Box<[u8]>, Arc<Answer>),
    Delete(u64),
    #[cfg(test)]
    Settle(std::sync::mpsc::SyncSender<()>),
}

/// What is in the folder, or will be.
#[derive(Debug, Default)]
struct Index {
    slots: HashMap<Box<[u8]>, Slot>,
    /// Which is looked at next when room is needed.
    order: VecDeque<(u64, Box<[u8]>)>,
    bytes: u64,
    /// Files that are there, or will be.
    count: usize,
    /// The name of the next file.
    next: u64,
    hasher: RandomState,
}

/// The answers of a key, and by what they differ.
#[derive(Debug)]
struct Slot {
    vary: Vary,
    files: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    secondary: Box<[u8]>,
    /// Hashes of the keys that the service gave it.
    surrogates: Box<[u64]>,
    number: u64,
    /// `None`: it is not written yet.
    bytes: Option<u64>,
    used: bool,
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
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            bytes_max,
            index: Mutex::new(Index {
                // Later than any name of before, and than those that another process still gives while it ends.
                next: now.as_nanos() / 1_000,
                ..Index::default()
            }),
            queue: Mutex::default(),
            asked: Condvar::new(),
            reads: AtomicUsize::new(0),
            counts: Counts::default(),
        });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("cache-disk".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Has an answer written, in place of the one that is there for the same requests.
    pub(crate) fn put(&self, key: &CacheKey, request: &impl HeadFields, answer: &Arc<Answer>) {
        let Some(secondary) = answer.stored.vary().key(request) else {
            return;
        };
        let key: Box<[u8]> = key.as_bytes().into();
        let asked = Asked {
            key: &key,
            vary: answer.stored.vary(),
            secondary: &secondary,
            surrogates: &answer.surrogates,
        };
        let (number, gone) = self.shared.lock().add(&asked, None);
        self.shared.delete(gone);
        if let Some(number) = number {
            let order = Order::Write(number, key.clone(), secondary, Arc::clone(answer));
            if !self.shared.ask(order) {
                self.shared.counts.missed.fetch_add(1, Relaxed);
                self.shared.lock().forget(&key, number);
            }
        }
    }

    /// What is there for a request, unless too many are being read.
    pub(crate) fn find(&self, key: &CacheKey, request: &impl HeadFields) -> Option<Found> {
        let mut index = self.shared.lock();
        let slot = index.slots.get_mut(key.as_bytes())?;
        let secondary = slot.vary.key(request)?;
        let entry = slot.files.iter_mut().find(|it| it.secondary == secondary)?;
        entry.bytes?;
        let taken = self.shared.reads.fetch_update(Relaxed, Relaxed, |reads| {
            (reads < READS_MAX).then_some(reads + 1)
        });
        taken.ok()?;
        entry.used = true;
        Some(Found {
            number: entry.number,
            key: key.as_bytes().into(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Takes out what is there under a key, for whatever request.
    pub(crate) fn remove(&self, key: &CacheKey) {
        let gone = self.shared.lock().remove(key.as_bytes());
        self.shared.delete(gone);
    }

    /// Takes out what is meant, by a look at all; says how many answers there were.
    pub(crate) fn purge(&self, purging: &Purging<'_>) -> u64 {
        let gone = self.shared.lock().purge(purging);
        let count = gone.len() as u64;
        self.shared.delete(gone);
        count
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
        let Shared {
            bytes_max, counts, ..
        } = &*self.shared;
        DiskStats {
            bytes: self.shared.lock().bytes,
            bytes_max: *bytes_max,
            written: counts.written.load(Relaxed),
            read: counts.read.load(Relaxed),
            damaged: counts.damaged.load(Relaxed),
            missed: counts.missed.load(Relaxed),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.queue().ends = true;
        self.shared.asked.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends with what it is writing: one file.
            let _panicked = thread.join();
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
                self.shared.counts.damaged.fetch_add(1, Relaxed);
                None
            }
        };
        if answer.is_none() {
            let gone = self.shared.lock().forget(&self.key, self.number);
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
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
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
        let full = queue.orders.len() >= QUEUE_MAX && matches!(order, Order::Write(..));
        if full || queue.ends {
            return false;
        }
        queue.orders.push_back(order);
        self.asked.notify_one();
        true
    }

    fn delete(&self, numbers: Vec<u64>) {
        for number in numbers {
            self.ask(Order::Delete(number));
        }
    }

    fn run(&self) {
        if let Err(error) = self.scan() {
            let folder = self.folder.display();
            tracing::warn!(%error, %folder, "what was stored on disk can't be read");
        }
        let mut paused = 0_u64;
        while let Some(order) = self.next() {
            match order {
                Order::Write(number, key, ..) if paused > 0 => {
                    paused -= 1;
                    self.counts.missed.fetch_add(1, Relaxed);
                    self.lock().forget(&key, number);
                }
                Order::Write(number, key, secondary, answer) => {
                    if let Err(error) = self.write(number, &key, secondary, &answer) {
                        let folder = self.folder.display();
                        tracing::warn!(%error, %folder, "an answer can't be stored on disk");
                        paused = PAUSE;
                        self.counts.missed.fetch_add(1, Relaxed);
                        self.lock().forget(&key, number);
                        self.unlink(number, UNFINISHED);
                    }
                }
                Order::Delete(number) => self.unlink(number, END),
                #[cfg(test)]
                Order::Settle(done) => drop(done.send(())),
            }
        }
    }

    fn next(&self) -> Option<Order> {
        let mut queue = self.queue();
        loop {
            if queue.ends {
                return None;
            }
            if let Some(order) = queue.orders.pop_front() {
                return Some(order);
            }
            queue = self
                .asked
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
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
        if !self.lock().has(key, number) {
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
        let mut index = self.lock();
        let mut gone = Vec::new();
        if !index.is_written(key, number, file.len() as u64) {
            gone.push(number);
        }
        gone.extend(index.make_room(self.bytes_max));
        drop(index);
        for number in gone {
            self.unlink(number, END);
        }
        Ok(())
    }

    /// Reads what is in the folder, oldest first.
    fn scan(&self) -> io::Result<()> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            match (number, path.extension().and_then(|end| end.to_str())) {
                (Some(number), Some(END)) => numbers.push(number),
                (Some(number), Some(UNFINISHED)) => self.unlink(number, UNFINISHED),
                // Not ours.
                _ => (),
            }
        }
        numbers.sort_unstable();
        for number in numbers {
            if self.queue().ends {
                return Ok(());
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
            let mut index = self.lock();
            let (_, mut gone) = index.add(&asked, Some((number, bytes)));
            gone.extend(index.make_room(self.bytes_max));
            drop(index);
            for number in gone {
                self.unlink(number, END);
            }
        }
        Ok(())
    }
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

/// Which requests a file is for, and what it is taken out by.
struct Asked<'a> {
    key: &'a [u8],
    vary: &'a Vary,
    secondary: &'a [u8],
    surrogates: &'a [Box<[u8]>],
}

impl Index {
    /// A file for these requests: one that is there, or the name of one to be written. Gives what it takes the place of,
    /// to be deleted. What was put since a file was found stands before it.
    fn add(&mut self, asked: &Asked<'_>, there: Option<(u64, u64)>) -> (Option<u64>, Vec<u64>) {
        let Asked {
            key,
            vary,
            secondary,
            ..
        } = *asked;
        let surrogates = asked.surrogates.iter().map(|it| self.hasher.hash_one(it));
        let surrogates = surrogates.collect();
        let mut gone = Vec::new();
        let slot = self.slots.get(key);
        if slot.is_some_and(|slot| slot.vary != *vary) {
            if let Some((number, _)) = there {
                return (None, vec![number]);
            }
            gone = self.remove(key);
        }
        let slot = self.slots.entry(key.into()).or_insert_with(|| Slot {
            vary: vary.clone(),
            files: Vec::new(),
        });
        let before = slot.files.iter().position(|it| &*it.secondary == secondary);
        if let Some((number, _)) = there
            && let Some(newer) = before.and_then(|at| slot.files.get(at))
            && newer.number > number
        {
            return (None, vec![number]);
        }
        if before.is_none() && slot.files.len() >= VARIANTS_MAX {
            return (None, there.map(|(number, _)| number).into_iter().collect());
        }
        let before = before.map(|at| slot.files.swap_remove(at));
        let number = match there {
            Some((number, _)) => number,
            None => {
                self.next += 1;
                self.next
            }
        };
        let bytes = there.map(|(_, bytes)| bytes);
        slot.files.push(Entry {
            secondary: secondary.into(),
            surrogates,
            number,
            bytes,
            used: false,
        });
        self.order.push_back((number, key.into()));
        self.count += 1;
        self.bytes += ENTRY_BYTES + bytes.unwrap_or(0);
        if let Some(before) = before {
            self.bytes -= before.takes();
            self.count -= 1;
            gone.push(before.number);
        }
        (Some(number), gone)
    }

    fn entry(&mut self, key: &[u8], number: u64) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(key)?;
        slot.files.iter_mut().find(|it| it.number == number)
    }

    fn has(&mut self, key: &[u8], number: u64) -> bool {
        self.entry(key, number).is_some()
    }

    /// Whether it is still wanted.
    fn is_written(&mut self, key: &[u8], number: u64, bytes: u64) -> bool {
        let Some(entry) = self.entry(key, number) else {
            return false;
        };
        entry.bytes = Some(bytes);
        self.bytes += bytes;
        true
    }

    /// Takes one out; gives it, if it was there.
    fn forget(&mut self, key: &[u8], number: u64) -> Option<u64> {
        let slot = self.slots.get_mut(key)?;
        let at = slot.files.iter().position(|it| it.number == number)?;
        let entry = slot.files.swap_remove(at);
        if slot.files.is_empty() {
            self.slots.remove(key);
        }
        self.bytes -= entry.takes();
        self.count -= 1;
        Some(number)
    }

    fn remove(&mut self, key: &[u8]) -> Vec<u64> {
        let Some(slot) = self.slots.remove(key) else {
            return Vec::new();
        };
        self.bytes -= slot.files.iter().map(Entry::takes).sum::<u64>();
        self.count -= slot.files.len();
        slot.files.iter().map(|it| it.number).collect()
    }

    /// Takes out what is meant.
    fn purge(&mut self, purging: &Purging<'_>) -> Vec<u64> {
        let surrogate = purging.surrogate().map(|key| self.hasher.hash_one(key));
        let mut gone = Vec::new();
        for (key, slot) in self.slots.iter().filter(|(key, _)| purging.is_meant(key)) {
            let takes = |it: &&Entry| surrogate.is_none_or(|key| it.surrogates.contains(&key));
            gone.extend(
                slot.files
                    .iter()
                    .filter(takes)
                    .map(|it| (key.clone(), it.number)),
            );
        }
        gone.iter()
            .filter_map(|(key, number)| self.forget(key, *number))
            .collect()
    }

    /// Takes out what must go.
    fn make_room(&mut self, bytes_max: u64) -> Vec<u64> {
        let mut gone = Vec::new();
        // What was taken out otherwise leaves its place in the order.
        while self.bytes > bytes_max || self.order.len() > 2 * self.count + QUEUE_MAX {
            let Some((number, key)) = self.order.pop_front() else {
                break;
            };
            let has_room = self.bytes <= bytes_max;
            let Some(entry) = self.entry(&key, number) else {
                continue;
            };
            match std::mem::take(&mut entry.used) || has_room {
                true => self.order.push_back((number, key)),
                false => gone.extend(self.forget(&key, number)),
            }
        }
        gone
    }
}

impl Entry {
    fn takes(&self) -> u64 {
        ENTRY_BYTES + self.bytes.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
