//! The keys of a service.

use std::time::Duration;

use super::governor::CLASS_LIST;
use super::protect::PROTECT;
use super::rollout::VERSION;
use super::{CERTIFICATE, DAY, HOUR, MILLISECOND, MINUTE, SECOND};
use crate::scheme::{FileKind, Key, Kind, NameKind, Table, Word};

pub(super) static DEFAULTS: Table = Table {
    doc: "What every service has unless it says otherwise, key by key. `[defaults.protect]` has the keys of `[service.NAME.protect]`, and so on.",
    groups: &[SERVICE_KEYS],
    main: None,
};

pub(super) static SERVICE: Table = Table {
    doc: "Something that Plimsoll fronts.",
    groups: &[
        &[Key::new(
            "endpoints",
            Kind::List { of: &Kind::Endpoint, bare: true },
            "Where it is: `http://host:port` or `https://host:port`, at least one. The port may be left out for 80 and 443.",
        )
        .required(),
        Key::new(
            "version",
            Kind::Map { noun: Some("version"), names: NameKind::Identifier, of: &Kind::Table(&VERSION) },
            "Other versions of it, by name: what a `[rollout.NAME]` moves requests to.",
        )
        .default("{}")],
        SERVICE_KEYS,
    ],
    main: None,
};

static SERVICE_KEYS: &[Key] = &[
    Key::new("owner", Kind::Text, "Who is asked about it: a team or a person."),
    Key::new("tier", Kind::Count { min: 1, max: 9 }, "How much it matters; 1 matters most.").default("3"),
    Key::new("tls", Kind::Table(&UPSTREAM_TLS), "How `https` endpoints are checked.").default("{}"),
    Key::new(
        "protocol",
        Kind::Either {
            words: &[
                Word { word: "auto", doc: "over TLS what ALPN agrees on; in cleartext HTTP/2 for gRPC and HTTP/1.1 for all else" },
                Word { word: "http1", doc: "HTTP/1.1" },
                Word { word: "http2", doc: "HTTP/2, in cleartext with prior knowledge" },
            ],
            other: None,
        },
        "Which HTTP its endpoints speak.",
    )
    .default(r#""auto""#),
    Key::new("balance", Kind::Table(&BALANCE), "How an endpoint is chosen.").default("{}"),
    Key::new("health", Kind::Table(&HEALTH), "Active checks of the endpoints. Absent: only what requests show is known."),
    Key::new(
        "objective",
        Kind::Map { noun: Some("objective"), names: NameKind::Identifier, of: &Kind::Table(&OBJECTIVE) },
        "What the service promises, by name. An objective named `availability` or `latency` is of that kind.",
    )
    .default("{}"),
    Key::new("protect", Kind::Table(&PROTECT), "What protects it and its callers.").default("{}"),
    Key::later("contract"),
    Key::new(
        "runbook",
        Kind::File(FileKind::Runbook),
        "Where people read what to do: a URL, or a Markdown file of at most 64 KiB, beside the configuration. The console shows it with an incident; a URL is in messages of notifiers and in the alerts of `plimsoll slo export` too.",
    ),
    Key::new(
        "depends_on",
        Kind::List { of: &Kind::Text, bare: true },
        "What it can't do without, as `service.inventory`: while that burns, it is worked on there.",
    ),
    Key::new("degrade", Kind::Table(&DEGRADE), "What it gives up before it fails.").default("{}"),
    Key::new(
        "freeze",
        Kind::Bool,
        "Whether the governor freezes it while its budget is exhausted: what is risky is refused then. In the governor's mode `observe` it says that it would.",
    )
    .default("false"),
];

static DEGRADE: Table = Table {
    doc: "What a service gives up before it fails.",
    groups: &[&[
        Key::new(
            "read_only",
            Kind::Table(&READ_ONLY),
            "What is answered to requests that would change something, while it is read-only: by people (`plimsoll degrade`), or by the governor where it may.",
        )
        .default("{}"),
        Key::new(
            "brownout",
            Kind::List {
                of: &Kind::Feature,
                bare: true,
            },
            "Optional features that may be dimmed, at most 32, the first to be dimmed first. The service is told which in `Plimsoll-Brownout`.",
        )
        .default("[]"),
        Key::new(
            "switches",
            Kind::Map {
                noun: None,
                names: NameKind::Identifier,
                of: &Kind::Text,
            },
            "Features that a flag switches, by name, those of `brownout` and others: whoever has the flag off, or all while it is disabled, has the feature dimmed; whoever has the feature dimmed has the flag off.",
        )
        .default("{}"),
        Key::new(
            "stale",
            Kind::DURATION,
            "`stale` of its routes with `cache` that don't set their own: how long past its freshness an answer is given where the service fails, can't take the request or is spared.",
        )
        .default(r#""0s""#),
    ]],
    main: None,
};

static READ_ONLY: Table = Table {
    doc: "The answer of a service that is read-only.",
    groups: &[&[
        Key::new("status", Kind::Count { min: 400, max: 599 }, "The status.").default("503"),
        Key::new(
            "retry_after",
            Kind::Duration {
                min: SECOND,
                max: DAY,
            },
            "When it may be worth asking again (`Retry-After`).",
        )
        .default(r#""30s""#),
        Key::new(
            "governor",
            Kind::Bool,
            "Whether the governor may make it read-only, too. It then refuses class `critical` as well: the service's owner decides on that.",
        )
        .default("false"),
    ]],
    main: None,
};

pub(super) static UPSTREAM_TLS: Table = Table {
    doc: "How `https` endpoints are checked.",
    groups: &[&[
        Key::new(
            "ca",
            Kind::File(FileKind::Certificates),
            "A PEM file of the authorities to accept. Absent: the system's.",
        ),
        Key::new(
            "server_name",
            Kind::Authority,
            "The name to ask for and to check. Absent: the endpoint's host.",
        ),
        Key::new(
            "client",
            Kind::Table(&CERTIFICATE),
            "Our own certificate, where the service asks for one.",
        ),
    ]],
    main: None,
};

static BALANCE: Table = Table {
    doc: "How an endpoint is chosen.",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "least-loaded",
                        doc: "the better of two by latency (peak EWMA) and requests in flight",
                    },
                    Word {
                        word: "round-robin",
                        doc: "each in turn",
                    },
                    Word {
                        word: "consistent-hash",
                        doc: "by a key, with bounded load",
                    },
                ],
                other: None,
            },
            "The algorithm.",
        )
        .default(r#""least-loaded""#),
        Key::new(
            "by",
            Kind::Either {
                words: &[
                    Word {
                        word: "address",
                        doc: "the client's address",
                    },
                    Word {
                        word: "path",
                        doc: "the path",
                    },
                ],
                other: Some(&Kind::Table(&HASH_HEADER)),
            },
            "The key of `consistent-hash`. Absent: the client's address.",
        ),
    ]],
    main: Some("kind"),
};

