//! Goal: judgement takes out what is ill, soon, and lets it back soon after its cause has ended; never more
//! than half; never what all do alike. Method: endpoints of one service in virtual time, ticked each 25 ms as
//! in production, each with a behaviour that the test turns; calls go where the verdicts let them.

use std::time::Duration;

use plimsoll_core::{Instant, Mode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_nanos(1_000_000_000);
const TICK: Duration = Duration::from_millis(25);
/// A gateway's deadline.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn one_that_fails_at_once_is_out_within_a_tick_and_back_within_five_seconds() {
    for fault in [1, 3, 7, 12, 20, 33, 45, 59] {
        let mut world = World::new(3, fault);
        world.run(20);
        world.act(0, Act::Fail { share: 1.0 });
        world.run_millis(200);
        assert_eq!(world.verdict(0), Verdict::Down(DownCause::Breaker));
        world.run(fault);
        world.act(0, HEALTHY);
        world.is_up_within(0, Duration::from_secs(5));
        assert_eq!(world.out_max, 1);
    }
}

#[test]
fn one_that_freezes_is_out_within_three_seconds_and_back_within_five() {
    for fault in [4, 9, 17, 30, 44, 59] {
        let mut world = World::new(3, fault);
        world.run(20);
        world.act(1, Act::Freeze);
        let before = world.peers[1].hung();
        world.run(3);
        assert!(!world.verdict(1).is_up());
        let hung = world.peers[1].hung();
        world.run(fault - 3);
        // Each look at it costs one request.
        assert!(
            world.peers[1].hung() - hung <= 12,
            "{before} {hung} {}",
            world.peers[1].hung()
        );
        world.act(1, HEALTHY);
        world.is_up_within(1, Duration::from_secs(5));
    }
}

#[test]
fn one_that_freezes_is_suspect_long_before_it_is_out_and_until_it_answers() {
    let mut world = World::new(3, 7);
    world.run(20);
    assert!(world.peers.iter().all(|it| !it.shared.is_suspect()));
    world.act(1, Act::Freeze);
    world.run_millis(300);
    let suspect = |world: &World| [0, 1, 2].map(|it| world.peers[it].shared.is_suspect());
    assert_eq!(suspect(&world), [false, true, false]);
    assert!(world.verdict(1).is_up());
    world.run(5);
    assert_eq!(suspect(&world), [false, true, false]);
    world.act(1, HEALTHY);
    world.is_up_within(1, Duration::from_secs(5));
    assert_eq!(suspect(&world), [false; 3]);
}

#[test]
fn of_few_calls_one_that_was_under_way_before_counts_among_those_that_hang() {
    let suspects = |under_way: bool| {
        let mut world = World::new(2, 7);
        world.run(20);
        world.calls = 0;
        world.run(1);
        if under_way {
            world.peers[0].shared.begin();
            world.run_millis(25);
        }
        world.peers[0].shared.on_head();
        world.run_millis(25);
        world.peers[0].shared.begin();
        world.run_millis(300);
        world.peers[1].shared.on_head();
        world.run_millis(300);
        [0, 1].map(|it| world.peers[it].shared.is_suspect())
    };
    assert_eq!(suspects(true), [true, false]);
    assert_eq!(suspects(false), [false; 2], "one may be a long one");
}

#[test]
fn where_all_freeze_none_is_suspect_for_long() {
    let mut world = World::new(3, 7);
    world.run(20);
    (0..3).for_each(|it| world.act(it, Act::Freeze));
    world.run(3);
    let suspects = world.peers.iter().filter(|it| it.shared.is_suspect());
    assert!(suspects.count() < 3, "compared with whom?");
}

#[test]
fn one_that_swallows_requests_for_good_is_noticed_too() {
    let mut world = World::new(2, 5);
    world.run(20);
    world.act(0, Act::Swallow);
    world.run(3);
    assert!(!world.verdict(0).is_up());
    world.run(57);
    world.act(0, HEALTHY);
    world.is_up_within(0, Duration::from_secs(5));
}

