//! The whole picture: what is happening, two ships, their figures, the keys.

use plimsoll_core::Class;

use super::canvas::{Canvas, Ink};
use super::ship::{Glyphs, HEIGHT, Ship};
use super::{History, Seen};
use crate::catalogue::{SERVICES, ServiceModel, capacity};
use crate::insight::Guard;
use crate::message::{ArmLive, Fault, ServiceState};
use crate::plan::PhaseKind;
use crate::table::{bar, count, duration};

/// The smallest window there is room in.
pub(super) const WIDTH_MIN: usize = 78;
pub(super) const HEIGHT_MIN: usize = 24;
/// One arm is at most this wide.
const ARM_WIDTH_MAX: usize = 56;
/// The row in which the ships begin.
const SHIPS: usize = 5;

/// Draws all of it into `width` by `height` cells.
pub(super) fn scene(
    seen: &Seen,
    history: &History,
    width: usize,
    height: usize,
    glyphs: Glyphs,
) -> Canvas {
    let mut canvas = Canvas::new(width, height);
    if width < WIDTH_MIN || height < HEIGHT_MIN {
        canvas.text(
            0,
            0,
            &format!("The drawing needs {WIDTH_MIN} x {HEIGHT_MIN} characters."),
            Ink::Text,
        );
        canvas.text(0, 1, "The demo goes on. q ends it.", Ink::Text);
        return canvas;
    }
    let arm_width = (width / 2 - 1).min(ARM_WIDTH_MAX);
    let gap = 2;
    head(&mut canvas, seen, arm_width * 2 + gap, glyphs);
    for index in 0..2 {
        arm(
            &mut canvas,
            seen,
            history,
            index,
            (arm_width + gap) * index,
            arm_width,
            glyphs,
        );
    }
    let keys = "k kill an endpoint   s slow dependency   f flood from one client   p protections   + - load   q end";
    let keys = if keys.len() > width {
        "k kill an endpoint  s slow  f flood  p protections  + - load  q end"
    } else {
        keys
    };
    let cpu = seen.cpu.map_or_else(String::new, |cpu| {
        format!("{:.0}% of one core", cpu * 100.0)
    });
    let cpu_at = (arm_width * 2 + gap).saturating_sub(cpu.len());
    if cpu_at > keys.len() {
        canvas.text(cpu_at, SHIPS + HEIGHT + 8, &cpu, Ink::Quiet);
    }
    let did = seen.did.map(|event| {
        format!(
            "{:.1} s  Plimsoll: {} {}",
            event.at, event.service, event.what
        )
    });
    canvas.text(0, SHIPS + HEIGHT + 7, &did.unwrap_or_default(), Ink::Strong);
    canvas.text(0, SHIPS + HEIGHT + 8, keys, Ink::Quiet);
    canvas
}

fn head(canvas: &mut Canvas, seen: &Seen, width: usize, glyphs: Glyphs) {
    let total = seen.plan.length().as_secs_f64();
    let at = seen.live.at.clamp(0.0, total);
    canvas.text(0, 0, "-o- Plimsoll demo", Ink::Strong);
    canvas.text(19, 0, &format!("seed {}", seen.seed), Ink::Quiet);
    let title = match seen.phase.and_then(|index| seen.plan.phases.get(index)) {
        Some(phase) => phase.title(glyphs.ascii),
        None => "warming up".to_owned(),
    };
    canvas.text(29, 0, &title, Ink::Strong);
    let offered = format!(
        "{}/s each, {} capacity",
        count(seen.live.offered.round() as u64),
        times(seen.live.offered / capacity())
    );
    canvas.text(31 + title.chars().count(), 0, &offered, Ink::Text);
    let right = format!("{at:.0} of {total:.0} s");
    canvas.text(
        width.saturating_sub(right.chars().count()),
        0,
        &right,
        Ink::Quiet,
    );
    timeline(canvas, seen, width, at / total, glyphs);
    canvas.text(
        0,
        3,
        &happening(seen),
        if seen.interactive {
            Ink::Strong
        } else {
            Ink::Text
        },
    );
}

