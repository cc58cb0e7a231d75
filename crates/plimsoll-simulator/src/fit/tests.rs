//! Logs that are made by known laws: what is found is what they were made with.

use plimsoll_config::scenario::TimeSpread;

use super::*;
use crate::random::{Spread, Stream};
use crate::service::speed;

const SECOND: f64 = 1e9;

/// What a log is made with.
#[derive(Clone, Copy)]
struct Made {
    rate: f64,
    seconds: f64,
    endpoints: u16,
    workers: usize,
    /// Milliseconds.
    time: f64,
    spread: Spread,
}

const SHOP: Made = Made {
    rate: 300.0,
    seconds: 60.0,
    endpoints: 2,
    workers: 4,
    time: 20.0,
    spread: Spread::Lognormal(0.5),
};

impl Made {
    /// Requests by chance to pools of workers, each with one queue.
    fn log(self) -> Vec<Logged> {
        let mut random = Stream::new(1, "a log");
        let mut free = vec![vec![0.0_f64; self.workers]; usize::from(self.endpoints)];
        let mut log = Vec::new();
        let mut at = 0.0;
        loop {
            at += random.exponential(SECOND / self.rate);
            if at > self.seconds * SECOND {
                return log;
            }
            let endpoint = random.below(u32::from(self.endpoints)) as u16;
            let pool = &mut free[usize::from(endpoint)];
            let first = (0..self.workers).min_by(|one, other| pool[*one].total_cmp(&pool[*other]));
            let worker = first.unwrap();
            let work = self.spread.draw(self.time * 1e6, &mut random) as f64;
            let ends = pool[worker].max(at) + work;
            pool[worker] = ends;
            log.push(Logged {
                at: at as u64,
                took: (ends - at) as u64,
                waited: 0,
                tenant: 0,
                share: 1.0,
                service: 0,
                endpoint: Some(endpoint),
                attempts: 1,
                class: Class::Standard,
                end: End::Answered,
            });
        }
    }
}

fn fitted(log: &[Logged]) -> (Fit, Fitted) {
    let fit = fit(&["shop".to_owned()], log).unwrap();
    let service = fit.services[0].clone();
    (fit, service)
}

#[track_caller]
fn near(found: f64, made: f64, tolerance: f64) {
    let off_by = (found / made - 1.0).abs();
    assert!(off_by < tolerance, "{found}, not {made}");
}

#[test]
fn rate_time_and_workers_of_a_busy_service_are_found() {
    for (workers, share, spread, cv) in [
        (4, 0.5, Spread::Lognormal(0.5), 0.5),
        (4, 0.9, Spread::Lognormal(0.5), 0.5),
        (4, 0.97, Spread::Exponential, 1.0),
        (16, 0.97, Spread::Lognormal(1.5), 1.5),
    ] {
        let capacity = 2.0 * workers as f64 / 0.020;
        let made = Made {
            rate: share * capacity,
            workers,
            spread,
            ..SHOP
        };
        let (fit, service) = fitted(&made.log());
        let Capacity::Workers {
            workers: found,
            known,
        } = service.capacity
        else {
            panic!("{service:?}");
        };
        assert!(known);
        assert_eq!(found as usize, workers);
        let (mean, found_cv) = service.time.unwrap();
        // Of 1,000 to 3,000 requests that found workers free.
        near(mean, 0.020, 0.05);
        near(found_cv, cv, 0.15);
        let shop = &fit.scenario.services[0];
        assert_eq!(shop.endpoints, 2);
        let Work::Workers { spread, .. } = shop.work else {
            panic!("{shop:?}");
        };
        match spread {
            TimeSpread::Exponential => assert_eq!(cv, 1.0),
            TimeSpread::Lognormal(found) => near(found, cv, 0.1),
            _ => panic!("{spread:?}"),
        }
        let fits = service.time_match.unwrap();
        assert!(fits.distance < 2.0 * fits.by_chance, "{fits:?}");
        let arrivals = service.arrivals.unwrap();
        assert!(arrivals.distance < arrivals.by_chance, "{arrivals:?}");
        for phase in &fit.scenario.phases {
            near(phase.rates[0].to, made.rate, 0.1);
        }
    }
}

