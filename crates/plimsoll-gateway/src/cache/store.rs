//! Where answers are kept: one table for all threads, bounded in bytes. What is asked for least makes room (W-TinyLFU).
//!
//! Under a request's key is the answer, or, where answers differ by fields of requests, which fields those are: then
//! each is under that key with these fields behind it, and with a number. A new number puts all of them out of reach at
//! once; they are crowded out in time.
//!
//! Bounds: bytes of what is stored, and as many again of what is being fetched to be stored.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use moka::sync::Cache;
use plimsoll_policy::cache::key::CacheKey;
use plimsoll_policy::cache::{self, HeadFields, Vary};

use super::flights::{FlightKey, flight_key};
use super::{Answer, Disk, DiskStats, OnDisk, Purging};

/// Keys share counters of what became invalid: a fill whose neighbour became invalid is not stored, which is rare with
/// as many, and does no harm.
const EPOCHS: usize = 1_024;
/// What an entry takes beside its parts: the table's own place, its key's frequency, the list.
const ENTRY_BYTES: usize = 256;

/// Figures of what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers.
    pub entries: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// What is being fetched to be stored takes.
    pub filling_bytes: u64,
    /// Answers that made room for others.
    pub evictions: u64,
    /// What is on disk, if answers are stored there.
    pub disk: Option<DiskStats>,
}

/// Stored answers.
#[derive(Debug)]
pub(crate) struct Store {
    entries: Cache<Box<[u8]>, Entry>,
    /// How often something of these keys became invalid.
    epochs: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Numbers that were given.
    numbers: AtomicU64,
    filling: AtomicU64,
    evictions: Arc<AtomicU64>,
    bytes_max: u64,
    /// What outlives memory and process, if anything does.
    disk: Option<Disk>,
}

#[derive(Clone, Debug)]
enum Entry {
    Answer(Arc<Answer>),
    Variants(Arc<Variants>),
}

/// That answers differ, and by what.
#[derive(Debug)]
struct Variants {
    vary: Vary,
    number: u64,
}

/// A state of a key: what was fetched in it is stored in it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// What is stored for a request.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Nothing,
    /// Answers, for requests with other fields.
    OtherVariants,
    Answer(Arc<Answer>),
}

impl Found {
    /// The same, for the decision.
    pub(crate) fn as_policy(&self) -> cache::Found<'_> {
        match self {
            Self::Nothing => cache::Found::Nothing,
            Self::OtherVariants => cache::Found::OtherVariants,
            Self::Answer(answer) => cache::Found::Stored(&answer.stored),
        }
    }
}

