//! Response heads.

use bytes::{Buf, BytesMut};

use crate::connection::ConnectionOptions;
use crate::encode::reason_phrase;
use crate::fields::Fields;
use crate::framing::{self, Framing, FramingError};
use crate::head::{self, Found, HeadError, HeadLimits, Search, Version};

/// A response's head. Reusable: parsing into it again keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The fields, to be read and changed at will. What the head itself tells (framing, keep-alive) was taken
    /// from them when it was parsed, and stays.
    pub fields: Fields,
    status: u16,
    reason: Vec<u8>,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    search: Search,
}

/// Why a response was refused. Nothing after its head can be told apart: the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Lines or fields.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The body's length.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Not `version SP status SP reason`, or no HTTP at all.
    #[error("the status line is not a version, a status and a reason")]
    StatusLine,
    /// Not within 100-599.
    #[error("the status is not within 100-599")]
    Status,
    /// Neither 1.0 nor 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    Version,
    /// Who drops the fields that `Connection` names would read another message.
    #[error("Connection names Content-Length or Host")]
    Connection,
}

impl ResponseError {
    /// A word for metrics and logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Head(error) => error.reason(),
            Self::Framing(error) => error.reason(),
            Self::StatusLine => "status-line",
            Self::Status => "status",
            Self::Version => "version",
            Self::Connection => "connection-field",
        }
    }
}

/// Takes a response's head off the front of `buf` into `head`. `false`: more bytes are needed.
///
/// Interim responses (1xx) come out as heads of their own, with [`Framing::None`]: go on with the next one,
/// except after 101, after which the connection is a tunnel. Call it with the same `buf` and `head` each time
/// bytes have arrived. After an error neither is of use.
pub fn parse_response(
    buf: &mut BytesMut,
    request_is_head: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<bool, ResponseError> {
    let start = buf.len().min(PROTOCOL.len());
    if buf.get(..start) != PROTOCOL.get(..start) {
        return Err(ResponseError::StatusLine);
    }
    let (length, fields) = match head.search.advance(buf, limits, usize::MAX)? {
        Found::NotYet => return Ok(false),
        Found::LineTooLong => return Err(HeadError::TooLarge.into()),
        Found::End { length, fields } => (length, fields),
    };
    head.clear();
    let bytes = buf.get(..length).unwrap_or_default();
    head::with_slots(fields, |slots| {
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, bytes, slots) {
            Ok(httparse::Status::Complete(end)) if end == length => {
                head.fill(bytes, &parsed, request_is_head)
            }
            Ok(_) => Err(ResponseError::StatusLine),
            Err(httparse::Error::Version) => Err(ResponseError::Version),
            Err(error) => {
                Err(head::field_error(error).map_or(ResponseError::StatusLine, Into::into))
            }
        }
    })?;
    buf.advance(length);
    Ok(true)
}

const PROTOCOL: &[u8] = b"HTTP/";

