//! "What changed?": what may have caused it, the likeliest first, each with its evidence; what is even, and what could not be
//! looked at.
//!
//! Read from the journal with tolerance: a record of another version may say more or less.

use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Incident, figure, wire};
use serde_json::Value;

use super::View;
use crate::page::parts::time;
use crate::page::record::Record;

/// Suspects and places that are shown.
const SHOWN_MAX: usize = 6;
/// Sentences of what is even or could not be looked at.
const SENTENCES_MAX: usize = 12;

/// What is known of when it began, and why.
pub(super) struct Onset {
    at: Timestamp,
    earliest: Timestamp,
    latest: Timestamp,
    pub(super) suspects: Vec<Suspect>,
    places: Vec<Where>,
    even: Vec<String>,
    unseen: Vec<String>,
    /// The path of its record.
    record: String,
}

/// Something that may be the cause.
pub(super) struct Suspect {
    pub(super) what: String,
    /// How likely it is: `very likely`, `possible`, `unlikely`, `follows 1`.
    word: String,
    at: Option<Timestamp>,
    /// The kind of each, and what it says.
    evidence: Vec<(String, String)>,
    /// Bad shares inside what it is about, and outside.
    sides: Option<(f64, f64)>,
}

/// A part of the failures.
pub(super) struct Where {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) of_bad: f64,
    pub(super) of_requests: f64,
}

impl Onset {
    /// The newest that the records have of what was called for first.
    pub(super) fn of(incident: &Incident, records: &[Record]) -> Option<Self> {
        let objective = incident.calls.first().map(|it| it.objective.as_str());
        let is_it = |it: &&Record| {
            let of = it.body.pointer("/onset/objective").and_then(Value::as_str);
            let at = it.body.pointer("/onset/at");
            let at = at.and_then(|at| wire::deserialize(at).ok());
            it.kind == "onset"
                && of == objective
                && at.is_some_and(|at| incident.may_have_begun(at))
        };
        let record = records.iter().rev().find(is_it)?;
        let onset = record.body.get("onset")?;
        let at = |key: &str| wire::deserialize(onset.get(key)?).ok();
        let list = |key: &str| {
            let all = onset.get(key).and_then(Value::as_array);
            all.map_or(&[] as &[Value], Vec::as_slice).iter()
        };
        let sentences = |key: &str| {
            let all = list(key).filter_map(Value::as_str);
            all.map(str::to_owned).take(SENTENCES_MAX).collect()
        };
        let ranked: Vec<Suspect> = list("suspects").filter_map(Suspect::ranked).collect();
        let suspects = match ranked.is_empty() {
            true => list("changes").filter_map(Suspect::change).collect(),
            false => ranked,
        };
        Some(Self {
            at: at("at")?,
            earliest: at("earliest")?,
            latest: at("latest")?,
            suspects,
            places: list("split").filter_map(Where::of).collect(),
            even: sentences("even"),
            unseen: sentences("unseen"),
            record: record.path(),
        })
    }

    /// Where far more of the failures are than of the requests.
    pub(super) fn worst_place(&self) -> Option<&Where> {
        const FAR: f64 = 1.5;
        let mut places = self.places.iter();
        places.find(|it| it.of_bad > 0.5 && it.of_bad > FAR * it.of_requests)
    }
}

impl Suspect {
    fn ranked(suspect: &Value) -> Option<Self> {
        let text = |key: &str| suspect.get(key).and_then(Value::as_str);
        let word = text("strength").unwrap_or("possible").replace('-', " ");
        let follows = suspect.get("follows").and_then(Value::as_u64);
        let pieces = suspect.get("evidence").and_then(Value::as_array);
        let piece = |it: &Value| {
            let text = |key: &str| it.get(key).and_then(Value::as_str).map(str::to_owned);
            Some((text("kind")?, text("says")?))
        };
        let count = |key: &str| suspect.get("split")?.get(key)?.as_f64();
        let share = |bad: &str, all: &str| {
            let (bad, all) = (count(bad)?, count(all)?);
            (all > 0.0).then_some(bad / all)
        };
        Some(Self {
            what: text("what")?.to_owned(),
            word: match follows {
                Some(rank) => format!("follows {rank}"),
                None => word,
            },
            at: suspect.get("at").and_then(|at| wire::deserialize(at).ok()),
            evidence: pieces.into_iter().flatten().filter_map(piece).collect(),
            sides: share("inside_bad", "inside").zip(share("outside_bad", "outside")),
        })
    }

    /// Of a record that only has changes by their times.
    fn change(change: &Value) -> Option<Self> {
        let is_within = change.get("within").and_then(Value::as_bool);
        let before = change.get("seconds_before").and_then(Value::as_i64);
        let time = before.map(|seconds| {
            let distance = figure::duration(seconds.unsigned_abs() as f64);
            match seconds < 0 {
                true => format!("{distance} after the likeliest second of the onset"),
                false => format!("{distance} before the onset"),
            }
        });
        Some(Self {
            what: change.get("what")?.as_str()?.to_owned(),
            word: match is_within {
                Some(true) => "possible".to_owned(),
                _ => "unlikely".to_owned(),
            },
            at: change.get("at").and_then(|at| wire::deserialize(at).ok()),
            evidence: time.map(|it| ("time".to_owned(), it)).into_iter().collect(),
            sides: None,
        })
    }

    /// Whether it is worth to be acted on.
    pub(super) fn is_likely(&self) -> bool {
        ["very likely", "possible"].contains(&self.word.as_str())
    }

