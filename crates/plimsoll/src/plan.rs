//! `plimsoll plan`, `plimsoll apply`, `plimsoll config`: what a file would change, exactly that in force, and back.

mod text;

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use plimsoll_config::LogTarget;
use plimsoll_console::{
    ApplyWanted, ChangePlan, Changed, ConfigurationText, Configurations, PlanWanted,
    RollbackWanted, WatchView,
};
use plimsoll_core::Instant;
use plimsoll_upstream::Clock;
use serde_json::json;

use crate::cli::{At, Past, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::configuration;
use crate::exit::{Exit, say};
use crate::kept::sha256;
use crate::simulate::predict;
use crate::state::StateFolder;
use crate::status::look::{Look, clean};

/// How often it is asked how a watch goes.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How long a process may be gone while it is watched: it may be upgraded, or killed and started again.
const GONE_MAX: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll plan                              the file that the process runs with, as it is now
  plimsoll plan next.toml                    another one, as if it stood in its place
  plimsoll plan --out plan.json              for `plimsoll apply plan.json`
  plimsoll plan --traffic access.log         with what the simulator predicts on recorded traffic

Exit codes: 0 nothing to change, 1 the file has errors, 2 could not run, 3 no running Plimsoll found, 4 there are changes.")]
pub(crate) struct PlanOptions {
    /// The file; by default the one that the process runs with.
    file: Option<PathBuf>,
    /// The plan as JSON.
    #[arg(long)]
    json: bool,
    /// Writes the plan to this file, to be applied as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// An access log of Plimsoll: the simulator predicts what would have become of its requests. By default the one that the
    /// configuration in force writes to a file, if it does.
    #[arg(long, value_name = "LOG")]
    traffic: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll apply                             shows the plan, asks, applies
  plimsoll apply --yes --wait --why \"JIRA-7\"  for a pipeline: ends with the verdict
  plimsoll apply plan.json --yes             exactly what was planned, or nothing

Exit codes: 0 applied (with --wait: and kept), 1 refused, 2 could not run, 3 no running Plimsoll found, 5 taken back.")]
pub(crate) struct Apply {
    /// The file that the process runs with, or a plan that `plimsoll plan --out` wrote; by default the former.
    file: Option<PathBuf>,
    /// For how long services are watched: 30s to 1h, or 0s.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    watch: String,
    /// The reason, for the journal.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Stay until it is kept or taken back.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    past: Past,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// The configurations that were in force, the latest first.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// The text of one of them, without what may be secret.
    Show {
        /// Its number.
        number: u64,
        #[command(flatten)]
        at: At,
    },
    /// Put one of them in force again; the file on disk stays as it is, and is set aside until it is changed.
    #[command(after_help = "\
Examples:
  plimsoll config rollback                   what was in force before
  plimsoll config rollback 12 --why \"orders fail since noon\"

Exit codes: 0 done, 1 refused, 3 no running Plimsoll found.")]
    Rollback {
        /// Its number; by default the last that was other than what is in force.
        number: Option<u64>,
        /// The reason, for the journal.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn plan(options: &PlanOptions) -> Exit {
    let target = options.at.target();
    let plan = match made(&target, options.file.as_deref()) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if let Some(out) = &options.out {
        let written = std::fs::write(out, format!("{:#}\n", json!(plan)));
        if let Err(error) = written {
            say(&format!("error: writing {}: {error}", out.display()));
            return Exit::Failed;
        }
    }
    let predicted = match plan.changes.is_empty() {
        true => Ok(Vec::new()),
        false => predicted(options, &target, &plan),
    };
    if options.json {
        let mut shown = json!(plan);
        if let (Some(shown), Ok(lines)) = (shown.as_object_mut(), &predicted) {
            shown.insert("predicted".to_owned(), json!(lines));
        }
        print(&format!("{shown:#}\n"));
    } else {
        print(&text::plan(&plan, Look::of_stdout()));
        print(&text::predicted(&predicted));
    }
    match plan.before == plan.after {
        true => Exit::Done,
        false => Exit::Differs,
    }
}

/// What the simulator predicts on recorded traffic; or why nothing is predicted.
fn predicted(
    options: &PlanOptions,
    target: &Target,
    plan: &ChangePlan,
) -> Result<Vec<String>, String> {
    // The process shows nobody the text in force with all that is in it: only its state folder has it.
    let folder = StateFolder::locate(target.state.as_deref());
    let before = folder
        .last_good()
        .filter(|it| sha256(&it.text) == plan.before);
    let before = before.ok_or("what is in force is known only where the process runs")?;
    let before = configuration::from_text(before.text, &plan.file);
    let before = before.map_err(|_| "what is in force can't be read")?;
    let log = match (&options.traffic, &before.config.gateway.log.to) {
        (Some(log), _) => log,
        (None, LogTarget::File(log)) => log,
        (None, _) => {
            return Err("no traffic is recorded in a file; --traffic LOG names one".to_owned());
        }
    };
    let file = options.file.as_deref().unwrap_or(Path::new(&plan.file));
    let after = configuration::from_file(file).ok();
    let after = after.filter(|it| sha256(&it.text) == plan.after);
    let after = after.ok_or("the file can't be read here as it was planned")?;
    predict(log, &before.config, &after.config)
}

/// Has it made by the process, of a file or of its own.
fn made(target: &Target, file: Option<&Path>) -> Result<ChangePlan, Exit> {
    let mut wanted = PlanWanted::default();
    if let Some(file) = file {
        // Here its errors are shown with its own name.
        let loaded = configuration::from_file(file).map_err(|error| {
            say(error.to_string().trim_end());
            error.exit()
        })?;
        loaded.warn();
        wanted.text = Some(loaded.text);
    }
    client::ask(target, "POST", "/api/v1/plan", Some(&json!(wanted)))
        .map_err(|error| refused(&error))
}

pub(crate) fn apply(options: &Apply) -> Exit {
    let target = options.at.target();
    let plan = match saved(options.file.as_deref()) {
        Ok(Some(plan)) => plan,
        Ok(None) => match made(&target, options.file.as_deref()) {
            Ok(plan) => plan,
            Err(exit) => return exit,
        },
        Err(exit) => return exit,
    };
    if plan.before == plan.after {
        print("nothing to change\n");
        return Exit::Done;
    }
    if !options.yes {
        print(&text::plan(&plan, Look::of_stdout()));
        match is_wanted() {
            Some(true) => (),
            Some(false) => {
                say("nothing was applied");
                return Exit::Refused;
            }
            None => {
                say("error: there is nobody to ask; --yes applies it all the same");
                return Exit::Failed;
            }
        }
    }
    let wanted = ApplyWanted {
        plan: plan.hash.clone(),
        why: options.why.clone(),
        watch: Some(options.watch.clone()),
        fix: options.past.fix,
        break_glass: options.past.break_glass,
    };
    let applied = client::ask::<Changed>(&target, "POST", "/api/v1/apply", Some(&json!(wanted)));
    match applied {
        Ok(changed) => match said(&changed) {
            Exit::Done => (),
            waits => return waits,
        },
        Err(error) => return refused(&error),
    }
    match options.wait {
        true => wait(&target, &plan),
        false => Exit::Done,
    }
}

/// A plan that was written before; `None`: it is no plan.
fn saved(file: Option<&Path>) -> Result<Option<ChangePlan>, Exit> {
    let Some(file) = file.filter(|it| it.extension().is_some_and(|it| it == "json")) else {
        return Ok(None);
    };
    let failed = |why: String| {
        say(&format!("error: the plan {}: {why}", file.display()));
        Exit::Failed
    };
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let plan = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    Ok(Some(plan))
}

/// `None`: nobody is there to say so.
fn is_wanted() -> Option<bool> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    print("Apply it? Only `yes` does. ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    Some(line.trim() == "yes")
}

/// Stays until the watch has ended. It goes on without us.
fn wait(target: &Target, plan: &ChangePlan) -> Exit {
    let clock = Clock::new();
    let mut told = clock.now();
    let mut gone: Option<Instant> = None;
    loop {
        let asked = client::ask::<Configurations>(target, "GET", "/api/v1/config", None);
        match asked {
            Ok(all) => {
                gone = None;
                let is_of_it = |it: &&WatchView| it.plan == plan.hash;
                let Some(watch) = all.watch.as_ref().filter(is_of_it) else {
                    return without_watch(&all, &plan.after);
                };
                let evidence = clean(&watch.evidence);
                match watch.state.as_str() {
                    "watching" => (),
                    "kept" => {
                        print(&format!("kept: {evidence}\n"));
                        return Exit::Done;
                    }
                    "returned" => {
                        say(&format!("returned to the configuration before: {evidence}"));
                        return Exit::Returned;
                    }
                    other => {
                        say(&format!("{}: {evidence}", clean(other)));
                        return Exit::Refused;
                    }
                }
                if clock.now() - told >= SAY_EVERY {
                    told = clock.now();
                    let until = watch.until.to_rfc3339();
                    say(&format!("watching until {until}: {evidence}"));
                }
            }
            Err(error @ (ClientError::Refused(_) | ClientError::Forbidden(_))) => {
                return refused(&error);
            }
            Err(error) => {
                let since = *gone.get_or_insert_with(|| clock.now());
                if clock.now() - since >= GONE_MAX {
                    return refused(&error);
                }
            }
        }
        #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
        std::thread::sleep(ASK_EVERY);
    }
}

/// Nothing is watched, so there is no verdict to wait for; or the process was begun anew just after it. What is in force says which.
fn without_watch(all: &Configurations, after: &str) -> Exit {
    let in_force = all.configurations.iter().find(|it| it.in_force);
    if in_force.is_some_and(|it| it.sha256 == after) {
        return Exit::Done;
    }
    match &all.set_aside {
        Some(why) => {
            say(&format!(
                "returned to the configuration before: {}",
                clean(why)
            ));
            Exit::Returned
        }
        None => {
            say("another configuration is in force by now: see `plimsoll config list`");
            Exit::Refused
        }
    }
}

pub(crate) fn config(command: &ConfigCommand) -> Exit {
    let done = match command {
        ConfigCommand::List { json, at } => list(&at.target(), *json),
        ConfigCommand::Show { number, at } => show(&at.target(), *number),
        ConfigCommand::Rollback { number, why, at } => {
            roll_back(&at.target(), *number, why.clone())
        }
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let all: Configurations = client::ask(target, "GET", "/api/v1/config", None)?;
    match json {
        true => print(&format!("{:#}\n", json!(all))),
        false => print(&text::list(&all, Look::of_stdout())),
    }
    Ok(Exit::Done)
}

fn show(target: &Target, number: u64) -> Result<Exit, ClientError> {
    let path = format!("/api/v1/config/{number}");
    let shown: ConfigurationText = client::ask(target, "GET", &path, None)?;
    let lines: Vec<String> = shown.text.lines().map(clean).collect();
    print(&format!("{}\n", lines.join("\n")));
    Ok(Exit::Done)
}

fn roll_back(
    target: &Target,
    number: Option<u64>,
    why: Option<String>,
) -> Result<Exit, ClientError> {
    let wanted = RollbackWanted { number, why };
    let path = "/api/v1/config/rollback";
    let changed: Changed = client::ask(target, "POST", path, Some(&json!(wanted)))?;
    Ok(said(&changed))
}