impl Store {
    /// Empty, but for what is on disk. All answers in memory together take at most so many bytes.
    pub(crate) fn new(bytes_max: u64, disk: Option<Disk>) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&evictions);
        Self {
            evictions,
            entries: Cache::<Box<[u8]>, Entry>::builder()
                .max_capacity(bytes_max)
                .weigher(|key, entry| weigh(key, entry))
                .eviction_listener(move |_, _, cause| {
                    if cause == RemovalCause::Size {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .build(),
            epochs: (0..EPOCHS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            numbers: AtomicU64::new(0),
            filling: AtomicU64::new(0),
            bytes_max,
            disk,
        }
    }

    /// A successor has what is on disk: nothing is written there any more.
    pub(crate) fn leave_disk(&self) {
        if let Some(disk) = &self.disk {
            disk.rest();
        }
    }

    /// What the disk has for a request.
    pub(crate) fn on_disk(&self, key: &CacheKey, request: &impl HeadFields) -> Option<OnDisk> {
        self.disk.as_ref()?.find(key, request)
    }

    /// What is stored for a request.
    pub(crate) fn find(&self, key: &CacheKey, request: &impl HeadFields) -> Found {
        match self.entries.get(key.as_bytes()) {
            None => Found::Nothing,
            Some(Entry::Answer(answer)) => Found::Answer(answer),
            Some(Entry::Variants(variants)) => {
                let key = variants.key(key, request);
                match key.and_then(|key| self.entries.get(&key)) {
                    Some(Entry::Answer(answer)) => Found::Answer(answer),
                    _ => Found::OtherVariants,
                }
            }
        }
    }

    /// What a request that finds nothing of use asks for together with others.
    pub(crate) fn flight(
        &self,
        key: &CacheKey,
        request: &impl HeadFields,
        credentials: bool,
    ) -> FlightKey {
        let variant = match self.entries.get(key.as_bytes()) {
            Some(Entry::Variants(variants)) => variants.vary.key(request),
            _ => None,
        };
        flight_key(key, credentials, variant.as_deref())
    }

    /// The state of a key before it is looked up.
    pub(crate) fn epoch(&self, key: &CacheKey) -> Epoch {
        Epoch(self.epoch_of(key).load(Ordering::Acquire))
    }

    /// Stores what answers `request`, unless its key became invalid since `epoch`.
    pub(crate) fn insert(
        &self,
        key: &CacheKey,
        request: &impl HeadFields,
        epoch: Epoch,
        answer: Arc<Answer>,
    ) {
        if self.keep(key, request, epoch, Arc::clone(&answer))
            && let Some(disk) = &self.disk
        {
            disk.put(key, request, &answer);
            // It may have become invalid between the look and this.
            if self.epoch(key) != epoch {
                disk.remove(key);
            }
        }
    }

    /// The same, in memory alone: says whether it is there.
    pub(crate) fn keep(
        &self,
        key: &CacheKey,
        request: &impl HeadFields,
        epoch: Epoch,
        answer: Arc<Answer>,
    ) -> bool {
        if self.epoch(key) != epoch {
            return false;
        }
        let own: Box<[u8]> = key.as_bytes().into();
        if let Vary::Fields(names) = answer.stored.vary()
            && names.is_empty()
        {
            self.entries.insert(own, Entry::Answer(answer));
        } else {
            let variants = match self.entries.get(&own) {
                Some(Entry::Variants(variants)) if variants.vary == *answer.stored.vary() => {
                    variants
                }
                _ => {
                    let variants = Arc::new(Variants {
                        vary: answer.stored.vary().clone(),
                        number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    });
                    self.entries
                        .insert(own, Entry::Variants(Arc::clone(&variants)));
                    variants
                }
            };
            if let Some(key) = variants.key(key, request) {
                self.entries.insert(key, Entry::Answer(answer));
            }
        }
        // It may have become invalid between the look and the insertion.
        let is_valid = self.epoch(key) == epoch;
        if !is_valid {
            self.entries.invalidate(key.as_bytes());
        }
        is_valid
    }

    /// Takes out what is stored under a key, in every variant. What is being fetched for it is not stored.
    pub(crate) fn invalidate(&self, key: &CacheKey) {
        self.epoch_of(key).fetch_add(1, Ordering::AcqRel);
        self.entries.invalidate(key.as_bytes());
        if let Some(disk) = &self.disk {
            disk.remove(key);
        }
    }

    /// What is being fetched, for whatever key, is not stored.
    pub(crate) fn end_epochs(&self) {
        for epoch in &self.epochs {
            epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes out what is meant, by a look at all; says how many answers there were.
    pub(crate) fn purge(&self, purging: &Purging<'_>) -> u64 {
        let mut count = 0;
        for (key, entry) in &self.entries {
            let goes = purging.is_meant(&key)
                && match &entry {
                    Entry::Answer(answer) => purging.takes(answer),
                    Entry::Variants(_) => purging.takes_all(),
                };
            if goes {
                self.entries.invalidate(&**key);
                count += u64::from(matches!(entry, Entry::Answer(_)));
            }
        }
        // What is in memory is on disk, too, but for what is not written yet.
        let on_disk = self.disk.as_ref().map_or(0, |disk| disk.purge(purging));
        count.max(on_disk)
    }

    fn epoch_of(&self, key: &CacheKey) -> &AtomicU64 {
        static NONE: AtomicU64 = AtomicU64::new(0);
        let hash = self.hasher.hash_one(key) as usize;
        self.epochs.get(hash % EPOCHS).unwrap_or(&NONE)
    }

    /// Figures as of now. Not for where requests are served: it does what is left to do of the table's upkeep.
    pub(crate) fn stats(&self) -> CacheStats {
        self.entries.run_pending_tasks();
        CacheStats {
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
            bytes_max: self.bytes_max,
            filling_bytes: self.filling.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            disk: self.disk.as_ref().map(Disk::stats),
        }
    }

    /// Takes room for so many bytes of what is being fetched; says whether there was some.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let taken = self
            .filling
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |filling| {
                filling
                    .checked_add(bytes)
                    .filter(|sum| *sum <= self.bytes_max)
            });
        taken.is_ok()
    }

    /// Gives it back.
    pub(super) fn release(&self, bytes: u64) {
        self.filling.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What an entry takes, in bytes.
fn weigh(key: &[u8], entry: &Entry) -> u32 {
    let bytes = match entry {
        Entry::Answer(answer) => answer.bytes(),
        Entry::Variants(_) => 0,
    };
    u32::try_from(key.len() + ENTRY_BYTES + bytes).unwrap_or(u32::MAX)
}

impl Variants {
    /// The key of the answer for a request. No key of a request has a line feed in its path, which is its last part.
    fn key(&self, key: &CacheKey, request: &impl HeadFields) -> Option<Box<[u8]>> {
        let secondary = self.vary.key(request)?;
        let parts = [
            key.as_bytes(),
            b"\n",
            &self.number.to_be_bytes(),
            &*secondary,
        ];
        Some(parts.concat().into())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use plimsoll_core::{Instant, Timestamp};
    use plimsoll_http1::{Fields, ResponseHead};
    use plimsoll_policy::cache::{CacheParameters, CacheRequest, Received};

    use super::super::View;
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn key(path: &str) -> CacheKey {
        CacheKey::new("app", false, b"a", path.as_bytes())
    }

    fn answer(lines: &[(&str, &str)], body: &'static str) -> Arc<Answer> {
        let mut response = ResponseHead::new();
        response.set_from_parts(200).unwrap();
        response.fields = fields(lines);
        let received = Received {
            requested: Instant::ORIGIN,
            at: Instant::ORIGIN,
            date: Timestamp::from_seconds(1_795_737_600),
        };
        let parameters = CacheParameters::default();
        let none = fields(&[]);
        let request = CacheRequest::read(b"GET", &View(&none), false);
        let view = View(&response.fields);
        let stored =
            cache::Stored::judge(&request, 200, &view, None, received, &parameters).unwrap();
        let body = Bytes::from_static(body.as_bytes());
        let keys = super::super::purge::surrogates(&response.fields).unwrap();
        Arc::new(Answer::new(stored, &response, false, body, keys))
    }

    #[track_caller]
    fn check(store: &Store, request: &[(&str, &str)], expected: Option<&str>) {
        let request = fields(request);
        let body = match store.find(&key("/"), &View(&request)) {
            Found::Answer(answer) => Some(answer.body.clone()),
            _ => None,
        };
        assert_eq!(body.as_deref(), expected.map(str::as_bytes));
    }

    fn insert(store: &Store, request: &[(&str, &str)], answer: Arc<Answer>) {
        let request = fields(request);
        store.insert(&key("/"), &View(&request), store.epoch(&key("/")), answer);
    }

    const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
    const VARY: (&str, &str) = ("Vary", "Accept-Language");
    const GERMAN: [(&str, &str); 1] = [("Accept-Language", "de")];
    const FRENCH: [(&str, &str); 1] = [("Accept-Language", "fr")];

    #[test]
    fn each_variant_is_found_by_its_own_requests_and_all_become_invalid_at_once() {
        let store = Store::new(1 << 20, None);
        insert(&store, &GERMAN, answer(&[FRESH, VARY], "hallo"));
        check(&store, &FRENCH, None);
        insert(&store, &FRENCH, answer(&[FRESH, VARY], "salut"));
        check(&store, &GERMAN, Some("hallo"));
        check(&store, &FRENCH, Some("salut"));
        check(&store, &[], None);
        store.invalidate(&key("/"));
        check(&store, &GERMAN, None);
        insert(&store, &FRENCH, answer(&[FRESH, VARY], "coucou"));
        check(&store, &GERMAN, None);
        check(&store, &FRENCH, Some("coucou"));
    }

    #[test]
    fn what_was_fetched_before_its_key_became_invalid_is_not_stored_after_that() {
        let store = Store::new(1 << 20, None);
        let before = store.epoch(&key("/"));
        store.invalidate(&key("/"));
        let none = fields(&[]);
        store.insert(&key("/"), &View(&none), before, answer(&[FRESH], "old"));
        check(&store, &[], None);
        insert(&store, &[], answer(&[FRESH], "new"));
        check(&store, &[], Some("new"));
    }

    #[test]
    fn all_answers_together_stay_within_the_bound() {
        const BODY: &str = match str::from_utf8(&[b'x'; 1_000]) {
            Ok(body) => body,
            Err(_) => "",
        };
        let store = Store::new(100_000, None);
        for number in 0..1_000 {
            let key = key(&format!("/{number}"));
            let none = fields(&[]);
            store.insert(
                &key,
                &View(&none),
                store.epoch(&key),
                answer(&[FRESH], BODY),
            );
        }
        store.entries.run_pending_tasks();
        assert!(store.entries.weighted_size() <= 100_000);
        assert!(store.entries.entry_count() > 10);
    }

    #[test]
    fn what_is_being_fetched_is_bounded_too() {
        let store = Store::new(100, None);
        assert!(store.reserve(60) && !store.reserve(60));
        store.release(60);
        assert!(store.reserve(100));
    }
}
