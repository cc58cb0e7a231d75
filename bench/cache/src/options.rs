//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;
use crate::peer::Peer;
use crate::words::Words;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
nginx, Varnish and Plimsoll in turn in one run: what a stored answer costs, and what a bounded store keeps from the origin.

Usage: cargo xtask bench cache [OPTIONS]

Parts:
  hit         CPU time per request for one stored object of 1 KiB and one of 64 KiB, over 64 connections
  popularity  hit ratio and memory: 100,000 objects, asked for as Zipf(0.9) has it, in a store of 64 MiB
  crowd       how many of 1,000 requests at once for one object that is not stored reach the origin

Options:
  --quick            One short round: to see that it works, not to quote
  --parts A,B        Some of: hit, popularity, crowd                          [default: all]
  --peers A,B        Some of: nginx, nginx+log, varnish, plimsoll, plimsoll+log; those with a log are in the first part only
                                                                              [default: all]
  --rounds N         Interleaved rounds; medians and ranges are over these    [default: 3, quick: 1]
  --seconds S        Length of one measuring window of `hit`                  [default: 3, quick: 1]
  --requests N       Requests of `popularity` that count; a quarter as many go before
                                                                              [default: 400000, quick: 60000]
  --seed N           Of the sequence of these requests; the same for all peers and in all rounds   [default: 1]
  --output FILE      Where the Markdown goes too
                     [default: bench/results/cache.md for a whole run, else only the screen]
  --plimsoll FILE    The binary to measure               [default: target/dist/plimsoll]

The machine must be quiet: a window in which others used more than 5 % of the proxy's core is counted as
disturbed and shown as such.
";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Hit,
    Popularity,
    Crowd,
}

impl Part {
    const ALL: [Self; 3] = [Self::Hit, Self::Popularity, Self::Crowd];

    /// The word in `--parts`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Popularity => "popularity",
            Self::Crowd => "crowd",
        }
    }
}

impl FromStr for Part {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|part| part.name() == name);
        found.ok_or_else(|| Failure::usage(format!("there is no part `{name}`")))
    }
}

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) requests: usize,
    pub(crate) seed: u64,
    pub(crate) output: Option<PathBuf>,
    pub(crate) plimsoll: PathBuf,
}

impl Options {
    pub(crate) fn read(words: &mut Words) -> Result<Self, Failure> {
        let quick = words.flag("--quick");
        let or = |whole, part| if quick { part } else { whole };
        let seconds = words.value("--seconds")?;
        let requests = words.value("--requests")?;
        let (parts, peers) = (words.list("--parts")?, words.list("--peers")?);
        let is_whole =
            !quick && parts.is_none() && peers.is_none() && seconds.is_none() && requests.is_none();
        let seconds: f64 = seconds.unwrap_or(if quick { 1.0 } else { 3.0 });
        let requests = requests.unwrap_or(or(400_000, 60_000));
        let rounds = words.value("--rounds")?.unwrap_or(or(3, 1));
        if !(0.2..=600.0).contains(&seconds) || rounds == 0 || requests == 0 {
            return Err(Failure::usage(
                "--seconds is 0.2 to 600, --rounds and --requests at least 1",
            ));
        }
        let output = words.value("--output")?;
        let options = Self {
            quick,
            parts: parts.unwrap_or_else(|| Part::ALL.to_vec()),
            peers: peers.unwrap_or_else(|| Peer::ALL.to_vec()),
            rounds,
            window: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64((seconds / 3.0).clamp(0.3, 1.0)),
            requests,
            seed: words.value("--seed")?.unwrap_or(1),
            output: output.or_else(|| is_whole.then(|| "bench/results/cache.md".into())),
            plimsoll: words
                .value("--plimsoll")?
                .unwrap_or_else(|| "target/dist/plimsoll".into()),
        };
        words.end()?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        Options::read(&mut Words::new(
            line.split_whitespace().map(str::to_owned).collect(),
        ))
    }

    #[test]
    fn only_a_whole_run_overwrites_the_results() {
        assert!(read("--rounds 4 --seed 2").is_ok_and(|options| options.output.is_some()));
        for part in [
            "--quick",
            "--parts hit",
            "--peers nginx",
            "--seconds 1",
            "--requests 10",
        ] {
            assert!(
                read(part).is_ok_and(|options| options.output.is_none()),
                "{part}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "--rounds",
            "--rounds 0",
            "--requests 0",
            "--seconds 0",
            "--parts misses",
            "--peers envoy",
            "--fast",
        ] {
            assert!(matches!(read(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
