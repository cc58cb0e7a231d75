//! A mail, as RFC 5322 has it: a subject and a text; what ends answers what began.

use aws_lc_rs::digest;
use plimsoll_core::Timestamp;

use super::{Notification, Stage, encode, urgency};

/// RFC 2047, section 2: an encoded word has 75 characters at most, so many bytes of text with what stands around them.
const WORD_BYTES_MAX: usize = 42;
/// RFC 5322, section 2.1.1: a line has 998 characters at most.
const LINE_CHARS_MAX: usize = 900;
/// RFC 5322, section 2.2.3: a field goes on in a line that begins with a space.
const FOLD: &str = ",\r\n ";
/// RFC 2045, section 6.8.
const BASE64_LINE: usize = 76;

/// Head and text, with lines that end in CRLF; not yet as `DATA` wants it.
pub(crate) fn message(from: &str, to: &[String], told: &[Notification], now: Timestamp) -> String {
    let domain = from
        .rsplit_once('@')
        .map_or("plimsoll", |(_, domain)| domain);
    let mut said = String::new();
    let mut head = String::new();
    let mut field = |name: &str, value: &str| {
        let lines = value.split(FOLD).map(one_line).collect::<Vec<_>>();
        head.push_str(&format!("{name}: {}\r\n", lines.join(FOLD)));
    };
    field("From", from);
    field("To", &folded(to));
    field("Subject", &encoded(&subject(told)));
    field("Date", &date(now));
    for it in told {
        said.push_str(&text(it));
    }
    field("Message-ID", &format!("<{}@{domain}>", id(said.as_bytes())));
    if let [only] = told {
        field(
            "References",
            &format!("<{}@{domain}>", id(only.key_of_instance().as_bytes())),
        );
    }
    field("Auto-Submitted", "auto-generated");
    field("MIME-Version", "1.0");
    field("Content-Type", "text/plain; charset=utf-8");
    if said.is_ascii() {
        return format!("{head}\r\n{}", lines(&said));
    }
    head.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
    let body = encode(said.as_bytes());
    for line in body.as_bytes().chunks(BASE64_LINE) {
        head.push_str(&String::from_utf8_lossy(line));
        head.push_str("\r\n");
    }
    head
}

fn subject(told: &[Notification]) -> String {
    let Some(first) = told.first() else {
        return String::new();
    };
    let more = match told.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    format!("[{}] {}{more}", first.stage.name(), first.title)
}

fn text(it: &Notification) -> String {
    let mut text = format!("{}\r\n{}\r\n\r\n", it.title, it.text);
    let mut about = vec![("service", it.service.as_str())];
    if it.stage != Stage::Test {
        about.push(("objective", &it.objective));
        about.push(("urgency", urgency(it.urgency)));
    }
    about.extend(it.owner.as_deref().map(|owner| ("owner", owner)));
    about.push(("instance", &it.instance));
    let since = it.since.map(Timestamp::to_rfc3339);
    about.extend(since.as_deref().map(|since| ("since", since)));
    let at = it.at.to_rfc3339();
    about.push(("said", &at));
    about.extend(it.runbook.as_deref().map(|runbook| ("runbook", runbook)));
    about.extend(it.url.as_deref().map(|url| ("console", url)));
    for (name, value) in about {
        text.push_str(&format!("{name}: {}\r\n", one_line(value)));
    }
    text.push_str("\r\n");
    text
}

/// Addresses, in lines that are not too long.
fn folded(to: &[String]) -> String {
    let mut folded = String::new();
    let mut line = 0;
    for address in to {
        if !folded.is_empty() {
            let fits = line + address.len() <= LINE_CHARS_MAX;
            folded.push_str(if fits { ", " } else { FOLD });
            line = if fits { line + 2 } else { 0 };
        }
        folded.push_str(address);
        line += address.len();
    }
    folded
}

/// What would end a line, and begin another field, is none.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

fn id(of: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, of);
    let bytes = digest.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2047, where it is not ASCII.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().take(LINE_CHARS_MAX).collect();
    }
    let mut words: Vec<String> = vec![String::new()];
    for char in text.chars().take(LINE_CHARS_MAX / 10) {
        if words
            .last()
            .is_some_and(|it| it.len() + char.len_utf8() > WORD_BYTES_MAX)
        {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(char);
        }
    }
    let words = words
        .iter()
        .map(|it| format!("=?UTF-8?B?{}?=", encode(it.as_bytes())));
    words.collect::<Vec<_>>().join(" ")
}

