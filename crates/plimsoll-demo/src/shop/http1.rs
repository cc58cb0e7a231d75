//! As much HTTP/1.1 as a proxy under test needs from an endpoint: `GET` and `POST` without a body, kept alive.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::endpoint::{BODY, Life, Work};
use crate::catalogue::{STORED, is_stored};

/// A head larger than this ends the connection.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Serves one connection, one request after the other.
pub(super) async fn serve(life: Arc<Life>, mut stream: TcpStream) {
    let answers = [false, true].map(answer_bytes);
    let mut head = Vec::with_capacity(1_024);
    loop {
        let Some(end) = find_end(&head) else {
            if head.len() > HEAD_BYTES_MAX || !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                return;
            }
            continue;
        };
        let Some(path) = head.get(..end).and_then(parse_head).map(str::to_owned) else {
            return;
        };
        head.drain(..end);
        match life.work(&path, closed(&stream)).await {
            Work::Done => {
                let [plain, stored] = &answers;
                let answer = if is_stored(&path) { stored } else { plain };
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
            Work::NotFound => {
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
            Work::Failed => {
                let _ = stream
                    .write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
            Work::Dropped => return,
        }
    }
}

fn answer_bytes(stored: bool) -> Vec<u8> {
    let says = match stored {
        true => format!("cache-control: {STORED}\r\n"),
        false => String::new(),
    };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{says}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    )
    .into_bytes();
    answer.extend_from_slice(BODY);
    answer
}

/// Returns once the client has closed. A client that pipelines is not noticed to be gone.
async fn closed(stream: &TcpStream) {
    match stream.peek(&mut [0]).await {
        Ok(0) | Err(_) => (),
        Ok(_) => std::future::pending().await,
    }
}

/// Where the first head in `bytes` ends, its empty line included.
fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The target of a `GET` or `POST`.
fn parse_head(head: &[u8]) -> Option<&str> {
    let head = std::str::from_utf8(head).ok()?;
    let rest = head.strip_prefix("GET ").or(head.strip_prefix("POST "))?;
    rest.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(find_end(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET"), Some(27));
        assert_eq!(find_end(b"GET / HTTP/1.1\r\nhost: a\r\n"), None);
    }

    #[test]
    fn only_a_get_and_a_post_have_a_target() {
        assert_eq!(parse_head(b"GET /a/b/1 HTTP/1.1\r\n\r\n"), Some("/a/b/1"));
        assert_eq!(parse_head(b"POST / HTTP/1.1\r\n\r\n"), Some("/"));
        assert_eq!(parse_head(b"PUT / HTTP/1.1\r\n\r\n"), None);
    }
}
