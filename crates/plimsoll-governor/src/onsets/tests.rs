use plimsoll_core::Mode;
use plimsoll_measure::{Strength, SuspectKind};

use super::*;
use crate::governor::ServiceParameters;

/// A minute of failures that began at second 600 of a run whose last second is 659.
struct World {
    onsets: Onsets,
    governor: Governor,
    look: Look,
}

fn now() -> Timestamp {
    Timestamp::from_seconds(100_000)
}

fn target() -> Ratio {
    Ratio::of(999, 1_000).unwrap()
}

impl World {
    fn new() -> Self {
        let service = |depends_on: &[&str]| ServiceParameters {
            tier: 1,
            mode: Mode::Enforce,
            objectives: vec![("availability".to_owned(), target())],
            depends_on: depends_on.iter().map(|it| (*it).to_owned()).collect(),
            ..ServiceParameters::default()
        };
        let services = [
            ("shop", service(&["payments"])),
            ("payments", service(&["bank"])),
            ("bank", service(&[])),
            ("other", service(&[])),
        ];
        let services = services.map(|(name, service)| (name.to_owned(), service));
        Self {
            onsets: Onsets::default(),
            governor: Governor::new(Parameters {
                services: services.into(),
                rules: Vec::new(),
            }),
            look: Look {
                judged: Judged {
                    failed: 3_000,
                    ..Judged::default()
                },
                ..Look::default()
            },
        }
    }

    fn change(&mut self, ago: u64, scope: Scope, what: &str) {
        let change = Change::made(before(now(), ago), scope, what);
        self.onsets.on_change(change);
    }

    /// Half of all fails from second 600 on.
    fn fails(&mut self, service: &str) {
        self.comes(service, 600, (100, 0), (50, 50));
    }

    fn comes(&mut self, service: &str, from: u64, quiet: (u64, u64), after: (u64, u64)) {
        for second in 0..660 {
            let (good, bad) = if second < from { quiet } else { after };
            let tally = Tally { good, bad };
            self.onsets
                .on_second(service, "availability", second, tally);
        }
    }

    /// The parts before, a minute each, and of late.
    fn parts(&mut self, kind: PartKind, parts: &[(&str, Tally, Tally)]) {
        let part = |name: &str, tally| Part {
            kind,
            name: name.to_owned(),
            tally,
        };
        for minute in 1..=5 {
            let before = parts.iter().map(|(name, before, _)| part(name, *before));
            let at = now().as_seconds() - 660 + 60 * minute;
            self.onsets
                .on_minute("shop", "availability", at, || before.collect());
        }
        let late = parts.iter().map(|(name, _, late)| part(name, *late));
        self.look.parts.extend(late);
    }

    fn said(&mut self, second: u64) -> Vec<(String, OnsetView)> {
        let Self {
            onsets,
            governor,
            look,
        } = self;
        onsets.due(second, now(), governor, |_, _| look.clone())
    }

    fn found(&mut self) -> OnsetView {
        self.onsets.on_page("shop", "availability", target(), 659);
        self.said(659).remove(0).1
    }
}

fn tally(good: u64, bad: u64) -> Tally {
    Tally { good, bad }
}

fn suspects(onset: &OnsetView) -> Vec<(&str, String)> {
    let suspects = onset.suspects.iter();
    suspects.map(|it| (it.what.as_str(), it.word())).collect()
}

