//! Suspects that nobody changed: what stands otherwise than before.

use plimsoll_measure::{EvidenceKind, Rise, SuspectKind};

use super::split::{Spread, share};
use super::words::{counted, listed, percent, two_sides};
use super::{About, Candidate, Dependency, Scene};
use crate::onsets::PartKind;

/// How many times as much is asked for from where on it is a surge.
const SURGE: f64 = 1.25;
/// A surge may show in the failures up to so many seconds before it is counted.
const SURGE_SECONDS: u64 = 3;
/// One that is older than this has been dealt with.
const SURGE_OLDEST: u64 = 120;
/// A tenant asks for so many times as much, and has so much of what more is asked for.
const FLOOD: f64 = 2.0;
const FLOOD_SHARE: f64 = 0.5;
/// A dependency fails at least this share of what the service fails: some call it more than once (`blame.rs`).
const CAUSE_MIN: f64 = 0.5;
/// From such a share on what is bad was late or refused for the most part, and up to that one it was not.
const MOSTLY: f64 = 0.6;
const HARDLY: f64 = 0.3;

impl Scene<'_> {
    pub(super) fn states(&self, spreads: &[(PartKind, Spread)]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for dependency in &self.dependencies {
            candidates.extend(self.dependency(dependency));
        }
        for (kind, spread) in spreads {
            candidates.extend(self.part(*kind, spread));
        }
        candidates.extend(self.flood());
        let is_flood = candidates
            .iter()
            .any(|it| it.about == About::DemandOfTenant);
        candidates.extend(self.demand(is_flood));
        candidates.push(self.itself(spreads, &candidates));
        candidates
    }

    /// A rise that is large enough.
    pub(super) fn surge(&self) -> Option<(u64, Rise)> {
        self.rise
            .filter(|(_, rise)| rise.before > 0.0 && rise.after >= SURGE * rise.before)
    }

    fn dependency(&self, dependency: &Dependency<'_>) -> Option<Candidate> {
        let (onset, before, since) = dependency.burns?;
        let name = dependency.name;
        let about = About::Other {
            name: name.to_owned(),
            deeper: dependency
                .depends_on
                .iter()
                .map(|it| (*it).to_owned())
                .collect(),
        };
        let mut it = Candidate::new(
            SuspectKind::Dependency,
            format!("{name}, which {} depends on, burns too", self.service),
            about,
        );
        it.at = Some(onset.likeliest);
        it.points += 4.0;
        let distance = self.onset.likeliest as i64 - onset.likeliest as i64;
        let seconds = distance.unsigned_abs();
        if onset.earliest > self.onset.latest + 2 {
            it.is_effect = true;
            it.weigh(
                EvidenceKind::Time,
                -4.0,
                format!("it began {seconds} s after this one"),
            );
        } else if distance > 0 {
            it.weigh(
                EvidenceKind::Time,
                3.0,
                format!("it began {seconds} s before this one"),
            );
        } else {
            it.weigh(
                EvidenceKind::Time,
                2.0,
                "it began at the same time, as near as can be told".to_owned(),
            );
        }
        let says = format!(
            "{} of its own requests are bad, {} before; here {}",
            percent(since),
            percent(before),
            percent(share(self.since))
        );
        let enough = since - before >= CAUSE_MIN * self.excess();
        it.weigh(EvidenceKind::Dose, if enough { 3.0 } else { -4.0 }, says);
        let surges = self.surge().is_some();
        if surges && dependency.is_asked_more {
            it.weigh(
                EvidenceKind::Path,
                -3.0,
                format!(
                    "more is asked of it since more is asked of {}",
                    self.service
                ),
            );
        } else {
            let decided = match dependency.is_blamed {
                true => "; what is to be done is decided there",
                false => "",
            };
            let points = if dependency.is_blamed { 3.0 } else { 1.0 };
            it.weigh(
                EvidenceKind::Path,
                points,
                format!("{} depends on it{decided}", self.service),
            );
        }
        // The one at the end of a chain is where it begins.
        let burns = |name: &&str| {
            let mut all = self.dependencies.iter();
            all.any(|it| it.name == *name && it.burns.is_some())
        };
        if dependency.depends_on.iter().any(burns) {
            it.points -= 1.5;
        }
        Some(it)
    }

    fn part(&self, kind: PartKind, spread: &Spread) -> Option<Candidate> {
        let (names, sides, nats) = spread.uneven()?;
        let (suspect, base) = match kind {
            PartKind::Endpoint => (SuspectKind::Endpoint, 7.0),
            PartKind::Version => (SuspectKind::Endpoint, 7.5),
            PartKind::Route => (SuspectKind::Route, 6.5),
            PartKind::Tenant => (SuspectKind::Tenant, 6.5),
        };
        let plural = if names.len() == 1 { "" } else { "s" };
        let does = match (self.does_not_fit(), names.len()) {
            (Some(late), 1) if late >= MOSTLY => "is late",
            (Some(late), _) if late >= MOSTLY => "are late",
            (_, 1) => "fails",
            _ => "fail",
        };
        let what = format!("{}{plural} {} {does}", kind.name(), listed(names));
        let mut it = Candidate::new(suspect, what, About::Parts(kind));
        it.at = Some(self.onset.likeliest);
        it.split = Some(sides);
        // Of two splits of the same requests the one that tells more is shown first.
        let more = (nats / 1_000.0).min(0.5);
        it.weigh(EvidenceKind::Split, base + more, two_sides(&sides));
        Some(it)
    }

    fn demand(&self, is_flood: bool) -> Option<Candidate> {
        let (second, rise) = self.surge()?;
        let times = rise.after / rise.before;
        let what = format!(
            "{times:.1} times as much is asked for: {:.0} requests/s, {:.0} before",
            rise.after, rise.before
        );
        let mut it = Candidate::new(SuspectKind::Surge, what, About::Demand);
        it.points += 6.0;
        self.weigh_surge(&mut it, second, times);
        if is_flood {
            it.points -= 3.0;
        }
        Some(it)
    }

    fn weigh_surge(&self, it: &mut Candidate, second: u64, times: f64) {
        it.at = Some(second);
        if second > self.onset.latest + SURGE_SECONDS {
            it.is_effect = true;
            let after = second - self.onset.likeliest;
            it.weigh(
                EvidenceKind::Time,
                -4.0,
                format!("it began {after} s after the onset: what failed may be tried again"),
            );
        } else {
            let before = self.onset.earliest.saturating_sub(second);
            let points = if before > SURGE_OLDEST { -2.0 } else { 1.0 };
            let says = match before {
                0 => "it began within the onset's interval".to_owned(),
                _ => format!("it began {before} s before the onset"),
            };
            it.weigh(EvidenceKind::Time, points, says);
        }
        it.points += (4.0 * libm::log(times)).min(2.0);
        match self.does_not_fit() {
            Some(late) if late >= MOSTLY => it.weigh(
                EvidenceKind::Dose,
                1.0,
                format!("{} of what is bad is late or refused", percent(late)),
            ),
            Some(late) if late <= HARDLY => it.weigh(
                EvidenceKind::Dose,
                -3.0,
                format!(
                    "{} of what is bad is an error, which more requests alone do not make",
                    percent(1.0 - late)
                ),
            ),
            _ => (),
        }
    }

    /// A tenant that asks for much more than before.
    fn flood(&self) -> Option<Candidate> {
        let (second, rise) = self.surge()?;
        let tenants = || {
            self.parts
                .iter()
                .filter(|it| it.part.kind == PartKind::Tenant)
        };
        let all: u64 = tenants().map(|it| it.part.tally.total()).sum();
        let all_before: u64 = tenants().map(|it| it.before.total()).sum();
        if all == 0 || all_before == 0 {
            return None;
        }
        let rates = |now: u64, before: u64| {
            let now = now as f64 / all as f64 * rise.after;
            (now, before as f64 / all_before as f64 * rise.before)
        };
        let more = tenants().map(|it| {
            let (now, before) = rates(it.part.tally.total(), it.before.total());
            (it, now, before)
        });
        let (tenant, now, before) = more.max_by(|a, b| (a.1 - a.2).total_cmp(&(b.1 - b.2)))?;
        if now < FLOOD * before || now - before < FLOOD_SHARE * (rise.after - rise.before) {
            return None;
        }
        let name = &tenant.part.name;
        let what =
            format!("tenant {name} asks for much more: {now:.0} requests/s, {before:.0} before");
        let mut it = Candidate::new(SuspectKind::Tenant, what, About::DemandOfTenant);
        it.points += 7.0;
        let names = std::slice::from_ref(name);
        if let Some(sides) = super::split::sides_of(PartKind::Tenant, names, &self.parts) {
            it.split = Some(sides);
            it.evidence.push(plimsoll_measure::EvidenceView {
                kind: EvidenceKind::Split,
                supports: true,
                says: two_sides(&sides),
            });
        }
        self.weigh_surge(&mut it, second, rise.after / rise.before);
        Some(it)
    }

    /// Nothing that is known of: the service, or what nobody told of.
    fn itself(&self, spreads: &[(PartKind, Spread)], others: &[Candidate]) -> Candidate {
        let late = self.does_not_fit().is_some_and(|late| late >= MOSTLY);
        let does = if late { "slower" } else { "failing" };
        let mut it = Candidate::new(
            SuspectKind::Service,
            format!(
                "{} itself: it is {does}, and nothing that is known was changed",
                self.service
            ),
            About::All,
        );
        it.at = Some(self.onset.likeliest);
        it.points += 3.5;
        for (kind, spread) in spreads {
            match (kind, spread) {
                (PartKind::Endpoint, Spread::Even { parts, .. }) => it.weigh(
                    EvidenceKind::Split,
                    1.0,
                    format!("{} are alike", counted(*parts, "endpoint")),
                ),
                (PartKind::Endpoint | PartKind::Version, Spread::Uneven { .. }) => it.points -= 3.0,
                (_, Spread::Uneven { .. }) => it.points -= 1.0,
                _ => (),
            }
        }
        let explained = others
            .iter()
            .any(|it| !it.is_effect && it.points >= super::VERY_LIKELY);
        if explained {
            it.points -= 2.0;
        }
        it
    }
}
