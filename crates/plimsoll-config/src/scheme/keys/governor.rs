//! The keys of the governor.

use super::MODE;
use super::route::CLASSES;
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
            "What may be moved and when, by name. None: `hedge` and `retry` from `burning` on, `shed` from `severe` on.",
        )
        .default("{}"),
    ]],
    main: Some("mode"),
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
        word: "shed",
        doc: "requests are refused by class: half of `sheddable`, all of it, half of `standard`, all of it",
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
