//! Queues are opened: the last image, and what the log says since.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use plimsoll_policy::queue::{Arriving, Handle, Millis, QueueLoader};
use serde::{Deserialize, Serialize};

use super::commit::handles;
use super::image::{FILES, ImageRead};
use super::message::short_key_of;
use super::{
    Definition, Engine, EngineEvent, EngineOptions, Entry, State, salt32, seed_of, slots_max,
};
use crate::disk::{Disk, Folder};
use crate::log::{Batch, Log, Published, Record, What};

/// What the log is.
const ABOUT: &str = "log.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct About {
    version: u32,
    salt: u64,
    segment_bytes: u64,
}

/// Queues that can't be opened; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk says no.
    #[error("reading the queues")]
    Disk(#[from] io::Error),
    /// Another process has them.
    #[error("another process has the queues")]
    InUse,
    /// The last image is whole, and not of this version.
    #[error("what is known of the queues was written by another version")]
    Image,
    /// What the log is can't be read: its segments mean nothing without it.
    #[error(
        "`{ABOUT}` of the queues is damaged or of another version; segments can't be read without it"
    )]
    About,
}

/// A number that another does not tell anything of.
fn part_of(secret: u64, what: &[u8]) -> u64 {
    short_key_of(&[&secret.to_le_bytes(), what].concat())
}

/// A queue that is being read.
struct Reading {
    definition: Option<Definition>,
    loader: QueueLoader,
}

impl Engine {
    /// Opens the queues of a folder, and makes it where there is none. `fresh`: a number that nobody guesses, for a new log.
    ///
    /// # Errors
    /// They can't be read.
    pub fn open(
        folder: &Path,
        options: EngineOptions,
        fresh: u64,
        clock: impl Fn() -> Millis + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let disk = Folder::open(folder).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse,
            _ => OpenError::Disk(error),
        })?;
        let disk = Arc::new(disk);
        Self::open_on(disk, options, fresh, Box::new(clock))
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        mut options: EngineOptions,
        fresh: u64,
        clock: Box<dyn Fn() -> Millis + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let about = match disk.get(ABOUT)? {
            Some(text) => serde_json::from_slice(&text).map_err(|_| OpenError::About)?,
            None if !disk.slots()?.is_empty() => return Err(OpenError::About),
            None => {
                let about = About {
                    version: VERSION,
                    salt: fresh,
                    segment_bytes: options.segment_bytes,
                };
                let text = serde_json::to_vec(&about).map_err(io::Error::other)?;
                disk.put(ABOUT, &text)?;
                about
            }
        };
        if about.version != VERSION {
            return Err(OpenError::About);
        }
        options.segment_bytes = about.segment_bytes;
        let salt = about.salt;
        let mut events = Vec::new();
        let mut images = Vec::new();
        for name in FILES {
            images.extend(disk.get(name)?);
        }
        let image_bytes = images.first().map_or(0, |it| it.len() as u64);
        let read = images.iter().filter_map(|it| ImageRead::decode(it, salt));
        // Where one could not be written, the other is later.
        let image = read.max_by_key(|it| it.place.number);
        if image.is_none() && !images.is_empty() {
            events.push(EngineEvent::Lost(
                "what was known of the queues is damaged: the whole log is read, and messages that were done with may be delivered again"
                    .to_owned(),
            ));
        }
        let from = image.as_ref().map(|it| it.place);
        let mut reading = Reader::new(image)?;
        let found = Log::scan(
            &*disk,
            options.log(),
            salt32(salt),
            from,
            |handle, record| {
                reading.on_record(handle, record);
            },
        )?;
        for slot in &found.slots {
            // It may be there only for as long as the machine has power.
            disk.sync(*slot)?;
        }
        let slots = disk.slots()?;
        let last = slots.last().map_or(0, |it| it + 1);
        let now = clock().max(reading.clock);
        let wake = Arc::new(Condvar::new());
        let mut state = State {
            batch: Batch::new(salt32(part_of(fresh, b"marks"))),
            thens: Vec::new(),
            full: VecDeque::new(),
            full_bytes: 0,
            batch_max: options.log().batch_max(),
            urgent: false,
            wake: Arc::clone(&wake),
            queues: BTreeMap::new(),
            names: HashMap::new(),
            next_queue: reading.next_queue,
            next_id: reading.next_id,
            clock: now,
            wall: clock(),
            ahead: now.since(clock()),
            live: Vec::new(),
            order: VecDeque::new(),
            free: VecDeque::new(),
            slots: last,
            unmade: Vec::new(),
            slots_max: slots_max(&options),
            no_room: false,
            try_again: Millis(0),
            arriving_keys: HashMap::new(),
            between: 0,
            failed: None,
            events,
            since_image: 0,
            image_bytes,
            image_on: false,
            taken: None,
            wants_image: false,
            closing: false,
        };
        for lost in &found.lost {
            state.lose(lost);
        }
        reading.finish(options.seed, &mut state, now);
        // Segments that nothing alive is in, and that the log does not go on in, are free. Those that were read stay until the next image.
        let read: BTreeSet<u32> = found.slots.iter().copied().collect();
        for slot in slots {
            if read.contains(&slot) {
                continue;
            }
            let index = usize::try_from(slot).unwrap_or(usize::MAX);
            match state.live.get(index).copied().unwrap_or(0) {
                0 => state.free.push_back(slot),
                _ => state.order.push_back(slot),
            }
        }
        state.order.extend(&found.slots);
        let log = Log::new(Arc::clone(&disk), options.log(), salt32(salt), found.end);
        let engine = Self {
            options,
            disk,
            salt,
            clock,
            state: Mutex::new(state),
            log: Mutex::new(log),
            wake,
            id_salt: part_of(salt, b"names"),
        };
        // Nothing is read twice; and what was torn is not looked at again.
        engine.take_image();
        engine.prepare();
        Ok(engine)
    }
}