#[test]
fn the_change_just_before_the_onset_comes_first_and_what_came_later_is_left_out() {
    let mut world = World::new();
    world.change(7_200, Scope::All, "too old");
    world.change(1_000, Scope::All, "configuration a is in force");
    world.change(62, Scope::All, "configuration b is in force");
    world.change(61, Scope::service("other"), "of another service");
    world.change(20, Scope::All, "what somebody did about it");
    world.fails("shop");
    let onset = world.found();
    assert_eq!(onset.at, before(now(), 59));
    let changes: Vec<(&str, bool, i64)> = onset
        .changes
        .iter()
        .map(|it| (it.what.as_str(), it.within, it.seconds_before))
        .collect();
    assert_eq!(
        changes,
        [
            ("configuration b is in force", true, 3),
            ("configuration a is in force", false, 941)
        ]
    );
    let suspects = suspects(&onset);
    let very_likely = "very likely".to_owned();
    assert_eq!(suspects[0], ("configuration b is in force", very_likely));
    let later = ("what somebody did about it", "follows 1".to_owned());
    assert!(suspects.contains(&later), "{suspects:?}");
    assert!(world.said(700).is_empty(), "not yet");
    assert_eq!(world.said(719).len(), 1, "once more");
    assert!(world.said(10_000).is_empty());
    let onsets = &mut world.onsets;
    assert_eq!(onsets.of("shop").len(), 1);
    onsets.on_resolved("shop", "availability");
    assert!(onsets.of("shop").is_empty());
    // Nor does it come back where it ends before it is looked for again.
    onsets.on_page("shop", "availability", target(), 10_100);
    assert_eq!(world.said(10_100).len(), 1);
    world.onsets.on_resolved("shop", "availability");
    assert!(world.said(10_200).is_empty());
    assert!(world.onsets.of("shop").is_empty());
}

#[test]
fn of_changes_within_the_interval_the_nearest_before_the_likeliest_second_comes_first() {
    let mut world = World::new();
    for (ago, what) in [(48, "after"), (52, "just before"), (58, "before")] {
        world.change(ago, Scope::All, what);
    }
    for ago in 0..1_000 {
        let at = before(now(), 1_050 - ago);
        let gone = ChangeKind::EndpointGone;
        let change = Change::endpoint(at, "shop", "b", gone, "endpoint");
        world.onsets.on_change(change);
    }
    let ago = Ago {
        likeliest: 50,
        earliest: 60,
        latest: 45,
    };
    let ranked = world.onsets.ranked("shop", now(), ago);
    let ranked: Vec<&str> = ranked.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(ranked[..4], ["just before", "before", "after", "endpoint"]);
}

#[test]
fn a_dependency_that_burnt_earlier_comes_before_a_change_of_the_service_itself() {
    let mut world = World::new();
    world.change(
        60,
        Scope::service("shop"),
        "configuration: service.shop.protect",
    );
    world.fails("shop");
    world.comes("payments", 595, (100, 0), (40, 60));
    let onset = world.found();
    let first = &onset.suspects[0];
    assert_eq!(first.kind, SuspectKind::Dependency);
    assert_eq!(first.what, "payments, which shop depends on, burns too");
    // The end of the chain comes before what only passes it on.
    world.comes("bank", 592, (100, 0), (20, 80));
    let onset = world.found();
    let [first, second, ..] = onset.suspects.as_slice() else {
        panic!("{onset:?}");
    };
    assert_eq!(first.what, "bank, which shop depends on, burns too");
    assert_eq!(second.word(), "follows 1");
    // One that fails much less than the service does not explain it.
    let mut world = World::new();
    world.change(
        60,
        Scope::service("shop"),
        "configuration: service.shop.protect",
    );
    world.fails("shop");
    world.comes("payments", 595, (100, 0), (97, 3));
    let onset = world.found();
    assert_eq!(onset.suspects[0].kind, SuspectKind::Change, "{onset:?}");
}

#[test]
fn failures_of_one_endpoint_speak_for_it_and_against_a_change_of_all() {
    let quiet = tally(2_000, 1);
    let parts = [
        ("a", quiet, tally(1_998, 2)),
        ("b", quiet, tally(10, 1_990)),
        ("c", quiet, tally(1_999, 1)),
    ];
    let mut world = World::new();
    world.change(60, Scope::All, "configuration b is in force");
    world.fails("shop");
    world.parts(PartKind::Endpoint, &parts);
    let onset = world.found();
    let first = &onset.suspects[0];
    assert_eq!(
        (first.kind, first.what.as_str()),
        (SuspectKind::Endpoint, "endpoint b fails")
    );
    let split = first.split.unwrap();
    assert_eq!((split.inside_bad, split.inside), (1_990, 2_000));
    // But a restart of that endpoint explains that it fails.
    let at = before(now(), 61);
    let came = ChangeKind::EndpointCame;
    let change = Change::endpoint(at, "shop", "b", came, "endpoint b is up");
    world.onsets.on_change(change);
    let onset = world.found();
    let words: Vec<String> = onset.suspects.iter().map(|it| it.word()).collect();
    assert_eq!(onset.suspects[0].kind, SuspectKind::EndpointSet);
    assert_eq!(onset.suspects[0].strength, Strength::VeryLikely);
    assert_eq!(words[1], "follows 1");
}

