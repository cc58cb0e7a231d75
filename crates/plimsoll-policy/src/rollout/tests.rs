//! Behaviour of the state machine. Traffic is even here: chance is in the simulator's rollouts.

use std::time::Duration;

use plimsoll_core::{Ratio, Timestamp};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A rollout, and what both arms do.
struct World {
    rollout: Rollout,
    now: Timestamp,
    arms: Arms,
    owed: [f64; 6],
    per_second: f64,
    stable_bad: f64,
    canary_bad: f64,
    clients: u32,
    burns: bool,
    frozen: bool,
    up: bool,
}

impl World {
    fn new(parameters: Parameters) -> Self {
        let now = Timestamp::from_seconds(1_000_000);
        Self {
            rollout: Rollout::new(parameters, now).unwrap(),
            now,
            arms: Arms::default(),
            owed: [0.0; 6],
            per_second: 100.0,
            stable_bad: 0.001,
            canary_bad: 0.001,
            clients: 0,
            burns: false,
            frozen: false,
            up: true,
        }
    }

    fn tick(&mut self) -> Vec<Event> {
        self.now = self.now + SECOND;
        let share = match self.rollout.parameters().kind {
            Kind::Mirror => 1.0,
            Kind::Canary | Kind::BlueGreen => 1.0 - self.rollout.weight().share(),
        };
        let canary = self.per_second * self.rollout.weight().share();
        let stable = self.per_second * share;
        let came = [
            canary,
            canary * self.canary_bad,
            stable,
            stable * self.stable_bad,
        ];
        let mut whole = came.into_iter().zip(&mut self.owed).map(|(came, owed)| {
            *owed += came;
            let whole = (*owed + 1e-9).floor();
            *owed -= whole;
            whole as u64
        });
        let mut next = || whole.next().unwrap();
        self.arms.canary.requests += next();
        let bad = next();
        self.arms.canary.bad += bad;
        self.clients = (self.clients + bad as u32).min(64);
        self.arms.stable.requests += next();
        self.arms.stable.bad += next();
        let observed = Observed {
            routes: &[self.arms],
            bad_clients: self.clients,
            service_burns: self.burns,
            frozen: self.frozen,
            canary_up: self.up,
        };
        self.rollout.tick(self.now, &observed)
    }

    fn run(&mut self, seconds: u64) -> Vec<Event> {
        (0..seconds).flat_map(|_| self.tick()).collect()
    }

    /// The seconds until something of this kind happens.
    #[track_caller]
    fn until(&mut self, seconds_max: u64, is: fn(&What) -> bool) -> (u64, Event) {
        for second in 1..=seconds_max {
            let found = self.tick().into_iter().find(|it| is(&it.what));
            if let Some(event) = found {
                return (second, event);
            }
        }
        let rollout = &self.rollout;
        panic!(
            "{seconds_max} s: {:?}, {:?}",
            rollout.phase(),
            rollout.figures()
        );
    }

    #[track_caller]
    fn command(&mut self, command: Command) -> Vec<Event> {
        self.rollout.on_command(self.now, command, ann()).unwrap()
    }

    fn refused(&mut self, command: Command) -> Option<Refused> {
        self.rollout.on_command(self.now, command, ann()).err()
    }
}

fn ann() -> Person {
    Person {
        who: "ann".to_owned(),
        why: "said so".to_owned(),
    }
}

fn steps_of(steps: &[(u16, u64)]) -> Vec<Step> {
    let step = |(percent, seconds): &(u16, u64)| Step {
        weight: Weight::of_parts(100 * percent),
        at_least: Duration::from_secs(*seconds),
        gate: false,
    };
    steps.iter().map(step).collect()
}

fn is_strike(what: &What) -> bool {
    matches!(what, What::Struck)
}

fn is_end(what: &What) -> bool {
    matches!(what, What::Finished { .. })
}

fn is_ask(what: &What) -> bool {
    matches!(what, What::Asked { .. })
}

fn is_hold(what: &What) -> bool {
    matches!(what, What::Held { .. })
}

