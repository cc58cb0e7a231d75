//! The keys of rollouts, and of the versions that they are of.

use std::time::Duration;

use super::{DAY, HOUR, MINUTE, MODE, SECOND};
use crate::scheme::{Key, Kind, Table, Word};

pub(super) static VERSION: Table = Table {
    doc: "Another version of the service, at other endpoints. It gets requests by a `[rollout.NAME]` only.",
    groups: &[&[Key::new(
        "endpoints",
        Kind::List {
            of: &Kind::Endpoint,
            bare: true,
        },
        "Where it is, as the service's own `endpoints`: at least one, and none that another version or the service itself has.",
    )
    .required()]],
    main: Some("endpoints"),
};

pub(super) static FLAG: Table = Table {
    doc: "A variant of a flag.",
    groups: &[&[
        Key::new("key", Kind::Text, "The flag.").required(),
        Key::new(
            "variant",
            Kind::Text,
            "The variant: what users are moved to, or have.",
        )
        .required(),
    ]],
    main: None,
};

pub(super) static ROLLOUT: Table = Table {
    doc: "How requests of a service are moved to another version of it, and what ends that. It describes: it begins with `plimsoll rollout start NAME`.",
    groups: &[&[
        Key::new("service", Kind::Text, "The service, by name.").required(),
        Key::new(
            "version",
            Kind::Text,
            "The version that requests are moved to; this or `flag`.",
        ),
        Key::new(
            "flag",
            Kind::Table(&FLAG),
            "The variant of a flag that users are moved to, in place of a version: they get it by OFREP, and what came of their requests is judged. It needs `by` with a header, a cookie or `tenant`, whose value services give as the targeting key.",
        ),
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "canary",
                        doc: "a growing share of requests goes to the version",
                    },
                    Word {
                        word: "blue-green",
                        doc: "all requests go to the version at once, and back if it is worse",
                    },
                    Word {
                        word: "mirror",
                        doc: "the version gets copies of a growing share of requests, and its answers are thrown away",
                    },
                ],
                other: None,
            },
            "What goes to the version.",
        )
        .default(r#""canary""#),
        Key::new(
            "steps",
            Kind::List {
                of: &Kind::Table(&STEP),
                bare: true,
            },
            "The shares that it grows by; each is more than the one before. Absent with `blue-green`: all at once, watched for an hour.",
        )
        .default(
            r#"[{ weight = "1%", for = "5m" }, { weight = "5%", for = "10m" }, { weight = "20%", for = "20m" }, { weight = "50%", for = "20m" }, { weight = "100%", for = "1h" }]"#,
        ),
        Key::new(
            "by",
            Kind::Either {
                words: &[
                    Word {
                        word: "client",
                        doc: "the client's address: each client stays with a version",
                    },
                    Word {
                        word: "tenant",
                        doc: "the tenant's key; the client's address where the route has no `tenant` or none is sent",
                    },
                    Word {
                        word: "request",
                        doc: "each request is drawn anew",
                    },
                ],
                other: Some(&Kind::Table(&COHORT)),
            },
            "What decides which version a request goes to. Who is moved at a small share stays moved at a larger one.",
        )
        .default(r#""client""#),
        Key::new(
            "header",
            Kind::Table(&OVERRIDE),
            "Requests with this header go to the version at any share, also before the rollout begins; they are not evidence for it. With `mirror`, it has no meaning.",
        ),
        Key::new(
            "mirror_unsafe",
            Kind::Bool,
            "Whether `mirror` also copies requests that would change something: the version then does it a second time.",
        )
        .default("false"),
        Key::new(
            "price",
            Kind::Percent,
            "The part of the service's error budget that the version may spend, whatever the tests say.",
        )
        .default(r#""2%""#),
        Key::new(
            "alpha",
            Kind::Percent,
            "How often a version that is no worse may be taken back by error; more than 0%, at most 20%.",
        )
        .default(r#""1%""#),
        Key::new(
            "tolerate",
            Kind::Number { min: 1.0, max: 100.0 },
            "How many times as many bad answers as now are put up with.",
        )
        .default("1.0"),
        Key::new(
            "batch",
            Kind::Duration {
                min: Duration::from_millis(100),
                max: HOUR,
            },
            "For how long answers are collected before they are judged together.",
        )
        .default(r#""10s""#),
        Key::new(
            "cooldown",
            Kind::Duration {
                min: Duration::from_millis(100),
                max: DAY,
            },
            "How long the version gets no requests after the first strike, before it is tried once more.",
        )
        .default(r#""2m""#),
        Key::new(
            "hold_max",
            Kind::Duration {
                min: MINUTE,
                max: Duration::from_secs(30 * DAY.as_secs()),
            },
            "How long it waits for enough requests to judge by, until a person is asked.",
        )
        .default(r#""24h""#),
        Key::new("mode", MODE, "Whether it acts.").default(r#""enforce""#),
    ]],
    main: None,
};

static STEP: Table = Table {
    doc: "A share, and for how long at least.",
    groups: &[&[
        Key::new(
            "weight",
            Kind::Percent,
            "The share of requests; more than 0%, in hundredths of a percent.",
        )
        .required(),
        Key::new(
            "for",
            Kind::Duration {
                min: SECOND,
                max: Duration::from_secs(30 * DAY.as_secs()),
            },
            "How long it stays at this share, at least.",
        )
        .default(r#""10m""#),
        Key::new(
            "gate",
            Kind::Either {
                words: &[Word {
                    word: "person",
                    doc: "a person says that it may begin",
                }],
                other: None,
            },
            "What else is needed before this share. Absent: nothing.",
        ),
    ]],
    main: Some("weight"),
};

static COHORT: Table = Table {
    doc: "A header or a cookie whose value stays with a version.",
    groups: &[&[
        Key::new(
            "header",
            Kind::HeaderName,
            "The header; the client's address counts where it is absent.",
        ),
        Key::new(
            "cookie",
            Kind::Text,
            "The cookie; the client's address counts where it is absent.",
        ),
    ]],
    main: None,
};

static OVERRIDE: Table = Table {
    doc: "A header with a value.",
    groups: &[&[
        Key::new("name", Kind::HeaderName, "The header's name.").required(),
        Key::new("value", Kind::HeaderValue, "Its value, exactly.").required(),
    ]],
    main: None,
};
