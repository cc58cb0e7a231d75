//! Goal: over a run that happened, exported alerts fire and end when our own judgement of the pairs does: within one scrape
//! and one evaluation, wherever the burn is at least 10 % away from the threshold. A burn 10 % below fires nowhere.
//!
//! Method: a Plimsoll before a service that fails as it is asked to; Debian's Prometheus, which scrapes it and evaluates the
//! exported rules, each once a second, in real time. Meanwhile the same counters are looked at ten times a second and are
//! given to the window and the pairs that Plimsoll has. No clock is stretched: a pair's windows can't be shorter than a
//! minute, so the everyday run is younger than they are, and alerts end because good requests outweigh the bad ones; in the
//! long run they end because the bad ones leave the window.
//! What came before the first scrape counts for neither: a Prometheus cannot know of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_core::{Instant, Ratio};
use plimsoll_measure::{BurnPair, Tally, Urgency, Window, objective_levels};
use plimsoll_upstream::Clock;
use serde_json::Value;

use super::{Prometheus, exported_rules};
use crate::child::{Home, Service, get, metric, wait_until};
use crate::script::Link;

/// How often Prometheus scrapes, and how often it evaluates.
const INTERVAL: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_secs(3_600);
/// A low target, so that few requests say a lot: the burn is ten times the share of bad ones.
const TARGET: f64 = 0.9;

#[test]
fn exported_alerts_fire_and_end_with_ours_over_a_run_that_was_scraped() {
    // 10 % of an hour's budget within two minutes: three of ten are bad.
    let pairs = [pair(10, 120, 60, Urgency::Page)];
    let offers = [
        Offer::new("below", &[(0.2, 50.0, 0.0), (0.0, 50.0, 0.27)]),
        // Bad ones first: otherwise it would be on both sides of the threshold for a second.
        Offer::new("above", &[(0.1, 50.0, 1.0), (0.0, 50.0, 0.33)]),
        // 75 good, 160 bad, then good ones until the bad are less than three of ten.
        Offer::new(
            "burst",
            &[
                (3.0, 25.0, 0.0),
                (3.0, 50.0, 1.0),
                (1.0, 10.0, 1.0),
                (0.0, 200.0, 0.0),
            ],
        ),
    ];
    let run = Run::record(&pairs, &offers, 11.5);
    run.compare("below", Urgency::Page).never_fires();
    run.compare("above", Urgency::Page).changes(1, 1);
    run.compare("burst", Urgency::Page).changes(2, 2);
}

#[test]
#[ignore = "takes seven minutes: windows go by in real time. `cargo xtask soak` runs it"]
fn exported_alerts_fire_and_end_with_ours_as_windows_pass_over_a_run_that_was_scraped() {
    // Two of ten are bad, and 1.2 of ten.
    let pairs = [
        pair(10, 180, 60, Urgency::Page),
        pair(10, 300, 120, Urgency::Ticket),
    ];
    let offers = [
        Offer::new("below", &[(5.0, 40.0, 0.0), (0.0, 40.0, 0.107)]),
        Offer::new("above", &[(0.0, 40.0, 0.134)]),
        Offer::new(
            "burst",
            &[(60.0, 40.0, 0.01), (120.0, 40.0, 0.4), (0.0, 40.0, 0.01)],
        ),
        Offer::new(
            "outage",
            &[(200.0, 40.0, 0.0), (45.0, 40.0, 1.0), (0.0, 40.0, 0.0)],
        ),
        Offer::new(
            "returns",
            &[
                (30.0, 40.0, 0.8),
                (30.0, 40.0, 0.0),
                (30.0, 40.0, 0.8),
                (60.0, 40.0, 0.0),
                (30.0, 40.0, 0.8),
                (60.0, 40.0, 0.0),
                (30.0, 40.0, 0.8),
                (0.0, 40.0, 0.0),
            ],
        ),
    ];
    let run = Run::record(&pairs, &offers, 420.0);
    run.compare("below", Urgency::Page).never_fires();
    run.compare("below", Urgency::Ticket).never_fires();
    run.compare("above", Urgency::Page).never_fires();
    // One of the first eight is above, one of the first nine is below: it begins with some to and fro.
    run.compare("above", Urgency::Ticket).changes(1, 99);
    run.compare("burst", Urgency::Page).changes(2, 2);
    run.compare("burst", Urgency::Ticket).changes(2, 2);
    run.compare("outage", Urgency::Page).changes(2, 2);
    run.compare("outage", Urgency::Ticket).changes(2, 2);
    run.compare("returns", Urgency::Page).changes(4, 9);
    run.compare("returns", Urgency::Ticket).changes(1, 9);
}

