//! Goal: what any store must do. Written against the trait, so that another store runs the same tests.
//!
//! Method: a function for each promise, which is given two stores of two writers on the same place.

use plimsoll_core::Timestamp;
use plimsoll_store::{
    Addition, Additions, Amount, BODY_BYTES_MAX, Cursor, Entry, Filter, Hash, Identity,
    RESOLUTIONS, Store,
};

use crate::{entry, open};

#[test]
fn sqlite_keeps_all_promises() {
    let promises: [fn(&mut dyn Store, &mut dyn Store); 10] = [
        chains_are_apart,
        what_is_too_large_is_refused_with_all_that_came_with_it,
        lists_are_filtered,
        lists_are_searched_and_read_page_by_page,
        forgetting_leaves_a_checkpoint,
        a_value_is_written_by_who_saw_the_last,
        a_deleted_value_is_not_written_by_who_saw_it_before,
        a_change_and_its_record_are_written_both_or_neither,
        history_is_added_up_by_series_and_resolution,
        history_is_thinned_by_what_is_newest,
    ];
    for promise in promises {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut first = open(&path, "a");
        let mut second = open(&path, "b");
        promise(&mut first, &mut second);
    }
}

fn chains_are_apart(a: &mut dyn Store, b: &mut dyn Store) {
    assert_eq!(a.last().unwrap(), None);
    let first = a.append(&[entry(1, "decision", "x"), entry(2, "outcome", "x")]);
    let first = first.unwrap();
    let other = b.append(&[entry(3, "decision", "x")]).unwrap();
    let second = a.append(&[entry(4, "decision", "x")]).unwrap();
    assert_eq!((first[0].sequence, first[0].previous), (1, Hash::ZERO));
    assert_eq!((first[1].sequence, first[1].previous), (2, first[0].hash));
    assert_eq!((other[0].sequence, other[0].previous), (1, Hash::ZERO));
    assert_eq!((second[0].sequence, second[0].previous), (3, first[1].hash));
    assert_eq!(a.last().unwrap(), Some(second[0].clone()));
    assert_eq!(a.writers().unwrap(), ["a", "b"]);
    let ends = ["a", "b", "c"].map(|writer| b.end(writer).unwrap());
    assert_eq!(ends, [3, 1, 0]);
    assert_eq!(
        b.chain("a", 1, 10).unwrap(),
        [first[1].clone(), second[0].clone()]
    );
    assert_eq!(b.chain("a", 0, 1).unwrap(), [first[0].clone()]);
}

fn what_is_too_large_is_refused_with_all_that_came_with_it(a: &mut dyn Store, _: &mut dyn Store) {
    let mut large = entry(1, "decision", "x");
    large.body = vec![b' '; BODY_BYTES_MAX + 1];
    let error = a.append(&[entry(1, "decision", "x"), large]).unwrap_err();
    assert!(error.to_string().contains("65537 bytes"), "{error}");
    assert_eq!(a.last().unwrap(), None);
}

fn lists_are_filtered(a: &mut dyn Store, b: &mut dyn Store) {
    a.append(&[
        entry(10, "decision", "service/shop"),
        entry(20, "change", "service/shop/endpoint/1"),
        entry(30, "decision", "service/shopping"),
    ])
    .unwrap();
    b.append(&[entry(25, "decision", "service/shop")]).unwrap();
    let seconds = |store: &mut dyn Store, filter: Filter| -> Vec<u64> {
        let records = store.list(&filter).unwrap();
        records.iter().map(|it| it.entry.at.as_seconds()).collect()
    };
    let all = Filter {
        count: 100,
        ..Filter::default()
    };
    assert_eq!(seconds(a, all.clone()), [10, 20, 25, 30]);
    let latest = Filter {
        count: 2,
        ..all.clone()
    };
    assert_eq!(seconds(a, latest.clone()), [25, 30]);
    let earliest = Filter {
        earliest: true,
        ..latest
    };
    assert_eq!(seconds(a, earliest.clone()), [10, 20]);
    let since = Some(Timestamp::from_seconds(20));
    assert_eq!(seconds(a, Filter { since, ..earliest }), [20, 25]);
    let subject = Some("service/shop".to_owned());
    let about = Filter {
        subject,
        ..all.clone()
    };
    assert_eq!(seconds(a, about.clone()), [10, 20, 25]);
    let kind = Some("decision".to_owned());
    assert_eq!(seconds(a, Filter { kind, ..about }), [10, 25]);
    let since = Some(Timestamp::from_seconds(20));
    let until = Some(Timestamp::from_seconds(25));
    let between = Filter {
        since,
        until,
        ..all.clone()
    };
    assert_eq!(seconds(a, between), [20, 25]);
    let sequence = Some(2);
    let second = Filter {
        sequence,
        ..all.clone()
    };
    assert_eq!(seconds(a, second), [20]);
}

