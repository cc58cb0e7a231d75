//! The page `/`: the fleet as of the last snapshot, complete as sent, without script.
//!
//! In the console's visual language: position and word before colour; an unknown is hatched and says so;
//! every figure has its unit and window. No `style` attribute anywhere, so that the strict policy holds.
//! Invariant: every text that comes from a snapshot is escaped.

mod protection;

use std::fmt::Write;

use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{
    EndpointView, EventView, Mark, ObjectiveView, ServiceView, Snapshot, figure,
};
use plimsoll_plot::SYMBOLS;

/// Seconds between two loads of the page.
const REFRESH_SECONDS: u32 = 5;

pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut services: Vec<&ServiceView> = snapshot.services.iter().collect();
    services.sort_by(|a, b| {
        urgency(a)
            .cmp(&urgency(b))
            .then_with(|| left(a).total_cmp(&left(b)))
    });

    let mut out = String::with_capacity(16 << 10);
    head(&mut out, snapshot);
    out.push_str("<main id=\"main\"><h1 class=\"vh\">Fleet</h1>\n");
    warnings(&mut out, snapshot);
    strip(&mut out, snapshot, &services);
    fleet(&mut out, snapshot, &services);
    endpoints(&mut out, snapshot, &services);
    out.push_str(LEGEND);
    out.push_str("</main>\n");
    foot(&mut out, snapshot);
    out
}

const LEGEND: &str = "<section aria-label=\"How to read this page\" class=\"legend\">\
<span><svg aria-hidden=\"true\"><use href=\"#c-healthy\"/></svg>healthy</span>\
<span class=\"burning\"><svg aria-hidden=\"true\"><use href=\"#c-burning\"/></svg>burning: over 1\u{d7} in 5m and 1h</span>\
<span class=\"exhausted\"><svg aria-hidden=\"true\"><use href=\"#c-exhausted\"/></svg>exhausted: no budget left</span>\
<span class=\"unknown\"><svg aria-hidden=\"true\"><use href=\"#c-unknown\"/></svg>unknown: no traffic, or no objective</span>\
<span>Water is budget spent over what was observed of the period; the gap up to the load line is the budget left. \
Rates are over 10 s, latency and errors over 1 min. Hatched is what Plimsoll refused, as a share of each class; \
empty: nothing of that class came.</span></section>\n";

/// The most pressing first; unknown before healthy.
fn urgency(service: &ServiceView) -> u8 {
    match service.mark() {
        Mark::Exhausted => 0,
        Mark::Burning => 1,
        Mark::Unknown => 2,
        Mark::Healthy => 3,
    }
}

fn left(service: &ServiceView) -> f64 {
    service
        .tightest()
        .and_then(|objective| objective.budget_left)
        .unwrap_or(f64::INFINITY)
}

fn head(out: &mut String, snapshot: &Snapshot) {
    let now = Time(snapshot.now);
    let instance = Text(&snapshot.instance);
    put(
        out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\"><title>Fleet \u{b7} {instance} \u{b7} Plimsoll</title>\
<link rel=\"stylesheet\" href=\"/tokens.css\"><link rel=\"stylesheet\" href=\"/console.css\">\
<link rel=\"stylesheet\" href=\"/page.css\"></head>\n<body>\n{SYMBOLS}\
<a class=\"skip\" href=\"#main\">Skip to content</a>\n\
<header class=\"top\"><div><a class=\"brand\" href=\"/\"><svg viewBox=\"0 0 34 20\" aria-hidden=\"true\">\
<circle cx=\"17\" cy=\"10\" r=\"7.5\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.2\"/>\
<path d=\"M2 10h30\" stroke=\"currentColor\" stroke-width=\"2.2\"/></svg>Plimsoll</a>\
<nav aria-label=\"Pages\"><ul><li><a href=\"/\" aria-current=\"page\">Fleet</a></li></ul></nav>\
<div class=\"meta\"><span>{instance}</span><span>as of {now} UTC</span></div></div></header>\n"
        ),
    );
}

