//! `/incidents/ID`: what burns, since when, why, what acts and what to do next, for whoever was called; later for the review.

mod changed;
mod deeds;
mod impact;
mod runbook;
mod timeline;

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_measure::{Deed, Incident, Incidents, ServiceView, figure};

use super::incidents::{lasts, path, stands};
use super::parts::{clock, segment, service_path, shape, since, time, until};
use super::record::Record;
use super::service::around;
use super::{Page, Place, Section, Sight};
use crate::act::review_path;
use crate::command;
use crate::incident::{DeedVerb, DeedWanted};
use crate::problem::Problem;
use changed::Onset;

/// Everything about one incident.
struct View<'a> {
    sight: &'a Sight,
    known: &'a Incidents,
    incident: &'a Incident,
    /// `None`: the configuration has it no more.
    service: Option<&'a ServiceView>,
    /// Those of its time, the oldest first.
    records: Vec<Record>,
    /// Why they can't be read.
    failed: Option<&'a Problem>,
    /// What is known of when it began, and why.
    onset: Option<Onset>,
    /// Whether whoever looks may do something about it; `None`: they only read.
    may: Option<Result<(), Problem>>,
}

pub(super) fn page(id: u64, sight: &Sight) -> Page {
    let known = match &sight.incidents {
        Ok(known) => known.as_ref(),
        Err(problem) => return super::refusal(problem),
    };
    let Some(incident) = known.get(id) else {
        let text = format!(
            "there is no incident #{id}, or it is older than four weeks: the journal may have it still"
        );
        return super::refusal(&Problem::not_found(text));
    };
    let read = sight.told.records.as_ref();
    let records = read.map_or_else(|_| Vec::new(), |it| Record::all(&it.records));
    let mut services = sight.snapshot.services.iter();
    let view = View {
        sight,
        known,
        incident,
        service: services.find(|it| it.name == incident.service),
        onset: Onset::of(incident, &records),
        records,
        failed: read.err(),
        may: deeds::may_act(&sight.snapshot, sight.who.as_ref(), incident),
    };
    let sections = [
        ("bars", bars(&view)),
        ("head", head(&view)),
        ("next", next(&view)),
        ("signals", signals(&view)),
        ("story", story(&view)),
    ];
    let sections = sections.map(|(id, markup)| Section { id, markup });
    Page {
        status: StatusCode::OK,
        title: format!("#{id} {}", incident.service),
        place: Place::Incidents,
        is_live: true,
        sections: sections.into(),
    }
}

/// What holds for all that follows.
fn bars(view: &View<'_>) -> Markup {
    let (incident, now) = (view.incident, view.sight.snapshot.now);
    let mut said: Vec<Markup> = Vec::new();
    if let Some(end) = incident
        .silenced_until
        .filter(|_| incident.is_open() && incident.is_silent(now))
    {
        said.push(html! { "Silent until " (until(end, now)) " UTC: nobody is told of what burnt when that was said. What is new or gets worse is told. Who was told that it began is told its end." });
    }
    if let Some(into) = incident.group {
        said.push(html! { "It belongs to " a href=(path(into)) { "#" (into) } ": the cause is the same, and it is worked on there." });
    }
    let all = view.known.open().chain(view.known.past());
    let mine: Vec<u64> = all
        .filter(|it| it.group == Some(incident.id))
        .map(|it| it.id)
        .take(12)
        .collect();
    if !mine.is_empty() {
        said.push(html! { "By the same cause: " @for (place, id) in mine.iter().enumerate() { @if place > 0 { ", " } a href=(path(*id)) { "#" (id) } } "." });
    }
    if view.service.is_none() {
        said.push(html! { "The service is in no configuration any more." });
    }
    if let Some(failed) = view.failed {
        said.push(html! { (failed) ". What the process keeps in memory is shown; the timeline and the suspects come from the journal." });
    }
    html! {
        @if !said.is_empty() {
            section.panel.pad.warn aria-label="What holds now" { ul { @for said in said { li { (said) } } } }
        }
    }
}

