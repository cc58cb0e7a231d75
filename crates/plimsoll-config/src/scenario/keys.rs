//! The keys of a scenario.

mod machine;

use std::time::Duration;

use crate::scheme::{Key, Kind, NameKind, Table, Word};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

const SERVICE_NAME: Kind = Kind::Text;
const TIME: Kind = Kind::Duration {
    min: MILLISECOND,
    max: HOUR,
};
/// As long as a run may be; what may be asked of it beyond that is bounded by the number of requests.
const LONG: Kind = Kind::Duration {
    min: MILLISECOND,
    max: YEAR,
};
const RATE: Kind = Kind::Rate { zero: true };
/// The largest population: each has its place and its next event in memory.
const USERS: Kind = Kind::Count {
    min: 0,
    max: 1_000_000,
};

pub(crate) static SCENARIO: Table = Table {
    doc: "A workload, service models and faults for `plimsoll simulate`.",
    groups: &[&[
        Key::new("about", Kind::Text, "What it is about, in a sentence."),
        Key::new(
            "gateways",
            Kind::Count { min: 1, max: 1_000 },
            "How many gateways stand before the services. They know nothing of each other.",
        )
        .default("1"),
        Key::new(
            "threads",
            Kind::Count { min: 1, max: 64 },
            "Data plane threads of each gateway.",
        )
        .default("2"),
        Key::new(
            "service",
            Kind::Map {
                noun: Some("service"),
                names: NameKind::Identifier,
                of: &Kind::Table(&SERVICE),
            },
            "The services, by name.",
        )
        .required(),
        Key::new(
            "workload",
            Kind::Map {
                noun: Some("workload"),
                names: NameKind::Identifier,
                of: &Kind::Table(&WORKLOAD),
            },
            "Who sends requests, by name.",
        )
        .required(),
        Key::new(
            "phase",
            Kind::List {
                of: &Kind::Table(&PHASE),
                bare: false,
            },
            "Parts of the run, one after the other.",
        )
        .required(),
        Key::new(
            "fault",
            Kind::List {
                of: &Kind::Table(&FAULT),
                bare: false,
            },
            "What goes wrong.",
        )
        .default("[]"),
    ]],
    main: None,
};

static SERVICE: Table = Table {
    doc: "A service, and what each of its endpoints is like.",
    groups: &[&[
        Key::new(
            "endpoints",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            "How many endpoints it has.",
        )
        .default("1"),
        Key::new(
            "time",
            Kind::Duration {
                min: Duration::from_micros(10),
                max: HOUR,
            },
            "The mean time that a request takes an endpoint that does nothing else.",
        )
        .required(),
        Key::new(
            "workers",
            Kind::Count {
                min: 1,
                max: 100_000,
            },
            "How many requests an endpoint works on at once; others wait there. Either this or `crosstalk`.",
        ),
        Key::new(
            "spread",
            Kind::Either {
                words: &[
                    Word {
                        word: "constant",
                        doc: "all the same",
                    },
                    Word {
                        word: "exponential",
                        doc: "exponential",
                    },
                    Word {
                        word: "bimodal",
                        doc: "one of ten takes ten times as long as the others",
                    },
                ],
                other: Some(&Kind::Number {
                    min: 0.01,
                    max: 10.0,
                }),
            },
            "How times spread around their mean. A number is the coefficient of variation of a lognormal.",
        )
        .default("\"exponential\""),
        Key::new(
            "contention",
            Kind::Number { min: 0.0, max: 1.0 },
            "With `crosstalk`: the share of the work that only one request at a time can do (alpha of the Universal Scalability Law).",
        )
        .default("0.01"),
        Key::new(
            "crosstalk",
            Kind::Number {
                min: 0.000_000_1,
                max: 1.0,
            },
            "All requests are worked on at once, and each pair costs this much more (beta of the Universal Scalability Law). Either this or `workers`.",
        ),
        Key::new(
            "objective",
            TIME,
            "An answer within this is a good one. Without `--config`, also the latency objective that Plimsoll works for.",
        )
        .default("\"250ms\""),
        Key::new(
            "cancels",
            Kind::Bool,
            "With `workers`: whether endpoints drop what waits there and whose client has gone, and hang up on what they call for it. Most work on it all the same.",
        )
        .default("false"),
        Key::new(
            "cache",
            Kind::Table(&CACHE),
            "With `workers`: answers that each endpoint keeps. Absent: none.",
        ),
        Key::new(
            "calls",
            Kind::Map {
                noun: None,
                names: NameKind::Identifier,
                of: &Kind::Table(&CALL),
            },
            "The services that an endpoint calls before it answers, through the gateways: after its own work, one after the other by name. A worker is held until all have answered; if one does not, the answer is a 500.",
        )
        .default("{}"),
        Key::new(
            "memory",
            Kind::Table(&machine::MEMORY),
            "What requests need of the memory of each endpoint. Absent: there is always enough.",
        ),
        Key::new(
            "start",
            Kind::Table(&machine::START),
            "How long an endpoint takes to start again. Absent: it is there at once.",
        ),
    ]],
    main: None,
};

