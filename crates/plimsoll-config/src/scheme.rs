//! What the language of the configuration file can say: tables of keys, each of a kind.
//!
//! The keys themselves are in [`keys`]. Everything that knows about keys is driven by this one
//! description: reading and checking, the JSON Schema, the reference page.
//! Invariant: every default is valid for its own key (a test reads them all).

pub(crate) mod keys;

use std::time::Duration;

use crate::page::PageKind;

/// A table and the keys it may have.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is for, in a sentence.
    pub(crate) doc: &'static str,
    /// Its keys, in groups so that tables can share some.
    pub(crate) groups: &'static [&'static [Key]],
    /// The key that a bare value stands for.
    pub(crate) main: Option<&'static str>,
}

impl Table {
    /// Its keys in the order of the reference page.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().copied().flatten()
    }

    /// The key called `name`.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    /// As it is written.
    pub(crate) name: &'static str,
    /// What its value may be.
    pub(crate) kind: Kind,
    /// What it does, in a sentence or two.
    pub(crate) doc: &'static str,
    /// What its absence means.
    pub(crate) presence: Presence,
    /// What to write instead of a zero that is out of range.
    pub(crate) zero: Option<&'static str>,
}

impl Key {
    /// A key that may be left out; its doc says what that means.
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            doc,
            presence: Presence::Optional,
            zero: None,
        }
    }

    /// With this value where it is left out, written as TOML.
    pub(crate) const fn default(mut self, toml: &'static str) -> Self {
        self.presence = Presence::Default(toml);
        self
    }

    /// It must be given.
    pub(crate) const fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    /// With this advice to who writes a zero, where that is out of range.
    pub(crate) const fn zero(mut self, advice: &'static str) -> Self {
        self.zero = Some(advice);
        self
    }

    /// A key of the scheme whose feature is not in this version.
    pub(crate) const fn later(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Later,
            doc: "",
            presence: Presence::Optional,
            zero: None,
        }
    }

    /// Whether this version knows what to do with it.
    pub(crate) const fn is_available(&self) -> bool {
        !matches!(self.kind, Kind::Later)
    }
}

