//! The adaptive limiter "line + elasticity": how many requests a service may have in flight.
//!
//! The latency objective `theta` gives an absolute line by Little's law: more in flight than
//! `rate x share x theta` can't be answered inside the share of the objective that the service may use. The
//! line is the prior; the measured elasticity of in-objective throughput with respect to concurrency is the
//! evidence, and may overrule it: on a service's rising flank it is 1, on its plateau 0, past its knee below.
//! So latency that is not ours (a slow dependency) does not shrink the limit, and no baseline can ratchet.
//!
//! Units: seconds and requests per second inside. Invariants: the limit stays in `LIMIT_MIN..=max`; without
//! data there is no decision; a limit that does not bind neither grows nor decays.
//! Elsewhere: counting (`admission`), who waits and who is refused (`admission::local`), scenarios with
//! oracles that every change here must pass (`plimsoll-simulator`).

use plimsoll_core::Instant;
use std::time::Duration;

/// No limit is smaller: one for the work, one to see whether a second helps.
pub(crate) const LIMIT_MIN: f64 = 2.0;
/// The part of the objective that the service may use; the rest is for waiting and for the spread.
pub(crate) const SHARE: f64 = 0.5;
/// How far the limit is moved up and down to learn, while it binds and work waits.
const DITHER: f64 = 0.1;
/// How much of the difference between measured and wanted elasticity becomes a step.
const GAIN: f64 = 0.3;
/// The elasticity that is aimed at: a little before the plateau.
const ELASTICITY_WANTED: f64 = 0.3;
/// The smallest and the largest step, in logarithms of the limit.
const STEP: (f64, f64) = (-0.1, 0.3);
/// How many observations the prior is worth.
const PRIOR_WEIGHT: f64 = 4.0;
/// What evidence keeps from window to window.
const MEMORY: f64 = 0.85;
/// By how much evidence must exceed its own error to prove that concurrency buys throughput.
const PROOF_MARGIN: f64 = 0.35;
/// ... counted this often: with one, a coincidence of noise passed for proof once in forty windows.
const PROOF_ERRORS: f64 = 1.5;
/// No service answers more than in proportion: a larger slope is the world that changed between two windows.
const SLOPE_MAX: f64 = 1.5;
/// Proof needs at least this much excitation: less was a ratchet.
const PROOF_EVIDENCE_MIN: f64 = 2.0;
/// Where throughput is retrograde it goes at most like one over concurrency (N. Gunther's Universal Scalability Law).
/// A steeper slope is the world that changed, too...
const SLOPE_MIN: f64 = -1.0;
/// ... by this many standard errors.
const SLOPE_ERRORS: f64 = 3.0;
/// That more is surely of no use takes more than the one comparison over a fault's end: ten answers before and after.
const HOPELESS_EVIDENCE_MIN: f64 = 8.0;
/// Completions that close a window.
const WINDOW_COMPLETIONS: u64 = 150;
/// While permits are left, no cut goes below this: what a service starts with.
const UNPRESSED_MIN: f64 = 20.0;
/// ... and takes at least this much: a smaller step would prove nothing.
const CUT_CEILING: f64 = 0.5;
/// Windows that were below the line before a cut, for the cut to be an experiment.
const CALM_MIN: u32 = 5;
/// In a window that proves something, at most one over this of the calls were given up.
const PROOF_LOST: u64 = 2;
/// Completions that close the window after a cut.
const TEST_COMPLETIONS: u64 = 50;
/// While permits are left and this share of answers is within the objective, a cut has nothing to gain.
const IN_TIME: f64 = 0.95;
/// A cut over the line keeps at least this part.
const CUT_FLOOR: f64 = 0.3;
/// The first and the longest time for which a proof that latency is not ours exempts from the line.
const BASE_FOR: (f64, f64) = (60.0, 600.0);
const LOST_FLOOR: f64 = 0.1;
const HEADROOM_MIN: f64 = 0.5;

/// Why the limit is what it is. The journal, `top` and `status` show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing was measured yet.
    #[default]
    Start,
    /// It does not bind, or nothing says that it should move.
    Hold,
    /// More concurrency buys more answers in time.
    Grow,
    /// More concurrency buys nothing.
    Shrink,
    /// More is in flight than can be answered in time.
    OverTheLine,
    /// Latency is over the line, and concurrency is proven not to be the cause.
    NotOurs,
    /// Calls time out.
    Timeouts,
    /// Nothing comes back.
    Stall,
}

