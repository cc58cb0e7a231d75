//! The harness: rounds over parts over peers, then the report.

use std::path::Path;
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::command::{LOAD_CORE, first_line, need_two_cores, write};
use crate::crowd::{self, Crowd};
use crate::failure::{Doing, Failure};
use crate::hit::{self, Hit};
use crate::objects::{self, Zipf};
use crate::options::{Options, Part};
use crate::origin::Origin;
use crate::peer::Peer;
use crate::popularity::{self, Popularity};
use crate::{machine, report};

/// All that a run measured, round after round.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) hits: Vec<Hit>,
    pub(crate) popularity: Vec<Popularity>,
    pub(crate) crowds: Vec<Crowd>,
}

/// Runs everything and writes the report.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    need_two_cores()?;
    let mut peers = options.peers.clone();
    peers.retain(|peer| {
        let installed = !peer.version(&options.plimsoll).is_empty();
        if !installed {
            eprintln!("bench: {} is not there: left out", peer.name());
        }
        installed
    });
    let mut versions: Vec<String> = peers
        .iter()
        .map(|it| it.version(&options.plimsoll))
        .collect();
    versions.push(first_line(Command::new("h2load").arg("--version")));
    versions.dedup();
    let machine = machine::describe(&versions.join("; "));
    let mut core = CpuSet::new();
    core.set(LOAD_CORE);
    sched_setaffinity(None, &core).doing(|| "taking a core".to_owned())?;
    let folder = std::env::temp_dir().join(format!("plimsoll-bench-cache-{}", std::process::id()));
    std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    let results = measure_all(options, &peers, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("bench: removing {}: {error}", folder.display());
    }
    let text = report::markdown(options, &machine, &peers, &results?);
    println!("\n{text}");
    if let Some(path) = &options.output {
        write(path, &text)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

fn measure_all(options: &Options, peers: &[Peer], folder: &Path) -> Result<Results, Failure> {
    let origin = Origin::start()?;
    let count = popularity::before(options.requests) + options.requests;
    let sequence = Zipf::new(objects::COUNT, objects::EXPONENT).sequence(count, options.seed);
    let mut results = Results::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for part in &options.parts {
            for peer in in_turn(peers, round) {
                match part {
                    Part::Hit => {
                        for kib in hit::SIZES_KIB {
                            let hit = hit::measure(peer, kib, &origin, options, folder)?;
                            results.hits.push(hit);
                        }
                    }
                    Part::Popularity | Part::Crowd if peer.is_for_its_log() => (),
                    Part::Popularity => {
                        let run = popularity::measure(peer, &sequence, &origin, options, folder)?;
                        results.popularity.push(run);
                    }
                    Part::Crowd => {
                        let crowd = crowd::measure(peer, &origin, options, folder)?;
                        results.crowds.push(crowd);
                    }
                }
            }
        }
    }
    Ok(results)
}

/// Another order in each round: none always runs on what another left behind.
fn in_turn(peers: &[Peer], round: usize) -> impl Iterator<Item = Peer> {
    let (last, first) = peers.split_at(round % peers.len().max(1));
    first.iter().chain(last).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_peer_and_leaves_none_out() {
        let order = |round| in_turn(&Peer::ALL, round).collect::<Vec<_>>();
        assert_eq!(order(0), Peer::ALL);
        assert_eq!(order(6), order(1));
        assert_ne!(order(0).first(), order(1).first());
        assert!(Peer::ALL.iter().all(|peer| order(3).contains(peer)));
        assert_eq!(in_turn(&[], 2).count(), 0);
    }
}
