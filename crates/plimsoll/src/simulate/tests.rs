use super::*;

/// A shipped scenario, run with one seed: how it went with Plimsoll, and with everything off.
fn shipped(name: &str) -> (Scenario, Vec<Ledger>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let given = read_scenario(&path.join(name).with_extension("toml"), Run::ByRequest).unwrap();
    let settings = settings(&given.scenario, &[]).unwrap();
    let runs = run_all(&given.scenario, &[], &settings, 1, 0);
    (given.scenario, runs.into_iter().flatten().collect())
}

/// The share of good users with each arm, in a phase and of a workload by name.
fn good(run: &(Scenario, Vec<Ledger>), phase: &str, workload: &str) -> [f64; 2] {
    let (scenario, ledgers) = run;
    let phase = scenario.phases.iter().position(|it| it.name == phase);
    let workload = scenario.workloads.iter().position(|it| it.name == workload);
    [0, 1].map(|arm| {
        let cell = ledgers[arm]
            .cell(phase.unwrap(), workload.unwrap())
            .unwrap();
        cell.good.iter().sum::<u64>() as f64 / cell.users.iter().sum::<u64>() as f64
    })
}

#[track_caller]
fn check(shares: [f64; 2], with_min: f64, without_max: f64) {
    let [with, without] = shares;
    assert!(with >= with_min, "with: {with:.3}");
    assert!(without <= without_max, "without: {without:.3}");
}

#[test]
fn a_flash_sale_is_served_as_far_as_it_can_be() {
    let run = shipped("flash-sale");
    check(good(&run, "before", "shoppers"), 0.99, 1.0);
    check(good(&run, "sale", "shoppers"), 0.25, 0.05);
    check(good(&run, "after", "shoppers"), 0.98, 1.0);
}

#[test]
fn a_retry_storm_ends_with_its_trigger() {
    let run = shipped("retry-storm");
    check(good(&run, "before", "clients"), 0.99, 1.0);
    check(good(&run, "later", "clients"), 0.99, 0.5);
}

#[test]
fn a_noisy_neighbour_is_heard_by_nobody() {
    let run = shipped("noisy-neighbour");
    check(good(&run, "flood", "tenants"), 0.9, 0.3);
}

#[test]
fn a_frozen_endpoint_is_left_out() {
    let run = shipped("slow-dependency");
    check(good(&run, "frozen", "readers"), 0.97, 0.9);
}

#[test]
fn a_herd_does_not_trample_the_service() {
    let run = shipped("thundering-herd");
    check(good(&run, "herd", "devices"), 0.6, 0.3);
    check(good(&run, "after", "devices"), 0.95, 0.5);
}

#[test]
fn a_service_with_cold_caches_is_warmed_up_by_what_it_can_carry() {
    let run = shipped("cold-cache");
    check(good(&run, "cold", "readers"), 0.5, 0.1);
    check(good(&run, "after", "readers"), 0.9, 0.1);
}

#[test]
fn a_slow_service_does_not_take_those_down_that_can_do_without_it() {
    let run = shipped("dependency-down");
    // 85 % of the visitors need nothing of it.
    check(good(&run, "slow", "visitors"), 0.7, 0.05);
    check(good(&run, "after", "visitors"), 0.99, 0.6);
    let report = Report {
        name: "dependency-down",
        scenario: &run.0,
        seeds: 1,
        first_seed: 1,
        arms: vec![(Arm::Plimsoll, vec![run.1[0].clone()])],
    };
    let table = report.table(&[]);
    let rows = ["shop \u{2192} orders", "orders \u{2192} inventory"];
    for row in rows {
        assert_eq!(table.matches(row).count(), 3, "{table}");
    }
    // Users are those that came, not the calls that were made for them.
    let json = report.json(&[]);
    let phase = &json["phases"][1];
    assert!(phase["workloads"][rows[0]].is_null());
    assert!(phase["calls"][rows[0]]["plimsoll"]["attempts"].as_u64() > Some(0));
    let users = run.1[0]
        .cells_of_users()
        .map(|cell| report::sum(&cell.users));
    assert!(report.setup().contains("48,") && users.sum::<u64>() < 49_000);
}

#[test]
fn endpoints_that_ran_out_of_memory_are_not_held_down() {
    let run = shipped("out-of-memory");
    check(good(&run, "surge", "shoppers"), 0.5, 0.1);
    check(good(&run, "later", "shoppers"), 0.99, 0.05);
}

#[test]
fn a_bad_deploy_hurts_few() {
    let run = shipped("bad-deploy");
    check(good(&run, "deployed", "buyers"), 0.99, 0.95);
}

#[test]
fn the_region_that_is_left_goes_on() {
    let run = shipped("regional-failover");
    check(good(&run, "one left", "home"), 0.4, 0.05);
    check(good(&run, "back", "home"), 0.9, 0.6);
}

