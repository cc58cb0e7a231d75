//! Maintenance windows: times in which what happens to a service is counted, but not held against it.
//!
//! Within one, requests are in the metrics as ever, and not in budgets, burn rates, conditions and pages: the time counts as not
//! observed. Times are UTC, by the clock of budgets.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Timestamp;

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
/// The days of a week as they are written. The epoch was a Thursday.
const DAYS: [&str; 7] = [
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
];

/// A window that is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Names of services.
    pub services: Vec<String>,
    /// When it begins.
    pub begins: Begins,
    /// How long it lasts.
    pub lasts: Duration,
}

/// When a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Once.
    Once(Timestamp),
    /// Each week.
    Weekly {
        /// So many seconds after the beginning of a Thursday.
        second: u64,
    },
}

impl Begins {
    /// Reads `2026-12-01T02:00:00Z`.
    pub fn once(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            let all = digits.bytes().all(|it| it.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| all)
        };
        let marks = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'Z'),
        ];
        let bytes = text.as_bytes();
        let has = |(place, mark): &(usize, u8)| bytes.get(*place) == Some(mark);
        if text.len() != 20 || !marks.iter().all(has) {
            return None;
        }
        let date = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let time = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let (year, month, day) = date;
        if year < 1970 || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let midnight = Timestamp::of_date(year, month, day);
        // The 31st of a month of thirty days is another day.
        if midnight.date() != date || time.0 > 23 || time.1 > 59 || time.2 > 59 {
            return None;
        }
        let second = time.0 * 3_600 + time.1 * 60 + time.2;
        Some(Self::Once(midnight + Duration::from_secs(second)))
    }

    /// Reads `sunday 02:00`.
    pub fn weekly(text: &str) -> Option<Self> {
        let (day, time) = text.split_once(' ')?;
        let day = DAYS.iter().position(|it| *it == day)? as u64;
        let (hour, minute) = time.split_once(':')?;
        let number = |digits: &str, below: u64| {
            let all = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|it| all && *it < below)
        };
        let second = day * DAY + number(hour, 24)? * 3_600 + number(minute, 60)? * 60;
        Some(Self::Weekly { second })
    }
}

impl Maintenance {
    /// When the window ends that `now` is in.
    fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let began = match self.begins {
            Begins::Once(began) => began,
            Begins::Weekly { second } => {
                let since = (now.as_seconds() + WEEK - second) % WEEK;
                Timestamp::from_seconds(now.as_seconds().checked_sub(since)?)
            }
        };
        let until = began + self.lasts;
        (began <= now && now < until).then_some(until)
    }
}

/// A window that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    services: Vec<String>,
    until: Timestamp,
}

/// A window has begun or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceChange {
    /// Its name.
    pub name: String,
    /// Names of services.
    pub services: Vec<String>,
    /// When it will end; `None`: it has ended.
    pub until: Option<Timestamp>,
}

/// All windows: those that are planned, those that somebody began, and those that are on.
#[derive(Debug, Default)]
pub(crate) struct Maintenances {
    planned: BTreeMap<String, Maintenance>,
    begun: BTreeMap<String, Running>,
    running: BTreeMap<String, Running>,
}

impl Maintenances {
    pub(crate) fn plan(&mut self, planned: BTreeMap<String, Maintenance>) {
        self.planned = planned;
    }

    pub(crate) fn begin(&mut self, name: String, services: Vec<String>, until: Timestamp) {
        self.begun.insert(name, Running { services, until });
    }

    pub(crate) fn end(&mut self, name: &str) {
        self.begun.remove(name);
    }

