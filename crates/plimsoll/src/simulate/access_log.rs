//! What an access log of Plimsoll says of the requests that had a service.
//!
//! Bounded by [`LINES_MAX`] and [`LINE_BYTES_MAX`]. A line that is none of an access log, as one that was cut off, is
//! left out and counted. Times are written to the millisecond: where within it a request ended is drawn, so that
//! those of one millisecond do not come in one instant.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_config::scenario::is_name;
use plimsoll_core::Class;
use plimsoll_measure::{Cause, Origin, Outcome};
use plimsoll_simulator::fit::{End, Logged};
use plimsoll_simulator::fleet::Recorded;
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

/// More would take more than half a gigabyte.
const LINES_MAX: usize = 10_000_000;
/// Far above what a line has, whose longest part is a URI.
const LINE_BYTES_MAX: u64 = 256 * 1024;
const MILLISECOND: u64 = 1_000_000;
/// A request that took longer is a mistake in the line, in seconds: it would make all others come in one instant.
const DURATION_MAX: f64 = 86_400.0;
/// The least share of requests that can be logged.
const SAMPLE_MIN: f64 = 1e-6;

/// See the module's docs.
#[derive(Debug)]
pub(super) struct AccessLog {
    /// Services that have requests, by name.
    pub(super) services: Vec<String>,
    /// In the order in which they came.
    pub(super) requests: Vec<Logged>,
    /// Lines that are none of an access log.
    pub(super) skipped: usize,
    /// Requests that had no service.
    pub(super) elsewhere: usize,
}

/// Why a log is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessLogError {
    /// It cannot be read.
    #[error("reading the access log {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// It is too long.
    #[error(
        "the access log {path} has more than {LINES_MAX} lines, which would not fit in memory: take a part of it"
    )]
    TooLong { path: PathBuf },
    /// It is something else.
    #[error(
        "{path} is no access log of Plimsoll: none of its {lines} lines says `time`, `cause`, `class` and `duration_seconds` ({why})"
    )]
    Other {
        path: PathBuf,
        lines: usize,
        why: String,
    },
    /// There is nothing in it.
    #[error("the access log {path} has no request that had a service")]
    Empty { path: PathBuf },
}

/// A line, as far as it is of interest.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    cause: Cow<'a, str>,
    #[serde(borrow)]
    class: Cow<'a, str>,
    duration_seconds: f64,
    waited_seconds: Option<f64>,
    service: Option<Cow<'a, str>>,
    endpoint: Option<Cow<'a, str>>,
    tenant: Option<Cow<'a, str>>,
    client: Option<Cow<'a, str>>,
    attempts: Option<u32>,
    sample: Option<f64>,
}

impl AccessLog {
    pub(super) fn read(path: &Path) -> Result<Self, AccessLogError> {
        let failed = |source| AccessLogError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut gathered = Gathered::new();
        let (mut text, mut lines, mut why) = (Vec::new(), 0, None);
        loop {
            text.clear();
            let read = (&mut file)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut text);
            if read.map_err(failed)? == 0 {
                break;
            }
            if text.ends_with(b"\n") || (text.len() as u64) < LINE_BYTES_MAX {
                if text.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
            } else {
                file.skip_until(b'\n').map_err(failed)?;
            }
            lines += 1;
            if lines > LINES_MAX {
                let path = path.to_owned();
                return Err(AccessLogError::TooLong { path });
            }
            if let Err(reason) = gathered.add(&text) {
                gathered.skipped += 1;
                why.get_or_insert(reason);
            }
        }
        if let Some(why) = why.filter(|_| gathered.skipped == lines) {
            let path = path.to_owned();
            return Err(AccessLogError::Other { path, lines, why });
        }
        let log = gathered.finish();
        match log.requests.is_empty() {
            true => Err(AccessLogError::Empty {
                path: path.to_owned(),
            }),
            false => Ok(log),
        }
    }

    /// What came for a service, as the simulator replays it; the first at zero.
    pub(super) fn recorded(&self, service: &str) -> Option<Arc<[Recorded]>> {
        let index = self.services.iter().position(|name| name == service)?;
        let requests = self.requests.iter();
        let requests = requests.filter(|it| usize::from(it.service) == index);
        let first = requests.clone().next()?.at;
        let recorded = requests.map(|it| Recorded {
            at: it.at - first,
            tenant: it.tenant,
            class: it.class,
        });
        Some(recorded.collect())
    }

    /// Whether requests are missing that were not drawn for the log.
    pub(super) fn is_sampled(&self) -> bool {
        self.requests.iter().any(|request| request.share < 1.0)
    }
}

