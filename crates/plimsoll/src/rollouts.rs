//! The rollouts that are on, and those that were: what is kept of them over a restart, and how they are shown.
//!
//! What decides is `plimsoll_policy::rollout`; what splits and counts is the gateway's. Here is who began what, and the order of
//! routes: the machine is told counts by place, and a route keeps its place for as long as a run lasts.
//! Invariants: a run that was begun is in `rollouts.json` before whoever began it is told, and goes on from there after a restart; it goes by
//! the steps that it was begun with, whatever the configuration says by then.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use plimsoll_config::{Config, RolloutKind, SplitBy};
use plimsoll_core::{Mode, Ratio, Timestamp};
use plimsoll_gateway::{Plan, RolloutCounts};
use plimsoll_measure::{
    ArmView, Histogram, ObjectiveView, RolloutEvidenceView, RolloutPointView, RolloutPriceView,
    RolloutRunView, RolloutState, RolloutStepView, RolloutView, ServiceView, SparseHistogram,
    figure, wire,
};
use plimsoll_policy::flag::Guard;
use plimsoll_policy::rollout::{
    ArmCounts, Arms, Batching, Command, Event, Hold, Judging, Kind, Ladder, Observed, Outcome,
    Parameters, Person, Phase, Price, Reason, Refused, Rollout, Step, View, Weight, What,
};
use serde::{Deserialize, Serialize};

use crate::state::StateFolder;

/// The form of `rollouts.json`.
const VERSION: u32 = 1;
/// Half of the time that latencies are remembered for.
const HALF: u64 = 1_800;
/// Of fewer requests there is no ladder of latencies.
const LADDER_REQUESTS_MIN: u64 = 1_000;
/// A batch takes at most so many times as long as it takes at least.
const BATCH_TIMES: u32 = 6;
/// The service burns by itself, and not by the version, where its own arm fails this many times as much as it may, over the
/// last seconds.
const OWN_BURN: f64 = 2.0;
const OWN_SECONDS: usize = 60;
/// Without an objective a version is measured by this.
const TARGET: (u64, u64) = (999, 1_000);
/// And over this period.
const PERIOD: Duration = Duration::from_secs(28 * 86_400);

/// See the module's docs.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    known: BTreeMap<String, Known>,
    /// Latencies of the services that have rollouts, by name.
    hours: BTreeMap<String, Hour>,
}

/// What is known of a rollout.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    revision: u64,
    run: Option<Run>,
}

/// From its beginning to its end, and after that for as long as nobody begins it anew.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    service: String,
    version: String,
    #[serde(with = "wire")]
    began: Timestamp,
    #[serde(with = "wire::optional")]
    ended: Option<Timestamp>,
    by: String,
    why: String,
    /// The number of its first record.
    journal: Option<u64>,
    /// The edges of its ladder.
    edges: Vec<Duration>,
    /// Routes, by the places at which they are told.
    routes: Vec<String>,
    /// When each step was last begun.
    steps: Vec<Option<Timestamp>>,
    machine: Rollout,
    /// It mends something: no freeze holds it.
    #[serde(default)]
    is_fix: bool,
    /// Requests and bad ones of the service's own arm, second by second.
    #[serde(skip)]
    own: VecDeque<(u64, u64)>,
    /// What was counted at the last tick.
    #[serde(skip)]
    counts: RolloutCounts,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    rollouts: BTreeMap<String, Known>,
}

/// Latencies of the last half hour to hour.
#[derive(Debug, Default)]
struct Hour {
    begun: u64,
    now: Histogram,
    before: Histogram,
}

/// What is looked at besides counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around {
    /// The service as a whole burns.
    pub(crate) burns: bool,
    /// Changes of it are frozen.
    pub(crate) frozen: bool,
    /// An endpoint of the version can be called.
    pub(crate) canary_up: bool,
}

/// Why nothing came of what a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// It is not in the configuration, or its mode is off.
    Unknown(String),
    /// It does not go with how it stands.
    Conflict(String),
    /// It can't be, as it is described.
    Invalid(String),
}

/// Something that happened to a rollout.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) event: Event,
}

