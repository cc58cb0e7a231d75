//! Somebody who is told something now and then: one request, on a connection of its own.
//!
//! No pool and no health: what is sent is rare, and whoever sends it tries again. Redirects are not followed: an
//! outbound target that is not in the configuration is none.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_http1::{
    BodyDecoder, BodyError, HeadLimits, Piece, ResponseError, ResponseHead, parse_response,
};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::connect::{ConnectError, Connected, connect};
use crate::endpoint::{Endpoint, EndpointConfig, EndpointKey};
use crate::io::Io;
use crate::resolve::Resolver;
use crate::tls::{ClientTls, SystemRoots, TlsConfig, TlsError, server_name};

const USER_AGENT: &str = concat!("Plimsoll/", env!("CARGO_PKG_VERSION"));
/// An answer is read for what went wrong; nobody has more to say.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// See the module's docs.
pub struct Receiver {
    endpoint: Endpoint,
    resolver: Resolver,
}

/// What a receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverAnswer {
    /// The status.
    pub status: u16,
    /// For how long it wants to be left alone, if it said so in seconds.
    pub retry_after: Option<Duration>,
    /// The body, up to 64 KiB.
    pub body: Vec<u8>,
}

/// A receiver was not told, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// Its name has no address. Nothing was sent.
    #[error("looking up {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// TLS can't be set up. Nothing was sent.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It may have been told.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// It may have been told.
    #[error("the connection failed before the answer")]
    Io(#[from] io::Error),
    /// It may have been told.
    #[error("the answer is no HTTP")]
    Answer(#[from] ResponseError),
    /// It was told.
    #[error("the answer's body is not as it says")]
    Body(#[from] BodyError),
    /// It may have been told.
    #[error("it closed the connection before it answered")]
    Closed,
}

impl ReceiverError {
    /// Whether it can be that the receiver was told all the same.
    pub const fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::Resolve { .. } | Self::Connect(_) | Self::Tls(_))
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receiver")
            .field(&self.endpoint.name)
            .finish()
    }
}

impl Receiver {
    /// Reads the TLS files that `config` names.
    ///
    /// # Errors
    /// They can't be used, or the host is no name.
    pub fn new(config: EndpointConfig, resolver: Resolver) -> Result<Self, TlsError> {
        let roots = SystemRoots::default();
        let client = match &config.tls {
            Some(tls) => Some(ClientTls::new(tls, &roots)?.into()),
            None => None,
        };
        let endpoint = Endpoint::new(EndpointKey(u64::MAX), "", config, client)?;
        Ok(Self { endpoint, resolver })
    }

    /// Begins TLS within a connection, of another protocol than HTTP: nothing is offered by ALPN. The files that `tls` names
    /// are read now: whoever never needs them may lack them.
    ///
    /// # Errors
    /// They can't be used, there is a TLS already, or it could not be agreed on.
    pub async fn start_tls(&self, io: Io, tls: &TlsConfig) -> Result<Io, ReceiverError> {
        let Io::Tcp(stream) = io else {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        };
        let host = self.endpoint.config.host.as_str();
        let name = server_name(tls.server_name.as_deref().unwrap_or(host))?;
        let client = ClientTls::new(tls, &SystemRoots::default())?;
        let address = stream.peer_addr()?;
        let begun = TlsConnector::from(client.offering_nothing())
            .connect(name, stream)
            .await;
        let stream = begun.map_err(|source| ConnectError::Tls {
            endpoint: self.endpoint.name.clone(),
            address,
            source: Arc::new(source),
        })?;
        Ok(Io::Tls(Box::new(TlsStream::Client(stream))))
    }

    /// Its name in logs: scheme, host and port.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Sends a request with this body, and reads the answer. All of it takes at most `time_max`. `fields` are names and
    /// values without control characters: others are left out.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(
        &self,
        path: &str,
        fields: &[(&str, String)],
        body: &[u8],
        time_max: Duration,
    ) -> Result<ReceiverAnswer, ReceiverError> {
        let mut sent = self.head(path, fields, body.len()).into_bytes();
        sent.extend_from_slice(body);
        // What takes too long before anything could be sent was not sent.
        let connected = timeout(time_max, self.connect()).await;
        let connected = connected.map_err(|_| ConnectError::Timeout {
            endpoint: self.endpoint.name.clone(),
            limit: time_max,
        })??;
        timeout(time_max, exchange(connected.io, &sent))
            .await
            .map_err(|_| ReceiverError::Timeout(time_max))?
    }

    /// A connection to it: TLS where it is spoken from the start.
    ///
    /// # Errors
    /// There is none.
    pub async fn connect(&self) -> Result<Connected, ReceiverError> {
        if self.endpoint.needs_resolving() {
            let found = self.resolver.look_up(&self.endpoint).await;
            // What was known before may still be true.
            if let (Err(source), true) = (found, self.endpoint.addresses().is_empty()) {
                return Err(ReceiverError::Resolve {
                    host: self.endpoint.config.host.clone(),
                    source,
                });
            }
        }
        Ok(connect(&self.endpoint, Some(false)).await?)
    }

    fn head(&self, path: &str, fields: &[(&str, String)], length: usize) -> String {
        let authority = &self.endpoint.authority;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\nContent-Length: {length}\r\n"
        );
        for (name, value) in fields {
            if !value.contains(char::is_control) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        head
    }
}