/// Lines that are not too long. ASCII.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.split("\r\n") {
        let mut pieces = line.as_bytes().chunks(LINE_CHARS_MAX).peekable();
        if pieces.peek().is_none() {
            out.push_str("\r\n");
        }
        for piece in pieces {
            out.push_str(&String::from_utf8_lossy(piece));
            out.push_str("\r\n");
        }
    }
    out
}

/// RFC 5322, section 3.3.
fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = at.as_seconds();
    let name = |names: &'static [&'static str], place: u64| {
        let place = usize::try_from(place).unwrap_or_default();
        names.get(place).copied().unwrap_or_default()
    };
    // The epoch was a Thursday.
    let weekday = name(&DAYS, seconds / 86_400 % 7);
    let (year, month, day) = at.date();
    let month = name(&MONTHS, month.saturating_sub(1));
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notification::tests::page;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_615_900);

    fn sent(told: &[Notification]) -> String {
        let to = ["oncall@shop.example".to_owned()];
        message("plimsoll@shop.example", &to, told, NOW).replace("\r\n", "\n")
    }

    #[test]
    fn what_is_sent() {
        insta::assert_snapshot!(sent(&[page("checkout", Stage::Firing, 0)]));
    }

    #[test]
    fn what_ends_answers_what_began_and_is_another_mail() {
        let field = |stage, name: &str| {
            let sent = sent(&[page("checkout", stage, 0)]);
            let mut lines = sent.lines();
            lines
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        let both = |name| [Stage::Firing, Stage::Resolved].map(|stage| field(stage, name));
        let [began, ended] = both("References: ");
        assert_eq!(began, ended);
        let told = [Stage::Firing, Stage::Resolved].map(|stage| {
            let mut it = page("checkout", stage, 0);
            it.title = stage.name().to_owned();
            sent(&[it])
        });
        let id = |sent: &str| {
            let line = sent.lines().find(|line| line.starts_with("Message-ID: "));
            line.unwrap().to_owned()
        };
        assert_ne!(id(&told[0]), id(&told[1]));
    }

    #[test]
    fn a_name_can_not_begin_a_field_of_its_own() {
        let mut hostile = page("checkout", Stage::Firing, 0);
        hostile.title = "a\r\nBcc: everybody@shop.example".to_owned();
        let sent = sent(&[hostile]);
        let (head, _) = sent.split_once("\n\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }

    #[test]
    fn many_recipients_do_not_make_a_line_too_long_and_none_is_lost() {
        let to: Vec<String> = (10..26)
            .map(|number| format!("{}{number}@shop.example", "a".repeat(235)))
            .collect();
        let told = [page("checkout", Stage::Firing, 0)];
        let sent = message("plimsoll@shop.example", &to, &told, NOW);
        assert!(sent.split("\r\n").all(|line| line.len() <= 998), "{sent}");
        let (head, _) = sent.split_once("\r\nSubject").unwrap();
        let unfolded = head.replace("\r\n ", " ");
        assert!(unfolded.ends_with(&format!("\r\nTo: {}", to.join(", "))));
    }

    #[test]
    fn what_is_not_ascii_is_encoded() {
        let mut told = page("checkout", Stage::Firing, 0);
        told.title = "Kasse läuft über ".repeat(5);
        let sent = sent(&[told]);
        assert!(sent.is_ascii());
        assert!(sent.contains("Subject: =?UTF-8?B?"));
        assert!(sent.lines().all(|line| line.len() <= 998), "{sent}");
    }

    #[test]
    fn long_lines_are_cut_and_none_is_lost() {
        let long = format!("{}\r\n\r\n.", "a".repeat(2_000));
        let cut = lines(&long);
        assert!(cut.split("\r\n").all(|line| line.len() <= LINE_CHARS_MAX));
        assert_eq!(cut.matches('a').count(), 2_000);
        assert!(cut.ends_with("\r\n\r\n.\r\n"));
    }

    #[test]
    fn dates_are_as_mail_has_them() {
        assert_eq!(date(NOW), "Wed, 25 Nov 2026 14:11:40 +0000");
        assert_eq!(
            date(Timestamp::from_seconds(0)),
            "Thu, 1 Jan 1970 00:00:00 +0000"
        );
    }
}