fn pair(percent: u64, long: u64, short: u64, urgency: Urgency) -> BurnPair {
    BurnPair {
        budget_share: Ratio::of(percent, 100).unwrap(),
        long: Duration::from_secs(long),
        short: Duration::from_secs(short),
        urgency,
    }
}

/// What is asked of one service.
#[derive(Clone)]
struct Offer {
    name: &'static str,
    /// For so many seconds so many requests a second, of which so large a share is bad. The last goes on.
    phases: Vec<(f64, f64, f64)>,
}

impl Offer {
    fn new(name: &'static str, phases: &[(f64, f64, f64)]) -> Self {
        Self {
            name,
            phases: phases.to_vec(),
        }
    }

    /// Requests a second, and the share of bad ones, so many seconds after the begin.
    fn at(&self, seconds: f64) -> (f64, f64) {
        let mut end = 0.0;
        let now = self.phases.iter().find(|(length, ..)| {
            end += length;
            seconds < end
        });
        let (_, per_second, bad) = now.or(self.phases.last()).unwrap();
        (*per_second, *bad)
    }
}

/// Sends what is offered, spread evenly and with the bad ones spread evenly among them, and ends.
fn send(offers: Vec<Offer>, to: SocketAddr, seconds: f64) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let clock = Clock::new();
        let begin = clock.now();
        let mut link = Link::connect(to);
        let step = Duration::from_millis(20);
        let mut owed = vec![(0.0, 0.0); offers.len()];
        for number in 0.. {
            let elapsed = step * number;
            if elapsed.as_secs_f64() > seconds {
                return;
            }
            sleep((begin + elapsed).since(clock.now()));
            for (offer, (owed, owed_bad)) in offers.iter().zip(&mut owed) {
                let (per_second, bad) = offer.at(elapsed.as_secs_f64());
                *owed += per_second * step.as_secs_f64();
                while *owed > 0.999 {
                    *owed -= 1.0;
                    *owed_bad += bad;
                    let is_bad = *owed_bad > 0.999;
                    *owed_bad -= f64::from(u8::from(is_bad));
                    let status = if is_bad { 500 } else { 200 };
                    let request = format!(
                        "GET /status/{status} HTTP/1.1\r\nHost: {}\r\n\r\n",
                        offer.name
                    );
                    link.send(request.as_bytes());
                    let head = link.head().unwrap();
                    assert!(head.contains(&format!(" {status} ")), "{head}");
                    assert_eq!(link.take(6), b"hello\n");
                }
            }
        }
    })
}

/// What was recorded of a run.
struct Run {
    pairs: Vec<BurnPair>,
    services: BTreeMap<&'static str, Seen>,
}

/// What `/metrics` said of a service at a moment.
#[derive(Clone, Copy, Default)]
struct Look {
    at: u64,
    counters: Tally,
    /// The burn rate over five minutes; zero without traffic.
    burn: f64,
}

impl Look {
    fn new(at: u64, text: &str, service: &str) -> Self {
        let service = format!("service=\"{service}\"");
        let count = |name| metric(text, name, &[&service]) as u64;
        Self {
            at,
            counters: Tally {
                good: count("plimsoll_objective_good_total"),
                bad: count("plimsoll_objective_bad_total"),
            },
            burn: metric(text, "plimsoll_burn_rate", &[&service, "window=\"5m\""]),
        }
    }
}

/// What was seen of one service. Times are milliseconds since the epoch: Prometheus has no finer ones.
#[derive(Default)]
struct Seen {
    looks: Vec<Look>,
    /// When Prometheus scraped them.
    scraped: Vec<u64>,
    /// When it evaluated the rules.
    evaluated: Vec<u64>,
    /// When the alert was firing, by severity: some of the times when it evaluated.
    firing: BTreeMap<String, Vec<u64>>,
}

impl Run {
    fn record(pairs: &[BurnPair], offers: &[Offer], seconds: f64) -> Self {
        let service = Service::start();
        let home = Home::new();
        let file = home.write(&configuration(pairs, offers, service.address));
        let plimsoll = home.run(&[]);
        let rules = exported_rules(&home, &file);
        let prometheus = Prometheus::start(&home, &rules, plimsoll.ops());
        wait_until("it scrapes", || prometheus.value("up") == Some(1.0));
        let mut services: BTreeMap<_, Seen> = offers
            .iter()
            .map(|offer| (offer.name, Seen::default()))
            .collect();

        let clock = Clock::new();
        let load = send(offers.to_vec(), plimsoll.address(), seconds);
        let mut next = clock.now();
        while !load.is_finished() {
            let at = clock.timestamp().as_nanos() / 1_000_000;
            let text = get(plimsoll.ops(), "/metrics").1;
            for (name, seen) in &mut services {
                seen.looks.push(Look::new(at, &text, name));
            }
            next += LOOK_EVERY;
            sleep(next.since(clock.now()));
        }
        load.join().unwrap();

        for (labels, times) in prometheus.times("plimsoll_objective_good_total") {
            of(&mut services, &labels).scraped = times;
        }
        for (labels, times) in prometheus.times("objective:plimsoll_burn:rate1m") {
            of(&mut services, &labels).evaluated = times;
        }
        for (labels, times) in prometheus.times("ALERTS{alertstate=\"firing\"}") {
            let severity = labels["severity"].as_str().unwrap().to_owned();
            of(&mut services, &labels).firing.insert(severity, times);
        }
        Self {
            pairs: pairs.to_vec(),
            services,
        }
    }

