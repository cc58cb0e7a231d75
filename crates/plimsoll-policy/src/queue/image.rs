//! A queue at one moment, and its form in bytes.
//!
//! Format, little-endian throughout; a list is its count as `u32`, then its entries:
//! ```text
//! version u8 = 1 | paused u8
//! paused groups: name u128
//! keys: key u128 | handle u64 | at u64
//! leases: message | token u32 | until u64
//! delayed, in order: message | due u64
//! groups: name u128 | backoff u8 (| until u64) | line: handle at since tenant u64 | attempts u32 | priority u8
//! notes of messages in lanes: handle u64 | attempts u32 | since u64
//! lanes, in the order of turns: priority u8 | tenant u64
//!   returned: handle u64 | at u64
//!   turns: place among the messages that never left u64 | group u128
//!   chunks: count u16 | base of times u64 | handles u64 ... | times since the base u32 ...
//! message: handle at since tenant u64 | attempts u32 | priority u8 | group u8 (| name u128)
//! ```
//! Invariant: reading takes memory in proportion to the bytes that are there, whatever they say. It keeps no checksum: who stores
//! it does. Parameters, the generator's state and timers are not in it.

use std::collections::{BTreeSet, HashMap};
use std::mem::take;

use super::group::{Group, Waiting};
use super::lane::{Lane, LaneKey};
use super::message::{GroupName, Message, Note};
use super::run::{CHUNK, Chunk};
use super::{Handle, Millis, PRIORITIES, Queue, QueueParameters};

const VERSION: u8 = 1;

/// The bytes are no image of a queue, or one of another version. Nothing of them can be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no image of a queue")]
pub struct NotAnImage;

/// A queue at one moment. Cheap to take: full chunks of what is ready are shared with the queue, the rest is copied.
/// Encode it elsewhere, and drop it soon: a shared chunk that changes is copied.
#[derive(Debug)]
pub struct QueueImage {
    queue: Queue,
}

impl Queue {
    /// All that there is to keep of the queue now.
    pub fn image(&self) -> QueueImage {
        let queue = Self {
            parameters: self.parameters.clone(),
            random: self.random.clone(),
            messages: self.messages,
            bytes: self.bytes,
            lanes: self.lanes.clone(),
            notes: self.notes.clone(),
            groups: self.groups.clone(),
            leases: self.leases.clone(),
            delayed: self.delayed.clone(),
            dedup: self.dedup.clone(),
            paused: self.paused,
            paused_groups: self.paused_groups.clone(),
            // What follows from the rest.
            lease_ends: BTreeSet::new(),
            delayed_count: 0,
            delayed_too_long: BTreeSet::new(),
            backoffs: BTreeSet::new(),
            bounds: BTreeSet::new(),
        };
        QueueImage { queue }
    }
}

impl QueueImage {
    /// Appends the image. The same queue gives the same bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let queue = &self.queue;
        out.push(VERSION);
        out.push(u8::from(queue.paused));
        list(out, queue.paused_groups.iter(), |out, name| {
            out.extend(name.to_le_bytes());
        });
        let keys: Vec<_> = queue.dedup.iter().collect();
        list(out, keys.iter(), |out, &(key, handle, at)| {
            out.extend(key.to_le_bytes());
            put(out, &[handle.0, at.0]);
        });
        let mut leases: Vec<_> = queue.leases.iter().collect();
        leases.sort_unstable_by_key(|(handle, _)| **handle);
        list(out, leases.iter(), |out, (_, lease)| {
            put_message(out, &lease.message);
            out.extend(lease.token.to_le_bytes());
            put(out, &[lease.until.0]);
        });
        list(out, queue.delayed.iter(), |out, (&(due, _), message)| {
            put_message(out, message);
            put(out, &[due.0]);
        });
        let names = queue.group_names();
        let groups: Vec<_> = names
            .iter()
            .filter_map(|name| Some((*name, queue.groups.get(name)?)))
            .collect();
        list(out, groups.iter(), |out, &(name, group)| {
            put_group(out, name, group);
        });
        let mut notes: Vec<_> = queue.notes.iter().collect();
        notes.sort_unstable_by_key(|(handle, _)| **handle);
        list(out, notes.iter(), |out, (handle, note)| {
            put(out, &[handle.0]);
            out.extend(note.attempts.to_le_bytes());
            put(out, &[note.since.0]);
        });
        let lanes: Vec<_> = queue.lanes.iter().collect();
        list(out, lanes.iter(), |out, &(key, lane)| {
            put_lane(out, key, lane);
        });
    }
}