#[test]
fn one_that_crawls_is_out_until_it_does_not() {
    // Ejection would be first.
    let mut world = World::with(3, 1, |parameters| parameters.ejection = Mode::Off);
    world.run(20);
    world.act(2, Act::Answer { millis: 1_500 });
    world.run(12);
    assert_eq!(world.verdict(2).cause(), Some(DownCause::Breaker));
    world.run(20);
    assert_eq!(
        world.verdict(2).cause(),
        Some(DownCause::Breaker),
        "slow probes are bad probes"
    );
    assert_eq!(world.told.len(), 1, "{:?}", world.told);
    world.act(2, HEALTHY);
    world.run(10);
    assert!(world.verdict(2).is_up());
}

#[test]
fn one_ten_times_as_slow_as_its_peers_is_ejected_and_comes_back_slowly() {
    let mut world = World::new(3, 1);
    world.run(20);
    world.act(2, Act::Answer { millis: 200 });
    world.run(12);
    assert_eq!(world.verdict(2), Verdict::Down(DownCause::Ejection));
    let reason = world.told.last().unwrap().1.reason.unwrap().to_string();
    assert!(
        reason.starts_with("median 1") && reason.contains("its peers"),
        "{reason}"
    );
    world.act(2, HEALTHY);
    world.is_up_within(2, Duration::from_secs(10));
    assert!(world.verdict(2).weight(world.now) < 0.3);
}

#[test]
fn one_that_carries_the_part_of_another_that_starts_slowly_is_not_ejected_for_it() {
    let mut world = World::new(2, 1);
    world.run(20);
    world.act(0, Act::Answer { millis: 400 });
    world.run(12);
    assert_eq!(world.verdict(0), Verdict::Down(DownCause::Ejection));
    world.act(0, HEALTHY);
    world.act(1, Act::Answer { millis: 400 });
    world.is_up_within(0, Duration::from_secs(10));
    world.run(15);
    assert!(world.verdict(1).is_up());
    // Slow even where the other carries its own part: that is its own doing.
    world.run(10);
    assert_eq!(world.verdict(1), Verdict::Down(DownCause::Ejection));
}

#[test]
fn one_that_fails_a_third_is_ejected_where_its_peers_do_not() {
    let mut world = World::new(4, 1);
    world.act(1, Act::Fail { share: 0.33 });
    world.run(12);
    assert_eq!(world.verdict(1), Verdict::Down(DownCause::Ejection));
    assert_eq!(world.out_max, 1);
}

#[test]
fn what_fails_often_by_its_nature_is_not_broken_but_may_still_break() {
    let mut world = World::with(2, 1, |parameters| parameters.ejection = Mode::Off);
    world.act(0, Act::Fail { share: 0.6 });
    world.run(120);
    let broke = |world: &World| world.told.len();
    let before = broke(&world);
    world.run(300);
    assert_eq!(broke(&world), before, "{:?}", world.told);
    assert!(world.verdict(0).is_up());
    world.act(0, Act::Fail { share: 1.0 });
    world.run(12);
    assert_eq!(world.verdict(0).cause(), Some(DownCause::Breaker));
}

#[test]
fn of_what_fails_often_by_its_nature_not_only_good_probes_are_asked() {
    // Three good ones in a row are had once in sixteen times.
    let mut back = 0;
    for seed in 0..20 {
        let mut world = World::with(2, seed, |parameters| parameters.ejection = Mode::Off);
        world.act(0, Act::Fail { share: 0.6 });
        world.run(60);
        assert!(world.told.is_empty(), "{:?}", world.told);
        world.act(0, Act::Fail { share: 1.0 });
        world.run(12);
        world.act(0, Act::Fail { share: 0.6 });
        world.run(9);
        back += u32::from(world.verdict(0).is_up());
    }
    assert!(back >= 13, "{back} of 20");
}

