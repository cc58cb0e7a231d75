//! One screen of `top`, from what is known and what is selected.
//!
//! Columns whose source does not exist (condition, incidents, decisions) are left out. The order of
//! rows changes only with the marks and the budgets; the selection stays on its service.

use std::time::Duration;

use plimsoll_measure::{Mark, ServiceView, Snapshot, figure};

use crate::status::look::{Look, Tone, clean, glyph, tone};
use crate::status::{events, protection_lines, row, set_by_people, warnings};

/// Without a snapshot for this long, the figures are said to be old.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// Lines that the details take at most, the events included.
const DETAILS_MAX: usize = 10;

/// What is shown, and which service is selected.
#[derive(Debug)]
pub(crate) struct View {
    snapshot: Snapshot,
    selected: Option<String>,
    failure: Option<String>,
}

impl View {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            selected: None,
            failure: None,
        }
    }

    pub(crate) fn on_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.failure = None;
    }

    pub(crate) fn on_failure(&mut self, reason: String) {
        self.failure = Some(reason);
    }

    /// Moves the selection; stays within the list.
    pub(crate) fn select_by(&mut self, rows: isize) {
        let services = row::by_urgency(&self.snapshot.services);
        let last = services.len().saturating_sub(1);
        let place = self.place(&services).saturating_add_signed(rows).min(last);
        self.selected = services.get(place).map(|service| service.name.clone());
    }

    fn place(&self, services: &[&ServiceView]) -> usize {
        let selected = self.selected.as_deref();
        services
            .iter()
            .position(|service| Some(service.name.as_str()) == selected)
            .unwrap_or(0)
    }

    /// The screen, at most `height` lines. `age` is how long ago the last snapshot came.
    pub(crate) fn lines(&self, look: Look, height: usize, age: Duration) -> Vec<String> {
        let services = row::by_urgency(&self.snapshot.services);
        let place = self.place(&services);
        let mut top = vec![self.title(&services, look)];
        top.extend(self.stale(look, age));
        top.extend(warnings(&self.snapshot, look).into_iter().take(2));
        top.push(String::new());
        top.push(row::header(&self.snapshot.services, look));

        let mut bottom = vec![String::new()];
        bottom.extend(self.details(services.get(place).copied(), look));
        let keys = look.cut(&look.text("↑↓ select  q quit"));
        // A low screen keeps the rows and gives up the details.
        let spare = height.saturating_sub(top.len() + 1 + services.len().min(5));
        bottom.truncate(spare);
        bottom.push(look.paint(Tone::Quiet, &keys));

        let room = height.saturating_sub(top.len() + bottom.len());
        let mut lines = top;
        lines.extend(self.rows(&services, place, room, look));
        lines.resize(height.saturating_sub(bottom.len()), String::new());
        lines.extend(bottom);
        lines.truncate(height);
        lines
    }

    fn title(&self, services: &[&ServiceView], look: Look) -> String {
        let snapshot = &self.snapshot;
        let start = format!(
            "-o- Plimsoll  {}  {}",
            clean(&snapshot.instance),
            figure::clock(snapshot.now, 8)
        );
        let marks = [Mark::Exhausted, Mark::Burning, Mark::Unknown, Mark::Healthy];
        let counts: Vec<(Mark, String)> = marks
            .into_iter()
            .filter_map(|mark| {
                let count = services
                    .iter()
                    .filter(|service| service.mark() == mark)
                    .count();
                let word = match mark {
                    Mark::Exhausted => " exhausted",
                    Mark::Burning => " burning",
                    Mark::Unknown | Mark::Healthy => "",
                };
                (count > 0).then(|| (mark, look.text(&format!("{} {count}{word}", glyph(mark)))))
            })
            .collect();
        let length = counts
            .iter()
            .map(|(_, text)| text.chars().count() + 2)
            .sum::<usize>();
        let gap = look.width.saturating_sub(start.chars().count() + length);
        if gap == 0 {
            return look.cut(&start);
        }
        let mut line = look.paint(Tone::Strong, &start);
        line.push_str(&" ".repeat(gap.min(40)));
        for (mark, text) in counts {
            line.push_str("  ");
            line.push_str(&look.paint(tone(mark), &text));
        }
        line
    }

    fn stale(&self, look: Look, age: Duration) -> Option<String> {
        if age < STALE_AFTER {
            return None;
        }
        let reason = self
            .failure
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {}", clean(reason)));
        let (clock, seconds) = (figure::clock(self.snapshot.now, 8), age.as_secs());
        let line = format!("last data {clock}, {seconds} s ago{reason}");
        Some(look.paint(Tone::Burning, &look.cut(&look.text(&line))))
    }

    /// The rows around the selection; what is below the screen and healthy is named in one line.
    fn rows(
        &self,
        services: &[&ServiceView],
        place: usize,
        room: usize,
        look: Look,
    ) -> Vec<String> {
        if services.is_empty() {
            return vec!["no service yet: `plimsoll init` writes a file to start from".to_owned()];
        }
        let line = |at: usize, service: &&ServiceView| {
            let line = row::service(service, self.snapshot.now, look);
            if at == place && self.selected.is_some() {
                let plain = row::service(
                    service,
                    self.snapshot.now,
                    Look {
                        color: false,
                        ..look
                    },
                );
                // Without colour the selection is told by its mark's place alone: an arrow instead of the gap.
                return if look.color {
                    look.paint(Tone::Selected, &plain)
                } else {
                    plain.replacen(' ', ">", 1)
                };
            }
            line
        };
        if services.len() <= room {
            return services
                .iter()
                .enumerate()
                .map(|(at, service)| line(at, service))
                .collect();
        }
        let shown = room.saturating_sub(1).max(1);
        let first = place.saturating_sub(shown - 1);
        let mut lines: Vec<String> = services
            .iter()
            .enumerate()
            .skip(first)
            .take(shown)
            .map(|(at, service)| line(at, service))
            .collect();
        let rest: Vec<&ServiceView> = services.iter().copied().skip(first + shown).collect();
        if !rest.is_empty() {
            let healthy = rest.iter().all(|service| service.mark() == Mark::Healthy);
            let names: Vec<String> = rest
                .iter()
                .map(|service| {
                    let left = service
                        .tightest()
                        .and_then(|objective| objective.budget_left);
                    format!("{} {}", clean(&service.name), figure::budget_left(left, ""))
                })
                .collect();
            let word = if healthy { "more healthy" } else { "more" };
            lines.push(look.cut(&look.text(&format!(
                "  {} {word}: {}",
                rest.len(),
                names.join(", ")
            ))));
        }
        lines
    }

    /// The selected service in figures, and the last events.
    fn details(&self, service: Option<&ServiceView>, look: Look) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(service) = service {
            let mut parts = vec![clean(&service.name)];
            if let (Some(in_flight), None) = (service.in_flight, &service.protection) {
                parts.push(format!("in flight {}", figure::count(in_flight)));
            }
            let latency = service.traffic.latency;
            for (name, value) in [
                ("P50", latency.p50_seconds),
                ("P95", latency.p95_seconds),
                ("P99.9", latency.p999_seconds),
            ] {
                parts.push(format!("{name} {}", figure::latency(value, "")));
            }
            if let Some(observed) = row::observed(service) {
                parts.push(format!("budget over {observed}"));
            }
            let causes = row::causes(service, 3);
            if !causes.is_empty() {
                parts.push(causes);
            }
            lines.push(look.cut(&look.text(&parts.join("   "))));
            let width = look.width.saturating_sub(2);
            lines.extend(
                set_by_people(&self.snapshot, service)
                    .iter()
                    .map(|line| look.cut(&look.text(&format!("  {line}")))),
            );
            lines.extend(
                protection_lines(service, width)
                    .iter()
                    .map(|line| look.cut(&look.text(&format!("  {line}")))),
            );
            lines.extend(
                row::endpoints_out(service, self.snapshot.now)
                    .iter()
                    .take(3)
                    .map(|line| look.cut(&look.text(&format!("  {line}")))),
            );
        }
        if !self.snapshot.recent_events.is_empty() {
            lines.push(String::new());
            lines.push(look.paint(Tone::Strong, "Recent"));
            lines.extend(events(
                &self.snapshot,
                DETAILS_MAX.saturating_sub(lines.len()),
                look,
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::status::made_up::made_up;

    fn screen(view: &View, look: Look, height: usize, age_seconds: u64) -> String {
        let lines = view.lines(look, height, Duration::from_secs(age_seconds));
        assert!(lines.len() <= height);
        for line in &lines {
            assert!(line.chars().count() <= look.width, "{line}");
        }
        lines
            .iter()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    #[test]
    fn eighty_columns() {
        assert_snapshot!(screen(&View::new(made_up()), Look::plain(80), 24, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52           ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service         budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m
        ■ reports         ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×      3.1     8.4s / 5.0s       0%
        ▲ checkout        ▆▆▆▆▏·····o      58%    6.8×      212    238ms / 250ms    3.4%
        ? partner-feed    ??????????o        ?       ?        0        ? / 2.0s        ?
        o search          ▆▆▉·······o      71%    0.8×    2,310    148ms / 200ms      0%
        o catalog         ▉·········o      91%    0.2×    3,120     44ms / 100ms      0%
        o a-service-with… ··········o     100%    0.0×     0.02    640µs              0%





        reports   P50 840ms   P95 4.2s   P99.9 17s
          limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms
          objective 250ms (assumed)

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up → down: 3 connects in a…
        14:06:42 catalog      endpoint http://127.0.0.1:9011 up → down: health check: 5…
        12:10:52              configuration loaded
        ↑↓ select  q quit
        ");
    }

    #[test]
    fn a_wide_screen_says_when_the_budget_is_gone() {
        assert_snapshot!(screen(&View::new(made_up()), Look::plain(144), 24, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52                                          ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service           budget left 28d      burn 1h       5m  budget is         req/s   P99 1m / goal   bad 1m  in flight   limit  queue  refused/s
        ■ reports           ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×     1.0×  over                3.1     8.4s / 5.0s       0%         12      20      0          0
        ▲ checkout          ▆▆▆▆▏·····o      58%    6.8×     5.1×  gone Sat 02:00      212    238ms / 250ms    3.4%         38      38     12         52
        ? partner-feed      ??????????o        ?       ?        ?  ?                     0        ? / 2.0s        ?         12       ?      ?          ?
        o search            ▆▆▉·······o      71%    0.8×     0.6×  lasts             2,310    148ms / 200ms      0%         12      20      0          0
        o catalog           ▉·········o      91%    0.2×     0.2×  lasts             3,120     44ms / 100ms      0%         12      20      0          0
        o a-service-with-a… ··········o     100%    0.0×     0.0×  lasts              0.02    640µs              0%         12      20      0          0






        reports   P50 840ms   P95 4.2s   P99.9 17s
          limit 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up → down: 3 connects in a row failed
        14:06:42 catalog      endpoint http://127.0.0.1:9011 up → down: health check: 503
        12:10:52              configuration loaded
        ↑↓ select  q quit
        ");
    }

    #[test]
    fn limit_and_queue_come_before_the_forecast_and_its_reason_after() {
        let view = View::new(made_up());
        assert_snapshot!(screen(&view, Look::plain(120), 10, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52                                          ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service            budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m  in flight   limit  queue  refused/s
        ■ reports            ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×      3.1     8.4s / 5.0s       0%         12      20      0          0
        ▲ checkout           ▆▆▆▆▏·····o      58%    6.8×      212    238ms / 250ms    3.4%         38      38     12         52
        ? partner-feed       ??????????o        ?       ?        0        ? / 2.0s        ?         12       ?      ?          ?
        o search             ▆▆▉·······o      71%    0.8×    2,310    148ms / 200ms      0%         12      20      0          0
          2 more healthy: catalog 91%, a-service-with-a-very-long-name 100%
        ↑↓ select  q quit
        ");
        assert_snapshot!(screen(&view, Look::plain(170), 10, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52                                          ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service              budget left 28d      burn 1h       5m  budget is         req/s   P99 1m / goal   bad 1m  in flight   limit  queue  refused/s  limit is           up
        ■ reports              ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×     1.0×  over                3.1     8.4s / 5.0s       0%         12      20      0          0  hold              1/1
        ▲ checkout             ▆▆▆▆▏·····o      58%    6.8×     5.1×  gone Sat 02:00      212    238ms / 250ms    3.4%         38      38     12         52  over the line     1/2
        ? partner-feed         ??????????o        ?       ?        ?  ?                     0        ? / 2.0s        ?         12       ?      ?          ?  ?                 1/1
        o search               ▆▆▉·······o      71%    0.8×     0.6×  lasts             2,310    148ms / 200ms      0%         12      20      0          0  hold              1/1
          2 more healthy: catalog 91%, a-service-with-a-very-long-name 100%
        ↑↓ select  q quit
        ");
    }

    #[test]
    fn the_selected_service_says_how_its_protections_stand() {
        let mut view = View::new(made_up());
        view.select_by(1);
        assert_snapshot!(screen(&view, Look::plain(96), 20, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52                           ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service                  budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m
        ■ reports                  ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×      3.1     8.4s / 5.0s       0%
        ▲>checkout                 ▆▆▆▆▏·····o      58%    6.8×      212    238ms / 250ms    3.4%
        ? partner-feed             ??????????o        ?       ?        0        ? / 2.0s        ?
        o search                   ▆▆▉·······o      71%    0.8×    2,310    148ms / 200ms      0%
          2 more healthy: catalog 91%, a-service-with-a-very-long-name 100%

        checkout   P50 24ms   P95 119ms   P99.9 476ms   upstream-5xx 3.1%, timeout 0.30%
          half of class sheddable is refused until 2026-11-25 14:20 UTC
            set by ana: the sale
          limit 38 of 1,000 (over the line)  in flight 38  queue 12, for at most 20ms  objective 250ms
          refused 1 min: critical 0%, standard 12.3%, sheddable 88.0%  since the start 31,917
          endpoint http://127.0.0.1:9003 down for 1m 35s

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up → down: 3 connects in a row failed
        ↑↓ select  q quit
        ");
    }

    #[test]
    fn a_limit_that_only_observes_is_set_apart() {
        let mut snapshot = made_up();
        for service in &mut snapshot.services {
            if let Some(protection) = &mut service.protection {
                protection.mode = plimsoll_core::Mode::Observe;
            }
        }
        snapshot.services[0].protection.as_mut().unwrap().limit = None;
        let view = View::new(snapshot);
        assert_snapshot!(screen(&view, Look::plain(120), 20, 0), @r"
        -o- Plimsoll  shop-eu-1  14:10:52                                          ■ 1 exhausted  ▲ 1 burning  ? 1  o 3
        ! no endpoint of catalog is healthy: serving to all of them

          service            budget left 28d      burn 1h    req/s   P99 1m / goal   bad 1m  in flight   limit  queue  refused/s
        ■ reports            ▆▆▆▆▆▆▆▆▆▆o▆     −8%    1.4×      3.1     8.4s / 5.0s       0%         12    (20)      0          0
        ▲ checkout           ▆▆▆▆▏·····o      58%    6.8×      212    238ms / 250ms    3.4%         38    (38)     12         52
        ? partner-feed       ??????????o        ?       ?        0        ? / 2.0s        ?         12       ?      ?          ?
        o search             ▆▆▉·······o      71%    0.8×    2,310    148ms / 200ms      0%         12    (20)      0          0
        o catalog            ▉·········o      91%    0.2×    3,120     44ms / 100ms      0%         12    none      0          0
        o a-service-with-a-… ··········o     100%    0.0×     0.02    640µs              0%         12    (20)      0          0


        reports   P50 840ms   P95 4.2s   P99.9 17s
          would limit to 20 of 1,000 (hold)  in flight 12  queue 0, for at most 20ms  objective 250ms (assumed)

        Recent
        14:09:17 checkout     endpoint http://127.0.0.1:9003 up → down: 3 connects in a row failed
        14:06:42 catalog      endpoint http://127.0.0.1:9011 up → down: health check: 503
        12:10:52              configuration loaded
        ↑↓ select  q quit
        ");
    }

    #[test]
    fn old_figures_say_so_and_why() {
        let mut view = View::new(made_up());
        view.on_failure("connection refused".to_owned());
        assert!(!screen(&view, Look::plain(80), 24, 4).contains("last data"));
        let text = screen(&view, Look::plain(80), 24, 12);
        assert!(
            text.contains("last data 14:10:52, 12 s ago: connection refused"),
            "{text}"
        );
    }

    #[test]
    fn the_selection_stays_on_its_service_when_the_order_changes() {
        let mut view = View::new(made_up());
        view.select_by(1);
        assert_eq!(view.selected.as_deref(), Some("checkout"));
        let mut calm = made_up();
        for service in &mut calm.services {
            service.objectives[0].budget_left = Some(1.0);
        }
        view.on_snapshot(calm);
        view.select_by(0);
        assert_eq!(view.selected.as_deref(), Some("checkout"));
        view.select_by(isize::MIN);
        view.select_by(isize::MAX);
        assert!(view.selected.is_some());
    }

    #[test]
    fn a_low_screen_keeps_the_most_pressing_rows() {
        let text = screen(&View::new(made_up()), Look::plain(80), 9, 0);
        assert!(text.contains("■ reports"), "{text}");
        assert!(text.contains("more"), "{text}");
        assert!(text.contains("q quit"), "{text}");
        for height in 1..30 {
            for width in [20, 40, 60, 79, 80, 100, 120, 160] {
                let look = Look {
                    unicode: height % 2 == 0,
                    ..Look::plain(width)
                };
                let _fits = screen(&View::new(made_up()), look, height, 60);
            }
        }
    }
}
