//! The fields of a head or a trailer section: one byte buffer, and offsets into it.
//!
//! Invariant: no value holds CR, LF or NUL, and no name is other than a token, so that what is written out
//! has the lines that it is thought to have. The parsers refuse such bytes; [`Fields::push`] does too.

use plimsoll_core::never;

use crate::name::Name;

/// Fields in the order they came. Reusable: [`Fields::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, recognised.
    pub known: Name,
    /// The name as it came.
    pub name: &'a [u8],
    /// The value, without the white space around it.
    pub value: &'a [u8],
}

/// Where a field's name and value are in `bytes`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Name,
    name_start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Takes all fields out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a field at the end.
    ///
    /// The caller has checked both: a name that is no token, or a value with CR, LF or NUL, is a bug, and
    /// the field is left out.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if never!(!is_token(name)) || never!(!is_value(value)) {
            return;
        }
        let start = self.bytes.len();
        let Some(entry) = Entry::new(
            Name::recognise(name),
            start,
            name.len(),
            start + name.len(),
            value.len(),
        ) else {
            return;
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push(entry);
    }

    /// Adds a field, after taking out those of the same name.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove_named(name);
        self.push(name, value);
    }

    /// The fields in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.field(entry))
    }

    /// The value of the first field of this name. For [`Name::Other`] and [`Name::Plimsoll`] see
    /// [`Fields::get_named`].
    pub fn get(&self, known: Name) -> Option<&[u8]> {
        self.get_all(known).next()
    }

    /// The values of all fields of this name, in order.
    pub fn get_all(&self, known: Name) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.entries
            .iter()
            .filter(move |entry| entry.known == known)
            .map(|entry| self.slice(entry.value_start, entry.value_end))
    }

    /// The value of the first field of this name, whatever its case.
    pub fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// How many fields have this name.
    pub fn count(&self, known: Name) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.known == known)
            .count()
    }

    /// Takes out all fields of this name.
    pub fn remove(&mut self, known: Name) {
        self.entries.retain(|entry| entry.known != known);
    }

    /// Takes out all fields of this name, whatever its case.
    pub fn remove_named(&mut self, name: &[u8]) {
        let Self { bytes, entries } = self;
        entries.retain(|entry| {
            let own = bytes
                .get(entry.name_start as usize..entry.name_end as usize)
                .unwrap_or_default();
            !own.eq_ignore_ascii_case(name)
        });
    }

    /// Whether the comma-separated lists under this name, taken together, have this member, whatever
    /// its case (RFC 9110 section 5.6.1).
    pub fn contains_token(&self, known: Name, token: &[u8]) -> bool {
        self.get_all(known).any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
        })
    }

    /// Whether `Connection` names this field, so that it is for this connection only.
    pub fn lists_in_connection(&self, name: &[u8]) -> bool {
        self.contains_token(Name::Connection, name)
    }

    /// Starts over with the bytes of a head, into which [`Fields::push_range`] then points.
    pub(crate) fn begin(&mut self, head: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(head);
    }

    /// Adds a field that is in the bytes given to [`Fields::begin`]: `(start, length)` of name and value.
    pub(crate) fn push_range(&mut self, known: Name, name: (usize, usize), value: (usize, usize)) {
        self.entries
            .extend(Entry::new(known, name.0, name.1, value.0, value.1));
    }

    fn field(&self, entry: &Entry) -> Field<'_> {
        Field {
            known: entry.known,
            name: self.slice(entry.name_start, entry.name_end),
            value: self.slice(entry.value_start, entry.value_end),
        }
    }

    fn slice(&self, start: u32, end: u32) -> &[u8] {
        self.bytes
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

impl Entry {
    /// `None` if the buffer has outgrown its offsets, which every limit on heads prevents.
    fn new(
        known: Name,
        name_start: usize,
        name_len: usize,
        value_start: usize,
        value_len: usize,
    ) -> Option<Self> {
        Some(Self {
            known,
            name_start: u32::try_from(name_start).ok()?,
            name_end: u32::try_from(name_start + name_len).ok()?,
            value_start: u32::try_from(value_start).ok()?,
            value_end: u32::try_from(value_start + value_len).ok()?,
        })
    }
}

/// Whether this is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

/// A byte of a token (`tchar`, RFC 9110 section 5.6.2).
#[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// Whether this can be written as a value without breaking its line.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn fields_are_found_by_name_whatever_the_case() {
        let fields = fields(&[("hOST", "a"), ("X-One", "1"), ("x-one", "2"), ("host", "b")]);
        assert_eq!(fields.get(Name::Host), Some(&b"a"[..]));
        assert_eq!(fields.get_all(Name::Host).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.get_named(b"X-ONE"), Some(&b"1"[..]));
        assert_eq!(fields.get_named(b"x-two"), None);
        assert_eq!(fields.count(Name::Host), 2);
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn removal_takes_all_of_a_name_and_keeps_the_order_of_the_rest() {
        let mut fields = fields(&[
            ("a", "1"),
            ("B", "2"),
            ("a", "3"),
            ("Date", "4"),
            ("c", "5"),
        ]);
        fields.remove_named(b"A");
        fields.remove(Name::Date);
        assert_eq!(
            fields.iter().map(|field| field.value).collect::<Vec<_>>(),
            [b"2", b"5"]
        );
        fields.set(b"b", b"6");
        assert_eq!(
            fields.iter().map(|field| field.value).collect::<Vec<_>>(),
            [b"5", b"6"]
        );
    }

    #[test]
    fn list_members_are_found_across_lines_and_white_space() {
        let fields = fields(&[("Connection", "close ,\tX-A"), ("connection", ",x-b,")]);
        for member in ["Close", "x-a", "X-B"] {
            assert!(fields.lists_in_connection(member.as_bytes()), "{member}");
        }
        for member in ["clos", "x-a,x-b", "x"] {
            assert!(!fields.lists_in_connection(member.as_bytes()), "{member}");
        }
    }

    #[test]
    #[should_panic(expected = "invariant")]
    fn a_value_that_would_break_its_line_is_a_bug() {
        fields(&[("a", "b\r\nc: d")]);
    }

    #[test]
    fn token_bytes_are_those_of_the_rfc() {
        let expected = "!#$%&'*+-.^_`|~";
        for byte in 0..=u8::MAX {
            let is = byte.is_ascii_alphanumeric() || expected.as_bytes().contains(&byte);
            assert_eq!(is_token_byte(byte), is, "{byte}");
        }
    }
}
