//! Whether the failures are everywhere alike, or in some parts of a service only.
//!
//! Of the parts of a kind, sorted by how much worse than before they stand, the first so many are held against the rest: with a
//! share of bad ones for each side the counts are likelier than with one for all, by so many nats. Counts are taken to be
//! independent, which bursts are not; so the shares must differ much as well.

use plimsoll_measure::{SidesView, Tally};

use crate::onsets::{Part, PartKind};

/// So many nats, and one for each way to choose the parts, say that the sides differ.
const NATS_MIN: f64 = 8.0;
/// The share of bad ones inside is at least so many times that outside...
const TIMES_MIN: f64 = 3.0;
/// ...and what is inside has at least so much of what is bad beyond what was before.
const EXCESS_MIN: f64 = 0.7;
/// The share of bad ones inside is at least so much of that of the whole service.
const OVERALL_MIN: f64 = 0.5;

/// A part, with what came to it before the onset and of late.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    pub(crate) part: Part,
    pub(crate) before: Tally,
}

/// How the failures are spread over the parts of a kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spread {
    /// There are no parts of the kind, or one only.
    Unseen {
        /// How many there are.
        parts: usize,
    },
    /// Everywhere alike: from the least share of bad ones to the greatest.
    Even {
        /// How many parts there are.
        parts: usize,
        /// Shares of bad ones.
        least: f64,
        most: f64,
    },
    /// In these parts.
    Uneven {
        /// Their names, the worst first.
        names: Vec<String>,
        /// How many parts there are.
        parts: usize,
        /// What is bad there and elsewhere.
        sides: SidesView,
        /// By how much likelier the counts are so.
        nats: f64,
    },
}

impl Spread {
    /// `overall` is the share of bad ones of the whole service: where much less is bad, it is not where the failures are, however
    /// uneven that is. Requests that are refused reach no endpoint.
    pub(super) fn of(kind: PartKind, parts: &[Compared], overall: f64) -> Self {
        let mut parts: Vec<&Compared> = parts
            .iter()
            .filter(|it| it.part.kind == kind && it.part.tally.total() > 0)
            .collect();
        let count = parts.len();
        if count < 2 {
            return Self::Unseen { parts: count };
        }
        let worse = |it: &Compared| share(it.part.tally) - share(it.before);
        parts.sort_by(|a, b| {
            let order = worse(b).total_cmp(&worse(a));
            order.then_with(|| a.part.name.cmp(&b.part.name))
        });
        let mut all = Tally::default();
        parts.iter().for_each(|it| all += it.part.tally);
        let excess = |it: &Compared| worse(it).max(0.0) * it.part.tally.total() as f64;
        let excess_of_all: f64 = parts.iter().map(|it| excess(it)).sum();
        let (mut inside, mut excess_inside) = (Tally::default(), 0.0);
        let mut best: Option<(usize, f64, Tally)> = None;
        for (place, part) in parts.iter().enumerate().take(count - 1) {
            inside += part.part.tally;
            excess_inside += excess(part);
            let outside = all.since(inside);
            let nats = likelihood(inside) + likelihood(outside) - likelihood(all);
            let differ = nats >= NATS_MIN + choices(count, place + 1)
                && share(inside) >= (OVERALL_MIN * overall).max(TIMES_MIN * share(outside))
                && excess_inside >= EXCESS_MIN * excess_of_all;
            if differ && best.is_none_or(|(_, most, _)| nats > most) {
                best = Some((place + 1, nats, inside));
            }
        }
        match best {
            Some((those, nats, inside)) => {
                let outside = all.since(inside);
                let named = parts.iter().take(those);
                Self::Uneven {
                    names: named.map(|it| it.part.name.clone()).collect(),
                    parts: count,
                    sides: sides(inside, outside),
                    nats,
                }
            }
            None => {
                let shares = parts.iter().map(|it| share(it.part.tally));
                let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(least, most), it| {
                    (least.min(it), most.max(it))
                });
                Self::Even {
                    parts: count,
                    least,
                    most,
                }
            }
        }
    }

    /// The parts that the failures are in, with how sure that is.
    pub(super) fn uneven(&self) -> Option<(&[String], SidesView, f64)> {
        match self {
            Self::Uneven {
                names, sides, nats, ..
            } => Some((names, *sides, *nats)),
            _ => None,
        }
    }

    pub(super) fn is_even(&self) -> bool {
        matches!(self, Self::Even { .. })
    }
}

