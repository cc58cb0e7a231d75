//! Clients, an origin and a cache made of these decisions, against what the origin knows it has said.
//!
//! Method: random orders of reads, writes, answers, failures and time. Each answer carries who it was made for, of which
//! version and when; whatever a client gets is compared with that. The origin's table says what each of its
//! heads means in plain numbers, so that no parser judges itself.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use plimsoll_core::{Instant, Timestamp};

use super::coalesce::{Answer, CoalesceParameters, Coalescer, FetchId, Join, Release, WaiterId};
use super::*;

const KEYS: u8 = 3;
/// Fri, 27 Nov 2026 00:00:00 GMT.
const EPOCH: u64 = 1_795_737_600;
const TIMES: CoalesceParameters = CoalesceParameters {
    fetches_max: 4,
    waiters_max: 8,
    wait_max: Duration::from_secs(5),
    end_max: Duration::from_secs(20),
    unshared_for: Duration::from_secs(7),
    unshared_max: 2,
    alone_max: 2,
};
const STALE: u64 = 15;

/// What an origin says, and what that means.
struct Kind {
    head: &'static [(&'static str, &'static str)],
    /// Fresh for so long.
    lifetime: u64,
    /// After that, for so long while another is fetched.
    revalidating: u64,
    /// After that, for so long where the origin fails.
    stale: u64,
    /// For whom it is, if it is asked by somebody with...
    anonymous: For,
    authorization: For,
    cookie: For,
    varies: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    All,
    One,
}

const PLAIN: Kind = Kind {
    head: &[],
    lifetime: 0,
    revalidating: 0,
    stale: STALE,
    anonymous: For::All,
    authorization: For::One,
    cookie: For::One,
    varies: false,
};
const FOR_ALL: Kind = Kind {
    authorization: For::All,
    cookie: For::All,
    ..PLAIN
};
const FOR_ONE: Kind = Kind {
    anonymous: For::One,
    ..PLAIN
};

const KINDS: [Kind; 12] = [
    PLAIN,
    Kind {
        head: &[("cache-control", "max-age=20")],
        lifetime: 20,
        ..PLAIN
    },
    Kind {
        head: &[
            ("Cache-Control", "Public"),
            ("cache-control", "max-age=\"20\", max-age=30"),
        ],
        lifetime: 20,
        ..FOR_ALL
    },
    Kind {
        head: &[("Cache-Control", "max-age=50, s-maxage=10")],
        lifetime: 10,
        stale: 0,
        ..FOR_ALL
    },
    Kind {
        head: &[("Cache-Control", "public, max-age=20, private")],
        ..FOR_ONE
    },
    Kind {
        head: &[("Cache-Control", "max-age=20; no-store")],
        ..FOR_ONE
    },
    Kind {
        head: &[
            ("Cache-Control", "public, max-age=20"),
            ("Set-Cookie", "who=me"),
        ],
        ..FOR_ONE
    },
    Kind {
        head: &[("Cache-Control", "no-cache, max-age=20")],
        stale: 0,
        ..PLAIN
    },
    Kind {
        head: &[("Cache-Control", "max-age=5, stale-while-revalidate=10")],
        lifetime: 5,
        revalidating: 10,
        ..PLAIN
    },
    Kind {
        head: &[
            ("Cache-Control", "max-age=20, public"),
            ("Vary", "accept-LANGUAGE"),
        ],
        lifetime: 20,
        varies: true,
        ..FOR_ALL
    },
    Kind {
        head: &[("Cache-Control", "max-age=5, must-revalidate")],
        lifetime: 5,
        stale: 0,
        authorization: For::All,
        ..PLAIN
    },
    Kind {
        head: &[
            ("CDN-Cache-Control", "max-age=9, public"),
            ("Cache-Control", "private"),
        ],
        lifetime: 9,
        ..FOR_ALL
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    None,
    Authorization,
    Cookie,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    user: u8,
    credentials: Credentials,
    german: bool,
}

impl Client {
    fn head(self) -> Vec<(String, String)> {
        let language = if self.german { "de" } else { "en" };
        let mut head = vec![("Accept-Language".to_owned(), language.to_owned())];
        match self.credentials {
            Credentials::None => {}
            Credentials::Authorization => head.push(("Authorization".into(), "x".into())),
            Credentials::Cookie => head.push(("Cookie".into(), "x".into())),
        }
        head
    }

    fn request(self) -> CacheRequest {
        CacheRequest::read(b"GET", &self.head(), false)
    }
}

/// One who asked, and what was true then.
#[derive(Clone, Copy, Debug)]
struct Asked {
    client: Client,
    key: u8,
    version: u32,
}

/// What the origin gave.
#[derive(Clone, Copy, Debug)]
struct Given {
    kind: usize,
    key: u8,
    version: u32,
    to: Client,
    made: u64,
}

impl Given {
    fn kind(&self) -> &'static Kind {
        &KINDS[self.kind]
    }

    fn head(&self) -> Vec<(String, String)> {
        let head = self.kind().head.iter();
        let mut head = head
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>();
        let tag = format!("\"{}-{}-{}\"", self.key, self.version, self.to.german);
        head.push(("ETag".to_owned(), tag));
        head
    }

    fn is_for_all(&self) -> bool {
        let kind = self.kind();
        let by_credentials = match self.to.credentials {
            Credentials::None => kind.anonymous,
            Credentials::Authorization => kind.authorization,
            Credentials::Cookie => kind.cookie,
        };
        kind.anonymous == For::All && by_credentials == For::All
    }

    /// Whatever way it comes to a client.
    fn check(&self, asked: &Asked) {
        assert_eq!(self.key, asked.key);
        assert!(
            self.version >= asked.version,
            "older than when it was asked for"
        );
        assert!(
            self.is_for_all() || self.to.user == asked.client.user,
            "what is for one user went to another: {self:?} to {asked:?}"
        );
        let language = self.to.german == asked.client.german;
        assert!(language || !self.kind().varies, "in another language");
        // Somebody whom the origin knows gets what is for all, and nothing that strangers get.
        let for_client = match asked.client.credentials {
            Credentials::None => For::All,
            Credentials::Authorization => self.kind().authorization,
            Credentials::Cookie => self.kind().cookie,
        };
        assert!(for_client == For::All || self.to.user == asked.client.user);
    }
}

