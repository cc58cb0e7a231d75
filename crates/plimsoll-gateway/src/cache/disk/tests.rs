use std::time::Duration;

use plimsoll_core::Instant;

use plimsoll_policy::cache::key::KeyRules;

use super::super::purge::{Purge, PurgeUrl};
use super::*;

/// Fri, 27 Nov 2026 00:00:00 GMT.
const BEGUN: Timestamp = Timestamp::from_seconds(1_795_737_600);
const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
const VARY: (&str, &str) = ("Vary", "Accept-Language");

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn key(path: &str) -> CacheKey {
    CacheKey::new("app", false, b"a", path.as_bytes())
}

fn answer(lines: &[(&str, &str)], body: &[u8]) -> Arc<Answer> {
    let mut response = ResponseHead::new();
    response.set_from_parts(200).unwrap();
    response.fields = fields(lines);
    let received = Received {
        requested: Instant::ORIGIN,
        at: Instant::ORIGIN,
        date: BEGUN,
    };
    let nobody = fields(&[]);
    let request = CacheRequest::read(b"GET", &View(&nobody), false);
    let (view, parameters) = (View(&response.fields), CacheParameters::default());
    let stored = Stored::judge(&request, 200, &view, None, received, &parameters).unwrap();
    let body = Bytes::copy_from_slice(body);
    let surrogates = surrogates(&response.fields).unwrap();
    Arc::new(Answer::new(stored, &response, false, body, surrogates))
}

fn open(folder: &Path, bytes_max: u64, seconds: u64) -> Disk {
    let disk = Disk::open(folder, bytes_max, BEGUN + Duration::from_secs(seconds)).unwrap();
    disk.settle();
    disk
}

fn put(disk: &Disk, path: &str, request: &[(&str, &str)], answer: &Arc<Answer>) {
    let request = fields(request);
    disk.put(&key(path), &View(&request), answer);
    disk.settle();
}

fn read(disk: &Disk, path: &str, request: &[(&str, &str)], seconds: u64) -> Option<Answer> {
    let request = fields(request);
    let found = disk.find(&key(path), &View(&request))?;
    let date = BEGUN + Duration::from_secs(seconds);
    found.read(&CacheParameters::default(), Instant::ORIGIN, date)
}

#[track_caller]
fn check(disk: &Disk, path: &str, request: &[(&str, &str)], expected: Option<&[u8]>) {
    let found = read(disk, path, request, 1);
    assert_eq!(found.as_ref().map(|it| &*it.body), expected);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn what_is_stored_outlives_a_restart_and_is_as_old_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    put(
        &disk,
        "/",
        &[],
        &answer(&[FRESH, ("ETag", "\"a\"")], b"body"),
    );
    drop(disk);
    let disk = open(folder.path(), 1 << 20, 20);
    let again = read(&disk, "/", &[], 40).unwrap();
    assert_eq!(&*again.body, b"body");
    assert_eq!(again.stored.age(Instant::ORIGIN), Duration::from_secs(40));
    assert_eq!(again.stored.seconds_left(Instant::ORIGIN), 20);
    let stale = read(&disk, "/", &[], 100).unwrap();
    assert_eq!(stale.stored.seconds_left(Instant::ORIGIN), -40);
    assert!(stale.head.fields.get_named(b"Age").is_none());
}

#[test]
fn what_is_of_no_use_any_more_or_from_the_future_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    put(&disk, "/", &[], &answer(&[FRESH], b"body"));
    assert!(read(&disk, "/", &[], 59).is_some());
    assert!(
        read(&disk, "/", &[], 61).is_none(),
        "nothing to validate it by"
    );
    disk.settle();
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    put(&disk, "/", &[], &answer(&[FRESH], b"body"));
    let found = disk.find(&key("/"), &View(&fields(&[]))).unwrap();
    let before = Timestamp::from_seconds(BEGUN.as_seconds() - 1);
    assert!(
        found
            .read(&CacheParameters::default(), Instant::ORIGIN, before)
            .is_none()
    );
}

