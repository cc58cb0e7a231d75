//! How long a message's body is, from its fields (RFC 9112 section 6).

use crate::fields::Fields;
use crate::head::Version;
use crate::name::Name;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, the last of which is empty.
    Chunked,
    /// The connection's end (responses only).
    UntilClose,
}

impl Framing {
    /// Whether there is certainly no byte of body.
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Why a message's length is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Not digits alone, a list, or more than 2^63 - 1.
    #[error("the Content-Length is not a number of bytes")]
    ContentLength,
    /// More than one field, even if they agree.
    #[error("there is more than one Content-Length")]
    ContentLengthRepeated,
    /// The two tell different lengths (RFC 9112 section 6.1).
    #[error("there are both a Content-Length and a Transfer-Encoding")]
    LengthAndCoding,
    /// `chunked` is last, but not alone.
    #[error("the Transfer-Encoding has a coding other than chunked")]
    CodingUnknown,
    /// `chunked` is missing, repeated, or not last.
    #[error("the Transfer-Encoding is not chunked")]
    CodingNotChunked,
    /// HTTP/1.0 has none (RFC 9112 section 6.1).
    #[error("there is a Transfer-Encoding in an HTTP/1.0 message")]
    CodingInHttp10,
    /// `Content_Length` or `Transfer_Encoding`: some servers take `_` for `-`.
    #[error("a field name looks like Content-Length or Transfer-Encoding, but is neither")]
    LookAlike,
    /// A status that has no body, with a field that declares one.
    #[error("there is a length or a Transfer-Encoding where there can be no body")]
    BodyNotAllowed,
}

impl FramingError {
    /// The status of an answer that refuses a request for this.
    pub const fn status(self) -> u16 {
        match self {
            Self::CodingUnknown => 501,
            _ => 400,
        }
    }

    /// A word for metrics and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ContentLength => "content-length",
            Self::ContentLengthRepeated => "content-length-repeated",
            Self::LengthAndCoding => "length-and-transfer-encoding",
            Self::CodingUnknown => "transfer-coding-unknown",
            Self::CodingNotChunked => "transfer-coding-not-chunked",
            Self::CodingInHttp10 => "transfer-encoding-in-http10",
            Self::LookAlike => "framing-look-alike",
            Self::BodyNotAllowed => "body-not-allowed",
        }
    }
}

/// What the fields declare: `Length` or `Chunked`, or `None` if neither.
pub(crate) fn declared(fields: &Fields, version: Version) -> Result<Framing, FramingError> {
    let mut length = None;
    let mut coding = None;
    for field in fields.iter() {
        match field.known {
            Name::ContentLength if length.is_some() => {
                return Err(FramingError::ContentLengthRepeated);
            }
            Name::ContentLength => length = Some(field.value),
            Name::TransferEncoding if coding.is_some() => {
                return Err(FramingError::CodingNotChunked);
            }
            Name::TransferEncoding => coding = Some(field.value),
            Name::Other if looks_like_framing(field.name) => return Err(FramingError::LookAlike),
            _ => (),
        }
    }
    match (length, coding) {
        (None, None) => Ok(Framing::None),
        (Some(_), Some(_)) => Err(FramingError::LengthAndCoding),
        (Some(length), None) => parse_length(length).map(Framing::Length),
        (None, Some(_)) if version == Version::Http10 => Err(FramingError::CodingInHttp10),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(coding)) => Err(unsupported(coding)),
    }
}

/// Digits alone, and below 2^63: above it, a reader with signed numbers sees something else.
fn parse_length(value: &[u8]) -> Result<u64, FramingError> {
    let mut length: u64 = 0;
    if value.is_empty() || value.len() > 19 {
        return Err(FramingError::ContentLength);
    }
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(FramingError::ContentLength);
        }
        // Nineteen digits fit.
        length = length * 10 + u64::from(byte - b'0');
    }
    if length > i64::MAX as u64 {
        return Err(FramingError::ContentLength);
    }
    Ok(length)
}

