//! The trailer section after the last chunk (RFC 9112 section 7.1.2).

use bytes::{Buf, BytesMut};

use super::BodyError;
use crate::fields::Fields;
use crate::head::{HeadError, copy_fields, field_error};
use crate::name::Name;

/// Takes the trailer section off the front of `buf`: `length` bytes that end in an empty line.
pub(super) fn take_trailers(
    buf: &mut BytesMut,
    length: usize,
    fields: usize,
    trailers: &mut Fields,
) -> Result<(), BodyError> {
    let bytes = buf.get(..length).unwrap_or_default();
    let mut slots = vec![httparse::EMPTY_HEADER; fields];
    match httparse::parse_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete((end, parsed))) if end == length => {
            copy_fields(bytes, parsed, trailers);
        }
        Ok(_) => return Err(BodyError::Trailers(HeadError::FieldName)),
        Err(error) => {
            let error = field_error(error).unwrap_or(HeadError::FieldName);
            return Err(BodyError::Trailers(error));
        }
    }
    if trailers
        .iter()
        .any(|field| is_forbidden(field.known, field.name))
    {
        trailers.clear();
        return Err(BodyError::TrailerForbidden);
    }
    buf.advance(length);
    Ok(())
}

/// Whether a field of this name is refused in a trailer section.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    is_forbidden(Name::recognise(name), name)
}

/// What must be known before the body: framing, routing, identity, conditions, how the body is to be read
/// (RFC 9110 section 6.5.1), and what only this proxy sets.
fn is_forbidden(known: Name, name: &[u8]) -> bool {
    match known {
        Name::Other => {
            let conditional = name
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"if-"));
            conditional
                || name.eq_ignore_ascii_case(b"content_length")
                || name.eq_ignore_ascii_case(b"transfer_encoding")
        }
        Name::Age
        | Name::Allow
        | Name::Via
        | Name::Date
        | Name::Accept
        | Name::Server
        | Name::UserAgent
        | Name::XRequestId
        | Name::GrpcStatus
        | Name::GrpcMessage
        | Name::Traceparent
        | Name::Tracestate => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{check_refused, decode};
    use crate::framing::Framing;

    #[test]
    fn trailers_are_kept_and_bounded() {
        let decoded = decode(
            Framing::Chunked,
            "1\r\na\r\n0\r\ngrpc-status: 0\r\nX:  b \r\n\r\nrest",
        );
        assert_eq!(
            decoded,
            Ok((
                "a".into(),
                vec!["grpc-status=0".into(), "X=b".into()],
                "rest".into()
            ))
        );
        let long = format!("0\r\nX: {}", "a".repeat(64));
        check_refused(&long, BodyError::Trailers(HeadError::TooLarge));
        let many = format!("0\r\n{}\r\n", "X: a\r\n".repeat(5));
        check_refused(&many, BodyError::Trailers(HeadError::TooManyFields));
        check_refused(
            "0\r\nX : a\r\n\r\n",
            BodyError::Trailers(HeadError::FieldName),
        );
        check_refused("0\r\n X: a\r\n\r\n", BodyError::Trailers(HeadError::Folded));
        check_refused(
            "0\r\nX: a\rb\r\n\r\n",
            BodyError::Trailers(HeadError::FieldValue),
        );
    }

    #[test]
    fn what_belongs_into_the_head_is_no_trailer() {
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "host",
            "Connection",
            "Trailer",
            "Authorization",
            "Set-Cookie",
            "If-Match",
            "Content_Length",
            "X-Forwarded-For",
            "plimsoll-class",
        ] {
            check_refused(
                &format!("0\r\n{name}: 5\r\n\r\n"),
                BodyError::TrailerForbidden,
            );
        }
    }
}
