//! Talks to a running Plimsoll: finds it, asks its console.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_console::Changed;
use plimsoll_http1::{BodyDecoder, HeadLimits, Piece, ResponseHead, parse_response};
use plimsoll_measure::Snapshot;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::state::StateFolder;

/// How long an answer may take; a reload opens listeners and reads files.
const TIME_MAX: Duration = Duration::from_secs(65);
/// A snapshot of 10,000 endpoints stays below it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The environment variable with the token of whoever runs a command.
const TOKEN: &str = "PLIMSOLL_TOKEN";

/// Which process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// The console's URL.
    pub(crate) url: Option<String>,
    /// The state folder.
    pub(crate) state: Option<PathBuf>,
}

/// The process can't be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "no running Plimsoll was found by the state folder {folder}; start one, or name its console with --at URL"
    )]
    NotFound { folder: PathBuf },
    #[error("`{0}` is not the URL of a console; expected something like http://127.0.0.1:7676")]
    Url(String),
    #[error("asking the console at {authority}")]
    Io {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("the console at {authority} gave an answer that can't be read: {why}")]
    Answer { authority: String, why: String },
    /// The process said no; the text says why.
    #[error("{0}")]
    Refused(String),
    /// It said no, since whoever asked may not.
    #[error("{0}")]
    Forbidden(String),
}

pub(crate) fn snapshot_json(target: &Target) -> Result<String, ClientError> {
    request(target, "GET", "/api/v1/status", None)
}

pub(crate) fn snapshot(target: &Target) -> Result<Snapshot, ClientError> {
    read(target, &snapshot_json(target)?)
}

/// `query` says how, as in `?fix=true`.
pub(crate) fn reload(target: &Target, query: &str) -> Result<Changed, ClientError> {
    ask(target, "POST", &format!("/api/v1/reload{query}"), None)
}

/// Asks, and reads the answer.
pub(crate) fn ask<T: DeserializeOwned>(
    target: &Target,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<T, ClientError> {
    read(target, &request(target, method, path, body)?)
}

fn read<T: DeserializeOwned>(target: &Target, text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| ClientError::Answer {
        authority: target.url.clone().unwrap_or_default(),
        why: error.to_string(),
    })
}

/// A name as a part of a path.
pub(crate) fn part(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                part.push(byte.into());
            }
            // A dot too, for some take `..` for a step up.
            other => part.push_str(&format!("%{other:02X}")),
        }
    }
    part
}

/// The line of a request or a trace in the access log, as JSON.
pub(crate) fn request_line(target: &Target, id: &str) -> Result<String, ClientError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(safe) {
        let why = format!(
            "`{id}` is no request's id: Plimsoll-Decision in the answer has it, and X-Request-Id as services are sent it"
        );
        return Err(ClientError::Refused(why));
    }
    request(target, "GET", &format!("/api/v1/requests/{id}"), None)
}

/// The token of whoever runs the command; else that of the state folder.
fn token(folder: &StateFolder) -> Option<String> {
    let own = std::env::var(TOKEN).ok();
    let own = own.map(|token| token.trim().to_owned());
    own.filter(|token| !token.is_empty() && token.bytes().all(|it| it.is_ascii_graphic()))
        .or_else(|| folder.token())
}

fn request(
    target: &Target,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<String, ClientError> {
    let folder = StateFolder::locate(target.state.as_deref());
    let authority = match &target.url {
        Some(url) => authority_of(url)?,
        None => folder
            .console_address()
            .map(|address| address.to_string())
            .ok_or_else(|| ClientError::NotFound {
                folder: folder.path().to_owned(),
            })?,
    };
    let failed = |source| ClientError::Io {
        authority: authority.clone(),
        source,
    };
    let address = authority
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut stream =
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(failed)?;
    stream.set_read_timeout(Some(TIME_MAX)).map_err(failed)?;
    stream.set_write_timeout(Some(TIME_MAX)).map_err(failed)?;
    let token = token(&folder)
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let kind = match body {
        Some(_) => "Content-Type: application/json\r\n",
        None => "",
    };
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let sent = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{token}{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(sent.as_bytes()).map_err(failed)?;
    let mut received = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX as u64)
        .read_to_end(&mut received)
        .map_err(failed)?;
    let (status, body) = parse(&received).map_err(|why| ClientError::Answer {
        authority: authority.clone(),
        why,
    })?;
    match status {
        ..300 => Ok(body),
        403 => Err(ClientError::Forbidden(explain(status, &body))),
        _ => Err(ClientError::Refused(explain(status, &body))),
    }
}

/// `http://host:port` to `host:port`.
fn authority_of(url: &str) -> Result<String, ClientError> {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    if rest.contains('/') || rest.contains("://") || rest.is_empty() {
        return Err(ClientError::Url(url.to_owned()));
    }
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(if has_port {
        rest.to_owned()
    } else {
        format!("{rest}:7676")
    })
}

fn parse(received: &[u8]) -> Result<(u16, String), String> {
    let limits = HeadLimits {
        head_bytes_max: 64 << 10,
        headers_max: 100,
        uri_bytes_max: 8 << 10,
    };
    let mut buf = BytesMut::from(received);
    let mut head = ResponseHead::new();
    match parse_response(&mut buf, false, &limits, &mut head) {
        Ok(true) => (),
        Ok(false) => return Err("it was cut".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    let mut decoder = BodyDecoder::new(head.framing());
    let mut body = Vec::new();
    loop {
        match decoder
            .decode(&mut buf)
            .map_err(|error| error.to_string())?
        {
            Piece::Data(count) => {
                body.extend_from_slice(&buf.split_to(count));
                decoder.consumed(count);
            }
            Piece::NeedMore => {
                decoder.on_eof().map_err(|error| error.to_string())?;
                break;
            }
            Piece::End => break,
        }
    }
    String::from_utf8(body)
        .map(|body| (head.status(), body))
        .map_err(|_| "it is no text".to_owned())
}

/// The detail of problem details, or the text as it is.
fn explain(status: u16, body: &str) -> String {
    let detail = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|problem| problem.get("detail")?.as_str().map(str::to_owned));
    detail.unwrap_or_else(|| format!("the console answered {status}: {}", body.trim_end()))
}
