//! How often actuators turn, and whether they do so ever more rarely.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_governor::Actuator;

use crate::governing::{Decisions, Noted};

const HOUR: Duration = Duration::from_secs(3_600);
/// What is moved again so soon after it was taken back has been missed: the bound of the governor.
const MISSED_WITHIN: Duration = Duration::from_secs(300);
/// The governor waits for so long before it takes back what is moved for the first time.
const HOLD: f64 = 15.0;
const HOLD_MAX: f64 = 3_600.0;

/// See the module's docs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// The most moves of one actuator of one service within an hour.
    pub an_hour: usize,
    /// How often in a row an actuator was moved from zero again soon after it had gone back to it, at most.
    pub in_a_row: u32,
    /// How often one that was missed before was held for less than twice as long as it had to be before: never, by the
    /// governor's rules.
    pub too_short: u32,
}

impl Turns {
    /// The worst of both.
    pub(super) fn worst(self, other: Self) -> Self {
        Self {
            an_hour: self.an_hour.max(other.an_hour),
            in_a_row: self.in_a_row.max(other.in_a_row),
            too_short: self.too_short + other.too_short,
        }
    }
}

/// Of a run's decisions.
pub fn turns(decisions: &Decisions) -> Turns {
    let mut by_actuator: BTreeMap<(u32, &str, Actuator), Vec<&Noted>> = BTreeMap::new();
    for noted in &decisions.noted {
        if let Some((actuator, ..)) = noted.moved {
            let of = (noted.gateway, noted.service.as_str(), actuator);
            by_actuator.entry(of).or_default().push(noted);
        }
    }
    let mut turns = Turns::default();
    for moves in by_actuator.values() {
        turns.an_hour = turns.an_hour.max(in_an_hour(moves));
        let (in_a_row, too_short) = missed(moves);
        turns.in_a_row = turns.in_a_row.max(in_a_row);
        turns.too_short += too_short;
    }
    turns
}

fn in_an_hour(moves: &[&Noted]) -> usize {
    let mut most = 0;
    for (index, first) in moves.iter().enumerate() {
        let within = moves.iter().skip(index);
        let within = within.take_while(|it| it.at < first.at + HOUR);
        most = most.max(within.count());
    }
    most
}

/// How often in a row it rose from zero soon after it had come back to it; and how often it was held shorter than that
/// asks for.
fn missed(moves: &[&Noted]) -> (u32, u32) {
    let (mut most, mut in_a_row, mut too_short) = (0, 0_u32, 0);
    let (mut rose, mut back) = (None, None::<Duration>);
    for noted in moves {
        match noted.moved {
            Some((_, 0, _)) => {
                let soon = back.is_some_and(|back| noted.at - back < MISSED_WITHIN);
                in_a_row = if soon { in_a_row + 1 } else { 0 };
                most = most.max(in_a_row);
                rose = Some(noted.at);
            }
            Some((_, _, 0)) => {
                let held = rose.map(|rose| (noted.at - rose).as_secs_f64());
                let ended = noted.because == Some("ended");
                let reviewed = noted.because == Some("review");
                let least = (HOLD * libm::pow(2.0, f64::from(in_a_row))).min(HOLD_MAX);
                too_short += u32::from(ended && held.is_some_and(|held| held < least));
                back = (ended || reviewed).then_some(noted.at);
            }
            _ => (),
        }
    }
    (most, too_short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(at: u64, from: u8, to: u8, because: &'static str) -> Noted {
        Noted {
            at: Duration::from_secs(at),
            gateway: 0,
            service: "shop".to_owned(),
            what: "move",
            moved: Some((Actuator::Retry, from, to)),
            because: Some(because),
            text: String::new(),
        }
    }

    #[test]
    fn one_that_comes_again_soon_must_be_held_for_longer() {
        let mut decisions = Decisions {
            noted: vec![
                noted(100, 0, 1, "burns"),
                noted(140, 1, 0, "ended"),
                noted(200, 0, 1, "burns"),
                noted(229, 1, 0, "ended"),
            ],
            ..Decisions::default()
        };
        let expected = Turns {
            an_hour: 4,
            in_a_row: 1,
            too_short: 1,
        };
        assert_eq!(turns(&decisions), expected);
        // What did not help was not missed; what was long ago neither.
        decisions.noted[1].because = Some("no-effect");
        assert_eq!(
            (turns(&decisions).in_a_row, turns(&decisions).too_short),
            (0, 0)
        );
        decisions.noted[1] = noted(140, 1, 0, "ended");
        decisions.noted[3].at = Duration::from_secs(230);
        assert_eq!(turns(&decisions).too_short, 0);
        decisions.noted[2].at = Duration::from_secs(3_700);
        decisions.noted[3].at = Duration::from_secs(3_716);
        assert_eq!(
            (turns(&decisions).in_a_row, turns(&decisions).an_hour),
            (0, 3)
        );
    }
}
