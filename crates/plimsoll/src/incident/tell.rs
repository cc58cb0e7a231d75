//! An incident told: for whoever works on it, and as a draft of the review after it.

use std::fmt::Write as _;

use plimsoll_core::Timestamp;
use plimsoll_measure::{Act, ChangeView, Incident, OnsetView, SplitView, SuspectView, figure};
use plimsoll_store::Record;
use serde_json::Value;

use super::story::Story;
use crate::governing::{how_long_before, suspected};
use crate::journal::line::{line, said, second};
use crate::status::look::{Look, Tone, clean};

/// What is shown of suspects and of places with failures.
const SHOWN_MAX: usize = 5;
/// Earlier incidents that are named.
const LIKE_MAX: usize = 3;

/// A record's body; what can't be read is nothing.
fn body(record: &Record) -> Value {
    serde_json::from_slice(&record.entry.body).unwrap_or(Value::Null)
}

/// One line of a list.
pub(super) fn listed(incident: &Incident, now: Timestamp, look: Look) -> String {
    let id = format!("#{}", incident.id);
    let at = utc(incident.called);
    let lasts = lasts(incident, now);
    let text = format!(
        "{id:<7} {at}  {:<20} {lasts:<16} {}",
        clean(&incident.service),
        clean(&format!("{}{}", incident.about(), state(incident, now)))
    );
    match incident.ended {
        None => look.paint(Tone::Strong, &look.cut(&look.text(&text))),
        Some(_) => look.cut(&look.text(&text)),
    }
}

/// What people did about it, in short.
fn state(incident: &Incident, now: Timestamp) -> String {
    let mut said = String::new();
    if let Some(into) = incident.group {
        let _infallible = write!(said, "; belongs to #{into}");
    }
    if let Some(it) = &incident.resolved {
        let _infallible = write!(said, "; {} resolved it", it.by);
    }
    if !incident.is_open() {
        return said;
    }
    if let Some(to) = &incident.handed_over_to {
        let _infallible = write!(said, "; with {to}");
    }
    match &incident.acknowledged {
        Some(it) => {
            let _infallible = write!(said, "; {} works on it", it.by);
        }
        None => said.push_str("; nobody has acknowledged it"),
    }
    if incident.is_silent(now) {
        said.push_str("; silent");
    }
    said
}

/// All that is known of it.
pub(super) fn shown(story: &Story<'_>, now: Timestamp, look: Look) -> String {
    let (incident, records) = (story.incident, story.records.as_slice());
    let title = format!("incident #{}: {}", incident.id, clean(&incident.service));
    let mut out = format!("{}\n", look.paint(Tone::Strong, &look.text(&title)));
    let mut say = |text: &str| {
        out.push_str(look.text(text).trim_end());
        out.push('\n');
    };
    say(&format!(
        "  {}, called {}",
        lasts(incident, now),
        utc(incident.called)
    ));
    say(&format!("  about   {}", clean(&incident.about())));
    say(&format!("  budget  {}", budget(incident)));
    let state = state(incident, now);
    if let Some(state) = state.strip_prefix("; ") {
        say(&format!("  state   {}", clean(state)));
    }
    for suspect in suspects(incident, records) {
        say(&format!("  suspect {}", clean(&suspect)));
    }
    for place in places(incident, records) {
        say(&format!("  where   {}", clean(&place)));
    }
    let [even, unseen] = looked_at(incident, records);
    for it in even {
        say(&format!("  even    {}", clean(&it)));
    }
    for it in unseen {
        say(&format!("  unseen  {}", clean(&it)));
    }
    for (at, what) in acts(records) {
        say(&format!(
            "  acted   {} {}",
            figure::clock(at, 8),
            clean(&what)
        ));
    }
    for act in &incident.acts {
        say(&format!(
            "  people  {} {}",
            figure::clock(act.at, 8),
            clean(&did(act))
        ));
    }
    for it in story.known.like(incident).take(LIKE_MAX) {
        say(&format!("  before  {}", clean(&before(it))));
    }
    out.push('\n');
    for record in records {
        out.push_str(&line(record, look));
    }
    for text in left_out(story) {
        out.push_str(look.text(&text).trim_end());
        out.push('\n');
    }
    out
}

