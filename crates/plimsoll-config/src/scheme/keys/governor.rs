//! The keys of the governor.

use std::time::Duration;

use super::route::CLASSES;
use super::{MINUTE, MODE};
use crate::scheme::{Key, Kind, NameKind, Table, Word};

pub(super) static GOVERNOR: Table = Table {
    doc: "What watches the objectives of all services, and moves what may stop a burn: the least harmful first, one step at a time, and back once it has stopped.",
    groups: &[&[
        Key::new(
            "mode",
            MODE,
            "`observe`: it says what it would do, and calls people; `enforce`: it does it.",
        )
        .default(r#""observe""#),
        Key::new(
            "rule",
            Kind::Map {
                noun: Some("rule"),
                names: NameKind::Identifier,
                of: &Kind::Table(&RULE),
            },
            "What may be moved and when, by name. None: `hedge`, `retry`, `stale` and `brownout` from `burning` on, `shed` and `read-only` from `severe` on.",
        )
        .default("{}"),
        Key::new(
            "pairs",
            Kind::List {
                of: &Kind::Table(&PAIR),
                bare: false,
            },
            "Multi-window alerts, for `plimsoll slo export`: at most 8. Plimsoll itself calls people by another test.",
        )
        .default(PAIRS),
    ]],
    main: Some("mode"),
};

/// The four of *The Site Reliability Workbook*, chapter 5.
const PAIRS: &str = r#"[{ budget = "2%", long = "1h", short = "5m", severity = "page" }, { budget = "5%", long = "6h", short = "30m", severity = "page" }, { budget = "10%", long = "1d", short = "2h", severity = "ticket" }, { budget = "10%", long = "3d", short = "6h", severity = "ticket" }]"#;

static PAIR: Table = Table {
    doc: "Two windows. Somebody is called while the budget burns so fast in both of them that its share would be gone within the long one.",
    groups: &[&[
        Key::new(
            "budget",
            Kind::Percent,
            "The share of the period's budget, spent within `long`.",
        )
        .required(),
        Key::new("long", WINDOW, "The window that the share is for.").required(),
        Key::new("short", WINDOW, "The window that says whether it goes on.").required(),
        Key::new(
            "severity",
            Kind::Either {
                words: &[
                    Word {
                        word: "page",
                        doc: "somebody is to look now",
                    },
                    Word {
                        word: "ticket",
                        doc: "in working hours",
                    },
                ],
                other: None,
            },
            "How soon somebody is to look.",
        )
        .default(r#""page""#),
    ]],
    main: None,
};

const WINDOW: Kind = Kind::Duration {
    min: MINUTE,
    max: Duration::from_secs(92 * 86_400),
};

static RULE: Table = Table {
    doc: "What may be moved. An actuator that no rule names is never moved.",
    groups: &[&[
        Key::new(
            "when",
            Kind::Table(&WHEN),
            "From which condition on, and for which services.",
        )
        .default("{}"),
        Key::new(
            "may",
            Kind::List {
                of: &Kind::Either {
                    words: ACTUATORS,
                    other: None,
                },
                bare: true,
            },
            "What may be moved.",
        )
        .required(),
    ]],
    main: Some("may"),
};

static WHEN: Table = Table {
    doc: "When a rule holds.",
    groups: &[&[
        Key::new(
            "condition",
            Kind::Either {
                words: &[
                    Word {
                        word: "burning",
                        doc: "the service's own failures burn its budget three times as fast as it may",
                    },
                    Word {
                        word: "severe",
                        doc: "14.4 times",
                    },
                    Word {
                        word: "exhausted",
                        doc: "it burns, and nothing is left of the budget",
                    },
                ],
                other: None,
            },
            "From this condition on.",
        )
        .default(r#""severe""#),
        Key::new(
            "tier",
            Kind::Count { min: 1, max: 9 },
            "Only for services of this tier. Absent: for all.",
        ),
    ]],
    main: Some("condition"),
};

const ACTUATORS: &[Word] = &[
    Word {
        word: "hedge",
        doc: "second attempts are not made",
    },
    Word {
        word: "retry",
        doc: "failed attempts are not made again",
    },
    Word {
        word: "stale",
        doc: "what is stored and stale is given without asking the service, where a route has `cache`",
    },
    Word {
        word: "brownout",
        doc: "optional content is left out, up to a quarter of it with each step, where the service has `degrade.brownout`",
    },
    Word {
        word: "shed",
        doc: "requests are refused by class: half of `sheddable`, all of it, half of `standard`, all of it",
    },
    Word {
        word: "read-only",
        doc: "what would change something is refused, where the service has `degrade.read_only.governor`",
    },
];

/// A list of classes.
pub(super) const CLASS_LIST: Kind = Kind::List {
    of: &Kind::Either {
        words: CLASSES,
        other: None,
    },
    bare: true,
};