impl Rollouts {
    /// What an earlier process knew. What can't be read gets no traffic: that is safe, and said.
    pub(crate) fn read(state: &StateFolder, now: Timestamp) -> Self {
        let read = match state.rollouts() {
            None => return Self::default(),
            Some(Ok(bytes)) => Self::from_file(&bytes, now),
            Some(Err(error)) => Err(error.to_string()),
        };
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "rollouts.json can't be read: no version gets requests until its rollout is begun anew");
            Self::default()
        })
    }

    fn from_file(bytes: &[u8], now: Timestamp) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("its form {} is not known", file.version));
        }
        let mut known = file.rollouts;
        for run in known.values_mut().filter_map(|it| it.run.as_mut()) {
            run.machine.on_restart(now);
        }
        Ok(Self {
            known,
            hours: BTreeMap::new(),
        })
    }

    pub(crate) fn to_file(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Borrowed<'a> {
            version: u32,
            rollouts: &'a BTreeMap<String, Known>,
        }
        let file = Borrowed {
            version: VERSION,
            rollouts: &self.known,
        };
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// Whether any is on.
    pub(crate) fn any_is_on(&self) -> bool {
        self.runs().any(|(_, run)| run.is_on())
    }

    /// How much of the traffic a version gets. What never began gets nothing, nor what is described as something else since.
    pub(crate) fn weight(&self, config: &Config, name: &str) -> Weight {
        let run = self.run_of(config, name);
        run.map_or(Weight::NONE, |run| run.machine.weight())
    }

    /// The data plane of this plan goes by the weights.
    pub(crate) fn weigh(&self, plan: &Plan) {
        for (_, rollout) in plan.rollouts() {
            let shared = &rollout.shared;
            if let Some(run) = self.run_of(&plan.config, &shared.name) {
                shared.set_edges(&run.edges);
            }
            let weight = self.weight(&plan.config, &shared.name);
            if shared.weight() != weight {
                shared.set_weight(weight);
            }
        }
    }

    /// Who gets which variants, by flag.
    pub(crate) fn guards(&self, config: &Config) -> BTreeMap<String, Guard> {
        let described = config.rollouts.iter();
        let guards = described.filter_map(|(name, it)| {
            let flag = it.flag.as_ref().filter(|_| it.mode != Mode::Off)?;
            let guard = Guard {
                rollout: name.clone(),
                variant: flag.variant.clone(),
                weight: self.weight(config, name),
            };
            Some((flag.key.clone(), guard))
        });
        guards.collect()
    }

    /// What a step up would do now, so that nothing else is done in its place.
    pub(crate) fn would(&self, config: &Config, name: &str) -> String {
        let described = config.rollouts.get(name);
        let version = described.map_or("?", |it| &it.version);
        let steps = described.map(|it| {
            let steps = it.steps.iter();
            steps
                .map(|step| (step.weight.get(), step.lasts, step.gate))
                .collect::<Vec<_>>()
        });
        let run = self.run_of(config, name);
        let (weight, step) = run.map_or((Weight::NONE, None), |run| {
            (run.machine.weight(), run.machine.step())
        });
        let steps = format!("{:?}", steps.unwrap_or_default());
        let hash = plimsoll_store::Hash::of(steps.as_bytes()).to_string();
        let short = hash.get(..12).unwrap_or(&hash);
        match step {
            Some(step) => format!(
                "{version} from {} at step {} of {short}",
                percent(weight),
                step + 1
            ),
            None => format!("{version} from {} by the steps {short}", percent(weight)),
        }
    }

    /// What a second brought to the services that have rollouts.
    pub(crate) fn on_second<'a>(
        &mut self,
        config: &Config,
        at: u64,
        ended: impl Iterator<Item = (&'a str, &'a SparseHistogram)>,
    ) {
        let services: Vec<&str> = config
            .rollouts
            .values()
            .map(|it| it.service.as_str())
            .collect();
        self.hours
            .retain(|name, _| services.contains(&name.as_str()));
        for (name, latency) in ended.filter(|(name, _)| services.contains(name)) {
            let hour = self.hours.entry(name.to_owned()).or_default();
            if at >= hour.begun + HALF {
                hour.before = std::mem::take(&mut hour.now);
                hour.begun = at;
            }
            latency.add_to(&mut hour.now);
        }
    }

    /// Begins one.
    pub(crate) fn begin(
        &mut self,
        config: &Config,
        name: &str,
        by: Person,
        service: Option<&ServiceView>,
        counts: &RolloutCounts,
        now: Timestamp,
    ) -> Result<(), No> {
        let described = config.rollouts.get(name).ok_or_else(|| unknown(name))?;
        if self.run_on(name).is_some() {
            let text = format!("{name} is on already: `plimsoll rollout status {name}`");
            return Err(No::Conflict(text));
        }
        let total = counts.total();
        let hour = self.hours.get(&described.service);
        let ladder = hour.map(Hour::ladder).unwrap_or_default();
        let objectives = service.map_or(&[] as &[_], |it| it.objectives.as_slice());
        let target = target(config, &described.service, objectives);
        let latency = objectives.iter().any(|it| it.below_seconds.is_some());
        let steps: Vec<Step> = described
            .steps
            .iter()
            .map(|step| Step {
                weight: weight_of(step.weight),
                at_least: step.lasts,
                gate: step.gate,
            })
            .collect();
        let count = steps.len();
        let batch = described.batch;
        let parameters = Parameters {
            kind: kind(described.kind),
            steps,
            gate_at_end: false,
            judging: Judging {
                alpha: described.alpha.get(),
                tolerate: described.tolerate,
                batch: Batching {
                    age: batch,
                    age_max: batch.saturating_mul(BATCH_TIMES),
                    ..Batching::DEFAULT
                },
                latency_objective: latency,
                rungs: u8::try_from(ladder.len()).unwrap_or(0),
                exact_variance: false,
            },
            cooldown: described.cooldown,
            price: Price {
                limit: described.price,
                ..target
            },
            hold_max: described.hold_max,
            before: total.stable,
            ..Parameters::canary()
        };
        let machine =
            Rollout::new(parameters, now).map_err(|error| No::Invalid(error.to_string()))?;
        let run = Run {
            service: described.service.clone(),
            version: described.version.clone(),
            began: now,
            ended: None,
            by: by.who,
            why: by.why,
            journal: None,
            edges: ladder,
            routes: counts.routes.iter().map(|it| it.route.clone()).collect(),
            steps: vec![None; count],
            machine,
            is_fix: false,
            own: VecDeque::new(),
            counts: counts.clone(),
        };
        let known = self.known.entry(name.to_owned()).or_default();
        known.revision += 1;
        known.run = Some(run);
        Ok(())
    }

    /// Refuses what somebody else has changed since.
    pub(crate) fn check(&self, name: &str, revision: Option<u64>) -> Result<(), No> {
        let now = self.known.get(name).map_or(0, |it| it.revision);
        match revision {
            Some(seen) if seen != now => Err(No::Conflict(format!(
                "{name} was changed since: its revision is {now} now, not {seen}; look again"
            ))),
            _ => Ok(()),
        }
    }

    /// One that is on mends something: from here on no freeze holds it.
    pub(crate) fn mends(&mut self, name: &str) {
        if let Some(run) = self.known.get_mut(name).and_then(|it| it.run.as_mut()) {
            run.is_fix = true;
            run.machine.unfreeze();
        }
    }

    /// Does what a person asks for.
    pub(crate) fn command(
        &mut self,
        name: &str,
        command: Command,
        by: Person,
        now: Timestamp,
    ) -> Result<Vec<Happened>, No> {
        let known = self.known.get_mut(name);
        let begun = known.and_then(|it| Some((&mut it.revision, it.run.as_mut()?)));
        let (revision, run) = begun.ok_or_else(|| {
            No::Conflict(format!(
                "{name} has not begun: `plimsoll rollout start {name}`"
            ))
        })?;
        let events = run.machine.on_command(now, command, by);
        let events = events.map_err(|refused| No::Conflict(said(name, refused)))?;
        Ok(take(name, revision, run, events))
    }

    /// Takes in what came since the last tick.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        mut look: impl FnMut(&str) -> Option<(RolloutCounts, Around)>,
    ) -> Vec<Happened> {
        let mut happened = Vec::new();
        for (name, known) in &mut self.known {
            let Some(run) = known.run.as_mut().filter(|run| run.is_on()) else {
                continue;
            };
            // Where the data plane does not have it, nothing came, and nobody can be sent there.
            let looked = look(name);
            let (counts, around) =
                looked.unwrap_or_else(|| (run.counts.clone(), Around::default()));
            let arms = run.arms(&counts);
            run.counts = counts.clone();
            let burns = run.burns_by_itself(&arms) && around.burns;
            let observed = Observed {
                routes: &arms,
                bad_clients: counts.bad_clients,
                service_burns: burns,
                frozen: around.frozen && !run.is_fix,
                canary_up: around.canary_up,
            };
            let events = run.machine.tick(now, &observed);
            happened.extend(take(name, &mut known.revision, run, events));
        }
        happened
    }

    /// The first record of a run is written.
    pub(crate) fn on_written(&mut self, name: &str, began: Timestamp, sequence: u64) {
        let run = self.known.get_mut(name).and_then(|it| it.run.as_mut());
        if let Some(run) = run.filter(|run| run.began == began) {
            run.journal.get_or_insert(sequence);
        }
    }

    /// When the run that is on began.
    pub(crate) fn began(&self, name: &str) -> Option<Timestamp> {
        Some(self.run_on(name)?.began)
    }

    /// Those that are on and that the configuration does not have any more, or has with another version.
    pub(crate) fn undescribed(&self, config: &Config) -> Vec<String> {
        self.runs()
            .filter(|(name, run)| run.is_on() && !run.is_described(config, name))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// How all of the configuration stand. `arms` says of a service how many endpoints of its own and of the version serve, and how many
    /// there are.
    pub(crate) fn views(
        &self,
        config: &Config,
        arms: impl Fn(&str) -> Option<[(u32, u32); 2]>,
    ) -> Vec<RolloutView> {
        let all = config.rollouts.iter();
        all.map(|(name, described)| {
            let known = self.known.get(name);
            let service = config.services.get(&described.service);
            let run = self.run_of(config, name);
            let view = run.map(|run| run.machine.view());
            let (state, says) = match (run, &view) {
                (Some(run), Some(view)) => (state(view), sentence(run, view)),
                _ => (
                    RolloutState::Idle,
                    format!("It has not begun: {} gets nothing.", described.version),
                ),
            };
            let began = |place: usize| run.and_then(|run| run.steps.get(place).copied().flatten());
            // A run goes by the steps that it was begun with.
            let steps: Vec<(f64, Duration, bool)> = match run {
                Some(run) => {
                    let steps = run.machine.parameters().steps.iter();
                    steps
                        .map(|it| (it.weight.share(), it.at_least, it.gate))
                        .collect()
                }
                None => {
                    let steps = described.steps.iter();
                    steps
                        .map(|it| (it.weight.get(), it.lasts, it.gate))
                        .collect()
                }
            };
            let steps = steps.into_iter().enumerate();
            let steps = steps.map(|(place, (weight, lasts, gate))| RolloutStepView {
                weight,
                seconds: lasts.as_secs_f64(),
                gate,
                began: began(place),
            });
            RolloutView {
                name: name.clone(),
                service: described.service.clone(),
                owner: service.and_then(|it| it.owner.clone()),
                version: described.version.clone(),
                kind: described.kind.name().to_owned(),
                by: by(&described.by),
                state,
                says,
                weight: self.weight(config, name).share(),
                revision: known.map_or(0, |it| it.revision),
                steps: steps.collect(),
                step: view.as_ref().and_then(|it| it.step),
                run: run.zip(view.as_ref()).map(|(run, view)| {
                    let arms = arms(&described.service);
                    run_view(run, view, arms)
                }),
            }
        })
        .collect()
    }

    /// Forgets runs that are over and that the configuration does not describe any more: described again, they begin anew.
    pub(crate) fn forget(&mut self, config: &Config) -> bool {
        let before = self.known.len();
        self.known.retain(|name, known| {
            let run = known.run.as_ref();
            run.is_none_or(|run| run.is_on() || run.is_described(config, name))
        });
        self.known.len() != before
    }

    /// The latest run, if it is of what the configuration describes.
    fn run_of(&self, config: &Config, name: &str) -> Option<&Run> {
        let run = self.known.get(name)?.run.as_ref()?;
        run.is_described(config, name).then_some(run)
    }

    fn runs(&self) -> impl Iterator<Item = (&str, &Run)> {
        let all = self.known.iter();
        all.filter_map(|(name, known)| Some((name.as_str(), known.run.as_ref()?)))
    }

    fn run_on(&self, name: &str) -> Option<&Run> {
        let run = self.known.get(name)?.run.as_ref()?;
        run.is_on().then_some(run)
    }
}

