//! Goal: a limit that was found survives a restart, and a damaged file costs no more than itself.

use std::time::Duration;

use super::arrivals::Arrivals;
use super::overload::{CAPACITY, station};
use super::station::Station;
use super::*;
use crate::load::Offer;

/// What a limit starts at where nothing is known.
const START: u64 = 20;

fn kept_limit(home: &Home) -> u64 {
    let bytes = std::fs::read(home.path("state").join("limits.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    kept["app"]["limit"].as_u64().unwrap()
}

fn end(mut plimsoll: Plimsoll) {
    plimsoll.terminate();
    assert!(plimsoll.ended().success(), "{}", plimsoll.said());
}

#[test]
fn a_limit_that_was_found_above_the_start_survives_a_restart() {
    let service = Station::start(200, Duration::from_millis(100));
    let (home, plimsoll) = before(&[service.address], "", "");
    // More and more, so that it is the service's answers and not a burst that raises the limit.
    let mut loads = Vec::new();
    for clients in 1..=6_u32 {
        loads.push(Offer::to(plimsoll.address(), 10).start());
        wait_until("the limit has grown", || {
            service.present_most() >= (clients * 10).min(45)
        });
    }
    for load in loads {
        load.stop();
    }
    end(plimsoll);
    let found = kept_limit(&home);
    assert!(found > START + 10, "{found}");
    end(home.run(&[]));
    assert_eq!(kept_limit(&home), found);
}

#[test]
fn a_limit_that_was_found_below_the_start_survives_a_restart() {
    let service = station();
    let (home, plimsoll) = before(&[service.address], "", "");
    let load = Arrivals::to(plimsoll.address(), CAPACITY * 3).start();
    load.wait_begun(u64::from(CAPACITY) * 3 * 6);
    load.stop();
    end(plimsoll);
    let found = kept_limit(&home);
    assert!(
        (1..START - 5).contains(&found),
        "{found} for a service with 4 places"
    );

    // Nothing is asked of it: what it ends with is what it began with.
    let plimsoll = home.run(&[]);
    let text = metrics(&plimsoll);
    if text.contains("plimsoll_limit{") {
        assert_eq!(
            metric(&text, "plimsoll_limit", &["service=\"app\""]) as u64,
            found
        );
    }
    end(plimsoll);
    assert_eq!(kept_limit(&home), found);
}

#[test]
fn a_damaged_file_of_limits_is_a_warning_and_absurd_ones_refuse_nothing() {
    let service = station();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    std::fs::create_dir_all(home.path("state")).unwrap();
    let file = home.path("state").join("limits.json");
    let app = |limit: &str, seconds: &str| {
        format!(
            "{{\"app\":{{\"limit\":{limit},\"median_unbound_seconds\":{seconds},\"p50_seconds\":{seconds},\"p90_seconds\":{seconds}}}}}"
        )
    };
    for (text, warns) in [
        ("{ garbage".to_owned(), true),
        (String::new(), true),
        ("[1, 2]".to_owned(), true),
        (app("-3", "0.1"), true),
        (app("99999999999999", "0.1"), true),
        (app("0", "0"), false),
        (app("4294967295", "1e300"), false),
        (app("5", "-1"), false),
        ("{\"gone\":{\"limit\":7,\"median_unbound_seconds\":0,\"p50_seconds\":0,\"p90_seconds\":0}}".to_owned(), false),
    ] {
        std::fs::write(&file, &text).unwrap();
        let plimsoll = home.run(&[]);
        assert_eq!(plimsoll.said().contains("limits.json"), warns, "{text}: {}", plimsoll.said());
        let tally = Offer::to(plimsoll.address(), 1).run(10);
        assert_eq!(tally.status(200), 10, "{text}: {:?} {:?}", tally.answered, tally.failed);
        end(plimsoll);
    }
}