#[test]
fn a_version_that_is_no_worse_goes_through_all_steps_and_is_promoted() {
    let mut world = World::new(Parameters::canary());
    let events = world.run(115 * 60 + 120);
    let weights: Vec<u16> = events.iter().map(|it| it.weight_after.parts()).collect();
    assert_eq!(weights, [100, 500, 2_000, 5_000, 10_000, 10_000]);
    let took: Vec<u64> = events
        .windows(2)
        .map(|it| it[1].at.as_seconds() - it[0].at.as_seconds())
        .collect();
    assert_eq!(took, [300, 600, 1_200, 1_200, 3_600]);
    let end = (Outcome::Promoted, Reason::Steps);
    assert_eq!(world.rollout.outcome(), Some(end));
    assert_eq!(world.rollout.weight(), Weight::ALL);
    assert!(world.run(600).is_empty());
}

#[test]
fn a_bad_version_gets_nothing_after_a_strike_and_is_rolled_back_at_the_second() {
    let mut world = World::new(Parameters::canary());
    world.canary_bad = 0.101;
    let (second, strike) = world.until(60, is_strike);
    // The first bad answer of one request a second is the tenth.
    assert!(second <= 10 + 40, "{second}");
    assert_eq!(strike.weight_after, Weight::NONE);
    assert!(strike.figures.scores.harm >= 10.0, "{:?}", strike.figures);
    assert!(strike.figures.arms.canary.bad >= 3);
    assert_eq!(world.rollout.phase(), Phase::CoolingDown);
    let (second, resumed) = world.until(200, |it| matches!(it, What::Resumed { .. }));
    assert_eq!((second, resumed.weight_after.parts()), (120, 100));
    let (second, end) = world.until(60, is_end);
    assert!(second <= 50, "{second}");
    assert_eq!(end.weight_after, Weight::NONE);
    let rolled_back = (Outcome::RolledBack, Reason::Strikes);
    assert_eq!(world.rollout.outcome(), Some(rolled_back));
    assert!(world.run(600).is_empty());
    assert_eq!(world.rollout.weight(), Weight::NONE);
}

#[test]
fn one_burst_of_one_client_is_no_strike() {
    let parameters = Parameters {
        steps: steps_of(&[(5, 3_600)]),
        ..Parameters::canary()
    };
    let mut world = World::new(parameters);
    world.stable_bad = 0.0;
    world.canary_bad = 0.0;
    world.run(60);
    world.arms.canary.bad += 40;
    world.arms.canary.requests += 40;
    world.clients = 1;
    world.run(3_000);
    assert_eq!(world.rollout.phase(), Phase::Running);
    // The same from three clients in two batches is one.
    world.arms.canary.bad += 40;
    world.arms.canary.requests += 40;
    world.clients = 3;
    world.until(20, is_strike);
}

#[test]
fn without_traffic_it_is_held_and_a_person_is_asked_and_it_is_never_a_pass() {
    let mut world = World::new(Parameters::canary());
    world.per_second = 0.0;
    let (second, held) = world.until(1_000, is_hold);
    assert_eq!(second, 1 + 300 + 600);
    let why = Hold::NotEnoughTraffic;
    assert_eq!(held.what, What::Held { why });
    assert_eq!(held.weight_after.parts(), 500);
    let view = world.rollout.view();
    assert_eq!((view.granted, view.asks), (Some(false), false));
    assert_eq!(view.clean_requests_more, Some(21));
    let (second, asked) = world.until(90_000, is_ask);
    assert_eq!((second, asked.what), (86_400, What::Asked { why }));
    assert!(world.rollout.view().asks);
    assert!(world.run(86_400).is_empty());
    assert_eq!(world.rollout.weight().parts(), 500);
    // A hundred requests later it may go on.
    world.per_second = 10.0;
    let (second, _) = world.until(200, |it| matches!(it, What::Stepped { .. }));
    assert!(second >= 40, "{second}");
}

