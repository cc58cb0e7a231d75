//! `--fluid`: the same scenario without single requests, for days and months.

use std::fmt::Write as _;

use plimsoll_config::scenario::Scenario;
use plimsoll_measure::Urgency;
use plimsoll_measure::figure::{duration, percent};
use plimsoll_simulator::fleet::Ledger;
use plimsoll_simulator::fluid::{Fluid, FluidError, Judgement};
use serde_json::{Value, json};

use super::{Arm, Setting, progress::Progress};

/// How many seconds of virtual time pass between two looks at the progress.
const STEP: u64 = 3_600;
const DAY: u64 = 86_400;

/// What a fluid run gave, by arm.
pub(super) struct Run {
    arm: Arm,
    pub(super) ledger: Ledger,
    judgements: Vec<Judgement>,
}

/// Runs each arm.
pub(super) fn run(scenario: &Scenario, settings: &[Setting]) -> Result<Vec<Run>, FluidError> {
    let steps = scenario.lasts().as_secs() / STEP * settings.len() as u64;
    let progress = Progress::new("simulating", steps);
    let of = |setting: &Setting| {
        let mut fluid = Fluid::new(scenario, &setting.protections, &setting.objectives)?;
        if let Some(governed) = &setting.governed {
            fluid.govern(governed);
        }
        while let Some(second) = fluid.advance() {
            if second.at % STEP == STEP - 1 {
                progress.step();
            }
        }
        Ok(Run {
            arm: setting.arm,
            ledger: fluid.ledger(),
            judgements: fluid.into_judgements(),
        })
    };
    let runs = settings.iter().map(of).collect();
    progress.end();
    runs
}

/// What is left of each budget, and who was called.
pub(super) fn budgets(scenario: &Scenario, runs: &[Run]) -> String {
    let mut text = String::from("\nbudgets, for what is in the objective (not: who hung up)\n");
    for (index, service) in scenario.services.iter().enumerate() {
        for run in runs {
            let Some(judgement) = run.judgements.get(index) else {
                continue;
            };
            let left = judgement.points().last().and_then(|point| point.left);
            let left = left.map_or("unknown".to_owned(), |left| {
                format!("{:.1} %", 100.0 * left)
            });
            let gone = judgement.exhausted().map_or(String::new(), |at| {
                format!(", used up on day {:.1}", at as f64 / DAY as f64)
            });
            let _always = writeln!(
                text,
                "  {} {}: {left} left of {} over {}{gone}; {}",
                service.name,
                run.arm.name(),
                percent(Some(judgement.target().complement().get()), ""),
                duration(judgement.period().as_secs_f64()),
                calls(judgement),
            );
        }
    }
    text
}

fn calls(judgement: &Judgement) -> String {
    let alarms = judgement.alarms();
    let of = |urgency| {
        alarms
            .iter()
            .filter(|it| it.alarm.urgency == urgency)
            .count()
    };
    let (pages, tickets) = (of(Urgency::Page), of(Urgency::Ticket));
    match alarms.first() {
        None => "nobody is called".to_owned(),
        Some(first) => format!(
            "pages: {pages}, tickets: {tickets}, the first on day {:.2}",
            first.at as f64 / DAY as f64
        ),
    }
}

/// The same for machines: budgets at each hour, and each call.
pub(super) fn json(scenario: &Scenario, runs: &[Run]) -> Value {
    let arm = |run: &Run| {
        let services = scenario.services.iter().zip(&run.judgements);
        let services = services.map(|(service, judgement)| {
            let points = judgement.points().iter();
            let points = points.map(|it| json!({"at": it.at, "left": it.left, "burn_1h": it.burn}));
            let alarms = judgement.alarms().iter();
            let alarms = alarms.map(|it| json!({"at": it.at, "alarm": it.alarm}));
            let judged = json!({
                "target": judgement.target(),
                "period_seconds": judgement.period().as_secs_f64(),
                "exhausted_at": judgement.exhausted(),
                "budget": points.collect::<Vec<_>>(),
                "alarms": alarms.collect::<Vec<_>>(),
            });
            (service.name.clone(), judged)
        });
        (run.arm.name().to_owned(), Value::Object(services.collect()))
    };
    Value::Object(runs.iter().map(arm).collect())
}
