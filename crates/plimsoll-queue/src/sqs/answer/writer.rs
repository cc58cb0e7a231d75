//! Writes the members of an answer as JSON or as XML, so that each is named once for both.
//!
//! Lists and maps are flattened in XML, as SQS has them: the element repeats, and nothing is around them.

use crate::sqs::{Dialect, MessageAttribute, MessageAttributes};

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// The bytes so far.
pub(crate) struct Writer {
    dialect: Dialect,
    out: Vec<u8>,
    /// Whether a comma is due before the next member or item; of JSON only.
    comma: bool,
}

impl Writer {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: Vec::with_capacity(512),
            comma: false,
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// A whole answer, with the envelope that XML has.
    pub(crate) fn answer(
        &mut self,
        action: &str,
        has_result: bool,
        request_id: &str,
        members: impl FnOnce(&mut Self),
    ) {
        match self.dialect {
            Dialect::Json => self.braces(b'{', b'}', members),
            Dialect::Query => {
                self.root(&format!("{action}Response"), |out| {
                    if has_result {
                        out.element(&format!("{action}Result"), members);
                    }
                    out.element("ResponseMetadata", |out| out.text("RequestId", request_id));
                });
            }
        }
    }

    pub(crate) fn error(
        &mut self,
        shape: &str,
        code: &str,
        fault: &str,
        message: &str,
        request_id: &str,
    ) {
        match self.dialect {
            Dialect::Json => self.braces(b'{', b'}', |out| {
                out.text("__type", shape);
                out.text("message", message);
            }),
            Dialect::Query => self.root("ErrorResponse", |out| {
                out.element("Error", |out| {
                    out.text("Type", fault);
                    out.text("Code", code);
                    out.text("Message", message);
                    out.element("Detail", |_| ());
                });
                out.text("RequestId", request_id);
            }),
        }
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        match self.dialect {
            Dialect::Json => {
                self.name(name);
                self.json(value);
            }
            Dialect::Query => self.element(name, |out| out.xml(value)),
        }
    }

    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.bare(name, &value.to_string());
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.bare(name, if value { "true" } else { "false" });
    }

    pub(crate) fn texts(&mut self, list: &str, element: &str, values: &[String]) {
        match self.dialect {
            Dialect::Json => {
                self.name(list);
                self.braces(b'[', b']', |out| {
                    for value in values {
                        out.comma();
                        out.json(value);
                    }
                });
            }
            Dialect::Query => values.iter().for_each(|value| self.text(element, value)),
        }
    }

    /// A map of texts, left out if it is empty.
    pub(crate) fn pairs<'p>(
        &mut self,
        map: &str,
        element: &str,
        key: &str,
        pairs: impl Iterator<Item = (&'p str, &'p str)>,
    ) {
        let mut pairs = pairs.peekable();
        match self.dialect {
            _ if pairs.peek().is_none() => (),
            Dialect::Json => {
                self.name(map);
                self.braces(b'{', b'}', |out| {
                    pairs.for_each(|(name, value)| out.text(name, value))
                });
            }
            Dialect::Query => pairs.for_each(|(name, value)| {
                self.element(element, |out| {
                    out.text(key, name);
                    out.text("Value", value);
                });
            }),
        }
    }

    /// A list of structures, left out if it is empty.
    pub(crate) fn structures<T>(
        &mut self,
        list: &str,
        element: &str,
        items: impl IntoIterator<Item = T>,
        members: impl Fn(&mut Self, T),
    ) {
        let mut items = items.into_iter().peekable();
        match self.dialect {
            _ if items.peek().is_none() => (),
            Dialect::Json => {
                self.name(list);
                self.braces(b'[', b']', |out| {
                    for item in items {
                        out.comma();
                        out.braces(b'{', b'}', |out| members(out, item));
                    }
                });
            }
            Dialect::Query => {
                items.for_each(|item| self.element(element, |out| members(out, item)))
            }
        }
    }

    /// A map of structures, left out if it is empty.
    pub(crate) fn named_structures(
        &mut self,
        map: &str,
        element: &str,
        items: &MessageAttributes,
        members: impl Fn(&mut Self, &MessageAttribute),
    ) {
        match self.dialect {
            _ if items.is_empty() => (),
            Dialect::Json => {
                self.name(map);
                self.braces(b'{', b'}', |out| {
                    for (name, item) in items {
                        out.name(name);
                        out.braces(b'{', b'}', |out| members(out, item));
                    }
                });
            }
            Dialect::Query => {
                for (name, item) in items {
                    self.element(element, |out| {
                        out.text("Name", name);
                        out.element("Value", |out| members(out, item));
                    });
                }
            }
        }
    }

    fn bare(&mut self, name: &str, value: &str) {
        match self.dialect {
            Dialect::Json => {
                self.name(name);
                self.out.extend_from_slice(value.as_bytes());
            }
            Dialect::Query => self.text(name, value),
        }
    }

    fn comma(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.json(name);
        self.out.push(b':');
    }

    fn braces(&mut self, open: u8, close: u8, inner: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.comma = false;
        inner(self);
        self.out.push(close);
        self.comma = true;
    }

    /// Text in quotes (RFC 8259, section 7). Runs that need no escape are copied whole.
    fn json(&mut self, text: &str) {
        self.out.push(b'"');
        self.escaped(text, |byte| match byte {
            b'"' => Some("\\\"".into()),
            b'\\' => Some("\\\\".into()),
            b'\n' => Some("\\n".into()),
            b'\r' => Some("\\r".into()),
            b'\t' => Some("\\t".into()),
            0..=0x1f => Some(format!("\\u{byte:04x}").into()),
            _ => None,
        });
        self.out.push(b'"');
    }

    /// Text of an element. A carriage return would be read as a line feed if it were not escaped (XML 1.0, section 2.11), and
    /// a control character that XML has no form for is replaced.
    fn xml(&mut self, text: &str) {
        self.escaped(text, |byte| match byte {
            b'&' => Some("&amp;".into()),
            b'<' => Some("&lt;".into()),
            b'>' => Some("&gt;".into()),
            b'"' => Some("&quot;".into()),
            b'\r' => Some("&#xd;".into()),
            b'\t' | b'\n' => None,
            0..=0x1f => Some("\u{fffd}".into()),
            _ => None,
        });
    }

    fn escaped(
        &mut self,
        text: &str,
        escape: impl Fn(u8) -> Option<std::borrow::Cow<'static, str>>,
    ) {
        let mut rest = text.as_bytes();
        while let Some((at, escape)) = rest
            .iter()
            .enumerate()
            .find_map(|(at, byte)| Some((at, escape(*byte)?)))
        {
            let (plain, after) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            self.out.extend_from_slice(escape.as_bytes());
            rest = after.split_first().map_or(&[], |(_, after)| after);
        }
        self.out.extend_from_slice(rest);
    }

    fn root(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.out.extend_from_slice(b"<?xml version=\"1.0\"?>");
        self.tag(&[
            b"<",
            name.as_bytes(),
            b" xmlns=\"",
            NAMESPACE.as_bytes(),
            b"\">",
        ]);
        inner(self);
        self.tag(&[b"</", name.as_bytes(), b">"]);
    }

    fn element(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.tag(&[b"<", name.as_bytes(), b">"]);
        inner(self);
        self.tag(&[b"</", name.as_bytes(), b">"]);
    }

    fn tag(&mut self, parts: &[&[u8]]) {
        parts
            .iter()
            .for_each(|part| self.out.extend_from_slice(part));
    }
}