#[test]
fn a_rate_that_leaves_no_room_is_held_and_not_called_a_lack_of_traffic() {
    let mut parameters = Parameters::canary();
    parameters.price.requests = 100.0 * 30.0 * 86_400.0;
    parameters.price.limit = Ratio::try_from(1e-6).unwrap();
    parameters.judging.alpha = 1e-30;
    parameters.steps = steps_of(&[(1, 120), (100, 3_600)]);
    let mut world = World::new(parameters);
    world.canary_bad = 0.02;
    let (_, held) = world.until(1_000, is_hold);
    let why = Hold::NoRoom;
    assert_eq!(held.what, What::Held { why });
    assert_eq!(world.rollout.view().clean_requests_more, None);
}

#[test]
fn the_price_stops_what_strikes_are_too_slow_for() {
    let mut parameters = Parameters::canary();
    parameters.price.requests = 100.0 * 86_400.0;
    parameters.price.limit = Ratio::try_from(0.001).unwrap();
    parameters.judging.alpha = 1e-30;
    parameters.steps = steps_of(&[(5, 36_000)]);
    let mut world = World::new(parameters);
    world.canary_bad = 0.02;
    let (second, end) = world.until(10_000, is_end);
    assert!(end.figures.spent >= 0.001 && end.figures.scores.unbroken >= 3.0);
    let rolled_back = (Outcome::RolledBack, Reason::Price);
    assert_eq!(world.rollout.outcome(), Some(rolled_back));
    // 8.64 bad requests too many, of 5 a second, 2 % of them bad.
    assert!((85..=125).contains(&second), "{second}");
}

#[test]
fn a_freeze_holds_what_goes_up_and_no_rollback() {
    let mut world = World::new(Parameters::canary());
    world.run(10);
    world.frozen = true;
    let (_, held) = world.until(400, is_hold);
    let why = Hold::Frozen;
    assert_eq!(held.what, What::Held { why });
    for command in [Command::Advance, Command::Promote] {
        assert_eq!(world.refused(command), Some(Refused::Frozen));
    }
    world.canary_bad = 0.3;
    world.until(100, is_strike);
    // What was struck stays without traffic while it lasts.
    assert!(world.run(600).is_empty());
    assert_eq!(world.refused(Command::Resume), Some(Refused::Frozen));
    world.frozen = false;
    let (second, _) = world.until(5, |it| matches!(it, What::Resumed { .. }));
    assert_eq!(second, 1);
    world.frozen = true;
    world.until(100, is_end);
}

#[test]
fn a_service_that_burns_holds_every_rollout_and_ends_it_where_that_is_asked_for() {
    let mut world = World::new(Parameters::canary());
    world.run(10);
    world.burns = true;
    let (_, held) = world.until(400, is_hold);
    let why = Hold::ServiceBurns;
    assert_eq!(held.what, What::Held { why });
    world.burns = false;
    let (second, _) = world.until(10, |it| matches!(it, What::Stepped { .. }));
    assert_eq!(second, 1);

    let parameters = Parameters {
        burns_max: Some(60 * SECOND),
        ..Parameters::canary()
    };
    let mut world = World::new(parameters);
    world.run(10);
    world.burns = true;
    let (second, _) = world.until(100, is_end);
    assert_eq!(second, 61);
    let rolled_back = (Outcome::RolledBack, Reason::ServiceBurns);
    assert_eq!(world.rollout.outcome(), Some(rolled_back));
}

#[test]
fn endpoints_that_vanish_hold_it_and_end_it_when_they_stay_away() {
    let mut world = World::new(Parameters::canary());
    world.up = false;
    let (_, held) = world.until(5, is_hold);
    let why = Hold::CanaryDown;
    assert_eq!(held.what, What::Held { why });
    assert_eq!(world.rollout.weight(), Weight::NONE);
    world.run(600);
    // Before it has traffic there is nothing to roll back.
    assert_eq!(world.rollout.outcome(), None);
    world.up = true;
    world.run(60);
    assert_eq!(world.rollout.weight().parts(), 100);
    world.up = false;
    world.run(100);
    world.up = true;
    world.run(5);
    assert_eq!(world.rollout.outcome(), None);
    world.up = false;
    let (second, _) = world.until(200, is_end);
    assert_eq!(second, 121);
    let rolled_back = (Outcome::RolledBack, Reason::CanaryDown);
    assert_eq!(world.rollout.outcome(), Some(rolled_back));
}

