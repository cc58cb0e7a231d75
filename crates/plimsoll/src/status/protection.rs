//! What protections do to a service: the lines under its row, and the table of what they would do.
//!
//! A policy that only observes is told by its verbs: it "would". The table says so in words where there is
//! nothing to list, as an empty table reads like a calm day.
//! Elsewhere: the columns of a row (`row`).

use plimsoll_core::Mode;
use plimsoll_measure::{ActionView, ClassView, ProtectionView, ServiceView, Snapshot, figure};

use super::look::{Look, Tone, clean};
use super::row;

const NAME_MAX: usize = 24;

/// How limit and queue stand, in pieces that may go on a line of their own; none where it is not known.
fn standing(service: &ServiceView) -> Vec<String> {
    let Some(protection) = &service.protection else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    if let Some(limit) = protection.limit {
        let verb = if protection.limits() {
            "limit"
        } else {
            "would limit to"
        };
        let most = protection.limit_max.map_or_else(String::new, |most| {
            format!(" of {}", figure::count(most.into()))
        });
        let reason = why(protection);
        let limit = figure::count(limit.into());
        parts.push(format!("{verb} {limit}{most} ({reason})"));
    } else {
        parts.push("no limit".to_owned());
    }
    parts.push(format!("in flight {}", figure::count(protection.in_flight)));
    if let Some(wait) = protection.wait_max_seconds {
        let queued = figure::count(protection.queued());
        let wait = figure::latency(Some(wait), "");
        parts.push(format!("queue {queued}, for at most {wait}"));
    }
    if protection.objective_seconds.is_some() {
        let assumed = if protection.objective_assumed {
            " (assumed)"
        } else {
            ""
        };
        let objective = figure::latency(protection.objective_seconds, "");
        parts.push(format!("objective {objective}{assumed}"));
    }
    if let Some(share) = service.cache.and_then(|cache| cache.share()) {
        let share = figure::percent(Some(share), "");
        parts.push(format!("cache {share} since the start"));
    }
    parts
}

/// What was refused, by class, over the last minute, and in all; none where nothing was since the start.
///
/// A class without a request has no share, and is left out.
fn refused(service: &ServiceView) -> Vec<String> {
    let Some(protection) = &service.protection else {
        return Vec::new();
    };
    let total = protection.refused_total();
    if total == 0 {
        return Vec::new();
    }
    let share = |class: &ClassView| {
        let share = figure::percent(class.refused_share, "");
        format!("{} {share}", class.class.name())
    };
    let lately = if protection.refused_lately() == 0 {
        "none".to_owned()
    } else {
        let classes = protection.classes.iter();
        let shares: Vec<String> = classes
            .filter(|class| class.requests > 0)
            .map(share)
            .collect();
        shares.join(", ")
    };
    vec![
        format!("refused 1 min: {lately}"),
        format!("since the start {}", figure::count(total)),
    ]
}

/// What was counted since the start, over all classes, led by `verb`; none where nothing was.
fn acted(verb: &str, actions: &[ActionView]) -> Vec<String> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for action in actions.iter().filter(|action| action.count > 0) {
        match sums.iter_mut().find(|(it, _)| *it == action.outcome) {
            Some((_, sum)) => *sum = sum.saturating_add(action.count),
            None => sums.push((&action.outcome, action.count)),
        }
    }
    let mut parts: Vec<String> = sums
        .iter()
        .map(|(outcome, sum)| format!("{} {}", clean(outcome), figure::count(*sum)))
        .collect();
    if let Some(first) = parts.first_mut() {
        *first = format!("{verb} since the start: {first}");
    }
    parts
}

