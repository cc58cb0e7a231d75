//! Goal: `plimsoll demo` runs as a user starts it, reports on both arms, and its figures move in the direction
//! that this version is to move them in: critical requests get through, and one that floods harms no other.
//!
//! Method: the short run, as JSON, on a machine that does nothing else: two tests beside it are a third load that
//! neither arm expects. So it is ignored here, and `cargo xtask test` runs it by itself. A machine that is too busy
//! makes the figures void, which the demo says itself; then they are not judged. What they contradict must show in
//! a second run too, since the phases are of a few seconds. How much must be helped, and where, is in
//! `plimsoll_demo::contradictions`.

use plimsoll_demo::{PhaseKind, Report, contradictions};

use crate::child::program;

#[test]
#[ignore = "by itself, on a machine that does nothing else: `cargo xtask test` does so"]
fn the_demo_reports_on_both_arms_and_helps_where_it_must() {
    let first = contradictions(&run());
    if first.is_empty() {
        return;
    }
    println!("{first:#?}\nonce more");
    let both: Vec<_> = contradictions(&run())
        .into_iter()
        .filter(|text| first.iter().any(|other| subject(other) == subject(text)))
        .collect();
    assert_eq!(both, Vec::<String>::new());
}

/// The phase and what was contradicted, without the figures.
fn subject(contradiction: &str) -> &str {
    let (subject, _) = contradiction
        .split_once("% without")
        .unwrap_or((contradiction, ""));
    subject.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.')
}

/// The report of one short run, after what holds whatever the figures are.
fn run() -> Report {
    let output = program()
        .args(["demo", "--short", "--json", "--seed", "7"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}), {}: {said}", output.status));
    let void = !report.void.is_empty();
    assert_eq!(output.status.code(), Some(i32::from(void)), "{said}");
    let kinds: Vec<_> = report.phases.iter().map(|phase| phase.kind).collect();
    // Of scenes of their own.
    let others = [PhaseKind::OriginDown, PhaseKind::BadDeploy];
    let of_a_day = PhaseKind::ALL.iter().filter(|kind| !others.contains(kind));
    assert!(kinds.iter().eq(of_a_day), "{kinds:?}");
    for arm in &report.arms {
        assert_eq!(arm.phases.len(), report.phases.len());
        // Every phase has all classes, and no request is in two places.
        for figures in &arm.phases {
            let ends = [
                figures.good,
                figures.late,
                figures.failed,
                figures.refused,
                figures.gave_up,
            ];
            assert_eq!(ends.iter().sum::<u64>(), figures.offered, "{figures:?}");
            assert!(figures.classes.iter().all(|class| class.offered > 0));
            let refused: u64 = figures.classes.iter().map(|class| class.refused).sum();
            assert_eq!(refused, figures.refused);
        }
    }
    let journal = report.journal.as_deref().unwrap_or_default();
    assert!(journal.starts_with("whole: "), "{:?}", report.notes);
    assert!(
        !report.events.is_empty(),
        "a crashed endpoint is down at least"
    );
    // Printed where the test fails, or is asked to show what it says.
    println!("void: {:?}\n{:#?}", report.void, report.arms);
    report
}

/// What was decided does not need a quiet machine: a slow dependency is slow on a busy one too.
#[test]
fn a_slow_dependency_is_decided_at_the_dependency_and_the_journal_says_so() {
    let output = program()
        .args(["demo", "slow-dependency", "--short", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}), {}: {said}", output.status));
    let kinds: Vec<_> = report.phases.iter().map(|phase| phase.kind).collect();
    assert_eq!(
        kinds,
        [
            PhaseKind::Calm,
            PhaseKind::SlowDependency,
            PhaseKind::Recovery
        ]
    );
    let journal = report.journal.as_deref().unwrap_or_default();
    assert!(journal.starts_with("whole: "), "{:?}", report.notes);
    let says = |service: &str, what: &str| {
        let mut events = report.events.iter();
        events.any(|event| event.service == service && event.what.contains(what))
    };
    assert!(says("recommendations", "severe"), "{:#?}", report.events);
    // A step, or that none can help: the decision is there.
    assert!(
        says("recommendations", "is refused")
            || says("recommendations", "nothing that may be moved can help"),
        "{:#?}",
        report.events
    );
    assert!(
        says(
            "checkout",
            "burns because recommendations does: decided there"
        ),
        "{:#?}",
        report.events
    );
}

/// What was stored stands in for a service that is gone; nobody is told that a change was made. How fast, and how much
/// comes to the service once it is back, needs a quiet machine: the demo prints it.
#[test]
fn reads_are_answered_while_the_catalogue_is_gone_and_writes_are_refused() {
    let output = program()
        .args(["demo", "origin-down", "--short", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}), {}: {said}", output.status));
    let gone = report
        .rows()
        .find(|(phase, _, _)| phase.kind == PhaseKind::OriginDown);
    let (_, without, with) = gone.unwrap();
    println!("{without:#?}\n{with:#?}\n{:?}", report.origin);
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    // In so short a time not everything was asked for before.
    assert!(share(with.reads.good, with.reads.offered) > 0.7);
    assert!(with.reads.stale > 0);
    assert!(share(without.reads.good, without.reads.offered) < 0.5);
    // The first may have been under way when it went, and the last when it came back.
    assert!(share(with.writes.good, with.writes.offered) < 0.2);
    assert!(share(with.writes.told, with.writes.offered) > 0.7);
    assert!(report.origin.is_some_and(|origin| origin.most[1] > 0.0));
}

/// A version is judged by what both did at the same time, so that a busy machine makes neither worse. How many are hurt by errors
/// needs no quiet machine either; how many are refused does, and the demo prints it.
#[test]
fn a_bad_version_is_undone_and_hurts_fewer_than_a_rolling_deploy_of_it() {
    let output = program()
        .args(["demo", "bad-deploy", "--short", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no report ({error}), {}: {said}", output.status));
    let bad = report
        .rows()
        .find(|(phase, _, _)| phase.kind == PhaseKind::BadDeploy);
    let (_, without, with) = bad.unwrap();
    let deploy = report.deploy.unwrap();
    println!("{without:#?}\n{with:#?}\n{deploy:#?}\n{:#?}", report.events);
    let journal = report.journal.as_deref().unwrap_or_default();
    assert!(journal.starts_with("whole: "), "{:?}", report.notes);
    // Caught, and then undone, by what the journal says.
    let (stopped, undone) = (deploy.stopped_at.unwrap(), deploy.undone_at.unwrap());
    assert!(0.0 < stopped && stopped < undone, "{deploy:?}");
    // The version was asked on both sides, and far fewer were hurt by it where it was undone.
    let [of_all, of_few] = deploy.requests;
    assert!(0 < of_few && of_few * 4 < of_all, "{deploy:?}");
    let (without, with) = (without.users, with.users);
    assert_eq!(
        (without.requests, without.asked),
        (with.requests, with.asked)
    );
    assert!(
        0 < with.hurt && with.hurt * 2 < without.hurt,
        "{with:?} {without:?}"
    );
}