#[test]
fn latencies_of_another_shape_alone_hold_and_ask() {
    let mut parameters = Parameters::canary();
    parameters.judging.rungs = 2;
    parameters.judging.latency_objective = true;
    let mut world = World::new(parameters);
    let mut asked = None;
    for second in 0..600 {
        let (n_c, n_s) = (world.arms.canary.requests, world.arms.stable.requests);
        let events = world.tick();
        let n_c = world.arms.canary.requests - n_c;
        let n_s = world.arms.stable.requests - n_s;
        world.arms.canary.slower[0] += n_c;
        world.arms.stable.slower[0] += n_s / 4;
        if let Some(event) = events.into_iter().find(|it| is_ask(&it.what)) {
            asked = Some((second, event));
            break;
        }
    }
    let (second, event) = asked.unwrap();
    assert!(second < 300, "{second}");
    let why = Hold::Latency;
    assert_eq!(event.what, What::Asked { why });
    // It keeps what it has: nobody is hurt by more than before.
    assert_eq!(event.weight_after.parts(), 100);
    assert_eq!(world.rollout.phase(), Phase::Held);
    let events = world.command(Command::Advance);
    assert_eq!(events[0].weight_after.parts(), 500);
    assert_eq!(world.rollout.phase(), Phase::Running);
}

#[test]
fn a_gate_asks_at_once_and_opens_for_a_person() {
    let mut parameters = Parameters::canary();
    parameters.steps[0].gate = true;
    parameters.gate_at_end = true;
    parameters.steps.truncate(1);
    let mut world = World::new(parameters);
    let events = world.tick();
    let why = Hold::Gate;
    assert_eq!(events[0].what, What::Held { why });
    assert_eq!(events[1].what, What::Asked { why });
    assert!(world.run(7_200).is_empty());
    assert!(world.rollout.next_step().unwrap().gate);
    let by = Some(ann());
    let events = world.command(Command::Advance);
    assert_eq!(events[0].what, What::Stepped { step: 0, by });
    world.until(400, is_ask);
    world.command(Command::Advance);
    let end = (Outcome::Promoted, Reason::Person);
    assert_eq!(world.rollout.outcome(), Some(end));
}

#[test]
fn people_pause_step_back_promote_and_abort() {
    let mut world = World::new(Parameters::canary());
    assert_eq!(
        world.refused(Command::StepBack),
        Some(Refused::NothingBefore)
    );
    assert_eq!(world.refused(Command::Resume), Some(Refused::NotPaused));
    world.run(400);
    world.command(Command::Pause);
    assert_eq!(world.refused(Command::Pause), Some(Refused::PausedAlready));
    assert!(world.run(3_600).is_empty());
    assert_eq!(world.rollout.weight().parts(), 500);
    let events = world.command(Command::StepBack);
    assert_eq!(events[0].weight_before.parts(), 500);
    assert_eq!(events[0].weight_after.parts(), 100);
    // And it stays there until somebody says so.
    assert!(world.run(3_600).is_empty());
    world.command(Command::StepBack);
    assert!(world.run(3_600).is_empty());
    assert_eq!(world.rollout.weight(), Weight::NONE);
    world.command(Command::Resume);
    world.run(2);
    assert_eq!(world.rollout.weight().parts(), 100);
    let mut other = World::new(Parameters::canary());
    other.command(Command::Promote);
    assert_eq!(other.rollout.weight(), Weight::ALL);
    let events = world.command(Command::Abort);
    assert_eq!(events[0].weight_after, Weight::NONE);
    for command in [Command::Promote, Command::Resume, Command::Abort] {
        assert_eq!(world.refused(command), Some(Refused::Finished));
    }
}

#[test]
fn what_is_paused_is_judged_and_stays_without_traffic_after_a_strike() {
    let mut world = World::new(Parameters::canary());
    world.run(30);
    world.command(Command::Pause);
    world.canary_bad = 0.3;
    world.until(100, is_strike);
    assert!(world.run(600).is_empty());
    assert_eq!(world.rollout.weight(), Weight::NONE);
    world.command(Command::Resume);
    assert_eq!(world.rollout.weight().parts(), 100);
}

