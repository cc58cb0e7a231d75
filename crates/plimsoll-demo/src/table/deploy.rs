//! What a bad version did to users, and how soon it was stopped.

use std::fmt::Write;

use super::count;
use crate::deploy::{FIRST_STEP, endpoints};
use crate::plan::PhaseKind;
use crate::report::{DeployFigures, PhaseReport, Report, UserFigures};

/// The lines about it, where the report has them.
pub(super) fn deploy(out: &mut String, report: &Report) {
    let bad = report
        .rows()
        .find(|(phase, _, _)| phase.kind == PhaseKind::BadDeploy);
    let (Some(deploy), Some((phase, without, with))) = (report.deploy, bad) else {
        return;
    };
    let users = [without.users, with.users];
    let title = format!(
        "A catalogue version that fails {:.0}% of its requests",
        deploy.fails * 100.0
    );
    // Writing to a `String` can't fail, here and below.
    let _ = writeln!(out, "{title:<54}   without   with");
    let mut line = |what: &str, [a, b]: [String; 2]| {
        let _ = writeln!(out, "  {what:<52}   {a:>7} {b:>6}");
    };
    line("requests that the version got", deploy.requests.map(count));
    let [asked, _] = users.map(|it| it.asked);
    let hurt = format!("users who got an error, of {} who asked", count(asked));
    line(&hurt, users.map(|it| count(it.hurt)));
    let [requests, _] = users.map(|it| it.requests);
    let failed = format!("requests that failed, of {}", count(requests));
    line(&failed, users.map(|it| count(it.failed)));
    line(
        "of the worst second, failed",
        users.map(|it: UserFigures| percent(it.worst_second)),
    );
    line(
        "requests that were refused, or not answered in 2 s",
        users.map(|it| count(it.unanswered)),
    );
    let _ = writeln!(
        out,
        "  without: a rolling deploy, one of {} endpoints every {:.0} s; checks see nothing wrong. It is rolled back by a person \
         who has noticed after {:.0} s.",
        endpoints(),
        deploy.every_seconds,
        phase.seconds,
    );
    let _ = writeln!(
        out,
        "  with: a rollout that begins with {FIRST_STEP}% of the users; {}.\n",
        became(&deploy, phase)
    );
}

/// What became of the version in a rollout.
fn became(deploy: &DeployFigures, phase: &PhaseReport) -> String {
    match (deploy.stopped_at, deploy.undone_at) {
        (Some(stopped), Some(undone)) if stopped < undone => {
            format!(
                "it got nothing from {stopped:.1} s on, was tried once more, and was undone after {undone:.1} s"
            )
        }
        (_, Some(undone)) => format!("it was undone after {undone:.1} s"),
        (Some(stopped), None) => {
            format!(
                "it got nothing from {stopped:.1} s on, and WAS NOT UNDONE within {:.0} s",
                phase.seconds
            )
        }
        (None, None) => format!("it WAS NOT UNDONE within {:.0} s", phase.seconds),
    }
}

/// What is not as it is by default, for the foot of the table.
pub(super) fn shortened(deploy: &DeployFigures) -> String {
    format!(
        "Shortened for the demo: the rollout judges answers in batches of {:.0} s and cools down for {:.0} s; the defaults are \
         10 s and 2 min. The version might have spent the whole budget of the objectives' hour; by default it is 2% of a period's.",
        deploy.batch_seconds, deploy.cooldown_seconds
    )
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ArmFigures, PhaseFigures};

    #[test]
    fn who_was_hurt_and_how_soon_it_ended_is_said_in_words() {
        insta::assert_snapshot!(said(Some(6.2), Some(21.5)));
    }

    #[test]
    fn what_was_not_undone_is_said_as_loudly() {
        let text = said(Some(6.2), None);
        assert!(text.contains("WAS NOT UNDONE within 60 s"), "{text}");
        let text = said(None, None);
        assert!(text.contains("WAS NOT UNDONE within 60 s"), "{text}");
        let at_once = said(Some(6.2), Some(6.2));
        assert!(
            at_once.contains("; it was undone after 6.2 s."),
            "{at_once}"
        );
    }

    fn said(stopped_at: Option<f64>, undone_at: Option<f64>) -> String {
        let phase = PhaseReport {
            kind: PhaseKind::BadDeploy,
            title: "bad version".to_owned(),
            seconds: 60.0,
            lag_p99: 0.0,
        };
        let arm = |hurt, failed, worst_second| ArmFigures {
            phases: vec![PhaseFigures {
                users: UserFigures {
                    asked: 1_890,
                    hurt,
                    requests: 5_760,
                    failed,
                    unanswered: 0,
                    worst_second,
                },
                ..PhaseFigures::default()
            }],
        };
        let deploy = DeployFigures {
            fails: 0.3,
            every_seconds: 10.0,
            batch_seconds: 2.0,
            cooldown_seconds: 8.0,
            requests: [4_320, 70],
            stopped_at,
            undone_at,
        };
        let report = Report {
            phases: vec![phase],
            arms: [arm(1_010, 1_296, 0.412), arm(19, 21, 0.07)],
            deploy: Some(deploy),
            ..Report::default()
        };
        let mut out = String::new();
        super::deploy(&mut out, &report);
        out + &shortened(&deploy)
    }
}