#[test]
fn each_variant_is_for_its_own_requests_and_all_go_together() {
    let (german, french) = ([("Accept-Language", "de")], [("Accept-Language", "fr")]);
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    put(&disk, "/", &german, &answer(&[FRESH, VARY], b"hallo"));
    put(&disk, "/", &french, &answer(&[FRESH, VARY], b"salut"));
    put(&disk, "/b", &[], &answer(&[FRESH], b"b"));
    drop(disk);
    let disk = open(folder.path(), 1 << 20, 1);
    check(&disk, "/", &german, Some(b"hallo"));
    check(&disk, "/", &french, Some(b"salut"));
    check(&disk, "/", &[], None);
    put(&disk, "/", &french, &answer(&[FRESH, VARY], b"coucou"));
    check(&disk, "/", &french, Some(b"coucou"));
    disk.remove(&key("/"));
    check(&disk, "/", &german, None);
    disk.settle();
    assert_eq!(files(folder.path()).len(), 1);
    check(&disk, "/b", &[], Some(b"b"));
    put(&disk, "/", &german, &answer(&[FRESH], b"for all"));
    check(&disk, "/", &french, Some(b"for all"));
}

#[test]
fn what_is_purged_is_gone_by_its_service_url_or_key_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    for (path, keys) in [("/a", "red small"), ("/b", "red"), ("/c", "blue")] {
        let keys = ("Surrogate-Key", keys);
        put(&disk, path, &[], &answer(&[FRESH, keys], path.as_bytes()));
    }
    drop(disk);
    let disk = open(folder.path(), 1 << 20, 1);
    assert!(
        read(&disk, "/a", &[], 1)
            .unwrap()
            .head
            .fields
            .get_named(b"Surrogate-Key")
            .is_none()
    );
    let rules = KeyRules::default();
    let purge = |what: Purge| disk.purge(&Purging::new("app", &what, [&rules].into_iter()));
    assert_eq!(purge(Purge::Key("green".to_owned())), 0);
    assert_eq!(purge(Purge::Key("small".to_owned())), 1);
    check(&disk, "/a", &[], None);
    check(&disk, "/b", &[], Some(b"/b"));
    assert_eq!(purge(Purge::Url(PurgeUrl::parse("http://a/b").unwrap())), 1);
    check(&disk, "/b", &[], None);
    check(&disk, "/c", &[], Some(b"/c"));
    assert_eq!(purge(Purge::All), 1);
    disk.settle();
    assert_eq!((files(folder.path()).len(), disk.stats().bytes), (0, 0));
}

#[test]
fn what_was_removed_while_it_waited_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    for _ in 0..200 {
        disk.put(&key("/"), &View(&fields(&[])), &answer(&[FRESH], b"body"));
        disk.remove(&key("/"));
    }
    disk.settle();
    check(&disk, "/", &[], None);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    assert_eq!(disk.stats().bytes, 0);
}

#[test]
fn files_stay_within_the_bound_and_what_is_used_stays_longer() {
    const MAX: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), MAX, 0);
    put(&disk, "/used", &[], &answer(&[FRESH], &[1; 1_000]));
    for number in 0..200 {
        put(
            &disk,
            &format!("/{number}"),
            &[],
            &answer(&[FRESH], &[2; 1_000]),
        );
        check(&disk, "/used", &[], Some(&[1; 1_000]));
        assert!(disk.stats().bytes <= MAX);
    }
    check(&disk, "/0", &[], None);
    check(&disk, "/199", &[], Some(&[2; 1_000]));
    let bytes = files(folder.path());
    let on_disk = bytes
        .iter()
        .map(|file| file.metadata().unwrap().len().div_ceil(4_096) * 4_096);
    let on_disk = on_disk.sum::<u64>();
    assert!(
        disk.stats().bytes > on_disk && on_disk > MAX / 2,
        "{on_disk}"
    );
    drop(disk);
    let smaller = open(folder.path(), MAX / 2, 1);
    assert!(smaller.stats().bytes <= MAX / 2 && smaller.stats().bytes > MAX / 4);
}