struct Entry {
    variant: Box<[u8]>,
    stored: Stored,
    given: Given,
}

struct Pending {
    fetch: FetchId,
    given: Given,
    /// What it validates.
    validates: Option<(Stored, Given)>,
}

#[derive(Debug, Default)]
struct Counts {
    fresh: u32,
    revalidating: u32,
    stale: u32,
    shared: u32,
    validated: u32,
    alone: u32,
}

struct World {
    now: u64,
    parameters: CacheParameters,
    coalescer: Coalescer<(u8, bool)>,
    store: BTreeMap<u8, Vec<Entry>>,
    versions: [(u32, usize); KEYS as usize],
    pending: Vec<Pending>,
    waiting: BTreeMap<WaiterId, Asked>,
    counts: Counts,
}

const fn at(second: u64) -> Instant {
    Instant::from_nanos(second * 1_000_000_000)
}

impl World {
    fn new() -> Self {
        Self {
            now: 100,
            parameters: CacheParameters {
                stale: Duration::from_secs(STALE),
                ..CacheParameters::default()
            },
            coalescer: Coalescer::new(TIMES),
            store: BTreeMap::new(),
            versions: [(0, 1); KEYS as usize],
            pending: Vec::new(),
            waiting: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn given(&self, key: u8, to: Client) -> Given {
        let (version, kind) = self.versions[usize::from(key)];
        Given {
            kind,
            key,
            version,
            to,
            made: self.now,
        }
    }

    fn found(&self, asked: &Asked) -> Option<&Entry> {
        let entries = self.store.get(&asked.key)?;
        let head = asked.client.head();
        let of_client =
            |entry: &&Entry| entry.stored.vary().key(&head).as_ref() == Some(&entry.variant);
        entries.iter().rfind(of_client)
    }

    fn read(&mut self, key: u8, client: Client) {
        let (version, _) = self.versions[usize::from(key)];
        let asked = Asked {
            client,
            key,
            version,
        };
        let request = client.request();
        let entry = self.found(&asked);
        let found = entry.map_or(Found::Nothing, |entry| Found::Stored(&entry.stored));
        let lookup = look_up(&request, found, &self.parameters, at(self.now));
        let entry = entry.map(|entry| (entry.stored.clone(), entry.given));
        let flight = (key, request.has_credentials(&self.parameters));
        match (lookup, entry) {
            (Lookup::Fresh, Some((_, given))) => {
                given.check(&asked);
                assert!(self.now - given.made < given.kind().lifetime, "not fresh");
                assert_eq!(given.version, version, "fresh after a write");
                self.counts.fresh += 1;
            }
            (Lookup::StaleWhileRevalidate(fetch), Some((stored, given))) => {
                given.check(&asked);
                let kind = given.kind();
                assert!(self.now - given.made < kind.lifetime + kind.revalidating);
                self.counts.revalidating += 1;
                assert!(fetch.fill && fetch.validate);
                if let Some(id) = self.coalescer.on_background(at(self.now), &flight) {
                    self.begin(id, key, client, Some((stored, given)));
                }
            }
            (Lookup::Fetch(fetch), entry) => {
                assert!(fetch.fill);
                match self.coalescer.on_request(at(self.now), &flight) {
                    Join::Lead(waiter) => {
                        self.waiting.insert(waiter, asked);
                        self.begin(
                            waiter.fetch(),
                            key,
                            client,
                            entry.filter(|_| fetch.validate),
                        );
                    }
                    Join::Wait(waiter) => {
                        self.waiting.insert(waiter, asked);
                    }
                    Join::Alone(_) => self.counts.alone += 1,
                    // An answer is whole when it comes here.
                    Join::Follow(_) => unreachable!(),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn begin(
        &mut self,
        fetch: FetchId,
        key: u8,
        client: Client,
        validates: Option<(Stored, Given)>,
    ) {
        let given = self.given(key, client);
        self.pending.push(Pending {
            fetch,
            given,
            validates,
        });
    }

    fn write(&mut self, key: u8, kind: usize) {
        let (version, _) = self.versions[usize::from(key)];
        self.versions[usize::from(key)] = (version + 1, kind);
        self.store.remove(&key);
        for credentials in [false, true] {
            self.coalescer.on_invalidated(&(key, credentials));
        }
    }

    fn deliver(&mut self, index: usize, whole: bool) {
        if self.pending.is_empty() {
            return;
        }
        let pending = self.pending.remove(index % self.pending.len());
        let mut given = pending.given;
        let request = given.to.request();
        let received = Received {
            requested: at(given.made),
            at: at(self.now),
            date: Timestamp::from_seconds(EPOCH + self.now),
        };
        let head = given.head();
        let validated = pending
            .validates
            .filter(|(_, old)| old.head().last() == head.last());
        let judged = if let Some((stored, old)) = validated {
            self.counts.validated += 1;
            let old_head = old.head();
            let merged = Merged {
                stored: &old_head,
                update: &head,
            };
            given = Given {
                made: given.made,
                ..old
            };
            match stored.freshen(&request, &merged, received, &self.parameters) {
                Freshened::Updated(stored) => Some(*stored),
                Freshened::Drop(_) => None,
                Freshened::Other => panic!("it was asked by this tag"),
            }
        } else {
            Stored::judge(&request, 200, &head, None, received, &self.parameters).ok()
        };
        let answer = match judged {
            Some(_) => Answer::Shareable,
            None => Answer::Unshareable { lasts: true },
        };
        let release = self
            .coalescer
            .on_answer(at(self.now), pending.fetch, answer);
        let variant = |head: &Vec<(String, String)>| judged.as_ref()?.vary().key(head);
        let own = variant(&given.to.head());
        let mut shared = 0;
        for (index, waiter) in release.serve.iter().enumerate() {
            let asked = self.waiting.remove(waiter).expect("who is served waits");
            let request = asked.client.request();
            let fits = judged.as_ref().is_none_or(|stored| {
                stored.is_for(&request, &self.parameters) && variant(&asked.client.head()) == own
            });
            if fits {
                given.check(&asked);
                shared += u32::from(index > 0);
            }
        }
        self.counts.shared += shared;
        self.let_go(&release);
        if let Some(stored) = judged
            && self.coalescer.on_end(pending.fetch, whole)
            && let Some(variant) = own
        {
            assert!(given.is_for_all(), "what is for one user was stored");
            let entries = self.store.entry(given.key).or_default();
            entries.retain(|entry| entry.variant != variant);
            entries.push(Entry {
                variant,
                stored,
                given,
            });
        }
    }

    fn fail(&mut self, index: usize) {
        if self.pending.is_empty() {
            return;
        }
        let pending = self.pending.remove(index % self.pending.len());
        let asked = Asked {
            client: pending.given.to,
            key: pending.given.key,
            version: 0,
        };
        let now = at(self.now);
        let until = |entry: &Entry| entry.stored.stale_until(&self.parameters);
        let stale = self
            .found(&asked)
            .is_some_and(|entry| until(entry).is_some_and(|until| now < until));
        let release = self
            .coalescer
            .on_answer(now, pending.fetch, Answer::Failed { stale });
        for waiter in &release.stale {
            let asked = self.waiting.remove(waiter).expect("who is released waits");
            let Some(entry) = self.found(&asked) else {
                continue;
            };
            let for_client = entry
                .stored
                .is_for(&asked.client.request(), &self.parameters);
            if for_client && until(entry).is_some_and(|until| now < until) {
                let given = entry.given;
                given.check(&asked);
                let kind = given.kind();
                assert!(
                    self.now - given.made < kind.lifetime + kind.stale,
                    "too stale"
                );
                self.counts.stale += 1;
            }
        }
        self.let_go(&release);
    }

    fn let_go(&mut self, release: &Release) {
        for waiter in release.alone.iter().chain(&release.fail) {
            assert!(self.waiting.remove(waiter).is_some());
            self.counts.alone += 1;
        }
    }

    fn step(&mut self, event: &Event) {
        match *event {
            Event::Read(key, client) => self.read(key, client),
            Event::Write(key, kind) => self.write(key, kind),
            Event::Deliver(index, whole) => self.deliver(index, whole),
            Event::Fail(index) => self.fail(index),
            Event::Leave(index) => {
                if let Some((&waiter, _)) = self.waiting.iter().nth(index) {
                    self.waiting.remove(&waiter);
                    self.coalescer.on_leave(waiter);
                }
            }
            Event::Later(seconds) => {
                self.now += seconds;
                let release = self.coalescer.on_timeout(at(self.now));
                self.let_go(&release);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Read(u8, Client),
    Write(u8, usize),
    Deliver(usize, bool),
    Fail(usize),
    Leave(usize),
    Later(u64),
}

fn any_client() -> impl Strategy<Value = Client> {
    let credentials = prop_oneof![
        3 => Just(Credentials::None),
        1 => Just(Credentials::Authorization),
        1 => Just(Credentials::Cookie),
    ];
    (0..3_u8, credentials, any::<bool>()).prop_map(|(user, credentials, german)| Client {
        user,
        credentials,
        german,
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (0..KEYS, any_client()).prop_map(|(key, client)| Event::Read(key, client)),
        1 => (0..KEYS, 0..KINDS.len()).prop_map(|(key, kind)| Event::Write(key, kind)),
        6 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(index, whole)| Event::Deliver(index, whole)),
        1 => (0..4_usize).prop_map(Event::Fail),
        1 => (0..4_usize).prop_map(Event::Leave),
        3 => (0..5_u64).prop_map(Event::Later),
    ]
}

fn run(events: &[Event]) -> Counts {
    let mut world = World::new();
    for event in events {
        world.step(event);
    }
    world.counts
}

proptest! {
    #[test]
    fn nobody_gets_what_is_another_s_or_stale_or_older_than_a_write(events in vec(any_event(), 0..300)) {
        run(&events);
    }
}

#[test]
fn the_simulation_comes_to_all_ways_of_being_answered() {
    let mut runner = TestRunner::deterministic();
    let events = vec(any_event(), 4_000)
        .new_tree(&mut runner)
        .unwrap()
        .current();
    let counts = run(&events);
    let ways = [
        counts.fresh,
        counts.revalidating,
        counts.stale,
        counts.shared,
        counts.validated,
        counts.alone,
    ];
    assert!(ways.iter().all(|&way| way >= 10), "{counts:?}");
}