/// 501 is for codings that are well-formed and unknown here; without `chunked` at the end the length could
/// not be told anyway (RFC 9112 section 6.3, rule 4).
fn unsupported(value: &[u8]) -> FramingError {
    let mut codings = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last_is_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let mut rest_is_other = codings
        .map(|coding| crate::fields::is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked"));
    if last_is_chunked && rest_is_other.all(|other| other) {
        FramingError::CodingUnknown
    } else {
        FramingError::CodingNotChunked
    }
}

fn looks_like_framing(name: &[u8]) -> bool {
    match name.len() {
        14 => name.eq_ignore_ascii_case(b"content_length"),
        17 => name.eq_ignore_ascii_case(b"transfer_encoding"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Result<Framing, FramingError>) {
        check_version(Version::Http11, fields, expected);
    }

    #[track_caller]
    fn check_version(
        version: Version,
        list: &[(&str, &str)],
        expected: Result<Framing, FramingError>,
    ) {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(declared(&fields, version), expected, "{list:?}");
    }

    #[test]
    fn a_length_is_digits_below_two_to_the_63() {
        check(&[], Ok(Framing::None));
        check(&[("content-length", "0")], Ok(Framing::Length(0)));
        check(&[("Content-Length", "0042")], Ok(Framing::Length(42)));
        check(
            &[("content-length", "9223372036854775807")],
            Ok(Framing::Length(i64::MAX as u64)),
        );
        for value in [
            "",
            "+5",
            "-5",
            "5 5",
            "5,5",
            "5, 5",
            "5,",
            "0x5",
            "5.0",
            "5e1",
            "\u{661}",
            "9223372036854775808",
            "18446744073709551616",
            "00000000000000000005",
        ] {
            check(
                &[("content-length", value)],
                Err(FramingError::ContentLength),
            );
        }
    }

    #[test]
    fn a_length_is_told_once() {
        let repeated = Err(FramingError::ContentLengthRepeated);
        check(
            &[("content-length", "5"), ("content-length", "6")],
            repeated,
        );
        check(
            &[("content-length", "5"), ("content-length", "5")],
            repeated,
        );
    }

    #[test]
    fn the_only_coding_is_chunked_once() {
        check(&[("transfer-encoding", "chunked")], Ok(Framing::Chunked));
        check(&[("Transfer-Encoding", "ChunkeD")], Ok(Framing::Chunked));
        for value in ["gzip, chunked", "x,chunked", "gzip , deflate\t, Chunked"] {
            check(
                &[("transfer-encoding", value)],
                Err(FramingError::CodingUnknown),
            );
        }
        for value in [
            "",
            "identity",
            "xchunked",
            "chunked, chunked",
            "chunked, identity",
            "chunked,",
            ",chunked",
            "chunked;q=1",
            "\"chunked\"",
            "chunked chunked",
            "gzip",
            "x y, chunked",
        ] {
            check(
                &[("transfer-encoding", value)],
                Err(FramingError::CodingNotChunked),
            );
        }
        check(
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            Err(FramingError::CodingNotChunked),
        );
    }

    #[test]
    fn length_and_coding_exclude_each_other() {
        let both = Err(FramingError::LengthAndCoding);
        check(
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            both,
        );
        check(
            &[("transfer-encoding", "identity"), ("content-length", "5")],
            both,
        );
    }

    #[test]
    fn http_1_0_has_no_codings() {
        check_version(
            Version::Http10,
            &[("transfer-encoding", "chunked")],
            Err(FramingError::CodingInHttp10),
        );
        check_version(
            Version::Http10,
            &[("content-length", "7")],
            Ok(Framing::Length(7)),
        );
    }

    #[test]
    fn a_name_that_some_take_for_a_framing_field_is_refused() {
        check(&[("Content_Length", "5")], Err(FramingError::LookAlike));
        check(
            &[("transfer_encoding", "chunked")],
            Err(FramingError::LookAlike),
        );
    }
}
