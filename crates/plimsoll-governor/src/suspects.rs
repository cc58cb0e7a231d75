//! What may have caused a burn, ranked: what was changed about then, and what else is otherwise than before.
//!
//! Each suspect has points, about the natural logarithm of how much likelier its evidence is if it is the cause than if it is
//! not. **Time**: how near it is to the onset's interval, which counts the more the narrower that is. **Split**: whether the
//! failures are where it is. **Dose**: whether they follow its size. **Path**: whether it is on the way of the requests that
//! fail. What came after the onset is rather an effect, whatever else speaks for it.
//! The constants were set before the simulated incidents were looked at, which try them (`simulator/src/incidents.rs`).

mod changed;
mod split;
mod state;
mod words;

use plimsoll_core::Timestamp;
use plimsoll_measure::{
    EvidenceKind, EvidenceView, Judged, Rise, SidesView, Strength, SuspectKind, SuspectView, Tally,
};

use crate::onsets::{Change, PartKind};
pub(crate) use split::Compared;
use split::Spread;
use words::percent;

/// So many points, and so many more than the next one has, make a suspect very likely; so many a possible one.
const VERY_LIKELY: f64 = 6.0;
const AHEAD: f64 = 1.5;
const POSSIBLE: f64 = 3.0;
/// What has less is not shown.
const SHOWN: f64 = -3.0;
/// Suspects that are shown, and effects among them.
const SUSPECTS_MAX: usize = 8;
const EFFECTS_MAX: usize = 3;

/// What is known of a burn and of what is around it.
pub(crate) struct Scene<'a> {
    pub(crate) service: &'a str,
    pub(crate) onset: Interval,
    /// What came before the onset, and since then.
    pub(crate) before: Tally,
    pub(crate) since: Tally,
    /// Requests a second before the onset, and since then; `None`: nothing came before.
    pub(crate) rates: Option<(f64, f64)>,
    /// From when on more is asked for, if it is, as a second.
    pub(crate) rise: Option<(u64, Rise)>,
    /// How what came within the last minute was bad.
    pub(crate) judged: Judged,
    pub(crate) parts: Vec<Compared>,
    pub(crate) dependencies: Vec<Dependency<'a>>,
    /// Services that are no dependencies: how many burn since the onset too, and how many have traffic and don't.
    pub(crate) others: (usize, usize),
    /// Of the last hour, in no order.
    pub(crate) changes: Vec<&'a Change>,
    /// The share of bad ones between two seconds.
    pub(crate) share: &'a dyn Fn(u64, u64) -> Option<f64>,
}

/// Seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) earliest: u64,
    pub(crate) likeliest: u64,
    pub(crate) latest: u64,
}

impl Interval {
    pub(crate) fn seconds(self) -> u64 {
        self.latest.saturating_sub(self.earliest) + 1
    }
}

/// A service that the one that burns depends on, over others maybe.
#[derive(Clone, Debug)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    /// Those that it depends on in its turn.
    pub(crate) depends_on: Vec<&'a str>,
    /// Whether it has an objective by which it can be seen how it stands.
    pub(crate) is_seen: bool,
    /// Since when it burns, with the share of bad ones before and since then; `None`: it does not.
    pub(crate) burns: Option<(Interval, f64, f64)>,
    /// Whether more is asked of it than before.
    pub(crate) is_asked_more: bool,
    /// Whether the governor decides there in place of here.
    pub(crate) is_blamed: bool,
}

/// What is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) suspects: Vec<SuspectView>,
    pub(crate) even: Vec<String>,
    pub(crate) unseen: Vec<String>,
}

/// A suspect that has no rank yet.
#[derive(Clone, Debug)]
struct Candidate {
    kind: SuspectKind,
    what: String,
    at: Option<u64>,
    points: f64,
    split: Option<SidesView>,
    evidence: Vec<EvidenceView>,
    /// It came after the onset.
    is_effect: bool,
    /// What it is about, by which one is told that explains another.
    about: About,
}

#[derive(Clone, Debug, PartialEq)]
enum About {
    /// The whole service, or more.
    All,
    /// These parts.
    Parts(PartKind),
    /// Another service, and those that it depends on in its turn.
    Other { name: String, deeper: Vec<String> },
    /// How much is asked for.
    Demand,
    /// How much one tenant asks for.
    DemandOfTenant,
}

impl Candidate {
    fn new(kind: SuspectKind, what: String, about: About) -> Self {
        Self {
            kind,
            what,
            at: None,
            points: 0.0,
            split: None,
            evidence: Vec::new(),
            is_effect: false,
            about,
        }
    }

    /// Evidence that speaks for it by so many points, or against it.
    fn weigh(&mut self, kind: EvidenceKind, points: f64, says: String) {
        self.points += points;
        self.evidence.push(EvidenceView {
            kind,
            supports: points > 0.0,
            says,
        });
    }

    /// Whether this one, if it is the cause, explains the other.
    fn explains(&self, other: &Self) -> bool {
        match (&self.about, &other.about) {
            (About::Other { deeper, .. }, About::Other { name, .. }) => !deeper.contains(name),
            (About::Other { .. }, About::Parts(PartKind::Route)) => {
                other.kind == SuspectKind::Route
            }
            (About::Parts(mine), About::Parts(theirs)) => {
                self.kind.is_act() && !other.kind.is_act() && mine == theirs
            }
            (About::DemandOfTenant, About::Demand) => true,
            (About::DemandOfTenant, About::Parts(kind)) => {
                *kind == PartKind::Tenant && !other.kind.is_act()
            }
            (_, About::All) => other.kind == SuspectKind::Service,
            _ => false,
        }
    }

