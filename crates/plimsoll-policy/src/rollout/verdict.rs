//! What is known of the canary: batches are closed, bets are settled, and the scores say whether that is a strike.
//!
//! Errors are judged over all requests and on each route, half and half: a route that fails by itself is found though it has
//! little traffic. Errors and what is slower than the objective hurt, and a strike counts these two. The ladder of latencies has
//! evidence of its own: a shape that changed and hurts no objective is a question for a person.
//! An average of evidence is evidence, whatever depends on what.
//! Where the canary has all of the traffic, there is no stable at the same time. Then what stable did before is compared
//! with: the most that its rate plausibly was, and twice that, as nothing tells a bad version from a bad hour.
//! Invariant: batches are closed by time and by numbers of requests only; see `evidence.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rollout::counts::{ArmCounts, Arms, Pair, ROUTES_MAX, RUNGS, Trials};
use crate::rollout::evidence::{Bets, RatioInterval, Ratios};
use crate::rollout::latency::Mixture;
use crate::rollout::parameters::Judging;
use crate::rollout::price::{BOUND_ALPHA, upper};

/// Batches that speak against the canary, or clients, that a strike needs: one burst, or one client's bad minute, is none.
const WORSE_BATCHES_MIN: u32 = 3;
const CLIENTS_MIN: u32 = 3;
/// Errors weigh so much beside what is slower than the objective.
const ERRORS_WEIGHT: f64 = 2.0 / 3.0;
/// How many times stable's former rate is tolerated where it is not there at the same time.
const BEFORE_TOLERATED: f64 = 2.0;

/// How much says that the canary does worse. Of each: 1 says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// In what hurts: errors and the latency objective. This decides.
    pub harm: f64,
    /// In errors, over all requests and by route.
    pub errors: f64,
    /// In what is slower than the objective.
    pub slow: f64,
    /// In the shape of latencies. This asks.
    pub ladder: f64,
    /// In errors, since the rollout began: not forgotten at a strike.
    pub unbroken: f64,
}

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Judge {
    open: Arms,
    age: Duration,
    errors: Bets,
    slow: Bets,
    rungs: [Bets; RUNGS],
    mixtures: [Mixture; RUNGS],
    unbroken: Bets,
    ratios: Ratios,
    routes: Vec<Route>,
    /// All that is in closed batches.
    closed: Arms,
    batches: u32,
    /// Batches that spoke against the canary since it was last judged anew, and all of them.
    worse: u32,
    worse_ever: u32,
    /// What stable did before, while the canary has all of the traffic.
    before: Option<Known>,
    /// What all of this comes to: ticks are many, and batches few.
    scores: Scores,
}

/// One route, in errors only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Route {
    open: Pair,
    age: Duration,
    errors: Bets,
}

/// Rates that are at most plausible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    errors: f64,
    slow: f64,
    rungs: [f64; RUNGS],
}

impl Judge {
    pub(super) fn new(routes: usize, judging: &Judging) -> Self {
        let mut new = Self {
            routes: vec![Route::default(); routes.min(ROUTES_MAX + 1)],
            ..Self::default()
        };
        new.score(judging);
        new
    }

    /// What came in the time since the last call, in all and by route. True if a batch of the whole was closed.
    pub(super) fn on_time(
        &mut self,
        elapsed: Duration,
        all: &Arms,
        by_route: impl Iterator<Item = Arms>,
        judging: &Judging,
    ) -> bool {
        let mut any = false;
        for (route, came) in self.routes.iter_mut().zip(by_route) {
            route.open.add(&came.errors());
            route.age += elapsed;
            let (n_c, n_s) = (route.open.canary.requests, route.open.stable.requests);
            // Routes have nothing known from before: where there is no stable, the whole is judged.
            if self.before.is_none() && judging.batch.is_full(route.age, n_c, n_s) {
                route.close(judging);
                any = true;
            }
        }
        self.open.add(all);
        self.age += elapsed;
        let n_c = self.open.canary.requests;
        let n_s = match self.before {
            Some(_) => n_c,
            None => self.open.stable.requests,
        };
        let full = judging.batch.is_full(self.age, n_c, n_s);
        if full {
            self.close_whole(judging);
        }
        if full || any {
            self.score(judging);
        }
        full
    }

    /// Closes what is open, as the weight is about to change.
    pub(super) fn close(&mut self, judging: &Judging) {
        for route in &mut self.routes {
            route.close(judging);
        }
        self.close_whole(judging);
        self.score(judging);
    }

    /// From now on there is no stable to compare with; it did this before.
    pub(super) fn without_stable(&mut self, before: &ArmCounts) {
        let at_most = |trials: Trials| BEFORE_TOLERATED * upper(trials, BOUND_ALPHA);
        self.before = (before.requests > 0).then(|| Known {
            errors: at_most(before.errors()),
            slow: at_most(before.slow()),
            rungs: std::array::from_fn(|rung| at_most(before.slower(rung))),
        });
    }

    /// From now on there is.
    pub(super) fn with_stable(&mut self) {
        self.before = None;
    }