impl Run {
    fn is_on(&self) -> bool {
        self.machine.outcome().is_none()
    }

    /// Whether the configuration has it as it was begun: the same version of the same service, in the same way.
    fn is_described(&self, config: &Config, name: &str) -> bool {
        config.rollouts.get(name).is_some_and(|it| {
            it.service == self.service
                && it.version == self.version
                && kind(it.kind) == self.machine.parameters().kind
        })
    }

    /// Whether the service's own arm fails more than it may: a version that fails must not be held for that.
    fn burns_by_itself(&mut self, arms: &[Arms]) -> bool {
        let mut all = Arms::default();
        arms.iter().for_each(|it| all.add(it));
        let now = (all.stable.requests, all.stable.bad);
        if self.own.len() > OWN_SECONDS {
            self.own.pop_front();
        }
        self.own.push_back(now);
        let first = self.own.front().copied().unwrap_or_default();
        let requests = now.0.saturating_sub(first.0) as f64;
        let bad = now.1.saturating_sub(first.1) as f64;
        let may = self.machine.parameters().price.target.complement().get();
        bad > 0.0 && bad > OWN_BURN * may * requests
    }

    /// Counts by the places of routes: those that are not kept apart first; a route that is new comes at the end.
    fn arms(&mut self, counts: &RolloutCounts) -> Vec<Arms> {
        for route in &counts.routes {
            if !self.routes.contains(&route.route) {
                self.routes.push(route.route.clone());
            }
        }
        let of = |name: &String| {
            let mut routes = counts.routes.iter();
            let route = routes.find(|it| it.route == *name);
            route.map_or(Arms::default(), |it| it.arms)
        };
        let routes = self.routes.iter().map(of);
        std::iter::once(counts.rest).chain(routes).collect()
    }
}

