//! How a journey stands, from what the objectives of its services say.
//!
//! A journey succeeds where each of its steps does, so its share of good is the product of theirs. That takes steps to fail
//! apart from each other: where they fail together, as when one request after the other meets the same outage, fewer
//! journeys fail than is said here. Nothing is counted for it, and nothing kept.

use plimsoll_core::Ratio;

use super::tracked::{BURN_RATE_MAX, BURN_WINDOWS};
use crate::objective::per_budget;
use crate::snapshot::{BurnView, JourneyView, ObjectiveView, ServiceView, StepView};

/// A journey of the configuration in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JourneyLayout {
    /// Its name.
    pub name: String,
    /// Who is asked about it.
    pub owner: Option<String>,
    /// The services that it needs.
    pub services: Vec<String>,
    /// The objective of each of them by which it is judged.
    pub objective: String,
    /// The share that must succeed.
    pub target: Ratio,
}

pub(super) fn view(layout: &JourneyLayout, services: &[ServiceView]) -> JourneyView {
    let objective = |name: &String| {
        let service = services.iter().find(|it| it.name == *name)?;
        let mut objectives = service.objectives.iter();
        objectives.find(|it| it.name == layout.objective)
    };
    let steps: Vec<Option<&ObjectiveView>> = layout.services.iter().map(objective).collect();
    let lost: Vec<Option<f64>> = steps.iter().map(|step| step.and_then(bad_share)).collect();
    let bad_share = together(lost.iter().copied());
    let spent = bad_share.map(|share| per_budget(share, layout.target));
    let observed = steps.iter().flatten().map(|step| step.observed_seconds);
    let observed = observed.fold(f64::INFINITY, f64::min);
    let period = steps.iter().flatten().next();
    let seconds = period.map_or(0.0, |step| step.period_seconds);
    let all: f64 = lost.iter().flatten().sum();
    JourneyView {
        name: layout.name.clone(),
        owner: layout.owner.clone(),
        objective: layout.objective.clone(),
        target: layout.target.get(),
        period: period.map(|step| step.period()).unwrap_or_default(),
        good_share: bad_share.map(|share| 1.0 - share),
        budget_left: spent
            .map(|spent| (1.0 - spent * (observed / seconds).min(1.0)).max(-BURN_RATE_MAX)),
        burn: BURN_WINDOWS
            .iter()
            .map(|(window, _)| burn(layout.target, window, &steps))
            .collect(),
        steps: layout
            .services
            .iter()
            .zip(lost)
            .map(|(service, bad_share)| StepView {
                service: service.clone(),
                bad_share,
                of_bad: bad_share.filter(|_| all > 0.0).map(|share| share / all),
            })
            .collect(),
    }
}

fn bad_share(objective: &ObjectiveView) -> Option<f64> {
    let total = objective.good + objective.bad;
    (total > 0).then(|| objective.bad as f64 / total as f64)
}

/// The share of journeys that fail; `None` where a step is unknown.
fn together(mut steps: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let good = steps.try_fold(1.0, |good, bad| Some(good * (1.0 - bad?)));
    good.map(|good| 1.0 - good)
}

fn burn(target: Ratio, window: &str, steps: &[Option<&ObjectiveView>]) -> BurnView {
    let of_step = |step: &Option<&ObjectiveView>| {
        let step = (*step)?;
        Some((step.burn_over(window)? * (1.0 - step.target)).min(1.0))
    };
    let observed = steps.iter().map(|step| {
        let burn = step.and_then(|step| step.burn.iter().find(|it| it.window == window));
        burn.map_or(0.0, |burn| burn.observed_seconds)
    });
    BurnView {
        window: window.to_owned(),
        rate: together(steps.iter().map(of_step)).map(|bad| per_budget(bad, target)),
        observed_seconds: observed.reduce(f64::min).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::{answered, availability};
    use crate::measure::{Inputs, Measure};
    use crate::outcome::Cause;
    use crate::registry::Registry;
    use crate::series::Record;
    use crate::{Layout, ServiceLayout};
    use plimsoll_core::{Instant, Timestamp};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_journey_succeeds_where_each_of_its_steps_does() {
        // Of a hundred requests each second, 1 fails at shop and 2 at checkout: 0.99 * 0.98 of the journeys succeed.
        let journey = run(&[("shop", 100, 1), ("checkout", 100, 2)]);
        assert!((journey.good_share.unwrap() - 0.9702).abs() < 1e-12);
        let burn = journey.burn.iter().find(|it| it.window == "5m").unwrap();
        assert!(
            (burn.rate.unwrap() - 0.0298 / 0.05).abs() < 1e-9,
            "{burn:?}"
        );
        assert_eq!(burn.observed_seconds, 10.0);
        let left = 1.0 - 0.0298 / 0.05 * (10.0 / 3_600.0);
        assert!((journey.budget_left.unwrap() - left).abs() < 1e-9);
        let worst = journey.worst().unwrap();
        assert_eq!(worst.service, "checkout");
        assert!((worst.of_bad.unwrap() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn how_often_a_step_is_asked_for_does_not_matter() {
        let journey = run(&[("shop", 10_000, 0), ("checkout", 10, 5)]);
        assert_eq!(journey.good_share, Some(0.5));
    }

    #[test]
    fn a_step_without_traffic_leaves_the_journey_unknown() {
        let journey = run(&[("shop", 100, 1), ("checkout", 0, 0)]);
        assert_eq!((journey.good_share, journey.budget_left), (None, None));
        assert!(journey.burn.iter().all(|burn| burn.rate.is_none()));
    }

    /// Ten seconds with so many requests a second to each service, and so many of them bad.
    fn run(steps: &[(&str, u64, u64)]) -> JourneyView {
        let registry = Arc::new(Registry::new(1, 10));
        let objectives = vec![availability(3_600)];
        let series: Vec<_> = steps
            .iter()
            .map(|(name, ..)| registry.service(name, &objectives))
            .collect();
        let layout = |name: &str| ServiceLayout {
            name: name.to_owned(),
            objectives: objectives.clone(),
            ..ServiceLayout::default()
        };
        let layout = Layout {
            services: steps.iter().map(|(name, ..)| layout(name)).collect(),
            journeys: vec![JourneyLayout {
                name: "buy".to_owned(),
                owner: None,
                services: steps.iter().map(|(name, ..)| (*name).to_owned()).collect(),
                objective: "availability".to_owned(),
                target: Ratio::try_from(0.95).unwrap(),
            }],
        };
        let mut now = Instant::from_nanos(500_000_000);
        let mut measure = Measure::new(registry, layout, now);
        for _ in 0..10 {
            for (series, (_, all, bad)) in series.iter().zip(steps) {
                for place in 0..*all {
                    let cause = if place < *bad {
                        Cause::Reset
                    } else {
                        Cause::Answered
                    };
                    series.record(
                        0,
                        &Record {
                            cause,
                            ..answered(1)
                        },
                    );
                }
            }
            now += Duration::from_secs(1);
            measure.tick(now);
        }
        let mut snapshot = measure.snapshot(Timestamp::default(), &Inputs::default());
        snapshot.journeys.remove(0)
    }
}
