//! What came of decisions: measured later, and a record of its own that cites the decision.
//!
//! Of a move: what the service did in the ten seconds before it and in the last ten of the time that it was given. Of a
//! page: what it cost until it was over.

use std::time::Duration;

use plimsoll_core::Mode;
use plimsoll_governor::{Decision, Signals, What};
use plimsoll_measure::Counts;
use plimsoll_store::Appended;
use serde_json::{Value, json};

/// Seconds that are compared: the shortest span of a decision's evidence.
const COMPARED: u64 = 10;
/// Outcomes that are waited for at a time; of more, the oldest are left out.
const PENDING_MAX: usize = 1_000;

/// Of all services.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    moves: Vec<Moved>,
    pages: Vec<Paged>,
}

/// An outcome, and the sequence of the decision that it is of, where that is known by now.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) service: String,
    pub(crate) cites: Option<u64>,
    pub(crate) body: Value,
}

#[derive(Debug)]
struct Moved {
    decision: Decision,
    record: Appended,
    /// The second in which its time is over.
    due: u64,
    objective: String,
    before: Counts,
    after: Counts,
}

#[derive(Debug)]
struct Paged {
    service: String,
    objective: String,
    record: Appended,
    second: u64,
    budget_left: Option<f64>,
    since: Counts,
}

impl Outcomes {
    /// Something was decided, and is written as `record`. Says what came of a page that this is the end of.
    pub(super) fn on_decision(
        &mut self,
        second: u64,
        decision: &Decision,
        record: Appended,
    ) -> Option<Outcome> {
        let evidence = decision.evidence.as_ref()?;
        let of_it =
            |it: &Paged| it.service == decision.service && it.objective == evidence.objective;
        match &decision.what {
            What::Move { actuator, .. } if decision.mode == Mode::Enforce => {
                let span = evidence.spans.iter().find(|it| it.seconds == COMPARED)?;
                make_room(&mut self.moves);
                self.moves.push(Moved {
                    decision: decision.clone(),
                    record,
                    due: second + actuator.settle(),
                    objective: evidence.objective.clone(),
                    before: span.counts,
                    after: Counts::default(),
                });
            }
            What::Page(_) if !self.pages.iter().any(of_it) => {
                make_room(&mut self.pages);
                self.pages.push(Paged {
                    service: decision.service.clone(),
                    objective: evidence.objective.clone(),
                    record,
                    second,
                    budget_left: evidence.budget_left,
                    since: Counts::default(),
                });
            }
            What::Resolved => {
                let place = self.pages.iter().position(of_it)?;
                let paged = self.pages.swap_remove(place);
                return Some(paged.outcome(second, evidence.budget_left));
            }
            _ => (),
        }
        None
    }

    /// Only these objectives are there now: what came of the others can't be told.
    pub(super) fn retain(&mut self, there: impl Fn(&str, &str) -> bool) {
        self.moves
            .retain(|it| there(&it.decision.service, &it.objective));
        self.pages.retain(|it| there(&it.service, &it.objective));
    }

    /// A second is over. Says what came of moves whose time is over with it.
    pub(super) fn on_second(
        &mut self,
        second: u64,
        signals: &Signals,
        place: impl Fn(&str, &str) -> Option<usize>,
    ) -> Vec<Outcome> {
        if self.moves.is_empty() && self.pages.is_empty() {
            return Vec::new();
        }
        let counts = |service: &str, objective: &str| {
            let mut services = signals.services.iter();
            let signals = services.find(|it| it.name == service)?;
            Some(signals.objectives.get(place(service, objective)?)?.counts)
        };
        for moved in &mut self.moves {
            // The seconds that come before are still of what was under way.
            if second + COMPARED > moved.due
                && let Some(counts) = counts(&moved.decision.service, &moved.objective)
            {
                moved.after += counts;
            }
        }
        for paged in &mut self.pages {
            if let Some(counts) = counts(&paged.service, &paged.objective) {
                paged.since += counts;
            }
        }
        let (due, later) = std::mem::take(&mut self.moves)
            .into_iter()
            .partition(|it| it.due <= second);
        self.moves = later;
        let due: Vec<Moved> = due;
        due.into_iter().map(Moved::outcome).collect()
    }
}

impl Moved {
    fn outcome(self) -> Outcome {
        let says = match &self.decision.what {
            What::Move { actuator, to, .. } => actuator.says(*to),
            _ => "",
        };
        let share = |counts: Counts| counts.service().bad_share().map(|it| 100.0 * it.get());
        let percent =
            |counts| share(counts).map_or_else(|| "no".to_owned(), |it| format!("{it:.1} %"));
        let rate = |counts: Counts| counts.good as f64 / COMPARED as f64;
        let text = format!(
            "{says}: {} of what was let in failed before, {} after; {:.1} good answers/s before, {:.1} after",
            percent(self.before),
            percent(self.after),
            rate(self.before),
            rate(self.after)
        );
        let body = json!({
            "text": text,
            "of": "move",
            "objective": self.objective,
            "seconds": COMPARED,
            "before": self.before,
            "after": self.after,
        });
        Outcome {
            service: self.decision.service,
            cites: sequence(self.record),
            body,
        }
    }
}