/// Names of the phases over a line that fills up.
fn timeline(canvas: &mut Canvas, seen: &Seen, width: usize, done: f64, glyphs: Glyphs) {
    let total = seen.plan.length().as_secs_f64();
    let column = |seconds: f64| (seconds / total * width as f64).round() as usize;
    let mut begin = 0.0;
    for (index, phase) in seen.plan.phases.iter().enumerate() {
        let end = begin + phase.length.as_secs_f64();
        let (from, to) = (column(begin), column(end));
        let room = (to - from).saturating_sub(1);
        let name: String = phase.title(glyphs.ascii).chars().take(room).collect();
        // A cut name of a short recovery says nothing.
        if phase.kind != PhaseKind::Recovery || room >= phase.kind.name().len() {
            canvas.text(
                from,
                1,
                &name,
                if seen.phase == Some(index) {
                    Ink::Strong
                } else {
                    Ink::Quiet
                },
            );
        }
        for place in from..to {
            let passed = (place as f64) < done * width as f64;
            let (character, ink) = match (passed, glyphs.ascii) {
                (true, false) => ('━', Ink::Text),
                (true, true) => ('=', Ink::Text),
                (false, false) => ('─', Ink::Quiet),
                (false, true) => ('-', Ink::Quiet),
            };
            canvas.put(place, 2, character, ink);
        }
        canvas.put(from, 2, if glyphs.ascii { '|' } else { '┃' }, Ink::Text);
        begin = end;
    }
    canvas.put(
        ((done * width as f64) as usize).min(width - 1),
        2,
        'o',
        Ink::Strong,
    );
}

/// One sentence about what is going on.
fn happening(seen: &Seen) -> String {
    let mut parts = Vec::new();
    if let Some((endpoint, fault)) = &seen.fault {
        let what = match fault {
            Fault::Crashed => "is gone: connections are refused",
            Fault::Frozen => "is frozen: it takes requests and answers none",
            Fault::Slow => "takes ten times as long",
            Fault::Failing => "fails all it is asked, at once",
            Fault::Bad => "fails 3 requests in 10",
        };
        parts.push(format!("{endpoint} {what}"));
    }
    if seen.weak {
        parts.push("all work takes 2.5 times as long: 40% of the capacity is left".to_owned());
    }
    if seen.slow {
        parts.push("recommendations answer 1.5 s late, and pages wait for them".to_owned());
    }
    let kind = seen
        .phase
        .and_then(|index| seen.plan.phases.get(index))
        .map(|phase| phase.kind);
    if seen.flood || kind == Some(PhaseKind::Flood) {
        parts.push("one client floods; the figures are those of the others".to_owned());
    }
    if parts.is_empty() {
        parts.push(match kind {
            None => "Connections are made; nothing is counted yet".to_owned(),
            Some(PhaseKind::FlashSale) => {
                "Far more than the shop can carry; critical requests come as ever".to_owned()
            }
            Some(PhaseKind::Recovery) => "Repaired; what waits is worked off".to_owned(),
            Some(_) => "An ordinary day".to_owned(),
        });
    }
    let by_hand = if seen.interactive { " (by hand)" } else { "" };
    format!("{}{by_hand}.", parts.join("; "))
}

