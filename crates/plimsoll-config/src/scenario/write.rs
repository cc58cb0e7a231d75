//! A scenario as the text of its file.
//!
//! Invariant: what is written is read back to an equal scenario, to the last bit of each number. Models are taken
//! apart field by field, so that one that gets another does not compile before that is written, too.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::model::{
    Burst, Cache, Call, ClassShares, ClientRetry, Fault, FaultKind, FlashCrowd, Memory, Phase,
    PhaseRate, Population, Replay, Scenario, ScenarioService, Shape, Source, Start, TimeSpread,
    Wave, Work, Workload,
};
use crate::unit::{show_duration, show_size};

/// Writes a scenario as a file that [`parse`](super::parse) reads. What is as usual is left out where a reader
/// would not miss it.
pub fn write(scenario: &Scenario) -> String {
    let Scenario {
        about,
        gateways,
        threads,
        services,
        workloads,
        phases,
        faults,
    } = scenario;
    let mut text = Text::default();
    if let Some(about) = about {
        text.key("about", quoted(about));
    }
    text.key("gateways", gateways);
    text.key("threads", threads);
    for service in services {
        text.service(service, services);
    }
    for workload in workloads {
        text.workload(workload, services);
    }
    for phase in phases {
        text.phase(phase, workloads);
    }
    for fault in faults {
        text.fault(fault, services);
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Writing to a string does not fail.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _always = writeln!(self.0, "{line}");
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn service(&mut self, service: &ScenarioService, services: &[ScenarioService]) {
        let ScenarioService {
            name,
            endpoints,
            work,
            time,
            objective,
            cancels,
            cache,
            calls,
            memory,
            start,
        } = service;
        self.line(format_args!("\n[service.{name}]"));
        self.key("endpoints", endpoints);
        match work {
            Work::Workers { workers, spread } => {
                self.key("workers", workers);
                match spread {
                    TimeSpread::Constant => self.key("spread", "\"constant\""),
                    TimeSpread::Exponential => self.key("spread", "\"exponential\""),
                    TimeSpread::Bimodal => self.key("spread", "\"bimodal\""),
                    TimeSpread::Lognormal(cv) => self.key("spread", cv),
                }
            }
            Work::Shared {
                contention,
                crosstalk,
            } => {
                self.key("contention", contention);
                self.key("crosstalk", crosstalk);
            }
        }
        self.key("time", quoted(&show_duration(*time)));
        self.key("objective", quoted(&show_duration(*objective)));
        self.key("cancels", cancels);
        if let Some(Cache { hit, miss, fill }) = cache {
            let (hit, miss) = (percent(*hit), quoted(&show_duration(*miss)));
            self.line(format_args!(
                "cache = {{ hit = {hit}, miss = {miss}, fill = {fill} }}"
            ));
        }
        for call in calls {
            let Call {
                service,
                share,
                timeout,
                attempts,
            } = call;
            if let Some(callee) = services.get(*service) {
                let (share, timeout) = (percent(*share), quoted(&show_duration(*timeout)));
                let name = &callee.name;
                self.line(format_args!(
                    "calls.{name} = {{ share = {share}, timeout = {timeout}, attempts = {attempts} }}"
                ));
            }
        }
        if let Some(Memory { each, limit, pause }) = memory {
            let (each, limit) = (quoted(&show_size(*each)), quoted(&show_size(*limit)));
            let pause = quoted(&show_duration(*pause));
            self.line(format_args!(
                "memory = {{ each = {each}, limit = {limit}, pause = {pause} }}"
            ));
        }
        if let Some(Start { takes, times, warm }) = start {
            let takes = quoted(&show_duration(*takes));
            self.line(format_args!(
                "start = {{ takes = {takes}, times = {times}, warm = {warm} }}"
            ));
        }
    }

    fn workload(&mut self, workload: &Workload, services: &[ScenarioService]) {
        let Workload {
            name,
            service,
            source,
            patience,
            retry: ClientRetry { attempts, pause },
            classes:
                ClassShares {
                    critical,
                    sheddable,
                },
            tenants,
            zipf,
        } = workload;
        self.line(format_args!("\n[workload.{name}]"));
        self.of_service(*service, services);
        match source {
            Source::Rate(usual) => self.key("rate", rate(*usual)),
            Source::Users(Population {
                users,
                think,
                leaves,
            }) => {
                self.key("users", users);
                self.key("think", quoted(&show_duration(*think)));
                self.key("leaves", percent(*leaves));
            }
            Source::Replay(Replay { log, speed }) => {
                self.key("replay", quoted(log));
                self.key("speed", speed);
            }
        }
        self.key("patience", quoted(&show_duration(*patience)));
        let pause = quoted(&show_duration(*pause));
        self.line(format_args!(
            "retry = {{ attempts = {attempts}, pause = {pause} }}"
        ));
        let (critical, sheddable) = (percent(*critical), percent(*sheddable));
        self.line(format_args!(
            "classes = {{ critical = {critical}, sheddable = {sheddable} }}"
        ));
        self.key("tenants", tenants);
        self.key("zipf", zipf);
    }

    fn phase(&mut self, phase: &Phase, workloads: &[Workload]) {
        let Phase {
            name,
            lasts,
            rates,
            users,
        } = phase;
        self.line(format_args!("\n[[phase]]"));
        self.key("name", quoted(name));
        self.key("lasts", quoted(&show_duration(*lasts)));
        for (workload, (phase_rate, users)) in workloads.iter().zip(rates.iter().zip(users)) {
            let name = &workload.name;
            match &workload.source {
                Source::Rate(usual) if *phase_rate == PhaseRate::even(*usual) => (),
                Source::Rate(_) => self.key(&format!("rate.{name}"), phase_rate_text(phase_rate)),
                Source::Users(usual) if *users != usual.users => {
                    self.key(&format!("users.{name}"), users);
                }
                Source::Users(_) | Source::Replay(_) => (),
            }
        }
    }

    fn fault(&mut self, fault: &Fault, services: &[ScenarioService]) {
        let Fault {
            service,
            after,
            endpoints,
            at,
            lasts,
            kind,
        } = fault;
        self.line(format_args!("\n[[fault]]"));
        let (name, figure) = match kind {
            FaultKind::Slow(times) => ("slow", Some(("times", times.to_string()))),
            FaultKind::Errors(share) => ("errors", Some(("share", percent(*share)))),
            FaultKind::Crash => ("crash", None),
            FaultKind::Cold => ("cold", None),
            FaultKind::Freeze => ("freeze", None),
            FaultKind::Capacity(share) => ("capacity", Some(("share", percent(*share)))),
            FaultKind::Loss(share) => ("loss", Some(("share", percent(*share)))),
            FaultKind::Partition(gateways) => {
                ("partition", Some(("gateways", gateways.to_string())))
            }
        };
        self.key("kind", quoted(name));
        if let Some((key, value)) = figure {
            self.key(key, value);
        }
        self.of_service(*service, services);
        self.key("after", after);
        self.key("endpoints", endpoints);
        self.key("at", quoted(&show_duration(*at)));
        self.key("lasts", quoted(&show_duration(*lasts)));
    }

    fn of_service(&mut self, service: usize, services: &[ScenarioService]) {
        if let (Some(service), true) = (services.get(service), services.len() > 1) {
            self.key("service", quoted(&service.name));
        }
    }
}

/// A basic string of TOML. Control characters are not in texts of scenarios.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn rate(per_second: f64) -> String {
    format!("\"{per_second}/s\"")
}

