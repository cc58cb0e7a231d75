//! The keys of the configuration file, in the order of the reference page.

mod approval;
mod flags;
mod governor;
mod journey;
mod maintenance;
mod notify;
mod protect;
mod queue;
mod rollout;
mod route;
mod service;
mod tenant;

use std::time::Duration;

use super::{FileKind, Key, Kind, NameKind, Table, Word};
use approval::{APPROVAL, FREEZE};
use flags::FLAGS;
use governor::GOVERNOR;
use journey::JOURNEY;
use maintenance::MAINTENANCE;
use notify::NOTIFY;
use queue::{QUEUE, QUEUES};
use rollout::ROLLOUT;
use route::ROUTE;
use service::{DEFAULTS, SERVICE};
use tenant::TENANT;

pub(crate) use notify::INTERVAL;

const KIB: u64 = 1024;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The whole file.
pub(crate) static FILE: Table = Table {
    doc: "The whole file. Every table may be left out except at least one service.",
    groups: &[&[
        Key::new(
            "state",
            Kind::Table(&STATE),
            "Where Plimsoll keeps what it must remember.",
        )
        .default("{}"),
        Key::new(
            "gateway",
            Kind::Table(&GATEWAY),
            "The HTTP data plane: where it listens and what it bounds.",
        )
        .default("{}"),
        Key::new(
            "ops",
            Kind::Table(&OPS),
            "The operations endpoints `/metrics`, `/livez` and `/readyz`: read-only.",
        )
        .default("{}"),
        Key::new(
            "console",
            Kind::Table(&CONSOLE),
            "The console and the control API.",
        )
        .default("{}"),
        Key::new(
            "journal",
            Kind::Table(&JOURNAL),
            "The record of what changed and what was decided.",
        )
        .default("{}"),
        Key::new(
            "defaults",
            Kind::Table(&DEFAULTS),
            "What every service has unless it says otherwise: the keys of a service except `endpoints`.",
        ),
        Key::new(
            "service",
            Kind::Map {
                noun: Some("service"),
                names: NameKind::Identifier,
                of: &Kind::Table(&SERVICE),
            },
            "The services that Plimsoll fronts, by name.",
        )
        .default("{}"),
        Key::new(
            "tenant",
            Kind::Map {
                noun: Some("tenant"),
                names: NameKind::Identifier,
                of: &Kind::Table(&TENANT),
            },
            "Callers with a name and a share of their own, by name.",
        )
        .default("{}"),
        Key::new(
            "route",
            Kind::List {
                of: &Kind::Table(&ROUTE),
                bare: false,
            },
            "Which requests go to which service.",
        )
        .default("[]"),
        Key::new(
            "governor",
            Kind::Table(&GOVERNOR),
            "What watches the objectives, and moves what may stop a burn.",
        )
        .default("{}"),
        Key::new(
            "maintenance",
            Kind::Map {
                noun: Some("maintenance"),
                names: NameKind::Identifier,
                of: &Kind::Table(&MAINTENANCE),
            },
            "Times in which what happens is not held against services, by name.",
        )
        .default("{}"),
        Key::new(
            "journey",
            Kind::Map {
                noun: Some("journey"),
                names: NameKind::Identifier,
                of: &Kind::Table(&JOURNEY),
            },
            "What users set out to do and need several services for, by name.",
        )
        .default("{}"),
        Key::new(
            "notify",
            Kind::Map {
                noun: Some("notifier"),
                names: NameKind::Identifier,
                of: &Kind::Table(&NOTIFY),
            },
            "Who is called, and how, by name.",
        )
        .default("{}"),
        Key::new(
            "flags",
            Kind::Table(&FLAGS),
            "Flags for the code of services, and who may ask for them.",
        )
        .default("{}"),
        Key::new(
            "rollout",
            Kind::Map {
                noun: Some("rollout"),
                names: NameKind::Identifier,
                of: &Kind::Table(&ROLLOUT),
            },
            "How requests are moved to another version of a service, by name.",
        )
        .default("{}"),
        Key::new(
            "approval",
            Kind::Map {
                noun: Some("approval"),
                names: NameKind::Identifier,
                of: &Kind::Table(&APPROVAL),
            },
            "What needs the approval of others, by name.",
        )
        .default("{}"),
        Key::new(
            "freeze",
            Kind::Map {
                noun: Some("freeze"),
                names: NameKind::Identifier,
                of: &Kind::Table(&FREEZE),
            },
            "Times in which nothing risky is changed, by name.",
        )
        .default("{}"),
        Key::new(
            "queues",
            Kind::Table(&QUEUES),
            "How all queues are kept, and where clients speak to them.",
        )
        .default("{}"),
        Key::new(
            "queue",
            Kind::Map {
                noun: Some("queue"),
                names: NameKind::Queue,
                of: &Kind::Table(&QUEUE),
            },
            "Queues by name. Clients may make others, unless `queues.create` says no.",
        )
        .default("{}"),
        Key::later("database"),
        Key::later("scale"),
        Key::later("fleet"),
    ]],
    main: None,
};