static CALL: Table = Table {
    doc: "Calls of one service to another.",
    groups: &[&[
        Key::new(
            "share",
            Kind::Percent,
            "The share of requests that need this call.",
        )
        .default("\"100%\""),
        Key::new("timeout", TIME, "When it hangs up.").default("\"1s\""),
        Key::new(
            "attempts",
            Kind::Count { min: 1, max: 20 },
            "Tries in all, the first included; the next one comes at once.",
        )
        .default("1"),
    ]],
    main: Some("share"),
};

static CACHE: Table = Table {
    doc: "Answers that each endpoint keeps. It is warm when the run begins; a crash and the fault `cold` empty it.",
    groups: &[&[
        Key::new(
            "hit",
            Kind::Percent,
            "The share of requests that find an answer there, once it is warm.",
        )
        .required(),
        Key::new(
            "miss",
            TIME,
            "The mean time that the others take longer, exponential. A worker is held for it.",
        )
        .required(),
        Key::new(
            "fill",
            Kind::Count {
                min: 1,
                max: 100_000_000,
            },
            "After so many requests, 63 % of what it will hold is there.",
        )
        .default("10000"),
    ]],
    main: None,
};

static WORKLOAD: Table = Table {
    doc: "Clients of one kind. By `rate` they come at random (Poisson), whatever is answered; by `users` they are a population of which each waits for its answer; by `replay` they come as they came to a real gateway.",
    groups: &[&[
        Key::new(
            "service",
            SERVICE_NAME,
            "The service that they want. May be left out where there is one.",
        ),
        Key::new(
            "rate",
            RATE,
            "New requests over time, unless a phase says otherwise. Either this, `users` or `replay`.",
        ),
        Key::new(
            "users",
            USERS,
            "How many users there are, unless a phase says otherwise. Each thinks, sends, waits for its answer, and thinks again.",
        ),
        Key::new(
            "think",
            LONG,
            "With `users`: the mean time that one thinks, exponential.",
        ),
        Key::new(
            "leaves",
            Kind::Percent,
            "With `users`: the share that leaves for good after the last of its tries failed; nobody does for want of what is of class `sheddable`. Absent: none.",
        ),
        Key::new(
            "replay",
            Kind::Text,
            "The access log of a gateway, as a path from the scenario's folder: requests come when they came there, with their class and tenant.",
        ),
        Key::new(
            "speed",
            Kind::Number {
                min: 0.001,
                max: 1_000.0,
            },
            "With `replay`: how many times as fast. Absent: as it was.",
        ),
        Key::new("patience", TIME, "When a client hangs up.").default("\"2s\""),
        Key::new(
            "retry",
            Kind::Table(&RETRY),
            "What a client does whose request was refused, failed, or took longer than its patience.",
        )
        .default("{}"),
        Key::new(
            "classes",
            Kind::Table(&CLASSES),
            "Shares of the classes; the rest is `standard`.",
        )
        .default("{}"),
        Key::new(
            "tenants",
            Kind::Count {
                min: 1,
                max: 100_000,
            },
            "How many tenants the requests are of. Workloads share none.",
        )
        .default("1"),
        Key::new(
            "zipf",
            Kind::Number { min: 0.0, max: 3.0 },
            "How unlike these are: the n-th sends in proportion to n to the power of minus this.",
        )
        .default("0.0"),
    ]],
    main: None,
};

static RETRY: Table = Table {
    doc: "Retries of clients, which know nothing of budgets.",
    groups: &[&[
        Key::new(
            "attempts",
            Kind::Count { min: 1, max: 20 },
            "Tries in all, the first included.",
        )
        .default("1"),
        Key::new("pause", TIME, "The mean time before the next, exponential.").default("\"100ms\""),
    ]],
    main: Some("attempts"),
};

static CLASSES: Table = Table {
    doc: "Shares of classes.",
    groups: &[&[
        Key::new(
            "critical",
            Kind::Percent,
            "What goes last when not all fits.",
        )
        .default("\"0%\""),
        Key::new("sheddable", Kind::Percent, "What goes first.").default("\"0%\""),
    ]],
    main: None,
};

