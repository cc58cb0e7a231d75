//! The keys of what an endpoint runs on: its memory, and how it starts.

use std::time::Duration;

use super::HOUR;
use crate::scheme::{Key, Kind, Table};

const MOMENT: Kind = Kind::Duration {
    min: Duration::ZERO,
    max: HOUR,
};
const BYTES: Kind = Kind::Size {
    min: 1,
    max: 1 << 50,
};

pub(super) static MEMORY: Table = Table {
    doc: "Memory of each endpoint. A request takes some of it when it comes and holds it until it is answered; what answered ones held is left as garbage. When all is full, the endpoint pauses and collects that; if what is held alone does not fit, the endpoint is killed, and starts again.",
    groups: &[&[
        Key::new(
            "each",
            BYTES,
            "What a request takes, whether it waits or is worked on.",
        )
        .required(),
        Key::new("limit", BYTES, "What there is for all of them.").required(),
        Key::new(
            "pause",
            MOMENT,
            "How long nothing is worked on while garbage is collected. The fuller it is, the more often that is.",
        )
        .default("\"0s\""),
    ]],
    main: None,
};

pub(super) static START: Table = Table {
    doc: "How an endpoint starts again after a crash or a kill.",
    groups: &[&[
        Key::new(
            "takes",
            MOMENT,
            "How long it refuses connections after a crash has ended, or after it was killed.",
        )
        .required(),
        Key::new(
            "times",
            Kind::Number {
                min: 1.0,
                max: 10_000.0,
            },
            "How many times as long its first request takes.",
        )
        .default("1.0"),
        Key::new(
            "warm",
            Kind::Count {
                min: 1,
                max: 100_000_000,
            },
            "After so many requests, 63 % of what was to get faster has.",
        )
        .default("1000"),
    ]],
    main: Some("takes"),
};