fn warnings(out: &mut String, snapshot: &Snapshot) {
    let observing = match snapshot.mode {
        Mode::Enforce => None,
        Mode::Observe => Some("Observing only: policies decide and count, nothing acts."),
        Mode::Off => Some("All policies are off."),
    };
    if snapshot.warnings.is_empty() && observing.is_none() && snapshot.overlay.is_empty() {
        return;
    }
    out.push_str("<section class=\"panel pad warn\" aria-label=\"Warnings\"><ul>");
    for warning in observing
        .into_iter()
        .chain(snapshot.warnings.iter().map(String::as_str))
    {
        put(out, format_args!("<li>{}</li>", Text(warning)));
    }
    for entry in &snapshot.overlay {
        let (service, sentence) = (Text(&entry.service), entry.sentence());
        put(out, format_args!("<li>{service}: {}</li>", Text(&sentence)));
    }
    out.push_str("</ul></section>\n");
}

fn strip(out: &mut String, snapshot: &Snapshot, services: &[&ServiceView]) {
    put(
        out,
        format_args!(
            "<section class=\"panel strip plain\" aria-label=\"State of the fleet\"><div>\
<p class=\"label\">{} service{}, most urgent first</p><div class=\"marks\">",
            services.len(),
            if services.len() == 1 { "" } else { "s" }
        ),
    );
    for service in services {
        let (mark, name) = (service.mark().name(), Text(&service.name));
        put(
            out,
            format_args!(
                "<span class=\"{mark}\" role=\"img\" aria-label=\"{name}: {mark}\"><svg aria-hidden=\"true\">\
<title>{name}: {mark}</title><use href=\"#c-{mark}\"/></svg></span>"
            ),
        );
    }
    let count = |mark: Mark| {
        services
            .iter()
            .filter(|service| service.mark() == mark)
            .count()
    };
    let sentence: Vec<String> = [Mark::Exhausted, Mark::Burning, Mark::Unknown, Mark::Healthy]
        .into_iter()
        .filter(|mark| count(*mark) > 0)
        .map(|mark| format!("{} {}", count(mark), mark.name()))
        .collect();
    let sentence = if sentence.is_empty() {
        "No service".to_owned()
    } else {
        sentence.join(", ")
    };
    let total: Option<f64> = services
        .iter()
        .map(|service| service.traffic.requests_per_second)
        .sum();
    put(
        out,
        format_args!(
            "</div><p class=\"big\">{sentence}</p><dl class=\"facts\">\
<div><dt>Traffic, 10 s</dt><dd>{}/s</dd></div><div><dt>Connections</dt><dd>{}</dd></div>\
<div><dt>Up</dt><dd>{}</dd></div></dl></div>\n",
            figure::rate(total),
            figure::count(snapshot.connections),
            figure::duration(snapshot.uptime_seconds)
        ),
    );
    out.push_str("<div><p class=\"label\">Recent events</p>");
    if snapshot.recent_events.is_empty() {
        out.push_str("<p class=\"q\">None since the start.</p>");
    }
    out.push_str("<ol class=\"dec\">");
    for event in snapshot.recent_events.iter().take(8) {
        put(out, format_args!("{}", Event(event)));
    }
    out.push_str("</ol></div></section>\n");
}

fn fleet(out: &mut String, snapshot: &Snapshot, services: &[&ServiceView]) {
    out.push_str("<section class=\"panel\" aria-label=\"Services\"><div class=\"head\"><h2>Services</h2></div>\n");
    if services.is_empty() {
        out.push_str(
            "<div class=\"pad\"><p>No service yet. Two lines in the configuration add one:</p>\
<p class=\"code\">[service.shop]<br>endpoints = [\"http://127.0.0.1:9001\"]</p>\
<p>Then <code>plimsoll check FILE</code>.</p></div></section>\n",
        );
        return;
    }
    out.push_str(
        "<table class=\"fleet\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">\
<th role=\"columnheader\" scope=\"col\">Service</th><th role=\"columnheader\" scope=\"col\">Budget says</th>\
<th role=\"columnheader\" scope=\"col\">Error budget against its load line</th>\
<th role=\"columnheader\" scope=\"col\" class=\"r\">Burn rate 1h</th>\
<th role=\"columnheader\" scope=\"col\" class=\"r\">Traffic, 10 s</th>\
<th role=\"columnheader\" scope=\"col\">P99, 1 min / objective</th>\
<th role=\"columnheader\" scope=\"col\">Limit and queue</th>\
<th role=\"columnheader\" scope=\"col\">Refused %, 1 min<div class=\"shedhead\"><abbr title=\"critical\">crit</abbr>\
<abbr title=\"standard\">std</abbr><abbr title=\"sheddable\">shed</abbr></div></th>\
<th role=\"columnheader\" scope=\"col\">Not good, 1 min</th></tr></thead><tbody role=\"rowgroup\">\n",
    );
    for service in services {
        row(out, snapshot, service);
    }
    out.push_str("</tbody></table></section>\n");
}

