//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use plimsoll_bench_common::failure::Failure;
use plimsoll_bench_common::words::Words;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
Evaluations of flags over OFREP on one core: of single flags, and of all at once.

Usage: cargo xtask bench flags [OPTIONS]

Options:
  --quick          One round of short windows: does it work?
  --rounds N       Medians and ranges are over these    [default: 5, quick: 1]
  --seconds S      Length of a window                   [default: 5, quick: 1]
  --plimsoll FILE  The program that is measured         [default: target/dist/plimsoll]
  --output FILE    Where the Markdown goes too
                   [default: bench/results/flags.md for a whole run, else only the screen]
";

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) plimsoll: PathBuf,
    pub(crate) output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn read(words: &mut Words) -> Result<Self, Failure> {
        let quick = words.flag("--quick");
        let seconds = words.value::<f64>("--seconds")?;
        let is_whole = !quick && seconds.is_none();
        let seconds = seconds.unwrap_or(if quick { 1.0 } else { 5.0 });
        let rounds = (words.value("--rounds")?).unwrap_or(if quick { 1 } else { 5 });
        if !(0.2..=600.0).contains(&seconds) || rounds == 0 {
            return Err(Failure::usage(
                "--seconds is 0.2 to 600, --rounds at least 1",
            ));
        }
        let output = words.value("--output")?;
        Ok(Self {
            quick,
            rounds,
            window: Duration::from_secs_f64(seconds),
            plimsoll: (words.value("--plimsoll")?).unwrap_or_else(|| "target/dist/plimsoll".into()),
            output: output.or_else(|| is_whole.then(|| "bench/results/flags.md".into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        let words = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&mut Words::new(words))
    }

    #[test]
    fn only_a_whole_run_overwrites_the_results() {
        assert!(read("--rounds 4").is_ok_and(|options| options.output.is_some()));
        for part in ["--quick", "--seconds 2"] {
            assert!(read(part).is_ok_and(|options| options.output.is_none()));
        }
        assert!(read("--rounds 0").is_err());
    }
}