#[test]
fn what_is_even_and_what_could_not_be_seen_is_said() {
    let mut world = World::new();
    world.fails("shop");
    world.comes("payments", 600, (100, 0), (100, 0));
    let quiet = tally(2_000, 1);
    let alike = [("a", quiet, tally(990, 10)), ("b", quiet, tally(980, 20))];
    world.parts(PartKind::Endpoint, &alike);
    world.parts(PartKind::Route, &[("all", quiet, tally(1_970, 30))]);
    let onset = world.found();
    assert_eq!(
        onset.even,
        [
            "endpoints: 1.0 % to 2.0 % bad on all 2",
            "demand: 100 requests/s before, 100 since",
            "dependencies: payments as before",
        ]
    );
    assert_eq!(
        onset.unseen,
        [
            "routes: there is one only",
            "tenants: none are known",
            "versions: none are known",
            "dependencies: of bank no objective tells",
        ]
    );
    let [only] = onset.suspects.as_slice() else {
        panic!("{:?}", onset.suspects);
    };
    assert_eq!(
        (only.kind, only.strength),
        (SuspectKind::Service, Strength::Possible)
    );
}

#[test]
fn more_requests_are_a_suspect_where_they_are_late_or_refused_and_one_tenant_has_them() {
    let mut world = World::new();
    world.change(90, Scope::All, "configuration b is in force");
    world.comes("shop", 600, (100, 0), (120, 80));
    world.look.judged = Judged {
        late: 1_000,
        refused: 4_000,
        ..Judged::default()
    };
    let onset = world.found();
    assert_eq!(onset.suspects[0].kind, SuspectKind::Surge, "{onset:?}");
    let quiet = tally(2_000, 1);
    let parts = [
        ("gold", quiet, tally(2_000, 500)),
        ("flood", quiet, tally(5_000, 4_000)),
    ];
    world.parts(PartKind::Tenant, &parts);
    let onset = world.found();
    assert_eq!(onset.suspects[0].kind, SuspectKind::Tenant, "{onset:?}");
    assert!(
        onset.suspects[0]
            .what
            .starts_with("tenant flood asks for much more")
    );
    let surge = onset
        .suspects
        .iter()
        .find(|it| it.kind == SuspectKind::Surge);
    assert_eq!(surge.unwrap().word(), "follows 1");
    // Errors are not what more requests alone make.
    world.look.judged = Judged {
        failed: 5_000,
        ..Judged::default()
    };
    world.look.parts.clear();
    let onset = world.found();
    let surge = &onset.suspects[0];
    assert_eq!(
        (surge.kind, surge.strength),
        (SuspectKind::Surge, Strength::Possible)
    );
    let errors = surge
        .evidence
        .iter()
        .find(|it| it.says.contains("is an error"));
    assert!(!errors.unwrap().supports, "{surge:?}");
}

#[test]
fn failures_that_follow_the_steps_of_a_change_speak_for_it() {
    let mut world = World::new();
    let mut step = |ago: u64, from: f64, to: f64| {
        world.onsets.on_change(Change {
            dose: Some(Dose {
                name: "shed level".to_owned(),
                from,
                to,
            }),
            ..Change::made(before(now(), ago), Scope::service("shop"), "shed level")
        });
    };
    step(60, 0.0, 1.0);
    step(30, 1.0, 2.0);
    world.comes("shop", 600, (100, 0), (90, 10));
    for second in 630..660 {
        let more = tally(0, 20);
        world.onsets.on_second("shop", "availability", second, more);
    }
    let onset = world.found();
    let first = &onset.suspects[0];
    let dose = first
        .evidence
        .iter()
        .find(|it| it.says.starts_with("bad by"));
    let dose = dose.unwrap_or_else(|| panic!("{first:?}"));
    assert!(dose.supports, "{}", dose.says);
}