#[test]
fn after_the_switch_blue_green_is_compared_with_what_stable_did_before() {
    let parameters = |bad: u64| Parameters {
        kind: Kind::BlueGreen,
        steps: steps_of(&[(0, 60), (100, 3_600)]),
        before: ArmCounts {
            requests: 360_000,
            bad,
            ..ArmCounts::default()
        },
        ..Parameters::canary()
    };
    let mut world = World::new(parameters(360));
    world.canary_bad = 0.01;
    world.run(60);
    assert_eq!(world.rollout.weight(), Weight::NONE);
    world.run(2);
    assert_eq!(world.rollout.weight(), Weight::ALL);
    let (second, strike) = world.until(120, is_strike);
    assert!(second <= 60, "{second}");
    assert_eq!(strike.weight_after, Weight::NONE);
    world.until(600, is_end);

    let mut world = World::new(parameters(360));
    world.run(3_700);
    let end = (Outcome::Promoted, Reason::Steps);
    assert_eq!(world.rollout.outcome(), Some(end));
}

#[test]
fn a_mirror_costs_nothing_and_ends_with_a_verdict_only() {
    let mut parameters = Parameters::canary();
    parameters.kind = Kind::Mirror;
    parameters.steps = steps_of(&[(100, 600)]);
    let mut world = World::new(parameters.clone());
    let (second, end) = world.until(700, is_end);
    assert_eq!((second, end.weight_after), (601, Weight::NONE));
    let passed = (Outcome::Passed, Reason::Steps);
    assert_eq!(world.rollout.outcome(), Some(passed));
    parameters.price.requests = 1_000.0;
    let mut world = World::new(parameters);
    world.canary_bad = 0.2;
    world.until(100, is_strike);
    world.until(400, is_end);
    let rolled_back = (Outcome::RolledBack, Reason::Strikes);
    assert_eq!(world.rollout.outcome(), Some(rolled_back));
}

#[test]
fn a_calendar_that_jumps_makes_no_step_much_longer_or_shorter() {
    for jump in [-86_400_i64, -3_600, 3_600, 86_400] {
        let mut world = World::new(Parameters::canary());
        world.run(100);
        world.now = Timestamp::from_seconds(world.now.as_seconds().saturating_add_signed(jump));
        let (second, _) = world.until(400, |it| matches!(it, What::Stepped { .. }));
        assert!((190..=202).contains(&second), "{jump}: {second}");
    }
}

#[test]
fn a_restart_goes_on_where_it_was_with_counts_that_begin_anew() {
    let mut world = World::new(Parameters::canary());
    world.run(400);
    let text = serde_json::to_string(&world.rollout).unwrap();
    let mut again: Rollout = serde_json::from_str(&text).unwrap();
    assert_eq!(again, world.rollout);
    let before = again.figures().arms;
    world.now = world.now + 3_600 * SECOND;
    world.arms = Arms::default();
    again.on_restart(world.now);
    world.rollout = again;
    assert!(world.run(60).is_empty());
    let after = world.rollout.figures().arms;
    let came = after.canary.requests - before.canary.requests;
    assert!((250..=350).contains(&came), "{came}");
}

#[test]
fn what_would_be_no_rollout_is_refused() {
    let refused = |change: fn(&mut Parameters)| {
        let mut parameters = Parameters::canary();
        change(&mut parameters);
        let refused = Rollout::new(parameters, Timestamp::default()).unwrap_err();
        refused.to_string()
    };
    assert!(refused(|it| it.steps.clear()).contains("1 to 64 steps"));
    assert!(refused(|it| it.steps.reverse()).contains("step 2 has less"));
    assert!(refused(|it| it.judging.alpha = f64::NAN).contains("NaN"));
    assert!(refused(|it| it.judging.tolerate = 0.5).contains("0.5"));
    assert!(refused(|it| it.judging.batch.age = Duration::ZERO).contains("takes time"));
    assert!(refused(|it| it.judging.rungs = 7).contains("6 rungs"));
    assert!(refused(|it| it.price.requests = f64::INFINITY).contains("inf"));
}

