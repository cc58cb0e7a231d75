//! TOML to values of the scheme: every key is known, every value is of its kind.
//!
//! Elsewhere: what a single value must look like (`scalar`); defaults and what must be there
//! (`defaults`); what must hold between values (`rules`).

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::address;
use crate::diagnostic::Diagnostic;
use crate::model::QueueConfig;
use crate::nearest::nearest;
use crate::node::{Fields, Node, Value};
use crate::scalar::{self, Problem};
use crate::scheme::{Key, Kind, NameKind, Table, any_of};

/// What a message is about: "`protect.deadline` of service `checkout`".
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// "service", and the names on the way to it.
    subject: Option<(&'static str, Vec<String>)>,
    /// Keys from there on.
    path: Vec<String>,
}

impl Place {
    /// The same place, one key down.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut place = self.clone();
        place.path.push(key.to_owned());
        place
    }

    /// Whether it is the list of routes, whose elements have names.
    pub(crate) fn is_routes(&self) -> bool {
        self.subject.is_none() && self.path == ["route"]
    }

    /// The queue that it is.
    fn queue(&self) -> Option<&str> {
        match (&self.subject, self.path.as_slice()) {
            (Some(("queue", names)), []) => names.last().map(String::as_str),
            _ => None,
        }
    }

    /// The entry `name` of a map of `noun`s, or the route called so.
    pub(crate) fn named(&self, noun: &'static str, name: &str) -> Self {
        let mut names = self
            .subject
            .as_ref()
            .map(|(_, names)| names.clone())
            .unwrap_or_default();
        names.push(name.to_owned());
        Self {
            subject: Some((noun, names)),
            path: Vec::new(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.subject, self.path.as_slice()) {
            (None, []) => f.write_str("the file"),
            (None, path) => write!(f, "`{}`", path.join(".")),
            (Some((noun, names)), []) => write!(f, "{noun} `{}`", names.join(".")),
            (Some((noun, names)), path) => {
                write!(f, "`{}` of {noun} `{}`", path.join("."), names.join("."))
            }
        }
    }
}

