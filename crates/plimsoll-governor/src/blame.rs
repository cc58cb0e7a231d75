//! Which service burns because of which: where it is decided, if several burn that depend on each other.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_core::Mode;

/// A dependency counts as the cause if it fails or refuses at least this share of what the service fails: some call it more than
/// once for each of their own requests.
const CAUSE_MIN: f64 = 0.5;

/// A service that burns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspect<'a> {
    /// The share of its own failures, of late.
    pub(crate) bad_share: f64,
    /// The share of all that was bad for who asked: what is refused there fails those who depend on it.
    pub(crate) all_share: f64,
    /// Whether what is decided there is done.
    pub(crate) mode: Mode,
    /// Nothing that may be moved there can help.
    pub(crate) is_helpless: bool,
    /// Because of which one it burns by what was last decided.
    pub(crate) blames: Option<&'a str>,
    /// What it can't do without.
    pub(crate) depends_on: &'a [String],
}

/// The service at the end of a chain of dependencies that explains how `name` burns, if there is one: each burns, fails or refuses
/// no less than half of what fails before it, and is one where something can be decided that is then done. One that was
/// blamed stays so for as long as it burns: shares of seconds vary. Services that depend on each other in a circle have none.
pub(crate) fn root_of<'a>(name: &str, suspects: &BTreeMap<&str, Suspect<'a>>) -> Option<&'a str> {
    let blamed = suspects.get(name)?.blames;
    let explains = |from: &Suspect<'_>, to: &Suspect<'_>| {
        could_be(from, to) && to.all_share >= CAUSE_MIN * from.bad_share
    };
    let stays = || {
        blamed.filter(|it| {
            leads(name, it, suspects, &could_be) && !leads(it, name, suspects, &could_be)
        })
    };
    stays().or_else(|| {
        descend(
            name,
            name,
            &mut BTreeSet::from([name.to_owned()]),
            suspects,
            &explains,
        )
    })
}

/// Whether it is one where something can be decided in the place of `from`.
fn could_be(from: &Suspect<'_>, to: &Suspect<'_>) -> bool {
    !to.is_helpless && (to.mode == from.mode || to.mode == Mode::Enforce)
}

/// Depth first. Of those in a circle the first that is seen last counts as its end, but for `name`'s own.
fn descend<'a>(
    name: &str,
    at: &str,
    seen: &mut BTreeSet<String>,
    suspects: &BTreeMap<&str, Suspect<'a>>,
    explains: &impl Fn(&Suspect<'_>, &Suspect<'_>) -> bool,
) -> Option<&'a str> {
    let from = suspects.get(at)?;
    for next in from.depends_on {
        let passes = suspects
            .get(next.as_str())
            .is_some_and(|to| explains(from, to));
        if !passes || !seen.insert(next.clone()) {
            continue;
        }
        let deeper = descend(name, next, seen, suspects, explains);
        let own_circle = || leads(next, name, suspects, explains);
        if let Some(found) = deeper.or_else(|| (!own_circle()).then_some(next.as_str())) {
            return Some(found);
        }
    }
    None
}