impl Paged {
    fn outcome(self, second: u64, budget_left: Option<f64>) -> Outcome {
        let seconds = second.saturating_sub(self.second);
        let Counts { bad, .. } = self.since;
        let total = self.since.budget().total();
        let mut text = format!(
            "{}: over {} min after the call; {bad} of {total} requests were bad since then",
            self.objective,
            seconds.div_ceil(60)
        );
        if let (Some(before), Some(after)) = (self.budget_left, budget_left) {
            let (before, after) = (100.0 * before, 100.0 * after);
            text.push_str(&format!(
                "; {before:.0} % of the budget were left, now {after:.0} %"
            ));
        }
        let body = json!({
            "text": text,
            "of": "page",
            "objective": self.objective,
            "seconds": seconds,
            "since": self.since,
            "budget_left": { "then": self.budget_left, "now": budget_left },
        });
        Outcome {
            service: self.service,
            cites: sequence(self.record),
            body,
        }
    }
}

/// Where the decision stands in the journal. It was written long ago, or the store fails and that can't be said.
fn sequence(record: Appended) -> Option<u64> {
    record.wait(Duration::ZERO).ok().map(|it| it.sequence)
}

fn make_room<T>(pending: &mut Vec<T>) {
    if pending.len() == PENDING_MAX {
        pending.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::{Ratio, Timestamp};
    use plimsoll_governor::{
        Actuator, Because, Evidence, ObjectiveSignals, Page, ServiceSignals, Span,
    };
    use plimsoll_measure::Urgency;
    use plimsoll_store::{Entry, Keeper, StoreError};

    use super::*;

    struct World {
        keeper: Keeper,
        outcomes: Outcomes,
    }

    impl World {
        fn new() -> Self {
            let never = || Err(StoreError::Invalid("there is none".to_owned()));
            Self {
                keeper: Keeper::new(never, || Timestamp::from_seconds(1)).unwrap(),
                outcomes: Outcomes::default(),
            }
        }

        fn decide(&mut self, second: u64, what: What, left: f64) -> Option<Outcome> {
            let counts = counts(60, 40);
            let decision = Decision {
                service: "shop".to_owned(),
                mode: Mode::Enforce,
                what,
                evidence: Some(Evidence {
                    objective: "availability".to_owned(),
                    target: Ratio::of(99, 100).unwrap(),
                    budget_left: Some(left),
                    spans: vec![Span {
                        seconds: 10,
                        counts,
                    }],
                }),
            };
            let entry = Entry {
                at: Timestamp::from_seconds(1),
                kind: "decision".to_owned(),
                subject: "service/shop".to_owned(),
                cites: None,
                body: Vec::new(),
            };
            let record = self.keeper.append_and_tell(entry);
            self.outcomes.on_decision(second, &decision, record)
        }

        fn second(&mut self, second: u64, counts: Counts) -> Vec<Outcome> {
            let signals = Signals {
                services: vec![ServiceSignals {
                    name: "shop".to_owned(),
                    objectives: vec![ObjectiveSignals {
                        counts,
                        budget_left: None,
                    }],
                    ..ServiceSignals::default()
                }],
            };
            self.outcomes.on_second(second, &signals, |_, _| Some(0))
        }
    }

    fn counts(good: u64, bad_service: u64) -> Counts {
        Counts {
            good,
            bad: bad_service,
            bad_service,
        }
    }

    #[test]
    fn a_move_is_compared_with_the_seconds_after_it_had_its_time() {
        let mut world = World::new();
        let actuator = Actuator::Retry;
        let because = Because::Burns { bad_share: 0.4 };
        let (from, to) = (0, 1);
        let what = What::Move {
            actuator,
            from,
            to,
            because,
        };
        assert!(world.decide(100, what, 0.5).is_none());
        let due = 100 + actuator.settle();
        for second in 101..due {
            // What was under way when it was moved does not count.
            let settled = second + COMPARED > due;
            let counts = if settled {
                counts(9, 1)
            } else {
                counts(0, 100)
            };
            assert!(world.second(second, counts).is_empty());
        }
        let outcomes = world.second(due, counts(9, 1));
        let [outcome] = outcomes.as_slice() else {
            panic!("{outcomes:?}");
        };
        assert_eq!(outcome.body["after"]["good"], 90, "{outcome:?}");
        assert_eq!(
            outcome.body["text"],
            "no retries: 40.0 % of what was let in failed before, 10.0 % after; 6.0 good answers/s before, 9.0 after"
        );
        assert!(world.second(due + 1, counts(9, 1)).is_empty(), "once");
    }

    #[test]
    fn a_page_says_what_it_cost_when_it_is_over() {
        let mut world = World::new();
        let page = What::Page(Page {
            urgency: Urgency::Page,
            burn: 14.4,
            evidence: 1e6,
            bar: 1e5,
        });
        assert!(world.decide(100, page.clone(), 0.5).is_none());
        for second in 101..=220 {
            assert!(world.second(second, counts(9, 1)).is_empty());
        }
        world.outcomes.retain(|service, _| service == "shop");
        let outcome = world.decide(220, What::Resolved, 0.3).unwrap();
        assert_eq!(
            outcome.body["text"],
            "availability: over 2 min after the call; 120 of 1200 requests were bad since then; \
             50 % of the budget were left, now 30 %"
        );
        // Of what is not there any more nothing is said, whatever comes back under its name.
        assert!(world.decide(300, page, 0.5).is_none());
        world.outcomes.retain(|_, _| false);
        assert!(world.decide(400, What::Resolved, 0.3).is_none());
    }
}
