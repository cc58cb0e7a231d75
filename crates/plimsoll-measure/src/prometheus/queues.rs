//! Metrics of durable queues. Clients may make queues: the view has at most so many of them.

use super::exposition::{Exposition, Kind};
use crate::snapshot::{QueueView, QueuesView};

/// Nothing where no queues are configured.
pub(super) fn render(out: &mut Exposition, view: Option<&QueuesView>) {
    let Some(view) = view else { return };
    out.family(
        "plimsoll_queues_up",
        Kind::Gauge,
        "1 while durable queues are open and their disk works, 0 if not.",
    );
    out.sample("", &[], u64::from(view.up));
    let Some(disk) = &view.disk else { return };
    let all = [
        (
            "plimsoll_queues_disk_bytes",
            "What durable queues take on disk.",
            disk.bytes,
        ),
        (
            "plimsoll_queues_disk_max_bytes",
            "What durable queues may take on disk.",
            disk.bytes_max,
        ),
        (
            "plimsoll_queue_labels_dropped",
            "Durable queues that have no series of their own, because there are too many.",
            view.left_out,
        ),
    ];
    for (name, help, value) in all {
        out.family(name, Kind::Gauge, help);
        out.sample("", &[], value);
    }
    out.family(
        "plimsoll_queue_messages",
        Kind::Gauge,
        "Messages of a durable queue by state.",
    );
    for it in &view.queues {
        for (state, count) in [
            ("ready", it.ready),
            ("delayed", it.delayed),
            ("in_flight", it.in_flight),
        ] {
            let labels = [("queue", it.name.as_str()), ("state", state)];
            out.sample("", &labels, count);
        }
    }
    out.family(
        "plimsoll_queue_bytes",
        Kind::Gauge,
        "What the messages of a durable queue take in the log.",
    );
    for it in &view.queues {
        out.sample("", &[("queue", &it.name)], it.bytes);
    }
    out.family(
        "plimsoll_queue_oldest_age_seconds",
        Kind::Gauge,
        "How long ago the oldest message that is ready was published; absent where none is.",
    );
    for it in &view.queues {
        if let Some(age) = it.oldest_age_seconds {
            out.sample("", &[("queue", &it.name)], age);
        }
    }
    totals(out, &view.queues);
}

fn totals(out: &mut Exposition, queues: &[QueueView]) {
    type Total = fn(&QueueView) -> u64;
    let families: [(&'static str, &str, Total); 6] = [
        (
            "plimsoll_queue_published",
            "Messages that were published to a durable queue and are on disk.",
            |it| it.published_total,
        ),
        (
            "plimsoll_queue_delivered",
            "Deliveries from a durable queue; a message counts with each attempt.",
            |it| it.delivered_total,
        ),
        (
            "plimsoll_queue_acknowledged",
            "Messages of a durable queue that a consumer was done with.",
            |it| it.acknowledged_total,
        ),
        (
            "plimsoll_queue_returned",
            "Messages of a durable queue that were given back or whose lease ran out, to be delivered again.",
            |it| it.returned_total,
        ),
        (
            "plimsoll_queue_dead_letters",
            "Messages of a durable queue that became dead letters.",
            |it| it.dead_letters_total,
        ),
        (
            "plimsoll_queue_expired",
            "Messages of a durable queue that were older than it keeps any.",
            |it| it.expired_total,
        ),
    ];
    for (name, help, total) in families {
        out.family(name, Kind::Counter, help);
        for it in queues {
            out.sample("_total", &[("queue", &it.name)], total(it));
        }
    }
}
