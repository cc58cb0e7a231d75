//! Values of a scenario to its model. `None` where a value is missing or was wrong, which has been reported.

use std::collections::BTreeMap;

use super::model::{
    Burst, Cache, Call, ClassShares, ClientRetry, Fault, FaultKind, FlashCrowd, Memory, Phase,
    PhaseRate, Population, Replay, Scenario, ScenarioService, Shape, Source, Start, TimeSpread,
    Wave, Work, Workload,
};
use super::rules::named_service;
use crate::node::{Field, Fields, Node, Value};

pub(super) fn scenario(file: &Fields) -> Option<Scenario> {
    let services = file.table("service")?;
    let workloads = file.table("workload")?;
    let positions: BTreeMap<&str, usize> = services.iter().map(|(name, _)| name).zip(0..).collect();
    let position = |fields: &Fields| positions.get(named_service(fields, services)?).copied();
    let services: Vec<ScenarioService> = services
        .iter()
        .map(|(name, field)| service(name, field.node.as_table()?, &positions))
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
    let gateways = file.count("gateways")?;
    Some(Scenario {
        about: file.text("about").map(str::to_owned),
        gateways,
        threads: file.count("threads")?,
        phases: phases
            .map(|node| phase(node, &workloads))
            .collect::<Option<_>>()?,
        faults: faults
            .map(|node| {
                let fields = node.as_table()?;
                let service = position(fields)?;
                fault(fields, service, services.get(service)?.endpoints, gateways)
            })
            .collect::<Option<_>>()?,
        services,
        workloads,
    })
}

fn service(
    name: &str,
    fields: &Fields,
    positions: &BTreeMap<&str, usize>,
) -> Option<ScenarioService> {
    let call = |(callee, field): (&str, &Field)| {
        let call = field.node.as_table()?;
        Some(Call {
            service: positions.get(callee).copied()?,
            share: call.percent("share")?.get(),
            timeout: call.duration("timeout")?,
            attempts: call.count("attempts")?,
        })
    };
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
        cancels: fields.boolean("cancels")?,
        cache: match fields.table("cache") {
            Some(cache) => Some(Cache {
                hit: cache.percent("hit")?.get(),
                miss: cache.duration("miss")?,
                fill: cache.count("fill")?,
            }),
            None => None,
        },
        calls: fields
            .table("calls")?
            .iter()
            .map(call)
            .collect::<Option<_>>()?,
        memory: match fields.table("memory") {
            Some(memory) => Some(Memory {
                each: memory.size("each")?,
                limit: memory.size("limit")?,
                pause: memory.duration("pause")?,
            }),
            None => None,
        },
        start: match fields.table("start") {
            Some(start) => Some(Start {
                takes: start.duration("takes")?,
                times: start.number("times")?,
                warm: start.count("warm")?,
            }),
            None => None,
        },
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
        source: source(fields)?,
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

fn source(fields: &Fields) -> Option<Source> {
    if let Some(users) = fields.count("users") {
        return Some(Source::Users(Population {
            users,
            think: fields.duration("think")?,
            leaves: fields.percent("leaves").map_or(0.0, |it| it.get()),
        }));
    }
    if let Some(log) = fields.text("replay") {
        return Some(Source::Replay(Replay {
            log: log.to_owned(),
            speed: fields.number("speed").unwrap_or(1.0),
        }));
    }
    Some(Source::Rate(fields.rate("rate")?.per_second()))
}

fn phase(node: &Node, workloads: &[Workload]) -> Option<Phase> {
    let fields = node.as_table()?;
    let (rates, users) = (fields.table("rate")?, fields.table("users")?);
    let rate = |workload: &Workload| match (&workload.source, rates.node(&workload.name)) {
        (Source::Rate(_), Some(node)) => phase_rate(node.as_table()?),
        (Source::Rate(rate), None) => Some(PhaseRate::even(*rate)),
        _ => Some(PhaseRate::even(0.0)),
    };
    let population = |workload: &Workload| match &workload.source {
        Source::Users(usual) => users.count(&workload.name).unwrap_or(usual.users),
        _ => 0,
    };
    Some(Phase {
        name: fields.text("name")?.to_owned(),
        lasts: fields.duration("lasts")?,
        rates: workloads.iter().map(rate).collect::<Option<_>>()?,
        users: workloads.iter().map(population).collect(),
    })
}

fn phase_rate(fields: &Fields) -> Option<PhaseRate> {
    let rate = |key| fields.rate(key).map(|rate| rate.per_second());
    if let Some(mean) = rate("mean") {
        return Some(PhaseRate {
            shape: Some(Shape::Wave(Wave {
                swing: fields.percent("swing")?.get(),
                period: fields.duration("period")?,
                peak_at: fields.duration("peak_at")?,
            })),
            ..PhaseRate::even(mean)
        });
    }
    let to = rate("to")?;
    let shape = match (rate("peak"), fields.duration("rise")) {
        (None, _) => None,
        (Some(peak), Some(rise)) => Some(Shape::Crowd(FlashCrowd {
            peak,
            rise,
            decay: fields.duration("decay")?,
        })),
        (Some(peak), None) => Some(Shape::Bursts(Burst {
            peak,
            lasts: fields.duration("lasts")?,
            every: fields.duration("every")?,
        })),
    };
    Some(PhaseRate {
        from: rate("from").unwrap_or(to),
        to,
        shape,
    })
}

fn fault(fields: &Fields, service: usize, all: usize, gateways: usize) -> Option<Fault> {
    let share = || Some(fields.percent("share")?.get());
    let after = fields.count("after")?;
    Some(Fault {
        service,
        after,
        endpoints: fields
            .count("endpoints")
            .unwrap_or(all.saturating_sub(after)),
        at: fields.duration("at")?,
        lasts: fields.duration("lasts")?,
        kind: match fields.word("kind")? {
            "slow" => FaultKind::Slow(fields.number("times")?),
            "errors" => FaultKind::Errors(share()?),
            "crash" => FaultKind::Crash,
            "freeze" => FaultKind::Freeze,
            "capacity" => FaultKind::Capacity(share()?),
            "cold" => FaultKind::Cold,
            "loss" => FaultKind::Loss(share()?),
            "partition" => FaultKind::Partition(fields.count("gateways").unwrap_or(gateways)),
            _ => return None,
        },
    })
}