impl Hour {
    /// The edges of a ladder, if enough is known.
    fn ladder(&self) -> Vec<Duration> {
        let mut all = Histogram::new();
        all.merge(&self.before);
        all.merge(&self.now);
        match all.count() >= LADDER_REQUESTS_MIN {
            true => Ladder::of(&all).edges().to_vec(),
            false => Vec::new(),
        }
    }
}

/// Keeps what follows from events.
fn take(name: &str, revision: &mut u64, run: &mut Run, events: Vec<Event>) -> Vec<Happened> {
    for event in &events {
        *revision += 1;
        match &event.what {
            What::Stepped { step, .. } => {
                if let Some(began) = run.steps.get_mut(*step) {
                    *began = Some(event.at);
                }
            }
            What::Finished { .. } => run.ended = Some(event.at),
            _ => (),
        }
    }
    let happened = |event| Happened {
        name: name.to_owned(),
        service: run.service.clone(),
        version: run.version.clone(),
        event,
    };
    events.into_iter().map(happened).collect()
}

/// What the price is reckoned by: the availability of the service, else its first objective, else what is assumed.
fn target(config: &Config, service: &str, views: &[ObjectiveView]) -> Price {
    let view = views.iter().find(|it| it.kind == "availability");
    let view = view.or(views.first());
    let described = config.services.get(service);
    let objective = view.and_then(|view| described?.objectives.get(&view.name));
    let assumed = Ratio::of(TARGET.0, TARGET.1).unwrap_or_default();
    let Some((view, objective)) = view.zip(objective) else {
        return Price {
            limit: Ratio::ZERO,
            target: assumed,
            period: PERIOD,
            requests: 0.0,
        };
    };
    let observed = view.observed_seconds;
    let came = (view.good + view.bad) as f64;
    Price {
        limit: Ratio::ZERO,
        target: objective.target,
        period: Duration::from_secs_f64(view.period_seconds.clamp(1.0, 1e9)),
        requests: match observed > 0.0 {
            true => came / observed * view.period_seconds,
            false => 0.0,
        },
    }
}

