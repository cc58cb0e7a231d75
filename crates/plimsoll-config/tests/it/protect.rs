//! Protections: what the file says becomes, what beats what, and what people see of their mistakes.

use std::time::Duration;

use plimsoll_config::{
    Breaker, Bulkhead, Config, Ejection, Hedge, HedgeAfter, Limiter, LimiterKind, Protect, Queue,
    QueueWait, Retry, RetryOn, Throttle, parse, render,
};
use plimsoll_core::{Mode, Ratio};

#[track_caller]
fn config(source: &str) -> Config {
    match parse(source, "/etc/plimsoll/plimsoll.toml") {
        Ok((config, warnings)) if warnings.is_empty() => config,
        Ok((_, diagnostics)) | Err(diagnostics) => {
            panic!("{}", render(&diagnostics, source, "p.toml", false))
        }
    }
}

fn source(defaults: &str, service: &str) -> String {
    format!(
        "[defaults.protect]\n{defaults}\n[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[service.app.protect]\n{service}\n[[route]]\nservice = \"app\"\n"
    )
}

#[track_caller]
#[expect(clippy::indexing_slicing, reason = "it is a part of a test")]
fn under(defaults: &str, service: &str) -> Protect {
    config(&source(defaults, service)).services["app"]
        .protect
        .clone()
}

#[track_caller]
fn protect(service: &str) -> Protect {
    under("", service)
}

#[expect(clippy::unwrap_used, reason = "it is a part of a test")]
fn share(share: f64) -> Ratio {
    Ratio::try_from(share).unwrap()
}

#[test]
fn a_full_table_is_read_key_by_key() {
    let config = config(include_str!("whole.toml"));
    let protect = &config.services["checkout"].protect;
    assert_eq!(
        protect.limiter,
        Limiter {
            mode: Mode::Observe,
            kind: LimiterKind::Adaptive,
            max: 500
        }
    );
    assert_eq!(
        protect.queue,
        Queue {
            wait: QueueWait::Objective,
            requests_max: 256
        }
    );
    assert_eq!(
        protect.bulkhead,
        Bulkhead {
            connections_max: Some(200),
            pending_max: Some(50),
            streams_max: Some(1_000)
        }
    );
    assert_eq!(
        protect.retry,
        Retry {
            mode: Mode::Enforce,
            attempts: 3,
            on: vec![RetryOn::Connect, RetryOn::Status(502), RetryOn::Reset],
            observed: vec![],
            budget: share(0.2),
            floor_per_second: 0.5,
            body_bytes_max: 16 * 1024,
        }
    );
    assert_eq!(
        protect.hedge,
        Hedge {
            mode: Mode::Observe,
            after: HedgeAfter::Quantile(share(0.999)),
            budget: share(0.02)
        }
    );
    assert_eq!(
        (protect.breaker, protect.ejection, protect.throttle),
        (
            Breaker {
                mode: Mode::Observe
            },
            Ejection { mode: Mode::Off },
            Throttle {
                mode: Mode::Enforce
            }
        )
    );
    assert_eq!(config.gateway.limits.memory_max, Some(512 << 20));
}

