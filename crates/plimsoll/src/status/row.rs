//! A service as a row: mark, name, budget against its load line, burn, traffic, latency, limit and queue.
//!
//! The bar is budget spent, `o` is the load line, dots are what is left; a bar past `o` is over. Columns are
//! left out where the screen is narrow, in this order: the limiter's reason, endpoints, forecast and the
//! short burn rate, limit and queue and what was refused, bad, the objective of P99, requests per second.

use plimsoll_core::Timestamp;
use plimsoll_measure::{Mark, ObjectiveView, ServiceView, figure};

use super::look::{Look, clean, glyph, tone};
use super::protection::why;

/// Cells of the bar up to the load line.
const BAR: usize = 10;
const NAME_MIN: usize = 14;
const NAME_MAX: usize = 24;

/// The most pressing first, then by budget left; unknown before healthy.
pub(crate) fn by_urgency(services: &[ServiceView]) -> Vec<&ServiceView> {
    let mut sorted: Vec<&ServiceView> = services.iter().collect();
    let place = |service: &ServiceView| match service.mark() {
        Mark::Exhausted => 0,
        Mark::Burning => 1,
        Mark::Unknown => 2,
        Mark::Healthy => 3,
    };
    let left = |service: &ServiceView| {
        service
            .tightest()
            .and_then(|objective| objective.budget_left)
            .unwrap_or(f64::INFINITY)
    };
    sorted.sort_by(|a, b| {
        place(a)
            .cmp(&place(b))
            .then_with(|| left(a).total_cmp(&left(b)))
    });
    sorted
}

/// The columns that fit, and how wide the name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    name: usize,
    rate: bool,
    objective: bool,
    bad: bool,
    limit: bool,
    forecast: bool,
    endpoints: bool,
    reason: bool,
}

impl Columns {
    /// A mark and its gap, the bar, the figure of budget left, the burn rate.
    const FIXED: usize = 2 + (1 + BAR + 2) + 8 + 8;
    const RATE: usize = 9;
    const P99: usize = 9;
    const OBJECTIVE: usize = 9;
    const BAD: usize = 7;
    const LIMIT: usize = 11 + 8 + 7 + 11;
    const FORECAST: usize = 16 + 9;
    const ENDPOINTS: usize = 8;
    const REASON: usize = 15;

    fn of(look: Look) -> Self {
        let room = look
            .width
            .saturating_sub(Self::FIXED + Self::P99 + NAME_MIN);
        let mut taken = 0;
        // The first that does not fit leaves out what comes after it too: columns keep their order.
        let mut fits = |width: usize| {
            taken += width;
            taken <= room
        };
        let mut columns = Self {
            name: 0,
            rate: fits(Self::RATE),
            objective: fits(Self::OBJECTIVE),
            bad: fits(Self::BAD),
            limit: fits(Self::LIMIT),
            forecast: fits(Self::FORECAST),
            endpoints: fits(Self::ENDPOINTS),
            reason: fits(Self::REASON),
        };
        let taken: usize = [
            (columns.rate, Self::RATE),
            (columns.objective, Self::OBJECTIVE),
            (columns.bad, Self::BAD),
            (columns.limit, Self::LIMIT),
            (columns.forecast, Self::FORECAST),
            (columns.endpoints, Self::ENDPOINTS),
            (columns.reason, Self::REASON),
        ]
        .into_iter()
        .filter_map(|(shown, width)| shown.then_some(width))
        .sum();
        columns.name = (NAME_MIN + room.saturating_sub(taken)).min(NAME_MAX);
        columns
    }
}