#[test]
fn what_was_cut_damaged_or_is_not_ours_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    put(&disk, "/cut", &[], &answer(&[FRESH], &[1; 1_000]));
    put(&disk, "/flipped", &[], &answer(&[FRESH], &[2; 1_000]));
    let mut names = files(folder.path());
    names.sort();
    drop(disk);
    let cut = fs::read(&names[0]).unwrap();
    fs::write(&names[0], &cut[..900]).unwrap();
    let mut flipped = fs::read(&names[1]).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&names[1], flipped).unwrap();
    fs::write(folder.path().join("7.unfinished"), b"half").unwrap();
    fs::write(folder.path().join("8.answer"), b"not one").unwrap();
    fs::write(folder.path().join("note.txt"), b"somebody's").unwrap();
    let disk = open(folder.path(), 1 << 20, 1);
    check(&disk, "/cut", &[], None);
    check(&disk, "/flipped", &[], None);
    disk.settle();
    // What an earlier process was about to write, and what it wrote since.
    fs::write(folder.path().join("9.answer"), b"late").unwrap();
    disk.shared.tidy(&Known {
        began: 9,
        numbers: HashSet::new(),
    });
    assert_eq!(files(folder.path()), [folder.path().join("note.txt")]);
    assert_eq!(disk.stats().damaged, 3);
}

#[test]
fn a_disk_that_refuses_costs_nothing_but_what_it_would_have_kept() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cache");
    let disk = open(&inner, 1 << 20, 0);
    fs::remove_dir_all(&inner).unwrap();
    put(&disk, "/", &[], &answer(&[FRESH], b"body"));
    check(&disk, "/", &[], None);
    assert_eq!(disk.stats().missed, 1);
    assert_eq!(disk.stats().bytes, 0);
    fs::create_dir_all(&inner).unwrap();
    for number in 0..=PAUSE {
        put(
            &disk,
            &format!("/{number}"),
            &[],
            &answer(&[FRESH], b"body"),
        );
    }
    check(&disk, &format!("/{PAUSE}"), &[], Some(b"body"));
    assert_eq!(disk.stats().missed, 1 + PAUSE);
}

#[test]
fn only_so_many_are_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    put(&disk, "/", &[], &answer(&[FRESH], b"body"));
    let nobody = fields(&[]);
    let mut held = (0..READS_MAX)
        .map(|_| disk.find(&key("/"), &View(&nobody)).unwrap())
        .collect::<Vec<_>>();
    assert!(disk.find(&key("/"), &View(&nobody)).is_none());
    held.pop();
    assert!(disk.find(&key("/"), &View(&nobody)).is_some());
}

#[test]
fn what_is_taken_out_while_the_folder_is_read_is_not_taken_over() {
    let index = |purges: bool| {
        let mut index = Index::unread();
        assert!(index.remove(b"a").is_empty());
        if purges {
            let purging = Purging::new("app", &Purge::All, std::iter::empty());
            assert!(index.purge(&purging).is_empty());
        }
        index
    };
    let mut keyed = index(false);
    assert!(keyed.was_removed(b"a") && !keyed.was_removed(b"b"));
    assert!(
        index(true).was_removed(b"b"),
        "it is not known whether it was meant"
    );
    keyed.end_reading();
    assert!(!keyed.was_removed(b"a"));
}

#[test]
fn what_is_to_be_deleted_at_the_end_is_deleted_and_what_is_to_be_written_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path(), 1 << 20, 0);
    for number in 0..300 {
        put(
            &disk,
            &format!("/{number}"),
            &[],
            &answer(&[FRESH], b"body"),
        );
    }
    disk.purge(&Purging::new("app", &Purge::All, std::iter::empty()));
    disk.rest();
    disk.put(
        &key("/late"),
        &View(&fields(&[])),
        &answer(&[FRESH], b"body"),
    );
    drop(disk);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}
