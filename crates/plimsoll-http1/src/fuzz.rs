//! Fuzz targets as plain functions: any bytes in; a panic if an invariant of the codec does not hold.
//!
//! What they check: nothing panics; a stream read byte by byte, or in other pieces, tells the same as in one
//! piece; what was read, written again and read again, is the same.

use bytes::{Buf, BytesMut};

use crate::body::{BodyDecoder, Piece};
use crate::encode::{
    write_chunk, write_field, write_head_end, write_last_chunk, write_request_line,
    write_status_line,
};
use crate::fields::Fields;
use crate::framing::Framing;
use crate::head::{HeadLimits, Version};
use crate::request::{RequestHead, parse_request};
use crate::response::{ResponseHead, parse_response};

/// Small enough for fuzzing to reach them.
const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 512,
    headers_max: 12,
    uri_bytes_max: 128,
};
/// Writing adds a space to each field: what was within the limits once must not be beyond them then.
const LIMITS_AGAIN: HeadLimits = HeadLimits {
    head_bytes_max: 2048,
    headers_max: 12,
    uri_bytes_max: 128,
};

/// Reads `bytes` as the client's side of a connection.
pub fn fuzz_request(bytes: &[u8]) {
    check_pieces(bytes, |bytes, piece| {
        read::<RequestHead>(bytes, piece, &LIMITS)
    });
    for message in read::<RequestHead>(bytes, usize::MAX, &LIMITS).messages {
        check_again::<RequestHead>(&message);
    }
}

/// Reads `bytes` as the service's side of a connection.
pub fn fuzz_response(bytes: &[u8]) {
    check_pieces(bytes, |bytes, piece| {
        read::<ResponseHead>(bytes, piece, &LIMITS)
    });
    for message in read::<ResponseHead>(bytes, usize::MAX, &LIMITS).messages {
        check_again::<ResponseHead>(&message);
    }
}

/// Reads `bytes` as a chunked body.
pub fn fuzz_chunked(bytes: &[u8]) {
    check_pieces(bytes, |bytes, piece| read::<Chunks>(bytes, piece, &LIMITS));
    for message in read::<Chunks>(bytes, usize::MAX, &LIMITS).messages {
        check_again::<Chunks>(&message);
    }
}