mod properties {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Happens {
        Tick {
            millis: u64,
            back: bool,
            counts: [u64; 9],
            inputs: (bool, bool, bool),
            clients: u32,
        },
        Command(Command),
        Restart,
    }

    fn any_counts() -> impl Strategy<Value = [u64; 9]> {
        prop_oneof![
            8 => prop::array::uniform9(0_u64..200),
            1 => prop::array::uniform9(prop_oneof![Just(0), Just(u64::MAX), 0_u64..5]),
        ]
    }

    fn any_event() -> impl Strategy<Value = Happens> {
        let tick = (
            0_u64..120_000,
            any::<bool>(),
            any_counts(),
            (
                prop::bool::weighted(0.05),
                prop::bool::weighted(0.05),
                prop::bool::weighted(0.95),
            ),
            0_u32..5,
        );
        let tick = tick.prop_map(|(millis, back, counts, inputs, clients)| Happens::Tick {
            millis,
            back: back && counts[8] % 16 == 0,
            counts,
            inputs,
            clients,
        });
        let command = prop_oneof![
            Just(Command::Pause),
            Just(Command::Resume),
            Just(Command::Advance),
            Just(Command::Promote),
            Just(Command::Abort),
            Just(Command::StepBack),
        ];
        prop_oneof![
            40 => tick,
            1 => command.prop_map(Happens::Command),
            1 => Just(Happens::Restart),
        ]
    }

    fn any_parameters() -> impl Strategy<Value = Parameters> {
        let kind = prop_oneof![
            Just(Kind::Canary),
            Just(Kind::BlueGreen),
            Just(Kind::Mirror)
        ];
        let steps = vec(
            (0_u16..=10_000, 0_u64..600, prop::bool::weighted(0.1)),
            1..6,
        );
        let judging = (any::<bool>(), 0_u8..=6, any::<bool>(), 1.0..3.0_f64);
        let requests = prop_oneof![Just(0.0), 1.0..1e9_f64];
        (kind, steps, judging, requests, 0_u64..300).prop_map(
            |(kind, mut steps, judging, requests, cooldown)| {
                steps.sort_unstable();
                let (latency_objective, rungs, exact_variance, tolerate) = judging;
                let mut parameters = Parameters::canary();
                parameters.kind = kind;
                let step = |(weight, seconds, gate)| Step {
                    weight: Weight::of_parts(weight),
                    at_least: Duration::from_secs(seconds),
                    gate,
                };
                parameters.steps = steps.into_iter().map(step).collect();
                parameters.judging.latency_objective = latency_objective;
                parameters.judging.rungs = rungs;
                parameters.judging.exact_variance = exact_variance;
                parameters.judging.tolerate = tolerate;
                parameters.price.requests = requests;
                parameters.cooldown = Duration::from_secs(cooldown);
                parameters.burns_max = (cooldown > 150).then_some(SECOND);
                parameters.hold_max = Duration::from_secs(300);
                parameters
            },
        )
    }

    fn is_all_numbers(rollout: &Rollout) -> bool {
        let view = rollout.view();
        let scores = view.figures.scores;
        let numbers = [
            scores.harm,
            scores.errors,
            scores.slow,
            scores.ladder,
            scores.unbroken,
            view.figures.spent,
            view.figures.worst_rate,
        ];
        let course = view
            .course
            .iter()
            .flat_map(|it| [it.harm, it.ladder, it.spent]);
        numbers.into_iter().chain(course).all(f64::is_finite)
    }

