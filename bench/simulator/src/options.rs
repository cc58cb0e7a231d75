//! The command line.

use std::path::PathBuf;

use crate::cell::{CELLS, Cell, named};
use crate::failure::Failure;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
How fast the simulator is, and what it keeps in memory: CPU time of one core, each cell in a process of its own.

Usage: cargo xtask bench simulator [OPTIONS]
       plimsoll-bench-simulator cell FILE.toml      figures of one scenario of your own

Options:
  --quick        One round, without the two largest fleets
  --cells A,B    Some of: hold-100, hold-10k, hold-1m, heap-100, heap-10k, heap-1m, shop, overload,
                 under-way-10k, under-way-100k, under-way-1m, alone-1, alone-3, alone-10, alone-100,
                 large, vast                                                    [default: all]
  --rounds N     Interleaved rounds; medians and ranges are over these          [default: 3, quick: 1]
  --output FILE  Where the Markdown goes too
                 [default: bench/results/simulator.md for a whole run, else only the screen]
";

/// What a run is to do.
pub(crate) struct Options {
    pub(crate) cells: Vec<Cell>,
    pub(crate) rounds: usize,
    pub(crate) output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read(words: Vec<String>) -> Result<Self, Failure> {
        let (mut quick, mut cells, mut rounds, mut output) = (false, None, None, None);
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
            match word.as_str() {
                "--cells" => {
                    cells = Some(value.split(',').map(named).collect::<Result<_, _>>()?);
                }
                "--rounds" => {
                    let count: Option<usize> = value.parse().ok().filter(|count| *count > 0);
                    let wrong = || Failure::usage("--rounds is a number from 1");
                    rounds = Some(count.ok_or_else(wrong)?);
                }
                "--output" => output = Some(PathBuf::from(value)),
                _ => return Err(Failure::usage(format!("there is no option `{word}`"))),
            }
        }
        let whole = !quick && cells.is_none();
        let all = || CELLS.into_iter().filter(|cell| !(quick && cell.long));
        Ok(Self {
            cells: cells.unwrap_or_else(|| all().collect()),
            rounds: rounds.unwrap_or(if quick { 1 } else { 3 }),
            output: output.or_else(|| whole.then(|| "bench/results/simulator.md".into())),
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
        for part in ["--quick", "--cells shop,large"] {
            assert!(read(part).is_ok_and(|options| options.output.is_none()));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--rounds", "--rounds 0", "--cells z", "--fast", "shop"] {
            assert!(matches!(read(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