/// What was read so far.
struct Gathered {
    services: Names,
    endpoints: Names,
    tenants: Names,
    requests: Vec<Logged>,
    skipped: usize,
    elsewhere: usize,
    random: Xoshiro256PlusPlus,
}

impl Gathered {
    fn new() -> Self {
        Self {
            services: Names::default(),
            endpoints: Names::default(),
            tenants: Names::default(),
            requests: Vec::new(),
            skipped: 0,
            elsewhere: 0,
            random: Xoshiro256PlusPlus::seed_from_u64(1),
        }
    }

    fn add(&mut self, text: &[u8]) -> Result<(), String> {
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let ended = parse_time(&line.time).ok_or_else(|| format!("time `{}`", line.time))?;
        let class = Class::ALL.iter().find(|class| class.name() == line.class);
        let class = class.ok_or_else(|| format!("class `{}`", line.class))?;
        let cause = Cause::ALL.iter().find(|cause| cause.name() == line.cause);
        let cause = cause.ok_or_else(|| format!("cause `{}`", line.cause))?;
        let nanos = |seconds: f64| match (0.0..=DURATION_MAX).contains(&seconds) {
            true => Ok((seconds * 1e9) as u64),
            false => Err(format!("{seconds} s")),
        };
        let took = nanos(line.duration_seconds)?;
        let waited = nanos(line.waited_seconds.unwrap_or(0.0))?;
        let share = line.sample.unwrap_or(1.0);
        if !(SAMPLE_MIN..=1.0).contains(&share) {
            return Err(format!("sample {share}"));
        }
        let Some(service) = line.service else {
            self.elsewhere += 1;
            return Ok(());
        };
        // No configuration could have a service of another name.
        if !is_name(&service) {
            return Err(format!("service `{}`", service.escape_debug()));
        }
        let service = u16::try_from(self.services.number(&service)).map_err(|_| "services")?;
        let endpoint = line.endpoint.map(|name| {
            // Services may share an address, and do not share what they wait for there.
            let name = format!("{service} {name}");
            u16::try_from(self.endpoints.number(&name)).unwrap_or(u16::MAX)
        });
        let within = self.random.next_u64() % MILLISECOND;
        let tenant = line.tenant.or(line.client);
        self.requests.push(Logged {
            // Counted from the earliest one at the end.
            at: (ended + within).saturating_sub(took),
            took,
            waited,
            tenant: tenant.map_or(0, |name| self.tenants.number(&name)),
            share: share as f32,
            service,
            endpoint,
            attempts: u8::try_from(line.attempts.unwrap_or(1)).unwrap_or(u8::MAX),
            class: *class,
            end: match (cause.outcome(), cause.origin()) {
                _ if *cause == Cause::ClientGone => End::Gone,
                (Outcome::Good, _) => End::Answered,
                (Outcome::Bad, Origin::Service) => End::Failed,
                (Outcome::Bad, Origin::Plimsoll) => End::Refused,
                _ => End::Other,
            },
        });
        Ok(())
    }

    fn finish(mut self) -> AccessLog {
        self.requests.sort_by_key(|request| request.at);
        let first = self.requests.first().map_or(0, |request| request.at);
        // Models have their services in the order of their names.
        let services = self.services.in_order();
        let places: HashMap<u32, u16> = services
            .iter()
            .map(|(_, number)| *number)
            .zip(0..)
            .collect();
        for request in &mut self.requests {
            request.at -= first;
            let number = u32::from(request.service);
            request.service = places.get(&number).copied().unwrap_or(request.service);
        }
        AccessLog {
            services: services.into_iter().map(|(name, _)| name).collect(),
            requests: self.requests,
            skipped: self.skipped,
            elsewhere: self.elsewhere,
        }
    }
}

/// Numbers in place of names.
#[derive(Default)]
struct Names(HashMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(name.to_owned(), number);
        number
    }

    fn in_order(self) -> Vec<(String, u32)> {
        let mut names: Vec<(String, u32)> = self.0.into_iter().collect();
        names.sort_unstable();
        names
    }
}