/// A draft of the post-incident review, in Markdown: what is known is filled in, the rest is asked for.
pub(super) fn review(story: &Story<'_>, now: Timestamp) -> String {
    let (incident, records) = (story.incident, story.records.as_slice());
    let service = markdown(&incident.service);
    let mut out = format!("# Review: {service}, {}\n\n", utc(incident.called));
    let ended = match incident.ended {
        Some(ended) => utc(ended),
        None => "not yet".to_owned(),
    };
    let mut row = |name: &str, value: &str| {
        let _infallible = writeln!(out, "| {name} | {value} |");
    };
    row("incident", &format!("#{} of the journal", incident.id));
    row("---", "---");
    row("service", &service);
    row("about", &markdown(&incident.about()));
    row("first bad", &first_bad(incident, records));
    row("called", &utc(incident.called));
    if let Some(it) = &incident.acknowledged {
        let (by, after) = (markdown(&it.by), lasting(incident.called, it.at));
        row("acknowledged", &format!("by {by}, {after} after the call"));
    }
    row("ended", &ended);
    if let Some(it) = &incident.resolved {
        let text = format!("by {}: {}", markdown(&it.by), markdown(&it.why));
        row("resolved", &text);
    }
    if let Some(into) = incident.group {
        row("belongs to", &format!("#{into}"));
    }
    let until = incident.ended.unwrap_or(now);
    row("lasted", &lasting(incident.called, until));
    row("budget", &budget(incident));
    out.push_str("\n## Summary\n\n(In two sentences: what users saw, and why.)\n\n## Impact\n\n");
    let _infallible = writeln!(out, "- Budget: {}.", budget(incident));
    for place in places(incident, records) {
        let _infallible = writeln!(out, "- {}.", markdown(&place));
    }
    out.push_str("- (Who noticed, and how?)\n\n## Contributing causes\n\n");
    let suspects = suspects(incident, records);
    for suspect in &suspects {
        let _infallible = writeln!(out, "- {} (was it?)", markdown(suspect));
    }
    if suspects.is_empty() {
        out.push_str("- Nothing that Plimsoll knows of was changed before. (What else was?)\n");
    }
    let words = ["Looked at, and even", "Could not be looked at"];
    for (what, all) in words.iter().zip(looked_at(incident, records)) {
        if !all.is_empty() {
            let _infallible = writeln!(out, "- {what}: {}.", markdown(&all.join("; ")));
        }
    }
    let mut like = story.known.like(incident).take(LIKE_MAX).peekable();
    if like.peek().is_some() {
        out.push_str("\n## Seen before\n\n");
        for it in like {
            let _infallible = writeln!(
                out,
                "- {} (what came of its follow-ups?)",
                markdown(&before(it))
            );
        }
    }
    out.push_str("\n## What acted\n\n");
    let acts = acts(records);
    for (at, what) in &acts {
        let _infallible = writeln!(out, "- {} {}", figure::clock(*at, 8), markdown(what));
    }
    if acts.is_empty() {
        out.push_str("- Nothing was moved.\n");
    }
    out.push_str("\n## What people did\n\n");
    for act in &incident.acts {
        let said = markdown(&did(act));
        let _infallible = writeln!(out, "- {} {said}", figure::clock(act.at, 8));
    }
    if incident.acts.is_empty() {
        out.push_str("- Nothing is written down. (Who did what?)\n");
    }
    out.push_str("\n## Timeline\n\n| UTC | what | record |\n|---|---|---|\n");
    for record in records {
        let what = said(&record.entry.kind, &record.entry.body);
        let _infallible = writeln!(
            out,
            "| {} | {}: {} | #{} |",
            figure::clock(record.entry.at, 8),
            markdown(&record.entry.subject),
            markdown(&what),
            record.sequence
        );
    }
    for text in left_out(story) {
        let _infallible = writeln!(out, "\n{text}: `plimsoll journal list` has them.");
    }
    out.push_str(
        "\n## Follow-ups\n\n| what | owner | due |\n|---|---|---|\n| (What would have kept this from users?) | | |\n| (What would have shown it sooner?) | | |\n",
    );
    out
}

/// Where there are more records than were read.
fn left_out(story: &Story<'_>) -> impl Iterator<Item = String> {
    let all = story.left_out.iter();
    all.map(|(from, until)| {
        let (from, until) = (utc(*from), utc(*until));
        format!("Not all records between {from} and {until} are here")
    })
}

fn did(act: &Act) -> String {
    format!("{} {}", act.by, act.says())
}

