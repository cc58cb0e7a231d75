//! One active check of one endpoint, on a connection of its own.

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Version};
use plimsoll_http1::{HeadLimits, ResponseError, ResponseHead, parse_response};
use tokio::io::AsyncWriteExt;

use crate::connect::{ConnectError, connect};
use crate::endpoint::Endpoint;
use crate::io::Io;

const USER_AGENT: &str = "plimsoll-health";
/// A health answer is some bytes; what a peer sends beyond this is an error.
const ANSWER_MAX: usize = 64 * 1024;
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";
/// `SERVING` of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const GRPC_SERVING: u64 = 1;

/// What an active check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// `GET path`; 200-399 is healthy.
    Http {
        /// The path.
        path: String,
    },
    /// A connection is made, TLS included.
    Tcp,
    /// `grpc.health.v1.Health/Check`; `SERVING` is healthy.
    Grpc {
        /// The service asked for; empty = the server as a whole.
        service: String,
    },
}

/// The endpoint is not healthy, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("asking for its health")]
    Io(#[from] io::Error),
    #[error("asking for its health")]
    Http2(#[from] h2::Error),
    #[error("writing the check's request")]
    Request(#[from] http::Error),
    #[error("reading the answer to a check")]
    Response(#[from] ResponseError),
    #[error("it closed the connection before it answered")]
    Closed,
    #[error("the check was answered with status {0}")]
    Status(u16),
    #[error("the check was answered with gRPC status {0}")]
    GrpcStatus(String),
    #[error("it is not serving (gRPC health status {0})")]
    NotServing(u64),
    #[error("the answer is no gRPC health message")]
    NotGrpc,
}

impl HealthCheck {
    /// Asks once. The caller bounds the time.
    pub(crate) async fn run(&self, endpoint: &Endpoint) -> Result<(), CheckError> {
        match self {
            Self::Tcp => connect(endpoint, None)
                .await
                .map(drop)
                .map_err(CheckError::from),
            Self::Http { path } => {
                let connected = connect(endpoint, None).await?;
                let status = if connected.http2 {
                    status_over_http2(endpoint, connected.io, path).await?
                } else {
                    status_over_http1(endpoint, connected.io, path).await?
                };
                if (200..400).contains(&status) {
                    Ok(())
                } else {
                    Err(CheckError::Status(status))
                }
            }
            Self::Grpc { service } => {
                let connected = connect(endpoint, Some(true)).await?;
                check_grpc(endpoint, connected.io, service).await
            }
        }
    }
}

async fn status_over_http1(endpoint: &Endpoint, mut io: Io, path: &str) -> Result<u16, CheckError> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        endpoint.authority
    );
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let limits = HeadLimits::default();
    let mut buf = BytesMut::new();
    let mut head = ResponseHead::new();
    loop {
        if parse_response(&mut buf, false, &limits, &mut head)? {
            if !head.is_interim() {
                return Ok(head.status());
            }
            head.clear();
            continue;
        }
        buf.reserve(1_024);
        if poll_fn(|context| io.poll_read_buf(context, &mut buf)).await? == 0 {
            return Err(CheckError::Closed);
        }
    }
}

async fn status_over_http2(endpoint: &Endpoint, io: Io, path: &str) -> Result<u16, CheckError> {
    let request = request(endpoint, Method::GET, path)?;
    exchange(io, async |mut send: h2::client::SendRequest<Bytes>| {
        let (response, _) = send.send_request(request, true)?;
        Ok(response.await?.status().as_u16())
    })
    .await
}

async fn check_grpc(endpoint: &Endpoint, io: Io, service: &str) -> Result<(), CheckError> {
    let mut request = request(endpoint, Method::POST, GRPC_PATH)?;
    let fields = request.headers_mut();
    fields.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    fields.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    let message = encode_request(service);
    exchange(io, async |mut send: h2::client::SendRequest<Bytes>| {
        let (response, mut body) = send.send_request(request, false)?;
        body.send_data(message, true)?;
        let response = response.await?;
        if response.status() != http::StatusCode::OK {
            return Err(CheckError::Status(response.status().as_u16()));
        }
        // A refusal may come as fields alone, with the status among them.
        expect_grpc_ok(response.headers())?;
        let mut stream = response.into_body();
        let mut answer = BytesMut::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            answer.extend_from_slice(&data);
            if answer.len() > ANSWER_MAX {
                return Err(CheckError::NotGrpc);
            }
        }
        if let Some(trailers) = stream.trailers().await? {
            expect_grpc_ok(&trailers)?;
        }
        match decode_response(&answer) {
            Some(GRPC_SERVING) => Ok(()),
            Some(status) => Err(CheckError::NotServing(status)),
            None => Err(CheckError::NotGrpc),
        }
    })
    .await
}