#[test]
fn what_an_idle_service_could_carry_is_unknown() {
    let made = Made {
        rate: 40.0,
        workers: 16,
        ..SHOP
    };
    let (_, service) = fitted(&made.log());
    let Capacity::Workers { workers, known } = service.capacity else {
        panic!("{service:?}");
    };
    assert!(!known);
    // At 0.4 in flight on average.
    assert!((1..=4).contains(&workers), "{workers}");
    near(service.time.unwrap().0, 0.020, 0.03);
}

#[test]
fn what_carries_requests_that_are_too_short_for_the_clock_is_unknown() {
    let made = Made {
        rate: 3_600.0,
        time: 2.0,
        seconds: 10.0,
        ..SHOP
    };
    let (_, service) = fitted(&made.log());
    assert!(matches!(
        service.capacity,
        Capacity::Workers { known: false, .. }
    ));
}

/// Requests by chance to one server that works on all at once, at most 60; each has exponential work of 20 ms.
fn shared_log(rate: f64, contention: f64, crosstalk: f64) -> Vec<Logged> {
    let mut random = Stream::new(1, "a shared log");
    let like = Made {
        endpoints: 1,
        ..SHOP
    }
    .log()[0];
    // When each came, and what is left of its work.
    let mut there: Vec<(f64, f64)> = Vec::new();
    let (mut log, mut now, mut next) = (Vec::new(), 0.0, 0.0);
    while log.len() < 30_000 {
        let speed = speed(there.len() as f64, contention, crosstalk);
        let least = there.iter().map(|it| it.1).fold(f64::INFINITY, f64::min);
        let step = (least / speed).min(next - now);
        now += step;
        for (_, left) in &mut there {
            *left -= step * speed;
        }
        there.retain(|(came, left)| {
            let done = *left <= 1.0;
            if done {
                let took = (now - came) as u64;
                log.push(Logged {
                    at: *came as u64,
                    took,
                    ..like
                });
            }
            !done
        });
        if now >= next {
            if there.len() < 60 {
                there.push((now, random.exponential(0.020 * SECOND)));
            }
            next = now + random.exponential(SECOND / rate);
        }
    }
    log.sort_by_key(|request| request.at);
    log
}

#[test]
fn what_a_shared_server_can_carry_is_found() {
    for rate in [350.0, 400.0, 450.0, 500.0, 550.0, 600.0] {
        let (_, service) = fitted(&shared_log(rate, 0.02, 0.001));
        let carries = |alone: f64, contention, crosstalk| {
            let carried = |n: f64| n * speed(n, contention, crosstalk) / alone;
            (1..200).map(|n| carried(f64::from(n))).fold(0.0, f64::max)
        };
        let found = match service.capacity {
            Capacity::Shared {
                alone,
                contention,
                crosstalk,
            } => carries(alone, contention, crosstalk),
            // Where it is far from full, or never far from it, the two look alike.
            Capacity::Workers { workers, .. } => f64::from(workers) / service.time.unwrap().0,
        };
        near(found, carries(0.020, 0.02, 0.001), 0.15);
        let shared = matches!(service.capacity, Capacity::Shared { .. });
        assert!(shared || !(450.0..600.0).contains(&rate), "{service:?}");
    }
}

#[test]
fn a_sample_stands_for_all_and_says_nothing_of_how_many_there_were() {
    let mut random = Stream::new(1, "sampling");
    let mut log = Made {
        rate: 700.0,
        ..SHOP
    }
    .log();
    let slow = 60_000_000;
    log.retain_mut(|request| {
        request.share = if request.took > slow { 1.0 } else { 0.1 };
        random.chance(f64::from(request.share))
    });
    let (fit, service) = fitted(&log);
    assert!(service.sampled);
    near(service.stand_for, 42_000.0, 0.05);
    near(fit.scenario.phases[0].rates[0].to, 700.0, 0.2);
    assert!(matches!(
        service.capacity,
        Capacity::Workers { known: false, .. }
    ));
    // As of all that came, not as of those in the log, of which the slow ones are too many.
    let all = fitted(
        &Made {
            rate: 700.0,
            ..SHOP
        }
        .log(),
    )
    .1;
    near(
        service.quantiles.unwrap()[1],
        all.quantiles.unwrap()[1],
        0.1,
    );
}

