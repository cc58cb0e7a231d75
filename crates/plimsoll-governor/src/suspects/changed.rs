//! Suspects that were done: changes by people, endpoints that went or came, what Plimsoll moved.

use std::collections::BTreeMap;

use plimsoll_measure::{EvidenceKind, SuspectKind};

use super::split::{Spread, sides_of};
use super::words::{counted, listed, percent, two_sides};
use super::{About, Candidate, Scene};
use crate::onsets::{Change, ChangeKind, PartKind, Place, Scope};

/// A change takes up to so many seconds until it shows.
const PROPAGATION: u64 = 5;
/// What came by chance could be anywhere within an hour.
const HOUR: f64 = 3_600.0;
/// The most that nearness says, and the least that a change within the interval has.
const NEAR_MAX: f64 = 6.0;
const NEAR_MIN: f64 = 1.0;
/// Each so many seconds before the interval take a point; there is an end to that, and another for what is old.
const FAR: f64 = 10.0;
const FAR_MIN: f64 = -2.0;
const OLD: u64 = 600;
const OLD_POINTS: f64 = -3.0;
/// Endpoints that go or come within so many seconds of each other do so together: a restart, a deploy.
const TOGETHER: u64 = 60;
/// What is sure of a split.
const SURE: f64 = 15.0;
/// Steps of one thing are held against the failures over at least so many seconds each.
const STEP_SECONDS: u64 = 3;

/// How a change stands to the onset in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Within,
    Before(u64),
    After(u64),
}