fn row(out: &mut String, snapshot: &Snapshot, service: &ServiceView) {
    let mark = service.mark().name();
    let owner = service
        .owner
        .as_deref()
        .map(|owner| format!("{} \u{b7} ", Text(owner)))
        .unwrap_or_default();
    let (quiet, name, tier) = (
        if mark == "healthy" { " quiet" } else { "" },
        Text(&service.name),
        service.tier,
    );
    put(
        out,
        format_args!(
            "<tr role=\"row\" class=\"{mark}{quiet}\"><th scope=\"row\" role=\"rowheader\"><div class=\"two\">\
<span class=\"name\">{name}</span><span class=\"s q\">{owner}tier {tier}</span></div></th>\
<td role=\"cell\" class=\"td-cond\"><span class=\"cond {mark}\"><svg aria-hidden=\"true\">\
<use href=\"#c-{mark}\"/></svg>{mark}</span></td>"
        ),
    );
    out.push_str("<td role=\"cell\" class=\"td-gauge\"><div class=\"gauge\">");
    gauge(out, service.tightest(), snapshot.now);
    out.push_str("</div></td>");

    let burn = |window| {
        service
            .tightest()
            .and_then(|objective| objective.burn_over(window))
    };
    put(
        out,
        format_args!(
            "<td role=\"cell\" class=\"td-burn\"><div class=\"burn\"><div class=\"two r\">\
<span class=\"b tone {mark}\">{}</span><span class=\"xs qq n\">5m {}</span></div></div></td>",
            unknown(figure::burn(burn("1h"))),
            unknown(figure::burn(burn("5m")))
        ),
    );
    let in_flight = service.in_flight.map_or_else(String::new, |count| {
        format!(
            "<span class=\"xs qq n\">{} in flight</span>",
            figure::count(count)
        )
    });
    put(
        out,
        format_args!(
            "<td role=\"cell\" class=\"td-tr\"><div class=\"two r\"><span class=\"n\">{}/s</span>{in_flight}</div></td>",
            figure::rate(service.traffic.requests_per_second)
        ),
    );
    let latency = service.traffic.latency;
    let objective = service
        .latency_objective_seconds()
        .map_or_else(String::new, |below| {
            format!(
                " <span class=\"qq\">/ {}</span>",
                figure::latency(Some(below), " ")
            )
        });
    let over = match (latency.p99_seconds, service.latency_objective_seconds()) {
        (Some(p99), Some(below)) if p99 > below => " class=\"b tone burning\"",
        _ => "",
    };
    put(
        out,
        format_args!(
            "<td role=\"cell\" class=\"td-lat lat\"><div class=\"two\"><span class=\"n\"><span{over}>{}</span>{objective}</span>\
<span class=\"xs qq n\">P50 {}</span></div></td>",
            unknown(figure::latency(latency.p99_seconds, " ")),
            unknown(figure::latency(latency.p50_seconds, " "))
        ),
    );
    protection::cells(out, service);
    out.push_str("<td role=\"cell\" class=\"s q\">");
    for (place, error) in service.traffic.errors.iter().take(3).enumerate() {
        let separator = if place > 0 { ", " } else { "" };
        let share = figure::percent(Some(error.share), " ");
        put(
            out,
            format_args!("{separator}{} {share}", error.cause.name()),
        );
    }
    out.push_str("</td></tr>\n");
}