/// Nanoseconds since 1970 of a UTC time of RFC 3339, such as `2026-11-25T14:10:52.120Z`.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let three = |text: &str, between| -> Option<[u64; 3]> {
        let mut parts = text.split(between).map(str::parse::<u64>);
        let read = [
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        ];
        parts.next().is_none().then_some(read)
    };
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(whole, ':')?;
    let fits = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = (days(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second;
    // Until the year 2554.
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Days since 1970-01-01, from 1970 on: years begin in March, so that the leap day is their last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 153 days in each five months from March; 719,468 days to 1970-01-01 from March 1 of year 0.
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;

    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for seconds in [
            0,
            951_782_400,
            951_868_800,
            1_795_615_852,
            4_102_444_799,
            4_107_542_400,
        ] {
            let nanos = seconds * 1_000_000_000 + 120 * MILLISECOND;
            let text = Timestamp::from_nanos(nanos).to_rfc3339();
            assert_eq!(parse_time(&text), Some(nanos), "{text}");
        }
        for wrong in [
            "",
            "2026-11-25",
            "2026-13-25T14:10:52Z",
            "2026-11-25T14:10:52+01:00",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    const LOG: &str = r#"{"time":"2026-11-25T14:10:52.500Z","cause":"answered","service":"b","endpoint":"b-1","class":"critical","tenant":"0badcafe","attempts":1,"duration_seconds":0.250000,"waited_seconds":0.050000,"sample":0.1}
{"time":"2026-11-25T14:10:52.600Z","cause":"no-route","class":"standard","attempts":0,"duration_seconds":0.000100}

{"time":"2026-11-25T14:10:52.700Z","cause":"shed","service":"a","class":"sheddable","client":"10.0.0.1","attempts":0,"duration_seconds":0.000000}
{"time":"2026-11-25T14:10:5
"#;

    fn read(text: &str) -> Result<AccessLog, AccessLogError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, text).unwrap();
        AccessLog::read(&path)
    }

    #[test]
    fn a_log_is_read_in_the_order_of_arrival_without_what_is_no_line() {
        let log = read(LOG).unwrap();
        assert_eq!((log.skipped, log.elsewhere), (1, 1));
        assert_eq!(log.services, ["a", "b"]);
        assert!(log.is_sampled());
        let [first, second] = log.requests[..] else {
            panic!("{log:?}");
        };
        assert_eq!((first.at, first.service, first.end), (0, 1, End::Answered));
        assert_eq!((first.took, first.waited), (250_000_000, 50_000_000));
        assert_eq!((second.service, second.end), (0, End::Refused));
        // 450 ms, and where each ended within its millisecond.
        assert!(
            (449..=451).contains(&(second.at / MILLISECOND)),
            "{second:?}"
        );
        let replayed = log.recorded("a").unwrap();
        assert_eq!((replayed.len(), replayed[0].at), (1, 0));
        assert!(log.recorded("c").is_none());
    }

    #[test]
    fn a_line_that_cannot_be_true_is_skipped_and_spoils_nothing() {
        let usual = LOG.lines().next().unwrap();
        for (of, wrong) in [
            ("2026-11-25T14:10:52.500Z", "9999-12-31T23:59:59.000Z"),
            ("0.250000", "1e300"),
            ("0.250000", "-1"),
            ("0.050000", "1e300"),
            (r#""sample":0.1"#, r#""sample":1e-300"#),
            (r#""sample":0.1"#, r#""sample":5"#),
            (r#""service":"b""#, r#""service":"""#),
            (r#""service":"b""#, r#""service":"b\"]\n[x""#),
        ] {
            let line = usual.replace(of, wrong);
            assert_ne!(line, usual);
            let log = read(&format!("{LOG}{line}\n")).unwrap();
            assert_eq!((log.skipped, log.requests.len()), (2, 2), "{line}");
            assert_eq!(log.requests, read(LOG).unwrap().requests, "{line}");
        }
    }

    #[test]
    fn what_is_no_access_log_is_refused() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        assert!(said("127.0.0.1 - - GET /\n{}\n").contains("none of its 2 lines"));
        assert!(said("").contains("no request"));
        let long = format!("{}\n{LOG}", "x".repeat(LINE_BYTES_MAX as usize + 10));
        assert_eq!(read(&long).unwrap().skipped, 2);
    }
}
