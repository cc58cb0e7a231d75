//! The journal of the running process: what is written to it, the head that is signed, what is forgotten.
//!
//! Nothing here waits for the disk: the store's thread does (`plimsoll-store`). Where the store can't be opened, the
//! process serves all the same, says so, and records wait in memory for as long as they fit.
//! While a process takes over from another, both write the same chain.

mod changes;
pub(crate) mod command;
pub(crate) mod line;
pub(crate) mod read;
mod retention;
mod since;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::{JournalView, StoreFailure};
use plimsoll_store::{
    Appended, Change, Entry, Head, Identity, Keeper, NotChanged, Record, SqliteStore, Store,
    StoreError,
};
use plimsoll_upstream::Clock;
use serde_json::{Value, json};

use crate::exit::with_causes;
use crate::state::StateFolder;
use retention::Retention;

pub(crate) use changes::{Addresses, changed, configuration, endpoint_subject};
pub(crate) use command::read;
pub(crate) use line::line;
pub(crate) use since::Since;

/// How often the head is signed, in ticks of a second: what was cut off after it is found.
const HEAD_EVERY: u64 = 60;
/// How often what is old enough is forgotten, in ticks; the first time a minute after the start.
const FORGET_EVERY: u64 = 86_400;
/// Where the store keeps what counts as now for that, in nanoseconds since the epoch.
const RETENTION: &str = "journal/retention";

/// See the module's docs.
#[derive(Debug)]
pub(crate) struct Journal {
    keeper: Keeper,
    place: Arc<Place>,
}

/// What the store's thread needs.
#[derive(Debug)]
struct Place {
    state: StateFolder,
    clock: Clock,
    identity: OnceLock<Identity>,
    /// What was said of the last damage.
    damage: Mutex<Option<String>>,
    /// The last sequence whose head was signed.
    signed: AtomicU64,
    /// Since the store was first opened.
    retention: Mutex<Option<Retention>>,
}

impl Journal {
    /// Begins the store's thread; it opens the store.
    pub(crate) fn start(state: &StateFolder, clock: Clock) -> std::io::Result<Self> {
        let place = Arc::new(Place {
            state: state.clone(),
            clock,
            identity: OnceLock::new(),
            damage: Mutex::new(None),
            signed: AtomicU64::new(0),
            retention: Mutex::new(None),
        });
        let opened = Arc::clone(&place);
        let keeper = Keeper::new(move || opened.open(), move || clock.timestamp())?;
        Ok(Self { keeper, place })
    }

    /// Has something written. `kind` is what it is (`change`, `decision`, ...), `subject` what it is about
    /// (`service/checkout`). The body's `text`, if it has one, is what `plimsoll journal list` shows: a few words.
    /// No secret and nothing of a client belongs in it.
    pub(crate) fn write(&self, kind: &str, subject: &str, body: &Value) {
        self.append(self.entry(kind, subject, body));
    }

    /// The same; `tell` is called on the store's thread, once the record is durable or has to wait.
    pub(crate) fn write_then(
        &self,
        kind: &str,
        subject: &str,
        body: &Value,
        tell: impl FnOnce(Result<Record, String>) + Send + 'static,
    ) {
        let entry = self.entry(kind, subject, body);
        self.keeper.append_then(entry, tell);
    }

    /// A record as of now, for [`Self::append`] and [`Self::change`].
    pub(crate) fn entry(&self, kind: &str, subject: &str, body: &Value) -> Entry {
        self.place.entry(kind, subject, body)
    }

    pub(crate) fn append(&self, entry: Entry) {
        self.keeper.append(entry);
    }

    /// The same; `tell` is called as by [`Self::write_then`].
    pub(crate) fn append_then(
        &self,
        entry: Entry,
        tell: impl FnOnce(Result<Record, String>) + Send + 'static,
    ) {
        self.keeper.append_then(entry, tell);
    }

    /// Whose chain is written; `None` before the store was first opened.
    pub(crate) fn writer(&self) -> Option<String> {
        let identity = self.place.identity.get();
        identity.map(|identity| identity.writer().to_owned())
    }

    /// Has a value of the state changed, with a record: both or neither. `tell` is called on the store's thread.
    pub(crate) fn change(
        &self,
        change: Change,
        tell: impl FnOnce(Result<(Record, u64), NotChanged>) + Send + 'static,
    ) {
        self.keeper.change(change, tell);
    }

    /// Has something else done with the store, after all that was asked for before; nothing, where it can't be opened. Says
    /// whether it was asked at all: whoever needs it asks again.
    pub(crate) fn ask(
        &self,
        work: impl FnOnce(&mut dyn Store) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        self.keeper.ask(work)
    }

    /// Whether the store is open and does what it is asked.
    pub(crate) fn works(&self) -> bool {
        let view = self.keeper.view();
        view.open && view.failing.is_none()
    }

    /// The same, with word of it.
    pub(crate) fn write_and_tell(&self, kind: &str, subject: &str, body: &Value) -> Appended {
        self.keeper
            .append_and_tell(self.place.entry(kind, subject, body))
    }

    /// The same, about what is written as `cites`.
    pub(crate) fn write_about(&self, cites: Option<u64>, kind: &str, subject: &str, body: &Value) {
        let entry = self.place.entry(kind, subject, body);
        self.keeper.append(Entry { cites, ..entry });
    }

