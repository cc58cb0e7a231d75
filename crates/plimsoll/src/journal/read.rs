//! The journal for whoever asks the running process: read off the control thread, as the command line reads it.

use std::path::PathBuf;
use std::sync::Arc;

use plimsoll_console::{Answer, IncidentRecords, JournalQuery, Problem, Records, Turns};
use plimsoll_measure::Incidents;
use plimsoll_store::{Cursor, Filter, Record, SqliteStore, Store as _, StoreError};
use plimsoll_upstream::Clock;

use super::since::Since;
use crate::exit::with_causes;
use crate::incident::story::Story;

/// How many records are given where it is not said.
const COUNT: u32 = 50;
/// How many records of a subject the draft of a review is made of at most: some megabytes while it is written.
const STORY_RECORDS: usize = 5_000;
/// The same of a page, of the latest and of the first: it lists some of them, and is drawn again and again.
const PAGE_RECORDS: usize = 300;

/// Reads the store's file, whoever writes it.
#[derive(Debug)]
pub(crate) struct JournalReader {
    path: PathBuf,
    clock: Clock,
    turns: Turns,
}

impl JournalReader {
    pub(crate) fn new(path: PathBuf, clock: Clock, turns: Turns) -> Self {
        Self { path, clock, turns }
    }

    pub(crate) fn read(&self, asked: JournalQuery) -> Answer<Records> {
        let since = asked.since.as_deref().map(str::parse::<Since>).transpose();
        let until = asked.until.as_deref().map(str::parse::<Since>).transpose();
        let before = asked.before.as_deref().map(str::parse::<Cursor>);
        let before = before.transpose();
        let (path, turns, now) = (
            self.path.clone(),
            self.turns.clone(),
            self.clock.timestamp(),
        );
        Box::pin(async move {
            let since = since.map_err(|why| Problem::invalid(format!("`since`: {why}")))?;
            let until = until.map_err(|why| Problem::invalid(format!("`until`: {why}")))?;
            let before = before.map_err(|why| Problem::invalid(format!("`before`: {why}")))?;
            let count = asked.count.unwrap_or(COUNT) as usize;
            let filter = Filter {
                kind: asked.kind,
                subject: asked.subject,
                since: since.map(|since| since.as_of(now)),
                until: until.map(|until| until.as_of(now)),
                text: asked.text,
                before,
                sequence: asked.sequence,
                cites: asked.cites,
                // One more tells whether there are more.
                count: count + 1,
                earliest: false,
            };
            let mut records = with(turns, path, move |store| store.list(&filter)).await?;
            let more = records.len().saturating_sub(count);
            records.drain(..more);
            let oldest = records.first().filter(|_| more > 0);
            Ok(Records {
                next: oldest.map(|record| Cursor::of(record).to_string()),
                records: records.iter().map(Record::to_cloudevent).collect(),
            })
        })
    }

    /// A draft of the review after an incident.
    pub(crate) fn review(&self, known: Arc<Incidents>, id: u64) -> Answer<String> {
        let now = self.clock.timestamp();
        self.story(known, id, STORY_RECORDS, move |story| story.review(now))
    }

    /// The records of an incident's time, for its page.
    pub(crate) fn incident(&self, known: Arc<Incidents>, id: u64) -> Answer<IncidentRecords> {
        self.story(known, id, PAGE_RECORDS, |story| IncidentRecords {
            records: story.records.iter().map(Record::to_cloudevent).collect(),
            left_out: story.left_out.clone(),
        })
    }

    /// Has an incident told.
    fn story<T: Send + 'static>(
        &self,
        known: Arc<Incidents>,
        id: u64,
        count: usize,
        tell: impl FnOnce(&Story<'_>) -> T + Send + 'static,
    ) -> Answer<T> {
        let (path, turns) = (self.path.clone(), self.turns.clone());
        Box::pin(async move {
            let told = with(turns, path, move |store| {
                let Some(incident) = known.get(id) else {
                    return Ok(None);
                };
                // Of one moment: else what is written meanwhile would seem to be left out.
                store.hold()?;
                let list = |filter: &Filter| store.list(filter);
                let story = Story::read(incident, &known, count, list)?;
                Ok(Some(tell(&story)))
            });
            let unknown = || Problem::not_found(format!("there is no incident #{id}"));
            told.await?.ok_or_else(unknown)
        })
    }
}

/// Reads something, once it is its turn, where a wait harms nobody.
async fn with<T: Send + 'static>(
    turns: Turns,
    path: PathBuf,
    read: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let read = move || SqliteStore::open_to_read(&path).and_then(|mut store| read(&mut store));
    turns.read(read).await?.map_err(|error| {
        let why = with_causes(&error);
        Problem::unavailable(format!("the journal can't be read: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn reading_is_paid_for_before_the_next_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let clock = Clock::new();
        drop(SqliteStore::open(&path, "test", clock.timestamp()).unwrap());
        // Of a ten-thousandth of a core, a read takes seconds, however fast it is.
        let turns = Turns::new(0.0001, Duration::ZERO);
        let reader = JournalReader::new(path, clock, turns);
        let read = || reader.read(JournalQuery::default());
        assert!(read().await.unwrap().records.is_empty());
        let next = tokio::time::timeout(Duration::from_millis(100), read());
        assert!(next.await.is_err());
        let review = reader.review(Arc::default(), 7);
        let review = tokio::time::timeout(Duration::from_millis(100), review);
        assert!(review.await.is_err());
    }
}
