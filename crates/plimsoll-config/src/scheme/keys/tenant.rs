//! The keys of tenants, and of the rates that routes hold them to.

use super::MODE;
use crate::scheme::{FileKind, Key, Kind, Table, Word};

pub(super) static TENANT: Table = Table {
    doc: "A caller with a name and a share of its own. Callers without one share the weight of a single tenant per address.",
    groups: &[&[
        Key::new(
            "keys",
            Kind::List {
                of: &Kind::Table(&TENANT_KEY),
                bare: true,
            },
            "The values of the header in a route's `tenant` that are this tenant, at least one. Names may stand here; a secret does not belong in this file: `{ env = \"ACME_KEY\" }` or `{ file = \"acme.key\" }`.",
        )
        .required(),
        Key::new(
            "weight",
            Kind::Number {
                min: 0.01,
                max: 100.0,
            },
            "Its share where not all fits, beside tenants of weight 1.",
        )
        .default("1.0"),
    ]],
    main: Some("keys"),
};

static TENANT_KEY: Table = Table {
    doc: "One value of the tenant header: as it is, or where it is kept.",
    groups: &[&[
        Key::new(
            "value",
            Kind::HeaderValue,
            "The value itself; for names, not for secrets.",
        ),
        Key::new(
            "env",
            Kind::Text,
            "The environment variable that has the value.",
        ),
        Key::new(
            "file",
            Kind::File(FileKind::Secret),
            "The file that has the value, in one line.",
        ),
    ]],
    main: Some("value"),
};

pub(super) static RATE: Table = Table {
    doc: "What callers may ask for. What is above is answered with 429 and `Retry-After`, and does not count against the service's objectives.",
    groups: &[&[
        Key::new(
            "limit",
            Kind::Rate { zero: false },
            "Requests over time, in the long run.",
        )
        .required()
        .zero("a rate of 0 would refuse every request; for no bound leave the rate out"),
        Key::new(
            "burst",
            Kind::Count {
                min: 1,
                max: 1_000_000_000,
            },
            "Requests at once after a rest. Absent: the count of `limit`, so 50 for `50/s`.",
        )
        .zero("a burst of 0 would refuse every request"),
        Key::new(
            "by",
            Kind::Either {
                words: &[
                    Word {
                        word: "tenant",
                        doc: "each tenant; on a route without `tenant` each client address",
                    },
                    Word {
                        word: "address",
                        doc: "each client address",
                    },
                    Word {
                        word: "route",
                        doc: "all requests of the route together",
                    },
                ],
                other: None,
            },
            "What each has the rate for itself.",
        )
        .default(r#""tenant""#),
        Key::new(
            "cost",
            Kind::Table(&COST),
            "What a request counts as, for calls that carry many. Absent: one.",
        ),
        Key::new(
            "name",
            Kind::Text,
            "Its name in `RateLimit-Policy`, metrics and messages. Absent: `rate-N`, counted in the order of the route.",
        ),
        Key::new("mode", MODE, "Whether it acts.").default(r#""enforce""#),
    ]],
    main: Some("limit"),
};

static COST: Table = Table {
    doc: "What a request counts as.",
    groups: &[&[
        Key::new(
            "header",
            Kind::HeaderName,
            "The header with the number of requests that this one counts as. Absent or no number: one. Whoever sends the request says it: let the service refuse what carries more than it says.",
        )
        .required(),
        Key::new(
            "max",
            Kind::Count {
                min: 1,
                max: 1_000_000_000,
            },
            "A larger number counts as this. Not above `burst`. Absent: `burst`.",
        ),
    ]],
    main: Some("header"),
};