fn lists_are_searched_and_read_page_by_page(a: &mut dyn Store, b: &mut dyn Store) {
    let said = |at: u64, text: &str, cites: Option<u64>| Entry {
        cites,
        body: format!(r#"{{"text":"{text}","other":"Burning"}}"#).into_bytes(),
        ..entry(at, "decision", "service/Shop")
    };
    a.append(&[
        said(10, "burning, was healthy", None),
        said(20, "no retries 100%", None),
        said(20, "no retries: it helped", Some(2)),
    ])
    .unwrap();
    b.append(&[
        said(20, "half is refused", None),
        entry(15, "gap", "journal"),
    ])
    .unwrap();
    let list = |store: &mut dyn Store, filter: Filter| store.list(&filter).unwrap();
    let all = Filter {
        count: 100,
        ..Filter::default()
    };
    let finds = |store: &mut dyn Store, text: &str| {
        let text = Some(text.to_owned());
        list(
            store,
            Filter {
                text,
                ..all.clone()
            },
        )
        .len()
    };
    assert_eq!(finds(a, "BURNING"), 1, "in the text, not elsewhere");
    assert_eq!(finds(a, "retries"), 2);
    assert_eq!(finds(a, "0%"), 1, "nothing stands for anything else");
    assert_eq!(finds(a, "shop"), 4);
    assert_eq!(finds(a, "gap"), 1);
    assert_eq!(finds(a, "%"), 1);
    let cites = Some(2);
    let outcome = list(
        a,
        Filter {
            cites,
            ..all.clone()
        },
    );
    assert_eq!(outcome.len(), 1);
    assert_eq!(outcome[0].sequence, 3);
    // Page by page, each is given once, whoever wrote it and however many happened at once.
    let whole = list(a, all.clone());
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = list(
            a,
            Filter {
                count: 2,
                before: before.clone(),
                ..all.clone()
            },
        );
        let Some(oldest) = page.first() else { break };
        before = Some(Cursor::of(oldest));
        let written = before.as_ref().map(Cursor::to_string).unwrap();
        assert_eq!(written.parse().ok(), before);
        pages.splice(0..0, page);
    }
    assert_eq!(pages, whole);
    assert_eq!(pages.len(), 5);
    for wrong in ["", "x", "1", "1-x", "-1-2"] {
        assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
    }
}

fn forgetting_leaves_a_checkpoint(a: &mut dyn Store, _: &mut dyn Store) {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::at(&folder.path().join("key")).unwrap();
    let sign = |record: &plimsoll_store::Record| {
        identity.sign(record.sequence, record.hash, record.entry.at)
    };
    let before = Timestamp::from_seconds(35);
    assert_eq!(a.forget(before, &sign).unwrap(), 0);
    // The clock was set back before the third.
    let entries = [10, 20, 40, 30, 50].map(|at| entry(at, "decision", "x"));
    let records = a.append(&entries).unwrap();
    assert_eq!(a.forget(before, &sign).unwrap(), 2);
    assert_eq!(a.chain("a", 0, 10).unwrap(), records[2..]);
    let checkpoint = a.checkpoint("a").unwrap().unwrap();
    assert_eq!(
        (checkpoint.sequence, checkpoint.check()),
        (2, Ok(records[1].hash))
    );
    // The last is never forgotten, so that the chain goes on from it.
    assert_eq!(a.forget(Timestamp::from_seconds(1_000), &sign).unwrap(), 2);
    let next = a.append(&[entry(60, "decision", "x")]).unwrap();
    assert_eq!((next[0].sequence, next[0].previous), (6, records[4].hash));
}

fn a_value_is_written_by_who_saw_the_last(a: &mut dyn Store, b: &mut dyn Store) {
    assert_eq!(a.value("overlay/x").unwrap(), None);
    assert_eq!(
        a.compare_and_set("overlay/x", 0, Some(b"one")).unwrap(),
        Some(1)
    );
    assert_eq!(
        b.compare_and_set("overlay/x", 0, Some(b"two")).unwrap(),
        None
    );
    assert_eq!(
        b.compare_and_set("overlay/x", 1, Some(b"two")).unwrap(),
        Some(2)
    );
    assert_eq!(
        a.compare_and_set("overlay/x", 1, Some(b"three")).unwrap(),
        None
    );
    let kept = a.value("overlay/x").unwrap().unwrap();
    assert_eq!((kept.version, kept.value.as_slice()), (2, &b"two"[..]));
    a.compare_and_set("other", 0, Some(b"")).unwrap();
    let overlay = a.values("overlay/").unwrap();
    assert_eq!(overlay, [("overlay/x".to_owned(), kept)]);
}

fn a_deleted_value_is_not_written_by_who_saw_it_before(a: &mut dyn Store, b: &mut dyn Store) {
    a.compare_and_set("x", 0, Some(b"one")).unwrap();
    assert_eq!(a.compare_and_set("x", 1, None).unwrap(), Some(2));
    assert_eq!(b.value("x").unwrap(), None);
    assert_eq!(b.values("").unwrap(), []);
    assert_eq!(b.compare_and_set("x", 1, Some(b"stale")).unwrap(), None);
    assert_eq!(b.compare_and_set("x", 0, Some(b"new")).unwrap(), Some(3));
}

