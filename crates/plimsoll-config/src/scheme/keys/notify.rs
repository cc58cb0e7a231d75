//! The keys of notifiers.

use std::time::Duration;

use super::service::UPSTREAM_TLS;
use super::{HOUR, MINUTE};
use crate::scheme::{FileKind, Key, Kind, Table, Word};

pub(super) static NOTIFY: Table = Table {
    doc: "Who is called where the governor decides that somebody is to look. In every mode: a call changes nothing.",
    groups: &[&[
        Key::new(
            "kind",
            Kind::Either {
                words: &[
                    Word {
                        word: "webhook",
                        doc: "a POST with JSON, signed after Standard Webhooks where there is a `secret`",
                    },
                    Word {
                        word: "alertmanager",
                        doc: "alerts to Prometheus Alertmanager, repeated while they last",
                    },
                    Word {
                        word: "slack",
                        doc: "a message to an incoming webhook of Slack, or what takes the same",
                    },
                    Word {
                        word: "pagerduty",
                        doc: "events of PagerDuty's Events API, version 2",
                    },
                    Word {
                        word: "smtp",
                        doc: "a mail",
                    },
                    Word {
                        word: "heartbeat",
                        doc: "a POST each `interval` for as long as Plimsoll watches; the receiver alarms when they stop",
                    },
                ],
                other: None,
            },
            "What is sent.",
        )
        .required(),
        Key::new(
            "url",
            Kind::Table(&NOTIFY_URL),
            "Where to: `https` or `http`; for mail `smtp` (port 25, with STARTTLS where the server has it) or `smtps` (port 465). Of an Alertmanager the address without `/api`. A URL that is itself a secret does not belong in this file: `{ env = \"HOOK_URL\" }` or `{ file = \"hook.url\" }`. For `pagerduty` it may be left out.",
        ),
        Key::new(
            "secret",
            Kind::Table(&NOTIFY_SECRET),
            "For `webhook` the key that signs, as `whsec_` and base64; absent: nothing is signed. For `pagerduty` the routing key, which it must have. For `smtp` the password of `user`.",
        ),
        Key::new(
            "owners",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "Whose services it is about, as `owner` of a service says it. Empty: all, those without an owner too.",
        )
        .default("[]"),
        Key::new(
            "tls",
            Kind::Table(&UPSTREAM_TLS),
            "How the receiver is checked where TLS is spoken.",
        )
        .default("{}"),
        Key::new("from", Kind::Text, "For `smtp`: the sender's address."),
        Key::new(
            "to",
            Kind::List {
                of: &Kind::Text,
                bare: true,
            },
            "For `smtp`: the addresses it goes to, 16 at most.",
        )
        .default("[]"),
        Key::new(
            "user",
            Kind::Text,
            "For `smtp`: who logs in, with `secret`. Only over TLS.",
        ),
        Key::new(
            "interval",
            Kind::Duration {
                min: Duration::from_secs(1),
                max: HOUR,
            },
            "For `heartbeat`: how often. Absent: 1m.",
        ),
    ]],
    main: None,
};

static NOTIFY_URL: Table = Table {
    doc: "A URL: as it is, or where it is kept.",
    groups: &[&[
        Key::new("value", Kind::Url, "The URL itself, where it is no secret."),
        Key::new(
            "env",
            Kind::Text,
            "The environment variable that has the URL.",
        ),
        Key::new(
            "file",
            Kind::File(FileKind::Secret),
            "The file that has the URL, in one line.",
        ),
    ]],
    main: Some("value"),
};

static NOTIFY_SECRET: Table = Table {
    doc: "Where a secret is kept.",
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

/// How often a heartbeat comes that says nothing of it.
pub(crate) const INTERVAL: Duration = MINUTE;