fn kind(kind: RolloutKind) -> Kind {
    match kind {
        RolloutKind::Canary => Kind::Canary,
        RolloutKind::BlueGreen => Kind::BlueGreen,
        RolloutKind::Mirror => Kind::Mirror,
    }
}

fn weight_of(share: Ratio) -> Weight {
    Weight::of_parts((share.get() * 10_000.0).round() as u16)
}

fn unknown(name: &str) -> No {
    No::Unknown(format!(
        "there is no rollout `{name}`: [rollout.NAME] in the configuration describes one"
    ))
}

fn said(name: &str, refused: Refused) -> String {
    let more = match refused {
        Refused::NotPaused => format!("; `plimsoll rollout advance {name}` takes the next step"),
        Refused::Finished => format!("; `plimsoll rollout start {name}` begins it anew"),
        _ => String::new(),
    };
    format!("{refused}{more}")
}

fn by(by: &SplitBy) -> String {
    match by {
        SplitBy::Client => "client address".to_owned(),
        SplitBy::Tenant => "tenant".to_owned(),
        SplitBy::Request => "request".to_owned(),
        SplitBy::Header(name) => format!("header {name}"),
        SplitBy::Cookie(name) => format!("cookie {name}"),
    }
}

fn state(view: &View) -> RolloutState {
    match view.phase {
        Phase::Running => RolloutState::Running,
        Phase::Held if view.asks => RolloutState::Asking,
        Phase::Held => RolloutState::Held,
        Phase::Paused => RolloutState::Paused,
        Phase::CoolingDown => RolloutState::Struck,
        Phase::Finished => match (view.outcome, view.reason) {
            (Some(Outcome::Promoted | Outcome::Passed), _) => RolloutState::Promoted,
            (_, Some(Reason::Person)) => RolloutState::Aborted,
            _ => RolloutState::RolledBack,
        },
    }
}

