//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
The console of one Plimsoll with 200 services: first byte of its pages, idle and while the gateway is saturated; CPU time with
0, 10 and 50 viewers; goodput and P99 of the gateway while the console is flooded, held up, or its store locked.

Usage: cargo xtask bench console [OPTIONS]

Options:
  --quick          One round of short windows: does it work?
  --rounds N       Interleaved rounds; medians and ranges are over these   [default: 3, quick: 1]
  --services N     How many services there are                             [default: 200]
  --plimsoll FILE  The program that is measured                            [default: target/dist/plimsoll]
  --output FILE    Where the Markdown goes too
                   [default: bench/results/console.md for a whole run, else only the screen]
";

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) plimsoll: PathBuf,
    pub(crate) services: usize,
    pub(crate) rounds: usize,
    /// Requests of a page, one after the other.
    pub(crate) pages: usize,
    /// For which CPU time is measured.
    pub(crate) watch: Duration,
    /// For which goodput is measured, and what goes before.
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Failure> {
        let (mut quick, mut rounds, mut output) = (false, None, None);
        let (mut services, mut plimsoll) = (200, "target/dist/plimsoll".into());
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--quick" {
                quick = true;
                continue;
            }
            let Some(value) = words.next() else {
                return Err(Failure::usage(format!(
                    "`{word}` is no option, or has no value"
                )));
            };
            let number = || {
                let number = value.parse().ok().filter(|number| *number > 0);
                number.ok_or_else(|| Failure::usage(format!("{word} is a number from 1")))
            };
            match word.as_str() {
                "--rounds" => rounds = Some(number()?),
                "--services" => services = number()?,
                "--plimsoll" => plimsoll = PathBuf::from(value),
                "--output" => output = Some(PathBuf::from(value)),
                _ => return Err(Failure::usage(format!("there is no option `{word}`"))),
            }
        }
        let seconds = |whole, part| Duration::from_secs(if quick { part } else { whole });
        let is_whole = !quick && services == 200;
        Ok(Self {
            plimsoll,
            services,
            rounds: rounds.unwrap_or(if quick { 1 } else { 3 }),
            pages: if quick { 40 } else { 200 },
            watch: seconds(20, 4),
            window: seconds(10, 4),
            warm_up: seconds(2, 1),
            output: output.or_else(|| is_whole.then(|| "bench/results/console.md".into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        Options::read(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn only_a_whole_run_overwrites_the_results() {
        assert!(read("--rounds 4").is_ok_and(|options| options.output.is_some()));
        for part in ["--quick", "--services 20"] {
            assert!(read(part).is_ok_and(|options| options.output.is_none()));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--rounds", "--rounds 0", "--services x", "--fast", "all"] {
            assert!(matches!(read(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