#[test]
fn a_month_has_a_budget_and_a_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/month.toml");
    let mut given = read_scenario(&path, Run::Fluid).unwrap();
    // Two days of it.
    given.scenario.phases.truncate(1);
    given.scenario.phases[0].lasts = Duration::from_secs(2 * 86_400);
    given.scenario.faults.truncate(1);
    let settings = settings(&given.scenario, &[]).unwrap();
    let runs = fluid::run(&given.scenario, &settings).unwrap();
    let text = fluid::budgets(&given.scenario, &runs);
    // An endpoint that fails is held out; without policies it costs a budget that is small beside the month.
    for (arm, left) in [("plimsoll", "100.0"), ("off", "99.0")] {
        let said = format!("shop {arm}: {left} % left of 1.0% over 28d; ");
        assert!(text.contains(&said), "{text}");
    }
    let budgets = fluid::json(&given.scenario, &runs);
    let points = budgets["plimsoll"]["shop"]["budget"].as_array().unwrap();
    assert_eq!(points.len(), 48);
}

/// What is printed of a scenario.
fn printed(text: &str) -> String {
    let scenario = scenario::parse(text).unwrap();
    let settings = settings(&scenario, &[]).unwrap();
    let runs = run_all(&scenario, &[], &settings, 1, 0);
    let report = Report {
        name: "shop",
        scenario: &scenario,
        seeds: 1,
        first_seed: 1,
        arms: settings.iter().map(|it| it.arm).zip(runs).collect(),
    };
    report.table(&settings)
}

#[test]
fn a_table_has_who_came_and_all_of_them_first() {
    let service = "[service.shop]\nworkers = 4\ntime = \"10ms\"\n";
    let people = "[workload.people]\nrate = \"100/s\"\n";
    let nobody = "[workload.nobody]\nrate = \"0/s\"\n";
    let phases = |names: &[&str]| -> String {
        let phase = |name| format!("[[phase]]\nname = \"{name}\"\nlasts = \"2s\"\n");
        names.iter().map(phase).collect()
    };
    let rows = |text: &str| -> Vec<String> {
        let table = printed(text);
        let rows = table.lines().skip_while(|line| !line.starts_with("phase"));
        let rows = rows.skip(1).take_while(|line| !line.is_empty());
        let names = rows.map(|row| row.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
        names.collect()
    };
    let many = format!("{service}{people}{nobody}{}", phases(&["one", "two"]));
    assert_eq!(
        rows(&many),
        [
            "all all plimsoll",
            "all all off",
            "one people plimsoll",
            "one people off",
            "two people plimsoll",
            "two people off"
        ]
    );
    // One row of users is all of them.
    let single = format!("{service}{people}{nobody}{}", phases(&["one"]));
    assert_eq!(rows(&single), ["one people plimsoll", "one people off"]);
    let empty = format!("{service}{nobody}{}", phases(&["one"]));
    assert_eq!(rows(&empty), ["all all plimsoll", "all all off"]);
}

#[test]
fn a_table_says_who_would_have_come_again_after_the_end() {
    let text = |lasts| {
        format!(
            "[service.shop]\nworkers = 4\ntime = \"10ms\"\n[workload.people]\nrate = \"50/s\"\n\
             retry = {{ attempts = 2, pause = \"1h\" }}\n[[phase]]\nname = \"all\"\nlasts = \"4s\"\n\
             [[fault]]\nkind = \"crash\"\nat = \"1s\"\nlasts = \"{lasts}\"\n"
        )
    };
    let cut = |text: &str| {
        let table = printed(text);
        let line = table
            .lines()
            .find(|it| it.contains("paused before another try"));
        line.map(str::to_owned)
    };
    let said = cut(&text("3s")).unwrap();
    assert!(said.contains("not answered: plimsoll 1"), "{said}");
    // At the beginning nobody is there yet.
    assert_eq!(
        cut(&text("1ms").replace("at = \"1s\"", "at = \"0s\"")),
        None
    );
}

#[test]
fn decisions_are_made_at_what_a_service_burns_because_of() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let scenario = path.join("governed-dependency.toml");
    let given = read_scenario(&scenario, Run::ByRequest).unwrap();
    let loaded = configuration::from_file(&path.join("config/governed.toml")).unwrap();
    let mut settings = settings(&given.scenario, &[loaded]).unwrap();
    assert!(settings[1].governed.is_none(), "without policies");
    settings.truncate(1);
    let runs = run_all(&given.scenario, &[], &settings, 1, 0);
    let decisions = &runs[0][0].decisions().unwrap().noted;
    let of = |service: &str, what: &str| {
        let all = decisions.iter();
        let mine = all.filter(|it| it.service == service && it.what == what);
        mine.collect::<Vec<_>>()
    };
    let moves = of("orders", "move");
    assert!(
        moves
            .iter()
            .any(|it| it.moved.is_some_and(|(_, from, _)| from == 0))
    );
    let last = moves.last().and_then(|it| it.moved);
    assert!(last.is_some_and(|(_, _, to)| to == 0), "{moves:?}");
    assert!(of("shop", "move").is_empty());
    assert!(!of("shop", "defer").is_empty());
    let arms = [(Arm::Plimsoll, runs[0].clone())];
    let text = governed::text(&arms, 1);
    assert!(text.contains("burns because orders does"), "{text}");
    let json = governed::json(&arms);
    let noted = json["plimsoll"]["first_seed"].as_array().unwrap();
    assert_eq!(
        noted.len() as u64,
        json["plimsoll"]["count"].as_u64().unwrap()
    );
}
