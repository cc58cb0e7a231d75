//! Goal: a declared rate refuses what is above it, says so in the agreed fields, and spends no budget.
//!
//! Rates are per hour: no machine is so slow that a token comes back.

use super::*;
use crate::child::Service;

#[test]
fn what_is_above_a_rate_is_refused_with_when_to_come_back() {
    let service = Service::start();
    let rate = "rate = [{ limit = \"5/h\", burst = 5, by = \"address\" }]\n";
    let (_home, plimsoll) = before(&[service.address], "", rate);
    for left in (0..5).rev() {
        let (status, answer) = get_from(TRUSTED, &plimsoll, "");
        assert_eq!(status, 200);
        let says = field(&answer, "ratelimit").unwrap_or_else(|| panic!("{answer}"));
        assert!(says.contains(&format!("r={left}")), "{says}");
        let policy = field(&answer, "ratelimit-policy").unwrap();
        assert!(
            policy.starts_with("\"rate-1\"") && policy.contains("q=5"),
            "{policy}"
        );
    }
    let (status, answer) = get_from(TRUSTED, &plimsoll, "");
    assert_eq!(status, 429);
    assert_explained(&answer, 429, "refused", "rate");
    let retry: u64 = field(&answer, "retry-after").unwrap().parse().unwrap();
    assert!(
        (600..=720).contains(&retry),
        "{retry} s until the next of five an hour"
    );
    assert!(field(&answer, "ratelimit").unwrap().contains("r=0"));
    assert!(field(&answer, "ratelimit-policy").is_some());

    assert_eq!(
        get_from(STRANGER, &plimsoll, "").0,
        200,
        "each address has its own"
    );
    let text = settled(&plimsoll, 7);
    assert_eq!(
        (caused(&text, "rate-limited"), caused(&text, "answered")),
        (1, 6)
    );
    assert_eq!(bad(&text), 0, "it is not in the SLI");
    assert_eq!(service.requests(), 6);
}

#[test]
fn a_rate_that_only_observes_refuses_nothing() {
    let service = Service::start();
    let rate = "rate = [{ limit = \"5/h\", by = \"address\", mode = \"observe\" }]\n";
    let (_home, plimsoll) = before(&[service.address], "", rate);
    for _ in 0..8 {
        let (status, answer) = get_from(TRUSTED, &plimsoll, "");
        assert_eq!((status, field(&answer, "ratelimit")), (200, None));
    }
    let text = settled(&plimsoll, 8);
    assert_eq!(caused(&text, "answered"), 8);
    let labels = ["policy=\"rate\"", "mode=\"observe\""];
    wait_until("it is counted", || {
        protected(&metrics(&plimsoll), &labels).is_none_or(|count| count == 3)
    });
}

#[test]
fn a_call_that_carries_many_costs_as_many() {
    let service = Service::start();
    let rate =
        "rate = [{ limit = \"10/h\", by = \"route\", cost = { header = \"x-batch\", max = 8 } }]\n";
    let (_home, plimsoll) = before(&[service.address], "", rate);
    let ask = |from, fields: &str| {
        let (status, answer) = get_from(from, &plimsoll, fields);
        let left = field(&answer, "ratelimit").unwrap();
        let left = left
            .split(';')
            .find_map(|it| it.strip_prefix("r="))
            .unwrap();
        (status, left.parse::<u32>().unwrap())
    };
    assert_eq!(ask(TRUSTED, "X-Batch: 4\r\n"), (200, 6));
    assert_eq!(
        ask(STRANGER, "X-Batch: 7\r\n"),
        (429, 6),
        "what is refused costs nothing"
    );
    assert_eq!(
        ask(TRUSTED, "X-Batch: -9\r\n"),
        (200, 5),
        "no number is one"
    );
    assert_eq!(ask(TRUSTED, "X-Batch: 0\r\n"), (200, 4), "nothing is free");
    assert_eq!(
        ask(TRUSTED, "X-Batch: 99\r\n"),
        (429, 4),
        "at most eight, which do not fit"
    );
    assert_eq!(ask(TRUSTED, "X-Batch: 4\r\n"), (200, 0));
}

#[test]
fn tenants_have_a_rate_each_whatever_address_they_come_from() {
    let service = Service::start();
    let home = Home::new();
    std::fs::write(home.path("beta.key"), "beta-secret\n").unwrap();
    let file = home.path("beta.key").display().to_string();
    let more = format!(
        "tenant = \"x-api-key\"\nrate = [{{ limit = \"2/h\" }}]\n\
         [tenant.acme]\nkeys = [{{ env = \"E2E_ACME_KEY\" }}]\n[tenant.beta]\nkeys = [{{ file = \"{file}\" }}]\n"
    );
    let config = home.write(&config(&[service.address], "", &more));
    let mut command = home.command(&["run", "--config", &config]);
    command.env("E2E_ACME_KEY", "acme-secret");
    let plimsoll = Plimsoll::start(command);
    let ask = |from, fields| get_from(from, &plimsoll, fields).0;
    let (acme, beta) = ("X-Api-Key: acme-secret\r\n", "X-Api-Key: beta-secret\r\n");
    assert_eq!(
        [ask(TRUSTED, acme), ask(STRANGER, acme), ask(TRUSTED, acme)],
        [200, 200, 429]
    );
    assert_eq!(
        [ask(TRUSTED, beta), ask(STRANGER, beta), ask(STRANGER, beta)],
        [200, 200, 429]
    );
    assert_eq!(
        ask(STRANGER, ""),
        200,
        "and who has no key has that of its address"
    );
}