/// The line over the rows.
pub(crate) fn header(services: &[ServiceView], look: Look) -> String {
    let columns = Columns::of(look);
    let period = common_period(services).map_or_else(String::new, |period| format!(" {period}"));
    let mut line = format!(
        "  {:<name$} {:<20}{:>8}",
        "service",
        format!("budget left{period}"),
        "burn 1h",
        name = columns.name
    );
    if columns.forecast {
        line.push_str(&format!("{:>9}  {:<14}", "5m", "budget is"));
    }
    if columns.rate {
        line.push_str(&format!("{:>9}", "req/s"));
    }
    line.push_str(&format!("{:>9}", "P99 1m"));
    if columns.objective {
        line.push_str(&format!("{:<9}", " / goal"));
    }
    if columns.bad {
        line.push_str(&format!("{:>7}", "bad 1m"));
    }
    if columns.limit {
        line.push_str(&format!(
            "{:>11}{:>8}{:>7}{:>11}",
            "in flight", "limit", "queue", "refused/s"
        ));
    }
    if columns.reason {
        line.push_str(&format!("  {:<13}", "limit is"));
    }
    if columns.endpoints {
        line.push_str(&format!("{:>8}", "up"));
    }
    look.cut(&line)
}

/// A service.
pub(crate) fn service(service: &ServiceView, now: Timestamp, look: Look) -> String {
    let columns = Columns::of(look);
    let mark = service.mark();
    let objective = service.tightest();
    let left = objective.and_then(|objective| objective.budget_left);
    let burn = |window| figure::burn(objective.and_then(|objective| objective.burn_over(window)));
    let name = look.cut_to(&clean(&service.name), columns.name);
    let mut line = format!(
        "{} {name:<width$} {:<12}{:>8}{:>8}",
        glyph(mark),
        bar(left, look.unicode),
        figure::budget_left(left, ""),
        burn("1h"),
        width = columns.name
    );
    if columns.forecast {
        let says = objective.map_or_else(
            || figure::UNKNOWN.to_owned(),
            |objective| figure::forecast(objective.forecast, now),
        );
        line.push_str(&format!("{:>9}  {says:<14}", burn("5m")));
    }
    if columns.rate {
        line.push_str(&format!(
            "{:>9}",
            figure::rate(service.traffic.requests_per_second)
        ));
    }
    line.push_str(&format!(
        "{:>9}",
        figure::latency(service.traffic.latency.p99_seconds, "")
    ));
    if columns.objective {
        let below = service.latency_objective_seconds();
        let goal = below.map_or_else(String::new, |below| {
            format!(" / {}", figure::latency(Some(below), ""))
        });
        line.push_str(&format!("{goal:<9}"));
    }
    if columns.bad {
        line.push_str(&format!(
            "{:>7}",
            figure::percent(service.traffic.bad_share, "")
        ));
    }
    if columns.limit {
        line.push_str(&limit(service));
    }
    if columns.reason {
        let protection = service.protection.as_ref();
        let reason = protection.map_or_else(|| figure::UNKNOWN.to_owned(), why);
        line.push_str(&format!("  {reason:<13}"));
    }
    if columns.endpoints {
        let up = service
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.state.serves())
            .count();
        let all = service.endpoints.len();
        line.push_str(&format!("{:>8}", format!("{up}/{all}")));
    }
    look.paint(tone(mark), &look.cut(look.text(&line).trim_end()))
}

/// In flight, limit, queue, refused per second. A limit that does not act is set in parentheses.
fn limit(service: &ServiceView) -> String {
    let unknown = || figure::UNKNOWN.to_owned();
    let in_flight = service.in_flight.map_or_else(unknown, figure::count);
    let Some(protection) = &service.protection else {
        return format!("{in_flight:>11}{:>8}{:>7}{:>11}", "?", "?", "?");
    };
    let limit = match protection.limit {
        Some(limit) if protection.limits() => figure::count(limit.into()),
        Some(limit) => format!("({})", figure::count(limit.into())),
        None => "none".to_owned(),
    };
    let queued = figure::count(protection.queued());
    let refused = figure::rate(protection.refused_per_second);
    format!("{in_flight:>11}{limit:>8}{queued:>7}{refused:>11}")
}