    /// Holds their alert against our pairs, and fails where they differ for longer than they may.
    #[track_caller]
    fn compare(&self, service: &str, urgency: Urgency) -> Compared {
        let seen = &self.services[service];
        let pairs: Vec<&BurnPair> = self
            .pairs
            .iter()
            .filter(|it| it.urgency == urgency)
            .collect();
        let ours = seen.judged(&pairs);
        seen.assert_judged_as_the_process_does(&ours);
        let none = Vec::new();
        let firing = seen.firing.get(severity(urgency)).unwrap_or(&none);
        let interval = u64::try_from(INTERVAL.as_millis()).unwrap();

        let mut compared = Compared {
            of: format!("{service}, {}", severity(urgency)),
            ours: changes(ours.iter().map(|it| (it.at, it.fires))),
            theirs: changes(seen.evaluated.iter().map(|at| (*at, firing.contains(at)))),
            quiet: 0,
            firing: 0,
            near: 0,
            unseen: 0,
        };
        let mut differences = Vec::new();
        for at in &seen.evaluated {
            // They know what they scraped, at most one interval ago, and say it at most one later.
            let since = at.saturating_sub(2 * interval);
            let may_know: Vec<&Judged> = ours
                .iter()
                .filter(|it| (since..=*at).contains(&it.at))
                .collect();
            let in_time = |it: &&u64| (since..=*at).contains(it);
            // On a machine that stood still, nobody looked or nobody scraped.
            if may_know.len() < 10 || seen.scraped.iter().filter(in_time).count() < 2 {
                compared.unseen += 1;
                continue;
            }
            let expected = if may_know.iter().all(|it| it.of_threshold >= 1.1) {
                true
            } else if may_know.iter().all(|it| it.of_threshold <= 0.9) {
                false
            } else {
                compared.near += 1;
                continue;
            };
            match expected {
                true => compared.firing += 1,
                false => compared.quiet += 1,
            }
            if firing.contains(at) != expected {
                differences.push((at - seen.scraped[0], expected));
            }
        }
        println!("{compared}");
        assert!(
            differences.is_empty(),
            "{compared}; they don't say what we say (milliseconds after the first scrape): {differences:?}"
        );
        compared
    }
}

/// What we said of a service at a moment.
struct Judged {
    at: u64,
    fires: bool,
    /// How much of the factor the slower of both windows burned; of several pairs, the most.
    of_threshold: f64,
    /// The burn rate over five minutes.
    burn: f64,
}

impl Seen {
    /// What the process said of itself must be what we make of its counters: it brings that up to date once a second,
    /// and a busy machine may keep it from doing so.
    #[track_caller]
    fn assert_judged_as_the_process_does(&self, judged: &[Judged]) {
        let mut compared = 0;
        for look in &self.looks {
            let lately = look.at.saturating_sub(3_000)..=look.at;
            let burns = judged.iter().filter(|it| lately.contains(&it.at));
            let burns: Vec<f64> = burns.map(|it| it.burn).collect();
            // It may have been brought up to date between two looks: of few requests, one says much.
            if burns.len() < 10 || look.counters.total() < 100 {
                continue;
            }
            let least = burns.iter().copied().fold(f64::INFINITY, f64::min);
            let most = burns.iter().copied().fold(0.0, f64::max);
            assert!(
                (least * 0.95..=most * 1.05).contains(&look.burn),
                "{} is not within {least} and {most}",
                look.burn
            );
            compared += 1;
        }
        assert!(compared * 2 > self.looks.len(), "{compared} looks");
    }