/// The load line: water is what is spent, the line is all of it.
fn gauge(out: &mut String, objective: Option<&ObjectiveView>, now: Timestamp) {
    let Some((objective, left)) =
        objective.and_then(|objective| Some((objective, objective.budget_left?)))
    else {
        let why = if objective.is_some() {
            "no traffic yet"
        } else {
            "no objective"
        };
        put(
            out,
            format_args!(
                "<svg viewBox=\"0 0 136 44\" role=\"img\" aria-label=\"budget left unknown: {why}\">\
<rect x=\"0\" y=\"10\" width=\"108\" height=\"32\" fill=\"url(#hatch-unknown)\"/><use href=\"#mark\"/></svg>\
<div class=\"two\"><span class=\"left n\">unknown</span><span class=\"xs q n\">{why}</span></div>"
            ),
        );
        return;
    };
    // 32 px from the keel to the line; over it, 8 px more show that it is over, not by how much.
    let level = 42.0 - 32.0 * (1.0 - left).clamp(0.0, 1.25);
    let says = figure::forecast(objective.forecast, now);
    let figure = figure::budget_left(Some(left), " ");
    put(
        out,
        format_args!(
            "<svg viewBox=\"0 0 136 44\" role=\"img\" aria-label=\"budget left {figure}, {says}\">\
<path class=\"room\" d=\"M0 10H108V42H0Z\"/><path class=\"water\" d=\"M0 {level:.1}H108V42H0Z\"/>"
        ),
    );
    if level < 10.0 {
        put(
            out,
            format_args!("<path class=\"over\" d=\"M0 {level:.1}H108V10H0Z\"/>"),
        );
    }
    put(
        out,
        format_args!(
            "<path class=\"waterline\" d=\"M0 {level:.1}H108\"/><path class=\"draft\" d=\"M111 34h4\"/>\
<path class=\"draft\" d=\"M111 26h6\"/><path class=\"draft\" d=\"M111 18h4\"/><path class=\"draft\" d=\"M111 42h6\"/>\
<use href=\"#mark\"/><path class=\"wedge\" d=\"M109 {level:.1}l6 -3.5v7Z\"/></svg>\
<div class=\"two\"><span class=\"left n\">{figure} <span class=\"xs qq\">left, {}</span></span>\
<span class=\"xs q n\">{} \u{b7} {says}</span></div>",
            period(objective),
            Text(&objective.name)
        ),
    );
}

/// The period, and how much of it was observed where that is not all.
fn period(objective: &ObjectiveView) -> String {
    let period = objective.period();
    if objective.observed_seconds + 1.0 < objective.period_seconds {
        format!(
            "{} of {period}",
            figure::duration(objective.observed_seconds)
        )
    } else {
        period
    }
}