/// What is bad in these parts of a kind, and in the others.
pub(super) fn sides_of(kind: PartKind, names: &[String], parts: &[Compared]) -> Option<SidesView> {
    let (mut inside, mut outside) = (Tally::default(), Tally::default());
    for it in parts.iter().filter(|it| it.part.kind == kind) {
        match names.contains(&it.part.name) {
            true => inside += it.part.tally,
            false => outside += it.part.tally,
        }
    }
    (inside.total() > 0).then(|| sides(inside, outside))
}

fn sides(inside: Tally, outside: Tally) -> SidesView {
    SidesView {
        inside_bad: inside.bad,
        inside: inside.total(),
        outside_bad: outside.bad,
        outside: outside.total(),
    }
}

/// The share of bad ones; nothing of nothing.
pub(super) fn share(tally: Tally) -> f64 {
    tally.bad_share().map_or(0.0, |it| it.get())
}

/// The log-likelihood of a count with the share that fits it best.
fn likelihood(tally: Tally) -> f64 {
    let share = share(tally);
    let part = |count: u64, share: f64| match count {
        0 => 0.0,
        _ => count as f64 * libm::log(share),
    };
    part(tally.bad, share) + part(tally.good, 1.0 - share)
}

/// The logarithm of how many ways there are to choose so many of all.
fn choices(all: usize, of: usize) -> f64 {
    let logarithm = |count: usize| libm::lgamma(count as f64 + 1.0);
    logarithm(all) - logarithm(of) - logarithm(all - of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(of: &[(&str, u64, u64)]) -> Vec<Compared> {
        let part = |&(name, bad, all): &(&str, u64, u64)| Compared {
            part: Part {
                kind: PartKind::Endpoint,
                name: name.to_owned(),
                tally: Tally {
                    good: all - bad,
                    bad,
                },
            },
            before: Tally {
                good: 10_000,
                bad: 10,
            },
        };
        of.iter().map(part).collect()
    }

    #[test]
    fn failures_of_some_endpoints_are_told_from_those_of_all() {
        let two = parts(&[
            ("a", 1, 900),
            ("b", 300, 900),
            ("c", 0, 900),
            ("d", 200, 900),
        ]);
        let (names, sides, nats) = Spread::of(PartKind::Endpoint, &two, 0.1)
            .uneven()
            .map(|(names, sides, nats)| (names.to_vec(), sides, nats))
            .unwrap();
        assert_eq!(names, ["b", "d"]);
        assert_eq!((sides.inside_bad, sides.outside_bad), (500, 1));
        assert!(nats > 100.0);
        let alike = parts(&[("a", 17, 900), ("b", 15, 900), ("c", 22, 900)]);
        let Spread::Even {
            parts: 3,
            least,
            most,
        } = Spread::of(PartKind::Endpoint, &alike, 0.0)
        else {
            panic!("{:?}", Spread::of(PartKind::Endpoint, &alike, 0.0));
        };
        assert!((least - 15.0 / 900.0).abs() < 1e-9 && (most - 22.0 / 900.0).abs() < 1e-9);
    }

    #[test]
    fn an_endpoint_that_fails_less_than_the_service_is_not_where_the_failures_are() {
        let refused = parts(&[("a", 57, 3_000), ("b", 3, 3_000), ("c", 2, 3_000)]);
        let spread = |overall| Spread::of(PartKind::Endpoint, &refused, overall);
        assert!(spread(0.45).is_even(), "most are refused, and reach none");
        assert_eq!(spread(0.007).uneven().map(|it| it.0.len()), Some(1));
    }

    #[test]
    fn few_failures_and_one_part_alone_say_nothing() {
        let few = parts(&[("a", 2, 50), ("b", 0, 50)]);
        assert!(Spread::of(PartKind::Endpoint, &few, 0.0).is_even());
        let one = parts(&[("a", 20, 50)]);
        assert_eq!(
            Spread::of(PartKind::Endpoint, &one, 0.0),
            Spread::Unseen { parts: 1 }
        );
        assert_eq!(
            Spread::of(PartKind::Route, &few, 0.0),
            Spread::Unseen { parts: 0 }
        );
    }

    #[test]
    fn a_part_that_was_as_bad_before_is_not_where_the_failures_are() {
        let mut all = parts(&[("old", 50, 500), ("new", 200, 500), ("good", 1, 500)]);
        all[0].before = Tally {
            good: 9_000,
            bad: 1_000,
        };
        let spread = Spread::of(PartKind::Endpoint, &all, 0.0);
        assert_eq!(spread.uneven().unwrap().0, ["new"]);
    }
}
