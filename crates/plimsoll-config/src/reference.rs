//! The reference page of the configuration file, written from the description of its keys.

use std::fmt::Write as _;

use crate::scheme::keys::FILE;
use crate::scheme::{FileKind, Key, Kind, Presence, Table, any_of};
use crate::unit::{show_duration, show_size};

/// The text of `docs/reference/config.md`.
pub fn reference_markdown() -> String {
    let mut page = Page {
        text: HEAD.to_owned(),
        later: Vec::new(),
        written: Vec::new(),
    };
    page.table("", "", &FILE);
    page.text.push_str(ROUTES);
    let _ = writeln!(
        page.text,
        "\n## Not in this version\n\nThese keys belong to features that come later. They are refused, so that nothing looks protected that is not:\n{}.",
        page.later
            .iter()
            .map(|key| format!("`{key}`"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    page.text
}

const HEAD: &str = "\
# Configuration

One TOML file. Written by `plimsoll init`, checked by `plimsoll check FILE`, described for editors by
`plimsoll schema`. This page is generated from the same description of the keys that checks them.

- Durations, sizes, percentages and rates carry their unit: `\"250ms\"`, `\"1m30s\"` (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`);
  `\"64KiB\"` (`B`, `KiB`, `MiB`, `GiB`, `TiB`); `\"99.9%\"`; `\"50/s\"` (`/s`, `/min`, `/h`, `/d`).
- Where a table has a *main key*, a bare value stands for it: `deadline = \"2s\"` is `deadline = { head = \"2s\" }`.
- Where an array has one element, it may stand alone, except for `route`.
- Route beats service beats `[defaults]`: `[defaults.protect]` has the keys of `[service.NAME.protect]`, and so on.
- Relative paths of files are relative to the folder of the configuration file.
- An unknown key, a wrong unit, a name that refers to nothing or two keys that contradict each other is an
  error, and all errors of a file are shown at once.

The shortest file:

```toml
[service.shop]
endpoints = [\"http://127.0.0.1:9001\", \"http://127.0.0.1:9002\"]

[[route]]
service = \"shop\"
```
";

const ROUTES: &str = "
## Which route a request takes

Of the routes that match, the most specific wins; the order in the file does not matter. Compared in turn:

1. the host: a name, then the longest `*.` suffix, then all;
2. the path, segment by segment from the left: text, then `{id}`, then `/*`; at the end, an exact end before an open one;
3. `methods` given before none (for `HEAD`: a route that lists it, then one that lists `GET`, then one without `methods`);
4. more header conditions before fewer; of as many, more exact values before fewer.

Where the most specific route does not match the method or the headers, the next one is tried. If none is
left, the answer is 405 where some route matched all but the method, else 404. Two routes that this order
cannot tell apart are an error of `check`.

Paths are compared as sent, percent-encoded, up to what RFC 3986 calls equivalent (`%61` is `a`, but `%2F` is not
`/`). Empty segments do not count (`//a` matches as `/a`), except a slash at the end: `/a` and `/a/` are two
paths, and `/a/*` matches both. A path with a dot segment (`.`, `..`, also percent-encoded, behind an encoded
slash or before a `;`) is answered with 400 and reaches no service. What is forwarded is the path as it was sent.
Hosts are compared in any case, without port and trailing dot.
";

struct Page {
    text: String,
    later: Vec<String>,
    /// Tables that have been described, with the heading they have it under.
    written: Vec<(*const Table, String)>,
}

impl Page {
    fn table(&mut self, path: &str, heading: &str, table: &'static Table) {
        if !heading.is_empty() {
            let _ = write!(self.text, "\n## `{heading}`\n\n{}\n", table.doc);
        }
        if let Some((_, earlier)) = self
            .written
            .iter()
            .find(|(other, _)| std::ptr::eq(*other, table))
        {
            let _ = write!(self.text, "\nThe keys of `{earlier}`.\n");
            return;
        }
        self.written
            .push((std::ptr::from_ref(table), heading.to_owned()));
        if let Some(main) = table.main {
            let _ = write!(self.text, "\nMain key: `{main}`.\n");
        }
        self.text
            .push_str("\n| key | value | default | |\n|---|---|---|---|\n");
        for key in table.keys() {
            if key.is_available() {
                self.row(key);
            } else {
                self.later.push(if path.is_empty() {
                    key.name.to_owned()
                } else {
                    format!("{path}.{}", key.name)
                });
            }
        }
        for key in table.keys().filter(|key| key.is_available()) {
            // Described with the service that they are the defaults of.
            if key.name != "defaults" {
                self.inner(path, key.name, &key.kind);
            }
        }
    }

    fn row(&mut self, key: &'static Key) {
        let default = match key.presence {
            Presence::Required => "**required**".to_owned(),
            Presence::Default("{}" | "[]") | Presence::Optional => String::new(),
            Presence::Default(toml) => format!("`{toml}`"),
        };
        let words = match &key.kind {
            Kind::Either { words, .. } => words
                .iter()
                .map(|word| format!(" `{}`: {}.", word.word, word.doc))
                .collect(),
            _ => String::new(),
        };
        let _ = writeln!(
            self.text,
            "| `{}` | {} | {default} | {}{words} |",
            key.name,
            value(&key.kind),
            key.doc
        );
    }

    /// The sections of the tables that a key leads to.
    fn inner(&mut self, path: &str, name: &str, kind: &'static Kind) {
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        match kind {
            Kind::Table(table) => self.table(&path, &format!("[{path}]"), table),
            Kind::List {
                of: Kind::Table(table),
                ..
            } => self.table(&path, &format!("[[{path}]]"), table),
            Kind::Map {
                of: Kind::Table(table),
                ..
            } => {
                let path = format!(
                    "{path}.{}",
                    if name == "objective" {
                        "OBJECTIVE"
                    } else {
                        "NAME"
                    }
                );
                self.table(&path, &format!("[{path}]"), table);
            }
            Kind::Either {
                other: Some(other), ..
            } => self.inner_of_choice(&path, other),
            _ => {}
        }
    }

    fn inner_of_choice(&mut self, path: &str, other: &'static Kind) {
        if let Kind::Table(table) = other {
            self.table(path, &format!("[{path}]"), table);
        }
    }
}

/// What a value looks like, for a cell of a table.
fn value(kind: &'static Kind) -> String {
    match kind {
        Kind::Duration { min, max } => format!(
            "duration, {} to {}",
            show_duration(*min),
            show_duration(*max)
        ),
        Kind::Size { min, max: u64::MAX } => format!("size, from {}", show_size(*min)),
        Kind::Size { min, max } => format!("size, {} to {}", show_size(*min), show_size(*max)),
        Kind::Percent => "percentage".into(),
        Kind::Count { min, max } => format!("number, {min} to {max}"),
        Kind::Number { min, max } => format!("number, {min} to {max}, whole or not"),
        Kind::Rate { .. } => "rate, `\"50/s\"`".into(),
        Kind::Bool => "`true` or `false`".into(),
        Kind::Text => "text".into(),
        Kind::Address => "address, `\"127.0.0.1:8080\"`".into(),
        Kind::Network => "address range, `\"10.0.0.0/8\"`".into(),
        Kind::Url => "URL, `\"https://hooks.example.com/a\"`".into(),
        Kind::BaseUrl => "URL, `\"https://queues.example.com\"`".into(),
        Kind::Endpoint => "URL, `\"http://10.0.0.1:9001\"`".into(),
        Kind::Host => "host, `\"*.example.com\"`".into(),
        Kind::Authority => "host, `\"shop.example.com\"`".into(),
        Kind::PathPattern => "path, `\"/orders/{id}\"`".into(),
        Kind::UriPath => "path, `\"/healthz\"`".into(),
        Kind::HeaderName => "header name".into(),
        Kind::HeaderValue => "header value".into(),
        Kind::HeaderCondition => "header value or `true`".into(),
        Kind::Method => "method, `\"GET\"`".into(),
        Kind::Feature => "feature, `\"recommendations\"`".into(),
        Kind::File(FileKind::Runbook) => "URL or file path".into(),
        Kind::File(_) => "file path".into(),
        Kind::Either { words, other } => {
            let mut parts: Vec<String> = words
                .iter()
                .map(|word| format!("`\"{}\"`", word.word))
                .collect();
            parts.extend(other.map(value));
            any_of(&parts)
        }
        Kind::List { of, .. } => match of {
            Kind::Table(_) => "array of tables".into(),
            _ => format!("array of {}", value(of)),
        },
        Kind::Table(_) => "table".into(),
        Kind::Map {
            noun: Some(noun), ..
        } => format!("tables by name of the {noun}"),
        Kind::Map { noun: None, of, .. } => format!("table: header name to {}", value(of)),
        Kind::Later => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/config.md"
        );
        let text = reference_markdown();
        if std::env::var_os("PLIMSOLL_WRITE_REFERENCE").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &text).unwrap();
        }
        let current = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            current == text,
            "run the tests with PLIMSOLL_WRITE_REFERENCE=1 to write {path}"
        );
    }

    #[test]
    fn every_available_key_is_on_the_page() {
        let text = reference_markdown();
        for key in [
            "strip_prefix",
            "successes_min",
            "proxy_protocol",
            "server_name",
            "below",
            "memory_max",
            "requests_max",
            "streams_max",
            "burst",
            "weight",
        ] {
            assert!(text.contains(&format!("| `{key}` |")), "{key}");
        }
        assert!(text.contains("`route.defer`"));
    }
}
