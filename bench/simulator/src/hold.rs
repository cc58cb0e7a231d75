//! The bare engine: take the next event, note one more. As many are noted all the time (the hold model; D. Jones,
//! "An Empirical Comparison of Priority-Queue and Event-Set Implementations", 1986).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use plimsoll_simulator::{Calendar, Nanos};

use crate::cell::cpu;
use crate::fleet::Figures;

/// Events of one measurement: about a second.
const EVENTS: u64 = 10_000_000;
/// The mean time to the event that is noted, in nanoseconds: what a request of a service takes.
const MEAN: f64 = 20e6;
/// So many times are drawn before: drawing them is not what is measured.
const TIMES: usize = 1 << 16;

/// What holds events.
#[derive(Clone, Copy)]
pub(crate) enum Queue {
    Calendar,
    Heap,
}

/// As large as what the simulator notes.
type Event = [u32; 3];

/// Events in a second of CPU time.
pub(crate) fn measure(queue: Queue, pending: u32) -> Figures {
    let times = times();
    let mut draw = times.iter().copied().cycle();
    let (took, sum) = match queue {
        Queue::Calendar => {
            let mut calendar: Calendar<Event> = Calendar::default();
            for index in 0..pending {
                calendar.note(draw.next().unwrap_or(1), [index; 3]);
            }
            time(|| {
                let at = calendar.next();
                let event = calendar.take().unwrap_or_default();
                calendar.note(at + draw.next().unwrap_or(1), event);
                u64::from(event[0])
            })
        }
        Queue::Heap => {
            let mut heap: BinaryHeap<Reverse<(Nanos, u64, Event)>> = BinaryHeap::new();
            let mut sequence = 0;
            let mut note = |heap: &mut BinaryHeap<_>, at, event| {
                sequence += 1;
                heap.push(Reverse((at, sequence, event)));
            };
            for index in 0..pending {
                note(&mut heap, draw.next().unwrap_or(1), [index; 3]);
            }
            time(|| {
                let Reverse((at, _, event)) = heap.pop().unwrap_or_default();
                note(&mut heap, at + draw.next().unwrap_or(1), event);
                u64::from(event[0])
            })
        }
    };
    // The sum is used, so that no step can be left out.
    std::hint::black_box(sum);
    vec![("events_per_second".to_owned(), EVENTS as f64 / took)]
}

/// Seconds of CPU time that all steps take, after some that are not measured.
fn time(mut step: impl FnMut() -> u64) -> (f64, u64) {
    let mut sum = 0_u64;
    for _ in 0..EVENTS / 5 {
        sum = sum.wrapping_add(step());
    }
    let before = cpu();
    for _ in 0..EVENTS {
        sum = sum.wrapping_add(step());
    }
    ((cpu() - before).as_secs_f64(), sum)
}

/// Exponential times.
fn times() -> Vec<Nanos> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let draw = |_| {
        // Xorshift (G. Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = ((state >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-unit.ln() * MEAN) as Nanos
    };
    (0..TIMES).map(draw).collect()
}
