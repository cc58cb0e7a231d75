//! The command line.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use plimsoll_console::Changed;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::approval::{ApprovalCommand, approval};
use crate::cache::{CacheCommand, cache};
use crate::client::{self, ClientError, Target};
use crate::configuration;
use crate::degrade::{Degrade, GovernorCommand, degrade, governor};
use crate::exit::{Exit, report, say};
use crate::explain::explain;
use crate::flags::command::{FlagCommand, flag};
use crate::freeze::{Freeze, freeze};
use crate::incident::{IncidentCommand, incident};
use crate::journal::command::{JournalCommand, journal};
use crate::launch;
use crate::notify::{NotifyCommand, notify};
use crate::plan::{Apply, ConfigCommand, PlanOptions, apply, config, plan};
use crate::rollout::{RolloutCommand, rollout};
use crate::simulate::{Simulate, simulate};
use crate::slo::{SloCommand, slo};
use crate::status::look::{Look, clean};
use crate::status::{render_status, render_would};
use crate::token::{TokenCommand, token};
use crate::top::run_top;

/// Keeps your services serving while load, data, teams and cost grow.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  plimsoll demo                                  see it work, on this machine, in 70 seconds
  plimsoll run --to http://127.0.0.1:3000        put it in front of a service, without a file
  plimsoll init http://127.0.0.1:3000 > plimsoll.toml
  plimsoll check plimsoll.toml && plimsoll run --config plimsoll.toml
  plimsoll status                                what burns, what is down, what is slow
  plimsoll journal list                          what changed, and what was decided

Exit codes: 0 done, 1 refused (errors in the file, reload refused), 2 could not run, 3 no running Plimsoll found;
`plan` ends with 4 where there is something to change, `apply --wait` with 5 where it was taken back; 6 it waits for approval."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve traffic.
    Run(Run),
    /// Two arms side by side, same arrivals: a plain proxy and Plimsoll, through a bad day of 70 seconds.
    Demo(Demo),
    /// Write a commented starter file for these endpoints to standard output.
    #[command(
        after_help = "Example:\n  plimsoll init http://127.0.0.1:3000 http://127.0.0.1:3001 > plimsoll.toml"
    )]
    Init {
        /// Endpoints of your services, as http://host:port.
        #[arg(required = true)]
        endpoints: Vec<String>,
    },
    /// Check a configuration file; shows all errors at once.
    #[command(
        after_help = "Example:\n  plimsoll check plimsoll.toml --json\n\nExit codes: 0 valid, 1 errors, 2 the file can't be read."
    )]
    Check {
        /// The file.
        file: PathBuf,
        /// The diagnostics as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Run a scenario in virtual time, with Plimsoll's policies and without any: what would have happened?
    Simulate(Simulate),
    /// One screen: services, budgets, limits, endpoints, warnings.
    Status {
        #[command(flatten)]
        at: At,
        /// What policies in mode `observe` would have done: shed, retried, ejected.
        #[arg(long, conflicts_with = "json")]
        would: bool,
        /// The whole snapshot as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The same, live.
    Top {
        #[command(flatten)]
        at: At,
    },
    /// Read the configuration file again. An invalid one is refused, and the old one stays.
    #[command(after_help = "\
Where [approval.NAME] asks for it, nothing is done before others approved it: exit code 6. See `plimsoll approval list`.

Examples:
  plimsoll reload
  plimsoll reload --fix --why \"the limit was too low\"           also while the service is frozen
  plimsoll reload --break-glass --why \"nobody is awake\"         without approval: journaled loudly")]
    Reload {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        how: How,
    },
    /// What a file would change of what is in force, and how much may go wrong.
    Plan(PlanOptions),
    /// Put what was planned in force, and watch it: where services suffer, the process returns to what was before by itself.
    Apply(Apply),
    /// The configurations that were in force, and back to one of them.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// What waits for the approval of others: requests, and what is said to them.
    Approval {
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// Change nothing risky of a service, or of all, for a while.
    Freeze(Freeze),
    /// What became of one request, and why. Refused, failed and slow ones are known, and a sample of the others.
    #[command(
        after_help = "The id is in Plimsoll-Decision of an answer that went wrong, in X-Request-Id as services are sent it, and in the access log. A trace's id works too.\n\n\
                      Example:\n  plimsoll explain 3cc92ba9a31c2e68c21922c574a9499c\n\n\
                      Exit codes: 0 known, 1 not known, 3 no running Plimsoll found."
    )]
    Explain {
        /// The request's id, or its trace's.
        id: String,
        #[command(flatten)]
        at: At,
        /// What is known of it as JSON, as in the access log.
        #[arg(long)]
        json: bool,
    },
    /// What changed and what was decided: a record that shows if it was changed.
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// What people were called for: when, why, what acted, and a draft of the review.
    Incident {
        #[command(subcommand)]
        command: IncidentCommand,
    },
    /// Make a service do less for a while: refuse classes or what changes something, leave out optional features, make no
    /// retries or no second attempts.
    Degrade(Degrade),
    /// What is stored of services' answers.
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// New versions of services, step by step: each is judged against the old one, and undone when it is worse.
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Flags: what code gets of them, who changed them, which should go.
    Flag {
        #[command(subcommand)]
        command: FlagCommand,
    },
    /// What the governor may do.
    Governor {
        #[command(subcommand)]
        command: GovernorCommand,
    },
    /// Who is called: whether they would hear it.
    Notify {
        #[command(subcommand)]
        command: NotifyCommand,
    },
    /// Who may change what: tokens of people, with roles and owners.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Objectives for other tools, and from them: OpenSLO, Prometheus, Grafana.
    Slo {
        #[command(subcommand)]
        command: SloCommand,
    },
    /// A process of the demo.
    #[command(hide = true)]
    DemoPart {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Which running Plimsoll.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The console's URL, as http://127.0.0.1:7676. By default it is found by the state folder.
    #[arg(long, value_name = "URL", env = "PLIMSOLL_AT")]
    at: Option<String>,
    /// The state folder of the process.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

impl At {
    pub(crate) fn target(&self) -> Target {
        Target {
            url: self.at.clone(),
            state: self.state.clone(),
        }
    }
}

/// What somebody wants to be let past, who says why.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// It mends something: no freeze is in its way.
    #[arg(long, requires = "why")]
    pub(crate) fix: bool,
    /// Do it without the approval that it needs: this is journaled loudly, and the owners are called.
    #[arg(long, requires = "why")]
    pub(crate) break_glass: bool,
}

