//! How all queues stand, for metrics and for people.

use std::collections::HashSet;

use plimsoll_policy::queue::{Millis, QueueFigures};

use super::{Engine, RESERVE};

/// What became of a queue's messages since the engine was opened: none of it is kept over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that were published and are durable; without what came from another queue.
    pub published: u64,
    /// Publications of what was there already, by its key.
    pub duplicates: u64,
    /// Deliveries: a message counts with each attempt.
    pub delivered: u64,
    /// Messages that a consumer was done with.
    pub acknowledged: u64,
    /// Messages that were given back or whose lease ran out, and that are delivered again.
    pub returned: u64,
    /// Messages that went to the queue of dead letters.
    pub dead: u64,
    /// Messages that were older than the queue keeps any.
    pub expired: u64,
}

/// A queue, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// What it is called.
    pub name: String,
    /// What is in it, and whether it is paused.
    pub figures: QueueFigures,
    /// What became of its messages.
    pub counts: QueueCounts,
    /// Who is asked about it; the engine knows of nobody.
    pub owner: Option<String>,
    /// Whether another queue's dead letters go there.
    pub of_dead_letters: bool,
}

/// The log's room on disk, and whether it takes more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskView {
    /// Segments that messages are in, or that the log goes on in.
    pub segments_used: u64,
    /// Segments that can be used.
    pub segments_free: u64,
    /// What segments and images take.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// No more messages are taken: there is no room.
    pub is_full: bool,
    /// Nothing is taken any more until a restart, and why.
    pub failed: Option<String>,
}

/// All queues at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineView {
    /// The log's own time.
    pub now: Millis,
    /// By name; where there are too many, those with the most messages.
    pub queues: Vec<QueueView>,
    /// How many queues are not among them.
    pub left_out: usize,
    /// Of all together.
    pub disk: DiskView,
}

impl Engine {
    /// How at most `max` queues stand, and the log: at one moment.
    pub fn view(&self, max: usize) -> EngineView {
        let mut state = self.lock();
        let state = &mut *state;
        let now = self.now(state);
        // By names: what is being removed has none any more, and another may have it.
        let named = state.names.values();
        let entries = named.filter_map(|number| state.queues.get(number));
        let mut all: Vec<_> = entries.map(|it| (it.queue.figures(now), it)).collect();
        let messages = |it: &QueueFigures| it.ready + it.delayed + it.in_flight;
        all.sort_unstable_by(|(a, one), (b, other)| {
            let by_name = one.definition.name.cmp(&other.definition.name);
            messages(b).cmp(&messages(a)).then(by_name)
        });
        let targets: HashSet<String> = all
            .iter()
            .map(|(_, it)| it.definition.dead_letters())
            .collect();
        let left_out = all.len().saturating_sub(max);
        let view = |(figures, entry): (QueueFigures, &super::Entry)| QueueView {
            of_dead_letters: targets.contains(&entry.definition.name),
            name: entry.definition.name.clone(),
            figures,
            counts: entry.counts,
            owner: None,
        };
        let mut queues: Vec<_> = all.into_iter().take(max).map(view).collect();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let (used, free) = (state.order.len() as u64, state.free.len() as u64);
        let images = super::image::FILES.len() as u64 * state.image_bytes;
        EngineView {
            now,
            queues,
            left_out,
            disk: DiskView {
                segments_used: used,
                segments_free: free,
                bytes: (used + free) * self.options.segment_bytes + images,
                bytes_max: self.options.disk_max,
                is_full: state.free.len() <= RESERVE,
                failed: state.failed.as_ref().map(ToString::to_string),
            },
        }
    }
}