/// An earlier one, in a line.
fn before(incident: &Incident) -> String {
    let ended = incident.ended.unwrap_or(incident.called);
    let mut said = format!(
        "#{}, {}, lasted {}, {}",
        incident.id,
        utc(incident.called),
        lasting(incident.called, ended),
        incident.about()
    );
    if let Some(suspect) = &incident.suspect {
        let _infallible = write!(said, ": {suspect}");
    }
    said
}

fn lasts(incident: &Incident, now: Timestamp) -> String {
    let until = incident.ended.unwrap_or(now);
    let lasts = lasting(incident.called, until);
    match incident.ended {
        Some(_) => format!("lasted {lasts}"),
        None => format!("open for {lasts}"),
    }
}

fn lasting(from: Timestamp, until: Timestamp) -> String {
    figure::duration(until.since(from).as_secs_f64())
}

fn budget(incident: &Incident) -> String {
    let (before, after) = incident.budget_left;
    let left = |left: Option<f64>| figure::budget_left(left, " ");
    match incident.ended {
        Some(_) => format!(
            "{} left at the call, {} at the end",
            left(before),
            left(after)
        ),
        None => format!("{} left at the call", left(before)),
    }
}

/// The newest estimate of when it began: that of the first call, as others may have followed it.
fn onset(incident: &Incident, records: &[Record]) -> Option<OnsetView> {
    let onsets = records.iter().rev().filter(|it| it.entry.kind == "onset");
    let mut read = onsets.filter_map(|it| {
        let onset = body(it).get("onset")?.clone();
        serde_json::from_value(onset).ok()
    });
    let first = &incident.calls.first()?.objective;
    read.find(|it: &OnsetView| it.objective == *first && incident.may_have_begun(it.at))
}

fn first_bad(incident: &Incident, records: &[Record]) -> String {
    let Some(onset) = onset(incident, records) else {
        return "not found".to_owned();
    };
    let clock = |at| figure::clock(at, 8);
    let (earliest, latest) = (clock(onset.earliest), clock(onset.latest));
    format!("{}, give or take: {earliest} to {latest}", utc(onset.at))
}

/// What may have caused it, the likeliest first. Records of before suspects were ranked have changes only.
fn suspects(incident: &Incident, records: &[Record]) -> Vec<String> {
    let Some(onset) = onset(incident, records) else {
        return Vec::new();
    };
    if onset.suspects.is_empty() {
        let suspect =
            |change: &ChangeView| format!("{} it began: {}", how_long_before(change), change.what);
        return onset.changes.iter().map(suspect).take(SHOWN_MAX).collect();
    }
    let suspect = |it: &SuspectView| {
        let evidence: Vec<&str> = it.evidence.iter().map(|it| it.says.as_str()).collect();
        format!("{} ({})", suspected(it, &onset), evidence.join("; "))
    };
    onset.suspects.iter().map(suspect).take(SHOWN_MAX).collect()
}

/// What was looked at and is even, and what could not be looked at.
fn looked_at(incident: &Incident, records: &[Record]) -> [Vec<String>; 2] {
    onset(incident, records).map_or_else(Default::default, |it| [it.even, it.unseen])
}

/// Where more failures were than requests.
fn places(incident: &Incident, records: &[Record]) -> Vec<String> {
    let split = onset(incident, records).map_or(Vec::new(), |it| it.split);
    let place = |place: &SplitView| {
        let share = |share| figure::percent(Some(share), " ");
        let (of_bad, of_all) = (share(place.of_bad), share(place.of_requests));
        let (kind, name) = (&place.kind, &place.name);
        format!("{kind} {name} had {of_bad} of the failures and {of_all} of the requests")
    };
    let more = split.iter().filter(|it| it.of_bad > it.of_requests);
    more.map(place).take(SHOWN_MAX).collect()
}

/// What was moved, each with what came of it where that is known.
fn acts(records: &[Record]) -> Vec<(Timestamp, String)> {
    let decisions = records.iter().filter(|it| it.entry.kind == "decision");
    let moved = decisions.filter(|it| {
        let body = body(it);
        body.pointer("/decision/what").and_then(Value::as_str) == Some("move")
    });
    let act = |record: &Record| {
        let mut text = said(&record.entry.kind, &record.entry.body);
        let mut outcomes = records.iter().filter(|it| {
            it.entry.kind == "outcome"
                && it.entry.cites == Some(record.sequence)
                && it.writer == record.writer
        });
        if let Some(outcome) = outcomes.next() {
            let came = said(&outcome.entry.kind, &outcome.entry.body);
            text.push_str(&format!("; {came}"));
        }
        (record.entry.at, text)
    };
    moved.map(act).collect()
}