/// Reads what the log says.
struct Reader {
    queues: BTreeMap<u32, Reading>,
    removed: BTreeSet<u32>,
    clock: Millis,
    next_id: u64,
    next_queue: u32,
}

impl Reader {
    fn new(image: Option<ImageRead>) -> Result<Self, OpenError> {
        let mut reader = Self {
            queues: BTreeMap::new(),
            removed: BTreeSet::new(),
            clock: Millis(0),
            next_id: 1,
            next_queue: 1,
        };
        if let Some(image) = image {
            (reader.clock, reader.next_id) = (image.clock, image.next_id);
            reader.next_queue = image.next_queue;
            for (number, text, bytes) in image.queues {
                let definition: Definition =
                    serde_json::from_slice(&text).map_err(|_| OpenError::Image)?;
                let loader = QueueLoader::from_image(&bytes, &definition.parameters());
                let loader = loader.map_err(|_| OpenError::Image)?;
                let definition = Some(definition);
                reader.queues.insert(number, Reading { definition, loader });
            }
        }
        Ok(reader)
    }

    fn queue(&mut self, number: u32) -> &mut Reading {
        self.next_queue = self.next_queue.max(number.saturating_add(1));
        self.queues.entry(number).or_insert_with(|| Reading {
            definition: None,
            loader: QueueLoader::default(),
        })
    }

    fn on_record(&mut self, handle: Handle, record: &Record<'_>) {
        let number = record.queue;
        match &record.what {
            What::Published(it) => self.on_published(number, handle, it),
            What::Settled(handle) => self.queue(number).loader.on_settled(*handle),
            What::Leased {
                handle,
                attempts,
                token,
                until,
            } => {
                let loader = &mut self.queue(number).loader;
                loader.on_leased(*handle, u32::from(*attempts), *token, *until);
            }
            What::Returned {
                handle,
                attempts,
                due,
            } => {
                let loader = &mut self.queue(number).loader;
                loader.on_returned(*handle, u32::from(*attempts), *due);
            }
            What::Purged => self.queue(number).loader.on_purged(),
            What::Paused(is) => self.queue(number).loader.on_paused(*is),
            What::GroupPaused(group, is) => self.queue(number).loader.on_group_paused(*group, *is),
            What::Defined(text) => {
                if let Ok(definition) = serde_json::from_slice(text) {
                    self.queue(number).definition = Some(definition);
                }
            }
            What::Removed => {
                self.queues.remove(&number);
                self.removed.insert(number);
                self.next_queue = self.next_queue.max(number.saturating_add(1));
            }
        }
    }

    fn on_published(&mut self, number: u32, handle: Handle, it: &Published<'_>) {
        self.clock = self.clock.max(it.at);
        self.next_id = self.next_id.max(it.id.saturating_add(1));
        if let Some((queue, old)) = it.replaces {
            if it.relocates {
                self.queue(number).loader.on_relocated(old, handle);
                return;
            }
            self.queue(queue).loader.on_settled(old);
        }
        self.queue(number).loader.on_published(Arriving {
            handle,
            at: it.at,
            due: it.due,
            priority: it.priority,
            tenant: it.tenant,
            group: it.group,
            dedup: it.dedup,
        });
    }

    fn finish(self, seed: u64, state: &mut State, now: Millis) {
        for (number, reading) in self.queues {
            let known = reading.definition;
            let definition = known
                .clone()
                .unwrap_or_else(|| Definition::new(&format!("recovered-{number}"), now));
            let seed = seed_of(seed, number);
            let queue = reading.loader.finish(definition.parameters(), seed, now);
            if known.is_none() {
                // What came for a queue that is not there any more went with it.
                let waiting = queue.figures(now);
                let count = waiting.ready + waiting.delayed + waiting.in_flight;
                if self.removed.contains(&number) || count == 0 {
                    continue;
                }
                state.events.push(EngineEvent::Lost(format!(
                    "what a queue is: its {count} messages are in {}",
                    definition.name
                )));
            }
            for handle in handles(&queue) {
                state.count(handle, true);
            }
            state.names.insert(definition.name.clone(), number);
            state.queues.insert(number, Entry::new(definition, queue));
        }
    }
}