fn a_change_and_its_record_are_written_both_or_neither(a: &mut dyn Store, _: &mut dyn Store) {
    let number = |record: &plimsoll_store::Record| Some(record.sequence.to_string().into_bytes());
    let change = entry(1, "change", "x");
    let first = a.append_and_set(&change, "k", 0, &number).unwrap();
    let (record, version) = first.unwrap();
    assert_eq!((record.sequence, version), (1, 1));
    assert_eq!(a.value("k").unwrap().unwrap().value, b"1");
    // Who saw another version writes no record either.
    assert_eq!(a.append_and_set(&change, "k", 0, &number).unwrap(), None);
    assert_eq!(a.end("a").unwrap(), 1);
    let gone = a.append_and_set(&change, "k", 1, &|_| None).unwrap();
    assert_eq!(gone.unwrap().0.previous, record.hash);
    assert_eq!(a.value("k").unwrap(), None);
    let mut large = change;
    large.body = vec![b' '; BODY_BYTES_MAX + 1];
    assert!(a.append_and_set(&large, "k", 0, &number).is_err());
    assert_eq!(
        (a.value("k").unwrap(), a.end("a").unwrap()),
        (None, 2),
        "nothing of it"
    );
}

fn counted(good: u64, bad: u64) -> Amount {
    Amount {
        good,
        bad,
        bad_service: bad,
        latency: None,
    }
}

/// What one series counted in a stretch that was observed for a second.
fn addition(resolution: u32, start: u64, series: &str, amount: Amount) -> Additions {
    let addition = Addition {
        observed_millis: 1_000,
        amounts: [(series.into(), amount)].into(),
    };
    [((resolution, start), addition)].into()
}

fn history_is_added_up_by_series_and_resolution(a: &mut dyn Store, b: &mut dyn Store) {
    let latency = Some((19_999, 400_311));
    let minutes = [
        addition(60, 0, "shop/latency", counted(1, 0)),
        addition(
            60,
            60,
            "shop/latency",
            Amount {
                latency,
                ..counted(2, 1)
            },
        ),
        addition(3_600, 0, "shop/latency", counted(3, 1)),
        addition(60, 60, "shop/availability", counted(9, 0)),
    ];
    for addition in &minutes {
        a.add_history(addition).unwrap();
    }
    // Another process that counts beside it.
    b.add_history(&addition(60, 60, "shop/latency", counted(4, 2)))
        .unwrap();
    let buckets = b.history("shop/latency", 60, 0, 120).unwrap();
    let seen: Vec<_> = buckets
        .iter()
        .map(|it| {
            (
                it.start,
                it.observed_millis,
                it.amount.good,
                it.amount.bad_service,
            )
        })
        .collect();
    assert_eq!(seen, [(0, 1_000, 1, 0), (60, 3_000, 6, 3)]);
    let (p50, p99) = buckets[1].amount.latency.unwrap();
    assert!(
        p50.abs_diff(19_999) < 440 && p99.abs_diff(400_311) < 8_800,
        "{p50} {p99}"
    );
    assert_eq!(b.history("shop/latency", 60, 0, 60).unwrap().len(), 1);
    let hours = a.history("shop/latency", 3_600, 0, 9).unwrap();
    assert_eq!(hours[0].amount, counted(3, 1));
    // That it was observed is known of series that counted nothing.
    let nobody = a.history("unknown", 60, 0, 120).unwrap();
    assert_eq!((nobody.len(), nobody[1].amount), (2, Amount::default()));
    let mut names: Vec<_> = a.series().unwrap().into_keys().collect();
    names.sort();
    assert_eq!(names, ["shop/availability", "shop/latency"]);
}

fn history_is_thinned_by_what_is_newest(a: &mut dyn Store, b: &mut dyn Store) {
    let (resolution, kept) = RESOLUTIONS[1];
    let step = u64::from(resolution);
    // A clock that was a century ahead for a while wrote more than is kept, and so did the right one.
    let ahead = 5_000_000_000;
    let mut many = Additions::new();
    for place in 0..kept + 10 {
        many.extend(addition(resolution, place * step, "x", counted(place, 0)));
        many.extend(addition(
            resolution,
            ahead + place * step,
            "x",
            counted(1, 0),
        ));
    }
    a.add_history(&many).unwrap();
    let now = (kept + 9) * step;
    assert_eq!(b.thin_history(now).unwrap(), 20);
    let left = a.history("x", resolution, 0, u64::MAX).unwrap();
    let (right, wrong) = left.split_at(kept as usize);
    assert_eq!(
        (right[0].amount.good, right[right.len() - 1].start),
        (10, now)
    );
    let wrong: Vec<u64> = wrong.iter().map(|it| it.start).collect();
    let nearest: Vec<u64> = (0..kept).map(|place| ahead + place * step).collect();
    assert_eq!(wrong, nearest);
    assert_eq!(a.thin_history(now).unwrap(), 0);
}
