//! What came to the parts of a service: its endpoints, routes, tenants and versions, minute by minute.

use std::collections::{BTreeMap, VecDeque};

use plimsoll_measure::Tally;

/// Minutes that are kept of each part.
const MINUTES: usize = 10;
/// Parts of a service that are kept; of more, those with the least traffic are not.
const PARTS_MAX: usize = 100;

/// Kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// An address of the service.
    Endpoint,
    /// A route to it.
    Route,
    /// Whose requests they are.
    Tenant,
    /// What an endpoint runs.
    Version,
}

impl PartKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Endpoint, Self::Route, Self::Tenant, Self::Version];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Route => "route",
            Self::Tenant => "tenant",
            Self::Version => "version",
        }
    }
}

/// A part, and what came to it within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of which kind.
    pub kind: PartKind,
    /// Its name.
    pub name: String,
    /// What came.
    pub tally: Tally,
}

/// The last minutes of the parts of one service.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// In which second each ended, the newest last.
    ends: VecDeque<u64>,
    parts: BTreeMap<(PartKind, String), VecDeque<(u64, Tally)>>,
}

impl Minutes {
    /// A minute is over.
    pub(super) fn on_minute(&mut self, second: u64, mut parts: Vec<Part>) {
        if self.ends.len() == MINUTES {
            self.ends.pop_front();
        }
        self.ends.push_back(second);
        let oldest = self.ends.front().copied().unwrap_or(second);
        for minutes in self.parts.values_mut() {
            minutes.retain(|(end, _)| *end >= oldest);
        }
        self.parts.retain(|_, minutes| !minutes.is_empty());
        parts.sort_by_key(|part| std::cmp::Reverse(part.tally.total()));
        for Part { kind, name, tally } in parts {
            let key = (kind, name);
            let is_known = self.parts.contains_key(&key);
            if tally.total() > 0 && (is_known || self.parts.len() < PARTS_MAX) {
                let minutes = self.parts.entry(key).or_default();
                minutes.push_back((second, tally));
            }
        }
    }

    /// What came to a part in the minutes that ended before a second.
    pub(super) fn before(&self, second: u64, kind: PartKind, name: &str) -> Tally {
        let mut sum = Tally::default();
        let minutes = self.parts.get(&(kind, name.to_owned()));
        for (_, tally) in minutes.into_iter().flatten().filter(|it| it.0 < second) {
            sum += *tally;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_time_and_number() {
        let mut minutes = Minutes::default();
        let part = |it: u64| Part {
            kind: PartKind::Tenant,
            name: it.to_string(),
            tally: Tally { good: it, bad: 1 },
        };
        for minute in 1..=50 {
            minutes.on_minute(60 * minute, (0..1_000).map(part).collect());
        }
        assert_eq!(minutes.parts.len(), PARTS_MAX);
        let before = |second, name| minutes.before(second, PartKind::Tenant, name);
        assert_eq!(before(3_001, "999").bad, MINUTES as u64);
        assert_eq!(before(3_000, "999").bad, MINUTES as u64 - 1);
        assert_eq!(before(3_001, "5").bad, 0, "it has too little");
        minutes.on_minute(10_000, vec![part(5)]);
        for minute in 1..MINUTES as u64 {
            minutes.on_minute(10_000 + 60 * minute, vec![part(5)]);
        }
        assert_eq!(minutes.parts.len(), 1, "what has nothing is forgotten");
    }
}
