//! What several pages show in the same way.

use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{
    Condition, Mark, ObjectiveView, OverlayView, ServiceView, TrafficView, figure,
};

use crate::access::{Caller, Role};
use crate::act::end_path;
use crate::overlay::Verb;

/// How a service stands: as the governor says, and where nothing is governed as its budget does.
pub(super) fn condition(service: &ServiceView) -> Condition {
    match &service.governed {
        Some(governed) => governed.condition,
        None => match service.mark() {
            Mark::Healthy => Condition::Healthy,
            Mark::Unknown => Condition::Unknown,
            Mark::Burning => Condition::Burning,
            Mark::Exhausted => Condition::Exhausted,
        },
    }
}

/// The most pressing first: what burns fast can still be helped, what is exhausted is known, unknown before healthy.
pub(super) fn urgency(condition: Condition) -> u8 {
    match condition {
        Condition::Severe => 0,
        Condition::Burning => 1,
        Condition::Exhausted => 2,
        Condition::Unknown => 3,
        Condition::Healthy => 4,
    }
}

/// Shape and word, in the colour.
pub(super) fn chip(condition: Condition, more: &str) -> Markup {
    let name = condition.name();
    html! {
        span class={ "cond " (name) " " (more) } {
            (shape(condition)) (name)
        }
    }
}

pub(super) fn shape(condition: Condition) -> Markup {
    html! { svg aria-hidden="true" { use href={ "#c-" (condition.name()) } {} } }
}

/// A link to a service's page.
pub(crate) fn service_path(name: &str) -> String {
    format!("/services/{}", segment(name))
}

/// How the button that ends something is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// `End shed 2…`
    Named,
    /// `End…`, where it stands beside what it ends.
    Short,
}

/// The button that ends early what is held: for whoever may, and disabled for an operator of other services.
pub(super) fn ending(
    entry: &OverlayView,
    who: Option<&Caller>,
    owner: Option<&str>,
    ending: Ending,
) -> Markup {
    let verb: Option<Verb> = entry.verb.parse().ok();
    let (Some(who), Some(verb)) = (who, verb) else {
        return html! {};
    };
    let level = entry.level.map(|level| format!(" {level}"));
    let word = match ending {
        Ending::Named => format!("End {verb}{}…", level.unwrap_or_default()),
        Ending::Short => "End…".to_owned(),
    };
    html! {
        @if who.needs(Role::Operator).is_err() {}
        @else if let Err(problem) = who.may_change(&entry.service, owner) {
            button.btn type="button" disabled title=(problem) { (word) }
        } @else {
            a.btn href=(end_path(&entry.service, Some(verb))) { (word) }
        }
    }
}

/// A text as one segment of a path, or as a value of a query.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The time of day.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (figure::clock(at, 8)) } }
}

/// Date and time, to the second.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (clock(at)) } }
}

/// A day: `27 Oct`.
pub(super) fn day(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, month, day) = at.date();
    let place = usize::try_from(month).unwrap_or(1).saturating_sub(1);
    format!("{day} {}", MONTHS.get(place).unwrap_or(&"?"))
}

/// Date and time, to the second.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_rfc3339().replace('T', " ").chars().take(19).collect()
}

/// A time that is short where it is of the last day.
pub(super) fn since(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() < 86_400 {
        true => figure::clock(at, 5),
        false => clock(at).chars().take(16).collect(),
    }
}

/// A time to come, without the date where it is of today.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> String {
    let text: String = clock(at).chars().take(16).collect();
    match text.get(..10) == clock(now).get(..10) {
        true => figure::clock(at, 5),
        false => text,
    }
}

/// On a page, the word: a lone `?` is easily missed.
pub(super) fn unknown(text: String) -> String {
    match text == figure::UNKNOWN {
        true => "unknown".to_owned(),
        false => text,
    }
}

/// When the budget is gone, in words.
pub(super) fn lasts(objective: &ObjectiveView, now: Timestamp) -> String {
    match figure::forecast(objective.forecast, now).as_str() {
        figure::UNKNOWN => "no traffic in the last hour".to_owned(),
        "lasts" => "lasts the period".to_owned(),
        "over" => "all of it is spent".to_owned(),
        gone => gone.to_owned(),
    }
}

/// The share that was bad over the last minute; of few requests, with how many those were: one more would make it another.
pub(super) fn bad_share(traffic: &TrafficView) -> Markup {
    const FEW: u64 = 500;
    html! {
        (unknown(figure::percent(traffic.bad_share, " ")))
        @if let Some((bad, of)) = traffic.bad_of().filter(|(_, of)| *of < FEW) {
            br; span.qq.s { (figure::count(bad)) " of " (figure::count(of)) }
        }
    }
}

/// The period, and how much of it was observed where that is not all.
pub(super) fn period(objective: &ObjectiveView) -> String {
    let period = objective.period();
    match objective.observed_seconds + 1.0 < objective.period_seconds {
        true => format!(
            "{} of {period}",
            figure::duration(objective.observed_seconds)
        ),
        false => period,
    }
}

/// A sentence of the governor, and the evidence that it ends with.
pub(super) fn what_and_why(text: &str) -> (&str, String) {
    if let Some((what, evidence)) = text.split_once(" (") {
        let (inside, after) = evidence.rsplit_once(')').unwrap_or((evidence, ""));
        return (what, format!("{inside}{after}"));
    }
    match text.split_once(": ") {
        Some((what, why)) => (what, why.to_owned()),
        None => (text, String::new()),
    }
}

/// A share that somebody promised, as they wrote it: `99.9 %`.
pub(super) fn target(share: f64) -> String {
    let percent = format!("{:.6}", 100.0 * share);
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// A coordinate, with one decimal at most.
pub(super) fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_whatever_it_holds() {
        assert_eq!(service_path("check-out_2"), "/services/check-out_2");
        assert_eq!(
            service_path("a/../b?c#d\"<é>"),
            "/services/a%2F..%2Fb%3Fc%23d%22%3C%C3%A9%3E"
        );
    }

    #[test]
    fn what_was_decided_stands_apart_from_its_evidence() {
        let decided = "severe, was burning (latency, 45x over 10 s); 66 % are shed";
        let apart = what_and_why(decided);
        assert_eq!(
            apart,
            (
                "severe, was burning",
                "latency, 45x over 10 s; 66 % are shed".to_owned()
            )
        );
        let outcome = what_and_why("no retries: it helped");
        assert_eq!(outcome, ("no retries", "it helped".to_owned()));
        assert_eq!(what_and_why("ended"), ("ended", String::new()));
        assert_eq!(
            [0.999, 0.99, 0.5, 1.0].map(target),
            ["99.9 %", "99 %", "50 %", "100 %"]
        );
    }

    #[test]
    fn a_coordinate_is_short() {
        assert_eq!(
            [at(1.0), at(1.25), at(-0.04), at(-2.0)],
            ["1", "1.2", "0", "-2"]
        );
    }

    #[test]
    fn a_time_to_come_has_its_date_where_it_is_not_of_today() {
        let now = Timestamp::from_seconds(1_795_615_852);
        let day = std::time::Duration::from_secs(86_400);
        assert_eq!(until(now + day / 24, now), "15:10");
        assert_eq!(until(now + 7 * day, now), "2026-12-02 14:10");
    }
}
