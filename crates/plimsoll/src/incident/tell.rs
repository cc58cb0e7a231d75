//! An incident told: for whoever works on it, and as a draft of the review after it.

use std::fmt::Write as _;

use plimsoll_core::Timestamp;
use plimsoll_measure::{ChangeView, OnsetView, SplitView, figure};
use plimsoll_store::Record;
use serde_json::Value;

use super::story::{Incident, body};
use crate::governing::how_long_before;
use crate::journal::line::{line, said, second};
use crate::status::look::{Look, Tone, clean};

/// What is shown of suspects and of places with failures.
const SHOWN_MAX: usize = 5;

/// One line of a list.
pub(super) fn listed(incident: &Incident, now: Timestamp, look: Look) -> String {
    let id = format!("#{}", incident.id);
    let at = utc(incident.called);
    let lasts = lasts(incident, now);
    let text = format!(
        "{id:<7} {at}  {:<20} {lasts:<16} {}",
        clean(&incident.service),
        clean(&incident.about())
    );
    match incident.ended {
        None => look.paint(Tone::Strong, &look.cut(&look.text(&text))),
        Some(_) => look.cut(&look.text(&text)),
    }
}

/// All that is known of it. `records` are those of its time that it [has](Incident::has), the oldest first.
pub(super) fn shown(incident: &Incident, records: &[Record], now: Timestamp, look: Look) -> String {
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
    for suspect in suspects(records) {
        say(&format!("  suspect {}", clean(&suspect)));
    }
    for place in places(records) {
        say(&format!("  where   {}", clean(&place)));
    }
    for (at, what) in acts(records) {
        say(&format!(
            "  acted   {} {}",
            figure::clock(at, 8),
            clean(&what)
        ));
    }
    out.push('\n');
    for record in records {
        out.push_str(&line(record, look));
    }
    out
}

