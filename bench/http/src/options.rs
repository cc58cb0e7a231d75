//! The command line: words of the form `--name value` and `--flag`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;
use crate::peer::Peer;

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
        let peers = match words.value::<String>("--peers")? {
            None => Peer::USUAL.to_vec(),
            Some(list) => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
        };
        let output = words.value("--output")?;
        let options = Self {
            quick,
            rounds,
            window: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64((seconds / 3.0).clamp(0.3, 1.0)),
            peers,
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

/// The words of a command line, taken out one by one.
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self(words)
    }

    /// Takes the first word out if it is a command: not an option. `--help` is one.
    pub(crate) fn command(&mut self) -> Option<String> {
        if self.flag("--help") || self.flag("-h") {
            return Some("help".to_owned());
        }
        let is_command = self.0.first().is_some_and(|word| !word.starts_with('-'));
        is_command.then(|| self.0.remove(0))
    }

    /// Whether `name` is there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() != before
    }

    /// The value after the last `name`: who calls us may put defaults in front.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let mut value = None;
        while let Some(place) = self.0.iter().position(|word| word == name) {
            self.0.remove(place);
            if place >= self.0.len() {
                return Err(Failure::usage(format!("{name} needs a value")));
            }
            let text = self.0.remove(place);
            let parsed = text
                .parse()
                .map_err(|_| Failure::usage(format!("`{text}` is no value for {name}")))?;
            value = Some(parsed);
        }
        Ok(value)
    }

    /// The value after `name`, which must be there.
    pub(crate) fn needed<T: FromStr>(&mut self, name: &str) -> Result<T, Failure> {
        self.value(name)?
            .ok_or_else(|| Failure::usage(format!("{name} is needed")))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(Failure::usage(format!("there is no option `{word}`"))),
        }
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
    fn the_last_of_two_values_counts() {
        let options = read("--plimsoll a --plimsoll b").expect("it is valid");
        assert_eq!(options.plimsoll, PathBuf::from("b"));
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
