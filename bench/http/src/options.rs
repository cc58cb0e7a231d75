//! The command line: words of the form `--name value` and `--flag`.

use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;
use crate::peer::Peer;
use crate::words::Words;

/// What `--help` shows.
pub(crate) const HELP: &str = "\
nginx, HAProxy and Plimsoll in turn in one run; same upstream, same load, pinned cores.

Usage: cargo xtask bench http [OPTIONS]

Options:
  --quick            One short round of three rows: to see that it works, not to quote
  --rounds N         Interleaved rounds; medians and ranges are over these    [default: 5]
  --seconds S        Length of one measuring window                           [default: 3]
  --peers A,B        Some of: nginx, nginx+log, haproxy, plimsoll, plimsoll+log, plimsoll-off (no protections),
                     plimsoll-all (those too that are off until asked for)    [default: the first five]
  --rows TEXT        Only rows whose name contains TEXT, as `h1 64 1k`
  --no-memory        Leave out memory at start and per idle connection
  --output FILE      Where the Markdown goes
                     [default: bench/results/http.md; with --quick only to the screen]
  --plimsoll FILE    The binary to measure               [default: target/dist/plimsoll]

The machine must be quiet: a window in which others used more than 5 % of the proxy's core is counted as
disturbed and shown as such.
";

/// What a whole run is to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) peers: Vec<Peer>,
    pub(crate) rows: Option<String>,
    pub(crate) memory: bool,
    pub(crate) idle_connections: usize,
    pub(crate) output: Option<PathBuf>,
    pub(crate) plimsoll: PathBuf,
}

impl Options {
    /// Reads the options of the harness.
    pub(crate) fn read(words: &mut Words) -> Result<Self, Failure> {
        let quick = words.flag("--quick");
        let seconds: f64 = words
            .value("--seconds")?
            .unwrap_or(if quick { 1.0 } else { 3.0 });
        let rounds: usize = words
            .value("--rounds")?
            .unwrap_or(if quick { 1 } else { 5 });
        if !(0.2..=600.0).contains(&seconds) || rounds == 0 {
            return Err(Failure::usage(
                "--seconds is 0.2 to 600, --rounds at least 1",
            ));
        }
        let peers = words.list("--peers")?;
        let output = words.value("--output")?;
        let options = Self {
            quick,
            rounds,
            window: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64((seconds / 3.0).clamp(0.3, 1.0)),
            peers: peers.unwrap_or_else(|| Peer::USUAL.to_vec()),
            rows: words.value("--rows")?,
            memory: !words.flag("--no-memory"),
            idle_connections: if quick { 200 } else { 2_000 },
            output: if quick {
                output
            } else {
                output.or_else(|| Some("bench/results/http.md".into()))
            },
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
    fn a_quick_run_overwrites_no_results() {
        assert!(
            read("--quick").is_ok_and(|options| options.output.is_none() && options.rounds == 1)
        );
        assert!(read("").is_ok_and(|options| options.output.is_some() && options.rounds == 5));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "--rounds",
            "--rounds x",
            "--rounds 0",
            "--seconds 0",
            "--peers envoy",
            "--fast",
        ] {
            assert!(matches!(read(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
