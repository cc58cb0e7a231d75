//! What an evaluation of a flag takes, by kind of rule: `cargo run --release -p plimsoll-policy --example flag`.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_policy::flag::{FlagContext, FlagSet, FractionalVersion};
use serde_json::{Value, json};

/// Evaluations of each, one by one.
const COUNT: usize = 200_000;

/// How long something takes.
#[expect(
    clippy::disallowed_methods,
    reason = "what it takes can only be seen by the real clock"
)]
fn timed(work: impl FnOnce()) -> Duration {
    let begun = std::time::Instant::now();
    work();
    begun.elapsed()
}

fn set(targeting: &Value) -> Option<FlagSet> {
    // Among others, as in a file that has grown.
    let mut flags = serde_json::Map::new();
    for at in 0..1_000 {
        let flag = json!({ "variants": { "on": true, "off": false }, "defaultVariant": "off" });
        flags.insert(format!("flag-{at:04}"), flag);
    }
    flags.insert(
        "flag-0500".to_owned(),
        json!({
            "variants": { "on": true, "off": false },
            "defaultVariant": "off",
            "targeting": targeting,
        }),
    );
    let text = json!({ "flags": flags }).to_string();
    FlagSet::parse(&text, FractionalVersion::V2).ok()
}

fn main() {
    let mail = json!({ "var": "email" });
    let rules = [
        ("static", json!({})),
        (
            "one comparison",
            json!({ "if": [{ "==": [{ "var": "country" }, "nl"] }, "on", "off"] }),
        ),
        (
            "fractional",
            json!({ "fractional": [["on", 10], ["off", 90]] }),
        ),
        (
            "ten conditions, version, split",
            json!({ "if": [
                { "and": [
                    { "ends_with": [mail, "@ours.example"] },
                    { "in": [{ "var": "country" }, ["de", "nl", "fr"]] },
                ] }, "off",
                { "or": [
                    { "==": [{ "var": "plan" }, "free"] },
                    { "<": [1, { "var": "seats" }, 5] },
                    { "starts_with": [mail, "test-"] },
                    { "!": { "var": "email" } },
                ] }, "off",
                { "sem_ver": [{ "var": "version" }, "<", "2.1.0"] }, "off",
                { "some": [{ "var": "groups" }, { "==": [{ "var": "" }, "blocked"] }] }, "off",
                { "fractional": [{ "cat": [{ "var": "$flagd.flagKey" }, mail] }, ["on", 10], ["off", 90]] },
            ] }),
        ),
    ];
    let now = Timestamp::from_seconds(1_795_615_852);
    println!("{:<32} {:>8} {:>8} {:>8}", "rule", "mean", "p50", "p99");
    for (name, rule) in rules {
        let Some(set) = set(&rule) else {
            println!("{name:<32} is not valid");
            continue;
        };
        let contexts: Vec<FlagContext> = (0..1_000)
            .filter_map(|user| {
                FlagContext::new(json!({
                    "targetingKey": format!("user-{user}"),
                    "email": format!("user-{user}@example.org"),
                    "country": "nl", "plan": "team", "seats": 20, "version": "2.4.1",
                    "groups": ["a", "b", "c"],
                }))
                .ok()
            })
            .collect();
        let mut answers = 0;
        let mut evaluate = |context: &FlagContext| {
            let given = set.evaluate("flag-0500", context, now);
            answers += usize::from(given.is_ok_and(|given| given.variant == Some("on")));
        };
        let mut times: Vec<Duration> = contexts
            .iter()
            .cycle()
            .take(COUNT)
            .map(|context| timed(|| evaluate(context)))
            .collect();
        let all = timed(|| contexts.iter().cycle().take(COUNT).for_each(&mut evaluate));
        times.sort();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place).copied().unwrap_or_default().as_nanos()
        };
        let mean = all.as_nanos() / COUNT as u128;
        println!(
            "{name:<32} {mean:>5} ns {:>5} ns {:>5} ns    ({answers} on)",
            at(0.5),
            at(0.99)
        );
    }
}
