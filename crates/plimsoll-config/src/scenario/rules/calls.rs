//! What must hold for calls between services: they end somewhere, and a run of them fits.

use std::collections::BTreeMap;

use super::error;
use super::size::UNDER_WAY_MAX;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Field, Fields};
use crate::scheme::any_of;

/// How many calls may follow from each other: more than what a person would draw.
const DEPTH_MAX: usize = 8;
/// How many circles are shown at once.
const CIRCLES_MAX: usize = 10;

/// Which service calls which.
pub(super) struct Graph<'a> {
    services: BTreeMap<&'a str, Vec<Edge<'a>>>,
    /// All of them, each before those that it calls.
    order: Vec<&'a str>,
}

struct Edge<'a> {
    callee: &'a str,
    field: &'a Field,
    /// The most of its calls that are under way at once because workers wait for them; `None`: nothing bounds them.
    at_once_max: Option<f64>,
}

impl<'a> Graph<'a> {
    /// Of the calls of services, which are checked. `None` if there are more circles than are shown.
    pub(super) fn new(services: &'a Fields, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut edges = BTreeMap::new();
        for (name, field) in services.iter() {
            let fields = field.node.as_table();
            let calls = fields.and_then(|it| it.table("calls"));
            let count = |key| fields?.count::<u32>(key).map(f64::from);
            let at_once_max = count("workers").zip(count("endpoints"));
            let at_once_max = at_once_max.map(|(workers, endpoints)| workers * endpoints);
            let calls = calls.into_iter().flat_map(Fields::iter);
            let (known, unknown): (Vec<_>, Vec<_>) =
                calls.partition(|(callee, _)| services.field(callee).is_some());
            for (callee, call) in unknown {
                diagnostics.push(no_such_service(name, callee, call, services));
            }
            let edge = |(callee, field)| Edge {
                callee,
                field,
                at_once_max,
            };
            edges.insert(name, known.into_iter().map(edge).collect());
        }
        let mut graph = Self {
            services: edges,
            order: Vec::new(),
        };
        for _ in 0..CIRCLES_MAX {
            let Some(circle) = graph.sort() else {
                break;
            };
            graph.cut(&circle, diagnostics);
        }
        graph.check_depth(diagnostics);
        (graph.order.len() == services.iter().count()).then_some(graph)
    }