/// Whether `to` is one of those that `from` depends on, over others that pass too.
fn leads(
    from: &str,
    to: &str,
    suspects: &BTreeMap<&str, Suspect<'_>>,
    passes: &impl Fn(&Suspect<'_>, &Suspect<'_>) -> bool,
) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut left = vec![from];
    while let Some(at) = left.pop() {
        let Some(suspect) = suspects.get(at) else {
            continue;
        };
        for next in suspect.depends_on {
            if !suspects
                .get(next.as_str())
                .is_some_and(|it| passes(suspect, it))
            {
                continue;
            }
            if next == to {
                return true;
            }
            if seen.insert(next) {
                left.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who depends on whom, with what fails there.
    type Made<'a> = [(&'a str, f64, &'a [&'a str])];

    fn roots(made: &Made<'_>, change: impl Fn(&str, &mut Suspect<'_>)) -> Vec<String> {
        let depends_on: Vec<Vec<String>> = made
            .iter()
            .map(|(_, _, depends_on)| depends_on.iter().map(|it| (*it).to_owned()).collect())
            .collect();
        let mut suspects = BTreeMap::new();
        for ((name, bad_share, _), depends_on) in made.iter().zip(&depends_on) {
            let mut suspect = Suspect {
                bad_share: *bad_share,
                all_share: *bad_share,
                mode: Mode::Enforce,
                is_helpless: false,
                blames: None,
                depends_on,
            };
            change(name, &mut suspect);
            suspects.insert(*name, suspect);
        }
        let each = made.iter();
        each.map(|(name, ..)| root_of(name, &suspects).unwrap_or("-").to_owned())
            .collect()
    }

    fn unchanged(_: &str, _: &mut Suspect<'_>) {}

    #[test]
    fn the_end_of_a_chain_is_blamed_by_all_before_it() {
        let chain: &Made<'_> = &[("a", 0.2, &["b"]), ("b", 0.2, &["c"]), ("c", 0.2, &[])];
        assert_eq!(roots(chain, unchanged), ["c", "c", "-"]);
        // What does not burn is none.
        assert_eq!(roots(&chain[..2], unchanged), ["b", "-"]);
    }

    #[test]
    fn a_dependency_that_fails_much_less_is_not_the_cause() {
        let made: &Made<'_> = &[("a", 0.4, &["b", "c"]), ("b", 0.03, &[]), ("c", 0.3, &[])];
        assert_eq!(roots(made, unchanged), ["c", "-", "-"]);
        assert_eq!(roots(&made[..2], unchanged), ["-", "-"]);
        // What it refuses counts as well.
        let refuses = |name: &str, suspect: &mut Suspect<'_>| {
            suspect.all_share += if name == "b" { 0.2 } else { 0.0 };
        };
        assert_eq!(roots(&made[..2], refuses), ["b", "-"]);
        // But one that was stays so.
        let kept = |name: &str, suspect: &mut Suspect<'_>| {
            suspect.blames = (name == "a").then_some("b");
        };
        assert_eq!(roots(made, kept), ["b", "-", "-"]);
    }

    #[test]
    fn nobody_defers_to_where_nothing_is_decided_or_nothing_helps() {
        let made: &Made<'_> = &[("a", 0.2, &["b"]), ("b", 0.2, &[])];
        let observed = |name: &str, suspect: &mut Suspect<'_>| {
            if name == "b" {
                suspect.mode = Mode::Observe;
            }
        };
        assert_eq!(roots(made, observed), ["-", "-"]);
        let helpless = |name: &str, suspect: &mut Suspect<'_>| {
            suspect.is_helpless = name == "b";
            suspect.blames = (name == "a").then_some("b");
        };
        assert_eq!(roots(made, helpless), ["-", "-"]);
        let observes = |name: &str, suspect: &mut Suspect<'_>| {
            if name == "a" {
                suspect.mode = Mode::Observe;
            }
        };
        assert_eq!(roots(made, observes), ["b", "-"]);
    }

    #[test]
    fn a_circle_is_no_cause_and_hides_none() {
        let circle: &Made<'_> = &[("a", 0.2, &["b"]), ("b", 0.2, &["a"])];
        assert_eq!(roots(circle, unchanged), ["-", "-"]);
        let beside: &Made<'_> = &[("a", 0.2, &["b", "c"]), ("b", 0.2, &["a"]), ("c", 0.2, &[])];
        assert_eq!(roots(beside, unchanged), ["c", "c", "-"]);
        let before: &Made<'_> = &[("a", 0.2, &["b"]), ("b", 0.2, &["c"]), ("c", 0.2, &["b"])];
        let found = roots(before, unchanged);
        assert_ne!(found[0], "-", "one of the circle");
        assert_eq!(found[1..], ["-", "-"]);
    }
}