impl Reason {
    /// The words in the journal, metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Hold => "hold",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::OverTheLine => "over the line",
            Self::NotOurs => "not ours",
            Self::Timeouts => "timeouts",
            Self::Stall => "stall",
        }
    }
}

/// The limit changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitChange {
    /// When.
    pub at: Instant,
    /// Before.
    pub from: u32,
    /// From now on.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

/// What was counted since the process started, over all threads and all routes that the line is for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Calls that came back: successes, errors and timeouts.
    pub(crate) completions: u64,
    /// Successes within the objective.
    pub(crate) good: u64,
    /// Successes.
    pub(crate) ok: u64,
    /// Calls that were given up.
    pub(crate) timeouts: u64,
    /// The integral of what is in flight over time, in request-seconds.
    pub(crate) in_flight_seconds: f64,
    /// What the calls took that were not given up, in seconds.
    pub(crate) answer_seconds: f64,
}

impl Counts {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            completions: self.completions.saturating_sub(earlier.completions),
            good: self.good.saturating_sub(earlier.good),
            ok: self.ok.saturating_sub(earlier.ok),
            timeouts: self.timeouts.saturating_sub(earlier.timeouts),
            in_flight_seconds: (self.in_flight_seconds - earlier.in_flight_seconds).max(0.0),
            answer_seconds: (self.answer_seconds - earlier.answer_seconds).max(0.0),
        }
    }
}

/// What a tick brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) counts: Counts,
    /// In flight now.
    pub(crate) in_flight: u32,
    /// Whether work waits for a permit, or none is left.
    pub(crate) full: bool,
    /// The latency objective.
    pub(crate) theta: Duration,
}

/// A window that is open.
#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Instant,
    base: Counts,
    ticks: u32,
    full_ticks: u32,
}

/// A window that was closed, for the comparison with the next.
#[derive(Clone, Copy, Debug)]
struct Closed {
    in_flight: f64,
    answer: f64,
    seconds: f64,
    good: u64,
    ok: u64,
}

/// After a change nothing is measured until what was in flight then is through.
#[derive(Clone, Copy, Debug)]
struct Settling {
    until: Instant,
    /// After a cut: also until no more is in flight than the limit allows, or this has passed.
    drained_by: Option<Instant>,
}

/// The control thread's half. See the module's docs.
#[derive(Clone, Debug)]
pub(crate) struct LimiterControl {
    /// No cut goes below this while permits are left.
    floor: f64,
    max: f64,
    limit: f64,
    side: i8,
    sxy: f64,
    sxx: f64,
    last: Option<Closed>,
    /// The window before, whatever was compared.
    previous: Option<Closed>,
    slow_start: bool,
    base: f64,
    base_until: Option<Instant>,
    base_for: f64,
    /// The limit before the last cut, while the window that tests it has not been closed.
    before_cut: Option<f64>,
    /// Windows since the last cut that were below the line, or whose answers were in time all the same.
    calm: u32,
    /// Up to here it may grow as fast as at the start: half of what it was before it collapsed.
    regain: f64,
    /// Calls hung when the last cut was made.
    hanging: bool,
    window: Option<Window>,
    settling: Option<Settling>,
    /// Latency of the last window, in seconds.
    latency: f64,
    ok_seen: u64,
    ok_at: Option<Instant>,
    reason: Reason,
}

impl LimiterControl {
    pub(crate) fn new(start: u32, max: u32) -> Self {
        let max = f64::from(max).max(LIMIT_MIN);
        Self {
            floor: UNPRESSED_MIN.min(f64::from(start)).max(LIMIT_MIN),
            max,
            limit: f64::from(start).clamp(LIMIT_MIN, max),
            side: 0,
            sxy: 0.0,
            sxx: 0.0,
            last: None,
            slow_start: true,
            base: 0.0,
            base_until: None,
            base_for: BASE_FOR.0,
            before_cut: None,
            calm: 0,
            regain: 0.0,
            hanging: false,
            window: None,
            settling: None,
            latency: 0.0,
            ok_seen: 0,
            ok_at: None,
            previous: None,
            reason: Reason::Start,
        }
    }

    /// Goes on from a limit that was found before.
    pub(crate) fn resume(&mut self, limit: u32) {
        self.limit = f64::from(limit).clamp(LIMIT_MIN, self.max);
    }