fn arm(
    canvas: &mut Canvas,
    seen: &Seen,
    history: &History,
    index: usize,
    left: usize,
    width: usize,
    glyphs: Glyphs,
) {
    let (Some(live), Some(shop), Some(title), Some(past)) = (
        seen.live.arms.get(index),
        seen.shops.get(index),
        seen.titles.get(index),
        history.arms.get(index),
    ) else {
        return;
    };
    let word = if index == 0 { "WITHOUT" } else { "WITH" };
    canvas.text(left, SHIPS - 1, word, Ink::Strong);
    canvas.text(left + word.len() + 2, SHIPS - 1, title, Ink::Quiet);

    let good: f64 = live.good.iter().sum();
    let ship = Ship {
        water: past.water,
        good: good_by_class(live),
        name: [
            format!("good {good:.0}/s"),
            format!("P99 {}", duration(live.p99)),
        ],
        frame: history.frame,
    };
    ship.draw(canvas, left, SHIPS, width, glyphs);

    let row = SHIPS + HEIGHT;
    let right = |text: &str| left + width.saturating_sub(text.chars().count());
    let late = live
        .p99
        .is_some_and(|p99| p99 > crate::plan::GOOD_WITHIN.as_secs_f64());
    let latency = format!(
        "P50 {:>5}  P99 {:>5} / 250ms",
        duration(live.p50),
        duration(live.p99)
    );
    canvas.text(left, row, &latency, hot(late));
    let water = format!("load {}", times(past.water));
    canvas.text(right(&water), row, &water, hot(past.water > 1.0));
    let refused: f64 = live.refused.iter().sum();
    let bad = live.late + live.failed + refused + live.gave_up;
    let ends = [
        ("late", live.late),
        ("failed", live.failed),
        ("refused", refused),
        ("gave up", live.gave_up),
    ];
    let ends: Vec<String> = ends
        .iter()
        .map(|(word, rate)| format!("{word} {rate:.0}"))
        .collect();
    canvas.text(
        left,
        row + 1,
        &ends.join(" "),
        hot(bad > 0.01 * (good + bad)),
    );
    let waiting = format!("waiting {}", count(live.pending as u64));
    let (first, second) = SERVICES.split_at(2);
    match seen.guards.filter(|_| index == 1) {
        Some(guards) => {
            let queued: u64 = guards.iter().map(|guard| guard.queued).sum();
            canvas.text(left, row + 2, &limits(first, guards), Ink::Text);
            let queue = format!("queue {queued}");
            canvas.text(right(&queue), row + 2, &queue, Ink::Text);
            canvas.text(left, row + 3, &limits(second, guards), Ink::Text);
        }
        None => {
            endpoints(
                canvas,
                first.iter().zip(shop.services.iter()),
                left,
                row + 2,
            );
            canvas.text(right(&waiting), row + 2, &waiting, Ink::Text);
            endpoints(
                canvas,
                second.iter().zip(shop.services.iter().skip(first.len())),
                left,
                row + 3,
            );
        }
    }
    let shares = refused_by_class(live, width);
    canvas.text(left, row + 4, &shares, hot(refused > 0.0));
    let left_over = 1.0 - live.budget_spent;
    let budget = format!(
        "budget {} {:.1}% left of 1 h",
        bar(live.budget_spent, glyphs.ascii),
        left_over * 100.0
    );
    canvas.text(left, row + 5, &budget, hot(left_over <= 0.0));
    canvas.text(left, row + 6, "goodput ", Ink::Quiet);
    let line = past.line(
        width.saturating_sub(8),
        seen.plan.length().as_secs_f64(),
        glyphs,
    );
    canvas.text(left + 8, row + 6, &line, Ink::Text);
}

/// The endpoints of services, each as a mark after the service's name.
fn endpoints<'a>(
    canvas: &mut Canvas,
    services: impl Iterator<Item = (&'a ServiceModel, &'a ServiceState)>,
    left: usize,
    row: usize,
) {
    let mut column = left;
    for (model, state) in services {
        canvas.text(column, row, model.name, Ink::Quiet);
        column += model.name.len() + 1;
        for fault in &state.faults {
            let mark = match fault {
                None => 'o',
                Some(Fault::Crashed) => 'X',
                Some(Fault::Frozen) => '#',
                Some(Fault::Slow) => '~',
                Some(Fault::Failing) => '!',
                // Its version.
                Some(Fault::Bad) => '2',
            };
            canvas.put(column, row, mark, hot(fault.is_some()));
            column += 1;
        }
        column += 2;
    }
}

