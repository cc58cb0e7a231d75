//! The keys of approvals and freezes.

use std::time::Duration;

use super::{DAY, MINUTE};
use crate::scheme::{Key, Kind, Table, Word};

/// Names of services.
const SERVICES: Kind = Kind::List {
    of: &Kind::Text,
    bare: true,
};
const TIERS: Kind = Kind::List {
    of: &Kind::Count { min: 1, max: 9 },
    bare: true,
};

pub(super) static APPROVAL: Table = Table {
    doc: "What needs the approval of others. Where several rules hold, the most persons and the shortest time count.",
    groups: &[&[
        Key::new(
            "what",
            Kind::List {
                of: &Kind::Either {
                    words: &[
                        Word {
                            word: "config",
                            doc: "another configuration: a reload takes nothing but what was approved",
                        },
                        Word {
                            word: "flag",
                            doc: "a flag is changed",
                        },
                        Word {
                            word: "rollout",
                            doc: "a rollout begins or is promoted",
                        },
                        Word {
                            word: "freeze",
                            doc: "services are frozen by somebody, or not any more",
                        },
                        Word {
                            word: "degrade",
                            doc: "a service is made to do less for a while",
                        },
                        Word {
                            word: "runbook",
                            doc: "a step of a runbook changes something",
                        },
                    ],
                    other: None,
                },
                bare: true,
            },
            "What needs it.",
        )
        .required(),
        Key::new(
            "tiers",
            TIERS,
            "Only where a service of one of these tiers is touched. Empty: of any.",
        )
        .default("[]"),
        Key::new(
            "services",
            SERVICES,
            "Only where one of these services is touched. Empty: any.",
        )
        .default("[]"),
        Key::new(
            "conditions",
            Kind::List {
                of: &Kind::Either {
                    words: &[
                        Word {
                            word: "unknown",
                            doc: "nothing can be said",
                        },
                        Word {
                            word: "healthy",
                            doc: "it is within its budget",
                        },
                        Word {
                            word: "burning",
                            doc: "it burns its budget",
                        },
                        Word {
                            word: "severe",
                            doc: "it burns it fast",
                        },
                        Word {
                            word: "exhausted",
                            doc: "nothing is left of it",
                        },
                    ],
                    other: None,
                },
                bare: true,
            },
            "Only where a service that is touched is in one of these conditions. Empty: in any.",
        )
        .default("[]"),
        Key::new(
            "during",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Only then, as in `\"Mon-Fri 18:00-08:00\"` or `\"Sat,Sun\"`, in UTC or at a fixed distance from it, as in `\"Mon-Fri 18:00-08:00 +01:00\"`. A night belongs to the day on which it begins. Empty: always.",
        )
        .default("[]"),
        Key::new(
            "persons",
            Kind::Count { min: 1, max: 2 },
            "How many others have to approve it. Whoever asks is never one of them.",
        )
        .default("1"),
        Key::new(
            "lasts",
            Kind::Duration {
                min: MINUTE,
                max: Duration::from_secs(7 * DAY.as_secs()),
            },
            "How long a request waits for them.",
        )
        .default(r#""1h""#),
    ]],
    main: Some("what"),
};

pub(super) static FREEZE: Table = Table {
    doc: "A time in which nothing risky is changed of services. Fixes that are marked as such, ends of what people hold, and degrading go on. Of `services`, `owners` and `tiers` all that are given have to fit; none: all services.",
    groups: &[&[
        Key::new("services", SERVICES, "Which services. Empty: all.").default("[]"),
        Key::new(
            "owners",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Services of these owners. Empty: of all.",
        )
        .default("[]"),
        Key::new("tiers", TIERS, "Services of these tiers. Empty: of all.").default("[]"),
        Key::new(
            "from",
            Kind::Text,
            "When it begins, in UTC, as in `\"2026-12-24T00:00Z\"`.",
        )
        .required(),
        Key::new(
            "until",
            Kind::Text,
            "When it ends, written in the same way.",
        )
        .required(),
        Key::new("why", Kind::Text, "Why, for whoever is refused.").required(),
    ]],
    main: None,
};
