//! The run as plain lines, for pipes, logs and screen readers: a line per phase and one every two seconds.

use std::io::Write;

use crate::catalogue;
use crate::message::{ArmLive, LoadLive};
use crate::plan::{Phase, Plan};
use crate::report::{Event, command};
use crate::table::{Style, count, duration};

/// Seconds between two lines.
const INTERVAL: f64 = 2.0;

/// Writes lines when it is time to.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    next: f64,
    unread: bool,
}

impl Plain {
    /// Whether a line could not be written because its reader is gone, as after `| head`.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Writes one line.
    pub(crate) fn say(&mut self, line: &str) {
        self.unread |= writeln!(std::io::stdout(), "{line}").is_err();
    }

    /// What is about to be compared, and what was made smaller.
    pub(crate) fn header(
        &mut self,
        seed: u64,
        plan: &Plan,
        titles: &[String; 2],
        notes: &[String],
    ) {
        let [without, with] = titles;
        self.say(&format!(
            "{}   {:.0} s of load   capacity {:.0} requests/s on each side",
            command(plan.scene, seed),
            plan.length().as_secs_f64(),
            catalogue::capacity(),
        ));
        self.say(&format!("without: {without}\nwith:    {with}"));
        self.say(
            "Clients speak HTTP/2 over 16 connections and give up after 2 s; \
             the objective's period is 1 h.",
        );
        notes.iter().for_each(|note| self.say(note));
    }

    /// A phase begins.
    pub(crate) fn on_phase(&mut self, phase: &Phase) {
        let title = phase.title(Style::of_output().ascii);
        self.say(&format!(
            "-- {title}, {:.0} s --",
            phase.length.as_secs_f64().ceil()
        ));
    }

    /// Writes how it goes, if a line is due.
    pub(crate) fn on_live(&mut self, live: &LoadLive) {
        if self.is_due(live.at) {
            let [without, with] = &live.arms;
            self.say(&format!(
                "{:>5.1} s  offered {:>5}/s   without: {}   with: {}",
                live.at,
                count(live.offered.round() as u64),
                arm(without),
                arm(with),
            ));
        }
    }

    /// The right arm did something.
    pub(crate) fn on_event(&mut self, event: &Event) {
        self.say(&format!(
            "{:>5.1} s  Plimsoll: {} {}",
            event.at, event.service, event.what
        ));
    }

    fn is_due(&mut self, at: f64) -> bool {
        let due = at >= self.next.max(1.0);
        if due {
            self.next = at + INTERVAL;
        }
        due
    }
}

fn arm(arm: &ArmLive) -> String {
    let refused: f64 = arm.refused.iter().sum();
    let bad = arm.late + arm.failed + refused + arm.gave_up;
    format!(
        "good {:>3}/s bad {:>5}/s P99 {:>5} waiting {:>5}",
        arm.good.iter().sum::<f64>().round(),
        count(bad.round() as u64),
        duration(arm.p99),
        count(arm.pending as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_two_seconds() {
        let mut plain = Plain::default();
        let lines = (0..80)
            .filter(|tick| plain.is_due(f64::from(*tick) * 0.25))
            .count();
        assert_eq!(lines, 10);
    }
}
