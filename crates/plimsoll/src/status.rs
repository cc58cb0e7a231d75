//! `plimsoll status`: one screen that says how the services stand, from one [`Snapshot`].
//!
//! Words, order and marks are those of the console and of `top`. Colour only repeats the mark: `NO_COLOR`, a
//! pipe and a screen reader lose nothing.
//! Elsewhere: the pieces of a row (`row`), what protects a service (`protection`), durable queues (`queues`), the live screen (`top`).

pub(crate) mod look;
#[cfg(test)]
pub(crate) mod made_up;
mod protection;
mod queues;
pub(crate) mod row;

use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{Condition, JourneyView, OverlayView, ServiceView, Snapshot, figure};

use crate::access::minute;
use look::{Look, Tone, clean};
pub(crate) use protection::{lines as protection_lines, render_would};

/// How many events `status` shows.
const EVENTS: usize = 6;

/// The whole screen, lines ended by a newline.
pub(crate) fn render_status(snapshot: &Snapshot, look: Look) -> String {
    let mut lines = vec![title(snapshot, look), configuration(snapshot, look)];
    lines.extend(warnings(snapshot, look));
    lines.push(String::new());
    let services = row::by_urgency(&snapshot.services);
    if services.is_empty() {
        lines.push("no service yet: `plimsoll init` writes a file to start from".to_owned());
    } else {
        lines.push(row::header(&snapshot.services, look));
        for service in services {
            lines.push(row::service(service, snapshot.now, look));
            lines.extend(details(snapshot, service, look));
        }
    }
    if let Some(observed) = snapshot.services.iter().find_map(row::observed) {
        let line = format!(
            "  budgets are those of a whole period at the traffic so far; observed: {observed}"
        );
        lines.push(look.paint(Tone::Quiet, &look.cut(&line)));
    }
    lines.extend(journeys(snapshot, look));
    lines.extend(queues::queues(snapshot, look));
    let unrouted = &snapshot.unrouted;
    if unrouted.requests_total > 0 {
        let count = figure::count(unrouted.requests_total);
        let line = format!("  {count} requests had no route or were malformed, since the start");
        lines.push(look.paint(Tone::Quiet, &look.cut(&line)));
    }
    if !snapshot.recent_events.is_empty() {
        lines.push(String::new());
        lines.push(look.paint(Tone::Strong, "Recent"));
        lines.extend(events(snapshot, EVENTS, look));
    }
    let mut out = String::new();
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn title(snapshot: &Snapshot, look: Look) -> String {
    let mode = snapshot.mode.name();
    let line = format!(
        "-o- Plimsoll {}  {}  {} UTC  up {}  mode {mode}  {} connections",
        clean(&snapshot.version),
        clean(&snapshot.instance),
        figure::clock(snapshot.now, 8),
        figure::duration(snapshot.uptime_seconds),
        figure::count(snapshot.connections),
    );
    look.paint(Tone::Strong, &look.cut(&line))
}

fn configuration(snapshot: &Snapshot, look: Look) -> String {
    let config = &snapshot.config;
    let path = config
        .path
        .as_deref()
        .map_or_else(|| "without a file".to_owned(), clean);
    let hash: String = clean(&config.hash).chars().take(12).collect();
    let loaded = figure::duration(snapshot.now.since(config.loaded_at).as_secs_f64());
    look.paint(
        Tone::Quiet,
        &look.cut(&format!("configuration {path} {hash}, loaded {loaded} ago")),
    )
}

/// One line for each, cut to the width.
pub(crate) fn warnings(snapshot: &Snapshot, look: Look) -> Vec<String> {
    let observing = (snapshot.mode == Mode::Observe)
        .then(|| "observing only: policies decide and count, nothing acts".to_owned());
    let waiting = snapshot.approvals.iter();
    let waiting =
        waiting.map(|it| format!("#{} waits for approval: {}, for {}", it.id, it.says, it.by));
    let waiting: Vec<String> = waiting.collect();
    observing
        .iter()
        .chain(&snapshot.warnings)
        .chain(&waiting)
        .map(|warning| look.paint(Tone::Burning, &look.cut(&format!("! {}", clean(warning)))))
        .collect()
}

/// How its protections stand, and what is not as it should be: causes, endpoints out, further objectives that are short of budget.
fn details(snapshot: &Snapshot, service: &ServiceView, look: Look) -> Vec<String> {
    let now = snapshot.now;
    let mut lines = Vec::new();
    if service.objectives.is_empty() {
        lines.push("no objective: add one, and this row says how the service stands".to_owned());
    }
    lines.extend(set_by_people(snapshot, service));
    let freezes = snapshot.freezes.iter();
    let freezes = freezes.filter(|it| it.covers(&service.name));
    lines.extend(freezes.map(|it| clean(&it.sentence())));
    if let Some(maintenance) = &service.maintenance {
        let name = clean(&maintenance.name);
        let ends = figure::duration(maintenance.until.since(now).as_secs_f64());
        lines.push(format!(
            "maintenance {name} for another {ends}: nothing counts in budgets"
        ));
    }
    lines.extend(governed(service, now));
    lines.extend(dimmed(service));
    let causes = row::causes(service, 4);
    if !causes.is_empty() {
        lines.push(format!("not good over 1 min: {causes}"));
    }
    lines.extend(protection_lines(service, look.width.saturating_sub(4)));
    lines.extend(row::endpoints_out(service, now));
    let shown = service.tightest().map(|objective| objective.name.as_str());
    for objective in service
        .objectives
        .iter()
        .filter(|objective| Some(objective.name.as_str()) != shown)
    {
        let name = clean(&objective.name);
        let left = figure::budget_left(objective.budget_left, "");
        let burn = figure::burn(objective.burn_over("1h"));
        lines.push(format!("{name}: {left} of its budget left, burn 1h {burn}"));
    }
    lines
        .iter()
        .map(|line| look.paint(Tone::Quiet, &look.cut(&look.text(&format!("    {line}")))))
        .collect()
}

/// What people have set of it for a while.
pub(crate) fn set_by_people(snapshot: &Snapshot, service: &ServiceView) -> Vec<String> {
    let entries = snapshot.overlay.iter();
    let entries = entries.filter(|entry| entry.service == service.name);
    let lines = |entry: &OverlayView| {
        let (says, until) = (clean(&entry.says), minute(entry.until));
        let (by, why) = (clean(&entry.by), clean(&entry.why));
        [
            format!("{says} until {until} UTC"),
            format!("  set by {by}: {why}"),
        ]
    };
    entries.flat_map(lines).collect()
}

/// How the governor sees it, where that is not well: the condition, what is moved, who was called.
fn governed(service: &ServiceView, now: Timestamp) -> Option<String> {
    let governed = service.governed.as_ref()?;
    let is_well = governed.condition <= Condition::Healthy;
    if is_well && governed.moved.is_empty() && governed.paged.is_empty() {
        return None;
    }
    let mut line = governed.condition.name().to_owned();
    if let Some(since) = governed.since {
        let lasts = figure::duration(now.since(since).as_secs_f64());
        line.push_str(&format!(" for {lasts}"));
    }
    if let Some(other) = &governed.because_of {
        line.push_str(&format!(" because {} is", clean(other)));
    }
    if !governed.paged.is_empty() {
        let names: Vec<String> = governed.paged.iter().map(|it| clean(it)).collect();
        line.push_str(&format!("  paged: {}", names.join(", ")));
    }
    let does = match governed.mode {
        Mode::Enforce => "moved",
        Mode::Observe | Mode::Off => "would be moved",
    };
    for moved in &governed.moved {
        line.push_str(&format!("  {does}: {}", clean(&moved.says)));
    }
    Some(line)
}

/// What of its optional content is left out, for whom.
fn dimmed(service: &ServiceView) -> Option<String> {
    let brownout = service.governed.as_ref()?.brownout.as_ref()?;
    (brownout.level > 0.0).then(|| clean(&brownout.says))
}

/// One line for each: how much of its budget is left, and the step at which most is lost.
pub(crate) fn journeys(snapshot: &Snapshot, look: Look) -> Vec<String> {
    let line = |journey: &JourneyView| {
        let left = figure::budget_left(journey.budget_left, "");
        let burn = figure::burn(journey.burn_over("1h"));
        let mut line = format!(
            "  journey {}: {left} of its budget for {} left, burn 1h {burn}",
            clean(&journey.name),
            journey.period,
        );
        if let Some((worst, share)) = journey.worst().and_then(|it| Some((it, it.of_bad?))) {
            let share = figure::percent(Some(share), "");
            line.push_str(&format!("; {share} is lost at {}", clean(&worst.service)));
        }
        look.cut(&look.text(&line))
    };
    snapshot.journeys.iter().map(line).collect()
}

/// The newest first.
pub(crate) fn events(snapshot: &Snapshot, events_max: usize, look: Look) -> Vec<String> {
    let event = |event: &plimsoll_measure::EventView| {
        let service = event.service.as_deref().map(clean).unwrap_or_default();
        let line = format!(
            "{} {service:<12} {}",
            figure::clock(event.at, 8),
            clean(&event.text)
        );
        look.cut(&look.text(&line))
    };
    snapshot
        .recent_events
        .iter()
        .take(events_max)
        .map(event)
        .collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::made_up::made_up;
    use super::*;

    #[test]
    fn one_screen_answers_what_is_wrong() {
        assert_snapshot!(render_status(&made_up(), Look::plain(100)), @r"
        -o- Plimsoll 0.1.0  shop-eu-1  14:10:52 UTC  up 2d 3h  mode enforce  1,204 connections
        configuration /etc/plimsoll.toml 5d41402abc4b, loaded 2h ago
        ! no endpoint of catalog is healthy: serving to all of them

          service                  budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m
        ■ reports                  ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×      3.1     8.4s / 5.0s       0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)
        ▲ checkout                 ▆▆▆▆▏·····o      58%    6.8×      212    238ms / 250ms    3.4%
            half of class sheddable is refused until 2026-11-25 14:20 UTC
              set by ana: the sale
            frozen by bo until 2026-11-25 14:20 UTC: the audit
            severe for 2m 40s  paged: availability  moved: no retries
            not good over 1 min: upstream-5xx 3.1%, timeout 0.30%
            limit 38 of 1,000 (over the line)  in flight 38  queue 12, for at most 20ms  objective 250ms
            refused 1 min: critical 0%, standard 12.3%, sheddable 88.0%  since the start 31,917
            endpoint http://127.0.0.1:9003 down for 1m 35s
        ? partner-feed             ??????????o        ?       ?        0        ? / 2.0s        ?
        o search                   ▆▆▉·······o      71%    0.8×    2,310    148ms / 200ms      0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)
        o catalog                  ▉·········o      91%    0.2×    3,120     44ms / 100ms      0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)
            endpoint http://127.0.0.1:9011 down for 4m 10s
        o a-service-with-a-very-l… ··········o     100%    0.0×     0.02    640µs              0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)
          journey buy: 36% of its budget for 28d left, burn 1h 7.1×; 90.0% is lost at checkout
          1,402 requests had no route or were malformed, since the start

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up → down: 3 connects in a row failed
        14:06:42 catalog      endpoint http://127.0.0.1:9011 up → down: health check: 503
        12:10:52              configuration loaded
        ");
    }

    #[test]
    fn without_utf8_nothing_is_lost() {
        let text = render_status(
            &made_up(),
            Look {
                unicode: false,
                ..Look::plain(80)
            },
        );
        assert!(text.is_ascii(), "{text}");
        assert_snapshot!(text, @r"
        -o- Plimsoll 0.1.0  shop-eu-1  14:10:52 UTC  up 2d 3h  mode enforce  1,204 conn~
        configuration /etc/plimsoll.toml 5d41402abc4b, loaded 2h ago
        ! no endpoint of catalog is healthy: serving to all of them

          service         budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m
        X reports         ##########o#     -8%    1.4x      3.1     8.4s / 5.0s       0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms
            objective 250ms (assumed)
        ^ checkout        ####......o      58%    6.8x      212    238ms / 250ms    3.4%
            half of class sheddable is refused until 2026-11-25 14:20 UTC
              set by ana: the sale
            frozen by bo until 2026-11-25 14:20 UTC: the audit
            severe for 2m 40s  paged: availability  moved: no retries
            not good over 1 min: upstream-5xx 3.1%, timeout 0.30%
            limit 38 of 1,000 (over the line)  in flight 38  queue 12, for at most 20ms
            objective 250ms
            refused 1 min: critical 0%, standard 12.3%, sheddable 88.0%
            since the start 31,917
            endpoint http://127.0.0.1:9003 down for 1m 35s
        ? partner-feed    ??????????o        ?       ?        0        ? / 2.0s        ?
        o search          ###.......o      71%    0.8x    2,310    148ms / 200ms      0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms
            objective 250ms (assumed)
        o catalog         #.........o      91%    0.2x    3,120     44ms / 100ms      0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms
            objective 250ms (assumed)
            endpoint http://127.0.0.1:9011 down for 4m 10s
        o a-service-with~ ..........o     100%    0.0x     0.02    640us              0%
            limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms
            objective 250ms (assumed)
          journey buy: 36% of its budget for 28d left, burn 1h 7.1x; 90.0% is lost at c~
          1,402 requests had no route or were malformed, since the start

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up -> down: 3 connects in ~
        14:06:42 catalog      endpoint http://127.0.0.1:9011 up -> down: health check: ~
        12:10:52              configuration loaded
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for width in [40, 60, 72, 80, 96, 120, 200] {
            let text = render_status(&made_up(), Look::plain(width));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn colour_only_repeats_the_mark() {
        let plain = render_status(&made_up(), Look::plain(100));
        let painted = render_status(
            &made_up(),
            Look {
                color: true,
                ..Look::plain(100)
            },
        );
        let mut stripped = String::new();
        let mut rest = painted.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            stripped.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        stripped.push_str(rest);
        assert_ne!(painted, plain);
        let trimmed: Vec<_> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let mut snapshot = made_up();
        snapshot.instance = "a\x1b[2Jb".to_owned();
        snapshot.recent_events[0].text = "\x07bell".to_owned();
        let text = render_status(&snapshot, Look::plain(100));
        assert!(!text.contains(['\x1b', '\x07']), "{text}");
    }
}