/// What the absence of a key means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    /// Nothing is set.
    Optional,
    /// An error.
    Required,
    /// The same as this TOML value.
    Default(&'static str),
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `"250ms"`, within bounds.
    Duration {
        /// The shortest allowed.
        min: Duration,
        /// The longest allowed.
        max: Duration,
    },
    /// `"64KiB"`, within bounds in bytes.
    Size {
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// `"99.9%"`
    Percent,
    /// A whole number within bounds.
    Count {
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// A number within bounds, whole or not.
    Number {
        /// The smallest allowed.
        min: f64,
        /// The largest allowed.
        max: f64,
    },
    /// `"50/s"`
    Rate {
        /// Whether none at all is allowed.
        zero: bool,
    },
    /// `true` or `false`
    Bool,
    /// Free text, not empty.
    Text,
    /// `"127.0.0.1:8080"`
    Address,
    /// `"10.0.0.0/8"`
    Network,
    /// `"http://10.0.0.1:9001"`
    Endpoint,
    /// `"https://hooks.example.com/a"`
    Url,
    /// `"https://queues.example.com/a"`: what other URLs begin with.
    BaseUrl,
    /// `"shop.example.com"` or `"*.example.com"`
    Host,
    /// A host, with or without a port, to send to others.
    Authority,
    /// `"/a"`, `"/a/*"`, `"/a/{id}"`
    PathPattern,
    /// `"/healthz"`, possibly with a query.
    UriPath,
    /// `"x-api-key"`
    HeaderName,
    /// What may stand after the colon of a header.
    HeaderValue,
    /// A header's exact value, or `true` for "present".
    HeaderCondition,
    /// `"GET"`
    Method,
    /// `"recommendations"`
    Feature,
    /// A file or folder, relative to the configuration file's folder.
    File(FileKind),
    /// One of a few words, or where there is one, the other kind.
    Either {
        /// The words.
        words: &'static [Word],
        /// What else it may be.
        other: Option<&'static Kind>,
    },
    /// An array.
    List {
        /// Of these.
        of: &'static Kind,
        /// Whether one value may stand for an array of one.
        bare: bool,
    },
    /// A table with fixed keys.
    Table(&'static Table),
    /// A table whose keys are names.
    Map {
        /// What the names are names of, as in "service"; `None` where messages go on with the path.
        noun: Option<&'static str>,
        /// What a name may be.
        names: NameKind,
        /// What a name leads to.
        of: &'static Kind,
    },
    /// Of the scheme, but not in this version: refused.
    Later,
}

/// A word that a value may be.
#[derive(Debug)]
pub(crate) struct Word {
    /// As it is written.
    pub(crate) word: &'static str,
    /// What it means.
    pub(crate) doc: &'static str,
}

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A folder that Plimsoll writes to.
    StateFolder,
    /// A file that Plimsoll appends to.
    Log,
    /// PEM certificates.
    Certificates,
    /// A PEM private key.
    Key,
    /// A secret in one line.
    Secret,
    /// Flags in flagd's format.
    Flags,
    /// Ids of access keys and their secrets, one in a line.
    AccessKeys,
    /// Markdown; or the URL of a page, which is no file.
    Runbook,
    /// A page for clients.
    Page(PageKind),
}

/// What the name of a map's entry may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NameKind {
    /// A name that goes into metrics and messages.
    Identifier,
    /// A header's name.
    Header,
    /// A queue's name, as every protocol can say it.
    Queue,
}

impl Kind {
    /// Any duration up to a year.
    pub(crate) const DURATION: Self = Self::Duration {
        min: Duration::ZERO,
        max: Duration::from_secs(366 * 86_400),
    };

    /// What was expected, as in "a duration".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Duration { .. } => "a duration such as \"250ms\"".into(),
            Self::Size { .. } => "a size such as \"64KiB\"".into(),
            Self::Percent => "a percentage such as \"99.9%\"".into(),
            Self::Count { .. } => "a whole number".into(),
            Self::Number { .. } => "a number".into(),
            Self::Rate { .. } => "a rate such as \"50/s\"".into(),
            Self::Bool => "`true` or `false`".into(),
            Self::Text => "a text".into(),
            Self::Address => "an address with a port, such as \"127.0.0.1:8080\"".into(),
            Self::Network => "an address range such as \"10.0.0.0/8\"".into(),
            Self::Endpoint => "a URL such as \"http://10.0.0.1:9001\"".into(),
            Self::Url => "a URL such as \"https://hooks.example.com/a\"".into(),
            Self::BaseUrl => "a URL such as \"https://queues.example.com\"".into(),
            Self::Host => "a host such as \"shop.example.com\" or \"*.example.com\"".into(),
            Self::Authority => "a host such as \"shop.example.com\"".into(),
            Self::PathPattern => "a path such as \"/orders/{id}\" or \"/static/*\"".into(),
            Self::UriPath => "a path such as \"/healthz\"".into(),
            Self::HeaderName => "a header's name such as \"x-api-key\"".into(),
            Self::HeaderValue => "a header's value".into(),
            Self::HeaderCondition => "a header's value, or `true` for any value".into(),
            Self::Method => "a method such as \"GET\"".into(),
            Self::Feature => "a feature's name such as \"recommendations\"".into(),
            Self::File(FileKind::StateFolder) => "the path of a folder".into(),
            Self::File(FileKind::Runbook) => "a URL, or the path of a Markdown file".into(),
            Self::File(_) => "the path of a file".into(),
            Self::Either { words, other } => {
                let mut parts: Vec<String> = words
                    .iter()
                    .map(|word| format!("\"{}\"", word.word))
                    .collect();
                parts.extend(other.map(Self::expected));
                any_of(&parts)
            }
            Self::List { of, .. } => format!("an array, each {}", of.expected()),
            Self::Table(table) => match table.main.and_then(|main| table.key(main)) {
                Some(main) => format!("a table, or {} (its `{}`)", main.kind.expected(), main.name),
                None => "a table".into(),
            },
            Self::Map {
                noun: Some(noun), ..
            } => format!("a table of {noun}s by name"),
            Self::Map { noun: None, .. } => "a table".into(),
            Self::Later => "nothing".into(),
        }
    }
}

/// "a, b or c"
pub(crate) fn any_of(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