/// What is in flight of how much may be, by service.
fn limits(services: &[ServiceModel], guards: &[Guard]) -> String {
    let limit = |model: &ServiceModel| {
        let guard = guards.iter().find(|guard| guard.service == model.name);
        let word = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let in_flight = word(guard.and_then(|guard| Some(guard.in_flight?.to_string())));
        let limit = word(guard.and_then(|guard| Some(guard.limit?.to_string())));
        format!("{} {in_flight}/{limit}", model.name)
    };
    services.iter().map(limit).collect::<Vec<_>>().join("  ")
}

/// Of what ended lately, the share that was refused.
fn refused_by_class(live: &ArmLive, width: usize) -> String {
    // The longest there is: "refused critical 100% standard 100% sheddable 100%".
    let words = if width >= 50 {
        Class::ALL.map(Class::name)
    } else {
        ["crit", "std", "shed"]
    };
    let mut text = "refused".to_owned();
    for ((word, refused), ended) in words.iter().zip(live.refused).zip(live.ended) {
        let share = if ended > 0.0 {
            format!("{:.0}%", refused / ended * 100.0)
        } else {
            "-".to_owned()
        };
        text.push_str(&format!(" {word} {share}"));
    }
    text
}

fn good_by_class(live: &ArmLive) -> [Option<f64>; 3] {
    let mut shares = [None; 3];
    for ((share, good), ended) in shares.iter_mut().zip(live.good).zip(live.ended) {
        *share = (ended > 0.0).then(|| good / ended);
    }
    shares
}

fn hot(needs_attention: bool) -> Ink {
    if needs_attention { Ink::Hot } else { Ink::Text }
}

fn times(load: f64) -> String {
    if load >= 9.95 {
        format!("{load:.0}x")
    } else {
        format!("{load:.1}x")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{LoadLive, ShopState};
    use crate::options::{Length, Scene};
    use crate::plan::Plan;

    #[test]
    fn the_smallest_window_shows_what_is_refused_by_class() {
        let text = draw(None, 80);
        assert!(text.contains("refused crit 0% std 50% shed 100%"), "{text}");
        assert!(text.contains("catalog oo#o"), "{text}");
        assert!(text.contains("p protections"), "{text}");
        assert!(draw(None, 120).contains("refused critical 0% standard 50% sheddable 100%"));
    }

    #[test]
    fn protections_take_the_place_of_the_endpoints_in_the_right_arm_only() {
        let guard = Guard {
            service: "catalog".to_owned(),
            limit: Some(12),
            in_flight: Some(11),
            queued: 3,
        };
        let text = draw(Some(&vec![guard]), 80);
        assert!(text.contains("catalog 11/12  search -/-"), "{text}");
        assert!(text.contains("queue 3"), "{text}");
        assert_eq!(text.matches("catalog oo#o").count(), 1, "{text}");
    }

    fn draw(guards: Option<&Vec<Guard>>, width: usize) -> String {
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        let arm = ArmLive {
            ended: [100.0, 200.0, 100.0],
            refused: [0.0, 100.0, 100.0],
            ..ArmLive::default()
        };
        let live = LoadLive {
            arms: [arm.clone(), arm],
            ..LoadLive::default()
        };
        let catalog = ServiceState {
            waiting: 0,
            arrived: 0,
            bad_version: 0,
            faults: vec![None, None, Some(Fault::Frozen), None],
        };
        let shop = ShopState {
            services: vec![catalog],
            ..ShopState::default()
        };
        let seen = Seen {
            seed: 7,
            plan: &plan,
            phase: Some(1),
            live: &live,
            titles: ["a plain round-robin proxy", "Plimsoll"],
            shops: [&shop, &shop],
            cpu: None,
            interactive: false,
            flood: false,
            slow: false,
            weak: false,
            did: None,
            fault: Some(("catalog 127.0.0.1:1".to_owned(), Fault::Frozen)),
            guards,
        };
        let glyphs = Glyphs { ascii: true };
        scene(&seen, &History::default(), width, HEIGHT_MIN, glyphs).to_text()
    }
}