/// How something is asked for that a freeze or an approval may be in the way of.
#[derive(Debug, Args)]
pub(crate) struct How {
    #[command(flatten)]
    pub(crate) past: Past,
    /// Why, in a few words.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

impl How {
    /// As a query; empty where there is nothing to say.
    pub(crate) fn query(&self) -> String {
        let given = [
            ("fix", self.past.fix),
            ("break_glass", self.past.break_glass),
        ]
        .into_iter();
        let given = given.filter(|(_, given)| *given);
        let mut query: Vec<String> = given.map(|(name, _)| format!("{name}=true")).collect();
        query.extend(
            self.why
                .iter()
                .map(|why| format!("why={}", client::part(why))),
        );
        match query.is_empty() {
            true => String::new(),
            false => format!("?{}", query.join("&")),
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll run --to http://127.0.0.1:3000
  plimsoll run --to http://127.0.0.1:3000 --listen 0.0.0.0:8080 --observe
  plimsoll run --config /etc/plimsoll/plimsoll.toml
  plimsoll run --config /etc/plimsoll/plimsoll.toml --upgrade      take over from the running process

Signals: HUP reloads, TERM and INT drain and end.")]
pub(crate) struct Run {
    /// Forward everything to this service; needs no file.
    #[arg(long, value_name = "URL", conflicts_with = "config", required_unless_present_any = ["config", "last_good"])]
    pub(crate) to: Option<String>,
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "PLIMSOLL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// With --to: where to listen. Port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub(crate) listen: Option<SocketAddr>,
    /// With --to: where the console listens.
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub(crate) console: Option<SocketAddr>,
    /// With --to: where /metrics, /livez and /readyz are served.
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub(crate) ops: Option<SocketAddr>,
    /// Every policy decides and counts, none acts.
    #[arg(long)]
    pub(crate) observe: bool,
    /// The state folder, over that of the file.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// Take listeners over from the process that runs on the same state folder; it then drains and ends.
    #[arg(long)]
    pub(crate) upgrade: bool,
    /// Start with the last configuration that was in force, as kept in the state folder.
    #[arg(long, conflicts_with_all = ["to", "config"])]
    pub(crate) last_good: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll demo
  plimsoll demo slow-dependency              one trouble that lasts, and what is decided
  plimsoll demo origin-down                  a service is gone, and what was stored stands in
  plimsoll demo bad-deploy                   a bad version is undone, and a rolling deploy of it is not
  plimsoll demo --seed 7 --against nginx
  plimsoll demo --keep                       leaves it running, with its console

Keys, on a terminal: k kill an endpoint, s slow a dependency, f flood from one tenant, + - load, q end.")]
struct Demo {
    /// What happens: `day`, `slow-dependency`, `origin-down` or `bad-deploy`.
    #[arg(value_name = "SCENE", default_value = "day")]
    scene: plimsoll_demo::Scene,
    /// The same seed offers the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the right arm running when the demo is over, until ^C.
    #[arg(long)]
    keep: bool,
    /// What the left arm is: nginx or haproxy, where installed.
    #[arg(long, value_name = "PEER")]
    against: Option<plimsoll_demo::Against>,
    /// Plain lines, even on a terminal.
    #[arg(long)]
    plain: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Short phases, for tests.
    #[arg(long, hide = true)]
    short: bool,
}

pub(crate) fn main() -> ExitCode {
    // A reader that has gone (`plimsoll status | head`) ends us quietly instead of with a panic.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::Failed
            } else {
                Exit::Done
            };
            let _unprintable = error.print();
            return code.into();
        }
    };
    match cli.command {
        Command::Run(run) => {
            start_log();
            launch::run(&run).into()
        }
        Command::Demo(demo) => {
            let length = if demo.short {
                plimsoll_demo::Length::Short
            } else {
                plimsoll_demo::Length::Full
            };
            plimsoll_demo::run(&plimsoll_demo::DemoOptions {
                seed: demo.seed,
                keep: demo.keep,
                against: demo.against,
                plain: demo.plain,
                json: demo.json,
                scene: demo.scene,
                length,
                ..plimsoll_demo::DemoOptions::default()
            })
        }
        Command::DemoPart { args } => plimsoll_demo::run_part(&args),
        Command::Init { endpoints } => init(&endpoints).into(),
        Command::Check { file, json } => configuration::check(&file, json).into(),
        Command::Schema => {
            print(&format!("{:#}\n", plimsoll_config::schema()));
            Exit::Done.into()
        }
        Command::Simulate(options) => simulate(&options).into(),
        Command::Status { at, would, json } => status(&at.target(), would, json).into(),
        Command::Top { at } => {
            let target = at.target();
            match run_top(move || client::snapshot(&target).map_err(|error| error.to_string())) {
                Ok(()) => Exit::Done.into(),
                Err(error) => {
                    report(&error);
                    Exit::Unreachable.into()
                }
            }
        }
        Command::Plan(options) => plan(&options).into(),
        Command::Apply(options) => apply(&options).into(),
        Command::Config { command } => config(&command).into(),
        Command::Reload { at, how } => reload(&at.target(), &how).into(),
        Command::Approval { command } => approval(&command).into(),
        Command::Freeze(asked) => freeze(&asked).into(),
        Command::Explain { id, at, json } => explain(&at.target(), &id, json).into(),
        Command::Journal { command } => journal(&command).into(),
        Command::Incident { command } => incident(&command).into(),
        Command::Degrade(asked) => degrade(&asked).into(),
        Command::Cache { command } => cache(&command).into(),
        Command::Rollout { command } => rollout(&command).into(),
        Command::Flag { command } => flag(&command).into(),
        Command::Governor { command } => governor(&command).into(),
        Command::Notify { command } => notify(&command).into(),
        Command::Token { command } => token(&command).into(),
        Command::Slo { command } => slo(&command).into(),
    }
}

/// Our own log: to standard error, `info` and above unless `PLIMSOLL_LOG` says otherwise, as `debug` or
/// `info,plimsoll_gateway=debug`.
fn start_log() {
    let filter = std::env::var("PLIMSOLL_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(color)
        .with_writer(std::io::stderr)
        // It would be said on standard error, which is what failed, and by a panic.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

/// Prints to standard output; a reader that has gone is no error.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let _gone = std::io::stdout().write_all(text.as_bytes());
}

fn init(endpoints: &[String]) -> Exit {
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    match plimsoll_config::init(&endpoints) {
        Ok(text) => {
            print(&text);
            Exit::Done
        }
        Err(error) => {
            report(&error);
            Exit::Failed
        }
    }
}

fn status(target: &Target, would: bool, json: bool) -> Exit {
    let render = if would { render_would } else { render_status };
    let result = if json {
        client::snapshot_json(target).map(|text| text + "\n")
    } else {
        client::snapshot(target).map(|snapshot| render(&snapshot, Look::of_stdout()))
    };
    match result {
        Ok(text) => {
            print(&text);
            Exit::Done
        }
        Err(error) => {
            report(&error);
            Exit::Unreachable
        }
    }
}

fn reload(target: &Target, how: &How) -> Exit {
    match client::reload(target, &how.query()) {
        Ok(changed) => said(&changed),
        Err(error) => refused(&error),
    }
}

/// Prints what was changed.
pub(crate) fn said(changed: &Changed) -> Exit {
    let number = changed.journal.map(|number| format!("  #{number}"));
    let number = number.unwrap_or_default();
    print(&format!("{}{number}\n", clean(&changed.message)));
    if let Some(warning) = &changed.warning {
        say(&format!("warning: {}", clean(warning)));
    }
    match changed.approval {
        Some(_) => Exit::Waits,
        None => Exit::Done,
    }
}

/// Prints why nothing came of it.
pub(crate) fn refused(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(said) | ClientError::Forbidden(said) => {
            say(said);
            Exit::Refused
        }
        error => {
            report(error);
            Exit::Unreachable
        }
    }
}
