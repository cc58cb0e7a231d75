//! The keys of queues.

use std::time::Duration;

use super::flags::TOKEN;
use super::{DAY, HOUR, KIB, MINUTE};
use crate::scheme::{FileKind, Key, Kind, Table, Word};

const MIB: u64 = 1024 * KIB;
const TIB: u64 = 1024 * 1024 * MIB;
/// The longest that a message is hidden, held back or tried again after.
const HALF_DAY: Duration = Duration::from_secs(12 * HOUR.as_secs());
const RETENTION_MAX: Duration = Duration::from_secs(92 * DAY.as_secs());

pub(super) static QUEUES: Table = Table {
    doc: "How all queues are kept, and where clients speak to them. Absent: there are no queues, unless some `[queue.NAME]` is there.",
    groups: &[&[
        Key::new(
            "listen",
            Kind::Address,
            "Where the HTTP API and the SQS protocol are served, as `\"127.0.0.1:7679\"`. Absent: nowhere.",
        ),
        Key::new(
            "folder",
            Kind::File(FileKind::StateFolder),
            "The folder that messages are kept in. Absent: `queues` in the state folder. What is in another folder stays there.",
        ),
        Key::new(
            "disk_max",
            Kind::Size {
                min: 128 * MIB,
                max: 64 * TIB,
            },
            "The bytes that all queues together may have on disk. Close to it, nothing more is taken.",
        )
        .default(r#""10GiB""#),
        Key::new(
            "durability",
            Kind::Either {
                words: &[
                    Word {
                        word: "sync",
                        doc: "on disk before it is acknowledged",
                    },
                    Word {
                        word: "interval",
                        doc: "acknowledged first, and on disk within 50 ms: what came last may be lost with the power",
                    },
                ],
                other: None,
            },
            "When what was sent is on disk.",
        )
        .default(r#""sync""#),
        Key::new(
            "create",
            Kind::Bool,
            "Whether clients may make, change and remove queues that are not in the file.",
        )
        .default("true"),
        Key::new(
            "tokens",
            Kind::List {
                of: &Kind::Table(&TOKEN),
                bare: false,
            },
            "What clients of the HTTP API send as `Authorization: Bearer`, one of these. Empty: whoever reaches the address may use it.",
        )
        .default("[]"),
        Key::new(
            "keys",
            Kind::Table(&KEYS),
            "The access keys that clients of the SQS protocol sign with. Absent: signatures are not asked for.",
        ),
        Key::new(
            "region",
            Kind::Text,
            "The region that the ARNs of queues say.",
        )
        .default(r#""us-east-1""#),
        Key::new(
            "url",
            Kind::BaseUrl,
            "What the URLs of queues begin with, as clients reach it. Absent: `http://` and the address in `listen`.",
        ),
    ]],
    main: None,
};

static KEYS: Table = Table {
    doc: "Where access keys are kept.",
    groups: &[&[Key::new(
        "file",
        Kind::File(FileKind::AccessKeys),
        "A file with one access key in a line, its id and its secret with a space between them. What comes after `#` is a comment.",
    )
    .required()]],
    main: Some("file"),
};

pub(super) static QUEUE: Table = Table {
    doc: "A queue. Its name has letters, digits, `_` and `-`, 80 at most; one that ends in `.fifo` keeps the order of its messages, and stands in quotes: `[queue.\"orders.fifo\"]`.",
    groups: &[&[
        Key::new("owner", Kind::Text, "Who is asked about it."),
        Key::new(
            "lease",
            Kind::Duration {
                min: Duration::ZERO,
                max: HALF_DAY,
            },
            "How long a message that somebody received is hidden from others, where they ask for nothing else. Then it is delivered again.",
        )
        .default(r#""30s""#),
        Key::new(
            "attempts_max",
            Kind::Count { min: 0, max: 1_000 },
            "After so many deliveries a message that comes back is a dead letter. 0: never.",
        )
        .default("5"),
        Key::new(
            "backoff",
            Kind::Table(&BACKOFF),
            "How long a message that failed waits for its next attempt: a random time, longer with each attempt.",
        )
        .default("{}"),
        Key::new(
            "retention",
            Kind::Duration {
                min: MINUTE,
                max: RETENTION_MAX,
            },
            "How long a message is kept that nobody settles. Then it is deleted.",
        )
        .default(r#""4d""#),
        Key::new(
            "delay",
            Kind::Duration {
                min: Duration::ZERO,
                max: HALF_DAY,
            },
            "How long a message is held back at first, where it does not say it itself.",
        )
        .default(r#""0s""#),
        Key::new(
            "wait",
            Kind::Duration {
                min: Duration::ZERO,
                max: Duration::from_secs(20),
            },
            "How long whoever receives waits for a message, where they do not say it themselves.",
        )
        .default(r#""0s""#),
        Key::new(
            "dedup",
            Kind::Table(&DEDUP),
            "What counts as the same message, sent twice: it is kept once.",
        )
        .default("{}"),
        Key::new(
            "raise_after",
            Kind::Duration {
                min: Duration::ZERO,
                max: RETENTION_MAX,
            },
            "What has waited so long counts as one priority higher, and so on. `\"0s\"`: never, the highest priority always comes first.",
        )
        .default(r#""1m""#),
        Key::new(
            "dead_letters",
            Kind::Text,
            "Another queue of this file, where dead letters go. Absent: to a queue called NAME-dead (NAME-dead.fifo), which is made when it is needed.",
        ),
        Key::new(
            "messages_max",
            Kind::Count {
                min: 1,
                max: 10_000_000_000,
            },
            "The messages that it may have.",
        )
        .default("100000000"),
        Key::new(
            "bytes_max",
            Kind::Either {
                words: &[Word {
                    word: "none",
                    doc: "what `queues.disk_max` leaves",
                }],
                other: Some(&Kind::Size {
                    min: KIB,
                    max: 64 * TIB,
                }),
            },
            "The bytes that its messages may take.",
        )
        .default(r#""none""#),
        Key::new(
            "message_max",
            Kind::Size {
                min: KIB,
                max: 3 * MIB,
            },
            "The bytes of one message, with its attributes.",
        )
        .default(r#""1MiB""#),
    ]],
    main: None,
};

static BACKOFF: Table = Table {
    doc: "How long a message that failed waits: at most `min` after the first attempt, twice as long after each further one, and never longer than `max`.",
    groups: &[&[
        Key::new(
            "min",
            Kind::Duration {
                min: Duration::ZERO,
                max: HALF_DAY,
            },
            "The longest wait after the first attempt.",
        )
        .default(r#""1s""#),
        Key::new(
            "max",
            Kind::Duration {
                min: Duration::ZERO,
                max: HALF_DAY,
            },
            "The longest wait after any attempt.",
        )
        .default(r#""5m""#),
    ]],
    main: None,
};

static DEDUP: Table = Table {
    doc: "What counts as the same message: what has the same key, within a time.",
    groups: &[&[
        Key::new(
            "window",
            Kind::Duration {
                min: Duration::ZERO,
                max: DAY,
            },
            "For how long a key is remembered. `\"0s\"`: not at all.",
        )
        .default(r#""5m""#),
        Key::new(
            "by_body",
            Kind::Bool,
            "Whether messages without a key are the same where their bodies are.",
        )
        .default("false"),
    ]],
    main: Some("window"),
};