static PHASE: Table = Table {
    doc: "A part of the run.",
    groups: &[&[
        Key::new("name", Kind::Text, "What tables call it.").required(),
        Key::new("lasts", LONG, "How long it lasts.").required(),
        Key::new(
            "users",
            Kind::Map {
                noun: None,
                names: NameKind::Identifier,
                of: &USERS,
            },
            "How many users of a workload there are in it. More than before come within a second; fewer: the others go at once.",
        )
        .default("{}"),
        Key::new(
            "rate",
            Kind::Map {
                noun: None,
                names: NameKind::Identifier,
                of: &Kind::Table(&PHASE_RATE),
            },
            "What workloads send in it, by their names. One that is left out sends what is its `rate`.",
        )
        .default("{}"),
    ]],
    main: None,
};

static PHASE_RATE: Table = Table {
    doc: "A rate over a phase: even, a ramp, with bursts, a wave, or a flash crowd.",
    groups: &[&[
        Key::new(
            "to",
            RATE,
            "At the end of the phase. Either this or `mean`.",
        ),
        Key::new(
            "from",
            RATE,
            "At its beginning; in a straight line from there. Absent: the same as `to`.",
        ),
        Key::new(
            "peak",
            RATE,
            "The highest rate, of bursts or of a flash crowd.",
        ),
        Key::new("lasts", TIME, "How long a burst is."),
        Key::new("every", TIME, "A burst is at the end of each such time."),
        Key::new(
            "rise",
            LONG,
            "A flash crowd comes, from the beginning of the phase: how long until it is at its `peak`. It grows in proportion to itself.",
        ),
        Key::new(
            "decay",
            LONG,
            "A flash crowd goes: how long until 37 % of it are left, again and again.",
        ),
        Key::new("mean", RATE, "The mean of a wave, as that of a day."),
        Key::new(
            "swing",
            Kind::Percent,
            "How far a wave goes up and down from its mean.",
        ),
        Key::new("period", LONG, "How long a wave is."),
        Key::new(
            "peak_at",
            Kind::DURATION,
            "When a wave is highest, since the beginning of the run.",
        ),
    ]],
    main: Some("to"),
};

static FAULT: Table = Table {
    doc: "What goes wrong.",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "slow",
                        doc: "requests take `times` as long",
                    },
                    Word {
                        word: "errors",
                        doc: "a `share` of requests is answered with 500, at once",
                    },
                    Word {
                        word: "crash",
                        doc: "connections break, and new ones are refused",
                    },
                    Word {
                        word: "freeze",
                        doc: "it accepts, and works on nothing",
                    },
                    Word {
                        word: "capacity",
                        doc: "a `share` of the workers is left",
                    },
                    Word {
                        word: "cold",
                        doc: "the cache of its service is emptied when it begins; how long it lasts says nothing",
                    },
                    Word {
                        word: "loss",
                        doc: "a `share` of messages between gateways and it is lost, and sent again by TCP: after 200 ms, then 400 ms, and so on",
                    },
                    Word {
                        word: "partition",
                        doc: "the first `gateways` hear nothing of it, and it nothing of them",
                    },
                ],
                other: None,
            },
            "What.",
        )
        .required(),
        Key::new(
            "service",
            SERVICE_NAME,
            "At which service. May be left out where there is one.",
        ),
        Key::new(
            "endpoints",
            Kind::Count {
                min: 1,
                max: 10_000,
            },
            "At how many of its endpoints. Absent: at all.",
        ),
        Key::new(
            "after",
            Kind::Count { min: 0, max: 9_999 },
            "How many endpoints come before those: which ones they are.",
        )
        .default("0"),
        Key::new(
            "at",
            Kind::DURATION,
            "When it begins, since the beginning of the run.",
        )
        .required(),
        Key::new("lasts", LONG, "How long it lasts.").required(),
        Key::new(
            "times",
            Kind::Number {
                min: 0.01,
                max: 10_000.0,
            },
            "With `slow`: how many times as long.",
        ),
        Key::new(
            "share",
            Kind::Percent,
            "With `errors`: of requests; with `capacity`: of workers; with `loss`: of messages.",
        ),
        Key::new(
            "gateways",
            Kind::Count { min: 1, max: 1_000 },
            "With `partition`: from how many gateways its endpoints are cut off. Absent: from all.",
        ),
    ]],
    main: None,
};
