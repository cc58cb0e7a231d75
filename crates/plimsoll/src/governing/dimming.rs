//! Brownout in the running process: how much is dimmed each second, below what the governor allows.
//!
//! The governor's step is a ceiling. Below it a controller moves the level by the latency objective that the step was taken
//! for. Where it was taken for something else, there is nothing to go by, and as much is dimmed as may be.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_config::Config;
use plimsoll_core::{Instant, Mode, Ratio};
use plimsoll_gateway::objective_specs;
use plimsoll_governor::{Actuator, Decision, What};
use plimsoll_measure::{
    BrownoutView, Cause, CauseCounts, Histogram, ObjectiveSpec, REFUSALS, Sli, SparseHistogram,
    slot_of,
};
use plimsoll_policy::{BrownoutControl, BrownoutParameters, BrownoutReading, BrownoutShared};
use serde_json::json;

use super::Outcome;

/// What took less than this part of what an objective asks for did not wait.
const AT_ONCE: u32 = 10;

/// Of all services that have features, or had some.
#[derive(Debug, Default)]
pub(super) struct Dimming {
    services: BTreeMap<String, Dimmer>,
}

#[derive(Debug)]
struct Dimmer {
    control: BrownoutControl,
    features: Vec<String>,
    /// Objectives that the latency of all its answers says something of.
    objectives: Vec<ObjectiveSpec>,
    /// The one of them that the governor's step was taken for.
    follows: Option<String>,
    /// Seconds so far: the controller's clock, so that no tick that comes a moment early is left out.
    seconds: u64,
    unread: Unread,
    /// The level in force.
    level: f64,
    course: Option<Course>,
}

/// What ended since the controller last decided.
#[derive(Debug, Default)]
struct Unread {
    latency: Histogram,
    refused: u64,
    /// Those that are known to have waited first.
    timed_out: u64,
}

/// A brownout, from the first step to the last one back.
#[derive(Debug, Default)]
struct Course {
    seconds: u64,
    sum: f64,
    most: f64,
    moves: u64,
}

impl Dimming {
    /// Another configuration is in force.
    pub(super) fn apply(&mut self, config: &Config) {
        self.services
            .retain(|name, _| config.services.contains_key(name));
        for (name, service) in &config.services {
            let features = &service.degrade.brownout;
            // What has none any more is still to be set to nothing.
            if features.is_empty() && !self.services.contains_key(name) {
                continue;
            }
            let specs = objective_specs(service).into_iter();
            let of_all = |it: &ObjectiveSpec| it.classes.is_empty() && it.routes.is_empty();
            let dimmer = self
                .services
                .entry(name.clone())
                .or_insert_with(Dimmer::new);
            dimmer.features.clone_from(features);
            dimmer.objectives = specs.filter(of_all).collect();
        }
    }

    /// The governor has decided something; what it would only do is nothing.
    pub(super) fn on_decision(&mut self, decision: &Decision) {
        let What::Move {
            actuator: Actuator::Brownout,
            from,
            to,
            ..
        } = decision.what
        else {
            return;
        };
        if to > from && decision.mode == Mode::Enforce {
            let objective = decision.evidence.as_ref().map(|it| it.objective.as_str());
            self.on_step(&decision.service, objective);
        }
    }

    /// More may be dimmed, for the sake of an objective.
    fn on_step(&mut self, service: &str, objective: Option<&str>) {
        if let Some(dimmer) = self.services.get_mut(service) {
            // What a brownout is steered by stays as long as it does: the objective that stands worst changes from step to step.
            if dimmer.course.is_none() || dimmer.followed().is_none() {
                dimmer.follows = objective.map(str::to_owned);
            }
            dimmer.course.get_or_insert_default();
        }
    }

    /// A second is over. Says what came of a brownout that has ended.
    pub(super) fn on_second(
        &mut self,
        name: &str,
        ceiling: Ratio,
        ended: (&CauseCounts, &SparseHistogram),
        shared: &BrownoutShared,
    ) -> Option<Outcome> {
        let dimmer = self.services.get_mut(name)?;
        dimmer.on_second(ceiling, ended, shared);
        let course = dimmer.course.as_ref()?;
        if ceiling > Ratio::ZERO {
            return None;
        }
        let outcome = course.outcome(name, dimmer.features.len());
        dimmer.course = None;
        Some(outcome)
    }

