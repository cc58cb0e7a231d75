//! `cargo xtask soak mutations`: whether the search for bad days finds policies that were broken on purpose.
//!
//! Each mutation changes one place of a copy of the workspace. A search that all of them passed would prove nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Failure, cargo, output, root, timed};

/// Runs in which each must be found.
const RUNS: &str = "2000";

/// A policy, broken.
struct Mutation {
    /// What it does not do any more.
    name: &'static str,
    /// In which file.
    file: &'static str,
    /// What stands there, once...
    from: &'static str,
    /// ...and what is put in its place.
    to: &'static str,
}

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "the limit never falls",
        file: "crates/plimsoll-policy/src/limiter.rs",
        from: "self.limit = self.limit.clamp(LIMIT_MIN, self.max);",
        to: "self.limit = self.limit.max(from).clamp(LIMIT_MIN, self.max);",
    },
    Mutation {
        name: "what was learnt under a fault outlasts it",
        file: "crates/plimsoll-policy/src/limiter.rs",
        from: "if comfortable && before.is_some_and(",
        to: "if false && before.is_some_and(",
    },
    Mutation {
        name: "retries have no budget",
        file: "crates/plimsoll-policy/src/retry/budget.rs",
        from: "tokens.checked_sub(TOKEN)",
        to: "Some(tokens.saturating_sub(TOKEN))",
    },
    Mutation {
        name: "the lowest class goes first",
        file: "crates/plimsoll-policy/src/admission/local.rs",
        from: "let class = Class::ALL.into_iter().find(|class| {",
        to: "let class = Class::ALL.into_iter().rev().find(|class| {",
    },
    Mutation {
        name: "half of the wake-ups between threads are lost",
        file: "crates/plimsoll-policy/src/admission/local.rs",
        from: "events.push(QueueEvent::Wake(next));",
        to: "if now.as_nanos() % 2 == 0 { events.push(QueueEvent::Wake(next)); }",
    },
    Mutation {
        name: "a client that hangs up keeps its permit",
        file: "crates/plimsoll-lifecycle/src/call.rs",
        from: "self.effects.return_permit(service, &finished);",
        to: "if finished.end != Completion::Cancelled { self.effects.return_permit(service, &finished); }",
    },
    Mutation {
        name: "an ejected endpoint never comes back",
        file: "crates/plimsoll-policy/src/endpoint/ejection.rs",
        from: "if *until <= now =>",
        to: "if *until <= now && now < *since =>",
    },
    Mutation {
        name: "all endpoints may be out by judgement",
        file: "crates/plimsoll-policy/src/endpoint/peers.rs",
        from: "out < self.able / 2",
        to: "out < self.able",
    },
    Mutation {
        name: "one that starts slowly is what peers are compared with",
        file: "crates/plimsoll-policy/src/endpoint/ejection.rs",
        from: ".filter(|peer| peer.loaded)",
        to: "",
    },
    Mutation {
        // Both judgements: what only one of them leaves in, the other takes out within a second or two.
        name: "nothing is held out by judgement",
        file: "crates/plimsoll-policy/src/endpoint/peers.rs",
        from: "out < self.able / 2",
        to: "out < 0 * self.able",
    },
];

/// Searches the workspace as it is, and then with each mutation.
pub(crate) fn soak() -> Result<(), Failure> {
    let scratch = root().join("target/mutations");
    let work = scratch.join("work");
    timed("copy", || copy(&work))?;
    // What fails without any mutation says nothing of one.
    let mut known = Vec::new();
    timed("as it is", || {
        build(&work, &scratch)?;
        known = search(&scratch, &[])?;
        Ok(())
    })?;
    let known: Vec<String> = known.into_iter().map(|(seed, _)| seed).collect();
    println!("without a mutation, these fail: {}", known.join(", "));
    let mut rows = Vec::new();
    let mut missed = Vec::new();
    for mutation in MUTATIONS {
        let path = work.join(mutation.file);
        let sound = read(&path)?;
        let times = sound.matches(mutation.from).count();
        if times != 1 {
            return Err(Failure::Step(format!(
                "`{}` is {times} times in {}, and must be there once",
                mutation.from, mutation.file
            )));
        }
        write(&path, &sound.replace(mutation.from, mutation.to))?;
        let found = timed(mutation.name, || found(&work, &scratch, &known));
        write(&path, &sound)?;
        match found? {
            Some(found) => rows.push(format!("| {} | {found} |", mutation.name)),
            None => {
                rows.push(format!("| {} | not found | |", mutation.name));
                missed.push(mutation.name);
            }
        }
    }
    println!("\n| mutation | invariant | run |\n|---|---|--:|");
    rows.iter().for_each(|row| println!("{row}"));
    match missed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Step(format!("not found: {}", missed.join(", ")))),
    }
}

/// The cells of a table's row: what was violated first, and in which run.
fn found(work: &Path, scratch: &Path, known: &[String]) -> Result<Option<String>, Failure> {
    build(work, scratch)?;
    let mut arguments = vec!["--until-found"];
    for seed in known {
        arguments.extend(["--skip", seed]);
    }
    let first = search(scratch, &arguments)?.into_iter().next();
    Ok(first.map(|(seed, invariant)| format!("{invariant} | {seed}")))
}

fn build(work: &Path, scratch: &Path) -> Result<(), Failure> {
    let mut build = cargo(&[
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "plimsoll-simulator",
        "--example",
        "search",
    ]);
    let target = scratch.join("target");
    build.current_dir(work).env("CARGO_TARGET_DIR", target);
    output("build", &mut build)?;
    Ok(())
}

/// The seeds of the cases that failed, and the first invariant of each. Seeds begin at 1, so that a seed is its run.
fn search(scratch: &Path, arguments: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let mut search = Command::new(scratch.join("target/release/examples/search"));
    let run = search
        .args(["--runs", RUNS])
        .args(arguments)
        .output()
        .map_err(|error| Failure::Step(format!("starting the search: {error}")))?;
    let text = String::from_utf8_lossy(&run.stdout);
    let mut lines = text.lines();
    let mut failed = Vec::new();
    while let Some(line) = lines.next() {
        let seed = line
            .strip_prefix("seed ")
            .and_then(|line| line.split_once(':'));
        let mut invariant = || lines.next()?.trim().split(':').next();
        if let Some((seed, invariant)) = seed.and_then(|(seed, _)| Some((seed, invariant()?))) {
            failed.push((seed.to_owned(), invariant.to_owned()));
        }
    }
    Ok(failed)
}

/// Copies what is in version control, or would be.
fn copy(work: &Path) -> Result<(), Failure> {
    let mut list = Command::new("git");
    list.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = output("git ls-files", list.current_dir(root()))?;
    for name in String::from_utf8_lossy(&list).split_terminator('\0') {
        let (from, to) = (root().join(name), work.join(name));
        // One that was deleted and is still listed.
        if from.is_file() {
            write(&to, "")?;
            std::fs::copy(&from, &to).map_err(|error| problem("copying", &from, &error))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| problem("reading", path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    std::fs::create_dir_all(&folder).map_err(|error| problem("making", &folder, &error))?;
    std::fs::write(path, text).map_err(|error| problem("writing", path, &error))
}

fn problem(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Step(format!("{what} {}: {error}", path.display()))
}
