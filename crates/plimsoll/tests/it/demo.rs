//! Goal: `plimsoll demo` runs as a user starts it, reports on both arms, and its figures move in the direction
//! that this version is to move them in.
//!
//! Method: the short run, as JSON. A machine that is too busy makes the figures void, which the demo says
//! itself; then they are not judged.

use plimsoll_demo::{PhaseKind, Report, contradictions};

use crate::child::program;

#[test]
fn the_demo_reports_on_both_arms_and_helps_where_it_must() {
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
    for kind in [PhaseKind::Calm, PhaseKind::CrashedEndpoint] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for arm in &report.arms {
        assert_eq!(arm.phases.len(), report.phases.len());
    }
    assert_eq!(contradictions(&report), Vec::<String>::new());
}