pub(crate) fn percent(weight: Weight) -> String {
    figure::percent(Some(weight.share()), " ")
}

/// Why a step that is due is not taken, in words.
pub(crate) fn hold(why: Hold) -> &'static str {
    match why {
        Hold::Gate => "a person must let it go on",
        Hold::Frozen => "changes are frozen",
        Hold::ServiceBurns => "the service as a whole burns its budget",
        Hold::CanaryDown => "no endpoint of the version can be called",
        Hold::Latency => {
            "its latencies have another shape, though no objective is hurt: a person must look"
        }
        Hold::NotEnoughTraffic => {
            "too little came to say that the next step would do no harm; that is no pass and no failure"
        }
        Hold::NoRoom => {
            "what it fails at, or what it has cost already, leaves no room for the next step"
        }
    }
}

/// Why it ended, in words.
pub(crate) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Steps => "every step was taken",
        Reason::Strikes => "what it did was too bad to be chance, twice",
        Reason::Price => "it had cost as much of the budget as it may",
        Reason::CanaryDown => "no endpoint of it could be called",
        Reason::ServiceBurns => "the service as a whole burned for too long",
        Reason::Person => "a person said so",
    }
}

/// How it stands and what comes next.
fn sentence(run: &Run, view: &View) -> String {
    let version = &run.version;
    let now = percent(view.weight);
    let next = view.next.map(|next| {
        let soonest = figure::duration(next.at_soonest.as_secs_f64());
        let what = match next.step < view.steps.len() {
            true => format!("{} comes next", percent(next.weight)),
            false => "it is promoted next".to_owned(),
        };
        let gate = if next.gate {
            ", when a person lets it"
        } else {
            ""
        };
        match next.at_soonest.is_zero() {
            true => format!("{what}{gate}."),
            false => format!("{what}{gate}, in {soonest} at the soonest."),
        }
    });
    let next = next.unwrap_or_default();
    match (view.phase, view.hold) {
        (Phase::Running, _) => {
            format!("{version} has {now}, and nothing speaks against it so far; {next}")
        }
        (Phase::Held, Some(why)) => {
            let more = match (why, view.clean_requests_more) {
                (Hold::NotEnoughTraffic, Some(more)) => {
                    format!(", about {} more good answers", figure::count(more))
                }
                _ => String::new(),
            };
            format!("{version} keeps {now}: {}{more}.", hold(why))
        }
        (Phase::Held, None) => format!("{version} keeps {now}."),
        (Phase::Paused, _) => {
            let who = view.paused.as_ref();
            let who = who.map_or(String::new(), |it| format!(" by {}: {}", it.who, it.why));
            format!("{version} keeps {now}: it is paused{who}.")
        }
        (Phase::CoolingDown, _) => format!(
            "{version} gets nothing: what it did was too bad to be chance. Once more, and it is undone; {next}"
        ),
        (Phase::Finished, _) => {
            let why = view.reason.map_or("", reason);
            match view.outcome {
                Some(Outcome::Promoted) => format!("{version} has all: {why}."),
                Some(Outcome::Passed) => {
                    format!("{version} is no worse, as far as copies show: {why}.")
                }
                _ => format!("{version} was undone and gets nothing: {why}."),
            }
        }
    }
}

