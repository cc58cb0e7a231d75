//! `plimsoll slo`: objectives for other tools, and from them.
//!
//! Out: OpenSLO v1, rules for Prometheus, a dashboard for Grafana, routes for Alertmanager, of a configuration file. In: OpenSLO
//! v1, as tables for that file. Both are texts from texts; no running Plimsoll is asked.

mod alertmanager;
mod grafana;
mod import;
mod openslo;
mod prometheus;
mod yaml;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use plimsoll_config::{Config, Objective, Service, show_duration};
use plimsoll_measure::{Period, Urgency};

use crate::cli::print;
use crate::exit::{Exit, say};

#[derive(Debug, Subcommand)]
pub(crate) enum SloCommand {
    /// The objectives of a configuration file, for another tool, to standard output.
    #[command(after_help = "\
Examples:
  plimsoll slo export --config plimsoll.toml > slo.yaml
  plimsoll slo export --config plimsoll.toml --as prometheus > rules.yml && promtool check rules rules.yml
  plimsoll slo export --config plimsoll.toml --as grafana > dashboard.json
  plimsoll slo export --config plimsoll.toml --as alertmanager > alertmanager.yml

Exit codes: 0 done, 1 errors in the file, 2 the file can't be read.")]
    Export {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE", env = "PLIMSOLL_CONFIG")]
        config: PathBuf,
        /// What for.
        #[arg(long = "as", value_enum, value_name = "WHAT", default_value_t = Form::Openslo)]
        form: Form,
    },
    /// OpenSLO v1 as tables for the configuration file, to standard output.
    #[command(after_help = "\
Examples:
  plimsoll slo import slo.yaml
  plimsoll slo import slis.yaml slos.yaml --unit ms >> plimsoll.toml

What has no counterpart here is refused, with its line: calendar windows, time slices, composites,
other versions than openslo/v1.

Exit codes: 0 done, 2 something can't be taken over, and nothing is printed.")]
    Import {
        /// The files; SLIs of one may be referred to in another.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What the thresholds of latencies count, where the file does not say it.
        #[arg(long, value_enum, value_name = "UNIT")]
        unit: Option<LatencyUnit>,
    },
}

/// What objectives are exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// OpenSLO v1, YAML.
    Openslo,
    /// Recording and alerting rules.
    Prometheus,
    /// A dashboard, JSON.
    Grafana,
    /// Routes by owner, YAML.
    Alertmanager,
}

/// What a bare number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LatencyUnit {
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

/// Runs the command.
pub(crate) fn slo(command: &SloCommand) -> Exit {
    match command {
        SloCommand::Export { config, form } => export(config, *form),
        SloCommand::Import { files, unit } => import::import(files, *unit),
    }
}

/// `plimsoll slo export`. Only the file itself is read, none that it names: they may be on another machine.
fn export(path: &Path, form: Form) -> Exit {
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            say(&format!("error: reading {file}: {error}"));
            return Exit::Failed;
        }
    };
    match plimsoll_config::parse(&text, &file) {
        Ok((config, _warnings)) => {
            print(&match form {
                Form::Openslo => openslo::write(&config),
                Form::Prometheus => prometheus::write(&config),
                Form::Grafana => grafana::write(),
                Form::Alertmanager => alertmanager::write(&config),
            });
            Exit::Done
        }
        Err(errors) => {
            say(plimsoll_config::render(&errors, &text, &file, color()).trim_end());
            Exit::Refused
        }
    }
}

fn color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// An objective with what it is of.
#[derive(Clone, Copy, Debug)]
struct Promise<'a> {
    service_name: &'a str,
    service: &'a Service,
    name: &'a str,
    objective: &'a Objective,
}

impl Promise<'_> {
    /// What the budget grants, as it is written: `1 - 0.999` is 0.0010000000000000009.
    fn allowed(&self) -> f64 {
        (self.objective.target.complement().get() * 1e12).round() / 1e12
    }

    /// Which of Plimsoll's series are about it.
    fn labels(&self) -> String {
        format!(
            "service=\"{}\", objective=\"{}\"",
            self.service_name, self.name
        )
    }
}

/// All objectives, by service and name.
fn promises(config: &Config) -> impl Iterator<Item = Promise<'_>> {
    config.services.iter().flat_map(|(service_name, service)| {
        service
            .objectives
            .iter()
            .map(move |(name, objective)| Promise {
                service_name,
                service,
                name,
                objective,
            })
    })
}

/// A period as the configuration file has it.
fn show_period(period: Period) -> String {
    match period {
        Period::Rolling(length) => show_duration(length),
        Period::Calendar(calendar) => calendar.name().to_owned(),
    }
}

/// How soon somebody is to look, in the words of the configuration file.
fn severity(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Page => "page",
        Urgency::Ticket => "ticket",
    }
}

#[cfg(test)]
mod tests;