static STATE: Table = Table {
    doc: "Where Plimsoll keeps what it must remember.",
    groups: &[&[Key::new(
        "path",
        Kind::File(FileKind::StateFolder),
        "The state folder. Absent: `$STATE_DIRECTORY` where it is set, else `/var/lib/plimsoll` for root, else the user's state folder.",
    )]],
    main: Some("path"),
};

static GATEWAY: Table = Table {
    doc: "The HTTP data plane: where it listens and what it bounds.",
    groups: &[&[
        Key::new(
            "listen",
            Kind::List { of: &Kind::Table(&LISTENER), bare: true },
            "Where requests are accepted. Port 0 takes a free port and prints it.",
        )
        .default(r#"["127.0.0.1:8080"]"#),
        Key::new(
            "trusted",
            Kind::List { of: &Kind::Network, bare: true },
            "Peers whose `Forwarded`, class, deadline and `Plimsoll-*` fields are believed; from all others they are removed.",
        )
        .default("[]"),
        Key::new("mode", MODE, "Of all policies together: `observe` lets every policy decide and count without acting.").default(r#""enforce""#),
        Key::new("drain", Kind::DURATION, "How long what is in flight may take to end after TERM.").default(r#""30s""#),
        Key::new(
            "threads",
            Kind::Either { words: &[Word { word: "auto", doc: "one per core" }], other: Some(&Kind::Count { min: 1, max: 1_024 }) },
            "How many threads serve requests.",
        )
        .default(r#""auto""#),
        Key::new("limits", Kind::Table(&LIMITS), "Bounds on what a peer controls.").default("{}"),
        Key::new("cache", Kind::Table(&GATEWAY_CACHE), "Where the answers of routes with `cache` are stored.").default("{}"),
        Key::new("log", Kind::Table(&LOG), "The access log: every error, every slow request and a sample of the rest.").default("{}"),
    ]],
    main: None,
};

static LISTENER: Table = Table {
    doc: "One listening address.",
    groups: &[&[
        Key::new("address", Kind::Address, "The address and port to listen on.").required(),
        Key::new(
            "tls",
            Kind::List { of: &Kind::Table(&CERTIFICATE), bare: true },
            "Certificates, chosen by the name that the client asks for; the first is used where none fits. Empty: cleartext.",
        )
        .default("[]"),
        Key::new("proxy_protocol", Kind::Bool, "Whether every connection begins with a PROXY protocol header (version 1 or 2).").default("false"),
    ]],
    main: Some("address"),
};

static CERTIFICATE: Table = Table {
    doc: "A certificate and its private key.",
    groups: &[&[
        Key::new(
            "certificate",
            Kind::File(FileKind::Certificates),
            "A PEM file with the chain, the certificate itself first.",
        )
        .required(),
        Key::new(
            "key",
            Kind::File(FileKind::Key),
            "A PEM file with the private key.",
        )
        .required(),
    ]],
    main: None,
};

static LIMITS: Table = Table {
    doc: "Bounds on what a peer controls.",
    groups: &[&[
        Key::new(
            "header_bytes_max",
            Kind::Size {
                min: KIB,
                max: 256 * KIB,
            },
            "The bytes of a request's or a response's head (431).",
        )
        .default(r#""32KiB""#),
        Key::new(
            "headers_max",
            Kind::Count { min: 1, max: 256 },
            "The fields in a head (431).",
        )
        .default("100"),
        Key::new(
            "uri_bytes_max",
            Kind::Size {
                min: 64,
                max: 256 * KIB,
            },
            "The bytes of a request's target (414). Not above `header_bytes_max`.",
        )
        .default(r#""8KiB""#),
        Key::new(
            "body_bytes_max",
            Kind::Either {
                words: NONE,
                other: Some(&Kind::Size {
                    min: 0,
                    max: u64::MAX,
                }),
            },
            "The bytes of a request's body (413). Bodies stream: they are never held whole.",
        )
        .default(r#""none""#),
        Key::new(
            "head_time_max",
            Kind::Duration {
                min: MILLISECOND,
                max: HOUR,
            },
            "From the first byte of a request's head to its end (408).",
        )
        .default(r#""10s""#),
        Key::new(
            "idle_time_max",
            Kind::Duration {
                min: MILLISECOND,
                max: DAY,
            },
            "Between two requests on a kept connection; then it is closed.",
        )
        .default(r#""75s""#),
        Key::new(
            "connections_max",
            Kind::Count {
                min: 1,
                max: 10_000_000,
            },
            "Connections from clients in all.",
        )
        .default("10000"),
        Key::new(
            "connections_per_address_max",
            Kind::Either {
                words: NONE,
                other: Some(&Kind::Count {
                    min: 1,
                    max: 10_000_000,
                }),
            },
            "Connections from one client: an IPv4 address, or an IPv6 /64; behind a PROXY protocol header the one that it names.",
        )
        .default(r#""none""#),
        Key::new(
            "streams_max",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            "Requests at once on one HTTP/2 connection.",
        )
        .default("128"),
        Key::new(
            "memory_max",
            Kind::Either {
                words: NONE,
                other: Some(&Kind::Size {
                    min: 32 * 1024 * KIB,
                    max: 64 * 1024 * 1024 * 1024 * KIB,
                }),
            },
            "The memory that Plimsoll itself may use. Close to it, work is refused (503), sheddable work first.",
        )
        .default(r#""none""#),
    ]],
    main: None,
};

static GATEWAY_CACHE: Table = Table {
    doc: "Where the answers of routes with `cache` are stored: in memory, and on disk if it is asked for, for all routes together.",
    groups: &[&[
        Key::new(
        "memory_max",
        Kind::Size {
            min: 1024 * KIB,
            max: 64 * 1024 * 1024 * 1024 * KIB,
        },
        "The bytes of all stored answers; those that are asked for least make room. Answers on their way into the store may take as much again. A change takes effect when Plimsoll is started again.",
    )
        .default(r#""64MiB""#),
        Key::new(
            "disk_max",
            Kind::Either {
                words: NONE,
                other: Some(&Kind::Size {
                    min: 1024 * KIB,
                    max: 64 * 1024 * 1024 * 1024 * KIB,
                }),
            },
            "The bytes of answers that are kept in the state folder too: found there when memory has them no longer, and after a restart. A change takes effect when Plimsoll is started again.",
        )
        .default(r#""none""#),
    ]],
    main: Some("memory_max"),
};

static LOG: Table = Table {
    doc: "The access log: one JSON object per line.",
    groups: &[&[
        Key::new(
            "to",
            Kind::Either {
                words: &[Word { word: "stdout", doc: "standard output" }, Word { word: "off", doc: "nowhere" }],
                other: Some(&Kind::File(FileKind::Log)),
            },
            "Where it goes. A file (its path has a slash or a dot) is appended to, and opened again on reload.",
        )
        .default(r#""stdout""#),
        Key::new("sample", Kind::Percent, "The share of good and fast requests that is logged; errors and slow requests always are.").default(r#""1%""#),
        Key::new("slow", Kind::Duration { min: MILLISECOND, max: DAY }, "From when on a request counts as slow.").default(r#""1s""#),
        Key::new(
            "redact",
            Kind::List { of: &Kind::HeaderName, bare: true },
            "Headers whose values are never written. A list of your own replaces the default.",
        )
        .default(r#"["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"]"#),
    ]],
    main: None,
};

static OPS: Table = Table {
    doc: "The operations endpoints `/metrics`, `/livez` and `/readyz`: read-only, without tenant or client data.",
    groups: &[&[
        Key::new("listen", Kind::Address, "Where they are served.").default(r#""127.0.0.1:7677""#)
    ]],
    main: Some("listen"),
};

static CONSOLE: Table = Table {
    doc: "The console and the control API.",
    groups: &[&[
        Key::new(
            "listen",
            Kind::Address,
            "Where they are served; on loopback only in this version.",
        )
        .default(r#""127.0.0.1:7676""#),
        Key::later("tls"),
    ]],
    main: Some("listen"),
};

static JOURNAL: Table = Table {
    doc: "The record of what changed and what was decided, in the state folder.",
    groups: &[&[Key::new(
        "keep",
        Kind::Duration {
            min: DAY,
            max: Duration::from_secs(3_660 * 86_400),
        },
        "How long records are kept. Once a day the older ones are forgotten, and a signed checkpoint takes their place.",
    )
    .default(r#""400d""#)]],
    main: None,
};

const NONE: &[Word] = &[Word {
    word: "none",
    doc: "no bound",
}];

const MODE: Kind = Kind::Either {
    words: &[
        Word {
            word: "enforce",
            doc: "decides and acts",
        },
        Word {
            word: "observe",
            doc: "decides and counts, does not act",
        },
        Word {
            word: "off",
            doc: "does nothing",
        },
    ],
    other: None,
};
