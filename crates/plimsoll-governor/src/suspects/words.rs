//! Evidence in sentences.

use plimsoll_measure::{SidesView, figure};

/// Names that are said; of more it is said how many.
const NAMED_MAX: usize = 3;

/// `a, b and c`, or `a, b and 4 more`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= NAMED_MAX => {
            format!("{} and {last}", first.join(", "))
        }
        [first, second, more @ ..] => format!("{first}, {second} and {} more", more.len()),
    }
}

pub(super) fn percent(share: f64) -> String {
    figure::percent(Some(share), " ")
}

/// `38.0 % bad there (190 of 500), 0.1 % elsewhere (2 of 1500)`.
pub(super) fn two_sides(sides: &SidesView) -> String {
    let share = |bad: u64, all: u64| percent(bad as f64 / all.max(1) as f64);
    let inside = format!(
        "{} bad there ({} of {})",
        share(sides.inside_bad, sides.inside),
        sides.inside_bad,
        sides.inside
    );
    match sides.outside {
        0 => format!("{inside}, nothing came elsewhere"),
        _ => format!(
            "{inside}, {} elsewhere ({} of {})",
            share(sides.outside_bad, sides.outside),
            sides.outside_bad,
            sides.outside
        ),
    }
}

/// `6 endpoints`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