    /// After a strike: evidence begins anew; what is open is dropped. The price's evidence stays.
    pub(super) fn begin_anew(&mut self, judging: &Judging) {
        self.open = Arms::default();
        self.age = Duration::ZERO;
        self.errors = Bets::default();
        self.slow = Bets::default();
        self.worse = 0;
        self.routes.fill(Route::default());
        self.forget_ladder(judging);
    }

    /// A person has seen that latencies have another shape.
    pub(super) fn forget_ladder(&mut self, judging: &Judging) {
        self.rungs = Default::default();
        self.mixtures = Default::default();
        self.score(judging);
    }

    pub(super) fn scores(&self) -> Scores {
        self.scores
    }

    /// Whether more than one burst or one client spoke against the canary, of so many clients with bad answers.
    pub(super) fn is_more_than_one(&self, clients: u32) -> bool {
        self.worse >= WORSE_BATCHES_MIN || clients >= CLIENTS_MIN
    }

    /// The same of the whole rollout, by batches only.
    pub(super) fn was_often_worse(&self) -> bool {
        self.worse_ever >= WORSE_BATCHES_MIN
    }

    pub(super) fn batches(&self) -> u32 {
        self.batches
    }

    pub(super) fn worse_batches(&self) -> u32 {
        self.worse_ever
    }

    /// All that is in closed batches.
    pub(super) fn closed(&self) -> &Arms {
        &self.closed
    }

    pub(super) fn ratio(&self, alpha: f64) -> RatioInterval {
        self.ratios.interval(alpha)
    }

    /// The route with the most evidence in errors, if it has any.
    pub(super) fn worst_route(&self) -> Option<(usize, f64)> {
        let of_routes = self.routes.iter().map(|it| it.errors.evidence());
        let worst = of_routes.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        worst.filter(|(_, evidence)| *evidence > 1.0)
    }

    fn score(&mut self, judging: &Judging) {
        let whole = self.errors.evidence();
        let by_route: f64 = self.routes.iter().map(|it| it.errors.evidence()).sum();
        let errors = match self.routes.len() {
            0 => whole,
            routes => 0.5 * (whole + by_route / routes as f64),
        };
        let slow = self.slow.evidence();
        self.scores = Scores {
            harm: if judging.latency_objective {
                ERRORS_WEIGHT * errors + (1.0 - ERRORS_WEIGHT) * slow
            } else {
                errors
            },
            errors,
            slow,
            ladder: self.ladder(judging),
            unbroken: self.unbroken.evidence(),
        };
    }

    fn ladder(&self, judging: &Judging) -> f64 {
        let rungs = usize::from(judging.rungs).min(RUNGS);
        if rungs == 0 {
            return 1.0;
        }
        let of_rungs = self.rungs.iter().zip(&self.mixtures).take(rungs);
        let sum: f64 = of_rungs
            .map(|(bets, mixture)| {
                let exact = judging.exact_variance.then(|| mixture.evidence());
                exact.flatten().unwrap_or_else(|| bets.evidence())
            })
            .sum();
        sum / rungs as f64
    }

    fn close_whole(&mut self, judging: &Judging) {
        self.age = Duration::ZERO;
        let batch = std::mem::take(&mut self.open);
        if batch.canary.requests == 0 && batch.stable.requests == 0 {
            return;
        }
        self.batches = self.batches.saturating_add(1);
        self.closed.add(&batch);
        let tolerate = judging.tolerate;
        let worse = match &self.before {
            Some(known) => {
                let against_known = |bets: &mut Bets, trials: Trials, known: f64| {
                    let known = (tolerate * known).min(1.0);
                    let bad = trials.rate()?;
                    bets.on_more_than(bad, known);
                    Some(bad > known)
                };
                let errors = batch.canary.errors();
                against_known(&mut self.unbroken, errors, known.errors);
                for (rung, (bets, known)) in self.rungs.iter_mut().zip(known.rungs).enumerate() {
                    against_known(bets, batch.canary.slower(rung), known);
                }
                let by_errors = against_known(&mut self.errors, errors, known.errors);
                let by_slow = against_known(&mut self.slow, batch.canary.slow(), known.slow);
                by_errors == Some(true) || by_slow == Some(true)
            }
            None => {
                let (errors, slow) = (batch.errors(), batch.slow());
                self.errors.on_worse(&errors, tolerate);
                self.unbroken.on_worse(&errors, tolerate);
                self.ratios.on_batch(&errors);
                self.slow.on_worse(&slow, tolerate);
                let rungs = usize::from(judging.rungs).min(RUNGS);
                let ladder = self.rungs.iter_mut().zip(&mut self.mixtures).take(rungs);
                for (rung, (bets, mixture)) in ladder.enumerate() {
                    let slower = batch.slower(rung);
                    bets.on_worse(&slower, tolerate);
                    mixture.on_batch(&slower);
                }
                let is_worse = |pair: &Pair| pair.shares().is_some_and(|(fair, seen)| seen > fair);
                is_worse(&errors) || (judging.latency_objective && is_worse(&slow))
            }
        };
        self.worse = self.worse.saturating_add(u32::from(worse));
        self.worse_ever = self.worse_ever.saturating_add(u32::from(worse));
    }
}

impl Route {
    fn close(&mut self, judging: &Judging) {
        self.errors.on_worse(&self.open, judging.tolerate);
        self.open = Pair::default();
        self.age = Duration::ZERO;
    }
}