    /// Whether no evidence speaks against it.
    fn agrees(&self) -> bool {
        self.evidence.iter().all(|it| it.supports)
    }
}

impl Scene<'_> {
    /// Ranks all that may be behind it.
    pub(crate) fn rank(&self) -> Found {
        let overall = split::share(self.judged.tally);
        let spreads = PartKind::ALL.map(|kind| (kind, Spread::of(kind, &self.parts, overall)));
        let mut candidates = self.changed(&spreads);
        candidates.extend(self.states(&spreads));
        let (even, unseen) = self.looked_at(&spreads);
        Found {
            suspects: ranked(candidates),
            even,
            unseen,
        }
    }

    /// What is even, and what could not be looked at.
    fn looked_at(&self, spreads: &[(PartKind, Spread)]) -> (Vec<String>, Vec<String>) {
        let (mut even, mut unseen) = (Vec::new(), Vec::new());
        for (kind, spread) in spreads {
            let name = kind.name();
            match spread {
                Spread::Even { parts, least, most } => even.push(format!(
                    "{name}s: {} to {} bad on all {parts}",
                    percent(*least),
                    percent(*most)
                )),
                Spread::Unseen { parts: 0 } => unseen.push(format!("{name}s: none are known")),
                Spread::Unseen { .. } => unseen.push(format!("{name}s: there is one only")),
                Spread::Uneven { .. } => (),
            }
        }
        if self.surge().is_none() {
            match self.rates {
                Some((before, after)) => even.push(format!(
                    "demand: {before:.0} requests/s before, {after:.0} since"
                )),
                None => unseen.push("demand: nothing came before".to_owned()),
            }
        }
        let fine = self
            .dependencies
            .iter()
            .filter(|it| it.is_seen && it.burns.is_none());
        let fine: Vec<String> = fine.map(|it| it.name.to_owned()).collect();
        if !fine.is_empty() {
            even.push(format!("dependencies: {} as before", words::listed(&fine)));
        }
        let unknown = self.dependencies.iter().filter(|it| !it.is_seen);
        let unknown: Vec<String> = unknown.map(|it| it.name.to_owned()).collect();
        if !unknown.is_empty() {
            let names = words::listed(&unknown);
            unseen.push(format!("dependencies: of {names} no objective tells"));
        }
        if self.dependencies.is_empty() {
            unseen.push("dependencies: none are known".to_owned());
        }
        (even, unseen)
    }

    /// How much of what is bad is so beyond what was before.
    fn excess(&self) -> f64 {
        (split::share(self.since) - split::share(self.before)).max(0.0)
    }

    /// Whether most of what is bad was late or refused, as where more is asked for than fits; `None` where nothing is known.
    fn does_not_fit(&self) -> Option<f64> {
        let Judged {
            failed,
            late,
            refused,
            ..
        } = self.judged;
        let bad = failed + late + refused;
        (bad > 0).then(|| (late + refused) as f64 / bad as f64)
    }
}

/// In order, with words.
fn ranked(mut candidates: Vec<Candidate>) -> Vec<SuspectView> {
    candidates.retain(|it| it.is_effect || it.points >= SHOWN);
    candidates.sort_by(|a, b| {
        let order = a.is_effect.cmp(&b.is_effect);
        order.then(b.points.total_cmp(&a.points))
    });
    let Some(first) = candidates.first().cloned() else {
        return Vec::new();
    };
    let follows = |it: &Candidate| first.explains(it);
    let rivals = candidates
        .iter()
        .skip(1)
        .filter(|it| !it.is_effect && !follows(it));
    let rival = rivals.map(|it| it.points).fold(f64::NEG_INFINITY, f64::max);
    let mut effects = 0;
    let mut suspects = Vec::new();
    for (place, it) in candidates.into_iter().enumerate() {
        let is_first = place == 0;
        let (strength, follows) = if it.is_effect || !is_first && follows(&it) {
            // An effect of the burn itself, where there is nothing else before it.
            (Strength::Follows, (!is_first).then_some(1))
        } else if is_first && it.points >= VERY_LIKELY && it.points - rival >= AHEAD && it.agrees()
        {
            (Strength::VeryLikely, None)
        } else if it.points >= POSSIBLE {
            (Strength::Possible, None)
        } else {
            (Strength::Unlikely, None)
        };
        // That it may be the service itself is worth a word only where nothing else is.
        let is_idle = it.kind == SuspectKind::Service && !is_first;
        if is_idle || effects == EFFECTS_MAX && it.is_effect {
            continue;
        }
        effects += usize::from(it.is_effect);
        if suspects.len() == SUSPECTS_MAX {
            break;
        }
        let mut evidence = it.evidence;
        evidence.sort_by_key(|it| it.kind);
        suspects.push(SuspectView {
            rank: suspects.len() as u32 + 1,
            kind: it.kind,
            what: it.what,
            strength,
            follows,
            at: it.at.map(Timestamp::from_seconds),
            split: it.split,
            evidence,
        });
    }
    suspects
}