fn run_view(run: &Run, view: &View, arms: Option<[(u32, u32); 2]>) -> RolloutRunView {
    let figures = &view.figures;
    let scores = figures.scores;
    let evidence = |of: &str, e: f64, strikes_at: Option<f64>| RolloutEvidenceView {
        of: of.to_owned(),
        e,
        strikes_at,
        ratio_least: None,
        ratio_most: None,
    };
    let judging = &run.machine.parameters().judging;
    let mut known = vec![RolloutEvidenceView {
        ratio_least: view.ratio.low,
        ratio_most: view.ratio.high,
        ..evidence("harm", scores.harm, Some(view.strike_at))
    }];
    known.push(evidence("errors", scores.errors, None));
    if judging.latency_objective {
        known.push(evidence("slow", scores.slow, None));
    }
    if judging.rungs > 0 {
        known.push(evidence("latency", scores.ladder, None));
    }
    let arm = |counts: &ArmCounts, place: usize| {
        let up = arms.and_then(|arms| arms.get(place).copied());
        ArmView {
            requests: counts.requests,
            bad: counts.bad,
            slow: counts.slow,
            up: up.map(|(up, _)| up),
            endpoints: up.map_or(0, |(_, all)| all),
        }
    };
    let point = |it: &plimsoll_policy::rollout::Point| RolloutPointView {
        at: it.at,
        weight: it.weight.share(),
        e: it.harm,
        ladder: it.ladder,
        spent: it.spent,
    };
    RolloutRunView {
        began: run.began,
        ended: run.ended,
        by: run.by.clone(),
        why: run.why.clone(),
        journal: run.journal,
        strikes: match (view.reason, view.struck) {
            (Some(Reason::Strikes), _) => 2,
            (_, struck) => u32::from(struck),
        },
        strikes_max: 2,
        evidence: known,
        price: Some(RolloutPriceView {
            spent: figures.spent,
            limit: view.price.limit.get(),
            requests: view.price.requests,
            period_seconds: view.price.period.as_secs_f64(),
            worst: (figures.arms.canary.requests > 0).then_some(figures.worst_rate),
            more: view
                .clean_requests_more
                .filter(|_| view.granted == Some(false))
                .map(|it| it as f64),
        }),
        stable: arm(&figures.arms.stable, 0),
        canary: arm(&figures.arms.canary, 1),
        course: view.course.iter().map(point).collect(),
    }
}