    fn judged(&self, pairs: &[&BurnPair]) -> Vec<Judged> {
        let target = Ratio::try_from(TARGET).unwrap();
        let mut window = Window::new(&objective_levels(PERIOD));
        let first = self.scraped[0];
        let (before, after): (Vec<&Look>, Vec<&Look>) =
            self.looks.iter().partition(|it| it.at <= first);
        let mut last = before.last().copied().copied().unwrap_or_default();
        let mut judged = Vec::new();
        for look in after {
            let now = Instant::from_nanos(look.at * 1_000_000);
            let passed = Duration::from_millis(look.at - last.at.max(first));
            window.add(now, passed, &look.counters.since(last.counters));
            last = *look;
            let within = |span| window.sum(now, span).amount;
            let burn = |span| within(span).burn_rate(target).unwrap_or(0.0);
            judged.push(Judged {
                at: look.at,
                burn: burn(Duration::from_secs(300)),
                fires: pairs
                    .iter()
                    .any(|it| it.fires(target, PERIOD, within(it.long), within(it.short))),
                of_threshold: pairs
                    .iter()
                    .map(|it| burn(it.long).min(burn(it.short)) / it.factor(PERIOD))
                    .fold(0.0, f64::max),
            });
        }
        judged
    }
}

/// When two of them began and ended to fire.
struct Compared {
    of: String,
    ours: Vec<u64>,
    theirs: Vec<u64>,
    /// Evaluations in which theirs must not fire.
    quiet: usize,
    /// Those in which it must.
    firing: usize,
    /// Those too near to the threshold, or to a change.
    near: usize,
    /// Those about which nothing can be said.
    unseen: usize,
}

impl Compared {
    #[track_caller]
    fn never_fires(&self) {
        assert_eq!((&self.ours[..], &self.theirs[..]), (&[][..], &[][..]));
        assert!(self.quiet > self.near + self.unseen, "{self}");
    }

    /// That there was something to compare: so many changes.
    #[track_caller]
    fn changes(&self, min: usize, max: usize) {
        for changes in [&self.ours, &self.theirs] {
            assert!((min..=max).contains(&changes.len()), "{self}");
        }
        let all = self.quiet + self.firing + self.near + self.unseen;
        assert!(self.firing > 0 && self.unseen * 2 < all, "{self}");
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            of, quiet, firing, ..
        } = self;
        let (near, unseen) = (self.near, self.unseen);
        write!(
            out,
            "{of}: of evaluations, {quiet} had to be quiet, {firing} firing"
        )?;
        write!(out, ", {near} were near, {unseen} unseen")?;
        let (ours, theirs) = (self.ours.len(), self.theirs.len());
        write!(out, "; {ours} changes of ours, {theirs} of theirs")?;
        for (ours, theirs) in self.ours.iter().zip(&self.theirs) {
            let later = *theirs as f64 - *ours as f64;
            write!(out, ", theirs {later:+} ms")?;
        }
        Ok(())
    }
}

/// When it changed; it begins with `false`.
fn changes(all: impl Iterator<Item = (u64, bool)>) -> Vec<u64> {
    let mut was = false;
    let changed = all.filter(|(_, is)| std::mem::replace(&mut was, *is) != *is);
    changed.map(|(at, _)| at).collect()
}

impl Prometheus {
    /// When it has samples, by the labels of the series.
    fn times(&self, series: &str) -> Vec<(Value, Vec<u64>)> {
        let data = self.ask("query", Some(&format!("{series}[1h]"))).unwrap();
        let all = data["result"].as_array().unwrap();
        let milliseconds = |sample: &Value| (sample[0].as_f64().unwrap() * 1e3).round() as u64;
        all.iter()
            .map(|it| {
                let values = it["values"].as_array().unwrap();
                (
                    it["metric"].clone(),
                    values.iter().map(milliseconds).collect(),
                )
            })
            .collect()
    }
}

fn of<'a>(services: &'a mut BTreeMap<&'static str, Seen>, labels: &Value) -> &'a mut Seen {
    services
        .get_mut(labels["service"].as_str().unwrap())
        .unwrap()
}

fn severity(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Page => "page",
        Urgency::Ticket => "ticket",
    }
}

/// Services that are told apart by the host that is asked for. Nothing stands in the way of failures.
fn configuration(pairs: &[BurnPair], offers: &[Offer], endpoint: SocketAddr) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|it| {
            format!(
                "{{ budget = \"{}%\", long = \"{}s\", short = \"{}s\", severity = \"{}\" }}",
                (it.budget_share.get() * 100.0).round(),
                it.long.as_secs(),
                it.short.as_secs(),
                severity(it.urgency)
            )
        })
        .collect();
    let mut text = format!(
        "[gateway]\nlisten = [\"127.0.0.1:0\"]\nthreads = 2\n[ops]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n\
         [defaults.protect]\nbreaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n\
         [governor]\npairs = [{}]\n",
        pairs.join(", ")
    );
    for Offer { name, .. } in offers {
        text.push_str(&format!(
            "[service.{name}]\nendpoints = [\"http://{endpoint}\"]\n\
             objective.availability = {{ target = \"{}%\", period = \"{}s\" }}\n\
             [[route]]\nname = \"{name}\"\nservice = \"{name}\"\nhost = \"{name}\"\n",
            TARGET * 100.0,
            PERIOD.as_secs()
        ));
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "real processes are waited for")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}
