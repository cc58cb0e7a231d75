//! A mail to a server, as RFC 5321 has it: one message on a connection of its own.
//!
//! TLS begins with the connection (`smtps`), or within it where the server offers STARTTLS (RFC 3207); a certificate that is
//! not accepted is a failure, and never a reason to go on without. A password is said over TLS only.
//! Elsewhere: what the mail says (`format/mail.rs`).

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_upstream::{Io, Receiver, ReceiverError};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::outbox::Refusal;
use super::secrets::{Secrets, login};
use super::target::{Failure, Mail, unanswered};

/// How long each answer may take; the last one longer, for the server may look at the message.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// An answer that is longer is none.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What a server said: its code, and its lines.
#[derive(Debug)]
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn offers(&self, word: &str) -> bool {
        let mut lines = self.lines.iter().skip(1);
        lines.any(|line| line.eq_ignore_ascii_case(word))
    }

    fn offers_plain_login(&self) -> bool {
        self.lines.iter().skip(1).any(|line| {
            let mut words = line.split_ascii_whitespace();
            let is_auth = words
                .next()
                .is_some_and(|it| it.eq_ignore_ascii_case("AUTH"));
            is_auth && words.any(|it| it.eq_ignore_ascii_case("PLAIN"))
        })
    }
}

/// A conversation.
struct Session<'a> {
    io: Io,
    secrets: &'a Secrets,
    received: BytesMut,
    /// The end of the message was sent: it may be under way.
    is_sent: bool,
    /// Nothing more can be said.
    is_broken: bool,
}

/// An address that a server did not take.
pub(super) struct NotTaken {
    pub(super) address: String,
    pub(super) failure: Failure,
}

/// Sends it to these of its addresses. Says which were not taken though others were; where none was, nothing was sent.
pub(super) async fn send(
    receiver: &Receiver,
    mail: &Mail,
    to: &[&str],
    message: &str,
    secrets: &Secrets,
) -> Result<Vec<NotTaken>, Failure> {
    let connected = receiver
        .connect()
        .await
        .map_err(|error| unanswered(&error))?;
    let mut io = connected.io;
    if mail.is_tls {
        io = begin_tls(receiver, io, mail).await?;
    }
    let mut session = Session {
        io,
        secrets,
        received: BytesMut::new(),
        is_sent: false,
        is_broken: false,
    };
    session.reply(220).await?;
    let mut offered = session.hello().await?;
    if !mail.is_tls && offered.offers("STARTTLS") {
        session.ask("STARTTLS", 220).await?;
        // What came with the answer would be read as if it had come over TLS.
        if !session.received.is_empty() {
            return Err(refusal("it says something before TLS begins".to_owned()));
        }
        session.io = begin_tls(receiver, session.io, mail).await?;
        offered = session.hello().await?;
    }
    if let Some((user, password)) = &mail.login {
        if !session.io.is_tls() {
            let why = "it offers no TLS, and a password is not said without";
            return Err(refusal(why.to_owned()));
        }
        if !offered.offers_plain_login() {
            return Err(refusal("it offers no login with a password".to_owned()));
        }
        let login = login(user, password);
        session.ask(&format!("AUTH PLAIN {login}"), 235).await?;
    }
    session
        .ask(&format!("MAIL FROM:<{}>", mail.from), 250)
        .await?;
    let mut not_taken = Vec::new();
    for address in to {
        // 251: it goes on to somewhere else.
        if let Err(failure) = session.ask(&format!("RCPT TO:<{address}>"), 250).await {
            if session.is_broken {
                return Err(failure);
            }
            not_taken.push(NotTaken {
                address: (*address).to_owned(),
                failure,
            });
        }
    }
    if not_taken.len() == to.len() {
        // One that may be taken later is reason enough to try again.
        not_taken.sort_by_key(|it| it.failure.refusal == Refusal::Final);
        let first = not_taken.into_iter().next();
        return first.map_or(Ok(Vec::new()), |it| Err(it.failure));
    }
    session.ask("DATA", 354).await?;
    session.is_sent = true;
    session.write(&stuffed(message)).await?;
    session.reply(250).await?;
    // It has the message: whatever it says to this.
    let _gone = session.write("QUIT\r\n").await;
    Ok(not_taken)
}