/// Runs one exchange on a fresh HTTP/2 connection, and drives the connection meanwhile.
async fn exchange<T>(
    io: Io,
    ask: impl AsyncFnOnce(h2::client::SendRequest<Bytes>) -> Result<T, CheckError>,
) -> Result<T, CheckError> {
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .handshake::<_, Bytes>(io)
        .await?;
    let mut connection = std::pin::pin!(connection);
    let mut asking = std::pin::pin!(async { ask(send.ready().await?).await });
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        ended = &mut connection => {
            ended?;
            // What came before the end may be the answer.
            tokio::select! { biased; answer = &mut asking => answer, () = std::future::ready(()) => Err(CheckError::Closed) }
        }
    }
}

fn request(endpoint: &Endpoint, method: Method, path: &str) -> Result<Request<()>, http::Error> {
    let scheme = if endpoint.config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(format!("{scheme}://{}{path}", endpoint.authority))
        .header(http::header::USER_AGENT, USER_AGENT)
        .body(())
}

fn expect_grpc_ok(fields: &HeaderMap) -> Result<(), CheckError> {
    match fields.get("grpc-status") {
        Some(status) if status != "0" => Err(CheckError::GrpcStatus(
            String::from_utf8_lossy(status.as_bytes()).into_owned(),
        )),
        _ => Ok(()),
    }
}

/// `HealthCheckRequest { service = 1: string }` in a gRPC frame (flag, four bytes of length, message).
fn encode_request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, wire type 2 (length-delimited).
        message.push(0x0a);
        let mut length = service.len() as u64;
        while length >= 0x80 {
            message.push((length as u8 & 0x7f) | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(
        &u32::try_from(message.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    frame.extend_from_slice(&message);
    frame.into()
}

/// The status of a `HealthCheckResponse { status = 1: enum }` in a gRPC frame; `None` if it is none.
fn decode_response(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let (&compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    if compressed != 0 || message.len() != length {
        return None;
    }
    // A status of zero, UNKNOWN, is left out of the message.
    let mut status = 0;
    let mut rest = message;
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        rest = after;
        match (tag >> 3, tag & 7) {
            (1, 0) => (status, rest) = varint(rest)?,
            (_, 0) => rest = varint(rest)?.1,
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let (length, after) = varint(rest)?;
                rest = after.get(usize::try_from(length).ok()?..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place).min(63);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(&*encode_request(""), b"\0\0\0\0\0");
        assert_eq!(&*encode_request("shop"), b"\0\0\0\0\x06\x0a\x04shop");
        let long = encode_request(&"x".repeat(300));
        assert_eq!(&long[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
    }

    #[track_caller]
    fn check(frame: &[u8], expected: Option<u64>) {
        assert_eq!(decode_response(frame), expected);
    }

    #[test]
    fn an_answer_is_read_strictly() {
        check(b"\0\0\0\0\x02\x08\x01", Some(GRPC_SERVING));
        check(b"\0\0\0\0\x02\x08\x02", Some(2));
        check(b"\0\0\0\0\0", Some(0));
        check(b"\0\0\0\0\x06\x12\x02hi\x08\x01", Some(GRPC_SERVING));
        check(b"", None);
        check(b"\0\0\0\0\x02\x08", None);
        check(b"\x01\0\0\0\x02\x08\x01", None);
        check(b"\0\0\0\0\x02\x08\xff", None);
        check(b"\0\0\0\0\x03\x12\x7fx", None);
    }
}