#[test]
fn an_endpoint_at_capacity_is_not_broken() {
    let mut world = World::new(3, 1);
    world.run(20);
    world.act(0, Act::Busy);
    world.run(60);
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn what_all_do_alike_is_held_against_none() {
    for act in [
        Act::Fail { share: 1.0 },
        Act::Fail { share: 0.7 },
        Act::Freeze,
        Act::Answer { millis: 3_000 },
    ] {
        let mut world = World::new(4, 1);
        world.run(20);
        (0..4).for_each(|index| world.act(index, act));
        world.run(20);
        assert!(world.told.is_empty(), "{act:?}: {:?}", world.told);
    }
}

#[test]
fn the_only_endpoint_is_never_out_by_judgement() {
    for act in [Act::Fail { share: 1.0 }, Act::Freeze] {
        let mut world = World::new(1, 1);
        world.run(20);
        world.act(0, act);
        world.run(60);
        assert!(world.told.is_empty());
        assert!(world.verdict(0).is_up());
    }
}

#[test]
fn a_slow_service_that_nobody_knows_yet_is_not_frozen() {
    let mut world = World::new(2, 1);
    world.act(0, Act::Answer { millis: 5_000 });
    world.act(1, Act::Answer { millis: 8_000 });
    world.run(60);
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn observing_changes_nothing_and_says_what_would_have_been() {
    let mut world = World::with(3, 1, |parameters| {
        parameters.breaker = Mode::Observe;
        parameters.ejection = Mode::Observe;
    });
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.act(1, Act::Answer { millis: 300 });
    world.run(30);
    assert_eq!(world.out_max, 0);
    assert_eq!(world.peers[0].shared.generation(), 0);
    assert!(
        world
            .told
            .iter()
            .all(|(_, told)| !told.acted && !told.verdict.is_up())
    );
    assert!(
        world
            .told
            .iter()
            .any(|&(index, told)| index == 0 && told.verdict == Verdict::Down(DownCause::Breaker))
    );
    assert!(world.peers[0].control.would()[0].ejected >= 1);
    assert_eq!(world.peers[2].control.would(), [Would::default(); 2]);
}

#[test]
fn what_would_be_out_does_not_teach_what_is_usual() {
    let mut world = World::with(3, 1, |parameters| {
        parameters.breaker = Mode::Observe;
        parameters.ejection = Mode::Off;
    });
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run(300);
    let usual = world.peers[0].control.record().failure_share_usual();
    assert!(usual.is_some_and(|usual| usual < 0.05), "{usual:?}");
}

#[test]
fn a_report_that_takes_long_is_no_silence() {
    let mut world = World::new(2, 1);
    world.run(20);
    world.calls = 0;
    world.run(1);
    world.peers[0].shared.begin();
    world.peers[0].shared.begin();
    world.run(20);
    assert!(!world.peers[0].shared.is_suspect());
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn half_open_waits_while_checks_hold_it_down() {
    let mut world = World::new(2, 1);
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run_millis(200);
    world.act(0, Act::Freeze);
    while world.peers[0].shared.in_flight() == 0 {
        world.tick();
    }
    (0..3).for_each(|_| world.peers[0].control.on_check(world.now, false));
    world.run(4);
    assert_eq!(world.verdict(0), Verdict::Down(DownCause::Checks));
    (0..2).for_each(|_| world.peers[0].control.on_check(world.now, true));
    world.tick();
    assert_eq!(world.verdict(0), Verdict::HalfOpen);
}

#[test]
fn what_is_off_does_not_judge() {
    let mut world = World::with(3, 1, |parameters| {
        parameters.breaker = Mode::Off;
        parameters.ejection = Mode::Off;
    });
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run(30);
    assert!(world.told.is_empty());
    assert_eq!(world.peers[0].control.would(), [Would::default(); 2]);
}

#[test]
fn one_that_may_not_go_out_is_told_of_once() {
    let mut world = World::new(3, 1);
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run(1);
    world.act(1, Act::Fail { share: 1.0 });
    world.run(3);
    let held_back = world
        .told
        .iter()
        .filter(|(_, told)| !told.acted)
        .collect::<Vec<_>>();
    assert_eq!(held_back.len(), 1, "{held_back:?}");
    assert!(world.verdict(1).is_up());
}

#[test]
fn if_the_others_crash_those_held_out_are_let_in() {
    let mut world = World::new(4, 1);
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.act(1, Act::Fail { share: 1.0 });
    world.run(1);
    assert_eq!(
        (world.verdict(0).is_up(), world.verdict(1).is_up()),
        (false, false)
    );
    world.crash(2);
    world.crash(3);
    world.run_millis(50);
    assert_eq!(
        [0, 1]
            .iter()
            .filter(|&&index| world.verdict(index).is_up())
            .count(),
        1
    );
    let needed = |told: &Transition| told.reason == Some(Reason::Needed);
    assert!(world.told.iter().any(|(_, told)| needed(told)));
}

#[test]
fn half_open_there_is_one_probe_and_then_the_rest() {
    let mut world = World::with(2, 1, |parameters| parameters.ejection = Mode::Off);
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run_millis(200);
    world.act(0, Act::Answer { millis: 500 });
    let mut most = 0;
    for _ in 0..200 {
        world.tick();
        if world.verdict(0) == Verdict::HalfOpen {
            most = most.max(world.peers[0].shared.in_flight());
        }
    }
    assert_eq!(most, 2, "one, and two more when that went well");
    assert!(world.verdict(0).is_up());
}

#[test]
fn a_late_answer_from_before_the_outage_does_not_close() {
    let mut world = World::new(2, 1);
    world.run(20);
    let generation = world.peers[0].shared.begin();
    world.act(0, Act::Fail { share: 1.0 });
    world.run_millis(200);
    while world.verdict(0) != Verdict::HalfOpen {
        world.tick();
    }
    world.act(0, Act::Freeze);
    for _ in 0..10 {
        world.peers[0].shared.on_attempt_end(Ended {
            kind: EndKind::Answered,
            latency: Duration::from_millis(1),
            generation,
        });
    }
    world.run_millis(500);
    assert_eq!(world.verdict(0), Verdict::HalfOpen);
}

#[test]
fn a_probe_that_was_claimed_and_not_sent_is_granted_again() {
    let mut world = World::new(2, 1);
    world.run(20);
    world.act(0, Act::Fail { share: 1.0 });
    world.run_millis(200);
    world.calls = 0;
    while world.verdict(0) != Verdict::HalfOpen {
        world.tick();
    }
    world.act(0, HEALTHY);
    assert!(world.peers[0].shared.try_probe(), "and lost");
    world.run(1);
    assert!(!world.peers[0].shared.try_probe());
    world.calls = 1;
    world.is_up_within(0, Duration::from_secs(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Safety, at every tick: judgement holds out at most half of what facts leave. Liveness: once all are
    /// well, all are back within the longest open or ejection time and a few probes.
    #[test]
    fn never_more_than_half_is_out_and_none_for_ever(
        count in 1_usize..7,
        seed: u64,
        calls in 1_u32..6,
        events in vec((0_usize..7, 0_u8..8, 0_u64..12_000), 0..40),
    ) {
        let mut world = World::new(count, seed);
        world.calls = calls;
        for (index, kind, millis) in events {
            let index = index % count;
            world.suffer(index, kind);
            // Each tick checks the bound.
            world.run_millis(millis);
        }
        (0..count).for_each(|index| world.act(index, HEALTHY));
        let well_from = world.now;
        while (0..count).any(|index| !world.verdict(index).is_up()) {
            world.tick();
            prop_assert!(world.now - well_from < Duration::from_secs(320));
        }
    }

    /// Whoever looks only where something may have changed decides the same, at every tick.
    #[test]
    fn endpoints_at_which_nobody_looks_would_not_have_changed(
        count in 1_usize..9,
        seed: u64,
        every in 1_u64..80,
        observes: bool,
        events in vec((0_usize..9, 0_u8..12, 0_u64..12_000), 0..30),
    ) {
        let of = |due: Option<Vec<Instant>>| {
            let mode = if observes { Mode::Observe } else { Mode::Enforce };
            let mut world = World::with(count, seed, |it| (it.breaker, it.ejection) = (mode, mode));
            (world.calls, world.every, world.due) = (1, every, due);
            world
        };
        let (mut all, mut some) = (of(None), of(Some(vec![Instant::from_nanos(u64::MAX); count])));
        for (index, kind, millis) in events {
            for world in [&mut all, &mut some] {
                world.suffer(index % count, kind);
            }
            let end = all.now + Duration::from_millis(millis);
            while all.now < end {
                all.tick();
                some.tick();
                prop_assert_eq!(&all.told, &some.told);
                let shared = |world: &World| -> Vec<_> {
                    let peers = world.peers.iter();
                    let seen = |it: &Member| {
                        let window = *it.control.record().window();
                        (it.shared.verdict(), it.shared.is_suspect(), window)
                    };
                    peers.map(seen).collect()
                };
                prop_assert_eq!(shared(&all), shared(&some));
            }
        }
    }
}

#[test]
fn where_calls_are_rare_few_endpoints_are_looked_at() {
    let mut world = World::new(1_000, 1);
    (world.calls, world.every) = (1, 400);
    world.due = Some(vec![Instant::from_nanos(u64::MAX); 1_000]);
    world.run(20);
    // Each is looked at when it is called (every ten seconds), when it has answered, and when that is forgotten.
    assert!((4_000..10_000).contains(&world.looks), "{}", world.looks);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Answer {
        millis: u64,
    },
    Fail {
        share: f64,
    },
    Busy,
    /// Answers nothing, and what it got as soon as it can again.
    Freeze,
    /// Answers nothing, ever, of what it got.
    Swallow,
}

const HEALTHY: Act = Act::Answer { millis: 20 };

#[derive(Clone, Copy)]
struct Call {
    generation: u32,
    begun: Instant,
    lost: bool,
}

struct Member {
    control: EndpointControl,
    shared: EndpointShared,
    act: Act,
    crashed: bool,
    calls: Vec<Call>,
    random: u64,
    timeouts: usize,
}

impl Peer for Member {
    fn parts(&mut self) -> (&mut EndpointControl, &EndpointShared) {
        (&mut self.control, &self.shared)
    }
}

impl Member {
    fn call(&mut self, now: Instant) {
        if self.crashed {
            self.shared.on_connect_failure();
            return;
        }
        self.calls.push(Call {
            generation: self.shared.begin(),
            begun: now,
            lost: self.act == Act::Swallow,
        });
    }

    /// Requests that it has cost so far.
    fn hung(&self) -> usize {
        self.calls.len() + self.timeouts
    }

    fn settle(&mut self, now: Instant) {
        for call in std::mem::take(&mut self.calls) {
            let age = now - call.begun;
            let act = self.act;
            let kind = match act {
                _ if age >= DEADLINE => Some(EndKind::Timeout),
                _ if call.lost => None,
                Act::Answer { millis } if age >= Duration::from_millis(millis) => {
                    Some(EndKind::Answered)
                }
                Act::Answer { .. } | Act::Freeze | Act::Swallow => None,
                Act::Fail { share } if self.draw() < share => Some(EndKind::Failed),
                Act::Fail { .. } => Some(EndKind::Answered),
                Act::Busy => Some(EndKind::Busy),
            };
            let Some(kind) = kind else {
                self.calls.push(call);
                continue;
            };
            self.timeouts += usize::from(kind == EndKind::Timeout);
            self.shared.end();
            self.shared.on_attempt_end(Ended {
                kind,
                latency: age,
                generation: call.generation,
            });
        }
    }

    fn draw(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct World {
    now: Instant,
    control: PeerControl,
    peers: Vec<Member>,
    /// Calls per tick to each endpoint that is up.
    calls: u32,
    /// At which ticks these are: one in so many, at each endpoint another one.
    every: u64,
    /// When a tick must look at each endpoint, if it does not look at all.
    due: Option<Vec<Instant>>,
    looks: usize,
    told: Vec<(usize, Transition)>,
    out_max: usize,
}

impl World {
    fn new(count: usize, seed: u64) -> Self {
        Self::with(count, seed, |_| ())
    }

    fn with(count: usize, seed: u64, set: impl Fn(&mut EndpointParameters)) -> Self {
        let mut parameters = EndpointParameters::default();
        set(&mut parameters);
        let peers = (0..count as u64).map(|index| Member {
            control: EndpointControl::new(parameters, START, false, seed ^ index),
            shared: EndpointShared::new(),
            act: HEALTHY,
            crashed: false,
            calls: Vec::new(),
            random: seed.wrapping_add(index * 7_919),
            timeouts: 0,
        });
        Self {
            now: START,
            control: PeerControl::new(START),
            peers: peers.collect(),
            calls: 3,
            every: 1,
            due: None,
            looks: 0,
            told: Vec::new(),
            out_max: 0,
        }
    }

    fn act(&mut self, index: usize, act: Act) {
        self.peers[index].act = act;
        self.peers[index].crashed = false;
    }

    /// One of all that may go wrong; most kinds are none of it.
    fn suffer(&mut self, index: usize, kind: u8) {
        match kind {
            0 => self.act(index, Act::Fail { share: 1.0 }),
            1 => self.act(index, Act::Fail { share: 0.5 }),
            2 => self.act(index, Act::Freeze),
            3 => self.act(index, Act::Answer { millis: 2_000 }),
            4 => self.crash(index),
            5 => self.act(index, Act::Busy),
            6 => self.act(index, Act::Swallow),
            _ => self.act(index, HEALTHY),
        }
    }

    fn crash(&mut self, index: usize) {
        let member = &mut self.peers[index];
        member.crashed = true;
        for call in std::mem::take(&mut member.calls) {
            member.shared.end();
            member.shared.on_attempt_end(Ended {
                kind: EndKind::Failed,
                latency: Duration::ZERO,
                generation: call.generation,
            });
        }
    }

    fn verdict(&self, index: usize) -> Verdict {
        self.peers[index].shared.verdict()
    }

    fn run(&mut self, seconds: u64) {
        self.run_millis(seconds * 1_000);
    }

    fn run_millis(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        let turn = self.now.as_nanos() / TICK.as_nanos() as u64;
        for (index, member) in self.peers.iter_mut().enumerate() {
            member.settle(self.now);
            if !(turn + index as u64).is_multiple_of(self.every) {
                continue;
            }
            match member.shared.verdict() {
                Verdict::Up { .. } => {
                    (0..self.calls).for_each(|_| member.call(self.now));
                    if let Some(due) = &mut self.due {
                        due[index] = self.now;
                    }
                }
                Verdict::HalfOpen if self.calls > 0 => {
                    while member.shared.try_probe() {
                        member.call(self.now);
                    }
                }
                Verdict::HalfOpen | Verdict::Down(_) => (),
            }
        }
        for member in &mut self.peers {
            if member.control.take_probe(self.now) {
                member.control.on_probe(self.now, !member.crashed);
            }
        }
        match &mut self.due {
            None => self.control.tick(self.now, &mut self.peers, &mut self.told),
            Some(due) => {
                let awake = (0..due.len()).filter(|&index| due[index] <= self.now);
                let awake: Vec<_> = awake.collect();
                self.control
                    .tick_some(self.now, &mut self.peers, &awake, 0, &mut self.told);
                for index in awake {
                    due[index] = match self.control.next_look(self.now, &mut self.peers[index]) {
                        Look::EachTick => self.now,
                        Look::At(at) => at,
                        Look::OnNews => Instant::from_nanos(u64::MAX),
                    };
                    self.looks += 1;
                }
            }
        }
        let causes = self
            .peers
            .iter()
            .map(|member| member.shared.verdict().cause());
        let (mut able, mut out) = (0, 0);
        for cause in causes {
            let judged = matches!(cause, Some(DownCause::Breaker | DownCause::Ejection));
            able += usize::from(cause.is_none() || judged);
            out += usize::from(judged);
        }
        assert!(out <= able / 2, "{out} of {able} are out by judgement");
        self.out_max = self.out_max.max(out);
    }

    #[track_caller]
    fn is_up_within(&mut self, index: usize, time: Duration) {
        let from = self.now;
        while !self.verdict(index).is_up() {
            self.tick();
            assert!(self.now - from <= time, "it is out for too long");
        }
    }
}
