//! Who counts as one tenant: floods gain nothing, and nothing grows.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_nanos(1_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const SALT: Salt = Salt::new(3, 4);

#[test]
fn without_a_key_the_address_is_the_tenant() {
    let known = known(64);
    let identified = known.identify(None, address(1));
    assert_eq!(identified.tenant, SALT.address(address(1)));
    assert_eq!(identified.weight, Weight::DEFAULT);
    assert_eq!(identified.unlisted_key, None);
    assert_eq!(known.identify(Some(b""), address(1)), identified);
}

#[test]
fn a_configured_key_has_its_name_and_weight_from_any_address() {
    let listed = |key: &[u8], name, weight: f32| ConfiguredTenant {
        key: SALT.key(key),
        name,
        tenant: SALT.name(["alice", "bob"][name as usize]),
        weight: weight.try_into().unwrap(),
    };
    let tenants = [
        listed(b"a", 0, 5.0),
        listed(b"b", 1, 0.5),
        listed(b"a2", 0, 5.0),
    ];
    let known = KnownTenants::new(SALT, &tenants, 64);
    let first = known.identify(Some(b"a"), address(1));
    assert_eq!((first.name, first.weight.get()), (Some(0), 5.0));
    assert_eq!(known.identify(Some(b"a"), address(2)), first);
    assert_eq!(known.identify(Some(b"a2"), address(2)), first);
    let other = known.identify(Some(b"b"), address(1));
    assert_eq!((other.name, other.weight.get()), (Some(1), 0.5));
    assert_ne!(other.tenant, first.tenant);
}

#[test]
fn two_good_answers_a_second_apart_make_a_key_known() {
    let mut known = known(64);
    assert!(!is_known(&known, b"key"));
    good(&mut known, START, b"key", 1);
    good(&mut known, START + SECOND / 2, b"key", 1);
    assert!(!is_known(&known, b"key"), "half a second is too short");
    good(&mut known, START + SECOND, b"key", 1);
    assert!(is_known(&known, b"key"));
    // From then on it is the key that counts, wherever it comes from.
    assert_eq!(
        known.identify(Some(b"key"), address(1)).tenant,
        known.identify(Some(b"key"), address(2)).tenant
    );
}

#[test]
fn a_million_fresh_keys_from_one_address_are_one_tenant_and_no_memory() {
    let mut known = known(KnownTenants::ENTRIES_MAX);
    let before = known.memory_bytes();
    let mut tenants = BTreeSet::new();
    for request in 0..1_000_000_u64 {
        // Even where the service likes every key.
        let key = request.to_le_bytes();
        tenants.insert(known.identify(Some(&key), address(1)).tenant);
        let now = START + Duration::from_micros(request * 50);
        good(&mut known, now, &key, 1);
    }
    assert_eq!(tenants, BTreeSet::from([SALT.address(address(1))]));
    assert_eq!(known.memory_bytes(), before);
    println!(
        "{} entries of {} bytes: {before} bytes a thread",
        KnownTenants::ENTRIES_MAX,
        size_of::<Entry>()
    );
    assert!(before <= 132_000, "{before}");
}

#[test]
fn an_address_proves_eight_keys_and_no_more() {
    let mut known = known(4_096);
    prove(&mut known, START, 0..100, 1);
    assert_eq!(count_known(&known, 0..100), 8);
    // Another address has its own.
    prove(&mut known, START, 100..200, 2);
    assert_eq!(count_known(&known, 0..200), 16);
}

#[test]
fn keys_that_age_make_room_for_new_ones_of_the_same_address() {
    let mut known = known(4_096);
    prove(&mut known, START, 0..8, 1);
    let later = START + SECOND + AGE_MAX;
    prove(&mut known, later, 100..200, 1);
    assert_eq!(count_known(&known, 100..200), 8);
    assert_eq!(count_known(&known, 0..200), 8, "never more than eight");
}

#[test]
fn a_key_in_use_is_not_replaced_and_one_that_aged_is() {
    // One set of eight, full of proven keys of eight addresses.
    let mut known = known(8);
    for key in 0..8 {
        prove(&mut known, START, key..key + 1, key as u8);
    }
    let mut now = START;
    for _ in 0..20 {
        now += AGE_MAX / 4;
        (0..7_u64).for_each(|key| good(&mut known, now, &key.to_le_bytes(), 99));
    }
    prove(&mut known, now, 100..101, 50);
    assert_eq!(count_known(&known, 0..7), 7);
    assert_eq!(count_known(&known, 7..8), 0, "unused, so it made room");
    assert_eq!(count_known(&known, 100..101), 1);
    prove(&mut known, now, 200..300, 51);
    assert_eq!(count_known(&known, 200..300), 0, "the set is in use");
}

#[test]
fn a_flood_from_one_address_does_not_keep_others_from_being_known() {
    let mut known = known(256);
    good(&mut known, START, b"honest", 2);
    for request in 0..100_000_u64 {
        let now = START + Duration::from_micros(request * 10);
        good(&mut known, now, &request.to_le_bytes(), 1);
    }
    good(&mut known, START + SECOND, b"honest", 2);
    assert!(is_known(&known, b"honest"));
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_a_key_from_being_known() {
    let mut known = known(64);
    good(&mut known, START + SECOND * 3_600, b"key", 1);
    good(&mut known, START, b"key", 1);
    good(&mut known, START + SECOND, b"key", 1);
    assert!(is_known(&known, b"key"));
}

proptest! {
    /// Safety: whatever comes in whatever order, an address never has more than its eight tenants and itself.
    #[test]
    fn an_address_never_holds_more_than_eight_keys(
        events in vec((0_u64..30, 0_u8..3, 0_u64..2_000_000), 1..400),
    ) {
        let mut known = known(64);
        let mut now = START;
        for (key, from, wait) in events {
            now += Duration::from_millis(wait);
            good(&mut known, now, &key.to_le_bytes(), from);
            for from in 0..3 {
                let tenant = SALT.address(address(from));
                let held = known.sets.as_flattened().iter().filter(|entry| {
                    entry.state == State::Proven && entry.address == tenant
                });
                prop_assert!(held.count() <= PROVEN_PER_ADDRESS);
            }
        }
    }
}

fn known(entries_max: usize) -> KnownTenants {
    KnownTenants::new(SALT, &[], entries_max)
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn good(known: &mut KnownTenants, now: Instant, key: &[u8], from: u8) {
    known.on_good_answer(now, SALT.key(key), address(from));
}

/// Each key gets two good answers a second apart, one key after the other.
fn prove(known: &mut KnownTenants, now: Instant, keys: std::ops::Range<u64>, from: u8) {
    for key in keys {
        good(known, now, &key.to_le_bytes(), from);
        good(known, now + SECOND, &key.to_le_bytes(), from);
    }
}

fn count_known(known: &KnownTenants, keys: std::ops::Range<u64>) -> usize {
    keys.filter(|key| is_known(known, &key.to_le_bytes()))
        .count()
}

fn is_known(known: &KnownTenants, key: &[u8]) -> bool {
    let elsewhere = address(250);
    known.identify(Some(key), elsewhere).tenant != SALT.address(elsewhere)
}