/// Reads values, and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    /// The text that spans point into.
    pub(crate) source: &'a str,
    /// What file paths are relative to.
    pub(crate) folder: &'a Path,
    /// What was found so far.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The table `toml` as `table`. Unknown keys and values of the wrong kind are reported and left out.
    pub(crate) fn table(
        &mut self,
        table: &'static Table,
        toml: &DeTable<'_>,
        place: &Place,
    ) -> Fields {
        let mut fields = Fields::default();
        for (key, value) in toml {
            let name: &str = key.get_ref();
            let node = match table.key(name) {
                None => {
                    if let Some(meant) = self.unknown_key(table, key, place)
                        && !toml.contains_key(meant)
                    {
                        // What was meant is not missing, too.
                        fields.insert(meant, key.span(), Node::new(Value::Invalid, value.span()));
                    }
                    continue;
                }
                Some(known) if !known.is_available() => {
                    self.not_in_this_version(key, place);
                    continue;
                }
                Some(known) => self.key_value(known, value, &place.key(name)),
            };
            fields.insert(name, key.span(), node);
        }
        fields
    }

    /// Returns the key that was probably meant.
    fn unknown_key(
        &mut self,
        table: &'static Table,
        key: &Spanned<DeString<'_>>,
        place: &Place,
    ) -> Option<&'static str> {
        let name: &str = key.get_ref();
        let meant = nearest(name, table.keys().map(|key| key.name));
        let help = match meant {
            None if let Some(queue) = place.queue().filter(|_| name == "fifo") => {
                format!("for a queue called `{queue}.fifo` write `[queue.\"{queue}.fifo\"]`")
            }
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let available = table.keys().filter(|key| key.is_available());
                let keys: Vec<String> = available.map(|key| format!("`{}`", key.name)).collect();
                format!("it can have {}", any_of(&keys))
            }
        };
        self.diagnostics.push(
            Diagnostic::error(
                "unknown-key",
                key.span(),
                format!("{place} cannot have the key `{name}`"),
            )
            .label("unknown key")
            .help(help),
        );
        meant
    }

    fn not_in_this_version(&mut self, key: &Spanned<DeString<'_>>, place: &Place) {
        let subject = place.key(key.get_ref());
        self.diagnostics.push(
            Diagnostic::error(
                "not-in-this-version",
                key.span(),
                format!("{subject} is not in this version of Plimsoll"),
            )
            .label("a key that a later version has")
            .help("leave it out: Plimsoll refuses what it could not obey"),
        );
    }

    /// The value `toml` of `key`. A zero that is out of range gets the key's advice.
    fn key_value(&mut self, key: &'static Key, toml: &Spanned<DeValue<'_>>, place: &Place) -> Node {
        let before = self.diagnostics.len();
        let node = self.value(&key.kind, toml, place);
        if let (Some(advice), true) = (key.zero, is_zero(toml.get_ref()))
            && let Some([only]) = self.diagnostics.get_mut(before..)
            && only.code == "out-of-range"
        {
            only.help = Some(advice.to_owned());
        }
        node
    }

    /// The value `toml` as `kind`; invalid once it has been reported.
    pub(crate) fn value(
        &mut self,
        kind: &'static Kind,
        toml: &Spanned<DeValue<'_>>,
        place: &Place,
    ) -> Node {
        let span = toml.span();
        let value = match (kind, toml.get_ref()) {
            (Kind::Table(table), DeValue::Table(entries)) => {
                Value::Table(self.table(table, entries, place))
            }
            (Kind::Table(table), _) => self.bare_value(kind, table, toml, place),
            (Kind::Map { noun, names, of }, DeValue::Table(entries)) => {
                Value::Table(self.map(*noun, *names, of, entries, place))
            }
            (Kind::List { of, .. }, DeValue::Array(elements)) => {
                let read = |(place_in_list, element): (usize, &Spanned<DeValue<'_>>)| {
                    let place = element_place(element, place_in_list, place);
                    self.value(of, element, &place)
                };
                Value::List(elements.iter().enumerate().map(read).collect())
            }
            (Kind::List { of, bare: true }, _) => Value::List(vec![self.value(of, toml, place)]),
            (Kind::Either { words, other }, found) => {
                let word = found.as_str().map(|text| scalar::word(words, text));
                match (word, other) {
                    (Some(Ok(word)), _) => Value::Word(word),
                    (_, Some(other)) if suits(other, found) => {
                        return self.value(other, toml, place);
                    }
                    (Some(Err(meant)), _) => self.unknown_word(kind, meant, &span, place),
                    (None, Some(other))
                        if found.as_str().is_none() && !matches!(other, Kind::Table(_)) =>
                    {
                        return self.value(other, toml, place);
                    }
                    (None, _) => self.problem(Problem::wrong_type(kind, found), &span, toml, place),
                }
            }
            (Kind::Map { .. } | Kind::List { .. }, found) => {
                self.problem(Problem::wrong_type(kind, found), &span, toml, place)
            }
            (_, found) => match scalar::read(kind, found, self.folder) {
                Ok(value) => value,
                Err(problem) => self.problem(problem, &span, toml, place),
            },
        };
        Node::new(value, span)
    }

    /// A value in place of a table stands for the table's main key.
    fn bare_value(
        &mut self,
        kind: &'static Kind,
        table: &'static Table,
        toml: &Spanned<DeValue<'_>>,
        place: &Place,
    ) -> Value {
        let span = toml.span();
        let main = table.main.and_then(|main| table.key(main));
        match (main, toml.get_ref()) {
            (Some(main), DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_)) => {
                // "`target` of objective `a`" for what is named; "`protect.deadline`" reads better as it is written.
                let inner = if place.path.is_empty() {
                    place.key(main.name)
                } else {
                    place.clone()
                };
                let node = self.key_value(main, toml, &inner);
                if matches!(node.value, Value::Invalid) {
                    return Value::Invalid;
                }
                let mut fields = Fields::default();
                fields.insert(main.name, span, node);
                Value::Table(fields)
            }
            // A place for secrets: what stands there instead is one.
            (None, DeValue::String(_)) if table.key("env").is_some() => {
                let mut diagnostic = Diagnostic::error(
                    "secret-in-file",
                    span.clone(),
                    format!("{place} stands in the file"),
                )
                .label("a secret in this file would end up in backups and version control")
                .help("keep it elsewhere: `{ env = \"NAME\" }` or `{ file = \"path\" }`");
                diagnostic.secret = Some(span);
                self.diagnostics.push(diagnostic);
                Value::Invalid
            }
            (_, found) => self.problem(Problem::wrong_type(kind, found), &span, toml, place),
        }
    }

    fn map(
        &mut self,
        noun: Option<&'static str>,
        names: NameKind,
        of: &'static Kind,
        entries: &DeTable<'_>,
        place: &Place,
    ) -> Fields {
        let mut fields = Fields::default();
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let name = match names {
                NameKind::Identifier if is_identifier(name) => name.to_owned(),
                NameKind::Identifier => {
                    let noun = noun.unwrap_or("name");
                    self.diagnostics.push(
                        Diagnostic::error(
                            "bad-name",
                            key.span(),
                            format!("the {noun} `{name}` has a name that cannot be used"),
                        )
                        .label("letters, digits, `-` and `_` were expected, at most 64")
                        .note("names are labels of metrics, and parts of dotted references"),
                    );
                    continue;
                }
                NameKind::Queue if is_queue_name(name) => name.to_owned(),
                NameKind::Queue => {
                    self.diagnostics.push(
                        Diagnostic::error(
                            "bad-name",
                            key.span(),
                            format!("the queue `{name}` has a name that cannot be used"),
                        )
                        .label("letters, digits, `-` and `_` were expected, at most 80, the end `.fifo` included")
                        .note("names are parts of URLs and ARNs; only a queue that keeps the order of its messages has a dot in its name"),
                    );
                    continue;
                }
                NameKind::Header => match scalar::header_name(name) {
                    Ok(lower) => lower,
                    Err(problem) => {
                        let message = format!("`{name}` in {place} {}", problem.what);
                        let diagnostic = Diagnostic::error(problem.code, key.span(), message)
                            .label(problem.label);
                        self.diagnostics.push(diagnostic);
                        continue;
                    }
                },
            };
            let inner = match noun {
                Some(noun) => place.named(noun, &name),
                None => place.key(&name),
            };
            if let Some(first) = fields.field(&name) {
                let (first, second) = if first.key_span.start < key.span().start {
                    (first.key_span.clone(), key.span())
                } else {
                    (key.span(), first.key_span.clone())
                };
                let message = format!("{inner} is there twice");
                let diagnostic = Diagnostic::error("duplicate-key", second, message)
                    .label("again here, in another case")
                    .related(first, "first here");
                self.diagnostics.push(diagnostic);
                continue;
            }
            let node = self.value(of, value, &inner);
            fields.insert(&name, key.span(), node);
        }
        fields
    }

    fn unknown_word(
        &mut self,
        kind: &Kind,
        meant: Option<&str>,
        span: &Range<usize>,
        place: &Place,
    ) -> Value {
        let mut diagnostic = Diagnostic::error(
            "unknown-word",
            span.clone(),
            format!("{place} is none of the words it can be"),
        )
        .label(format!("{} was expected", kind.expected()));
        if let Some(meant) = meant {
            diagnostic = diagnostic.help(format!("did you mean \"{meant}\"?"));
        }
        self.diagnostics.push(diagnostic);
        Value::Invalid
    }

    fn problem(
        &mut self,
        problem: Problem,
        span: &Range<usize>,
        toml: &Spanned<DeValue<'_>>,
        place: &Place,
    ) -> Value {
        let mut diagnostic = Diagnostic::error(
            problem.code,
            span.clone(),
            format!("{place} {}", problem.what),
        )
        .label(problem.label);
        if let Some(toml) = problem.instead {
            diagnostic = diagnostic.help(match place.path.last() {
                Some(key) if self.is_whole_value_of(key, span) => format!("write `{key} = {toml}`"),
                _ => format!("write `{toml}`"),
            });
        }
        if let Some(help) = problem.help {
            diagnostic = diagnostic.help(help);
        }
        if problem.code == "password-in-url"
            && let (Some(text), Some(written)) =
                (toml.get_ref().as_str(), self.source.get(span.clone()))
            && let Some((start, end)) = address::credentials(text)
            && let Some(secret) = text.get(start..end)
        {
            // Where it is written with escapes, all of it is hidden.
            let offset = written
                .find(secret)
                .map(|at| span.start + at..span.start + at + secret.len());
            diagnostic.secret = Some(offset.unwrap_or_else(|| span.clone()));
        }
        self.diagnostics.push(diagnostic);
        Value::Invalid
    }

    /// Whether the value at `span` comes right after `key =`, and not inside an array.
    fn is_whole_value_of(&self, key: &str, span: &Range<usize>) -> bool {
        let before = self.source.get(..span.start).unwrap_or_default().trim_end();
        before
            .strip_suffix('=')
            .is_some_and(|before| before.trim_end().trim_end_matches('"').ends_with(key))
    }
}

