//! The values of `[queues]` and `[queue.NAME]` to their models.

use std::collections::BTreeMap;

use super::tenant;
use crate::model::{AccessKeys, QueueConfig, QueueDurability, Queues};
use crate::node::{Fields, Node};

/// `Some(None)`: the file has no queues.
pub(super) fn queues(node: &Node, has_queue: bool) -> Option<Option<Queues>> {
    if node.is_default && !has_queue {
        return Some(None);
    }
    let fields = node.as_table()?;
    Some(Some(Queues {
        listen: fields.address("listen"),
        folder: fields.file("folder"),
        disk_max: fields.size("disk_max")?,
        durability: match fields.word("durability")? {
            "sync" => QueueDurability::Sync,
            "interval" => QueueDurability::Interval,
            _ => return None,
        },
        create: fields.boolean("create")?,
        tokens: fields
            .list("tokens")
            .iter()
            .map(tenant::secret)
            .collect::<Option<_>>()?,
        keys: match fields.table("keys") {
            Some(keys) => Some(AccessKeys {
                path: keys.file("file")?,
                secrets: BTreeMap::new(),
            }),
            None => None,
        },
        region: fields.text("region")?.to_owned(),
        url: fields.text("url").map(str::to_owned),
    }))
}

pub(super) fn queue(fields: &Fields) -> Option<QueueConfig> {
    let (backoff, dedup) = (fields.table("backoff")?, fields.table("dedup")?);
    Some(QueueConfig {
        owner: fields.text("owner").map(str::to_owned),
        lease: fields.duration("lease")?,
        attempts_max: fields.count("attempts_max")?,
        backoff_min: backoff.duration("min")?,
        backoff_max: backoff.duration("max")?,
        retention: fields.duration("retention")?,
        delay: fields.duration("delay")?,
        wait: fields.duration("wait")?,
        dedup_window: dedup.duration("window")?,
        dedup_by_body: dedup.boolean("by_body")?,
        raise_after: fields.duration("raise_after")?,
        dead_letters: fields.text("dead_letters").map(str::to_owned),
        messages_max: fields.count("messages_max")?,
        bytes_max: fields.size("bytes_max"),
        message_max: fields.size("message_max")?,
    })
}

/// Where the dead letters of the queue `name` go unless the file says it.
pub(crate) fn dead_letters(name: &str) -> String {
    const DEAD: &str = "-dead";
    let (stem, end) = match name.strip_suffix(".fifo") {
        Some(stem) => (stem, ".fifo"),
        None => (name, ""),
    };
    let room = QueueConfig::NAME_MAX - DEAD.len() - end.len();
    format!("{}{DEAD}{end}", stem.get(..room).unwrap_or(stem))
}
