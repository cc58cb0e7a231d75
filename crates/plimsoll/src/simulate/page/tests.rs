use plimsoll_config::scenario;

use super::super::{Given, run_all, settings};
use super::*;
use crate::configuration::{self, Loaded};

/// What a page may weigh.
const BYTES_MAX: usize = 300 << 10;

const SHOP: &str = r#"
    about = "half of <b>all</b> workers & a crash"
    gateways = 2
    [service.shop]
    endpoints = 4
    workers = 4
    time = "20ms"
    objective = "200ms"
    [workload.people]
    rate = "700/s"
    patience = "1s"
    retry = 3
    classes = { critical = "20%", sheddable = "20%" }
    [[phase]]
    name = "before"
    lasts = "3s"
    [[phase]]
    name = "fault"
    lasts = "5500ms"
    [[fault]]
    kind = "capacity"
    share = "50%"
    at = "3s"
    lasts = "3s"
    [[fault]]
    kind = "crash"
    endpoints = 2
    after = 1
    at = "4s"
    lasts = "2s"
"#;

fn page(text: &str, loaded: &[Loaded], seeds: u64) -> String {
    let given = Given {
        scenario: scenario::parse(text).unwrap(),
        text: text.to_owned(),
        replays: Vec::new(),
        memory: 0.0,
    };
    let settings = settings(&given.scenario, loaded).unwrap();
    let runs = run_all(&given.scenario, &[], &settings, seeds, 2);
    let report = Report {
        name: "shop",
        scenario: &given.scenario,
        seeds,
        first_seed: 1,
        arms: settings.iter().map(|it| it.arm).zip(runs).collect(),
    };
    let page = Page {
        report: &report,
        settings: &settings,
        command: "plimsoll simulate shop.toml",
        scenario_text: &given.text,
    };
    page.html()
}

fn configuration(more: &str) -> Loaded {
    promising("target = \"95%\"", more)
}

/// Whose objective for latency has also these keys.
fn promising(objective: &str, more: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plimsoll.toml");
    let text = format!(
        r#"
        [tenant.acme]
        keys = ["a-secret-key"]
        [service.shop]
        endpoints = ["http://127.0.0.1:9001"]
        [service.shop.objective.latency]
        {objective}
        below = "200ms"
        [[route]]
        service = "shop"
        {more}"#
    );
    std::fs::write(&file, text).unwrap();
    configuration::from_file(&file).unwrap()
}

#[track_caller]
fn is_sound(page: &str) {
    assert!(page.len() < BYTES_MAX, "{}", page.len());
    for never in [
        "NaN", "<script", " style=", "http://", "https://", "src=", "@import",
    ] {
        assert!(!page.contains(never), "{never}");
    }
}

#[test]
fn a_page_is_the_same_to_the_byte_and_needs_nothing_else() {
    let first = page(SHOP, &[], 1);
    is_sound(&first);
    assert_eq!(first, page(SHOP, &[], 1));
    assert!(first.contains("half of &lt;b&gt;all&lt;/b&gt; workers &amp; a crash"));
    assert!(first.contains("without its policies"));
    assert!(first.contains("with all policies off: each endpoint in its turn, whatever it does"));
    // Both faults, and what of the service they are at.
    assert!(first.contains("capacity: 50.0 % of workers left"));
    assert!(first.contains("crash, at endpoints 2 to 3 of 4"));
    // One run has no intervals.
    assert!(first.contains("--seeds 10") && !first.contains("class=\"whisker\""));
}

#[test]
fn two_configurations_are_compared_and_their_secrets_stay_with_them() {
    let usual = configuration("");
    let small = configuration("[service.shop.protect]\nlimiter = 1");
    let page = page(SHOP, &[usual, small], 3);
    is_sound(&page);
    assert!(page.contains("Difference: B less A") && page.contains("class=\"whisker\""));
    // With room for one request at a time nearly all are refused.
    assert!(page.contains("fewer in time with B"));
    assert!(page.contains("95.0 % of users within 200 ms"));
    assert!(!page.contains("a-secret-key"));
}