/// How much of its period the budget of a service is about, where that is not all of it.
pub(crate) fn observed(service: &ServiceView) -> Option<String> {
    let objective = service.tightest()?;
    // What is short of it by less than a percent is called all of it.
    (objective.observed_seconds < objective.period_seconds * 0.99).then(|| {
        let (observed, period) = (objective.observed_seconds, objective.period_seconds);
        format!(
            "{} of {}",
            figure::duration(observed),
            figure::duration(period)
        )
    })
}

/// What was not good over the last minute, the most frequent first.
pub(crate) fn causes(service: &ServiceView, causes_max: usize) -> String {
    let cause = |error: &plimsoll_measure::ErrorView| {
        format!(
            "{} {}",
            error.cause.name(),
            figure::percent(Some(error.share), "")
        )
    };
    service
        .traffic
        .errors
        .iter()
        .take(causes_max)
        .map(cause)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A line for each endpoint that gets no requests by choice.
pub(crate) fn endpoints_out(service: &ServiceView, now: Timestamp) -> Vec<String> {
    let out = service
        .endpoints
        .iter()
        .filter(|endpoint| !endpoint.state.serves());
    out.map(|endpoint| {
        let since = endpoint.since.map_or_else(String::new, |since| {
            format!(" for {}", figure::duration(now.since(since).as_secs_f64()))
        });
        format!(
            "endpoint {} {}{since}",
            clean(&endpoint.name),
            endpoint.state.name()
        )
    })
    .collect()
}

/// Budget spent against the load line. Always [`BAR`] cells and the line, and one more where it is over.
fn bar(left: Option<f64>, unicode: bool) -> String {
    let Some(left) = left else {
        return format!("{}o", "?".repeat(BAR));
    };
    let spent = 1.0 - left;
    if spent >= 1.0 {
        return format!("{}o{}", "▆".repeat(BAR), if spent > 1.0 { "▆" } else { "" });
    }
    // A hair more than the figure, so that 0.3 is drawn as three cells and not as two and seven eighths.
    let eighths = ((spent * BAR as f64 + 1e-9) * 8.0).max(0.0) as usize;
    let mut bar = "▆".repeat(eighths / 8);
    match eighths % 8 {
        0 => (),
        // ASCII has no parts of a cell: from half on it is full.
        part if !unicode => bar.push(if part >= 4 { '▆' } else { '·' }),
        part => bar.push(
            ['▏', '▎', '▍', '▌', '▋', '▊', '▉']
                .get(part - 1)
                .copied()
                .unwrap_or('▉'),
        ),
    }
    let drawn = bar.chars().count();
    format!("{bar}{}o", "·".repeat(BAR - drawn.min(BAR)))
}

/// The period of all objectives that are shown, where it is the same.
fn common_period(services: &[ServiceView]) -> Option<String> {
    let mut periods = services
        .iter()
        .filter_map(|service| service.tightest())
        .map(ObjectiveView::period);
    let first = periods.next()?;
    periods.all(|period| period == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(left: Option<f64>, expected: &str, ascii: &str) {
        assert_eq!(bar(left, true), expected);
        let look = Look {
            unicode: false,
            ..Look::plain(80)
        };
        assert_eq!(look.text(&bar(left, false)), ascii);
    }

    #[test]
    fn the_bar_is_budget_spent_against_the_load_line() {
        check(Some(1.0), "··········o", "..........o");
        check(Some(0.91), "▉·········o", "#.........o");
        check(Some(0.71), "▆▆▉·······o", "###.......o");
        check(Some(0.58), "▆▆▆▆▏·····o", "####......o");
        check(Some(0.36), "▆▆▆▆▆▆▍···o", "######....o");
        check(Some(0.7), "▆▆▆·······o", "###.......o");
        check(Some(0.0), "▆▆▆▆▆▆▆▆▆▆o", "##########o");
        check(Some(-0.08), "▆▆▆▆▆▆▆▆▆▆o▆", "##########o#");
        check(None, "??????????o", "??????????o");
    }
}