impl Scene<'_> {
    pub(super) fn changed(&self, spreads: &[(PartKind, Spread)]) -> Vec<Candidate> {
        let (endpoints, single): (Vec<&Change>, Vec<&Change>) =
            self.changes.iter().partition(|it| it.kind.is_endpoint());
        let mut acts: Vec<Change> = single.into_iter().cloned().collect();
        acts.extend(together(endpoints));
        let near = |act: &Change| match self.when(act) {
            When::Within => true,
            When::Before(seconds) => seconds <= OLD,
            When::After(_) => false,
        };
        let rivals = acts
            .iter()
            .filter(|it| near(it) && self.is_on_path(it))
            .count();
        let each = acts
            .iter()
            .filter_map(|it| self.change(it, spreads, rivals));
        each.collect()
    }

    fn is_on_path(&self, change: &Change) -> bool {
        let mut around = self.dependencies.iter();
        change.scope.is_of(self.service) || around.any(|it| change.scope.is_of(it.name))
    }

    fn when(&self, change: &Change) -> When {
        let noticed = change.at.as_seconds();
        let at = noticed.saturating_sub(change.noticed_within);
        let first = self.onset.earliest.saturating_sub(PROPAGATION);
        // A second of difference is not told from none.
        if at > self.onset.latest + 1 {
            When::After(at - self.onset.likeliest)
        } else if noticed >= first {
            When::Within
        } else {
            When::Before(first - noticed)
        }
    }

    fn change(
        &self,
        change: &Change,
        spreads: &[(PartKind, Spread)],
        rivals: usize,
    ) -> Option<Candidate> {
        let kind = match change.kind {
            ChangeKind::Made => SuspectKind::Change,
            ChangeKind::EndpointGone | ChangeKind::EndpointCame => SuspectKind::EndpointSet,
            ChangeKind::Decided => SuspectKind::Decision,
        };
        let about = change
            .place
            .as_ref()
            .map_or(About::All, |it| About::Parts(it.kind));
        let mut it = Candidate::new(kind, change.what.clone(), about);
        it.at = Some(change.at.as_seconds());
        self.weigh_time(&mut it, change, rivals);
        if it.is_effect && !change.scope.is_of(self.service) {
            return None;
        }
        self.weigh_path(&mut it, change);
        self.weigh_split(&mut it, change, spreads);
        self.weigh_dose(&mut it, change);
        if change.kind == ChangeKind::Decided {
            // It is made to be harmless, and follows what others do.
            it.points -= 1.0;
        }
        Some(it)
    }

    fn weigh_time(&self, it: &mut Candidate, change: &Change, rivals: usize) {
        let wide = self.onset.seconds() + PROPAGATION + change.noticed_within;
        let near = libm::log(HOUR / wide as f64).clamp(NEAR_MIN, NEAR_MAX);
        match self.when(change) {
            When::Within => {
                let off = (change.at.as_seconds() as i64 - self.onset.likeliest as i64).abs();
                let alone = match rivals {
                    0 | 1 => "nothing else was changed within 10 min before it".to_owned(),
                    _ => format!("so are, or nearly, {}", counted(rivals - 1, "other change")),
                };
                let says = format!(
                    "{off} s from the onset, within what can be told (±{} s); {alone}",
                    self.onset.seconds().div_ceil(2)
                );
                it.weigh(EvidenceKind::Time, near - off as f64 / 100.0, says);
            }
            When::Before(seconds) => {
                let points = match seconds > OLD {
                    true => OLD_POINTS,
                    false => (near - seconds as f64 / FAR).max(FAR_MIN),
                };
                let before = self.onset.likeliest.saturating_sub(change.at.as_seconds());
                it.weigh(
                    EvidenceKind::Time,
                    points,
                    format!("{before} s before the onset"),
                );
            }
            When::After(seconds) => {
                it.is_effect = true;
                it.weigh(
                    EvidenceKind::Time,
                    -4.0,
                    format!("{seconds} s after the onset"),
                );
            }
        }
    }

    fn weigh_path(&self, it: &mut Candidate, change: &Change) {
        let (points, says) = match &change.scope {
            Scope::OffPath => (-5.0, "no request passes what was changed".to_owned()),
            Scope::All => {
                let (bad, fine) = self.others;
                match (bad, fine) {
                    (0, 0) => (0.5, "it is about all services".to_owned()),
                    (0, fine) => (
                        -1.0,
                        format!("it is about all services, and {} as before", stand(fine)),
                    ),
                    (bad, 0) => (
                        1.5,
                        format!("it is about all services, and {} too", burn(bad)),
                    ),
                    (bad, fine) => (
                        0.5,
                        format!(
                            "it is about all services; {} too, {} as before",
                            burn(bad),
                            stand(fine)
                        ),
                    ),
                }
            }
            Scope::Services(_) if change.scope.is_of(self.service) => {
                (1.0, format!("it is about {}", self.service))
            }
            Scope::Services(services) => {
                let mut around = self.dependencies.iter();
                match around.find(|it| change.scope.is_of(it.name)) {
                    Some(other) if other.burns.is_some() => {
                        (0.0, format!("it is about {}, which burns too", other.name))
                    }
                    Some(other) => (
                        -3.0,
                        format!("it is about {}, which stands as before", other.name),
                    ),
                    None => (
                        -5.0,
                        format!("{} is not on the way of these requests", listed(services)),
                    ),
                }
            }
        };
        it.weigh(EvidenceKind::Path, points, says);
    }

    fn weigh_split(&self, it: &mut Candidate, change: &Change, spreads: &[(PartKind, Spread)]) {
        if !change.scope.is_of(self.service) {
            return;
        }
        match &change.place {
            Some(place) => self.weigh_place(it, change, place, spreads),
            None => weigh_all(it, spreads),
        }
    }

    /// A change of some parts: are the failures there?
    fn weigh_place(
        &self,
        it: &mut Candidate,
        change: &Change,
        place: &Place,
        spreads: &[(PartKind, Spread)],
    ) {
        let Place { kind, names } = place;
        let sides = sides_of(*kind, names, &self.parts);
        let spread = spreads.iter().find(|(of, _)| of == kind);
        match spread.map(|(_, spread)| spread) {
            Some(Spread::Uneven {
                names: bad, nats, ..
            }) => {
                let both = bad.iter().filter(|it| names.contains(it)).count();
                let points = if 2 * both >= bad.len().max(names.len()) {
                    if *nats >= SURE { 4.0 } else { 2.0 }
                } else if both > 0 {
                    1.0
                } else {
                    -4.0
                };
                let says = match sides {
                    Some(sides) => two_sides(&sides),
                    None => format!("the failures are of {} {}", kind.name(), listed(bad)),
                };
                it.split = sides;
                it.weigh(EvidenceKind::Split, points, says);
            }
            Some(Spread::Even { .. }) => {
                let has_gone = change.kind == ChangeKind::EndpointGone;
                if has_gone && self.does_not_fit().is_some_and(|late| late >= 0.5) {
                    let says = "the others are late alike: they carry what these did";
                    it.weigh(EvidenceKind::Split, 1.5, says.to_owned());
                } else {
                    it.split = sides;
                    let says = sides.map_or_else(
                        || format!("all {}s are alike", kind.name()),
                        |sides| two_sides(&sides),
                    );
                    it.weigh(EvidenceKind::Split, -3.0, says);
                }
            }
            // All traffic is of that one, or there was none.
            _ => (),
        }
    }

    /// Of a thing with a size: does what is bad go up and down with it?
    fn weigh_dose(&self, it: &mut Candidate, change: &Change) {
        let Some(dose) = &change.dose else {
            return;
        };
        let steps = self.changes.iter().filter_map(|it| {
            let of = it.dose.as_ref().filter(|of| of.name == dose.name)?;
            Some((it.at.as_seconds(), of.from, of.to))
        });
        let mut steps: Vec<(u64, f64, f64)> = steps.collect();
        steps.sort_by_key(|(at, ..)| *at);
        let Some((first, from, _)) = steps.first().copied() else {
            return;
        };
        let mut shares = BTreeMap::new();
        let mut note = |size: f64, begin: u64, end: u64| {
            if end >= begin + STEP_SECONDS
                && let Some(share) = (self.share)(begin, end)
            {
                shares.insert((size * 1_000.0) as i64, (size, share));
            }
        };
        note(
            from,
            first.saturating_sub(TOGETHER),
            first.saturating_sub(1),
        );
        for (place, (at, _, to)) in steps.iter().enumerate() {
            let next = steps.get(place + 1).map_or(u64::MAX, |(at, ..)| at - 1);
            note(*to, at + 1, next);
        }
        // Two points lie on a line, whatever they are.
        if shares.len() < 3 {
            return;
        }
        let shares: Vec<(f64, f64)> = shares.into_values().collect();
        let rises = |pair: &[(f64, f64)]| matches!(pair, [(_, a), (_, b)] if b > a);
        let follows = shares.windows(2).all(rises);
        let each = shares
            .iter()
            .map(|(size, share)| format!("{} at {size}", percent(*share)));
        let each: Vec<String> = each.collect();
        let says = format!("bad by {}: {}", dose.name, each.join(", "));
        it.weigh(EvidenceKind::Dose, if follows { 3.0 } else { -1.0 }, says);
    }
}

