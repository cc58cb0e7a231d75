//! What a process hears of an incident: what its governor and its onsets are told, second by second.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use plimsoll_core::{Instant, Mode, Ratio, Timestamp};
use plimsoll_governor::{
    Change, ChangeKind, Look, Onsets, Parameters, Part, PartKind, Scope, ServiceParameters,
    Standing,
};
use plimsoll_lifecycle::Settlement;
use plimsoll_measure::{
    Cause, Judged, ObjectiveSpec, OnsetView, Outcome, Period, REFUSALS, Sli, Tally,
};
use plimsoll_policy::{DownCause, Method, Verdict};

use super::draw::{Incident, endpoint};
use crate::fleet::Simulation;
use crate::governing::{Counting, Decisions, Governed, Governing};
use crate::random::Stream;
use crate::search::Setting;

/// When runs begin.
pub(super) const EPOCH: u64 = 1_000_000;
const SERVICE: &str = "shop";
const OBJECTIVE: &str = "latency";
/// What the last minute brought is kept by the second.
const MINUTE: u64 = 60;

/// Runs an incident until what is known of the onset has been said for the second time.
pub(super) fn listen(incident: &Incident) -> Option<OnsetView> {
    let mut ears = Ears::new(incident);
    let mut simulation = ears.simulation();
    let (mut found, mut said) = (None, 0);
    for second in 0.. {
        if !simulation.advance(Duration::from_secs(1)) {
            break;
        }
        let heard = simulation.heard();
        ears.on_verdicts(second, simulation.verdicts());
        for onset in ears.on_second(second, heard) {
            said += 1;
            found = Some(onset);
        }
        if said == 2 {
            break;
        }
    }
    // What is under way is cut off.
    simulation.finish();
    found
}

/// What a minute brought to each part.
type Parts = BTreeMap<(PartKind, String), Tally>;

struct Ears<'a> {
    incident: &'a Incident,
    names: Vec<String>,
    governing: Governing,
    counted: Vec<Counting>,
    onsets: Onsets,
    /// Of the shop: the last seconds, each with its parts.
    seconds: VecDeque<(Judged, Parts)>,
    up: BTreeMap<usize, bool>,
    mars: Stream,
    decisions: Decisions,
    below: Duration,
}

impl<'a> Ears<'a> {
    fn new(incident: &'a Incident) -> Self {
        let governed = governed(incident);
        let services = &incident.scenario.services;
        let shop = services.iter().find(|it| it.name == SERVICE);
        let mut onsets = Onsets::default();
        let is_before = |it: &&Change| it.at.as_seconds() < EPOCH;
        for change in incident.changes.iter().filter(is_before) {
            onsets.on_change(change.clone());
        }
        Self {
            incident,
            names: services.iter().map(|it| it.name.clone()).collect(),
            counted: Counting::all(&governed),
            governing: Governing::new(&governed),
            onsets,
            seconds: VecDeque::new(),
            up: BTreeMap::new(),
            mars: Stream::new(incident.seed, "mars"),
            decisions: Decisions::default(),
            below: shop.map_or(Duration::ZERO, |it| it.objective),
        }
    }

    /// Protection is that of production, but for what keeps requests from an endpoint for how it answers: it is not taken out, and
    /// takes its turn. Else most of what goes wrong at one is over before anybody is called.
    fn simulation(&self) -> Simulation {
        let scenario = &self.incident.scenario;
        let mut protections = Setting { retries: false }.protections(scenario);
        for protection in &mut protections {
            protection.endpoint.breaker = Mode::Off;
            protection.endpoint.ejection = Mode::Off;
            protection.method = Method::RoundRobin;
        }
        let mut simulation = Simulation::new(scenario, &protections, self.incident.seed);
        simulation.hear();
        simulation
    }