/// The same table written out from the model, in full.
fn written(protect: &Protect) -> String {
    let word = |mode| match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
        Mode::Off => "off",
    };
    let limiter = match protect.limiter.kind {
        LimiterKind::Adaptive => "kind = \"adaptive\"".to_owned(),
        LimiterKind::Fixed(limit) => format!("kind = \"fixed\", limit = {limit}"),
    };
    let wait = match protect.queue.wait {
        QueueWait::Auto => "auto".to_owned(),
        QueueWait::Objective => "objective".to_owned(),
        QueueWait::Fixed(wait) => format!("{}ns", wait.as_nanos()),
    };
    let bound = |bound: Option<u32>| bound.map_or("\"none\"".to_owned(), |bound| bound.to_string());
    let on: Vec<String> = protect
        .retry
        .on
        .iter()
        .map(|on| match on {
            RetryOn::Connect => "\"connect\"".to_owned(),
            RetryOn::Reset => "\"reset\"".to_owned(),
            RetryOn::Status(status) => format!("\"{status}\""),
        })
        .collect();
    let after = match protect.hedge.after {
        HedgeAfter::Quantile(share) => format!("p{}", (share.get() * 1e5).round() / 1e3),
        HedgeAfter::Time(time) => format!("{}ns", time.as_nanos()),
    };
    let Protect {
        limiter: Limiter { mode, max, .. },
        queue,
        bulkhead,
        retry,
        hedge,
        ..
    } = protect;
    format!(
        "limiter = {{ {limiter}, max = {max}, mode = \"{}\" }}
queue = {{ wait = \"{wait}\", requests_max = {} }}
bulkhead = {{ connections_max = {}, pending_max = {}, streams_max = {} }}
retry = {{ mode = \"{}\", attempts = {}, on = [{}], budget = \"{}%\", floor = \"{}/s\", body_bytes_max = \"{}B\" }}
hedge = {{ mode = \"{}\", after = \"{after}\", budget = \"{}%\" }}
breaker = \"{}\"\nejection = \"{}\"\nthrottle = \"{}\"\n",
        word(*mode),
        queue.requests_max,
        bound(bulkhead.connections_max),
        bound(bulkhead.pending_max),
        bound(bulkhead.streams_max),
        word(retry.mode),
        retry.attempts,
        on.join(", "),
        retry.budget.get() * 100.0,
        retry.floor_per_second,
        retry.body_bytes_max,
        word(hedge.mode),
        hedge.budget.get() * 100.0,
        word(protect.breaker.mode),
        word(protect.ejection.mode),
        word(protect.throttle.mode),
    )
}

#[test]
fn a_table_written_out_in_full_reads_back_as_the_same() {
    for service in [
        "retry.on = \"connect\"",
        "limiter = 32\nqueue = \"0s\"\nretry = { on = [\"reset\", \"503\"], floor = \"90/min\" }\nhedge = \"p99.9\"",
        "limiter = \"off\"\nqueue = \"objective\"\nbulkhead.streams_max = 7\nretry = { attempts = 1, on = [] }\nhedge = \"20ms\"",
        "limiter = { limit = 5, mode = \"observe\" }\nthrottle = \"enforce\"\nbreaker = \"observe\"\nretry = { mode = \"off\", on = \"504\" }",
    ] {
        let first = protect(service);
        assert_eq!(protect(&written(&first)), first, "{service}");
    }
}

#[test]
fn a_limiter_is_adaptive_unless_a_number_is_given() {
    let limiter = |service: &str| {
        let limiter = protect(service).limiter;
        (limiter.mode, limiter.kind, limiter.max)
    };
    use LimiterKind::{Adaptive, Fixed};
    use Mode::{Enforce, Off};
    assert_eq!(limiter(""), (Enforce, Adaptive, 1_000));
    assert_eq!(limiter("limiter = 32"), (Enforce, Fixed(32), 1_000));
    assert_eq!(limiter("limiter.limit = 32"), (Enforce, Fixed(32), 1_000));
    assert_eq!(
        limiter("limiter = { kind = \"fixed\", limit = 32, max = 32 }"),
        (Enforce, Fixed(32), 32)
    );
    assert_eq!(limiter("limiter = \"off\""), (Off, Adaptive, 1_000));
    // The default of `max` gives way to a limit that is written.
    assert_eq!(limiter("limiter = 5_000"), (Enforce, Fixed(5_000), 5_000));
}

#[test]
fn a_service_beats_the_limiter_of_the_defaults() {
    let limiter = |defaults: &str, service: &str| {
        let limiter = under(defaults, service).limiter;
        (limiter.mode, limiter.kind)
    };
    use LimiterKind::{Adaptive, Fixed};
    use Mode::{Enforce, Observe, Off};
    assert_eq!(limiter("limiter = 64", ""), (Enforce, Fixed(64)));
    assert_eq!(
        limiter("limiter = 64", "limiter = 32"),
        (Enforce, Fixed(32))
    );
    assert_eq!(
        limiter("limiter = 64", "limiter = \"adaptive\""),
        (Enforce, Adaptive)
    );
    assert_eq!(
        limiter("limiter = 64", "limiter.mode = \"observe\""),
        (Observe, Fixed(64))
    );
    assert_eq!(
        limiter("limiter.mode = \"observe\"", "limiter = 32"),
        (Observe, Fixed(32))
    );
    assert_eq!(
        limiter("limiter.mode = \"observe\"", "limiter = \"off\""),
        (Off, Adaptive)
    );
    assert_eq!(limiter("limiter = \"off\"", ""), (Off, Adaptive));
    assert_eq!(
        limiter("limiter = \"off\"", "limiter = 32"),
        (Enforce, Fixed(32))
    );
    assert_eq!(
        limiter("limiter = \"off\"", "limiter.max = 50"),
        (Off, Adaptive)
    );
}

#[test]
fn a_wait_may_be_a_word_or_a_time() {
    let wait = |service: &str| protect(service).queue.wait;
    assert_eq!(wait(""), QueueWait::Auto);
    assert_eq!(wait("queue = \"objective\""), QueueWait::Objective);
    assert_eq!(wait("queue = \"0s\""), QueueWait::Fixed(Duration::ZERO));
    assert_eq!(
        wait("queue.wait = \"20ms\""),
        QueueWait::Fixed(Duration::from_millis(20))
    );
}

#[test]
fn retries_on_answers_are_observed_until_asked_for() {
    let retry = protect("").retry;
    assert_eq!(retry.on, [RetryOn::Connect]);
    assert_eq!(retry.observed, [RetryOn::Status(502), RetryOn::Status(504)]);
    let retry = protect("retry.on = [\"502\", \"503\", \"502\"]").retry;
    assert_eq!(retry.on, [RetryOn::Status(502), RetryOn::Status(503)]);
    assert_eq!(retry.observed, []);
}

#[test]
fn hedging_is_on_once_its_time_is_given() {
    let hedge = |defaults: &str, service: &str| {
        let hedge = under(defaults, service).hedge;
        (hedge.mode, hedge.after)
    };
    use Mode::{Enforce, Observe, Off};
    let (p95, p99) = (
        HedgeAfter::Quantile(share(0.95)),
        HedgeAfter::Quantile(share(0.99)),
    );
    assert_eq!(hedge("", ""), (Off, p95));
    assert_eq!(hedge("", "hedge = \"p95\""), (Enforce, p95));
    assert_eq!(hedge("", "hedge.after = \"p99\""), (Enforce, p99));
    assert_eq!(hedge("", "hedge.budget = \"1%\""), (Off, p95));
    assert_eq!(hedge("", "hedge.mode = \"enforce\""), (Enforce, p95));
    assert_eq!(
        hedge("", "hedge = { mode = \"off\", after = \"p99\" }"),
        (Off, p99)
    );
    assert_eq!(
        hedge("", "hedge = \"80ms\""),
        (Enforce, HedgeAfter::Time(Duration::from_millis(80)))
    );
    assert_eq!(hedge("hedge = \"p99\"", ""), (Enforce, p99));
    assert_eq!(hedge("hedge = \"p99\"", "hedge.mode = \"off\""), (Off, p99));
    assert_eq!(
        hedge(
            "hedge = { mode = \"off\", after = \"p99\" }",
            "hedge = \"p95\""
        ),
        (Enforce, p95)
    );
    assert_eq!(
        hedge("hedge.mode = \"observe\"", "hedge = \"p95\""),
        (Observe, p95)
    );
}

#[test]
fn a_bound_of_the_defaults_can_be_taken_away() {
    let bulkhead = under(
        "bulkhead = { connections_max = 10, streams_max = 20 }",
        "bulkhead.streams_max = \"none\"",
    )
    .bulkhead;
    assert_eq!(
        (bulkhead.connections_max, bulkhead.streams_max),
        (Some(10), None)
    );
}

/// Every diagnostic of a service with each of these lines among its protections.
fn shown(cases: &[&str]) -> String {
    let sources = cases.iter().map(|case| format!(
            "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[service.app.protect]\n{case}\n[[route]]\nservice = \"app\"\n"
        ));
    crate::golden::shown(&sources.collect::<Vec<_>>())
}

#[test]
fn mistakes_in_a_limiter_and_its_queue() {
    insta::assert_snapshot!(shown(&[
        "limiter = 0",
        "limiter = { limit = 0 }",
        "limiter = { max = 1 }",
        "limiter = 200_000",
        "limiter = \"32\"",
        "limiter = \"adaptiv\"",
        "limiter = \"fixed\"",
        "limiter = { kind = \"adaptive\", limit = 32 }",
        "limiter = { kind = 16, limit = 32 }",
        "limiter = { kind = \"off\", mode = \"observe\" }",
        "limiter = { limit = 200, max = 100 }",
        "queue = \"5\"",
        "queue = \"1m\"",
        "queue = \"5s\"\ndeadline = \"2s\"",
        "queue.requests_max = 0",
        "bulkhead = 10",
        "bulkhead.pending_max = 0",
    ]));
}

#[test]
fn mistakes_in_retries_and_hedging() {
    insta::assert_snapshot!(shown(&[
        "retry = 0",
        "retry = 9",
        "retry.on = [502]",
        "retry.on = \"500\"",
        "retry.on = []",
        "retry.budget = 0.1",
        "retry.budget = \"150%\"",
        "retry.floor = 3",
        "retry.floor = \"3/m\"",
        "retry = { budget = \"0%\", floor = \"0/s\" }",
        "hedge = \"p97\"",
        "hedge = { after = \"p95\", budget = \"0%\" }",
        "hedge = \"2s\"\ndeadline = \"2s\"",
        "breaker = \"on\"",
        "throttle = true",
        "ejection = { share_max = \"50%\" }",
    ]));
}

#[test]
fn what_does_nothing_because_it_is_off_is_fine() {
    let fine = shown(&[
        "retry = { mode = \"off\", budget = \"0%\", floor = \"0/s\" }",
        "retry = { attempts = 1, on = [] }",
        "retry = { budget = \"0%\" }",
        "retry = { floor = \"0/s\" }",
        "hedge = { mode = \"off\", after = \"1m\", budget = \"0%\" }",
        "hedge = \"p95\"\nretry = 1",
        "limiter = { mode = \"off\", kind = \"off\" }",
    ]);
    assert_eq!(fine.replace("----", "").trim(), "");
}