    /// The limit in force, the dither included.
    pub(crate) fn limit(&self) -> u32 {
        let limit = self.limit;
        // A tenth of 2 rounds to nothing, and nothing would be learnt at the floor: hence the + 1.
        // Rounding must not make a fifth a quarter either: that would be turning round.
        let low = ((1.0 - DITHER) * limit).round().min(limit.round());
        let high = ((1.0 + DITHER) * limit).round().min((1.25 * low).floor());
        let dithered = match self.side {
            1 => high.max(limit.round() + 1.0),
            -1 => low,
            _ => limit.round(),
        };
        dithered.clamp(LIMIT_MIN, self.max) as u32
    }

    /// The limit without its dither.
    pub(crate) fn settled_limit(&self) -> u32 {
        self.limit.round().clamp(LIMIT_MIN, self.max) as u32
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// Other routes are counted from now on: what the open window began with is no base any more.
    pub(crate) fn begin_anew(&mut self) {
        self.window = None;
        (self.last, self.previous) = (None, None);
    }

    /// Takes over another upper bound, as after a reload.
    pub(crate) fn set_max(&mut self, max: u32) {
        self.max = f64::from(max).max(LIMIT_MIN);
        self.limit = self.limit.min(self.max);
    }

    /// Each 10-50 ms. Says whether the limit may have changed.
    pub(crate) fn tick(&mut self, now: Instant, reading: &Reading) -> bool {
        // Where nothing was asked, nothing is missing: the first burst after a quiet time is no stall.
        let idle = reading.in_flight == 0;
        if reading.counts.ok != self.ok_seen || self.ok_at.is_none() || idle {
            self.ok_seen = reading.counts.ok;
            self.ok_at = Some(now);
        }
        if let Some(settling) = self.settling {
            let drained = settling
                .drained_by
                .is_none_or(|by| now >= by || reading.in_flight <= self.limit());
            if now < settling.until || !drained {
                return false;
            }
            self.settling = None;
        }
        let Some(window) = &mut self.window else {
            self.open(now, reading);
            return false;
        };
        window.ticks += 1;
        window.full_ticks += u32::from(reading.full);
        let (window, theta) = (*window, reading.theta.as_secs_f64());
        if self.is_stalled(now, reading, theta) {
            self.regain = self.regain.max(self.limit / 2.0);
            self.limit = (self.limit / 2.0).max(LIMIT_MIN);
            (self.sxy, self.sxx, self.last) = (0.0, 0.0, None);
            self.slow_start = true;
            self.side = 0;
            self.calm = 0;
            self.reason = Reason::Stall;
            self.ok_at = Some(now);
            self.settle(now, theta, true);
            return true;
        }
        let counted = reading.counts.since(&window.base);
        let seconds = (now - window.opened).as_secs_f64();
        if !self.closes(&counted, seconds, theta) {
            return false;
        }
        self.close(now, &window, &counted, seconds, theta);
        if self.settling.is_none() {
            self.open(now, reading);
        }
        true
    }

    fn open(&mut self, now: Instant, reading: &Reading) {
        self.window = Some(Window {
            opened: now,
            base: reading.counts,
            ticks: 0,
            full_ticks: 0,
        });
    }

    fn is_stalled(&self, now: Instant, reading: &Reading, theta: f64) -> bool {
        let patience = Duration::from_secs_f64(theta.max(0.5));
        reading.in_flight >= self.limit()
            && self.limit > LIMIT_MIN
            && self.ok_at.is_some_and(|at| now - at >= patience)
            && self
                .window
                .is_some_and(|window| now - window.opened >= patience)
    }

    fn closes(&self, counted: &Counts, seconds: f64, theta: f64) -> bool {
        let completions = counted.completions;
        let usual = if self.slow_start || self.limit < self.regain || self.limit <= LIMIT_MIN {
            // What is in flight for so few answers can't be in time: at a huge limit each moment adds work that
            // nobody waits for any more.
            let late = counted.in_flight_seconds > theta * completions as f64;
            let most = if late {
                TEST_COMPLETIONS
            } else {
                WINDOW_COMPLETIONS
            };
            let wanted = (self.limit as u64).clamp(10, most);
            completions >= wanted && seconds >= self.latency.min(theta).max(0.05)
        } else {
            // After a cut the difference is so large that fewer tell.
            let wanted = if self.before_cut.is_some() {
                TEST_COMPLETIONS
            } else {
                WINDOW_COMPLETIONS
            };
            // Calls that hang are given up in waves: a window takes in whole ones.
            let wave = if self.hanging { 2.0 * theta } else { 0.1 };
            completions >= wanted && seconds >= (2.0 * self.latency.min(theta)).max(wave)
        };
        usual
            || (self.limit <= LIMIT_MIN && seconds >= 1.0 && completions >= 2)
            || (seconds >= 2.0 && completions >= 20)
            || (seconds >= 10.0 && completions >= 1)
    }

    fn close(&mut self, now: Instant, window: &Window, counted: &Counts, seconds: f64, theta: f64) {
        let in_flight = counted.in_flight_seconds / seconds;
        let rate = counted.completions as f64 / seconds;
        let latency = in_flight / rate.max(1e-9);
        let bind = f64::from(window.full_ticks) > 0.5 * f64::from(window.ticks);
        // A call that hangs says nothing about how long the others queue: the line is for those that came back.
        let answers = counted.completions.saturating_sub(counted.timeouts);
        let hanging = counted.good as f64 > IN_TIME * answers as f64;
        let answer = if hanging {
            counted.answer_seconds / answers as f64
        } else {
            latency
        };
        self.fade_base(now, answer, SHARE * theta);
        // What is not ours is left out of the measurement; the service may use a share of what is left.
        let headroom = (SHARE * (theta - self.base)).max(HEADROOM_MIN * self.base);
        let line = self.base + headroom;
        let comfortable = answer < self.base + 0.6 * headroom;
        let (from, side) = (self.limit, self.side);
        self.latency = latency;
        let closed = Closed {
            in_flight,
            answer,
            seconds,
            good: counted.good,
            ok: counted.ok,
        };
        let before = self.previous.replace(closed);
        if comfortable && before.is_some_and(|before| is_faster(&before, &closed)) {
            // A fault has ended. What was learnt under it would be taken for proof that more in flight is worse.
            (self.sxy, self.sxx, self.last, self.before_cut) = (0.0, 0.0, None, None);
            self.slow_start = true;
        }
        self.learn(&closed, bind);
        let elasticity = self.elasticity((line - answer) / (0.6 * headroom));
        let (evidence, error) = self.evidence();
        // Where much is given up, what was given up still occupies the service: any cut would look harmful.
        let clean = PROOF_LOST * counted.timeouts <= counted.completions;
        let proven = clean
            && self.sxx >= PROOF_EVIDENCE_MIN
            && evidence - PROOF_ERRORS * error > PROOF_MARGIN;
        let hopeless = evidence + error < 0.5;
        let surely_hopeless =
            self.sxx >= HOPELESS_EVIDENCE_MIN && evidence + PROOF_ERRORS * error < 0.5;
        let in_time = counted.good as f64 >= IN_TIME * counted.completions as f64;
        let mut drain = false;
        let mut cut_from = None;
        let lost = if counted.ok == 0 {
            // Quick failures with permits to spare are not for the limit to mend.
            bind || counted.timeouts > 0
        } else {
            let most = if hanging { 0.8 } else { 0.5 };
            counted.timeouts as f64 > most * counted.completions as f64 && !proven
        };
        self.reason = if lost {
            self.regain = self.regain.max(self.limit / 2.0);
            let base = self.limit.min(in_flight);
            let answered = counted.ok as f64 / seconds * line;
            self.limit = answered.clamp(LOST_FLOOR * base, 0.5 * base).max(LIMIT_MIN);
            // A plateau that was found up there says nothing of so few.
            (self.sxy, self.sxx) = (0.0, 0.0);
            self.slow_start = true;
            drain = true;
            Reason::Timeouts
        } else if proven && let Some(before) = self.before_cut.take() {
            // The cut that was the experiment cost throughput: it is undone.
            self.slow_start = false;
            let was = self.last.map_or(answer, |last| last.answer);
            self.set_base(now, 0.5 * (was + answer));
            self.limit = before.max(self.limit);
            // Used up: it must not excuse what comes of it.
            (self.sxy, self.sxx) = (0.0, 0.0);
            Reason::NotOurs
        } else if answer > line && proven {
            // Dither alone may be noise: it stops a cut, but only a cut that failed moves the line.
            self.slow_start = false;
            if bind {
                self.step(elasticity);
            }
            Reason::NotOurs
        } else if answer > line.max(theta) && in_flight <= LIMIT_MIN + 0.5 && bind {
            // No cut is left, and even so few are late: their number is not what is slow.
            self.slow_start = true;
            self.set_base(now, answer);
            Reason::NotOurs
        } else if answer > line && (bind || !in_time) {
            self.slow_start = false;
            // At least a quarter: a clean experiment. If latency was ours, throughput holds; if not, it falls
            // in proportion, and the next window is the proof.
            let base = self.limit.min(in_flight);
            let ceiling = if self.base > 0.0 || self.before_cut.is_some() {
                0.9
            } else {
                CUT_CEILING
            };
            let cut = (rate * line).min(ceiling * base).max(CUT_FLOOR * base);
            // While permits are left nobody presses: no experiment then goes below what a service starts with.
            self.limit = if bind {
                cut
            } else {
                cut.max(self.floor.min(self.limit))
            };
            (self.sxy, self.sxx) = (0.0, 0.0);
            drain = true;
            // What was not used is not given back.
            cut_from = Some(from.min(2.0 * base));
            Reason::OverTheLine
        } else if !bind && comfortable && window.full_ticks > 0 && elasticity > ELASTICITY_WANTED {
            // Bursts reach it, and there is room: those that wait for a permit may be refused.
            self.limit += (0.1 * self.limit).max(1.0);
            Reason::Grow
        } else if !bind {
            Reason::Hold
        } else if comfortable && self.limit < self.regain && !surely_hopeless {
            self.limit = (2.0 * self.limit + 1.0).min(self.regain.max(self.limit + 1.0));
            Reason::Grow
        } else if answer <= line && self.slow_start && !hopeless {
            if comfortable {
                self.limit = 2.0 * self.limit + 1.0;
                Reason::Grow
            } else {
                self.slow_start = false;
                Reason::Hold
            }
        } else if comfortable && self.sxx < PRIOR_WEIGHT && !hopeless {
            // No gate can suppress this path: it is the way off the floor.
            self.slow_start = false;
            self.limit += (0.1 * self.limit).max(1.0);
            Reason::Grow
        } else {
            self.slow_start = false;
            self.step(elasticity)
        };
        if !self.limit.is_finite() {
            self.limit = from;
        }
        self.limit = self.limit.clamp(LIMIT_MIN, self.max);
        self.side = match (bind && !self.slow_start, side) {
            (false, _) => 0,
            (true, -1) => 1,
            (true, _) => -1,
        };
        // What comes after a cut is compared with what was before it, whether that bound or not: both are points
        // of the same curve. But only if all was well before: at the start, and after an overload, work that was
        // given up still occupies the service, and would make any cut look harmful.
        let tests = self.calm >= CALM_MIN || self.before_cut.is_some();
        if let Some(from) = cut_from.filter(|_| tests) {
            // Several cuts in a row are one experiment.
            self.before_cut.get_or_insert(from);
            self.side = 0;
            if self.before_cut == Some(from) {
                self.last = Some(closed);
            }
        } else {
            self.last = (bind && cut_from.is_none() && !lost).then_some(closed);
            if cut_from.is_none() && answer <= line {
                self.before_cut = None;
            }
        }
        if self.limit >= self.regain || surely_hopeless {
            self.regain = 0.0;
        }
        if cut_from.is_some() || lost {
            self.calm = 0;
        } else if answer <= line || in_time {
            self.calm = self.calm.saturating_add(1);
        }
        if drain || self.limit != from || self.side != side {
            let hanging = drain && 20 * counted.timeouts >= counted.completions;
            self.settle(now, theta, drain);
            if let (true, Some(settling)) = (hanging, &mut self.settling) {
                // What is left after a drain are the calls that hang: the next ones tell.
                settling.until = now + Duration::from_secs_f64(2.0 * theta);
            }
            self.hanging = hanging;
        }
    }

    /// Latency is proven not to be ours: for a while, longer each time, the line is above it.
    fn set_base(&mut self, now: Instant, answer: f64) {
        self.base = answer;
        self.base_until = Some(now + Duration::from_secs_f64(self.base_for));
        self.base_for = (2.0 * self.base_for).min(BASE_FOR.1);
    }

    fn fade_base(&mut self, now: Instant, answer: f64, line: f64) {
        if answer < 0.8 * line {
            self.base_for = BASE_FOR.0;
        }
        if answer < 0.8 * line || self.base_until.is_none_or(|until| now >= until) {
            (self.base, self.base_until) = (0.0, None);
        }
        self.base = self.base.min(1.2 * answer);
    }

    /// Moves by the difference to the elasticity that is wanted, as far as it exceeds its own error.
    fn step(&mut self, elasticity: f64) -> Reason {
        let difference = elasticity - ELASTICITY_WANTED;
        let dead = 1.0 / (self.sxx + PRIOR_WEIGHT).sqrt();
        let moved = difference.signum() * (difference.abs() - dead).max(0.0);
        if moved == 0.0 {
            return Reason::Hold;
        }
        self.limit *= libm::exp((GAIN * moved).clamp(STEP.0, STEP.1));
        if moved > 0.0 {
            self.limit += 0.3;
            Reason::Grow
        } else {
            Reason::Shrink
        }
    }

    /// Adds the comparison of two consecutive windows that bound; one that did not only fades what was learnt.
    fn learn(&mut self, closed: &Closed, bind: bool) {
        let compared = self.last.filter(|_| bind).and_then(|last| {
            let (before, after) =
                if self.before_cut.is_none() && last.good >= 10 && closed.good >= 10 {
                    (last.good, closed.good)
                } else if self.before_cut.is_some() {
                    // A cut that leaves hardly a good answer says so with the weight of what is left.
                    if last.ok < 10 {
                        return None;
                    }
                    (last.ok, closed.ok)
                } else if last.ok >= 10 && closed.ok >= 10 {
                    (last.ok, closed.ok)
                } else {
                    return None;
                };
            let (before, after) = ((before as f64).max(0.5), (after as f64).max(0.5));
            let concurrency = libm::log(closed.in_flight / last.in_flight);
            if !concurrency.is_finite() {
                return None;
            }
            let throughput = libm::log((after / closed.seconds) / (before / last.seconds));
            let most = SLOPE_MAX * concurrency.abs();
            let throughput = throughput.clamp(-most, most);
            // One over the variance of the logarithm of a quotient of two Poisson counts.
            let weight = before * after / (before + after);
            throughput
                .is_finite()
                .then_some((concurrency, throughput, weight))
        });
        match compared {
            Some((concurrency, throughput, weight)) => {
                // A large move outweighs old dither.
                let kept = MEMORY * libm::exp(-2.0 * concurrency.abs());
                self.sxy = kept * self.sxy + weight * concurrency * throughput;
                self.sxx = kept * self.sxx + weight * concurrency * concurrency;
            }
            None => {
                self.sxy *= MEMORY;
                self.sxx *= MEMORY;
            }
        }
    }

    /// What was learnt, and its standard error.
    fn evidence(&self) -> (f64, f64) {
        if self.sxx <= 0.0 {
            return (0.0, f64::INFINITY);
        }
        (
            (self.sxy / self.sxx).clamp(-1.5, 1.5),
            1.0 / self.sxx.sqrt(),
        )
    }

    /// Prior and evidence together: 1 when comfortable, 0 at the line, unless evidence says otherwise.
    fn elasticity(&self, prior: f64) -> f64 {
        let prior = prior.clamp(0.0, 1.0);
        (self.sxy + PRIOR_WEIGHT * prior) / (self.sxx + PRIOR_WEIGHT)
    }

    fn settle(&mut self, now: Instant, theta: f64, drain: bool) {
        let skip = self.latency.min(theta / 4.0);
        self.window = None;
        self.settling = Some(Settling {
            until: now + Duration::from_secs_f64(skip),
            drained_by: drain.then(|| now + Duration::from_secs_f64(2.0 * theta)),
        });
    }
}

/// Whether the service answered so much more with less in flight that it is another than it was.
fn is_faster(before: &Closed, now: &Closed) -> bool {
    let concurrency = libm::log(now.in_flight / before.in_flight);
    let counts = (before.ok.max(1) as f64, now.ok.max(1) as f64);
    let throughput = libm::log((counts.1 / now.seconds) / (counts.0 / before.seconds));
    let error = (1.0 / counts.0 + 1.0 / counts.1).sqrt();
    concurrency < 0.0 && throughput > SLOPE_MIN * concurrency + SLOPE_ERRORS * error
}

#[cfg(test)]
mod tests;