async fn begin_tls(receiver: &Receiver, io: Io, mail: &Mail) -> Result<Io, Failure> {
    let begun = timeout(ANSWER_TIME_MAX, receiver.start_tls(io, &mail.tls)).await;
    let begun = begun.unwrap_or(Err(ReceiverError::Timeout(ANSWER_TIME_MAX)));
    begun.map_err(|error| unanswered(&error))
}

/// RFC 5321, section 4.5.2: a line that begins with a dot gets another one; a line with one alone is the end.
fn stuffed(message: &str) -> String {
    let mut stuffed = String::with_capacity(message.len() + 8);
    for line in message.trim_end_matches("\r\n").split("\r\n") {
        if line.starts_with('.') {
            stuffed.push('.');
        }
        stuffed.push_str(line);
        stuffed.push_str("\r\n");
    }
    stuffed.push_str(".\r\n");
    stuffed
}

fn refusal(why: String) -> Failure {
    Failure {
        why,
        help: "see what the mail server expects",
        refusal: Refusal::Final,
    }
}

impl Session<'_> {
    async fn hello(&mut self) -> Result<Reply, Failure> {
        // RFC 5321, section 4.1.3: whoever has no name of its own says its address.
        let address = self
            .io
            .local_address()
            .map(|address| address.ip().to_canonical());
        let name = match address {
            Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Err(_) => "localhost".to_owned(),
        };
        self.ask(&format!("EHLO {name}"), 250).await
    }

    /// Says a line and expects a code. Only that the first digits are the same counts: 251 is as good as 250.
    async fn ask(&mut self, line: &str, expected: u16) -> Result<Reply, Failure> {
        self.write(&format!("{line}\r\n")).await?;
        self.reply(expected).await
    }

    async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = async {
            self.io.write_all(text.as_bytes()).await?;
            self.io.flush().await
        };
        match timeout(ANSWER_TIME_MAX, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error.into())),
            Err(_) => Err(self.broken(&ReceiverError::Timeout(ANSWER_TIME_MAX))),
        }
    }

    async fn reply(&mut self, expected: u16) -> Result<Reply, Failure> {
        let read = match timeout(ANSWER_TIME_MAX, self.read()).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(self.broken(&error)),
            Err(_) => return Err(self.broken(&ReceiverError::Timeout(ANSWER_TIME_MAX))),
        };
        let Some(reply) = read else {
            return Err(refusal("its answer is none of a mail server".to_owned()));
        };
        if reply.code / 10 == expected / 10 {
            return Ok(reply);
        }
        let said = self.secrets.said(&reply.lines.join(" "));
        let why = format!("it answered {} {said}", reply.code);
        Err(match reply.code {
            400..=499 => Failure {
                why,
                help: "it is sent again",
                refusal: Refusal::Temporary {
                    retry_after: None,
                    may_have_arrived: false,
                },
            },
            _ => refusal(why),
        })
    }

    fn broken(&mut self, error: &ReceiverError) -> Failure {
        self.is_broken = true;
        let failure = unanswered(error);
        Failure {
            refusal: Refusal::Temporary {
                retry_after: None,
                may_have_arrived: self.is_sent,
            },
            ..failure
        }
    }

    /// All lines of an answer; `None`: it is none.
    async fn read(&mut self) -> Result<Option<Reply>, ReceiverError> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
                if self.received.len() > ANSWER_BYTES_MAX {
                    return Ok(None);
                }
                self.received.reserve(1_024);
                let (io, received) = (&mut self.io, &mut self.received);
                if poll_fn(|context| io.poll_read_buf(context, received)).await? == 0 {
                    return Err(ReceiverError::Closed);
                }
                continue;
            };
            bytes += end;
            let line = self.received.split_to(end + 1);
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.filter(|code| (200..600).contains(code));
            let (Some(code), true) = (code, bytes <= ANSWER_BYTES_MAX) else {
                return Ok(None);
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Some(Reply { code, lines }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_would_be_the_end_is_not() {
        assert_eq!(stuffed("a\r\n.\r\n..b\r\n"), "a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed("a"), "a\r\n.\r\n");
    }

    #[test]
    fn what_a_server_offers_is_read_by_words() {
        let lines = ["mail.example", "STARTTLS", "auth LOGIN plain", "SIZE 100"];
        let reply = Reply {
            code: 250,
            lines: lines.map(str::to_owned).to_vec(),
        };
        assert!(reply.offers("starttls") && !reply.offers("SIZE"));
        assert!(!reply.offers("mail.example"), "its name offers nothing");
        assert!(reply.offers_plain_login());
    }
}