/// A draft of the post-incident review, in Markdown: what is known is filled in, the rest is asked for.
pub(super) fn review(incident: &Incident, records: &[Record], now: Timestamp) -> String {
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
    row("first bad", &first_bad(records));
    row("called", &utc(incident.called));
    row("ended", &ended);
    let until = incident.ended.unwrap_or(now);
    row("lasted", &lasting(incident.called, until));
    row("budget", &budget(incident));
    out.push_str("\n## Summary\n\n(In two sentences: what users saw, and why.)\n\n## Impact\n\n");
    let _infallible = writeln!(out, "- Budget: {}.", budget(incident));
    for place in places(records) {
        let _infallible = writeln!(out, "- {}.", markdown(&place));
    }
    out.push_str("- (Who noticed, and how?)\n\n## Contributing causes\n\n");
    let suspects = suspects(records);
    for suspect in &suspects {
        let _infallible = writeln!(out, "- {} (was it?)", markdown(suspect));
    }
    if suspects.is_empty() {
        out.push_str("- Nothing that Plimsoll knows of was changed before. (What else was?)\n");
    }
    out.push_str("\n## What acted\n\n");
    let acts = acts(records);
    for (at, what) in &acts {
        let _infallible = writeln!(out, "- {} {}", figure::clock(*at, 8), markdown(what));
    }
    if acts.is_empty() {
        out.push_str("- Nothing was moved.\n");
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
    out.push_str(
        "\n## Follow-ups\n\n| what | owner | due |\n|---|---|---|\n| (What would have kept this from users?) | | |\n| (What would have shown it sooner?) | | |\n",
    );
    out
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

/// The newest estimate of when it began.
fn onset(records: &[Record]) -> Option<OnsetView> {
    let onsets = records.iter().rev().filter(|it| it.entry.kind == "onset");
    let mut read = onsets.filter_map(|it| {
        let onset = body(it).get("onset")?.clone();
        serde_json::from_value(onset).ok()
    });
    read.next()
}

fn first_bad(records: &[Record]) -> String {
    let Some(onset) = onset(records) else {
        return "not found".to_owned();
    };
    let clock = |at| figure::clock(at, 8);
    let (earliest, latest) = (clock(onset.earliest), clock(onset.latest));
    format!("{}, give or take: {earliest} to {latest}", utc(onset.at))
}

/// What was changed shortly before it began, the likeliest first.
fn suspects(records: &[Record]) -> Vec<String> {
    let changes = onset(records).map_or(Vec::new(), |it| it.changes);
    let suspect =
        |change: &ChangeView| format!("{} it began: {}", how_long_before(change), change.what);
    changes.iter().map(suspect).take(SHOWN_MAX).collect()
}

/// Where more failures were than requests.
fn places(records: &[Record]) -> Vec<String> {
    let split = onset(records).map_or(Vec::new(), |it| it.split);
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

    use super::super::story::incidents;
    use super::super::story::tests::{decided, record};
    use super::*;

    /// A bad change, a page, a step that helped, and the end.
    fn story() -> (Incident, Vec<Record>) {
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
        let records = vec![
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
            decided(6, 4_000, "shop", "resolved", "latency", 0.7),
        ];
        let incident = incidents(&records).remove(0);
        (incident, records)
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_615_852 + 5_000)
    }

    #[test]
    fn an_incident_is_told_with_suspects_and_what_acted() {
        let (incident, records) = story();
        let shown = shown(&incident, &records, now(), Look::plain(120));
        insta::assert_snapshot!(shown, @r"
        incident #2: shop
          lasted 1h 6m, called 2026-11-25 14:11:22 UTC
          about   latency (page)
          budget  80 % left at the call, 70 % at the end
          suspect 3 s before it began: configuration b | <b> in force
          where   endpoint http://b:1 had 98.0 % of the failures and 50.0 % of the requests
          acted   14:11:24 no retries; bad 40% → 2%

        2026-11-25 14:10:57  configuration             configuration b in force  #1
        2026-11-25 14:11:22  service/shop              page for latency  #2
        2026-11-25 14:11:23  service/shop              latency has burnt since then  #3
        2026-11-25 14:11:24  service/shop              no retries  #4
        2026-11-25 14:11:52  service/shop              bad 40% → 2%  #5, of #4
        2026-11-25 15:17:32  service/shop              resolved for latency  #6
        ");
    }

    #[test]
    fn a_review_has_what_is_known_and_asks_for_the_rest() {
        let (incident, records) = story();
        insta::assert_snapshot!(review(&incident, &records, now()), @r"
        # Review: shop, 2026-11-25 14:11:22 UTC

        | incident | #2 of the journal |
        | --- | --- |
        | service | shop |
        | about | latency (page) |
        | first bad | 2026-11-25 14:11:00 UTC, give or take: 14:10:58 to 14:11:01 |
        | called | 2026-11-25 14:11:22 UTC |
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

        ## Timeline

        | UTC | what | record |
        |---|---|---|
        | 14:10:57 | configuration: configuration b in force | #1 |
        | 14:11:22 | service/shop: page for latency | #2 |
        | 14:11:23 | service/shop: latency has burnt since then | #3 |
        | 14:11:24 | service/shop: no retries | #4 |
        | 14:11:52 | service/shop: bad 40% → 2% | #5 |
        | 15:17:32 | service/shop: resolved for latency | #6 |

        ## Follow-ups

        | what | owner | due |
        |---|---|---|
        | (What would have kept this from users?) | | |
        | (What would have shown it sooner?) | | |
        ");
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let records = [decided(1, 0, "shop\x1b[2J", "page", "latency", 0.8)];
        let incident = incidents(&records).remove(0);
        let look = Look::plain(100);
        let shown = shown(&incident, &records, now(), look) + &listed(&incident, now(), look);
        assert!(
            !shown.contains('\x1b') && !shown.contains("suspect"),
            "{shown}"
        );
        let review = review(&incident, &records, now());
        assert!(review.contains("| first bad | not found |"), "{review}");
        assert!(review.contains("Nothing was moved"), "{review}");
        assert!(!review.contains('\x1b'), "{review}");
    }
}