    /// How many features are dimmed where people ask for so many: there may be fewer by now.
    pub(super) fn held(&self, name: &str, asked: u8) -> u8 {
        let features = self.services.get(name).map_or(0, |it| it.features.len());
        asked.min(u8::try_from(features).unwrap_or(u8::MAX))
    }

    /// How much is dimmed.
    pub(super) fn view(&self, name: &str) -> Option<BrownoutView> {
        let dimmer = self.services.get(name)?;
        let features = dimmer.features.len();
        (features > 0).then(|| BrownoutView {
            level: dimmer.level,
            features: features as u64,
            says: says(dimmer.level, &dimmer.features),
        })
    }
}

impl Dimmer {
    fn new() -> Self {
        let parameters = BrownoutParameters {
            features: 0,
            below: Duration::MAX,
        };
        Self {
            control: BrownoutControl::new(parameters, Instant::ORIGIN),
            features: Vec::new(),
            objectives: Vec::new(),
            follows: None,
            seconds: 0,
            unread: Unread::default(),
            level: 0.0,
            course: None,
        }
    }

    /// The latency objective that it is moved by: its target, and what it asks for.
    fn followed(&self) -> Option<(Ratio, Duration)> {
        let name = self.follows.as_ref()?;
        let spec = self.objectives.iter().find(|it| it.name == *name)?;
        match spec.sli {
            Sli::Latency { below } => Some((spec.target, below)),
            Sli::Availability => None,
        }
    }

    fn on_second(
        &mut self,
        ceiling: Ratio,
        (causes, latency): (&CauseCounts, &SparseHistogram),
        shared: &BrownoutShared,
    ) {
        self.seconds += 1;
        latency.add_to(&mut self.unread.latency);
        let refused = REFUSALS.iter().map(|it| causes.with_cause(*it));
        self.unread.refused += refused.sum::<u64>();
        self.unread.timed_out += causes.with_cause(Cause::QueueTimeout);
        self.control.set_ceiling(ceiling);
        let before = self.control.level();
        let followed = self.followed();
        self.control.set_parameters(BrownoutParameters {
            features: self.features.len(),
            below: followed.map_or(Duration::MAX, |(_, below)| below),
        });
        match followed {
            Some((target, below)) => {
                let now = Instant::from_nanos(self.seconds * 1_000_000_000);
                let reading = self.unread.reading(target, below);
                if self.control.tick(now, &reading, shared) {
                    self.unread = Unread::default();
                }
            }
            None => {
                self.control.dim_to_ceiling(shared);
                self.unread = Unread::default();
            }
        }
        self.level = shared.level();
        let level = self.control.level();
        if let Some(course) = self.course.as_mut().filter(|_| ceiling > Ratio::ZERO) {
            course.seconds += 1;
            course.sum += level;
            course.most = course.most.max(level);
            course.moves += u64::from(level != before);
        }
    }
}

impl Unread {
    /// How late the answers were, at the quantile of a target. What was refused is not counted: neither what was so at
    /// once, and would make the service look fast, nor what waited first, and would make it look slow. Only of queue timeouts
    /// their cause says that. Of the others as many were refused at once as so little time was taken; the rest gave way to
    /// another while they waited. What waited is taken for the slowest: if some answers were slower, less is dimmed.
    fn reading(&self, target: Ratio, below: Duration) -> BrownoutReading {
        let all = self.latency.count();
        let nanos = u64::try_from((below / AT_ONCE).as_nanos()).unwrap_or(u64::MAX);
        let quick = self.latency.cumulative(slot_of(nanos));
        let at_once = self.refused.saturating_sub(self.timed_out).min(quick);
        let waited = self.refused - at_once;
        let completions = all.saturating_sub(self.refused);
        let late = waited as f64 + target.complement().get() * completions as f64;
        let on_time = 1.0 - late / all.max(1) as f64;
        BrownoutReading {
            completions,
            latency: self.latency.quantile(on_time.max(0.0)).unwrap_or_default(),
        }
    }
}

