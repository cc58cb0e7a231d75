//! The file as values of the scheme, each with its place in the source.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_core::Ratio;

use crate::model::{Endpoint, Network};
use crate::pattern::{HostPattern, PathPattern};
use crate::scheme::FileKind;
use crate::unit::Rate;

/// A value and where it is written; a default has the place of the table that lacks it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Range<usize>,
    /// Whether the file does not say it.
    pub(crate) is_default: bool,
}

/// A value of the scheme.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Duration(Duration),
    Size(u64),
    Percent(Ratio),
    Count(u64),
    Number(f64),
    Rate(Rate),
    Bool(bool),
    /// Text of any kind, in normal form (header names in lower case, for example).
    Text(String),
    /// A word of the scheme.
    Word(&'static str),
    /// A header is there, whatever its value.
    Present,
    Address(SocketAddr),
    Network(Network),
    Endpoint(Endpoint),
    Host(HostPattern),
    Path(PathPattern),
    File(PathBuf, FileKind),
    List(Vec<Node>),
    Table(Fields),
    /// It was wrong and has been reported; nothing more is to be said about it.
    Invalid,
}

/// The entries of a table by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    entries: BTreeMap<String, Field>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Where the key is written.
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

impl Fields {
    pub(crate) fn insert(&mut self, key: &str, key_span: Range<usize>, node: Node) {
        self.entries
            .insert(key.to_owned(), Field { key_span, node });
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Field> {
        self.entries.remove(key)
    }

    pub(crate) fn field(&self, key: &str) -> Option<&Field> {
        self.entries.get(key)
    }

    pub(crate) fn field_mut(&mut self, key: &str) -> Option<&mut Field> {
        self.entries.get_mut(key)
    }

    pub(crate) fn node(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|field| &field.node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.entries
            .iter()
            .map(|(key, field)| (key.as_str(), field))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Field)> {
        self.entries
            .iter_mut()
            .map(|(key, field)| (key.as_str(), field))
    }

    /// The entries of the table at `key`; `None` where it is absent or wrong.
    pub(crate) fn table(&self, key: &str) -> Option<&Fields> {
        self.node(key)?.as_table()
    }

    /// The same, to be changed.
    pub(crate) fn table_mut(&mut self, key: &str) -> Option<&mut Fields> {
        match &mut self.field_mut(key)?.node.value {
            Value::Table(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements of the array at `key`; none where it is absent or wrong.
    pub(crate) fn list(&self, key: &str) -> &[Node] {
        match self.node(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes,
            _ => &[],
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        match self.node(key)?.value {
            Value::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    pub(crate) fn size(&self, key: &str) -> Option<u64> {
        match self.node(key)?.value {
            Value::Size(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn percent(&self, key: &str) -> Option<Ratio> {
        match self.node(key)?.value {
            Value::Percent(ratio) => Some(ratio),
            _ => None,
        }
    }

    /// A count, as whatever number type holds it; the scheme's bounds say that it fits.
    pub(crate) fn count<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        match self.node(key)?.value {
            Value::Count(count) => T::try_from(count).ok(),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.node(key)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn rate(&self, key: &str) -> Option<Rate> {
        match self.node(key)?.value {
            Value::Rate(rate) => Some(rate),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        match self.node(key)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.node(key)?.as_text()
    }

    pub(crate) fn word(&self, key: &str) -> Option<&'static str> {
        match self.node(key)?.value {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn address(&self, key: &str) -> Option<SocketAddr> {
        match self.node(key)?.value {
            Value::Address(address) => Some(address),
            _ => None,
        }
    }

    pub(crate) fn file(&self, key: &str) -> Option<PathBuf> {
        match &self.node(key)?.value {
            Value::File(path, _) => Some(path.clone()),
            _ => None,
        }
    }

    /// Whether `key` is there and was read.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// These entries on top of `below`: tables key by key, everything else as a whole.
    pub(crate) fn over(&self, below: &Self) -> Self {
        let mut merged = below.clone();
        for (key, field) in &self.entries {
            let node = match (&field.node.value, merged.table(key)) {
                (Value::Table(upper), Some(lower)) => {
                    Node::new(Value::Table(upper.over(lower)), field.node.span.clone())
                }
                _ => field.node.clone(),
            };
            merged.insert(key, field.key_span.clone(), node);
        }
        merged
    }
}

impl Node {
    /// A value that stands in the file.
    pub(crate) fn new(value: Value, span: Range<usize>) -> Self {
        Self {
            value,
            span,
            is_default: false,
        }
    }

    /// The same value as a default, with everything in it at `span`: the place that lacks it.
    pub(crate) fn into_default_at(mut self, span: &Range<usize>) -> Self {
        self.span = span.clone();
        self.is_default = true;
        self.value = match self.value {
            Value::List(nodes) => Value::List(
                nodes
                    .into_iter()
                    .map(|node| node.into_default_at(span))
                    .collect(),
            ),
            Value::Table(mut fields) => {
                for field in fields.entries.values_mut() {
                    field.key_span = span.clone();
                    field.node = field.node.clone().into_default_at(span);
                }
                Value::Table(fields)
            }
            value => value,
        };
        self
    }

    pub(crate) fn as_table(&self) -> Option<&Fields> {
        match &self.value {
            Value::Table(fields) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