/// How limit and queue stand, what was refused, done, and would have been done: no line wider than `width`, unless one piece is.
pub(crate) fn lines(service: &ServiceView, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let protection = service.protection.as_ref();
    let did = protection.map_or(&[] as &[ActionView], |it| &it.did);
    let would = protection.map_or(&[] as &[ActionView], |it| &it.would);
    for parts in [
        standing(service),
        refused(service),
        acted("did", did),
        acted("would have", would),
    ] {
        let mut line = String::new();
        for part in parts {
            if line.is_empty() {
                line = part;
            } else if line.chars().count() + 2 + part.chars().count() <= width {
                line.push_str("  ");
                line.push_str(&part);
            } else {
                lines.push(std::mem::replace(&mut line, part));
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// The limiter's reason as a word; unknown where it gives none.
pub(crate) fn why(protection: &ProtectionView) -> String {
    protection
        .limit_reason
        .as_deref()
        .map_or_else(|| figure::UNKNOWN.to_owned(), clean)
}

/// `status --would`: what the policies that observe would have done, for all services.
pub(crate) fn render_would(snapshot: &Snapshot, look: Look) -> String {
    let services = row::by_urgency(&snapshot.services);
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for service in &services {
        match &service.protection {
            None => notes.push(format!(
                "{}: how its protections stand is not known",
                clean(&service.name)
            )),
            Some(protection) => {
                let counted: Vec<&ActionView> = protection
                    .would
                    .iter()
                    .filter(|action| action.count > 0)
                    .collect();
                if counted.is_empty() && !protection.would.is_empty() {
                    notes.push(format!(
                        "{}: {} would have done nothing so far",
                        clean(&service.name),
                        policies(protection)
                    ));
                }
                rows.extend(counted.into_iter().map(|action| (*service, action)));
            }
        }
    }
    let mut lines = vec![look.paint(
        Tone::Strong,
        &look.cut("What policies that only observe would have done, since the start"),
    )];
    lines.push(String::new());
    if !rows.is_empty() {
        lines.extend(table(&rows, look));
    }
    if !rows.is_empty() && !notes.is_empty() {
        lines.push(String::new());
    }
    let observing = services.iter().any(|service| observes(service));
    lines.extend(
        notes
            .iter()
            .map(|note| look.paint(Tone::Quiet, &look.cut(&look.text(note)))),
    );
    if !observing {
        lines.extend(nothing_observes(snapshot).iter().map(|line| look.cut(line)));
    }
    let mut out = String::new();
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn observes(service: &ServiceView) -> bool {
    service
        .protection
        .as_ref()
        .is_some_and(|protection| !protection.would.is_empty())
}

fn nothing_observes(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.services.is_empty() {
        return vec!["no service yet: `plimsoll init` writes a file to start from".to_owned()];
    }
    let known = |service: &ServiceView| service.protection.is_some();
    if !snapshot.services.iter().any(known) {
        return Vec::new();
    }
    let stands = if snapshot.mode == Mode::Off {
        "no policy is in mode `observe`: all are off"
    } else {
        "no policy is in mode `observe`: what is on acts, and `status` says what it does"
    };
    vec![
        stands.to_owned(),
        "`mode = \"observe\"` for a service, or `run --observe`: it counts and does not act"
            .to_owned(),
    ]
}

/// The policies that observe, each once.
fn policies(protection: &ProtectionView) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for action in &protection.would {
        if !policies.contains(&action.policy.as_str()) {
            policies.push(&action.policy);
        }
    }
    clean(&policies.join(", "))
}

/// One line for each; a service's name is given once. The last columns go where the screen is narrow, but not
/// the count.
fn table(rows: &[(&ServiceView, &ActionView)], look: Look) -> Vec<String> {
    let saves = rows.iter().any(|(_, action)| action.saved.is_some());
    let longest = rows.iter().map(|(service, _)| service.name.chars().count());
    let name_width = longest.max().unwrap_or(0).clamp(7, NAME_MAX);
    let line = |name: &str, policy: &str, outcome: &str, class: &str, count: &str| {
        format!("{name:<name_width$} {policy:<10} {outcome:<12} {class:<10}{count:>11}")
    };
    let mut header = line("service", "policy", "would have", "class", "count");
    header.push_str(&format!("{:>13}", "of requests"));
    if saves {
        header.push_str(&format!("{:>11}", "saving"));
    }
    let mut lines = vec![look.paint(Tone::Quiet, &look.cut(&header))];
    let mut before = None;
    for (service, action) in rows {
        let again = before == Some(&service.name);
        before = Some(&service.name);
        let name = if again {
            String::new()
        } else {
            look.cut_to(&clean(&service.name), name_width)
        };
        let class = action.class.map_or("", |class| class.name());
        let mut text = line(
            &name,
            &clean(&action.policy),
            &clean(&action.outcome),
            class,
            &figure::count(action.count),
        );
        // Where something else is counted, a share of requests is not unknown: there is none.
        let share = action.share.map(|share| figure::percent(Some(share), ""));
        text.push_str(&format!("{:>13}", share.unwrap_or_default()));
        if saves {
            let saved = action
                .saved
                .map_or(figure::UNKNOWN.to_owned(), figure::count);
            text.push_str(&format!("{saved:>11}"));
        }
        lines.push(look.cut(look.text(&text).trim_end()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use plimsoll_core::Class;
    use plimsoll_measure::Cause;

    use super::super::made_up::{action, made_up, refused as count_refused};
    use super::*;

    fn text(change: impl FnOnce(&mut ProtectionView)) -> String {
        let mut snapshot = made_up();
        let checkout = &mut snapshot.services[1];
        assert_eq!(checkout.name, "checkout");
        change(checkout.protection.as_mut().unwrap());
        lines(checkout, 96).join("\n")
    }

    #[test]
    fn limit_queue_and_refusals_are_two_lines() {
        assert_snapshot!(text(|_| ()), @r"
        limit 38 of 1,000 (over the line)  in flight 38  queue 12, for at most 20ms  objective 250ms
        refused 1 min: critical 0%, standard 12.3%, sheddable 88.0%  since the start 31,917
        ");
    }

    #[test]
    fn what_does_not_fit_goes_on_the_next_line() {
        let snapshot = made_up();
        assert_snapshot!(lines(&snapshot.services[1], 60).join("\n"), @r"
        limit 38 of 1,000 (over the line)  in flight 38
        queue 12, for at most 20ms  objective 250ms
        refused 1 min: critical 0%, standard 12.3%, sheddable 88.0%
        since the start 31,917
        ");
    }

    #[test]
    fn what_only_observes_says_would() {
        assert_snapshot!(text(|protection| {
            protection.mode = Mode::Observe;
            protection.wait_max_seconds = None;
            protection.refused.clear();
            let shed = |class, count| action("limiter", "shed", Some(class), count, None);
            protection.would = vec![
                shed(Class::Standard, 1_204),
                shed(Class::Sheddable, 31_877),
                action("hedge", "hedged", None, 0, None),
            ];
        }), @r"
        would limit to 38 of 1,000 (over the line)  in flight 38  objective 250ms
        would have since the start: shed 33,081
        ");
    }

    #[test]
    fn what_is_not_there_is_not_called_zero() {
        assert_snapshot!(text(|protection| {
            protection.limit = None;
            protection.limit_reason = None;
            protection.wait_max_seconds = None;
            protection.objective_seconds = None;
            protection.refused.clear();
        }), @r"
        no limit  in flight 38
        ");
        let mut snapshot = made_up();
        snapshot.services[0].protection = None;
        assert!(lines(&snapshot.services[0], 96).is_empty());
    }

    #[test]
    fn a_calm_minute_after_refusals_says_so() {
        assert_snapshot!(text(|protection| {
            for class in &mut protection.classes {
                class.refused = 0;
            }
            protection.refused = vec![count_refused(Class::Sheddable, Cause::Shed, 0, 31_204)];
            protection.did = vec![
                action("retry", "retried", None, 310, Some(0.01)),
                action("ejection", "ejected", None, 0, None),
            ];
        }), @r"
        limit 38 of 1,000 (over the line)  in flight 38  queue 12, for at most 20ms  objective 250ms
        refused 1 min: none  since the start 31,204
        did since the start: retried 310
        ");
    }

    #[test]
    fn what_would_have_been_done_is_a_table() {
        let mut snapshot = made_up();
        for (place, service) in snapshot.services.iter_mut().enumerate() {
            let Some(protection) = &mut service.protection else {
                continue;
            };
            protection.mode = Mode::Observe;
            protection.would = Class::ALL
                .iter()
                .zip([0, 1_204, 31_877])
                .map(|(class, count)| {
                    let count = if place == 1 { count } else { 0 };
                    action(
                        "limiter",
                        "shed",
                        Some(*class),
                        count,
                        Some(count as f64 / 1e6),
                    )
                })
                .collect();
        }
        let reports = snapshot.services[3].protection.as_mut().unwrap();
        reports.would = vec![
            action("retry", "retried", None, 310, Some(0.000_31)),
            action("ejection", "ejected", None, 2, None),
        ];
        reports.would[0].saved = Some(288);
        snapshot.services[4]
            .protection
            .as_mut()
            .unwrap()
            .would
            .clear();
        assert_snapshot!(render_would(&snapshot, Look::plain(100)), @r"
        What policies that only observe would have done, since the start

        service  policy     would have   class           count  of requests     saving
        reports  retry      retried                        310        0.03%        288
                 ejection   ejected                          2                       ?
        checkout limiter    shed         standard        1,204        0.12%          ?
                 limiter    shed         sheddable      31,877         3.2%          ?

        partner-feed: how its protections stand is not known
        catalog: limiter would have done nothing so far
        a-service-with-a-very-long-name: limiter would have done nothing so far
        ");
        for width in [20, 40, 60, 80, 120] {
            for line in render_would(&snapshot, Look::plain(width)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn where_nothing_observes_it_says_how_to() {
        let mut snapshot = made_up();
        assert_snapshot!(render_would(&snapshot, Look::plain(100)), @r#"
        What policies that only observe would have done, since the start

        partner-feed: how its protections stand is not known
        no policy is in mode `observe`: what is on acts, and `status` says what it does
        `mode = "observe"` for a service, or `run --observe`: it counts and does not act
        "#);
        snapshot.services.clear();
        assert_snapshot!(render_would(&snapshot, Look::plain(100)), @r"
        What policies that only observe would have done, since the start

        no service yet: `plimsoll init` writes a file to start from
        ");
    }
}