    /// Endpoints that went or came.
    fn on_verdicts(&mut self, second: u64, verdicts: Vec<(usize, usize, Verdict)>) {
        for (service, place, verdict) in verdicts {
            if self.names.get(service).is_none_or(|it| it != SERVICE) {
                continue;
            }
            let is_up = match verdict {
                Verdict::Up { .. } => true,
                Verdict::Down(DownCause::Connect | DownCause::Checks) => false,
                _ => continue,
            };
            if self.up.insert(place, is_up).unwrap_or(true) == is_up {
                continue;
            }
            let name = endpoint(place);
            // That one refuses connections is noticed within a second.
            let (kind, does, at) = match is_up {
                true => (ChangeKind::EndpointCame, "up", second),
                false => (ChangeKind::EndpointGone, "down", second.saturating_sub(1)),
            };
            let at = Timestamp::from_seconds(EPOCH + at);
            let what = format!("endpoint {name} is {does}");
            let change = Change::endpoint(at, SERVICE, &name, kind, &what);
            self.onsets.on_change(change);
        }
    }

    /// What a second brought. Says what there is to say of an onset of the shop.
    fn on_second(&mut self, second: u64, heard: Vec<Settlement>) -> Vec<OnsetView> {
        let now = EPOCH + second;
        let due = |it: &&Change| it.at.as_seconds() == now;
        for change in self.incident.changes.iter().filter(due) {
            self.onsets.on_change(change.clone());
        }
        let mut tallies = vec![Tally::default(); self.names.len()];
        let (mut judged, mut parts) = (Judged::default(), Parts::new());
        for mut settlement in heard {
            self.count(
                second,
                &mut settlement,
                &mut tallies,
                &mut judged,
                &mut parts,
            );
        }
        self.seconds.push_back((judged, parts));
        if self.seconds.len() as u64 > MINUTE {
            self.seconds.pop_front();
        }
        for (name, tally) in self.names.iter().zip(tallies) {
            self.onsets.on_second(name, OBJECTIVE, now, tally);
        }
        self.decide(now);
        let (all, parts) = self.last_minute();
        if now.is_multiple_of(MINUTE) {
            self.onsets
                .on_minute(SERVICE, OBJECTIVE, now, || parts.clone());
        }
        let look = |service: &str, _: &str| match service == SERVICE {
            true => Look {
                judged: all,
                parts: parts.clone(),
                split: Vec::new(),
            },
            false => Look::default(),
        };
        let at = Timestamp::from_seconds(now);
        let said = self.onsets.due(now, at, self.governing.governor(), look);
        let of_shop = said.into_iter().filter(|(service, _)| service == SERVICE);
        of_shop.map(|(_, onset)| onset).collect()
    }

    fn count(
        &mut self,
        second: u64,
        settlement: &mut Settlement,
        tallies: &mut [Tally],
        judged: &mut Judged,
        parts: &mut Parts,
    ) {
        let Some(service) = settlement.service.map(|it| it.index()) else {
            return;
        };
        let workloads = &self.incident.scenario.workloads;
        let sender = settlement.route.and_then(|it| workloads.get(it.index()));
        let name = sender.map_or("", |it| it.name.as_str());
        let is_shop = self.names.get(service).is_some_and(|it| it == SERVICE);
        if let Some(marred) = self.incident.marred.as_ref().filter(|_| is_shop) {
            let since = second.checked_sub(self.incident.begins);
            let shares = marred.shares.iter().rev();
            let share = since.and_then(|since| shares.clone().find(|(from, _)| *from <= since));
            let is_of = marred
                .of
                .is_none_or(|of| name.split("-of-").any(|it| it == of));
            if let Some((_, share)) = share.filter(|_| is_of)
                && self.mars.chance(*share)
            {
                settlement.cause = marred.cause;
            }
        }
        if let Some(counting) = self.counted.get_mut(service) {
            counting.add(settlement.class, settlement.cause, settlement.latency());
        }
        let services = &self.incident.scenario.services;
        let below = services.get(service).map_or(self.below, |it| it.objective);
        let outcome =
            Sli::Latency { below }.judge(settlement.cause.outcome(), settlement.latency());
        let one = match outcome {
            Outcome::Good => Tally { good: 1, bad: 0 },
            Outcome::Bad => Tally { good: 0, bad: 1 },
            Outcome::Excluded => return,
        };
        if let Some(tally) = tallies.get_mut(service) {
            *tally += one;
        }
        if !is_shop {
            return;
        }
        judged.tally += one;
        if outcome == Outcome::Bad {
            match settlement.cause {
                cause if REFUSALS.contains(&cause) => judged.refused += 1,
                Cause::Answered | Cause::Timeout | Cause::Stalled => judged.late += 1,
                _ => judged.failed += 1,
            }
        }
        let mut note = |kind, name: String| *parts.entry((kind, name)).or_default() += one;
        if let Some(place) = settlement.endpoint {
            note(PartKind::Endpoint, endpoint(place.index()));
        }
        if let Some((route, tenant)) = name.split_once("-of-") {
            note(PartKind::Route, route.to_owned());
            note(PartKind::Tenant, tenant.to_owned());
        }
    }