#[test]
fn rates_follow_the_parts_of_the_log_and_what_is_no_poisson_process_is_said() {
    let day = Made {
        rate: 200.0,
        ..SHOP
    };
    let mut log = day.log();
    // Half of what came in the second half; and all at the beginnings of tenths of a second.
    let middle = 30_000_000_000;
    let mut count = 0;
    log.retain(|request| {
        count += 1;
        request.at < middle || count % 2 == 0
    });
    let (fit, _) = fitted(&log);
    let rate = |part: usize| fit.scenario.phases[part].rates[0].to;
    let parts = fit.scenario.phases.len();
    assert_eq!(parts, 18);
    near(rate(0), 200.0, 0.15);
    near(rate(parts - 1), 100.0, 0.2);
    for request in &mut log {
        request.at -= request.at % 100_000_000;
    }
    let arrivals = fitted(&log).1.arrivals.unwrap();
    assert!(arrivals.distance > 5.0 * arrivals.by_chance, "{arrivals:?}");
}

#[test]
fn classes_tenants_and_ends_are_counted() {
    let mut log = Made {
        rate: 500.0,
        ..SHOP
    }
    .log();
    let mut random = Stream::new(1, "who");
    // 50 tenants, the n-th with 1 / n: inverse sampling.
    let weights: Vec<f64> = (1..=50).map(|n| 1.0 / f64::from(n)).collect();
    let all: f64 = weights.iter().sum();
    for (index, request) in log.iter_mut().enumerate() {
        let mut left = random.unit() * all;
        let tenant = weights.iter().position(|weight| {
            left -= weight;
            left <= 0.0
        });
        request.tenant = tenant.unwrap_or(0) as u32;
        (request.class, request.end) = match index % 10 {
            0 => (Class::Critical, End::Gone),
            1..=3 => (Class::Sheddable, End::Refused),
            4 => (Class::Standard, End::Failed),
            _ => (Class::Standard, End::Answered),
        };
        if request.end == End::Gone {
            request.took = 700_000_000;
        }
    }
    let (fit, service) = fitted(&log);
    assert_eq!(service.tenants, 50);
    near(service.zipf, 1.0, 0.05);
    near(service.failed, 0.1, 0.01);
    near(service.refused, 0.3, 0.01);
    near(service.gone, 0.1, 0.01);
    let people = &fit.scenario.workloads[0];
    near(people.classes.critical, 0.1, 0.01);
    near(people.classes.sheddable, 0.3, 0.01);
    assert_eq!(people.patience, Duration::from_millis(700));
}

#[test]
fn what_is_fitted_is_a_scenario_and_nothing_is_fitted_to_nothing() {
    let (fit, _) = fitted(&SHOP.log());
    let text = plimsoll_config::scenario::write(&fit.scenario);
    assert_eq!(
        plimsoll_config::scenario::parse(&text).unwrap(),
        fit.scenario
    );
    assert_eq!(super::fit(&["shop".to_owned()], &[]), None);
}

#[test]
fn less_than_a_second_says_nothing_of_rates() {
    let log = SHOP.log();
    let of = |at| {
        let until = log.iter().filter(|it| it.at <= at).copied();
        fit(&["shop".to_owned()], &until.collect::<Vec<_>>())
    };
    assert_eq!(of(900_000_000), None);
    assert!(of(2_000_000_000).is_some());
}

#[test]
fn shares_of_classes_are_not_more_than_all() {
    let mut log = SHOP.log();
    // Each of the two is rounded up: one in 16,129, and all others.
    log = log.iter().cycle().take(16_129).copied().collect();
    for (index, request) in log.iter_mut().enumerate() {
        request.at = index as u64 * 1_000_000;
        request.class = match index {
            0 => Class::Critical,
            _ => Class::Sheddable,
        };
    }
    let (fit, _) = fitted(&log);
    let text = plimsoll_config::scenario::write(&fit.scenario);
    assert_eq!(plimsoll_config::scenario::parse(&text), Ok(fit.scenario));
}
