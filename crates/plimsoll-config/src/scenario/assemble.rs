//! Values of a scenario to its model. `None` where a value is missing or was wrong, which has been reported.

use std::collections::BTreeMap;

use super::model::{
    Burst, ClassShares, ClientRetry, Fault, FaultKind, Phase, PhaseRate, Scenario, ScenarioService,
    TimeSpread, Work, Workload,
};
use super::rules::named_service;
use crate::node::{Fields, Node, Value};

pub(super) fn scenario(file: &Fields) -> Option<Scenario> {
    let services = file.table("service")?;
    let workloads = file.table("workload")?;
    let positions: BTreeMap<&str, usize> = services.iter().map(|(name, _)| name).zip(0..).collect();
    let position = |fields: &Fields| positions.get(named_service(fields, services)?).copied();
    let services: Vec<ScenarioService> = services
        .iter()
        .map(|(name, field)| service(name, field.node.as_table()?))
        .collect::<Option<_>>()?;
    let workloads: Vec<Workload> = workloads
        .iter()
        .map(|(name, field)| {
            let fields = field.node.as_table()?;
            workload(name, fields, position(fields)?)
        })
        .collect::<Option<_>>()?;
    let phases = file.list("phase").iter();
    let faults = file.list("fault").iter();
    Some(Scenario {
        about: file.text("about").map(str::to_owned),
        gateways: file.count("gateways")?,
        threads: file.count("threads")?,
        phases: phases
            .map(|node| phase(node, &workloads))
            .collect::<Option<_>>()?,
        faults: faults
            .map(|node| {
                let fields = node.as_table()?;
                let service = position(fields)?;
                fault(fields, service, services.get(service)?.endpoints)
            })
            .collect::<Option<_>>()?,
        services,
        workloads,
    })
}

fn service(name: &str, fields: &Fields) -> Option<ScenarioService> {
    Some(ScenarioService {
        name: name.to_owned(),
        endpoints: fields.count("endpoints")?,
        work: match fields.number("crosstalk") {
            Some(crosstalk) => Work::Shared {
                contention: fields.number("contention")?,
                crosstalk,
            },
            None => Work::Workers {
                workers: fields.count("workers")?,
                spread: spread(fields.node("spread")?)?,
            },
        },
        time: fields.duration("time")?,
        objective: fields.duration("objective")?,
    })
}

fn spread(node: &Node) -> Option<TimeSpread> {
    Some(match node.value {
        Value::Word("constant") => TimeSpread::Constant,
        Value::Word("exponential") => TimeSpread::Exponential,
        Value::Word("bimodal") => TimeSpread::Bimodal,
        Value::Number(cv) => TimeSpread::Lognormal(cv),
        _ => return None,
    })
}

fn workload(name: &str, fields: &Fields, service: usize) -> Option<Workload> {
    let (retry, classes) = (fields.table("retry")?, fields.table("classes")?);
    Some(Workload {
        name: name.to_owned(),
        service,
        rate: fields.rate("rate")?.per_second(),
        patience: fields.duration("patience")?,
        retry: ClientRetry {
            attempts: retry.count("attempts")?,
            pause: retry.duration("pause")?,
        },
        classes: ClassShares {
            critical: classes.percent("critical")?.get(),
            sheddable: classes.percent("sheddable")?.get(),
        },
        tenants: fields.count("tenants")?,
        zipf: fields.number("zipf")?,
    })
}

fn phase(node: &Node, workloads: &[Workload]) -> Option<Phase> {
    let fields = node.as_table()?;
    let rates = fields.table("rate")?;
    let rate = |workload: &Workload| match rates.node(&workload.name) {
        None => Some(PhaseRate {
            from: workload.rate,
            to: workload.rate,
            burst: None,
        }),
        Some(node) => phase_rate(node.as_table()?),
    };
    Some(Phase {
        name: fields.text("name")?.to_owned(),
        lasts: fields.duration("lasts")?,
        rates: workloads.iter().map(rate).collect::<Option<_>>()?,
    })
}

fn phase_rate(fields: &Fields) -> Option<PhaseRate> {
    let to = fields.rate("to")?.per_second();
    let peak = fields.rate("peak");
    Some(PhaseRate {
        from: fields.rate("from").map_or(to, |rate| rate.per_second()),
        to,
        burst: match peak {
            Some(peak) => Some(Burst {
                peak: peak.per_second(),
                lasts: fields.duration("lasts")?,
                every: fields.duration("every")?,
            }),
            None => None,
        },
    })
}

fn fault(fields: &Fields, service: usize, all: usize) -> Option<Fault> {
    let share = || Some(fields.percent("share")?.get());
    Some(Fault {
        service,
        endpoints: fields.count("endpoints").unwrap_or(all),
        at: fields.duration("at")?,
        lasts: fields.duration("lasts")?,
        kind: match fields.word("kind")? {
            "slow" => FaultKind::Slow(fields.number("times")?),
            "errors" => FaultKind::Errors(share()?),
            "crash" => FaultKind::Crash,
            "freeze" => FaultKind::Freeze,
            "capacity" => FaultKind::Capacity(share()?),
            _ => return None,
        },
    })
}