/// Whether it is a number with nothing but zeros, whatever its unit.
fn is_zero(value: &DeValue<'_>) -> bool {
    let text = match value {
        DeValue::Integer(integer) => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        DeValue::String(text) => text,
        _ => return false,
    };
    text.starts_with('0') && !text.contains(|c: char| matches!(c, '1'..='9'))
}

/// Whether `value` looks like `kind`, so that a message about it should come from there.
fn suits(kind: &Kind, value: &DeValue<'_>) -> bool {
    match (kind, value) {
        (Kind::Table(_), DeValue::Table(_)) | (Kind::Count { .. }, DeValue::Integer(_)) => true,
        (Kind::Table(_) | Kind::Count { .. }, _) => false,
        // "none" misspelt is not a duration: only what begins like one is read as one.
        (Kind::Duration { .. } | Kind::Size { .. }, DeValue::String(text)) => {
            text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        }
        // Nor is "stdot" a file: a path in place of a word has a slash or a dot.
        (Kind::File(_), DeValue::String(text)) => text.contains(['/', '.']),
        (_, DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_)) => true,
        _ => false,
    }
}

/// Elements of a list of routes are called by their names; others by their list.
fn element_place(element: &Spanned<DeValue<'_>>, place_in_list: usize, place: &Place) -> Place {
    if !place.is_routes() {
        return place.clone();
    }
    match element
        .get_ref()
        .get("name")
        .and_then(|name| name.get_ref().as_str())
    {
        Some(name) => Place::default().named("route", name),
        None => Place::default().named("route", &format!("route-{}", place_in_list + 1)),
    }
}

/// Whether a queue can be called so: by every protocol, and in URLs.
fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !stem.is_empty() && name.len() <= QueueConfig::NAME_MAX && stem.bytes().all(is_letter)
}

/// Whether it can be a label of metrics and a part of dotted references.
pub(crate) fn is_identifier(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