/// The queue that an image shows, with the seed 0.
pub(super) fn decode(bytes: &[u8], parameters: &QueueParameters) -> Result<Queue, NotAnImage> {
    let mut reader = Reader { bytes };
    let mut queue = Queue::new(parameters.clone(), 0);
    if reader.u8()? != VERSION {
        return Err(NotAnImage);
    }
    queue.paused = reader.flag()?;
    for _ in 0..reader.u32()? {
        queue.paused_groups.insert(reader.u128()?);
    }
    for _ in 0..reader.u32()? {
        let (key, handle, at) = (reader.u128()?, reader.handle()?, reader.millis()?);
        queue.dedup.insert(key, handle, at);
    }
    for _ in 0..reader.u32()? {
        let message = reader.message()?;
        let (token, until) = (reader.u32()?, reader.millis()?);
        if queue.leases.contains_key(&message.handle) {
            return Err(NotAnImage);
        }
        queue.count(message.handle);
        queue.hold(message, token, until);
    }
    for _ in 0..reader.u32()? {
        let message = reader.message()?;
        let due = reader.millis()?;
        queue.count(message.handle);
        queue.delay(due, message);
    }
    for _ in 0..reader.u32()? {
        read_group(&mut reader, &mut queue)?;
    }
    let mut notes = HashMap::new();
    for _ in 0..reader.u32()? {
        let (handle, attempts, since) = (reader.handle()?, reader.u32()?, reader.millis()?);
        notes.insert(handle, Note { attempts, since });
    }
    for _ in 0..reader.u32()? {
        read_lane(&mut reader, &mut queue, &mut notes)?;
    }
    if !reader.bytes.is_empty() {
        return Err(NotAnImage);
    }
    // A group whose turn the image does not show where it has to be.
    for name in queue.group_names() {
        queue.settle_group(name, false);
    }
    Ok(queue)
}

fn list<T>(
    out: &mut Vec<u8>,
    entries: impl ExactSizeIterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T),
) {
    // Each list is far below 2^32: an entry takes more than a byte of memory.
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    out.extend(count.to_le_bytes());
    for entry in entries.take(count as usize) {
        each(out, entry);
    }
}

fn put(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend(word.to_le_bytes());
    }
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    put_waiting(out, &Waiting::new(message));
    out.push(u8::from(message.group.is_some()));
    if let Some(name) = message.group() {
        out.extend(name.to_le_bytes());
    }
}

fn put_waiting(out: &mut Vec<u8>, waiting: &Waiting) {
    let (at, since) = (waiting.at.0, waiting.since.0);
    put(out, &[waiting.handle.0, at, since, waiting.tenant]);
    out.extend(waiting.attempts.to_le_bytes());
    out.push(waiting.priority);
}

fn put_group(out: &mut Vec<u8>, name: u128, group: &Group) {
    out.extend(name.to_le_bytes());
    out.push(u8::from(group.backoff.is_some()));
    if let Some(due) = group.backoff {
        put(out, &[due.0]);
    }
    list(out, group.line.iter(), put_waiting);
}

fn put_lane(out: &mut Vec<u8>, key: LaneKey, lane: &Lane) {
    out.push(key.priority);
    put(out, &[key.tenant]);
    list(out, lane.returned().iter(), |out, (handle, at)| {
        put(out, &[handle.0, at.0]);
    });
    let mut turns = lane.turns().iter().peekable();
    let mut places = Vec::with_capacity(turns.len());
    let mut chunks = Vec::new();
    let mut count = 0_u32;
    let mut chunk = Chunk::default();
    let mut place = 0_u64;
    for (index, handle, at) in lane.run().iter() {
        while let Some(turn) = turns.next_if(|turn| turn.position <= index) {
            places.push((place, turn.group));
        }
        if !chunk.push(handle, at) {
            count += 1;
            put_chunk(&mut chunks, &mut chunk);
            chunk.push(handle, at);
        }
        place += 1;
    }
    places.extend(turns.map(|turn| (place, turn.group)));
    if chunk.len() > 0 {
        count += 1;
        put_chunk(&mut chunks, &mut chunk);
    }
    list(out, places.iter(), |out, (place, name)| {
        put(out, &[*place]);
        out.extend(name.to_le_bytes());
    });
    out.extend(count.to_le_bytes());
    out.append(&mut chunks);
}

fn put_chunk(out: &mut Vec<u8>, chunk: &mut Chunk) {
    out.extend((chunk.len() as u16).to_le_bytes());
    put(out, &[chunk.base()]);
    put(out, chunk.handles());
    for offset in chunk.offsets() {
        out.extend(offset.to_le_bytes());
    }
    chunk.clear();
}

fn read_group(reader: &mut Reader<'_>, queue: &mut Queue) -> Result<(), NotAnImage> {
    let name = reader.u128()?;
    let backoff = reader.flag()?.then(|| reader.millis()).transpose()?;
    let mut group = Group {
        leased: queue.groups.get(&name).map_or(0, |group| group.leased),
        ..Group::default()
    };
    let known = queue.groups.get(&name);
    if known.is_some_and(|group| !group.line.is_empty()) {
        return Err(NotAnImage);
    }
    for _ in 0..reader.u32()? {
        let waiting = reader.waiting()?;
        queue.count(waiting.handle);
        group.line.push_back(waiting);
    }
    group.backoff = backoff.filter(|_| !group.line.is_empty());
    if let Some(due) = group.backoff {
        queue.backoffs.insert((due, name));
    }
    if !group.line.is_empty() {
        // Its turn is read with its lane.
        queue.groups.insert(name, group);
    }
    Ok(())
}

