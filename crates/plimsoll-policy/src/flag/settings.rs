//! What Plimsoll knows of a flag beyond flagd: its `metadata.plimsoll`, which flagd passes by.

use std::time::Duration;

use plimsoll_core::Timestamp;
use serde_json::{Map, Value};

use super::compile::Compiler;
use super::murmur::murmur;
use super::place::Place;

/// The key in a flag's `metadata`.
pub(super) const KEY: &str = "plimsoll";
/// How many entries lists have at most.
const ENTRIES_MAX: usize = 100;
/// How fine the share of a ramp is.
const SHARE_STEPS: u64 = 1_000_000;

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlagSettings {
    /// Whose flag it is, as `owner` of a service says it.
    pub owner: Option<String>,
    /// When it should be gone.
    pub expires: Option<Timestamp>,
    /// The variant that it has while a prerequisite is not met.
    pub off: Option<String>,
    /// Flags that must have a variant, each for the same context.
    pub prerequisites: Vec<Prerequisite>,
    /// What its default variant becomes, in the order of the times.
    pub schedule: Vec<Step>,
    /// A share that grows with time.
    pub ramp: Option<Ramp>,
}

/// A flag that must have a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// Which flag.
    pub flag: String,
    /// Which of its variants.
    pub variant: String,
}

/// From a time on, another default variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From when on.
    pub at: Timestamp,
    /// Which.
    pub variant: String,
}

/// Of those that no targeting matches, a share that goes from one to another over a time. Who is in stays in while it grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    /// What they have.
    pub variant: String,
    /// In millionths.
    from: u64,
    to: u64,
    start: Timestamp,
    end: Timestamp,
}

impl Ramp {
    /// In millionths.
    fn share(&self, now: Timestamp) -> u64 {
        let whole = self.end.since(self.start).as_nanos().max(1);
        let gone = now.since(self.start).as_nanos().min(whole);
        let (from, to) = (i128::from(self.from), i128::from(self.to));
        // Both below 2^64, so that their product fits.
        let part =
            (to - from) * i128::try_from(gone).unwrap_or(0) / i128::try_from(whole).unwrap_or(1);
        u64::try_from(from + part).unwrap_or(0)
    }

    /// Whether this context is in; `None` where only a targeting key could tell.
    pub(super) fn has(
        &self,
        flag: &str,
        targeting_key: Option<&str>,
        now: Timestamp,
    ) -> Option<bool> {
        match self.share(now) {
            0 => Some(false),
            SHARE_STEPS => Some(true),
            share => {
                let hash = murmur(&[flag, targeting_key?]);
                Some((u64::from(hash) * SHARE_STEPS) >> 32 < share)
            }
        }
    }

    /// When it has its last share.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Whether it has its last share.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.end
    }
}

/// Reads `metadata.plimsoll`.
pub(super) fn read(value: &Value, place: &Place, compiler: &mut Compiler<'_>) -> FlagSettings {
    let mut settings = FlagSettings::default();
    let Value::Object(fields) = value else {
        compiler.problem(place, "what Plimsoll knows of a flag is an object");
        return settings;
    };
    let mut reader = Reader { compiler };
    for (key, value) in fields {
        let place = place.key(key);
        match key.as_str() {
            "owner" => settings.owner = reader.text(value, &place),
            "expires" => settings.expires = reader.time(value, &place),
            "off" => settings.off = reader.text(value, &place),
            "prerequisites" => {
                settings.prerequisites = reader.list(value, &place, |reader, fields, place| {
                    let flag = reader.field(fields, "flag", place)?;
                    let variant = reader.field(fields, "variant", place)?;
                    Some(Prerequisite { flag, variant })
                });
            }
            "schedule" => {
                let mut schedule = reader.list(value, &place, |reader, fields, place| {
                    let variant = reader.field(fields, "variant", place)?;
                    let at = reader.time_of(fields, "at", place)?;
                    Some(Step { at, variant })
                });
                schedule.sort_by_key(|step| step.at);
                settings.schedule = schedule;
            }
            "ramp" => match value {
                Value::Object(fields) => settings.ramp = reader.ramp(fields, &place),
                _ => reader.compiler.problem(&place, "a ramp is an object with `variant`, `from`, `to`, `start`, `end`"),
            },
            _ => reader.compiler.problem(
                &place,
                format!("`{key}` is not known here: `owner`, `expires`, `off`, `prerequisites`, `schedule` and `ramp` are"),
            ),
        }
    }
    settings
}

struct Reader<'r, 'a> {
    compiler: &'r mut Compiler<'a>,
}

