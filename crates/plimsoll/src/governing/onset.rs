//! What is known of an onset, in words.

use plimsoll_measure::{ChangeView, OnsetView, SuspectView};

use super::contributions::most;

/// What is known of an onset, for a person: what is the likeliest cause, and where most failures are.
pub(crate) fn sentence(onset: &OnsetView) -> String {
    let mut text = format!(
        "{} has burnt since {}",
        onset.objective,
        onset.at.to_rfc3339()
    );
    match onset.suspects.first() {
        Some(suspect) => text.push_str(&format!("; {}", suspected(suspect, onset))),
        None => text.push_str("; nothing that is known was changed before"),
    }
    if let Some(most) = most(&onset.split) {
        text.push_str(&format!("; {most}"));
    }
    text
}

/// A suspect in a line: `very likely, 3 s before: configuration ...`.
pub(crate) fn suspected(suspect: &SuspectView, onset: &OnsetView) -> String {
    let at = suspect.at.filter(|_| suspect.kind.is_act());
    let when = at.map_or_else(String::new, |at| {
        let seconds = onset.at.as_seconds() as i64 - at.as_seconds() as i64;
        format!(", {}", distance(seconds))
    });
    format!("{}{when}: {}", suspect.word(), suspect.what)
}

/// How long before the onset a change was, in words: `3 s before`.
pub(crate) fn how_long_before(change: &ChangeView) -> String {
    distance(change.seconds_before)
}

fn distance(seconds_before: i64) -> String {
    let when = if seconds_before < 0 {
        "after"
    } else {
        "before"
    };
    format!("{} s {when}", seconds_before.unsigned_abs())
}
