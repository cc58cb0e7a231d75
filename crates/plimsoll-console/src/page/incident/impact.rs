//! What an incident cost, in figures; each with what it is of and over which time.

use std::time::Duration;

use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::figure;

use super::View;
use crate::page::parts::{since, unknown};

/// A name, a figure, and what it is of.
type Figure = (&'static str, String, String);

pub(super) fn figures(view: &View<'_>) -> Markup {
    let figures = [
        lasted(view),
        budget(view),
        bad(view),
        first_decision(view),
        acknowledged(view),
        without(view),
    ];
    html! {
        dl.panel.impact {
            @for (name, figure, of) in figures { div { dt { (name) } dd { (figure) } dd { (of) } } }
        }
    }
}

fn began(view: &View<'_>) -> Timestamp {
    view.incident.began.unwrap_or(view.incident.called)
}

fn seconds(lasts: Duration) -> String {
    figure::duration(lasts.as_secs_f64())
}

fn lasted(view: &View<'_>) -> Figure {
    let (incident, now) = (view.incident, view.sight.snapshot.now);
    let began = began(view);
    let until = incident.ended.unwrap_or(now);
    let name = match (incident.is_open(), incident.began) {
        (true, Some(_)) => "Since onset",
        (true, None) => "Since the call",
        (false, Some(_)) => "From onset to end",
        (false, None) => "From call to end",
    };
    let called = seconds(incident.called.since(began));
    let of = match incident.began {
        Some(_) => format!("{} UTC; called {called} after it", since(began, now)),
        None => format!("{} UTC; the onset was not found", since(began, now)),
    };
    (name, seconds(until.since(began)), of)
}

fn budget(view: &View<'_>) -> Figure {
    let incident = view.incident;
    let objective = incident.calls.first().map(|it| it.objective.as_str());
    let objective = objective.unwrap_or_default();
    let now = match incident.is_open() {
        true => view.service.and_then(|service| {
            let mut all = service.objectives.iter();
            all.find(|it| it.name == objective)?.budget_left
        }),
        false => incident.budget_left.1,
    };
    let spent = incident.budget_left.0.zip(now);
    let spent = spent.map(|(before, now)| (before - now).max(0.0));
    let left = figure::budget_left(now, " ");
    let of = format!("of {objective} since the call; {} left", unknown(left));
    ("Budget spent", unknown(figure::percent(spent, " ")), of)
}

fn bad(view: &View<'_>) -> Figure {
    const NAME: &str = "Bad answers";
    let incident = view.incident;
    let (from, until) = (
        began(view).as_seconds(),
        incident
            .ended
            .unwrap_or(view.sight.snapshot.now)
            .as_seconds(),
    );
    let steps = view.sight.steps.iter();
    let mine: Vec<_> = steps
        .filter(|it| it.start + it.observed.as_secs() >= from && it.start <= until)
        .collect();
    let Some(first) = mine.first() else {
        return (
            NAME,
            "unknown".to_owned(),
            "memory has the last hour".to_owned(),
        );
    };
    let (bad, all) = mine
        .iter()
        .fold((0, 0), |(bad, all), it| (bad + it.bad, all + it.requests));
    let traffic = view.service.map(|it| &it.traffic);
    let rate = traffic.and_then(|it| Some(it.bad_share? * it.requests_per_second?));
    let mut of = format!("of {}", figure::count(all));
    if first.start > from + 30 {
        let known = Timestamp::from_seconds(first.start);
        of.push_str(&format!(" since {}", figure::clock(known, 5)));
    }
    if incident.is_open() {
        of.push_str(&format!("; now {}/s", figure::rate(rate)));
    }
    (NAME, figure::count(bad), of)
}

/// Of the requests that came; a bad one here is a late one too, so that is said with its own figure.
fn without(view: &View<'_>) -> Figure {
    const NAME: &str = "Without Plimsoll";
    let said = match &view.sight.without {
        None => Err("it is being estimated".to_owned()),
        Some(Err(problem)) => Err(problem.to_string()),
        Some(Ok(answer)) => answer
            .estimate
            .as_ref()
            .ok_or_else(|| answer.unknown.clone().unwrap_or_default()),
    };
    match said {
        Err(why) => (NAME, "unknown".to_owned(), why),
        Ok(it) => (
            NAME,
            format!("≈ {} bad or late", figure::count(it.without)),
            format!(
                "{} to {} of {}, by replay with protections off; with it {}",
                figure::count(it.least),
                figure::count(it.most),
                figure::count(it.requests),
                figure::count(it.bad)
            ),
        ),
    }
}

fn first_decision(view: &View<'_>) -> Figure {
    const NAME: &str = "First decision";
    let began = began(view);
    let after = |what: &str| {
        let mut records = view.records.iter();
        let first = records.find(|it| it.what() == Some(what) && it.at >= began)?;
        Some((first.at.since(began), first.is_would()))
    };
    let onset = match view.incident.began {
        Some(_) => "onset",
        None => "call",
    };
    if view.failed.is_some() {
        return (
            NAME,
            "unknown".to_owned(),
            "the journal can't be read".to_owned(),
        );
    }
    match after("move") {
        Some((lasts, true)) => (
            NAME,
            seconds(lasts),
            format!("after the {onset}; observing, so it was not done"),
        ),
        Some((lasts, false)) => (NAME, seconds(lasts), format!("after the {onset}")),
        None => (NAME, "none".to_owned(), "nothing was moved".to_owned()),
    }
}

fn acknowledged(view: &View<'_>) -> Figure {
    const NAME: &str = "Acknowledged";
    let incident = view.incident;
    match &incident.acknowledged {
        Some(it) => (
            NAME,
            seconds(it.at.since(incident.called)),
            format!("after the call, by {}", it.by),
        ),
        None if incident.group.is_some() => (
            NAME,
            "elsewhere".to_owned(),
            "it belongs to another incident".to_owned(),
        ),
        None if incident.is_open() => (
            NAME,
            "not yet".to_owned(),
            "somebody was called, nobody has said that they look".to_owned(),
        ),
        None => (NAME, "never".to_owned(), "it ended without".to_owned()),
    }
}
