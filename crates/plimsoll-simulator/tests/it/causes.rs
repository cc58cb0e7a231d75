//! Goal: of what may be behind a burn the true cause is named first.
//!
//! Method: of each kind, with its cause known, the first incident that somebody is called for, by request, through the pieces of
//! production. Many seeds: `cargo xtask soak causes`.

use std::sync::Mutex;

use plimsoll_simulator::incidents::{Kind, Outcome, run};

/// Of those of the kinds.
const RIGHT_MIN: usize = 18;

#[test]
fn of_twenty_incidents_the_cause_ranks_first_in_eighteen() {
    let (kinds, done) = (Mutex::new(Kind::ALL.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(kind) = kinds.lock().unwrap().next() else {
                        return;
                    };
                    let mut outcomes = (101..=109).map(|seed| run(*kind, seed));
                    let outcome = outcomes.find(Outcome::is_called).unwrap();
                    done.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let done = done.into_inner().unwrap();
    let missed = done.iter().filter(|it| !it.is_right());
    let missed: Vec<String> = missed.map(said).collect();
    assert!(done.len() - missed.len() >= RIGHT_MIN, "{missed:#?}");
    assert!(
        done.iter()
            .all(|it| it.error_seconds.is_none_or(|off| off <= 30)),
        "onsets are found"
    );
}

#[test]
fn the_same_seed_is_the_same_incident() {
    let found = || run(Kind::TenantFlood, 2).onset;
    assert!(found().is_some());
    assert_eq!(found(), found());
}

fn said(outcome: &Outcome) -> String {
    format!(
        "{}: {} has rank {:?}, first is {:?}",
        outcome.kind.name(),
        outcome.cause,
        outcome.rank,
        outcome.first().map(|it| &it.what)
    )
}