/// What a stream of bytes was read as.
#[derive(Debug, PartialEq)]
struct Transcript {
    messages: Vec<Message>,
    /// Of the message that was not read to its end.
    partial_body: Vec<u8>,
    error: Option<String>,
    /// What was left over; not compared after an error.
    rest: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Message {
    /// Method and target, or status and reason.
    start: (Vec<u8>, Vec<u8>),
    version: Version,
    framing: Framing,
    keep_alive: bool,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What requests, responses and bare chunked bodies have in common.
trait Head: Default {
    fn parse(&mut self, buf: &mut BytesMut, limits: &HeadLimits) -> Result<bool, String>;
    fn message(&self) -> Message;
    fn write_start(message: &Message, out: &mut Vec<u8>);
}

impl Head for RequestHead {
    fn parse(&mut self, buf: &mut BytesMut, limits: &HeadLimits) -> Result<bool, String> {
        parse_request(buf, limits, self).map_err(|error| format!("{error:?} {}", error.status()))
    }

    fn message(&self) -> Message {
        Message {
            start: (self.method().to_vec(), self.target().to_vec()),
            version: self.version(),
            framing: self.framing(),
            keep_alive: self.keep_alive(),
            fields: list(&self.fields),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    fn write_start(message: &Message, out: &mut Vec<u8>) {
        write_request_line(out, &message.start.0, &message.start.1);
    }
}

impl Head for ResponseHead {
    fn parse(&mut self, buf: &mut BytesMut, limits: &HeadLimits) -> Result<bool, String> {
        parse_response(buf, false, limits, self).map_err(|error| format!("{error:?}"))
    }

    fn message(&self) -> Message {
        Message {
            start: (self.status().to_be_bytes().to_vec(), self.reason().to_vec()),
            version: self.version(),
            framing: self.framing(),
            keep_alive: self.keep_alive(),
            fields: list(&self.fields),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    fn write_start(message: &Message, out: &mut Vec<u8>) {
        let status = message
            .start
            .0
            .iter()
            .fold(0, |status, byte| status << 8 | u16::from(*byte));
        write_status_line(out, status, &message.start.1);
    }
}

/// A chunked body without a head.
#[derive(Default)]
struct Chunks;

impl Head for Chunks {
    fn parse(&mut self, _: &mut BytesMut, _: &HeadLimits) -> Result<bool, String> {
        Ok(true)
    }

    fn message(&self) -> Message {
        Message {
            start: (Vec::new(), Vec::new()),
            version: Version::Http11,
            framing: Framing::Chunked,
            keep_alive: true,
            fields: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    fn write_start(_: &Message, _: &mut Vec<u8>) {}
}

/// Reads messages until the bytes, which arrive `piece` at a time, are used up or refused.
fn read<H: Head>(bytes: &[u8], piece: usize, limits: &HeadLimits) -> Transcript {
    let mut transcript = Transcript {
        messages: Vec::new(),
        partial_body: Vec::new(),
        error: None,
        rest: Vec::new(),
    };
    let mut buf = BytesMut::new();
    let mut head = H::default();
    let mut reading: Option<(Message, BodyDecoder)> = None;
    for arrived in bytes.chunks(piece.max(1)) {
        buf.extend_from_slice(arrived);
        if let Err(error) = read_on(
            &mut buf,
            &mut head,
            &mut reading,
            &mut transcript.messages,
            limits,
        ) {
            transcript.error = Some(error);
            break;
        }
    }
    if transcript.error.is_none() {
        if let Some((message, decoder)) = &mut reading
            && message.framing == Framing::UntilClose
        {
            assert!(
                decoder.on_eof().is_ok() && decoder.is_done(),
                "the connection's end is the body's"
            );
        }
        transcript.rest = buf.to_vec();
    }
    transcript.partial_body = reading.map(|(message, _)| message.body).unwrap_or_default();
    transcript
}

fn read_on<H: Head>(
    buf: &mut BytesMut,
    head: &mut H,
    reading: &mut Option<(Message, BodyDecoder)>,
    messages: &mut Vec<Message>,
    limits: &HeadLimits,
) -> Result<(), String> {
    loop {
        let Some((message, decoder)) = reading else {
            if buf.is_empty() || !head.parse(buf, limits)? {
                return Ok(());
            }
            let message = head.message();
            *reading = Some((
                head.message(),
                BodyDecoder::with_limits(message.framing, limits),
            ));
            continue;
        };
        match decoder.decode(buf).map_err(|error| format!("{error:?}"))? {
            Piece::Data(length) => {
                assert!(
                    length > 0 && length <= buf.len(),
                    "a piece is some of the buffer"
                );
                message
                    .body
                    .extend_from_slice(buf.get(..length).unwrap_or_default());
                buf.advance(length);
                decoder.consumed(length);
            }
            Piece::NeedMore => return Ok(()),
            Piece::End => {
                assert!(decoder.is_done(), "a body that ended is done");
                message.trailers = list(decoder.trailers());
                messages.extend(reading.take().map(|(message, _)| message));
            }
        }
    }
}

fn check_pieces(bytes: &[u8], read: impl Fn(&[u8], usize) -> Transcript) {
    let whole = read(bytes, usize::MAX);
    for piece in [1, 2, 7] {
        assert_eq!(read(bytes, piece), whole, "in pieces of {piece}");
    }
}

/// Writes the message and reads it again.
fn check_again<H: Head>(message: &Message) {
    if message.version == Version::Http10 {
        // What is written is HTTP/1.1, which has other rules.
        return;
    }
    let mut out = Vec::new();
    H::write_start(message, &mut out);
    for (name, value) in &message.fields {
        write_field(&mut out, name, value);
    }
    if !out.is_empty() {
        write_head_end(&mut out);
    }
    match message.framing {
        Framing::Chunked => {
            for piece in message.body.chunks(17) {
                write_chunk(&mut out, piece);
            }
            let mut trailers = Fields::new();
            for (name, value) in &message.trailers {
                trailers.push(name, value);
            }
            write_last_chunk(&mut out, Some(&trailers));
        }
        Framing::None | Framing::Length(_) | Framing::UntilClose => {
            out.extend_from_slice(&message.body)
        }
    }
    let again = read::<H>(&out, usize::MAX, &LIMITS_AGAIN);
    assert_eq!(again.error, None, "{:?}", String::from_utf8_lossy(&out));
    assert_eq!(again.messages.first(), Some(message));
    assert_eq!(
        (again.messages.len(), again.rest.len()),
        (1, 0),
        "one message was written"
    );
}

fn list(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}