    proptest! {
        // Each writes and reads all of the state after each event.
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

        #[test]
        fn weight_grows_by_what_was_granted_or_asked_for_and_never_after_a_rollback(
            parameters in any_parameters(),
            events in vec(any_event(), 0..150),
        ) {
            let mut now = Timestamp::from_seconds(1_000_000);
            let mut rollout = Rollout::new(parameters, now).unwrap();
            let mut arms = [Arms::default(); 3];
            for event in events {
                let (before, phase) = (rollout.weight(), rollout.phase());
                let outcome = rollout.outcome();
                let mut copy: Rollout =
                    serde_json::from_str(&serde_json::to_string(&rollout).unwrap()).unwrap();
                prop_assert_eq!(&copy, &rollout);
                let (told, told_copy) = match event {
                    Happens::Tick { millis, back, counts, inputs, clients } => {
                        let by = Duration::from_millis(millis);
                        now = if back { now.before(by) } else { now + by };
                        for (route, arms) in arms.iter_mut().enumerate() {
                            let [n_c, n_s, x_c, x_s, ..] = counts;
                            let came = |n, x: u64| ArmCounts {
                                requests: n,
                                bad: x,
                                slow: counts[4 + route],
                                slower: [counts[5], counts[6], counts[7], x, 0, 0],
                            };
                            arms.canary.add(&came(n_c, x_c));
                            arms.stable.add(&came(n_s, x_s));
                        }
                        let (service_burns, frozen, canary_up) = inputs;
                        let observed = Observed {
                            routes: &arms,
                            bad_clients: clients,
                            service_burns,
                            frozen,
                            canary_up,
                        };
                        (rollout.tick(now, &observed), copy.tick(now, &observed))
                    }
                    Happens::Command(command) => {
                        let told = rollout.on_command(now, command, ann());
                        let same = copy.on_command(now, command, ann());
                        (told.unwrap_or_default(), same.unwrap_or_default())
                    }
                    Happens::Restart => {
                        arms = Default::default();
                        rollout.on_restart(now);
                        copy.on_restart(now);
                        (Vec::new(), Vec::new())
                    }
                };
                prop_assert_eq!(&told, &told_copy);
                prop_assert_eq!(&rollout, &copy);
                prop_assert!(is_all_numbers(&rollout));
                let after = rollout.weight();
                if after > before {
                    let by_right = told.iter().any(|it| match &it.what {
                        What::Stepped { .. } | What::Resumed { .. } => true,
                        What::Finished { outcome, .. } => *outcome == Outcome::Promoted,
                        _ => false,
                    });
                    prop_assert!(by_right, "{:?} from {:?}", told, phase);
                }
                if let Some((was, end)) = outcome.zip(rollout.outcome()) {
                    // Only what was promoted can be another once it is over: taken back by a person.
                    let is_taken_back =
                        was.0 == Outcome::Promoted && end == (Outcome::RolledBack, Reason::Person);
                    prop_assert!(was == end || is_taken_back);
                    prop_assert!(is_taken_back || after == before);
                }
                if matches!(rollout.outcome(), Some((Outcome::RolledBack, _))) {
                    prop_assert_eq!(after, Weight::NONE);
                }
                prop_assert!(rollout.view().course.len() <= POINTS_MAX);
            }
        }

        /// Once nothing holds it and traffic is clean, it gets to its end, or waits for a person.
        #[test]
        fn a_rollout_is_never_stuck(
            parameters in any_parameters(),
            events in vec(any_event(), 0..40),
        ) {
            let mut now = Timestamp::from_seconds(1_000_000);
            let mut rollout = Rollout::new(parameters, now).unwrap();
            for event in events {
                if let Happens::Command(command) = event {
                    let _either = rollout.on_command(now, command, ann());
                }
                now = now + SECOND;
                rollout.tick(now, &quiet(&[]));
            }
            let mut arms = Arms::default();
            for _ in 0..2_000 {
                now = now + 10 * SECOND;
                arms.canary.requests += 1_000;
                arms.stable.requests += 1_000;
                rollout.tick(now, &quiet(&[arms]));
            }
            let waits = match rollout.phase() {
                Phase::Finished | Phase::Paused => true,
                Phase::Held => rollout.view().asks,
                Phase::Running | Phase::CoolingDown => false,
            };
            prop_assert!(waits, "{:?}, {:?}", rollout.phase(), rollout.figures());
        }
    }

    fn quiet(routes: &[Arms]) -> Observed<'_> {
        Observed {
            routes,
            bad_clients: 0,
            service_burns: false,
            frozen: false,
            canary_up: true,
        }
    }
}