fn phase_rate_text(PhaseRate { from, to, shape }: &PhaseRate) -> String {
    let (from, to_text) = (rate(*from), rate(*to));
    let time = |time: &Duration| quoted(&show_duration(*time));
    match shape {
        Some(Shape::Bursts(Burst { peak, lasts, every })) => {
            let (peak, lasts, every) = (rate(*peak), time(lasts), time(every));
            format!("{{ to = {to_text}, peak = {peak}, lasts = {lasts}, every = {every} }}")
        }
        Some(Shape::Wave(Wave {
            swing,
            period,
            peak_at,
        })) => {
            let (swing, period, peak_at) = (percent(*swing), time(period), time(peak_at));
            format!(
                "{{ mean = {to_text}, swing = {swing}, period = {period}, peak_at = {peak_at} }}"
            )
        }
        Some(Shape::Crowd(FlashCrowd { peak, rise, decay })) => {
            let (peak, rise, decay) = (rate(*peak), time(rise), time(decay));
            format!("{{ to = {to_text}, peak = {peak}, rise = {rise}, decay = {decay} }}")
        }
        None if from != to_text => format!("{{ from = {from}, to = {to_text} }}"),
        None => to_text,
    }
}

/// A share as a percentage. The point is moved in the text: times a hundred, some shares would be others.
fn percent(share: f64) -> String {
    let digits = share.to_string();
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let fraction = format!("{fraction:0<2}");
    let (moved, rest) = fraction.split_at_checked(2).unwrap_or((&fraction, ""));
    let moved = format!("{whole}{moved}");
    let whole = match moved.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = if rest.is_empty() { "" } else { "." };
    format!("\"{whole}{point}{rest}%\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_keeps_its_digits() {
        let shares = [0.0, 0.05, 0.29, 1.0, 0.001, 0.123_456, 0.5];
        let expected = ["0%", "5%", "29%", "100%", "0.1%", "12.3456%", "50%"];
        for (share, expected) in shares.into_iter().zip(expected) {
            assert_eq!(percent(share), format!("\"{expected}\""));
        }
    }
}
