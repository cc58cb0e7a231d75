//! The governor in a simulation: what it is set to, and what is said of its decisions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use plimsoll_config::Config;
use plimsoll_config::scenario::Scenario;
use plimsoll_core::Mode;
use plimsoll_gateway::objective_specs;
use plimsoll_governor::Degradable;
use plimsoll_simulator::fleet::Ledger;
use plimsoll_simulator::{Decisions, Governed, Noted};
use serde_json::{Value, json};

use super::Arm;
use crate::governing;

/// So many decisions are printed of each arm. All that are kept are in the JSON.
const LINES_MAX: usize = 12;

/// As the process would be given it, for the services of the scenario. Objectives of single routes are left out, since a
/// scenario has none.
pub(super) fn governed(scenario: &Scenario, config: &Config) -> Option<Governed> {
    let mut parameters = governing::parameters(config, &BTreeMap::new());
    let services = scenario.services.iter().map(|it| it.name.clone());
    let services = services.map(|name| {
        let specs = config.services.get(&name).map(objective_specs);
        let mut specs = specs.unwrap_or_default();
        specs.retain(|it| it.routes.is_empty());
        (name, specs)
    });
    let services: Vec<_> = services.collect();
    let of = |name: &str| services.iter().find(|(other, _)| other == name);
    parameters.services.retain(|name, _| of(name).is_some());
    for (name, service) in &mut parameters.services {
        let kept = of(name).map(|(_, specs)| specs.as_slice());
        let kept = kept.unwrap_or_default().iter();
        service.objectives = kept.map(|it| (it.name.clone(), it.target)).collect();
        // A scenario does not say what there is to be given up.
        service.degradable = Degradable::default();
    }
    let all = &parameters.services;
    let acts = all.values().any(|it| it.mode != Mode::Off);
    acts.then_some(Governed {
        parameters,
        services,
        gives_up: BTreeMap::new(),
    })
}

/// What was decided over all runs of an arm; what is noted is of the first.
fn decisions(ledgers: &[Ledger]) -> Option<Decisions> {
    let mut all = ledgers.iter().filter_map(Ledger::decisions);
    let mut sum = all.next()?.clone();
    all.for_each(|it| sum.merge(it));
    Some(sum)
}

/// What is said of an arm's decisions.
pub(super) struct Said {
    /// How many there were, and which are shown.
    pub(super) heading: String,
    /// When, the service, and what.
    pub(super) lines: Vec<[String; 3]>,
}

/// Of each arm with decisions: how many there were, and the first of them.
pub(super) fn said(arms: &[(Arm, Vec<Ledger>)], gateways: usize) -> Vec<Said> {
    let of = |(arm, ledgers): &(Arm, Vec<Ledger>)| {
        let decisions = decisions(ledgers).filter(|it| it.count > 0)?;
        let mine = || decisions.noted.iter().filter(|it| it.gateway == 0);
        // Where not all fits, conditions are what can be left out.
        let few = mine().count() <= LINES_MAX;
        let shown = mine().filter(|it| few || it.what != "condition");
        let line = |it: &Noted| {
            let at = format!("{:.1} s", it.at.as_secs_f64());
            [at, it.service.clone(), it.text.clone()]
        };
        let lines: Vec<_> = shown.take(LINES_MAX).map(line).collect();
        let whose = match (gateways, ledgers.len()) {
            (1, 1) => "",
            (1, _) => ", of the first seed",
            (_, 1) => ", of the first gateway",
            _ => ", of the first gateway and seed",
        };
        let mut heading = format!(
            "governor, {}: {} decisions, {} of them moves",
            arm.name(),
            decisions.count,
            decisions.moves,
        );
        if !lines.is_empty() {
            let _always = write!(heading, "; the first {}{whose}:", lines.len());
        }
        Some(Said { heading, lines })
    };
    arms.iter().filter_map(of).collect()
}

/// The same, as it is printed.
pub(super) fn text(arms: &[(Arm, Vec<Ledger>)], gateways: usize) -> String {
    let mut text = String::new();
    for said in said(arms, gateways) {
        let _always = writeln!(text, "\n{}", said.heading);
        for [at, service, what] in said.lines {
            let _always = writeln!(text, "  {at:>10}  {service}: {what}");
        }
    }
    text
}

/// The same for machines, with all that are kept of the first run.
pub(super) fn json(arms: &[(Arm, Vec<Ledger>)]) -> Value {
    let arm = |(arm, ledgers): &(Arm, Vec<Ledger>)| {
        let decisions = decisions(ledgers)?;
        let noted = decisions.noted.iter().map(|it| {
            let moved = it.moved.map(|(actuator, from, to)| {
                json!({
                    "actuator": actuator.name(), "from": from, "to": to, "because": it.because,
                })
            });
            json!({
                "at": it.at.as_secs_f64(),
                "gateway": it.gateway,
                "service": it.service,
                "what": it.what,
                "moved": moved,
                "text": it.text,
            })
        });
        let said = json!({
            "count": decisions.count,
            "moves": decisions.moves,
            "first_seed": noted.collect::<Vec<_>>(),
        });
        Some((arm.name().to_owned(), said))
    };
    Value::Object(arms.iter().filter_map(arm).collect())
}