fn utc(at: Timestamp) -> String {
    format!("{} UTC", second(at))
}

/// Text that is no markup in a table of Markdown.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in clean(text).chars() {
        if matches!(
            character,
            '\\' | '|' | '<' | '>' | '&' | '*' | '_' | '`' | '[' | ']' | '#'
        ) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use plimsoll_measure::{IncidentRecord, Incidents};
    use plimsoll_store::{Entry, Hash};

    use super::*;

    /// A record at a second, of which only this is known.
    fn record(
        sequence: u64,
        at: u64,
        kind: &str,
        subject: &str,
        cites: Option<u64>,
        body: &Value,
    ) -> Record {
        let entry = Entry {
            at: Timestamp::from_seconds(1_795_615_852 + at),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            cites,
            body: body.to_string().into_bytes(),
        };
        Record::following("a", sequence, Hash::ZERO, entry)
    }

    /// What a decision leaves.
    fn decided(
        sequence: u64,
        at: u64,
        service: &str,
        what: &str,
        objective: &str,
        left: f64,
    ) -> Record {
        let evidence = json!({ "objective": objective, "budget_left": left });
        let body = json!({
            "text": format!("{what} for {objective}"),
            "decision": { "what": what, "urgency": "page", "evidence": evidence },
        });
        let subject = format!("service/{service}");
        record(sequence, at, "decision", &subject, None, &body)
    }

    fn known(records: &[Record]) -> Incidents {
        Incidents::of(records.iter().map(|it| IncidentRecord {
            sequence: it.sequence,
            at: it.entry.at,
            kind: &it.entry.kind,
            subject: &it.entry.subject,
            body: &it.entry.body,
        }))
    }

    /// Has the incident of the records told.
    fn told<T>(records: Vec<Record>, id: u64, tell: impl Fn(&Story<'_>) -> T) -> T {
        let known = known(&records);
        let incident = known.get(id).unwrap();
        tell(&Story {
            incident,
            known: &known,
            records,
            left_out: Vec::new(),
        })
    }

    /// A bad change, a page, a step that helped, and the end.
    fn story() -> Vec<Record> {
        let subject = "service/shop";
        let onset = json!({
            "text": "latency has burnt since then",
            "onset": {
                "objective": "latency",
                "at": "2026-11-25T14:11:00.000Z",
                "earliest": "2026-11-25T14:10:58.000Z",
                "latest": "2026-11-25T14:11:01.000Z",
                "changes": [{
                    "at": "2026-11-25T14:10:57.000Z",
                    "what": "configuration b | <b> in force",
                    "within": true,
                    "seconds_before": 3,
                }],
                "split": [
                    { "kind": "endpoint", "name": "http://b:1", "of_bad": 0.98, "of_requests": 0.5 },
                    { "kind": "endpoint", "name": "http://a:1", "of_bad": 0.02, "of_requests": 0.5 },
                ],
            },
        });
        let moved = json!({ "text": "no retries", "decision": { "what": "move" } });
        vec![
            record(
                1,
                5,
                "change",
                "configuration",
                None,
                &json!({ "text": "configuration b in force" }),
            ),
            decided(2, 30, "shop", "page", "latency", 0.8),
            record(3, 31, "onset", subject, None, &onset),
            record(4, 32, "decision", subject, None, &moved),
            record(
                5,
                60,
                "outcome",
                subject,
                Some(4),
                &json!({ "text": "bad 40% → 2%" }),
            ),
            record(
                6,
                90,
                "incident",
                "incident/2",
                Some(2),
                &json!({ "text": "ana noted: it is <b>", "what": "note", "by": "ana", "note": "it is\n<b>" }),
            ),
            record(
                7,
                95,
                "incident",
                "incident/2",
                Some(2),
                &json!({ "text": "ana acknowledged it", "what": "acknowledge", "by": "ana" }),
            ),
            decided(8, 4_000, "shop", "resolved", "latency", 0.7),
        ]
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_615_852 + 5_000)
    }

    #[test]
    fn an_incident_is_told_with_suspects_and_what_acted() {
        let shown = told(story(), 2, |story| shown(story, now(), Look::plain(120)));
        insta::assert_snapshot!(shown, @r"
        incident #2: shop
          lasted 1h 6m, called 2026-11-25 14:11:22 UTC
          about   latency (page)
          budget  80 % left at the call, 70 % at the end
          suspect 3 s before it began: configuration b | <b> in force
          where   endpoint http://b:1 had 98.0 % of the failures and 50.0 % of the requests
          acted   14:11:24 no retries; bad 40% → 2%
          people  14:12:22 ana noted: it is <b>
          people  14:12:27 ana acknowledged it

        2026-11-25 14:10:57  configuration             configuration b in force  #1
        2026-11-25 14:11:22  service/shop              page for latency  #2
        2026-11-25 14:11:23  service/shop              latency has burnt since then  #3
        2026-11-25 14:11:24  service/shop              no retries  #4
        2026-11-25 14:11:52  service/shop              bad 40% → 2%  #5, of #4
        2026-11-25 14:12:22  incident/2                ana noted: it is <b>  #6, of #2
        2026-11-25 14:12:27  incident/2                ana acknowledged it  #7, of #2
        2026-11-25 15:17:32  service/shop              resolved for latency  #8
        ");
    }

    #[test]
    fn a_review_has_what_is_known_and_asks_for_the_rest() {
        let review = told(story(), 2, |story| review(story, now()));
        insta::assert_snapshot!(review, @r"
        # Review: shop, 2026-11-25 14:11:22 UTC

        | incident | #2 of the journal |
        | --- | --- |
        | service | shop |
        | about | latency (page) |
        | first bad | 2026-11-25 14:11:00 UTC, give or take: 14:10:58 to 14:11:01 |
        | called | 2026-11-25 14:11:22 UTC |
        | acknowledged | by ana, 1m 5s after the call |
        | ended | 2026-11-25 15:17:32 UTC |
        | lasted | 1h 6m |
        | budget | 80 % left at the call, 70 % at the end |

        ## Summary

        (In two sentences: what users saw, and why.)

        ## Impact

        - Budget: 80 % left at the call, 70 % at the end.
        - endpoint http://b:1 had 98.0 % of the failures and 50.0 % of the requests.
        - (Who noticed, and how?)

        ## Contributing causes

        - 3 s before it began: configuration b \| \<b\> in force (was it?)

        ## What acted

        - 14:11:24 no retries; bad 40% → 2%

        ## What people did

        - 14:12:22 ana noted: it is \<b\>
        - 14:12:27 ana acknowledged it

        ## Timeline

        | UTC | what | record |
        |---|---|---|
        | 14:10:57 | configuration: configuration b in force | #1 |
        | 14:11:22 | service/shop: page for latency | #2 |
        | 14:11:23 | service/shop: latency has burnt since then | #3 |
        | 14:11:24 | service/shop: no retries | #4 |
        | 14:11:52 | service/shop: bad 40% → 2% | #5 |
        | 14:12:22 | incident/2: ana noted: it is \<b\> | #6 |
        | 14:12:27 | incident/2: ana acknowledged it | #7 |
        | 15:17:32 | service/shop: resolved for latency | #8 |

        ## Follow-ups

        | what | owner | due |
        |---|---|---|
        | (What would have kept this from users?) | | |
        | (What would have shown it sooner?) | | |
        ");
    }

    #[test]
    fn an_open_one_says_who_works_on_it_and_what_is_like_it() {
        let mut records = story();
        records.push(decided(9, 4_500, "shop", "page", "latency", 0.6));
        let (listed, review) = told(records, 9, |story| {
            let listed = listed(story.incident, now(), Look::plain(160));
            (listed, review(story, now()))
        });
        assert!(
            listed.ends_with("latency (page); nobody has acknowledged it"),
            "{listed}"
        );
        let before =
            "- \\#2, 2026-11-25 14:11:22 UTC, lasted 1h 6m, latency (page): configuration b";
        assert!(review.contains(before), "{review}");
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let records = vec![decided(1, 0, "shop\x1b[2J", "page", "latency", 0.8)];
        let look = Look::plain(100);
        let (shown, review) = told(records, 1, |story| {
            let listed = listed(story.incident, now(), look);
            (shown(story, now(), look) + &listed, review(story, now()))
        });
        assert!(
            !shown.contains('\x1b') && !shown.contains("suspect"),
            "{shown}"
        );
        assert!(review.contains("| first bad | not found |"), "{review}");
        assert!(review.contains("Nothing was moved"), "{review}");
        assert!(!review.contains('\x1b'), "{review}");
    }
}