fn head(view: &View<'_>) -> Markup {
    let (incident, now) = (view.incident, view.sight.snapshot.now);
    let stands = stands(&view.sight.snapshot, incident);
    let owner = view.service.and_then(|it| it.owner.as_deref());
    let with = incident.handed_over_to.as_deref().or(owner);
    html! {
        header.cols {
            div.title {
                @if incident.is_open() {
                    span aria-live="polite" { span class={ "cond chip " (stands.name()) } { (shape(stands)) "#" (incident.id) " open" } }
                } @else {
                    span.cond.chip.healthy { (shape(plimsoll_measure::Condition::Healthy)) "#" (incident.id) " ended" }
                }
                h1 { (incident.service) ": " (title(incident)) }
                span.q {
                    (with.unwrap_or("no owner"))
                    @if let Some(by) = handed_over_by(incident) { ", handed over by " (by) }
                    " · "
                    @match &incident.acknowledged {
                        Some(it) => { "acknowledged by " b { (it.by) } " " (time(it.at)) }
                        None if incident.group.is_some() => "worked on as another",
                        None if incident.is_open() => { b.tone.burning { "nobody has acknowledged it" } }
                        None => "nobody acknowledged it",
                    }
                    @if let Some(it) = &incident.resolved { " · resolved by " b { (it.by) } ": " (it.why) }
                    @else if let Some(ended) = incident.ended { " · ended by itself at " (since(ended, now)) " UTC" }
                }
                div.btns {
                    (deeds::buttons(view))
                }
            }
            (deeds::refusal(view))
            (impact::figures(view))
        }
    }
}

/// Who gave it to those who have it.
fn handed_over_by(incident: &Incident) -> Option<&str> {
    let mut acts = incident.acts.iter().rev();
    let act = acts.find(|it| matches!(it.deed, Deed::HandOver { .. }))?;
    Some(&act.by)
}

/// What it is about, as a person would say it.
fn title(incident: &Incident) -> String {
    let Some(first) = incident.calls.first() else {
        return "somebody was called".to_owned();
    };
    let more = incident.calls.iter().skip(1);
    let mut more: Vec<&str> = more
        .map(|it| it.objective.as_str())
        .filter(|it| *it != first.objective)
        .collect();
    more.dedup();
    let also = match more.as_slice() {
        [] => String::new(),
        [one] => format!(" and {one}"),
        many => format!(" and {} more", many.len()),
    };
    match first.is_absence() {
        true => "requests stay away".to_owned(),
        false => format!("{}{also} burns", first.objective),
    }
}

/// The one thing with the largest effect that is to be expected.
fn next(view: &View<'_>) -> Markup {
    let incident = view.incident;
    let Advice {
        what,
        why,
        command,
        button,
    } = advice(view);
    html! {
        section.panel.next aria-labelledby="next-title" {
            div {
                h2 #next-title { @if incident.is_open() { "Do next: " } (what) }
                p.q { (why) }
                @if let Some(command) = command { div.cmd { code { (command) } } }
            }
            @if let Some(button) = button { div.btns { (button) } }
        }
    }
}

/// What to do, why, and how: from a terminal, and from here.
struct Advice {
    what: Markup,
    why: Markup,
    command: Option<String>,
    button: Option<Markup>,
}

impl Advice {
    /// Something that Plimsoll can't do.
    fn look(what: Markup, why: Markup) -> Self {
        Self {
            what,
            why,
            command: None,
            button: None,
        }
    }
}

