//! The keys of maintenance windows.

use std::time::Duration;

use super::{DAY, MINUTE};
use crate::scheme::{Key, Kind, Table};

pub(super) static MAINTENANCE: Table = Table {
    doc: "A time in which what happens to services is counted in metrics, but not held against them: not in budgets, burn rates and pages.",
    groups: &[&[
        Key::new(
            "services",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Which services, by name.",
        )
        .required(),
        Key::new(
            "from",
            Kind::Text,
            "When it begins, in UTC, as in `\"2026-12-01T02:00:00Z\"`. This or `every`.",
        ),
        Key::new(
            "every",
            Kind::Text,
            "The day and time of each week at which it begins, in UTC, as in `\"sunday 02:00\"`.",
        ),
        Key::new(
            "for",
            Kind::Duration {
                min: MINUTE,
                max: Duration::from_secs(7 * DAY.as_secs()),
            },
            "How long it lasts.",
        )
        .required(),
    ]],
    main: None,
};