    /// Puts services in order. Gives a circle if there is one, each of which calls the next, and the last the first.
    fn sort(&mut self) -> Option<Vec<&'a str>> {
        let mut callers: BTreeMap<&str, usize> = BTreeMap::new();
        for edge in self.services.values().flatten() {
            *callers.entry(edge.callee).or_default() += 1;
        }
        let uncalled = |name: &&&str| !callers.contains_key(**name);
        let mut ready: Vec<&str> = self.services.keys().filter(uncalled).copied().collect();
        self.order.clear();
        while let Some(name) = ready.pop() {
            self.order.push(name);
            for edge in self.edges(name) {
                if let Some(left) = callers.get_mut(edge.callee) {
                    *left -= 1;
                    if *left == 0 {
                        callers.remove(edge.callee);
                        ready.push(edge.callee);
                    }
                }
            }
        }
        // Each of those that are left is called by one that is left: back from caller to caller.
        let mut path = vec![*callers.keys().next()?];
        loop {
            let called = *path.last()?;
            let mut left = callers.keys().copied();
            let caller = left.find(|name| self.edges(name).any(|edge| edge.callee == called))?;
            if let Some(begins) = path.iter().position(|name| *name == caller) {
                let mut circle = path.split_off(begins);
                circle.reverse();
                // The same, from the first by name.
                let first = circle.iter().enumerate().min_by_key(|(_, name)| **name);
                let first = first.map_or(0, |(place, _)| place);
                circle.rotate_left(first);
                return Some(circle);
            }
            path.push(caller);
        }
    }

    /// Reports a circle, and takes the call away that closes it.
    fn cut(&mut self, circle: &[&'a str], diagnostics: &mut Vec<Diagnostic>) {
        let (Some(first), Some(last)) = (circle.first(), circle.last()) else {
            return;
        };
        let Some(edges) = self.services.get_mut(last) else {
            return;
        };
        if let Some(place) = edges.iter().position(|edge| edge.callee == *first) {
            let field = edges.remove(place).field;
            let path = circle.iter().chain([first]).copied().collect::<Vec<_>>();
            let message = format!("the calls of service `{first}` come back to it");
            diagnostics.push(
                error(&field.key_span, "contradiction", message)
                    .label(path.join(" \u{2192} "))
                    .help("leave one of these calls out"),
            );
        }
    }

    /// Reports the calls that are too far from where they began.
    fn check_depth(&self, diagnostics: &mut Vec<Diagnostic>) {
        // By service, the longest way to it.
        let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in &self.order {
            let mut way = ways.remove(name).unwrap_or_default();
            way.push(name);
            for edge in self.edges(name) {
                if way.len() > DEPTH_MAX {
                    let message = format!("calls are more than {DEPTH_MAX} deep");
                    diagnostics.push(
                        error(&edge.field.key_span, "out-of-range", message)
                            .label(format!("{} \u{2192} {}", way.join(" \u{2192} "), edge.callee))
                            .help(format!("at most {DEPTH_MAX} calls, each because of the one before, were expected")),
                    );
                    continue;
                }
                let longest = ways.entry(edge.callee).or_default();
                if longest.len() < way.len() {
                    longest.clone_from(&way);
                }
            }
        }
    }

    fn edges(&self, name: &str) -> impl Iterator<Item = &Edge<'a>> {
        self.services.get(name).into_iter().flatten()
    }

    /// How many calls come of so many requests to services, by their names.
    pub(super) fn calls_of(&self, requests: BTreeMap<&'a str, f64>) -> f64 {
        let flow = self.flow(requests);
        flow.into_iter().map(|(_, _, calls)| calls).sum()
    }

    /// What is sent to services each second if so much is sent to them from outside, their calls included; and how much of
    /// that may be given up: a call that is holds its worker for its timeout.
    pub(super) fn reach(&self, rates: &BTreeMap<&'a str, f64>) -> BTreeMap<&'a str, [f64; 2]> {
        let rates = rates.iter();
        let mut all: BTreeMap<_, _> = rates.map(|(name, rate)| (*name, [*rate; 2])).collect();
        let from_outside = all.iter().map(|(name, [rate, _])| (*name, *rate));
        for (_, edge, calls) in self.flow(from_outside.collect()) {
            let timeout = edge.call().and_then(|call| call.duration("timeout"));
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            let given_up = edge
                .at_once_max
                .map_or(calls, |max| calls.min(max / seconds));
            let [sent, gone] = all.entry(edge.callee).or_default();
            *sent += calls;
            *gone += given_up;
        }
        all
    }

    /// How many kinds of calls there are.
    pub(super) fn len(&self) -> usize {
        self.services.values().map(Vec::len).sum()
    }

    /// How many calls may be under way while so many requests a second are sent to services. One of which there may be
    /// too many is reported.
    pub(super) fn under_way(
        &self,
        rates: BTreeMap<&'a str, f64>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> f64 {
        let mut all = 0.0;
        for (caller, edge, rate) in self.flow(rates) {
            let timeout = edge.call().and_then(|call| call.duration("timeout"));
            let at_once = rate * timeout.unwrap_or_default().as_secs_f64();
            let at_once = edge.at_once_max.map_or(at_once, |max| max.min(at_once));
            all += at_once;
            if at_once > UNDER_WAY_MAX {
                let callee = edge.callee;
                let message = format!(
                    "service `{caller}` may have {at_once:.0} calls of `{callee}` under way"
                );
                diagnostics.push(
                    error(&edge.field.key_span, "too-large", message)
                        .label(format!(
                            "at most {UNDER_WAY_MAX:.0} was expected: they would not fit in memory"
                        ))
                        .help("a smaller `share`, a shorter `timeout`, or fewer `attempts`"),
                );
            }
        }
        all
    }

    /// How many calls there are of each kind if there are so many requests from outside, with the caller's name.
    fn flow(&self, mut requests: BTreeMap<&'a str, f64>) -> Vec<(&'a str, &Edge<'a>, f64)> {
        let mut flow = Vec::new();
        for name in &self.order {
            let requests_here = requests.get(name).copied().unwrap_or(0.0);
            for edge in self.edges(name) {
                let Some(call) = edge.call() else {
                    continue;
                };
                let share = call.percent("share").map_or(1.0, |share| share.get());
                let attempts = f64::from(call.count("attempts").unwrap_or(1_u8));
                let calls = requests_here * share * attempts;
                *requests.entry(edge.callee).or_default() += calls;
                flow.push((*name, edge, calls));
            }
        }
        flow
    }
}

impl<'a> Edge<'a> {
    fn call(&self) -> Option<&'a Fields> {
        self.field.node.as_table()
    }
}

fn no_such_service(caller: &str, callee: &str, call: &Field, services: &Fields) -> Diagnostic {
    let names = || services.iter().map(|(name, _)| name);
    let listed = || any_of(&names().map(|name| format!("`{name}`")).collect::<Vec<_>>());
    let message = format!("service `{caller}` calls `{callee}`, which is not there");
    let diagnostic =
        error(&call.key_span, "no-such-service", message).label("no `[service]` of this name");
    match nearest(callee, names()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!("there is {}", listed())),
    }
}