#[test]
fn each_configuration_is_judged_by_its_own_objective() {
    let both = [
        configuration(""),
        promising("target = \"98%\"\nperiod = \"7d\"", ""),
    ];
    let settings = settings(&scenario::parse(SHOP).unwrap(), &both).unwrap();
    let promised = settings.iter().map(|setting| {
        let (target, period) = setting.objectives[0];
        (setting.arm, target.get(), period.as_secs() / 86_400)
    });
    let expected = [(Arm::A, 0.95, 28), (Arm::B, 0.98, 7), (Arm::Off, 0.95, 28)];
    assert_eq!(promised.collect::<Vec<_>>(), expected);
    let page = page(SHOP, &both, 1);
    assert!(page.contains("Each as it is configured, as if the run were the period"));
    for promise in ["95.0 %", "98.0 %"] {
        let said = format!(", of {promise} of users within 200 ms</span>");
        assert!(page.contains(&said), "{said}");
    }
}

#[test]
fn twice_the_same_configuration_shows_no_difference() {
    let both = [configuration(""), configuration("")];
    let page = page(SHOP, &both, 2);
    assert!(page.contains("no difference shown"));
    assert!(!page.contains("class=\"better\"") && !page.contains("class=\"worse\""));
}

#[test]
fn many_services_and_a_long_run_still_make_a_small_page() {
    let mut text = String::from("threads = 1\n");
    for service in 0..12 {
        text.push_str(&format!(
            "[service.s{service}]\nworkers = 4\ntime = \"20ms\"\n"
        ));
        text.push_str(&format!(
            "[workload.w{service}]\nservice = \"s{service}\"\nrate = \"{}/s\"\npatience = \"500ms\"\n",
            60 + 20 * service
        ));
    }
    for phase in 0..8 {
        text.push_str(&format!(
            "[[phase]]\nname = \"p{phase}\"\nlasts = \"15s\"\n"
        ));
    }
    // Three arms weigh the most.
    let service = |index| format!("[service.s{index}]\nendpoints = [\"http://127.0.0.1:9001\"]\n");
    let more: String = (0..12).map(service).collect();
    let page = page(&text, &[configuration(&more), configuration(&more)], 2);
    is_sound(&page);
    assert!(page.contains("Drawn are the 3 services"));
    assert_eq!(page.matches("<h2 id=\"service-").count(), 3);
}

#[test]
fn the_demo_and_whatever_has_many_phases_and_faults_make_a_small_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/demo.toml");
    let demo = std::fs::read_to_string(path).unwrap();
    is_sound(&page(&demo, &[], 1));
    // Three arms weigh the most.
    let service = |name| format!("[service.{name}]\nendpoints = [\"http://127.0.0.1:9001\"]\n");
    let services = ["catalog", "checkout", "recommendations", "search"].map(service);
    let [a, b] = [(); 2].map(|()| configuration(&services.concat()));
    is_sound(&page(&demo, &[a, b], 2));
    let mut text = SHOP.to_owned();
    for index in 0..400 {
        text.push_str(&format!(
            "[[phase]]\nname = \"phase {index}\"\nlasts = \"10ms\"\n"
        ));
        text.push_str("[[fault]]\nkind = \"slow\"\ntimes = 2\nat = \"1s\"\nlasts = \"10ms\"\n");
    }
    let page = page(&text, &[], 1);
    is_sound(&page);
    assert!(page.contains("20 of 402 phases and 10 of 402 faults"));
    // Those that last are among them.
    assert!(page.contains("crash, at endpoints 2 to 3 of 4"));
}

#[test]
fn a_scenario_that_nobody_comes_to_has_a_page_that_says_so() {
    let text = "[service.shop]\nworkers = 1\ntime = \"1ms\"\n[workload.nobody]\nrate = \"0/s\"\n\
                [[phase]]\nname = \"quiet\"\nlasts = \"2s\"\n";
    let page = page(text, &[], 2);
    is_sound(&page);
    assert!(page.contains("Nobody came"));
    // Latency is hatched, and the budget has no water.
    assert!(page.contains("class=\"gap\"") && !page.contains("class=\"waterline"));
}