impl Course {
    fn outcome(&self, service: &str, features: usize) -> Outcome {
        let mean = self.sum / self.seconds.max(1) as f64;
        let text = format!(
            "brownout is over after {} s: level {mean:.2} of {features} in the mean, {:.2} at most, moved in {} of the seconds",
            self.seconds, self.most, self.moves,
        );
        Outcome {
            service: service.to_owned(),
            cites: None,
            body: json!({
                "text": text,
                "brownout": {
                    "seconds": self.seconds,
                    "level_mean": mean,
                    "level_max": self.most,
                    "moves": self.moves,
                    "features": features,
                },
            }),
        }
    }
}

/// A level in words: what is dimmed for whom.
fn says(level: f64, features: &[String]) -> String {
    let each = features.iter().zip(0..).filter_map(|(feature, place)| {
        let share = (level - f64::from(place)).clamp(0.0, 1.0);
        match share {
            1.0 => Some(format!("{feature} for all")),
            share if share > 0.0 => Some(format!("{feature} for {:.0} %", 100.0 * share)),
            _ => None,
        }
    });
    let each: Vec<String> = each.collect();
    let count = features.len();
    match each.is_empty() {
        true => format!("brownout 0 of {count}"),
        false => format!("brownout {level:.2} of {count}: {}", each.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Class;
    use plimsoll_measure::{Record, Series};

    use super::*;

    fn config() -> Config {
        let text = r#"
            [service.shop]
            endpoints = "http://127.0.0.1:1"
            objective.fast = { kind = "latency", target = "99%", below = "200ms" }
            objective.availability = { target = "99%" }
            objective.some = { kind = "latency", target = "99%", below = "200ms", classes = ["critical"] }
            [service.shop.degrade]
            brownout = ["recommendations", "reviews", "maps"]
            [[route]]
            service = "shop"
        "#;
        plimsoll_config::parse(text, "p.toml").unwrap().0
    }

    struct World {
        dimming: Dimming,
        shared: BrownoutShared,
        outcomes: Vec<Outcome>,
        causes: CauseCounts,
    }

    impl World {
        fn new() -> Self {
            let mut dimming = Dimming::default();
            dimming.apply(&config());
            Self {
                dimming,
                shared: BrownoutShared::new(),
                outcomes: Vec::new(),
                causes: CauseCounts::default(),
            }
        }

        /// Seconds of a hundred answers that take so long, of which two are late.
        fn seconds(&mut self, seconds: u64, step: u8, millis: u64) {
            let ceiling = Actuator::dimmed_max(step);
            let mut histogram = Histogram::new();
            histogram.record_many(Duration::from_millis(1), 98);
            histogram.record_many(Duration::from_millis(millis), 2);
            let latency = SparseHistogram::between(&Histogram::new(), &histogram);
            for _ in 0..seconds {
                let ended = (&self.causes, &latency);
                let over = self.dimming.on_second("shop", ceiling, ended, &self.shared);
                self.outcomes.extend(over);
            }
        }
    }

    #[test]
    fn the_level_moves_by_the_latency_objective_below_the_governor_s_step() {
        let mut world = World::new();
        world.seconds(10, 0, 900);
        assert!(world.shared.is_off(), "the governor has not moved it");
        world.dimming.on_step("shop", Some("fast"));
        world.seconds(10, 2, 900);
        assert_eq!(world.shared.level(), 1.5, "half of three features");
        let view = world.dimming.view("shop").unwrap();
        assert_eq!(
            view.says,
            "brownout 1.50 of 3: recommendations for all, reviews for 50 %"
        );
        world.seconds(60, 2, 20);
        assert!(world.shared.is_off(), "it is fast by itself");
        assert!(world.outcomes.is_empty());
        world.seconds(1, 0, 20);
        let [outcome] = &world.outcomes[..] else {
            panic!("{:?}", world.outcomes);
        };
        let text = outcome.body["text"].as_str().unwrap();
        assert!(
            text.starts_with("brownout is over after 70 s: level 0.")
                && text.contains("1.50 at most"),
            "{text}"
        );
    }

    #[test]
    fn what_a_brownout_is_steered_by_stays_as_long_as_it_does() {
        let mut world = World::new();
        world.dimming.on_step("shop", Some("fast"));
        world.seconds(10, 1, 20);
        world.dimming.on_step("shop", Some("availability"));
        world.seconds(10, 2, 20);
        assert!(world.shared.is_off(), "it is still fast");
        world.seconds(1, 0, 20);
        world.dimming.on_step("shop", Some("availability"));
        world.seconds(1, 1, 20);
        assert_eq!(world.shared.level(), 0.75, "another brownout");
        // There was nothing to go by, and now there is.
        world.dimming.on_step("shop", Some("fast"));
        world.seconds(60, 2, 20);
        assert!(world.shared.is_off());
    }

    #[test]
    fn where_another_objective_fails_the_step_itself_is_dimmed() {
        for objective in ["availability", "some"] {
            let mut world = World::new();
            world.dimming.on_step("shop", Some(objective));
            world.seconds(1, 1, 20);
            assert_eq!(world.shared.level(), 0.75, "{objective}");
            world.seconds(1, 0, 20);
            assert!(world.shared.is_off());
        }
    }

    #[test]
    fn what_is_refused_makes_a_service_look_neither_fast_nor_slow() {
        let reading = |refused, timed_out, took: &[(u64, u64)]| {
            let mut latency = Histogram::new();
            for (millis, count) in took {
                latency.record_many(Duration::from_millis(*millis), *count);
            }
            let unread = Unread {
                latency,
                refused,
                timed_out,
            };
            let target = Ratio::of(99, 100).unwrap();
            unread.reading(target, Duration::from_millis(200))
        };
        let at_once = reading(900, 0, &[(0, 900), (50, 95), (800, 5)]);
        assert_eq!(at_once.completions, 100);
        assert!(at_once.latency > Duration::from_millis(700), "{at_once:?}");
        // Those that waited for a permit in vain, and those that gave way to others.
        for timed_out in [100, 0] {
            let waited = reading(100, timed_out, &[(50, 900), (300, 100)]);
            assert_eq!(waited.completions, 900);
            assert!(waited.latency < Duration::from_millis(60), "{waited:?}");
        }
        // Both, and an answer in fifty is late.
        let both = reading(600, 100, &[(0, 500), (50, 392), (300, 100), (800, 8)]);
        assert_eq!(both.completions, 400);
        assert!(both.latency > Duration::from_millis(200), "{both:?}");
        assert_eq!(reading(0, 0, &[]).completions, 0);
        assert_eq!(reading(10, 10, &[(300, 10)]).completions, 0);
    }

    #[test]
    fn queue_timeouts_are_no_reason_to_dim() {
        let mut world = World::new();
        let series = Series::new(1, Vec::new());
        for (cause, millis, count) in [(Cause::Answered, 50, 900), (Cause::QueueTimeout, 300, 100)]
        {
            let record = Record {
                class: Class::Standard,
                cause,
                latency: Duration::from_millis(millis),
                bytes_in: 0,
                bytes_out: 0,
                objectives: Record::ALL,
            };
            (0..count).for_each(|_| series.record(0, &record));
        }
        let totals = series.read();
        let causes = totals.causes();
        let latency = SparseHistogram::between(&Histogram::new(), &totals.latency);
        world.dimming.on_step("shop", Some("fast"));
        for _ in 0..10 {
            let ceiling = Actuator::dimmed_max(4);
            let ended = (&causes, &latency);
            _ = world
                .dimming
                .on_second("shop", ceiling, ended, &world.shared);
        }
        assert!(world.shared.is_off(), "{}", world.shared.level());
    }

    #[test]
    fn people_hold_no_more_features_than_there_are() {
        let mut world = World::new();
        assert_eq!(world.dimming.held("shop", 2), 2);
        assert_eq!(world.dimming.held("other", 2), 0);
        let held = world.dimming.held("shop", 7);
        world.shared.set_floor(held);
        world.seconds(1, 0, 20);
        let view = world.dimming.view("shop").unwrap();
        assert_eq!((view.level, view.features), (3.0, 3));
        assert!(
            view.says.starts_with("brownout 3.00 of 3: "),
            "{}",
            view.says
        );
    }

    #[test]
    fn what_has_no_features_any_more_is_not_dimmed_any_more() {
        let mut world = World::new();
        world.dimming.on_step("shop", Some("availability"));
        world.seconds(1, 4, 20);
        assert_eq!(world.shared.level(), 3.0);
        let mut other = config();
        let service = other.services.get_mut("shop").unwrap();
        service.degrade.brownout.clear();
        world.dimming.apply(&other);
        world.seconds(1, 4, 20);
        assert!(world.shared.is_off() && world.dimming.view("shop").is_none());
    }
}
