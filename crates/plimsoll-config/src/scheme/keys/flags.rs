//! The keys of flags.

use crate::scheme::{FileKind, Key, Kind, NameKind, Table, Word};

pub(super) static FLAGS: Table = Table {
    doc: "Flags in flagd's format, for clients that speak OFREP: every OpenFeature SDK. They come from a file, or are managed; never both.",
    groups: &[&[
        Key::new(
            "file",
            Kind::File(FileKind::Flags),
            "A file in flagd's JSON format. It is read again when it changes; one that is not valid keeps the flags that were there before. This or `managed`.",
        ),
        Key::new(
            "managed",
            Kind::Bool,
            "Whether the flags are kept by Plimsoll itself, and changed with `plimsoll flag`.",
        )
        .default("false"),
        Key::new(
            "listen",
            Kind::Address,
            "Where clients ask over OFREP, as `\"127.0.0.1:8016\"`. Absent: nowhere.",
        ),
        Key::new(
            "tokens",
            Kind::List {
                of: &Kind::Table(&TOKEN),
                bare: false,
            },
            "What clients send as `Authorization: Bearer` or as `X-API-Key`, one of these. Empty: whoever reaches the address may ask.",
        )
        .default("[]"),
        Key::new(
            "origins",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Origins of web pages that may ask from a browser, as `\"https://shop.example.com\"`; `\"*\"`: all. Empty: none.",
        )
        .default("[]"),
        Key::new(
            "fractional",
            Kind::Either {
                words: &[
                    Word {
                        word: "v2",
                        doc: "as flagd computes it: shares of 32 bits",
                    },
                    Word {
                        word: "v1",
                        doc: "as flagd's specification is written, and older versions compute it: shares of a number from 0 to 100",
                    },
                ],
                other: None,
            },
            "How `fractional` splits. Another one puts most users elsewhere.",
        )
        .default(r#""v2""#),
        Key::new(
            "user",
            Kind::Table(&USER),
            "Where requests say who it is, for routes and features that go by a flag: what services give as the targeting key. Absent: requests have none.",
        ),
        Key::new(
            "attributes",
            Kind::Map {
                noun: None,
                names: NameKind::Identifier,
                of: &Kind::HeaderName,
            },
            "What more is known of a request there: an attribute of the context, and the header that has it. At most 16.",
        )
        .default("{}"),
    ]],
    main: Some("file"),
};

static USER: Table = Table {
    doc: "The header or the cookie that says who it is: one of the two.",
    groups: &[&[
        Key::new("header", Kind::HeaderName, "The header."),
        Key::new("cookie", Kind::Text, "The cookie."),
    ]],
    main: None,
};

pub(super) static TOKEN: Table = Table {
    doc: "Where a token is kept.",
    groups: &[&[
        Key::new("env", Kind::Text, "The environment variable that has it."),
        Key::new(
            "file",
            Kind::File(FileKind::Secret),
            "The file that has it, in one line.",
        ),
    ]],
    main: None,
};
