//! The command line: words of the form `--name value` and `--flag`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cell::Letter;
use crate::failure::Failure;
use crate::peer::Row;
use crate::words::Words;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
nginx, HAProxy and Plimsoll in turn in one run; same capacity-limited upstream, same open-loop load.

Usage: cargo xtask bench overload [OPTIONS]

Cells:
  a  plain overload: 0.5, 0.8, 1.5, 3 and 10 times the capacity
  b  critical requests beside 1.5, 3 and 10 times the capacity of others
  c  the capacity falls to a quarter and comes back
  d  one address sends 10 times the capacity beside eight that behave
  e  one of three endpoints freezes, becomes slow, fails at once
  f  CPU time per refusal

Options:
  --quick            Short, one scenario of most cells: to see that it works, not to quote
  --cells A,B        Some of a, b, c, d, e, f                                 [default: all]
  --rows A,B         Some of: nginx-default, nginx-tuned, nginx-address, haproxy-default, haproxy-tuned,
                     haproxy-address, plimsoll, plimsoll-objective; those that end in -address are in cell d
                     only                                                     [default: all]
  --scenario TEXT    Only scenarios whose name contains TEXT, as `10x`
  --rounds N         Interleaved rounds; medians and ranges are over these    [default: 1]
  --repeats N        Cell c, in each round                                    [default: 5, quick: 1]
  --seconds S        Length of the steady window of a cell                    [default: 5, quick: 2]
  --seed N           Of all send times                                        [default: 1]
  --output FILE      Where the Markdown goes too
                     [default: bench/results/overload.md for a whole run, else only the screen]
  --json FILE        Where every sample goes
  --plimsoll FILE    The binary to measure               [default: target/dist/plimsoll]

The machine must be quiet: each line of the tables says how many of its runs are in doubt, because others used
more than 5 % of the proxy's core or because the load was late.
";

/// What a whole run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) cells: Vec<Letter>,
    pub(crate) rows: Vec<Row>,
    pub(crate) scenario: Option<String>,
    pub(crate) rounds: usize,
    pub(crate) repeats: usize,
    pub(crate) steady: Duration,
    pub(crate) seed: u64,
    pub(crate) output: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) plimsoll: PathBuf,
}

impl Options {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Failure> {
        let mut words = Words::new(words);
        let quick = words.flag("--quick");
        let cells = words.list("--cells")?;
        let rows = words.list("--rows")?;
        let scenario: Option<String> = words.value("--scenario")?;
        let whole = !quick && cells.is_none() && rows.is_none() && scenario.is_none();
        let seconds: f64 = words
            .value("--seconds")?
            .unwrap_or(if quick { 2.0 } else { 5.0 });
        let options = Self {
            quick,
            cells: cells.unwrap_or_else(|| Letter::ALL.to_vec()),
            rows: rows.unwrap_or_else(|| Row::ALL.to_vec()),
            scenario,
            rounds: words.value("--rounds")?.unwrap_or(1),
            repeats: words
                .value("--repeats")?
                .unwrap_or(if quick { 1 } else { 5 }),
            steady: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            seed: words.value("--seed")?.unwrap_or(1),
            output: words
                .value("--output")?
                .or_else(|| whole.then(|| "bench/results/overload.md".into())),
            json: words.value("--json")?,
            plimsoll: words
                .value("--plimsoll")?
                .unwrap_or_else(|| "target/dist/plimsoll".into()),
        };
        if !(0.5..=600.0).contains(&seconds) || options.rounds == 0 || options.repeats == 0 {
            return Err(Failure::usage(
                "--seconds is 0.5 to 600, --rounds and --repeats at least 1",
            ));
        }
        words.end()?;
        Ok(options)
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
        assert!(read("--seed 4").is_ok_and(|options| options.output.is_some()));
        for part in [
            "--quick",
            "--cells a",
            "--rows nginx-tuned",
            "--scenario 3x",
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
            "--rounds x",
            "--rounds 0",
            "--seconds 0",
            "--seconds -1",
            "--cells z",
            "--rows envoy",
            "--fast",
        ] {
            assert!(matches!(read(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
