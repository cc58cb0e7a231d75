//! YAML: texts as scalars on the way out, documents as values with their places on the way in.

use std::fmt::Write as _;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A text as a scalar: bare where it can't be read as anything else, otherwise quoted as in JSON, whose strings YAML
/// 1.2 reads. What YAML does not count as printable is escaped.
pub(super) fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    // What YAML 1.1 takes for something else, `no` above all, is no longer than five letters.
    if is_word && text.len() > 5 {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            ' '..='~'
            | '\u{a0}'..='\u{2027}'
            | '\u{202a}'..='\u{fefe}'
            | '\u{ff00}'..='\u{fffd}' => {
                out.push(c);
            }
            '\u{10000}'.. => out.push(c),
            _ => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// A value and where it is written, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// What may be written.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

impl Node {
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_map(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value at `key`; a null is none.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let (_, node) = self.as_map()?.iter().find(|(it, _)| it.name == key)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The value at the end of `path`.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Why a text is no YAML that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) message: String,
    pub(super) span: Option<Range<usize>>,
}

/// How deep it may be nested, how many documents there may be, and how much aliases may repeat: far above what
/// people write, and little work.
const DEPTH_MAX: usize = 32;
const DOCUMENTS_MAX: usize = 10_000;
const NODES_MAX: usize = 400_000;
const ALIASES_MAX: usize = 1_000;
const REPEATED_MAX: usize = 100_000;

/// All documents of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_documents: DOCUMENTS_MAX,
            max_nodes: NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        strict_booleans: true,
    };
    match serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options) {
        Ok(documents) => Ok(documents.into_iter().map(node).collect()),
        Err(error) => {
            let span = error
                .location()
                .and_then(|it| span(&it).or_else(|| at_line(text, it.line(), it.column())));
            let message = error.without_snippet().to_string();
            Err(YamlError {
                message: match (&span, message.rfind(" at line ")) {
                    // The place is shown.
                    (Some(_), Some(end)) => message.get(..end).unwrap_or_default().to_owned(),
                    _ => message,
                },
                span,
            })
        }
    }
}

fn span(location: &Location) -> Option<Range<usize>> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    Some(start..start.saturating_add(length))
}

/// The place of a character by its line and column, from 1: of what is no YAML, bytes are not known.
fn at_line(text: &str, line: u64, column: u64) -> Option<Range<usize>> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(before..)?;
    let start = before + rest.chars().take(column).map(char::len_utf8).sum::<usize>();
    Some(start..start + text.get(start..)?.chars().next().map_or(0, char::len_utf8))
}

fn node(spanned: Spanned<Value>) -> Node {
    Node {
        span: span(&spanned.referenced).unwrap_or_default(),
        value: spanned.value,
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(value) = access.next_element::<Spanned<Value>>()? {
            nodes.push(node(value));
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key = Key {
                span: span(&key.referenced).unwrap_or_default(),
                name: key.value,
            };
            entries.push((key, node(access.next_value()?)));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let text = "a: 1\nb:\n  - x: \u{fc}\n    y: [true, ~]\n---\nc: \"t\"\n";
        let documents = documents(text).unwrap();
        let at = |node: &Node| text.get(node.span.clone()).unwrap_or_default().to_owned();
        let [first, second] = documents.as_slice() else {
            panic!("{documents:?}");
        };
        assert_eq!(at(first.get("a").unwrap()), "1");
        let Some(Value::List(list)) = first.get("b").map(|it| &it.value) else {
            panic!("{first:?}");
        };
        assert_eq!(at(list[0].get("x").unwrap()), "\u{fc}");
        let keys = list[0].as_map().unwrap();
        assert_eq!(text.get(keys[1].0.span.clone()), Some("y"));
        assert_eq!(at(second.get("c").unwrap()), "\"t\"");
    }

    #[test]
    fn what_is_no_yaml_has_a_place_and_a_reason() {
        let error = documents("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.span.is_some(), "{error:?}");
        let twice = documents("a: 1\na: 2\n").unwrap_err();
        assert!(twice.message.contains("duplicate"), "{twice:?}");
    }

    #[test]
    fn nesting_and_aliases_that_multiply_are_refused() {
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        assert!(documents(&deep).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let refers = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{refers}]\n"));
        }
        assert!(documents(&bomb).is_err());
        let fair = "a: &a {x: 1}\nb: *a\n";
        assert!(documents(fair).unwrap()[0].at(&["b", "x"]).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_the_same_once_read(text in any::<String>()) {
            let written = format!("text: {}\n", scalar(&text));
            let read = documents(&written).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            prop_assert_eq!(read[0].get("text").and_then(Node::as_text), Some(&*text));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _any = documents(&text);
        }
    }
}