fn read_lane(
    reader: &mut Reader<'_>,
    queue: &mut Queue,
    notes: &mut HashMap<Handle, Note>,
) -> Result<(), NotAnImage> {
    let key = LaneKey {
        priority: reader.priority()?,
        tenant: reader.u64()?,
    };
    if queue.lanes.get(key).is_some() {
        return Err(NotAnImage);
    }
    let mut lane = Lane::default();
    for _ in 0..reader.u32()? {
        let (handle, at) = (reader.handle()?, reader.millis()?);
        lane.push_returned(handle, at);
        queue.recall(handle, notes);
    }
    let mut turns = Vec::new();
    for _ in 0..reader.u32()? {
        turns.push((reader.u64()?, reader.u128()?));
    }
    for _ in 0..reader.u32()? {
        let count = usize::from(reader.u16()?);
        let base = reader.u64()?;
        if count > CHUNK {
            return Err(NotAnImage);
        }
        let mut handles = Reader {
            bytes: reader.slice(count * size_of::<u64>())?,
        };
        for _ in 0..count {
            let offset = u64::from(reader.u32()?);
            let at = base.checked_add(offset).ok_or(NotAnImage)?;
            let handle = handles.handle()?;
            lane.push(handle, Millis(at));
            queue.recall(handle, notes);
        }
    }
    for (place, name) in turns {
        // Only a turn that the group may have: the rest is as the groups say.
        if queue.may_stand(name, key) {
            lane.push_turn_at(place, name);
        }
    }
    if !lane.is_empty() {
        *queue.lanes.get_or_new(key) = lane;
        queue.settle_lane(key);
    }
    Ok(())
}

impl Queue {
    pub(super) fn count(&mut self, handle: Handle) {
        self.messages += 1;
        self.bytes += handle.bytes();
    }

    /// Counts a message of a lane, with its note.
    fn recall(&mut self, handle: Handle, notes: &mut HashMap<Handle, Note>) {
        self.count(handle);
        if !notes.is_empty()
            && let Some(note) = notes.remove(&handle)
        {
            self.notes.insert(handle, note);
        }
    }

    /// Whether a group that has no turn yet may have it in this lane; it has it then.
    fn may_stand(&mut self, name: u128, key: LaneKey) -> bool {
        let paused = self.paused_groups.contains(&name);
        let Some(group) = self.groups.get_mut(&name) else {
            return false;
        };
        let stands = !paused
            && group.turn.is_none()
            && group.leased == 0
            && group.backoff.is_none()
            && group.line.front().is_some_and(|head| head.lane() == key);
        if stands {
            group.turn = Some(key);
        }
        stands
    }
}

/// Takes off the front of what is there.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], NotAnImage> {
        let (first, rest) = take(&mut self.bytes)
            .split_at_checked(length)
            .ok_or(NotAnImage)?;
        self.bytes = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotAnImage> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(NotAnImage)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn u8(&mut self) -> Result<u8, NotAnImage> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, NotAnImage> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, NotAnImage> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, NotAnImage> {
        self.array().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Result<u128, NotAnImage> {
        self.array().map(u128::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, NotAnImage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NotAnImage),
        }
    }

    fn millis(&mut self) -> Result<Millis, NotAnImage> {
        self.u64().map(Millis)
    }

    fn handle(&mut self) -> Result<Handle, NotAnImage> {
        let handle = self.u64()?;
        if handle >> 63 != 0 {
            return Err(NotAnImage);
        }
        Ok(Handle(handle))
    }

    fn priority(&mut self) -> Result<u8, NotAnImage> {
        let priority = self.u8()?;
        if priority >= PRIORITIES {
            return Err(NotAnImage);
        }
        Ok(priority)
    }

    fn waiting(&mut self) -> Result<Waiting, NotAnImage> {
        Ok(Waiting {
            handle: self.handle()?,
            at: self.millis()?,
            since: self.millis()?,
            tenant: self.u64()?,
            attempts: self.u32()?,
            priority: self.priority()?,
        })
    }

    fn message(&mut self) -> Result<Message, NotAnImage> {
        let waiting = self.waiting()?;
        let name = self.flag()?.then(|| self.u128()).transpose()?;
        Ok(Message {
            handle: waiting.handle,
            at: waiting.at,
            since: waiting.since,
            tenant: waiting.tenant,
            group: name.map(GroupName::from),
            attempts: waiting.attempts,
            priority: waiting.priority,
        })
    }
}