static HASH_HEADER: Table = Table {
    doc: "A header as a key.",
    groups: &[&[Key::new(
        "header",
        Kind::HeaderName,
        "The header; the client's address counts where it is absent.",
    )
    .required()]],
    main: None,
};

static HEALTH: Table = Table {
    doc: "Active checks of the endpoints.",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "http",
                        doc: "`GET path`; 200-399 is healthy",
                    },
                    Word {
                        word: "tcp",
                        doc: "a connection can be made",
                    },
                    Word {
                        word: "grpc",
                        doc: "`grpc.health.v1.Health/Check` answers `SERVING`",
                    },
                    Word {
                        word: "none",
                        doc: "no checks, where `[defaults]` has some",
                    },
                ],
                other: None,
            },
            "What is asked. Absent: `http` with a `path`, `grpc` with a `service`.",
        ),
        Key::new("path", Kind::UriPath, "The path that `http` asks for."),
        Key::new(
            "service",
            Kind::Text,
            "The service that `grpc` asks about. Absent: the server as a whole.",
        ),
        Key::new(
            "interval",
            Kind::Duration {
                min: Duration::from_millis(10),
                max: DAY,
            },
            "Between two checks of one endpoint.",
        )
        .default(r#""2s""#),
        Key::new(
            "timeout",
            Kind::Duration {
                min: MILLISECOND,
                max: HOUR,
            },
            "How long an answer may take.",
        )
        .default(r#""1s""#),
        Key::new(
            "failures_max",
            Kind::Count { min: 1, max: 1_000 },
            "Failures in a row that take an endpoint out.",
        )
        .default("3"),
        Key::new(
            "successes_min",
            Kind::Count { min: 1, max: 1_000 },
            "Successes in a row that bring it back.",
        )
        .default("2"),
    ]],
    main: Some("path"),
};

const PERIODS: &[Word] = &[
    Word {
        word: "week",
        doc: "from Monday, 00:00 UTC: then the budget is whole again",
    },
    Word {
        word: "month",
        doc: "from the first of a month, 00:00 UTC",
    },
    Word {
        word: "quarter",
        doc: "from the first of January, April, July and October, 00:00 UTC",
    },
];

static OBJECTIVE: Table = Table {
    doc: "What the service promises: a share of requests that is good over a period. What the target leaves to fail is the error budget.",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "availability",
                        doc: "a request is good if its outcome is",
                    },
                    Word {
                        word: "latency",
                        doc: "a request is good if its outcome is and it took less than `below`",
                    },
                ],
                other: None,
            },
            "What counts as good. Absent: the objective's name, which must then be one of these.",
        ),
        Key::new(
            "target",
            Kind::Percent,
            "The share that must be good; less than 100%, or there is no budget.",
        )
        .required(),
        Key::new(
            "period",
            Kind::Either {
                words: PERIODS,
                other: Some(&Kind::Duration {
                    min: MINUTE,
                    max: Duration::from_secs(92 * 86_400),
                }),
            },
            "What the budget is for: a duration is the time before now, a word a piece of the calendar.",
        )
        .default(r#""28d""#),
        Key::new(
            "below",
            Kind::Duration {
                min: Duration::from_micros(1),
                max: Duration::from_secs(600),
            },
            "The threshold of `latency`.",
        ),
        Key::new(
            "routes",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Only requests of these routes, by their names. Absent: of all that lead to the service.",
        ),
        Key::new(
            "classes",
            CLASS_LIST,
            "Only requests of these classes. Absent: of all.",
        ),
    ]],
    main: Some("target"),
};