    pub(super) fn evidence_of(&self, kind: &str) -> Option<&str> {
        let mut all = self.evidence.iter();
        all.find(|(of, _)| of == kind)
            .map(|(_, says)| says.as_str())
    }
}

impl Where {
    fn of(place: &Value) -> Option<Self> {
        let text = |key: &str| place.get(key)?.as_str().map(str::to_owned);
        let share = |key: &str| place.get(key)?.as_f64();
        Some(Self {
            kind: text("kind")?,
            name: text("name")?,
            of_bad: share("of_bad")?,
            of_requests: share("of_requests")?,
        })
    }
}

pub(super) fn changed(view: &View<'_>) -> Markup {
    let onset = view.onset.as_ref();
    let count = onset.map_or(0, |it| it.suspects.len());
    html! {
        section.panel aria-labelledby="changed-title" {
            div.head {
                h2 #changed-title { "What changed?" }
                span.end.s.q { @match count { 0 => "no suspect", 1 => "1 suspect", count => { (count) " suspects, the likeliest first" } } }
            }
            @match onset {
                Some(onset) => (found(onset)),
                None => { div.sus { p.q { (nothing(view)) } } }
            }
            (super::seen_before(view))
        }
    }
}

fn nothing(view: &View<'_>) -> &'static str {
    let is_absence = view
        .incident
        .calls
        .first()
        .is_some_and(|it| it.is_absence());
    match (view.failed.is_some(), is_absence) {
        (true, _) => "The journal can't be read now: what changed is not known.",
        (false, true) => {
            "No onset is looked for where requests stay away: what comes to Plimsoll is decided elsewhere. Look at what stands before it."
        }
        (false, false) => {
            "When it began is not found: it is looked for at the call and once more a minute later."
        }
    }
}

fn found(onset: &Onset) -> Markup {
    html! {
        div.sus {
            p.s.q {
                "It began at " b { (time(onset.at)) } ", " (time(onset.earliest)) " to " (time(onset.latest)) ", found by change point ("
                a href=(onset.record) { "record" } ")."
            }
            @if onset.suspects.is_empty() { p { "Nothing that Plimsoll knows of was changed before it began." } }
        }
        ol {
            @for (place, suspect) in onset.suspects.iter().take(SHOWN_MAX).enumerate() {
                li class=(if place == 0 && suspect.is_likely() { "sus first" } else { "sus" }) { (drawn(place + 1, suspect)) }
            }
        }
        @if !onset.places.is_empty() {
            div.sus {
                h3 { "Where the failures are" }
                ul.ruled.s.q {
                    @for place in onset.places.iter().take(SHOWN_MAX) {
                        li {
                            @if place.of_bad > place.of_requests { (glyph("#c-burning")) } @else { (glyph("#c-healthy")) }
                            span { (place.kind) " " code { (place.name) } ": " (figure::percent(Some(place.of_bad), " ")) " of what fails, " (figure::percent(Some(place.of_requests), " ")) " of the requests" }
                        }
                    }
                }
            }
        }
        @if !onset.even.is_empty() || !onset.unseen.is_empty() {
            div.sus {
                h3 { "Looked at and even" }
                ul.ruled.s.q {
                    @for it in &onset.even { li { (glyph("#c-healthy")) span { (it) } } }
                    @for it in &onset.unseen { li { (glyph("#c-unknown")) span { "not looked at: " (it) } } }
                }
            }
        }
    }
}

fn glyph(symbol: &str) -> Markup {
    html! { svg.g aria-hidden="true" { use href=(symbol) {} } }
}

fn drawn(rank: usize, suspect: &Suspect) -> Markup {
    let is_first = rank == 1 && suspect.is_likely();
    html! {
        div.rank {
            b class=[(!is_first).then_some("q")] { (rank) }
            span { b { (suspect.what) } @if let Some(at) = suspect.at { br; span.s.q { (time(at)) " UTC" } } }
            span class=(if is_first { "b tone severe n" } else { "q n" }) { (suspect.word) }
        }
        @if !suspect.evidence.is_empty() || suspect.sides.is_some() {
            dl.ev {
                @if let Some((inside, outside)) = suspect.sides { dt { "Split" } dd { (sides(inside, outside)) @if let Some(says) = suspect.evidence_of("split") { span.s.q { (says) } } } }
                @for (kind, says) in &suspect.evidence {
                    @if kind != "split" || suspect.sides.is_none() { dt { (named(kind)) } dd { (says) } }
                }
            }
        }
    }
}

fn named(kind: &str) -> String {
    let mut letters = kind.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Two bars: bad shares with it and without it.
fn sides(inside: f64, outside: f64) -> Markup {
    let most = inside.max(outside).max(f64::MIN_POSITIVE);
    let width = |share: f64| format!("{:.1}%", (44.0 * share / most).max(0.3));
    let end = |share: f64| format!("{:.1}%", 34.0 + (44.0 * share / most).max(0.3));
    let said = |share: f64| figure::percent(Some(share), " ");
    let finding = format!(
        "bad share with it {}, without it {}",
        said(inside),
        said(outside)
    );
    html! {
        svg.split role="img" aria-label=(finding) {
            text.i2 x="0" y="12" { "with it" }
            rect x="34%" y="3" width=(width(inside)) height="11" fill="var(--cause-timeout)" {}
            text.i x=(end(inside)) dx="6" y="13" { (said(inside)) }
            text.i2 x="0" y="32" { "without it" }
            rect x="34%" y="23" width=(width(outside)) height="11" fill="var(--sea)" {}
            text.i x=(end(outside)) dx="6" y="33" { (said(outside)) }
        }
    }
}
