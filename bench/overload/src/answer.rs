//! Where an answer ends, for the load: a head with `Content-Length`, then that many bytes.
//!
//! The upstream always sends a length, and so do the proxies with their refusals. An answer without one ends
//! with its connection, which is a failure of the run.

/// Reads one answer after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The head so far; empty while a body is read.
    head: Vec<u8>,
    /// Bytes of the body still to come; `None` = in a head.
    left: Option<usize>,
    answer: Answer,
}

/// A complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server will close the connection.
    pub(crate) closes: bool,
}

/// What a piece of input led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done(Answer),
    /// Not an answer that can be read.
    Broken,
}

/// No head here is that long.
const HEAD_BYTES_MAX: usize = 16 * 1024;

impl Reader {
    /// Takes what arrived. Nothing may follow an answer: we ask for one at a time.
    pub(crate) fn on_bytes(&mut self, bytes: &[u8]) -> Progress {
        if let Some(left) = self.left {
            return self.on_body(left, bytes.len());
        }
        let searched = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let Some(at) = find(self.head.get(searched..).unwrap_or_default(), b"\r\n\r\n") else {
            return if self.head.len() > HEAD_BYTES_MAX {
                Progress::Broken
            } else {
                Progress::More
            };
        };
        let end = searched + at + 4;
        let Some((answer, length)) = parse(self.head.get(..end).unwrap_or_default()) else {
            return Progress::Broken;
        };
        let body = self.head.len() - end;
        self.answer = answer;
        self.head.clear();
        self.on_body(length, body)
    }

    fn on_body(&mut self, left: usize, arrived: usize) -> Progress {
        match left.checked_sub(arrived) {
            None => Progress::Broken,
            Some(0) => {
                self.left = None;
                Progress::Done(self.answer)
            }
            rest => {
                self.left = rest;
                Progress::More
            }
        }
    }
}

/// A head and the length of what follows.
fn parse(head: &[u8]) -> Option<(Answer, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let mut closes = head.starts_with("HTTP/1.0");
    let mut length = None;
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Some((Answer { status, closes }, length?))
}

/// Where `needle` begins in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_the_same_however_it_arrives() {
        let text = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let answer = Answer {
            status: 503,
            closes: true,
        };
        for split in 1..text.len() {
            let mut reader = Reader::default();
            for _ in 0..2 {
                assert_eq!(reader.on_bytes(&text[..split]), Progress::More, "{split}");
                assert_eq!(
                    reader.on_bytes(&text[split..]),
                    Progress::Done(answer),
                    "{split}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_length_or_too_many_bytes_is_broken() {
        let broken = |text: &[u8]| Reader::default().on_bytes(text) == Progress::Broken;
        assert!(broken(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        assert!(broken(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"));
        assert!(broken(b"garbage\r\n\r\n"));
    }
}