    /// Looks what is on now.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<MaintenanceChange> {
        self.begun.retain(|_, it| now < it.until);
        let planned = self.planned.iter().filter_map(|(name, it)| {
            let services = it.services.clone();
            Some((
                name.clone(),
                Running {
                    services,
                    until: it.until(now)?,
                },
            ))
        });
        let mut running: BTreeMap<String, Running> = planned.collect();
        let begun = self.begun.iter();
        running.extend(begun.map(|(name, it)| (name.clone(), it.clone())));
        let before = std::mem::replace(&mut self.running, running);
        let change = |name: &String, it: &Running, until| MaintenanceChange {
            name: name.clone(),
            services: it.services.clone(),
            until,
        };
        let ended = before
            .iter()
            .filter(|(name, _)| !self.running.contains_key(*name));
        let mut changes: Vec<_> = ended.map(|(name, it)| change(name, it, None)).collect();
        let now = self.running.iter();
        let new = now.filter(|(name, it)| before.get(*name) != Some(*it));
        changes.extend(new.map(|(name, it)| change(name, it, Some(it.until))));
        changes
    }

    /// The window that a service is in, and when it ends; of several the one that ends last.
    pub(crate) fn of(&self, service: &str) -> Option<(&str, Timestamp)> {
        let all = self.running.iter();
        let about = all.filter(|(_, it)| it.services.iter().any(|name| name == service));
        let last = about.max_by_key(|(_, it)| it.until);
        last.map(|(name, it)| (name.as_str(), it.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(begins: Option<Begins>, hours: u64) -> Maintenance {
        Maintenance {
            services: vec!["shop".to_owned()],
            begins: begins.unwrap(),
            lasts: Duration::from_secs(hours * 3_600),
        }
    }

    #[test]
    fn only_times_that_there_are_are_read() {
        let noon = Timestamp::of_date(2028, 2, 29) + Duration::from_secs(12 * 3_600 + 1);
        assert_eq!(
            Begins::once("2028-02-29T12:00:01Z"),
            Some(Begins::Once(noon))
        );
        for text in [
            "2027-02-29T12:00:00Z",
            "2026-12-01T24:00:00Z",
            "2026-12-01 02:00:00Z",
            "2026-12-01T02:00:00+",
            "2026-12-01T02:00Z",
            "+026-12-01T02:00:00Z",
            "é26-12-01T02:00:00Z",
            "tomorrow",
        ] {
            assert_eq!(Begins::once(text), None, "{text}");
        }
        for text in [
            "sunday",
            "Sunday 02:00",
            "sunday 2:00",
            "sunday 24:00",
            "sunday 02:60",
            "sun 02:00",
        ] {
            assert_eq!(Begins::weekly(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_of_the_week_comes_each_week_and_may_reach_into_the_next_day() {
        let weekly = window(Begins::weekly("sunday 23:00"), 2);
        // A Sunday.
        let sunday = Timestamp::of_date(2026, 11, 29);
        let hour = |hour: u64| sunday + Duration::from_secs(hour * 3_600);
        assert_eq!(weekly.until(hour(22)), None);
        assert_eq!(weekly.until(hour(23)), Some(hour(25)));
        assert_eq!(weekly.until(hour(24)), Some(hour(25)));
        assert_eq!(weekly.until(hour(25)), None);
        assert_eq!(weekly.until(hour(7 * 24 + 23)), Some(hour(7 * 24 + 25)));
        let once = window(Some(Begins::Once(hour(1))), 1);
        assert_eq!(once.until(hour(0)), None);
        assert_eq!(once.until(hour(1)), Some(hour(2)));
        assert_eq!(once.until(hour(7 * 24 + 1)), None);
    }

    #[test]
    fn begin_and_end_are_said_once_and_the_longest_window_counts() {
        let start = Timestamp::of_date(2026, 12, 1);
        let at = |minute: u64| start + Duration::from_secs(minute * 60);
        let mut all = Maintenances::default();
        let planned = window(Some(Begins::Once(at(10))), 1);
        all.plan([("planned".to_owned(), planned)].into());
        let said = |changes: Vec<MaintenanceChange>| -> Vec<(String, bool)> {
            let each = changes.into_iter();
            each.map(|it| (it.name, it.until.is_some())).collect()
        };
        assert_eq!(said(all.tick(at(9))), []);
        assert_eq!(said(all.tick(at(10))), [("planned".to_owned(), true)]);
        assert_eq!(said(all.tick(at(11))), []);
        all.begin("by-hand".to_owned(), vec!["shop".to_owned()], at(80));
        assert_eq!(said(all.tick(at(12))), [("by-hand".to_owned(), true)]);
        assert_eq!(all.of("shop"), Some(("by-hand", at(80))));
        assert_eq!(all.of("other"), None);
        all.end("by-hand");
        assert_eq!(said(all.tick(at(13))), [("by-hand".to_owned(), false)]);
        assert_eq!(all.of("shop"), Some(("planned", at(70))));
        // A window that is taken out of the file is over.
        all.plan(BTreeMap::new());
        assert_eq!(said(all.tick(at(14))), [("planned".to_owned(), false)]);
        assert_eq!(all.of("shop"), None);
    }
}
