//! The keys of journeys.

use crate::scheme::{Key, Kind, Table};

pub(super) static JOURNEY: Table = Table {
    doc: "What users set out to do: it succeeds where each of its services does. It has a budget and is shown; who is called is decided by the objectives of its services.",
    groups: &[&[
        Key::new("owner", Kind::Text, "Who is asked about it."),
        Key::new(
            "services",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "The services that it needs, by name; one that it needs twice is named twice.",
        )
        .required(),
        Key::new(
            "objective",
            Kind::Text,
            "The objective by which each of these services is judged. All have one of this name, for the same period.",
        )
        .default(r#""availability""#),
        Key::new(
            "target",
            Kind::Percent,
            "The share of journeys that must succeed; less than 100%.",
        )
        .required(),
    ]],
    main: None,
};