/// A change of all parts: are the failures everywhere?
fn weigh_all(it: &mut Candidate, spreads: &[(PartKind, Spread)]) {
    let uneven = spreads.iter().filter_map(|(kind, spread)| {
        let (names, ..) = spread.uneven()?;
        let points: f64 = match kind {
            PartKind::Endpoint => -3.0,
            // What is the same for all may hurt what one asks for only.
            PartKind::Route | PartKind::Tenant | PartKind::Version => -1.5,
        };
        Some((points, *kind, names))
    });
    let worst = uneven.min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((points, kind, names)) = worst {
        let says = format!(
            "it is about all {}s, the failures are of {} only",
            kind.name(),
            listed(names)
        );
        it.weigh(EvidenceKind::Split, points, says);
        return;
    }
    let even = spreads.iter().filter(|(_, spread)| spread.is_even());
    let even: Vec<String> = even.map(|(kind, _)| format!("{}s", kind.name())).collect();
    if !even.is_empty() {
        let says = format!("it is about all, and {} are alike", listed(&even));
        it.weigh(EvidenceKind::Split, 1.0, says);
    }
}

/// Endpoints of one service that went or came together are one change.
fn together(mut changes: Vec<&Change>) -> Vec<Change> {
    changes.sort_by_key(|it| it.at);
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    for change in changes {
        let mut open = groups.iter_mut().filter(|group| {
            let last = group.last();
            last.is_some_and(|last| {
                last.scope == change.scope
                    && change.at.as_seconds() - last.at.as_seconds() <= TOGETHER
            })
        });
        match open.next() {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    groups.iter().filter_map(|group| one(group)).collect()
}

fn one(group: &[&Change]) -> Option<Change> {
    let (first, last) = (*group.first()?, *group.last()?);
    if group.len() == 1 {
        return Some(first.clone());
    }
    let mut names: Vec<String> = Vec::new();
    for name in group
        .iter()
        .filter_map(|it| it.place.as_ref())
        .flat_map(|it| &it.names)
    {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let gone = group
        .iter()
        .filter(|it| it.kind == ChangeKind::EndpointGone)
        .count();
    let does = match (gone, group.len() - gone) {
        (_, 0) => "went",
        (0, _) => "came",
        _ => "went and came",
    };
    let seconds = last.at.as_seconds() - first.at.as_seconds();
    let what = format!(
        "{} {does} within {seconds} s: {}",
        counted(names.len(), "endpoint"),
        listed(&names)
    );
    Some(Change {
        what,
        // When the last of them did is no less a time of it than when the first did.
        at: last.at,
        noticed_within: seconds.max(first.noticed_within),
        kind: if does == "came" {
            ChangeKind::EndpointCame
        } else {
            ChangeKind::EndpointGone
        },
        place: Some(Place {
            kind: PartKind::Endpoint,
            names,
        }),
        ..first.clone()
    })
}

fn stand(count: usize) -> String {
    match count {
        1 => "1 other stands".to_owned(),
        _ => format!("{count} others stand"),
    }
}

fn burn(count: usize) -> String {
    match count {
        1 => "1 other burns".to_owned(),
        _ => format!("{count} others burn"),
    }
}