    /// Signs and forgets when it is time; to be called each second.
    pub(crate) fn tick(&self, ticks: u64, keep: Duration) {
        if ticks % FORGET_EVERY == HEAD_EVERY {
            let place = Arc::clone(&self.place);
            self.keeper.ask(move |store| place.forget(store, keep));
        }
        if ticks.is_multiple_of(HEAD_EVERY) {
            self.sign();
        }
    }

    /// Signs the head, if anything was written since it was signed.
    pub(crate) fn sign(&self) {
        let place = Arc::clone(&self.place);
        self.keeper.ask(move |store| place.sign(store));
    }

    /// How it is.
    pub(crate) fn view(&self) -> JournalView {
        let view = self.keeper.view();
        JournalView {
            open: view.open,
            records_total: view.written,
            waiting: view.waiting as u64,
            lost_total: view.lost,
            failure: view.failing.map(|(since, why)| StoreFailure { since, why }),
            last_sequence: view.last.map(|(sequence, _)| sequence),
        }
    }

    /// What someone should look at.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let view = self.view();
        let mut warnings = Vec::new();
        if let Some(failure) = &view.failure {
            warnings.push(format!(
                "the store fails since {}: {}; {} wait in memory",
                failure.since.to_rfc3339(),
                failure.why,
                records(view.waiting),
            ));
        }
        if view.lost_total > 0 {
            let lost = records(view.lost_total);
            warnings.push(format!("{lost} of the journal were lost: see its gaps"));
        }
        let damage = self.place.damage.lock();
        warnings.extend(damage.unwrap_or_else(PoisonError::into_inner).clone());
        warnings
    }
}

impl Place {
    fn entry(&self, kind: &str, subject: &str, body: &Value) -> Entry {
        Entry {
            at: self.clock.timestamp(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            cites: None,
            body: body.to_string().into_bytes(),
        }
    }

    fn identity(&self) -> Result<&Identity, StoreError> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let identity = Identity::at(&self.state.journal_key())?;
        Ok(self.identity.get_or_init(|| identity))
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let writer = self.identity()?.writer();
        let now = self.clock.timestamp();
        let (mut store, damage) = SqliteStore::open(&self.state.store(), writer, now)?;
        let mut retention = self.retention();
        if retention.is_none() {
            let kept = store
                .value(RETENTION)?
                .and_then(|kept| read_time(&kept.value));
            let last = store.last()?.map(|last| last.entry.at);
            *retention = Some(Retention::begin(kept, last, now, self.clock.now()));
        }
        drop(retention);
        if let Some(damage) = damage {
            let kept = damage.kept.display().to_string();
            let reason = damage.reason;
            let text = format!(
                "the store was damaged ({reason}) and is begun anew: what was in it is kept in {kept}"
            );
            tracing::error!(kept, reason, "the store was damaged: it is begun anew");
            let body = json!({ "text": text, "kept": kept, "reason": reason });
            store.append(&[self.entry("damage", "journal", &body)])?;
            let mut said = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
            *said = Some(text);
        }
        Ok(Box::new(store))
    }

    fn head(&self, record: &Record) -> Option<Head> {
        let at = self.clock.timestamp();
        let identity = self.identity.get()?;
        Some(identity.sign(record.sequence, record.hash, at))
    }

    fn sign(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        let Some(last) = store.last()? else {
            return Ok(());
        };
        if self.signed.swap(last.sequence, Ordering::Relaxed) == last.sequence {
            return Ok(());
        }
        let head = self.head(&last).map(|head| serde_json::to_string(&head));
        if let Some(Ok(head)) = head {
            // Whoever keeps our log elsewhere keeps the heads elsewhere.
            tracing::info!(%head, "journal head");
            if let Err(error) = self.state.write_journal_head(&head) {
                tracing::warn!(error = %with_causes(&error), "the journal's head can't be written");
            }
        }
        Ok(())
    }

    fn retention(&self) -> MutexGuard<'_, Option<Retention>> {
        let retention = self.retention.lock();
        retention.unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, store: &mut dyn Store, keep: Duration) -> Result<(), StoreError> {
        let now = self.clock.timestamp();
        let Some((before, time)) = self.retention().as_mut().map(|retention| {
            let before = retention.before(now, self.clock.now(), keep);
            (before, retention.time())
        }) else {
            return Ok(());
        };
        let version = store.value(RETENTION)?.map_or(0, |kept| kept.version);
        let time = time.as_nanos().to_string();
        // Nobody else writes it; if so, it is kept the next time.
        let _version = store.compare_and_set(RETENTION, version, Some(time.as_bytes()))?;
        let identity = self.identity()?;
        let sign = |record: &Record| identity.sign(record.sequence, record.hash, now);
        let forgotten = store.forget(before, &sign)?;
        if forgotten > 0 {
            let text = format!(
                "{} from before {} forgotten",
                records(forgotten),
                before.to_rfc3339()
            );
            let body = json!({ "text": text, "records": forgotten });
            store.append(&[self.entry("retention", "journal", &body)])?;
        }
        Ok(())
    }
}

fn read_time(text: &[u8]) -> Option<Timestamp> {
    let nanos = str::from_utf8(text).ok()?.parse().ok()?;
    Some(Timestamp::from_nanos(nanos))
}

fn records(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} record{plural}")
}
