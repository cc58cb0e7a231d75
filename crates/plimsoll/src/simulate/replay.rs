//! The logs that a scenario's workloads replay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::Diagnostic;
use plimsoll_config::scenario::{MEMORY_MAX, Scenario, Source, Workload, replay_error};
use plimsoll_simulator::fleet::Recorded;

use super::access_log::AccessLog;
use super::exit_of;
use crate::exit::{Exit, say};

/// Bytes of a request under way, and of one that is kept though nobody waits for it: as scenarios are bounded.
const UNDER_WAY: f64 = 1_000.0;
const KEPT: f64 = 100.0;

/// What a workload replays.
#[derive(Debug)]
pub(super) struct Replay {
    /// The workload, by its position.
    pub(super) workload: usize,
    /// The log.
    pub(super) file: PathBuf,
    pub(super) requests: Arc<[Recorded]>,
}

/// Why a log can't be replayed, and with what the command ends.
type Refused = (Box<Diagnostic>, Exit);

/// Reads the logs of a scenario that needs so much memory without them. Gives how much it needs with them.
pub(super) fn read(
    path: &Path,
    text: &str,
    scenario: &Scenario,
    memory: f64,
) -> Result<(Vec<Replay>, f64), Refused> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut logs, mut memory) = (BTreeMap::<PathBuf, AccessLog>::new(), memory);
    let mut replays = Vec::new();
    for (index, workload) in scenario.workloads.iter().enumerate() {
        let Source::Replay(replay) = &workload.source else {
            continue;
        };
        let refused = |message: &str, help: &str, exit| {
            let error = replay_error(text, &workload.name, message, help);
            (Box::new(error), exit)
        };
        let file = folder.join(&replay.log);
        if !logs.contains_key(&file) {
            let log = AccessLog::read(&file).map_err(|error| {
                let help = "it is looked for beside the scenario";
                refused(&error.to_string(), help, exit_of(&error))
            })?;
            logs.insert(file.clone(), log);
        }
        let service = scenario.services.get(workload.service);
        let service = service.map_or("", |service| &service.name);
        let Some(log) = logs.get(&file) else {
            continue;
        };
        let Some(requests) = log.recorded(service) else {
            let there: Vec<String> = log.services.iter().map(|it| format!("`{it}`")).collect();
            return Err(refused(
                &format!(
                    "the access log {} has no request for the service `{service}` of workload `{}`",
                    file.display(),
                    workload.name
                ),
                &format!("it has {}", there.join(", ")),
                Exit::Refused,
            ));
        };
        memory += needs(&requests, workload, replay.speed);
        if memory > MEMORY_MAX {
            return Err(refused(
                &format!(
                    "the run may need {:.1} GiB of memory with what the workload `{}` replays",
                    memory / f64::from(1 << 30),
                    workload.name
                ),
                "replay a part of the log, more slowly, or with less `patience`",
                Exit::Refused,
            ));
        }
        warn(&file, log, &requests, replay.speed, scenario.lasts());
        replays.push(Replay {
            workload: index,
            file,
            requests,
        });
    }
    Ok((replays, memory))
}

/// How much memory a replay may need, in bytes.
fn needs(requests: &[Recorded], workload: &Workload, speed: f64) -> f64 {
    let tries = f64::from(workload.retry.attempts);
    let patience = workload.patience.as_nanos() as f64 * speed;
    let under_way = most_within(requests, patience) as f64 * tries;
    under_way * UNDER_WAY + requests.len() as f64 * tries * KEPT
}

/// The most that come within so much of the log's time.
fn most_within(requests: &[Recorded], nanos: f64) -> usize {
    let mut first = requests.iter();
    let (mut within, mut most) = (0, 0);
    for last in requests {
        within += 1;
        while let Some(earliest) = first.as_slice().first()
            && (last.at - earliest.at) as f64 > nanos
        {
            first.next();
            within -= 1;
        }
        most = within.max(most);
    }
    most
}

/// Says what of a log is not replayed.
fn warn(file: &Path, log: &AccessLog, requests: &[Recorded], speed: f64, lasts: Duration) {
    let file = file.display();
    if log.skipped > 0 {
        let skipped = log.skipped;
        say(&format!(
            "warning: {file}: {skipped} lines that are none of an access log are skipped"
        ));
    }
    if log.is_sampled() {
        say(&format!(
            "warning: {file} has only a sample of the requests, and what is not there is not replayed: log all with `sample = \"100%\"`, or use `--from`"
        ));
    }
    let ends = lasts.as_nanos() as f64 * speed;
    let late = requests.iter().filter(|it| it.at as f64 >= ends).count();
    if late > 0 {
        say(&format!(
            "warning: {file}: {late} of {} requests come after the last phase and are not replayed",
            requests.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_config::render;
    use plimsoll_config::scenario::parse;
    use plimsoll_core::Class;

    use super::*;

    const TEXT: &str = "[service.shop]\nworkers = 1\ntime = \"10ms\"\n[workload.people]\nreplay = \"access.log\"\n\
                        patience = \"1h\"\n[[phase]]\nname = \"all\"\nlasts = \"1s\"\n";

    #[test]
    fn a_log_that_is_of_no_use_is_shown_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scenario.toml");
        let read = || {
            let (error, exit) = read(&path, TEXT, &parse(TEXT).unwrap(), 0.0).unwrap_err();
            let shown = render(&[*error], TEXT, "scenario.toml", false);
            assert!(shown.contains("5 | replay = \"access.log\""), "{shown}");
            (shown, exit)
        };
        let (shown, exit) = read();
        assert!(shown.contains("access.log: No such file"), "{shown}");
        assert_eq!(exit, Exit::Failed);
        let line = r#"{"time":"2026-11-25T14:10:52Z","cause":"answered","service":"other","class":"critical","duration_seconds":0.1}"#;
        std::fs::write(folder.path().join("access.log"), line).unwrap();
        let (shown, exit) = read();
        assert!(
            shown.contains("no request for the service `shop`"),
            "{shown}"
        );
        assert!(shown.contains("it has `other`"), "{shown}");
        assert_eq!(exit, Exit::Refused);
    }

    #[test]
    fn what_a_replay_needs_is_what_comes_within_the_patience_of_clients() {
        let at = |at: u64| Recorded {
            at: at * 1_000_000_000,
            tenant: 0,
            class: Class::Standard,
        };
        let requests = [0, 10, 11, 12, 60].map(at);
        let within = |seconds: f64| most_within(&requests, seconds * 1e9);
        assert_eq!([0.5, 1.0, 2.0, 100.0].map(within), [1, 2, 3, 5]);
        let scenario = parse(TEXT).unwrap();
        let needs = |speed| needs(&requests, &scenario.workloads[0], speed);
        assert_eq!(needs(1.0), 5.0 * (UNDER_WAY + KEPT));
        // An hour of the clients is two seconds of the log.
        assert_eq!(needs(1.0 / 1_800.0), 3.0 * UNDER_WAY + 5.0 * KEPT);
    }
}
