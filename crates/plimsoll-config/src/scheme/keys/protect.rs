//! The keys of what protects a service.

use std::time::Duration;

use super::{DAY, HOUR, KIB, MILLISECOND, MODE, NONE};
use crate::scheme::{Key, Kind, Table, Word};

/// A bound that a service can take away again where `[defaults]` has one.
const BOUND: Kind = Kind::Either {
    words: NONE,
    other: Some(&Kind::Count {
        min: 1,
        max: 1_000_000,
    }),
};

pub(super) static PROTECT: Table = Table {
    doc: "What protects a service and its callers.",
    groups: &[&[
        Key::new("mode", MODE, "Of all protections of the service.").default(r#""enforce""#),
        Key::new("deadline", Kind::Table(&DEADLINE), "How long a request may take.").default("{}"),
        Key::new("limiter", Kind::Table(&LIMITER), "How many attempts are in flight at once.").default("{}"),
        Key::new("queue", Kind::Table(&QUEUE), "What waits where the limiter is full; by class, then fairly between tenants.").default("{}"),
        Key::new("bulkhead", Kind::Table(&BULKHEAD), "Bounds that keep one stuck service from using up the gateway.").default("{}"),
        Key::new("retry", Kind::Table(&RETRY), "What is tried again, on another endpoint where there is one.").default("{}"),
        Key::new("hedge", Kind::Table(&HEDGE), "A second attempt beside a slow one; the first answer counts, the other attempt is cancelled. Off until asked for.").default("{}"),
        Key::new("breaker", Kind::Table(&BREAKER), "An endpoint that fails or slows down against its own history is left alone, then probed.").default("{}"),
        Key::new("ejection", Kind::Table(&EJECTION), "An endpoint that does worse than its peers is left alone for a growing time. At most half of them are out by judgement.").default("{}"),
        Key::new("throttle", Kind::Table(&THROTTLE), "A share of requests is refused while the service as a whole fails. Off until asked for.").default("{}"),
        Key::new("idle_connections_max", Kind::Count { min: 0, max: 100_000 }, "Idle connections kept to one endpoint by one thread.").default("64"),
        Key::new("idle_connection_time_max", Kind::Duration { min: Duration::ZERO, max: DAY }, "How long such a connection may idle. Keep it below the service's own bound.").default(r#""30s""#),
        Key::new("connect_time_max", Kind::Duration { min: MILLISECOND, max: HOUR }, "How long making a connection may take.").default(r#""1s""#),
    ]],
    main: None,
};

static DEADLINE: Table = Table {
    doc: "How long a request may take.",
    groups: &[&[
        Key::new(
            "head",
            Kind::Duration {
                min: MILLISECOND,
                max: DAY,
            },
            "From the last byte of the request to the head of the response (504).",
        )
        .default(r#""30s""#),
        Key::new(
            "idle",
            Kind::Duration {
                min: MILLISECOND,
                max: DAY,
            },
            "Without a byte in either direction, after the head.",
        )
        .default(r#""60s""#),
        Key::new(
            "total",
            Kind::Either {
                words: NONE,
                other: Some(&Kind::Duration {
                    min: MILLISECOND,
                    max: Duration::from_secs(366 * 86_400),
                }),
            },
            "From the request's arrival to the last byte of the response.",
        )
        .default(r#""none""#),
    ]],
    main: Some("head"),
};

static LIMITER: Table = Table {
    doc: "How many attempts are in flight at once. What is above waits in the queue, or is refused (503).",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "adaptive",
                        doc: "found from what requests show",
                    },
                    Word {
                        word: "fixed",
                        doc: "`limit`",
                    },
                    Word {
                        word: "off",
                        doc: "no limit; the same as `mode = \"off\"`",
                    },
                ],
                other: Some(&Kind::Count {
                    min: 1,
                    max: 100_000,
                }),
            },
            "Where the limit comes from; a number is that fixed limit. Absent: `fixed` where `limit` is given.",
        )
        .default(r#""adaptive""#)
        .zero(NO_LIMIT),
        Key::new(
            "max",
            Kind::Count {
                min: 2,
                max: 100_000,
            },
            "The most that the limit may become. A fixed limit above it is an error where both are written.",
        )
        .default("1000")
        .zero(NO_LIMIT),
        Key::new(
            "limit",
            Kind::Count {
                min: 1,
                max: 100_000,
            },
            "The limit of `fixed`.",
        )
        .zero(NO_LIMIT),
        Key::new(
            "mode",
            MODE,
            "Whether it acts. A service that gives `kind` or `limit` switches on what `[defaults]` has off.",
        )
        .default(r#""enforce""#),
    ]],
    main: Some("kind"),
};

const NO_LIMIT: &str =
    "a limit of 0 would refuse everything; for no limit write `limiter = \"off\"`";

static QUEUE: Table = Table {
    doc: "What waits where the limiter is full.",
    groups: &[&[
        Key::new(
            "wait",
            Kind::Either {
                words: &[
                    Word {
                        word: "auto",
                        doc: "four times the median service time, within 10 to 50 ms",
                    },
                    Word {
                        word: "objective",
                        doc: "as long as still fits the latency objective",
                    },
                ],
                other: Some(&Kind::Duration {
                    min: Duration::ZERO,
                    max: HOUR,
                }),
            },
            "How long a request may wait; never longer than still fits the latency objective. With `\"0s\"` nothing waits.",
        )
        .default(r#""auto""#),
        Key::new(
            "requests_max",
            Kind::Count {
                min: 1,
                max: 1_000_000,
            },
            "Requests that wait at once. The oldest of the tenant furthest over its share goes first.",
        )
        .default("1024")
        .zero("for a queue in which nothing waits write `wait = \"0s\"`"),
    ]],
    main: Some("wait"),
};

static BULKHEAD: Table = Table {
    doc: "Bounds that keep one stuck service from using up the gateway. Requests in flight are bounded by `limiter.max`.",
    groups: &[&[
        Key::new(
            "connections_max",
            BOUND,
            "Connections to all endpoints of the service.",
        )
        .default(r#""none""#)
        .zero(NO_BOUND),
        Key::new("pending_max", BOUND, "Requests that wait for a place in the limiter.")
            .default(r#""none""#)
            .zero(NO_BOUND),
        Key::new(
            "streams_max",
            BOUND,
            "Long exchanges at once: upgrades, event streams and gRPC streams. They give their place in the limiter back.",
        )
        .default(r#""none""#)
        .zero(NO_BOUND),
    ]],
    main: None,
};

const NO_BOUND: &str = "a bound of 0 would refuse everything; for no bound write \"none\"";

static RETRY: Table = Table {
    doc: "What is tried again. After a byte was sent only where it is safe: an idempotent method or an `Idempotency-Key`, and a body that can be sent again.",
    groups: &[&[
        Key::new("mode", MODE, "Whether it is.").default(r#""enforce""#),
        Key::new(
            "attempts",
            Kind::Count { min: 1, max: 8 },
            "Tries in all, the first included.",
        )
        .default("2")
        .zero("tries include the first; for no retry write `attempts = 1`"),
        Key::new(
            "on",
            Kind::List {
                of: &Kind::Either {
                    words: RETRY_ON,
                    other: None,
                },
                bare: true,
            },
            "What is tried again: `connect` (the connection could not be made), `reset` (it broke before an answer), `502`, `503` (never with a `Retry-After`), `504`. Absent: `connect`; 502 and 504 are decided and counted, and not tried again.",
        ),
        Key::new(
            "budget",
            Kind::Percent,
            "The share of requests that retries may come to.",
        )
        .default(r#""10%""#),
        Key::new(
            "floor",
            Kind::Rate { zero: true },
            "Retries that are possible whatever the budget, for services with few requests.",
        )
        .default(r#""3/s""#),
        Key::new(
            "body_bytes_max",
            Kind::Size {
                min: 0,
                max: 16 * 1024 * KIB,
            },
            "The bytes of a request's body kept to be sent again; a request with a larger one is not.",
        )
        .default(r#""64KiB""#),
    ]],
    main: Some("attempts"),
};

const RETRY_ON: &[Word] = &[
    Word {
        word: "connect",
        doc: "the connection could not be made",
    },
    Word {
        word: "reset",
        doc: "the connection broke before an answer",
    },
    Word {
        word: "502",
        doc: "the service answered so",
    },
    Word {
        word: "503",
        doc: "the service answered so, without a `Retry-After`",
    },
    Word {
        word: "504",
        doc: "the service answered so",
    },
];

static HEDGE: Table = Table {
    doc: "A second attempt beside a slow one. It needs a place in the limiter of its own, and is left out where none is free.",
    groups: &[&[
        Key::new(
            "mode",
            MODE,
            "Whether it acts. Absent: `enforce` where `after` is given, else `off`. A service that gives `after` switches on what `[defaults]` has off.",
        ),
        Key::new(
            "after",
            Kind::Either {
                words: &[
                    Word {
                        word: "p50",
                        doc: "the median of the service's own latency",
                    },
                    Word {
                        word: "p75",
                        doc: "what three of four are below",
                    },
                    Word {
                        word: "p90",
                        doc: "what 90% are below",
                    },
                    Word {
                        word: "p95",
                        doc: "what 95% are below",
                    },
                    Word {
                        word: "p99",
                        doc: "what 99% are below",
                    },
                    Word {
                        word: "p99.9",
                        doc: "what 99.9% are below",
                    },
                ],
                other: Some(&Kind::Duration {
                    min: MILLISECOND,
                    max: HOUR,
                }),
            },
            "When the second attempt starts: a quantile of what the service took so far, or a time. Absent: `p95`.",
        ),
        Key::new(
            "budget",
            Kind::Percent,
            "The share of requests that second attempts may come to.",
        )
        .default(r#""5%""#),
    ]],
    main: Some("after"),
};

static BREAKER: Table = Table {
    doc: "An endpoint judged against its own history.",
    groups: &[&[Key::new("mode", MODE, "Whether it acts.").default(r#""enforce""#)]],
    main: Some("mode"),
};

static EJECTION: Table = Table {
    doc: "An endpoint judged against its peers.",
    groups: &[&[Key::new("mode", MODE, "Whether it acts.").default(r#""enforce""#)]],
    main: Some("mode"),
};

static THROTTLE: Table = Table {
    doc: "Graded refusal while the service as a whole fails.",
    groups: &[&[Key::new("mode", MODE, "Whether it acts.").default(r#""off""#)]],
    main: Some("mode"),
};