fn advice(view: &View<'_>) -> Advice {
    let incident = view.incident;
    let id = incident.id;
    let deed = |verb, wanted: &DeedWanted, more: &str| {
        (
            Some(command::act(id, verb, wanted)),
            Some(deeds::next(view, verb, more)),
        )
    };
    if !incident.is_open() {
        return Advice {
            what: html! { "Write the review" },
            why: html! { "A draft has what is known: impact, timeline, suspects, what acted and what people did. It asks for the rest." },
            command: Some(format!("plimsoll incident review {id} > review-{id}.md")),
            button: Some(html! { a.btn.go href=(review_path(id)) { "Draft of the review" } }),
        };
    }
    let governed = view.service.and_then(|it| it.governed.as_ref());
    if let Some(other) = governed.and_then(|it| it.because_of.as_ref()) {
        let mut open = view.known.open();
        let theirs = open.find(|it| it.service == *other).map(|it| it.id);
        let (command, button) = match theirs.filter(|_| incident.group.is_none()) {
            Some(into) => {
                let wanted = DeedWanted {
                    into: Some(into),
                    ..DeedWanted::default()
                };
                deed(DeedVerb::Group, &wanted, &format!("?into={into}"))
            }
            None => (None, None),
        };
        return Advice {
            what: html! { "look at " a href=(theirs.map_or_else(|| service_path(other), path)) { (other) } },
            why: html! { (incident.service) " burns because " (other) " does, which it depends on: what is to be done is done there." @if command.is_some() { " Group the two, so that one person works on both." } },
            command,
            button,
        };
    }
    let onset = view.onset.as_ref();
    if let Some(first) = onset
        .and_then(|it| it.suspects.first())
        .filter(|it| it.is_likely())
    {
        return Advice::look(
            html! { "take back what was changed: " code { (first.what) } },
            html! {
                "It is the first suspect" @if let Some(time) = first.evidence_of("time") { ": " (time) } ". "
                "Expected: the bad share falls to what it was before, and what Plimsoll moved steps back by itself. It does not take back changes of people: nobody told it that it may."
            },
        );
    }
    if let Some(place) = onset.and_then(Onset::worst_place) {
        return Advice::look(
            html! { "look at " (place.kind) " " code { (place.name) } },
            html! { (figure::percent(Some(place.of_bad), " ")) " of what fails is there, and " (figure::percent(Some(place.of_requests), " ")) " of the requests." },
        );
    }
    if incident.acknowledged.is_none() && incident.group.is_none() {
        let (command, button) = deed(DeedVerb::Acknowledge, &DeedWanted::default(), "");
        return Advice {
            what: html! { "say that you work on it" },
            why: html! { "Then nobody is called for the same again, and others see who looks." },
            command,
            button,
        };
    }
    let (command, button) = deed(DeedVerb::Note, &DeedWanted::default(), "");
    Advice {
        what: html! { "follow the runbook" },
        why: html! { "Nothing that Plimsoll knows of was changed before it began, and the failures are spread evenly. Write down what you find." },
        command,
        button,
    }
}

fn signals(view: &View<'_>) -> Markup {
    let Some(service) = view.service else {
        return html! {};
    };
    let incident = view.incident;
    let began = incident.began.unwrap_or(incident.called);
    html! {
        section.panel aria-labelledby="signals-title" {
            div.head {
                h2 #signals-title { "Bad share around it" }
                span.s.q { "letters are changes, numbers are decisions, hatched is what memory has not" }
                span.end.s { a href=(service_path(&incident.service)) { "all signals of " (incident.service) } }
            }
            (around(view.sight, service, began, incident.ended, &view.records))
        }
    }
}

fn story(view: &View<'_>) -> Markup {
    html! {
        div.cols.g3 {
            (timeline::timeline(view))
            div.cols {
                (changed::changed(view))
            }
            (runbook::runbook(view))
        }
    }
}

/// Earlier ones that are like it.
fn seen_before(view: &View<'_>) -> Markup {
    const LIKE_MAX: usize = 3;
    let like: Vec<&Incident> = view.known.like(view.incident).take(LIKE_MAX).collect();
    html! {
        div.sus {
            h3 { "Seen before" }
            @if like.is_empty() { p.s.q { "No incident of this service in the last four weeks was about the same objective or had the same suspect." } }
            @for it in like {
                p.s.q {
                    a href=(path(it.id)) { "#" (it.id) } ", " (clock(it.called).chars().take(16).collect::<String>()) " UTC, "
                    (lasts(it, view.sight.snapshot.now)) ", " (it.about())
                    @if let Some(suspect) = &it.suspect { ": " (suspect) }
                    @if let Some(resolved) = &it.resolved { ". " (resolved.by) " resolved it: " (resolved.why) }
                }
            }
            p.s { a href={ "/decisions?kind=decision&service=" (segment(&view.incident.service)) } { "all decisions about " (view.incident.service) } }
        }
    }
}