async fn exchange(mut io: Io, sent: &[u8]) -> Result<ReceiverAnswer, ReceiverError> {
    // A receiver that has heard enough may answer and close before it has read all.
    let written = async {
        io.write_all(sent).await?;
        io.flush().await
    }
    .await;
    let read = read(&mut io).await;
    match (written, read) {
        (_, Ok(answer)) => Ok(answer),
        (Err(error), Err(_)) => Err(error.into()),
        (Ok(()), Err(error)) => Err(error),
    }
}

async fn read(io: &mut Io) -> Result<ReceiverAnswer, ReceiverError> {
    let limits = HeadLimits::default();
    let mut buf = BytesMut::new();
    let mut head = ResponseHead::new();
    loop {
        if parse_response(&mut buf, false, &limits, &mut head)? {
            if !head.is_interim() {
                break;
            }
            head.clear();
            continue;
        }
        if !more(io, &mut buf).await? {
            return Err(ReceiverError::Closed);
        }
    }
    let retry_after = head
        .fields
        .get_named(b"retry-after")
        .and_then(|value| str::from_utf8(value).ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut answer = ReceiverAnswer {
        status: head.status(),
        retry_after,
        body: Vec::new(),
    };
    let mut decoder = BodyDecoder::new(head.framing());
    while answer.body.len() < ANSWER_BYTES_MAX {
        match decoder.decode(&mut buf)? {
            Piece::Data(count) => {
                answer.body.extend_from_slice(&buf.split_to(count));
                decoder.consumed(count);
            }
            // The status says it all: a body that is cut is cut.
            Piece::NeedMore if !more(io, &mut buf).await.unwrap_or(false) => break,
            Piece::NeedMore => (),
            Piece::End => break,
        }
    }
    answer.body.truncate(ANSWER_BYTES_MAX);
    Ok(answer)
}

/// Reads once; `false` at the end.
async fn more(io: &mut Io, buf: &mut BytesMut) -> io::Result<bool> {
    buf.reserve(4 * 1024);
    Ok(poll_fn(|context| io.poll_read_buf(context, buf)).await? > 0)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::Clock;

    const TIME_MAX: Duration = Duration::from_secs(30);

    /// Sends to a receiver that answers with `answer`; what it got, and what came of it.
    async fn sent(answer: &'static [u8]) -> (String, Result<ReceiverAnswer, ReceiverError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"hello") {
                assert!(stream.read_buf(&mut got).await.unwrap() > 0);
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(got).unwrap()
        });
        let config = EndpointConfig::new("127.0.0.1", address.port());
        let receiver = Receiver::new(config, Resolver::new(Clock::new())).unwrap();
        let fields = [
            ("X-Id", "7".to_owned()),
            ("X-Bad", "a\r\nX-More: b".to_owned()),
        ];
        let result = receiver.post("/a?b", &fields, b"hello", TIME_MAX).await;
        (server.await.unwrap(), result)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_the_answer_is_read() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nlow\r\n0\r\n\r\n";
        let (got, result) = sent(answer).await;
        assert!(got.starts_with("POST /a?b HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(got.contains("\r\nContent-Length: 5\r\n"), "{got}");
        assert!(got.contains("\r\nX-Id: 7\r\n"), "{got}");
        assert!(!got.contains("X-More"), "{got}");
        let expected = ReceiverAnswer {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: b"low".to_vec(),
        };
        assert_eq!(result.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_body_that_is_cut_is_no_error_and_an_answer_that_is_none_is() {
        let (_, result) = sent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlow").await;
        assert_eq!(result.unwrap().body, b"low");
        let (_, result) = sent(b"SMTP hello\r\n\r\n").await;
        assert!(result.unwrap_err().may_have_arrived());
        let (_, result) = sent(b"").await;
        assert!(matches!(result, Err(ReceiverError::Closed)), "{result:?}");
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let config = EndpointConfig::new("127.0.0.1", port);
        let receiver = Receiver::new(config, Resolver::new(Clock::new())).unwrap();
        let error = receiver.post("/", &[], b"", TIME_MAX).await.unwrap_err();
        assert!(!error.may_have_arrived(), "{error}");
    }

    #[tokio::test]
    async fn a_receiver_that_hangs_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = EndpointConfig::new("127.0.0.1", listener.local_addr().unwrap().port());
        let receiver = Receiver::new(config, Resolver::new(Clock::new())).unwrap();
        let limit = Duration::from_millis(20);
        let error = receiver.post("/", &[], b"", limit).await.unwrap_err();
        assert!(matches!(error, ReceiverError::Timeout(_)), "{error}");
    }
}
