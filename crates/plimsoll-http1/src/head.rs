//! What request and response heads share: limits, the search for a head's end, the parse of its fields.
//!
//! Invariant: how far a head was searched is remembered, so that bytes that arrive one by one are each looked
//! at once, and the verdict is the same however a head is cut into pieces.

use std::mem::MaybeUninit;

use crate::fields::Fields;
use crate::name::Name;

/// Bounds on a head, and on a trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// From the first byte to the empty line, that included.
    pub head_bytes_max: usize,
    /// Fields.
    pub headers_max: usize,
    /// The request target.
    pub uri_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            headers_max: 100,
            uri_bytes_max: 8 * 1024,
        }
    }
}

/// The versions spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// Why a head's lines and fields were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// See [`HeadLimits::head_bytes_max`].
    #[error("the head is longer than the limit")]
    TooLarge,
    /// See [`HeadLimits::headers_max`].
    #[error("the head has more fields than the limit")]
    TooManyFields,
    /// The line's end is LF alone; others would take it for part of the line (RFC 9112 section 2.2).
    #[error("a line of the head ends in LF without CR")]
    BareLineFeed,
    /// A line continues the one before (RFC 9112 section 5.2).
    #[error("a line of the head starts with white space")]
    Folded,
    /// No token, white space before the colon, or no colon (RFC 9112 section 5.1).
    #[error("a field name is not a token followed by a colon")]
    FieldName,
    /// CR alone, NUL or another control byte (RFC 9110 section 5.5).
    #[error("a field value has a control byte")]
    FieldValue,
}

impl HeadError {
    /// The status of an answer that refuses a request for this.
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge | Self::TooManyFields => 431,
            Self::BareLineFeed | Self::Folded | Self::FieldName | Self::FieldValue => 400,
        }
    }

    /// A word for metrics and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "head-too-large",
            Self::TooManyFields => "too-many-fields",
            Self::BareLineFeed => "bare-line-feed",
            Self::Folded => "folded-field",
            Self::FieldName => "field-name",
            Self::FieldValue => "field-value",
        }
    }
}

/// How far a head was searched for its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search {
    /// Where to go on.
    position: usize,
    /// Where the line that `position` is in begins.
    line_start: usize,
    /// Complete lines so far.
    lines: usize,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The head ends here (exclusive), and has so many fields.
    End {
        /// Its length.
        length: usize,
        /// Its fields.
        fields: usize,
    },
    /// More bytes are needed.
    NotYet,
    /// The first line is longer than it may be.
    LineTooLong,
}

impl Search {
    /// For a trailer section, which has no first line of its own.
    pub(crate) const fn after_first_line() -> Self {
        Self {
            position: 0,
            line_start: 0,
            lines: 1,
        }
    }

    /// Goes on searching `bytes`, which begin with the head. `first_line_max` counts its CRLF.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        first_line_max: usize,
    ) -> Result<Found, HeadError> {
        if self.position > bytes.len() {
            // Another buffer than the last time: begin again.
            *self = Self::default();
        }
        loop {
            let found = memchr::memchr(b'\n', bytes.get(self.position..).unwrap_or_default());
            // The bytes known to be in the head, wherever it ends: the same in one piece as in many.
            let known = found.map_or(bytes.len(), |offset| self.position + offset + 1);
            if self.lines == 0 && known > first_line_max && first_line_max <= limits.head_bytes_max
            {
                return Ok(Found::LineTooLong);
            }
            if known > limits.head_bytes_max {
                return Err(HeadError::TooLarge);
            }
            self.position = known;
            if found.is_none() {
                return Ok(Found::NotYet);
            }
            match bytes.get(self.line_start..known).unwrap_or_default() {
                [b'\r', b'\n'] if self.lines > 0 => {
                    return Ok(Found::End {
                        length: known,
                        fields: self.lines - 1,
                    });
                }
                [b' ' | b'\t', ..] if self.lines > 0 => return Err(HeadError::Folded),
                [.., b'\r', b'\n'] => (),
                _ => return Err(HeadError::BareLineFeed),
            }
            self.lines += 1;
            self.line_start = known;
            if self.lines - 1 > limits.headers_max {
                return Err(HeadError::TooManyFields);
            }
        }
    }
}

/// As many fields are parsed without allocating.
const INLINE_FIELDS: usize = 64;

/// Room for `count` fields to be parsed into, given to `parse`.
pub(crate) fn with_slots<'bytes, T>(
    count: usize,
    parse: impl FnOnce(&mut [MaybeUninit<httparse::Header<'bytes>>]) -> T,
) -> T {
    if count <= INLINE_FIELDS {
        parse(&mut [const { MaybeUninit::uninit() }; INLINE_FIELDS])
    } else {
        let mut slots: Vec<_> = std::iter::repeat_with(MaybeUninit::uninit)
            .take(count)
            .collect();
        parse(&mut slots)
    }
}

/// Copies the parsed fields: the bytes once, from the first name on, and each field's place in them.
pub(crate) fn copy_fields(head: &[u8], parsed: &[httparse::Header<'_>], fields: &mut Fields) {
    let Some(first) = parsed.first() else {
        fields.clear();
        return;
    };
    let origin = first.name.as_ptr().addr();
    let lines = origin
        .checked_sub(head.as_ptr().addr())
        .and_then(|start| head.get(start..));
    fields.begin(lines.unwrap_or_default());
    for header in parsed {
        let name = header.name.as_bytes();
        let name_start = name.as_ptr().addr().wrapping_sub(origin);
        // An empty value may be a slice of no buffer at all.
        let value_start = if header.value.is_empty() {
            name_start
        } else {
            header.value.as_ptr().addr().wrapping_sub(origin)
        };
        let known = Name::recognise(name);
        fields.push_range(
            known,
            (name_start, name.len()),
            (value_start, header.value.len()),
        );
    }
}

/// What `httparse` found wrong with a head's fields; `None` if it was something else.
pub(crate) const fn field_error(error: httparse::Error) -> Option<HeadError> {
    match error {
        httparse::Error::HeaderName => Some(HeadError::FieldName),
        httparse::Error::HeaderValue => Some(HeadError::FieldValue),
        httparse::Error::TooManyHeaders => Some(HeadError::TooManyFields),
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => None,
    }
}