impl ResponseHead {
    /// A head to parse into, or to build.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties it, and forgets what was seen of a head that has not arrived whole.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.status = 0;
        self.reason.clear();
        self.version = Version::Http11;
        self.framing = Framing::None;
        self.keep_alive = false;
        self.search = Search::default();
    }

    /// Begins a head that did not come as HTTP/1: push its fields next. HTTP/1.1, with the usual reason phrase,
    /// without a body ([`ResponseHead::set_framing`]) and without `Connection`.
    pub fn set_from_parts(&mut self, status: u16) -> Result<(), ResponseError> {
        self.clear();
        if !(100..=599).contains(&status) {
            return Err(ResponseError::Status);
        }
        self.status = status;
        // RFC 9112 section 4 has clients ignore it, but some see no status where it is empty, h2load among them.
        self.reason
            .extend_from_slice(reason_phrase(status).as_bytes());
        self.keep_alive = true;
        Ok(())
    }

    /// How the body is told from what follows.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether a final response follows this one (1xx, but not 101, which ends HTTP on the connection).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The reason phrase, as sent; may be empty.
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is told from what follows.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection can carry another request after this response (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    fn fill(
        &mut self,
        bytes: &[u8],
        parsed: &httparse::Response<'_, '_>,
        request_is_head: bool,
    ) -> Result<(), ResponseError> {
        self.status = parsed.code.unwrap_or_default();
        if !(100..=599).contains(&self.status) {
            return Err(ResponseError::Status);
        }
        self.reason
            .extend_from_slice(parsed.reason.unwrap_or_default().as_bytes());
        self.version = if parsed.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        };
        head::copy_fields(bytes, parsed.headers, &mut self.fields);
        let declared = framing::declared(&self.fields, self.version)?;
        self.framing = match self.status {
            // RFC 9110 sections 8.6 and 15.2, RFC 9112 section 6.1: a field here declares a body that
            // others might wait for.
            100..200 | 204 if !declared.is_empty() => {
                return Err(FramingError::BodyNotAllowed.into());
            }
            // Of 304 and the answer to HEAD, the fields tell about the body that is not sent.
            100..200 | 204 | 304 => Framing::None,
            _ if request_is_head => Framing::None,
            _ if declared == Framing::None => Framing::UntilClose,
            _ => declared,
        };
        let options = ConnectionOptions::of(&self.fields);
        if options.names_framing {
            return Err(ResponseError::Connection);
        }
        self.keep_alive = !options.close
            && (self.version == Version::Http11 || options.keep_alive)
            && self.framing != Framing::UntilClose
            && self.status != 101;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &str, request_is_head: bool) -> Result<Option<ResponseHead>, ResponseError> {
        let mut head = ResponseHead::new();
        let mut buf = BytesMut::from(input);
        let complete =
            parse_response(&mut buf, request_is_head, &HeadLimits::default(), &mut head)?;
        Ok(complete.then_some(head))
    }

    #[track_caller]
    fn parsed(input: &str) -> ResponseHead {
        parse(input, false)
            .unwrap()
            .unwrap_or_else(|| panic!("{input:?} is not complete"))
    }

    #[track_caller]
    fn check(input: &str, expected: impl Into<ResponseError>) {
        match parse(input, false) {
            Err(error) => assert_eq!(error, expected.into(), "{input:?}"),
            Ok(_) => panic!("{input:?} was not refused"),
        }
    }

    /// `status fields -> framing keep_alive`
    #[track_caller]
    fn check_framing(line: &str, fields: &str, framing: Framing, keep_alive: bool) {
        let head = parsed(&format!("HTTP/{line}\r\n{fields}\r\n"));
        assert_eq!(
            (head.framing(), head.keep_alive()),
            (framing, keep_alive),
            "{line} {fields}"
        );
    }

    #[test]
    fn a_response_head_is_told_apart_from_what_follows() {
        let mut buf =
            BytesMut::from("HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\nX: y\r\n\r\nok");
        let mut head = ResponseHead::new();
        assert!(parse_response(&mut buf, false, &HeadLimits::default(), &mut head).unwrap());
        assert_eq!(buf, "ok");
        assert_eq!((head.status(), head.reason()), (404, &b"Not Here"[..]));
        assert_eq!(head.version(), Version::Http11);
        assert_eq!(head.fields.len(), 2);
    }

    #[test]
    fn a_head_from_elsewhere_has_the_usual_reason() {
        let mut head = parsed("HTTP/1.1 404 Not Here\r\nContent-Length: 0\r\n\r\n");
        for (status, reason) in [(200, "OK"), (206, "Partial Content"), (599, "")] {
            head.set_from_parts(status).unwrap();
            assert_eq!((head.status(), head.reason()), (status, reason.as_bytes()));
        }
    }

    #[test]
    fn the_body_is_told_by_status_then_fields() {
        use Framing::{Chunked, Length, None, UntilClose};
        let chunked = "Transfer-Encoding: chunked\r\n";
        check_framing("1.1 200 OK", "Content-Length: 7\r\n", Length(7), true);
        check_framing("1.1 200 OK", chunked, Chunked, true);
        check_framing("1.1 200 OK", "", UntilClose, false);
        check_framing("1.1 204 No", "", None, true);
        check_framing("1.1 204 No", "Content-Length: 0\r\n", None, true);
        check_framing("1.1 304 No", "Content-Length: 7\r\n", None, true);
        check_framing("1.1 304 No", chunked, None, true);
        check_framing("1.1 100 Continue", "", None, true);
        check_framing(
            "1.1 101 Go",
            "Connection: upgrade\r\nUpgrade: a\r\n",
            None,
            false,
        );
        check_framing(
            "1.1 200 OK",
            "Content-Length: 7\r\nConnection: close\r\n",
            Length(7),
            false,
        );
        check_framing("1.0 200 OK", "Content-Length: 7\r\n", Length(7), false);
        check_framing(
            "1.0 200 OK",
            "Content-Length: 7\r\nConnection: keep-alive\r\n",
            Length(7),
            true,
        );
        check_framing(
            "1.0 200 OK",
            "Connection: keep-alive\r\n",
            UntilClose,
            false,
        );
    }

    #[test]
    fn the_answer_to_head_has_no_body_whatever_its_fields_say() {
        for fields in [
            "",
            "Content-Length: 7\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let head = parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), true)
                .unwrap()
                .unwrap();
            assert_eq!(
                (head.framing(), head.keep_alive()),
                (Framing::None, true),
                "{fields}"
            );
        }
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parse(both, true).is_err());
    }

    #[test]
    fn interim_responses_are_heads_of_their_own() {
        let mut buf = BytesMut::from("HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204 \r\n\r\n");
        let mut head = ResponseHead::new();
        assert!(parse_response(&mut buf, false, &HeadLimits::default(), &mut head).unwrap());
        assert!(head.is_interim());
        assert!(parse_response(&mut buf, false, &HeadLimits::default(), &mut head).unwrap());
        assert_eq!(
            (head.status(), head.is_interim(), head.fields.len()),
            (204, false, 0)
        );
        assert!(!parsed("HTTP/1.1 101 Go\r\n\r\n").is_interim());
    }

    #[test]
    fn status_lines_are_strict() {
        for line in [
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/1.1 200\tOK",
        ] {
            check(&format!("{line}\r\n\r\n"), ResponseError::StatusLine);
        }
        for status in ["099", "000", "600", "999"] {
            check(
                &format!("HTTP/1.1 {status} OK\r\n\r\n"),
                ResponseError::Status,
            );
        }
        check("HTTP/2.0 200 OK\r\n\r\n", ResponseError::Version);
        check("HTTP/1.1 200 O\u{1}K\r\n\r\n", ResponseError::StatusLine);
        assert_eq!(
            parsed("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").reason(),
            b""
        );
    }

    #[test]
    fn what_is_not_http_is_refused_at_its_first_bytes() {
        for input in [
            "ICY 200 OK",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            " HTTP",
            "http/1.1",
            "HTTPS",
            "\0",
        ] {
            check(input, ResponseError::StatusLine);
        }
        assert!(parse("", false).unwrap().is_none());
        assert!(parse("HTT", false).unwrap().is_none());
    }

    #[test]
    fn ambiguous_responses_are_refused() {
        let fields = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked";
        check(&fields(both), FramingError::LengthAndCoding);
        check(
            &fields("Content-Length: 5\r\nContent-Length: 6"),
            FramingError::ContentLengthRepeated,
        );
        check(&fields("Content-Length: 5, 5"), FramingError::ContentLength);
        check(
            &fields("Transfer-Encoding: gzip, chunked"),
            FramingError::CodingUnknown,
        );
        check(
            &fields("Transfer-Encoding: identity"),
            FramingError::CodingNotChunked,
        );
        check(
            &fields("Connection: content-length"),
            ResponseError::Connection,
        );
        check(&fields("X : y"), HeadError::FieldName);
        check(&fields("X: y\r\n z"), HeadError::Folded);
        check(&fields("X: y\nZ: a"), HeadError::BareLineFeed);
        check(&fields("X: y\rz"), HeadError::FieldValue);
        check(
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            FramingError::CodingInHttp10,
        );
        for status in ["100", "101", "103", "204"] {
            for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
                let input = format!("HTTP/1.1 {status} A\r\n{field}\r\n\r\n");
                check(&input, FramingError::BodyNotAllowed);
            }
        }
    }
}