impl Reader<'_, '_> {
    fn text(&mut self, value: &Value, place: &Place) -> Option<String> {
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.compiler.problem(place, "a text is expected here");
        }
        text.map(str::to_owned)
    }

    fn time(&mut self, value: &Value, place: &Place) -> Option<Timestamp> {
        let time = value.as_str().and_then(parse_time);
        if time.is_none() {
            self.compiler.problem(place, "a date or a time in UTC is expected, as \"2027-03-01\" or \"2027-03-01T09:00:00Z\"");
        }
        time
    }

    fn field(&mut self, fields: &Map<String, Value>, key: &str, place: &Place) -> Option<String> {
        match fields.get(key) {
            Some(value) => self.text(value, &place.key(key)),
            None => {
                self.compiler.problem(place, format!("it has no `{key}`"));
                None
            }
        }
    }

    fn time_of(
        &mut self,
        fields: &Map<String, Value>,
        key: &str,
        place: &Place,
    ) -> Option<Timestamp> {
        match fields.get(key) {
            Some(value) => self.time(value, &place.key(key)),
            None => {
                self.compiler.problem(place, format!("it has no `{key}`"));
                None
            }
        }
    }

    fn list<T>(
        &mut self,
        value: &Value,
        place: &Place,
        read: impl Fn(&mut Self, &Map<String, Value>, &Place) -> Option<T>,
    ) -> Vec<T> {
        let items = value.as_array().map(Vec::as_slice);
        let Some(items) = items.filter(|items| items.len() <= ENTRIES_MAX) else {
            self.compiler.problem(
                place,
                format!("a list of at most {ENTRIES_MAX} objects is expected here"),
            );
            return Vec::new();
        };
        let mut all = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let place = place.index(index);
            match item {
                Value::Object(fields) => all.extend(read(self, fields, &place)),
                _ => self.compiler.problem(&place, "an object is expected here"),
            }
        }
        all
    }

    fn ramp(&mut self, fields: &Map<String, Value>, place: &Place) -> Option<Ramp> {
        let variant = self.field(fields, "variant", place);
        let from = self.share(fields, "from", "0%", place);
        let to = self.share(fields, "to", "100%", place);
        let start = self.time_of(fields, "start", place);
        let end = self.time_of(fields, "end", place);
        let (start, end) = (start?, end?);
        if start >= end {
            self.compiler.problem(place, "a ramp starts before it ends");
            return None;
        }
        Some(Ramp {
            variant: variant?,
            from: from?,
            to: to?,
            start,
            end,
        })
    }

    fn share(
        &mut self,
        fields: &Map<String, Value>,
        key: &str,
        default: &str,
        place: &Place,
    ) -> Option<u64> {
        let text = fields.get(key).map_or(Some(default), Value::as_str);
        let percent = text.and_then(|text| text.strip_suffix('%')?.trim().parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        if percent.is_none() {
            self.compiler.problem(
                &place.key(key),
                "a share is expected, from \"0%\" to \"100%\"",
            );
        }
        // A hundredth of a percent is a hundred steps.
        percent.map(|percent| (percent * (SHARE_STEPS / 100) as f64).round() as u64)
    }
}

/// `2027-03-01`, or `2027-03-01T09:00:00Z`.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time.strip_suffix('Z')?)),
        None => (text, None),
    };
    let number = |part: &str, length: usize| {
        let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u64>().ok())?
    };
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4).filter(|year| *year >= 1970)?;
    let month = number(parts.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = number(parts.next()?, 2)?;
    let begin = Timestamp::of_date(year, month, day);
    // There is no 31st of June: it would be another day.
    if begin.date() != (year, month, day) {
        return None;
    }
    let seconds = match time {
        Some(time) => {
            let mut parts = time.splitn(3, ':');
            let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
            let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
            let second = parts.next()?;
            let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
            let second = number(second, 2).filter(|second| *second < 60)?;
            number(fraction, fraction.len()).filter(|_| !fraction.is_empty())?;
            hour * 3_600 + minute * 60 + second
        }
        None => 0,
    };
    Some(begin + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn time(text: &str, expected: Option<&str>) {
        let parsed = parse_time(text).map(Timestamp::to_rfc3339);
        assert_eq!(parsed.as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_dates_or_to_the_second() {
        time("2027-03-01", Some("2027-03-01T00:00:00.000Z"));
        time("2027-03-01T09:30:15Z", Some("2027-03-01T09:30:15.000Z"));
        time("2027-03-01T09:30:15.250Z", Some("2027-03-01T09:30:15.000Z"));
        for text in [
            "",
            "2027",
            "2027-02-30",
            "2027-13-01",
            "2027-03-01T24:00:00Z",
            "2027-03-01T09:00:00",
            "1969-01-01",
            "2027-3-1",
        ] {
            time(text, None);
        }
    }

    #[test]
    fn a_ramp_only_ever_adds_while_it_grows() {
        let at = |seconds: u64| Timestamp::from_seconds(1_795_615_852 + seconds);
        let ramp = Ramp {
            variant: "on".to_owned(),
            from: 0,
            to: SHARE_STEPS,
            start: at(0),
            end: at(1_000),
        };
        let users: Vec<String> = (0..2_000).map(|user| format!("user-{user}")).collect();
        let inside = |seconds| -> Vec<bool> {
            let has = |user: &String| ramp.has("new-cart", Some(user), at(seconds)).unwrap();
            users.iter().map(has).collect()
        };
        let mut before = inside(0);
        assert!(!before.contains(&true));
        for seconds in (0..=1_000).step_by(100) {
            let now = inside(seconds);
            assert!(before.iter().zip(&now).all(|(before, now)| *now || !before));
            let share = now.iter().filter(|is_in| **is_in).count() as f64 / 2_000.0;
            assert!(
                (share - seconds as f64 / 1_000.0).abs() < 0.04,
                "{seconds}: {share}"
            );
            before = now;
        }
        assert!(!before.contains(&false));
        assert_eq!(ramp.has("new-cart", None, at(500)), None);
        assert_eq!(ramp.has("new-cart", None, at(1_000)), Some(true));
    }
}
