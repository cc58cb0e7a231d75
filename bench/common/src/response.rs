//! Where a response ends, for the load: a head with `Content-Length`, then that many bytes.
//!
//! The upstream always sends a length, and no proxy has a reason to change that: anything else is an error
//! of the run.

/// Reads one response after the other.
#[derive(Debug, Default)]
pub struct Reader {
    /// The head so far; empty while a body is read.
    head: Vec<u8>,
    /// Bytes of the body still to come; `None` = in a head.
    left: Option<usize>,
    status: u16,
}

/// What a piece of input led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The response goes on.
    More,
    /// The response is complete, with this status.
    Done(u16),
    /// Not a response that can be read.
    Broken,
}

impl Reader {
    /// Takes what arrived. Nothing may follow a response: we ask for one at a time.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Progress {
        let body = match self.left {
            Some(left) => return self.on_body(left, bytes.len()),
            None => {
                let searched = self.head.len().saturating_sub(3);
                self.head.extend_from_slice(bytes);
                match find(self.head.get(searched..).unwrap_or_default(), b"\r\n\r\n") {
                    None if self.head.len() > 16 * 1024 => return Progress::Broken,
                    None => return Progress::More,
                    Some(at) => self.head.len() - (searched + at + 4),
                }
            }
        };
        let end = self.head.len() - body;
        let Some((status, length)) = parse(self.head.get(..end).unwrap_or_default()) else {
            return Progress::Broken;
        };
        self.status = status;
        self.head.clear();
        self.on_body(length, body)
    }

    fn on_body(&mut self, left: usize, arrived: usize) -> Progress {
        match left.checked_sub(arrived) {
            None => Progress::Broken,
            Some(0) => {
                self.left = None;
                Progress::Done(self.status)
            }
            rest => {
                self.left = rest;
                Progress::More
            }
        }
    }
}

/// Status and content length of a head.
fn parse(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })?;
    Some((status, length))
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_the_same_however_it_arrives() {
        let response = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc";
        for split in 1..response.len() {
            let mut reader = Reader::default();
            for _ in 0..2 {
                assert_eq!(
                    reader.on_bytes(&response[..split]),
                    Progress::More,
                    "{split}"
                );
                assert_eq!(
                    reader.on_bytes(&response[split..]),
                    Progress::Done(200),
                    "{split}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_length_or_too_many_bytes_is_broken() {
        let broken = |response: &[u8]| Reader::default().on_bytes(response) == Progress::Broken;
        assert!(broken(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        assert!(broken(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"));
        assert!(broken(b"garbage\r\n\r\n"));
    }
}