    /// The governor judges the second. What it moves is not done, but it is known as if it were.
    fn decide(&mut self, now: u64) {
        let begin = self.decisions.noted.len();
        let at = Instant::from_nanos(now * 1_000_000_000);
        self.governing.tick(
            at,
            0,
            &mut self.counted,
            |_| Standing::default(),
            &mut self.decisions,
        );
        for noted in self.decisions.noted.iter().skip(begin) {
            if noted.what == "page" && noted.service == SERVICE {
                self.onsets.on_page(SERVICE, OBJECTIVE, target(), now);
            }
            if let Some((actuator, _, to)) = noted.moved {
                let at = Timestamp::from_seconds(now);
                self.onsets.on_change(Change {
                    kind: ChangeKind::Decided,
                    ..Change::made(at, Scope::service(&noted.service), actuator.says(to))
                });
            }
        }
    }

    fn last_minute(&self) -> (Judged, Vec<Part>) {
        let (mut all, mut sums) = (Judged::default(), Parts::new());
        for (judged, parts) in &self.seconds {
            all += *judged;
            for (key, tally) in parts {
                *sums.entry(key.clone()).or_default() += *tally;
            }
        }
        let part = |((kind, name), tally)| Part { kind, name, tally };
        (all, sums.into_iter().map(part).collect())
    }
}

fn target() -> Ratio {
    Ratio::of(99, 100).unwrap_or(Ratio::ONE)
}

fn governed(incident: &Incident) -> Governed {
    let services = &incident.scenario.services;
    let depends_on = |place: usize| {
        let calls = services
            .get(place)
            .map_or(&[] as &[_], |it| it.calls.as_slice());
        let called = calls.iter().filter_map(|call| services.get(call.service));
        called.map(|it| it.name.clone()).collect()
    };
    let specs = |below| {
        vec![ObjectiveSpec {
            name: OBJECTIVE.to_owned(),
            sli: Sli::Latency { below },
            target: target(),
            period: Period::Rolling(Duration::from_secs(28 * 86_400)),
            classes: Vec::new(),
            routes: Vec::new(),
        }]
    };
    let parameters = services.iter().enumerate().map(|(place, service)| {
        let parameters = ServiceParameters {
            tier: 1,
            mode: Mode::Enforce,
            objectives: vec![(OBJECTIVE.to_owned(), target())],
            depends_on: depends_on(place),
            ..ServiceParameters::default()
        };
        (service.name.clone(), parameters)
    });
    Governed {
        parameters: Parameters {
            services: parameters.collect(),
            rules: Vec::new(),
        },
        services: services
            .iter()
            .map(|it| (it.name.clone(), specs(it.objective)))
            .collect(),
        gives_up: BTreeMap::new(),
    }
}