fn endpoints(out: &mut String, snapshot: &Snapshot, services: &[&ServiceView]) {
    out.push_str(
        "<section class=\"panel\" aria-label=\"Endpoints\"><div class=\"head\"><h2>Endpoints</h2></div>\
<div class=\"scroll\"><table class=\"endpoints\"><thead><tr><th scope=\"col\">Endpoint</th><th scope=\"col\">Service</th>\
<th scope=\"col\">State</th><th scope=\"col\" class=\"r\">In flight</th><th scope=\"col\" class=\"r\">Traffic, 10 s</th>\
<th scope=\"col\" class=\"r\">Bad, 1 min</th><th scope=\"col\" class=\"r\">P99, 1 min</th></tr></thead><tbody>\n",
    );
    for service in services {
        for endpoint in &service.endpoints {
            put(
                out,
                format_args!(
                    "<tr><th scope=\"row\" class=\"code\">{}</th><td>{}</td><td>{}</td><td class=\"r\">{}</td>\
<td class=\"r\">{}/s</td><td class=\"r\">{}</td><td class=\"r\">{}</td></tr>\n",
                    Text(&endpoint.name),
                    Text(&service.name),
                    state(endpoint, snapshot.now),
                    endpoint
                        .in_flight
                        .map_or_else(|| unknown(figure::UNKNOWN.to_owned()), figure::count),
                    figure::rate(endpoint.traffic.requests_per_second),
                    unknown(figure::percent(endpoint.traffic.bad_share, " ")),
                    unknown(figure::latency(endpoint.traffic.latency.p99_seconds, " "))
                ),
            );
        }
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn state(endpoint: &EndpointView, now: Timestamp) -> String {
    let since = endpoint.since.map_or_else(String::new, |since| {
        format!(
            " <span class=\"qq s\">for {}</span>",
            figure::duration(now.since(since).as_secs_f64())
        )
    });
    let tone = if endpoint.state.serves() {
        "q"
    } else {
        "b tone severe"
    };
    format!(
        "<span class=\"{tone}\">{}</span>{since}",
        endpoint.state.name()
    )
}

fn foot(out: &mut String, snapshot: &Snapshot) {
    let path = snapshot.config.path.as_deref().unwrap_or("without a file");
    put(
        out,
        format_args!(
            "<footer class=\"foot\"><span>Plimsoll {} \u{b7} configuration {} {} \u{b7} loaded {} UTC</span>\
<a href=\"/api/v1/status\">JSON</a></footer>\n</body></html>\n",
            Text(&snapshot.version),
            Text(path),
            Text(&snapshot.config.hash.chars().take(12).collect::<String>()),
            Time(snapshot.config.loaded_at)
        ),
    );
}

/// On a page, the word: a lone `?` is easily missed.
fn unknown(text: String) -> String {
    if text == figure::UNKNOWN {
        "unknown".to_owned()
    } else {
        text
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

/// Text in an element or a quoted attribute.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

struct Time(Timestamp);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "<time datetime=\"{}\">{}</time>",
            self.0.to_rfc3339(),
            figure::clock(self.0, 8)
        )
    }
}

struct Event<'a>(&'a EventView);

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let service = self.0.service.as_deref().unwrap_or("");
        write!(
            f,
            "<li><span class=\"q\">{}</span><span><span class=\"b\">{}</span> {}</span></li>",
            Time(self.0.at),
            Text(service),
            Text(&self.0.text)
        )
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::{ConfigView, EndpointState, SCHEMA, TrafficView};

    use super::*;

    #[test]
    fn what_comes_from_a_snapshot_cannot_become_markup() {
        let mut snapshot = empty();
        let evil = "<script>\"'&".to_owned();
        snapshot.instance.clone_from(&evil);
        snapshot.warnings.push(evil.clone());
        snapshot.services.push(service(&evil));
        let page = render(&snapshot);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;"));
    }

    #[test]
    fn what_is_unknown_is_never_shown_as_zero() {
        let mut snapshot = empty();
        snapshot.services.push(service("shop"));
        let page = render(&snapshot);
        assert!(page.contains("hatch-unknown"));
        assert!(page.contains("no objective"));
        assert!(!page.contains(">0.0"), "{page}");
        assert!(!page.contains(">0 %"), "{page}");
    }

    #[test]
    fn an_empty_fleet_says_how_to_add_a_service() {
        let page = render(&empty());
        assert!(page.contains("[service.shop]"));
        assert!(page.contains("No service"));
    }

    #[test]
    fn there_is_nothing_that_the_policy_forbids() {
        let mut snapshot = empty();
        snapshot.services.push(service("shop"));
        let page = render(&snapshot);
        assert!(!page.contains("style="));
        assert!(!page.contains("<script"));
        assert!(!page.contains("onload"));
    }

    #[test]
    fn what_people_have_set_is_said_with_who_why_and_until() {
        let mut snapshot = empty();
        snapshot.overlay.push(plimsoll_measure::OverlayView {
            id: "1".to_owned(),
            service: "shop".to_owned(),
            verb: "shed".to_owned(),
            level: Some(2),
            mode: None,
            says: "class sheddable is refused".to_owned(),
            by: "ana".to_owned(),
            why: "<it> melts".to_owned(),
            since: Timestamp::from_seconds(1_795_615_852),
            until: Timestamp::from_seconds(1_795_616_452),
            journal: Some(7),
        });
        let page = render(&snapshot);
        let said = "shop: class sheddable is refused, set by ana until 2026-11-25 14:20 UTC: &lt;it&gt; melts";
        assert!(page.contains(said), "{page}");
    }

    fn empty() -> Snapshot {
        Snapshot {
            schema: SCHEMA,
            version: "0.1.0".to_owned(),
            instance: "test".to_owned(),
            now: Timestamp::from_seconds(1_795_615_852),
            uptime_seconds: 60.0,
            mode: Mode::Enforce,
            config: ConfigView::default(),
            warnings: Vec::new(),
            connections: 0,
            services: Vec::new(),
            journeys: Vec::new(),
            overlay: Vec::new(),
            unrouted: TrafficView::default(),
            recent_events: Vec::new(),
            journal: None,
            notifiers: Vec::new(),
        }
    }

    fn service(name: &str) -> ServiceView {
        ServiceView {
            name: name.to_owned(),
            owner: Some(name.to_owned()),
            tier: 1,
            mode: Mode::Enforce,
            in_flight: None,
            serving_to_all: false,
            governed: None,
            maintenance: None,
            protection: None,
            traffic: TrafficView::default(),
            objectives: Vec::new(),
            endpoints: vec![EndpointView {
                name: name.to_owned(),
                state: EndpointState::Down,
                since: None,
                in_flight: None,
                traffic: TrafficView::default(),
            }],
            routes: Vec::new(),
        }
    }
}
