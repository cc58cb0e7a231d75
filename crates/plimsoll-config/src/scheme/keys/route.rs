//! The keys of a route.

use std::time::Duration;

use super::rollout::FLAG;
use super::tenant::RATE;
use super::{DAY, KIB, MILLISECOND};
use crate::page::PageKind;
use crate::scheme::{FileKind, Key, Kind, NameKind, Table, Word};

pub(super) static ROUTE: Table = Table {
    doc: "A match on requests, and what is done with them. Of the routes that match, the most specific wins; their order in the file does not matter.",
    groups: &[&[
        Key::new(
            "name",
            Kind::Text,
            "Its name in metrics and messages. Absent: `route-N`, counted in the order of the file.",
        ),
        Key::new(
            "host",
            Kind::Host,
            "The request's host: `shop.example.com`, or `*.example.com` for every name under it. Absent: all.",
        ),
        Key::new(
            "path",
            Kind::PathPattern,
            "The request's path: `/a` is that path alone, `/a/*` is `/a` and all below it, `{id}` is any one segment. Absent: all.",
        ),
        Key::new(
            "methods",
            Kind::List {
                of: &Kind::Method,
                bare: true,
            },
            "The request's method. `GET` includes `HEAD`. Absent: all.",
        )
        .default("[]"),
        Key::new(
            "headers",
            Kind::Map {
                noun: None,
                names: NameKind::Header,
                of: &Kind::HeaderCondition,
            },
            "Headers that the request must have: name and exact value, or `true` for any value.",
        )
        .default("{}"),
        Key::new(
            "flag",
            Kind::Table(&FLAG),
            "The variant of a flag that whoever asks must have, by `flags.user`. For the others the next route counts.",
        ),
        Key::new(
            "service",
            Kind::Text,
            "The service that the request goes to. This or `redirect` is needed.",
        ),
        Key::new(
            "redirect",
            Kind::Table(&REDIRECT),
            "Answer with a redirect instead.",
        ),
        Key::new(
            "class",
            Kind::Either {
                words: CLASSES,
                other: None,
            },
            "What goes first when not all fits.",
        )
        .default(r#""standard""#),
        Key::new(
            "tenant",
            Kind::Table(&TENANT),
            "The caller that fairness is kept between. Absent: the client's address.",
        ),
        Key::new(
            "deadline",
            Kind::Table(&ROUTE_DEADLINE),
            "How long a request may take, where it differs from the service's `protect.deadline`.",
        )
        .default("{}"),
        Key::new(
            "rewrite",
            Kind::Table(&REWRITE),
            "Changes to the request and the response.",
        )
        .default("{}"),
        Key::new(
            "rate",
            Kind::List {
                of: &Kind::Table(&RATE),
                bare: true,
            },
            "What callers may ask for; a request must be within each. Absent: any number.",
        )
        .default("[]"),
        Key::new(
            "cache",
            Kind::Table(&CACHE),
            "Answers are stored and given to others who ask the same, as RFC 9111 allows a shared cache. `{}`: with the defaults. Absent: none is.",
        ),
        Key::new(
            "fallback",
            Kind::Table(&FALLBACK),
            "What is answered where the service fails, or can't take the request, and nothing stored may stand in (`cache.stale`). Absent: problem details of what went wrong.",
        ),
        Key::new(
            "feature",
            Kind::Feature,
            "The optional feature that it is, one of its service's `degrade.brownout` or `degrade.switches`: users for whom that is dimmed get the `fallback`, and the service is not asked.",
        ),
        Key::later("defer"),
        Key::later("contract"),
    ]],
    main: None,
};

static REDIRECT: Table = Table {
    doc: "A redirect. What is left out stays as in the request.",
    groups: &[&[
        Key::new(
            "scheme",
            Kind::Either { words: &[Word { word: "https", doc: "over TLS" }, Word { word: "http", doc: "in cleartext" }], other: None },
            "The scheme to go to.",
        ),
        Key::new("host", Kind::Authority, "The host to go to, with a port where it needs one. Absent: the request's, without its port."),
        Key::new("path", Kind::UriPath, "The path to go to. Absent: the request's path and query."),
        Key::new(
            "status",
            Kind::Count { min: 301, max: 308 },
            "301 and 308 are permanent, 302, 303 and 307 are not; 307 and 308 keep the method and the body.",
        )
        .default("308"),
    ]],
    main: Some("scheme"),
};

static TENANT: Table = Table {
    doc: "The caller that fairness is kept between.",
    groups: &[&[Key::new(
        "header",
        Kind::HeaderName,
        "The header whose value names the tenant. `[tenant.NAME]` gives values a name and a weight.",
    )
    .required()]],
    main: Some("header"),
};

static CACHE: Table = Table {
    doc: "Answers are stored in memory, and given to others who ask the same.",
    groups: &[&[
        Key::new(
            "bytes_max",
            Kind::Size {
                min: KIB,
                max: 1024 * 1024 * KIB,
            },
            "The longest body that is stored. Longer ones pass through.",
        )
        .default(r#""8MiB""#),
        Key::new(
            "stale",
            Kind::DURATION,
            "How long past its freshness an answer is given where the service fails, can't take the request or is spared; unless the answer forbids that, as `must-revalidate` does. Absent: `degrade.stale` of the service.",
        ),
        Key::new(
            "negative",
            Kind::DURATION,
            "How long an answer that something isn't there (404, 405, 410, 414, 501) is fresh, where it doesn't say.",
        )
        .default(r#""0s""#),
        Key::new(
            "heuristic_max",
            Kind::DURATION,
            "An answer with `Last-Modified` that doesn't say how long it is fresh is so for a tenth of its age, at most so long. `0s`: not at all.",
        )
        .default(r#""5m""#),
        Key::new(
            "query",
            Kind::Table(&CACHE_QUERY),
            "Which parameters of the query count. The service is sent no others.",
        )
        .default("{}"),
        Key::new(
            "set_cookie",
            Kind::Either {
                words: &[
                    Word {
                        word: "refuse",
                        doc: "they are not stored",
                    },
                    Word {
                        word: "without",
                        doc: "they are stored without it",
                    },
                ],
                other: None,
            },
            "What is done with answers that have `Set-Cookie`.",
        )
        .default(r#""refuse""#),
    ]],
    main: None,
};

static CACHE_QUERY: Table = Table {
    doc: "Which parameters of the query count. A name that ends in `*` stands for all that begin so.",
    groups: &[&[
        Key::new(
            "only",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "These and no others. Absent: all.",
        ),
        Key::new(
            "without",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "All but these. Not with `only`.",
        ),
        Key::new(
            "sorted",
            Kind::Bool,
            "Whether their order is made the same, by name.",
        )
        .default("false"),
    ]],
    main: None,
};

static FALLBACK: Table = Table {
    doc: "What is answered where the service fails, or can't take the request: a page in a file, as JSON or HTML by what the client accepts, or the answer of another service.",
    groups: &[&[
        Key::new(
            "json",
            Kind::File(FileKind::Page(PageKind::Json)),
            "A JSON file of at most 256 KiB, read with the configuration. In it `{{request_id}}`, `{{service}}`, `{{reason}}` and `{{retry_after}}` stand for values.",
        ),
        Key::new(
            "html",
            Kind::File(FileKind::Page(PageKind::Html)),
            "An HTML file, likewise. Where a client accepts both, or neither, it gets the one that is written first here.",
        ),
        Key::new(
            "status",
            Kind::Count { min: 200, max: 599 },
            "The status of the page. Below 500, only `GET` and `HEAD` get it, and the request counts as good. Absent: 503, with `Retry-After`.",
        ),
        Key::new(
            "service",
            Kind::Text,
            "Another service, which is sent what this one was or would have been: once, only `GET` and `HEAD` without a body, within the time that is left, or a second. Not with a page.",
        ),
    ]],
    main: None,
};

static ROUTE_DEADLINE: Table = Table {
    doc: "How long a request may take, where it differs from the service's.",
    groups: &[&[
        Key::new(
            "head",
            Kind::Duration {
                min: MILLISECOND,
                max: DAY,
            },
            "As in the service's `protect.deadline`.",
        ),
        Key::new(
            "idle",
            Kind::Duration {
                min: MILLISECOND,
                max: DAY,
            },
            "As in the service's `protect.deadline`.",
        ),
        Key::new(
            "total",
            Kind::Duration {
                min: MILLISECOND,
                max: Duration::from_secs(366 * 86_400),
            },
            "As in the service's `protect.deadline`.",
        ),
    ]],
    main: Some("head"),
};

static REWRITE: Table = Table {
    doc: "Changes to the request on its way to the service, and to the response on its way back.",
    groups: &[&[
        Key::new(
            "strip_prefix",
            Kind::UriPath,
            "Taken off the front of the path, whole segments only.",
        ),
        Key::new(
            "host",
            Kind::Authority,
            "The `Host` that the service sees. Absent: as the client sent it.",
        ),
        Key::new(
            "request",
            Kind::Table(&HEADER_CHANGES),
            "Changes to the request's headers.",
        )
        .default("{}"),
        Key::new(
            "response",
            Kind::Table(&HEADER_CHANGES),
            "Changes to the response's headers.",
        )
        .default("{}"),
    ]],
    main: None,
};

static HEADER_CHANGES: Table = Table {
    doc: "Changes to headers: first `remove`, then `set`, then `add`.",
    groups: &[&[
        Key::new(
            "set",
            HEADERS,
            "Headers to set, in place of any of that name.",
        )
        .default("{}"),
        Key::new("add", HEADERS, "Headers to add to those of that name.").default("{}"),
        Key::new(
            "remove",
            Kind::List {
                of: &Kind::HeaderName,
                bare: true,
            },
            "Headers to remove.",
        )
        .default("[]"),
    ]],
    main: None,
};

const HEADERS: Kind = Kind::Map {
    noun: None,
    names: NameKind::Header,
    of: &Kind::HeaderValue,
};

/// The classes, in the order in which they are given up last.
pub(super) const CLASSES: &[Word] = &[
    Word {
        word: "critical",
        doc: "goes last",
    },
    Word {
        word: "standard",
        doc: "what has no other class",
    },
    Word {
        word: "sheddable",
        doc: "goes first",
    },
];
