//! Goal: whoever asks for ten times the capacity takes it from itself, not from its neighbours.

use super::arrivals::{Arrivals, share_good};
use super::overload::{CAPACITY, IN_TIME, WARM_UP, station, unstarved};
use super::*;
use crate::child::Service;

/// The share of a neighbour's requests that are good beside a flood with these fields.
fn neighbour(more: &str, flood_fields: fn(u64) -> String) -> f64 {
    let (plimsoll, (flood, light)) = unstarved(|| {
        let service = station();
        let (_home, plimsoll) = before(&[service.address], "", more);
        let mut flood = Arrivals::to(plimsoll.address(), CAPACITY * 5);
        flood.fields = flood_fields;
        let mut light = Arrivals::to(plimsoll.address(), CAPACITY / 5);
        light.from = STRANGER;
        let (flood, light) = (flood.start(), light.start());
        light.wait_begun(u64::from(CAPACITY) / 5 * 10);
        (plimsoll, (flood.stop(), light.stop()))
    });
    let refused = flood.iter().filter(|it| it.status == 503).count();
    assert!(
        refused * 2 > flood.len(),
        "there was no flood: {refused} of {} were refused",
        flood.len()
    );
    settled(&plimsoll, (flood.len() + light.len()) as u64);
    share_good(light.iter().filter(|it| it.at > WARM_UP), IN_TIME)
}

#[test]
fn a_flood_from_one_address_does_not_hurt_another() {
    let share = neighbour("", |_| String::new());
    assert!(
        share >= 0.9,
        "{share} of the neighbour's requests were good"
    );
}

#[test]
fn a_flood_gains_nothing_by_a_new_key_for_each_request() {
    let share = neighbour("tenant = \"x-api-key\"\n", |number| {
        format!(
            "X-Api-Key: {:x}\r\n",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
    });
    assert!(
        share >= 0.9,
        "{share} of the neighbour's requests were good"
    );
}

#[test]
fn a_key_that_is_not_there_is_said_at_the_start() {
    let service = Service::start();
    let home = Home::new();
    let absent = home.path("absent.key").display().to_string();
    for (key, place) in [
        ("{ env = \"E2E_ABSENT_KEY\" }".to_owned(), "E2E_ABSENT_KEY"),
        (format!("{{ file = \"{absent}\" }}"), "absent.key"),
    ] {
        let more = format!("tenant = \"x-api-key\"\n[tenant.acme]\nkeys = [{key}]\n");
        let config = home.write(&config(&[service.address], "", &more));
        let mut plimsoll = Plimsoll::spawn(home.command(&["run", "--config", &config]));
        assert!(!plimsoll.ended().success());
        plimsoll.wait_for(place);
        assert!(!plimsoll.said().contains("serving"), "{}", plimsoll.said());
        assert!(!plimsoll.said().contains("panicked"), "{}", plimsoll.said());
    }
}
