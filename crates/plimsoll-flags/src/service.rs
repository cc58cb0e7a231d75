//! The thread that looks at the file of flags and answers over OFREP.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_core::Timestamp;
use tokio::sync::oneshot;

use crate::connection;
use crate::file::FlagFile;
use crate::guard::Guard;
use crate::ofrep::{self, Now};
use crate::store::FlagStore;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What it does.
#[derive(Debug, Default)]
pub struct FlagServiceOptions {
    /// Where the flags come from, if it is a file.
    pub file: Option<FlagFile>,
    /// Where and how it answers; `None`: not at all.
    pub ofrep: Option<OfrepOptions>,
}

/// Where and for whom OFREP is served.
#[derive(Debug)]
pub struct OfrepOptions {
    /// Where.
    pub listener: TcpListener,
    /// One of which whoever asks must have; empty: none.
    pub tokens: Vec<String>,
    /// Origins of pages that may ask; `*`: all.
    pub origins: Vec<String>,
}

/// What became of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagEvent {
    /// It was read, and is in force.
    Read {
        /// How many flags it has.
        flags: usize,
        /// Of the text.
        digest: String,
    },
    /// It is not valid, and the flags from before stay.
    Refused {
        /// All that is wrong.
        why: Vec<String>,
    },
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct FlagService {
    /// Dropped, it ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FlagService {
    /// Begins it; `on_event` is called on its thread.
    ///
    /// # Errors
    /// There can't be another thread, or the listener can't be used.
    pub fn start(
        store: Arc<FlagStore>,
        options: FlagServiceOptions,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        on_event: impl Fn(FlagEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let FlagServiceOptions { file, ofrep } = options;
        if let Some(ofrep) = &ofrep {
            ofrep.listener.set_nonblocking(true)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let now: Now = Arc::new(now);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("flags".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Some(file) = file {
                        tokio::spawn(look(file, Arc::clone(&store), Arc::clone(&now), on_event));
                    }
                    let serving = ofrep.map(|ofrep| tokio::spawn(serve(ofrep, store, now)));
                    // Whether it is told or nobody is left to tell it: it ends.
                    let _told = stopped.await;
                    drop(serving);
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for FlagService {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only has to notice. A thread that panicked was reported where it did.
            let _ended = thread.join();
        }
    }
}

async fn look(mut file: FlagFile, store: Arc<FlagStore>, now: Now, on_event: impl Fn(FlagEvent)) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match file.look() {
            None => (),
            Some(Ok((set, text))) => {
                let flags = set.len();
                store.replace(set, &text, now());
                let digest = store.served().digest.clone();
                on_event(FlagEvent::Read { flags, digest });
            }
            Some(Err(why)) => on_event(FlagEvent::Refused { why }),
        }
    }
}

async fn serve(options: OfrepOptions, store: Arc<FlagStore>, now: Now) {
    let guard = Guard::new(&options.tokens, options.origins);
    match tokio::net::TcpListener::from_std(options.listener) {
        Ok(listener) => connection::serve(listener, ofrep::router(store, guard, now)).await,
        Err(error) => tracing::error!(%error, "flags can't be served"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::mpsc;

    use plimsoll_policy::flag::{FlagSet, FractionalVersion};

    use super::*;

    const FLAGS: &str = r#"{ "flags": {
        "bold": { "variants": { "on": true, "off": false }, "defaultVariant": "on" },
        "a/b": { "variants": { "on": 1 }, "defaultVariant": "on" }
    } }"#;
    const TIME_MAX: Duration = Duration::from_secs(30);

    fn start(tokens: &[&str], origins: &[&str]) -> (FlagService, SocketAddr, Arc<FlagStore>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(FlagStore::default());
        let set = FlagSet::parse(FLAGS, FractionalVersion::V2).unwrap();
        store.replace(set, FLAGS, Timestamp::from_seconds(7));
        let own = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
        let options = FlagServiceOptions {
            file: None,
            ofrep: Some(OfrepOptions {
                listener,
                tokens: own(tokens),
                origins: own(origins),
            }),
        };
        let now = || Timestamp::from_seconds(1_795_615_852);
        let service = FlagService::start(Arc::clone(&store), options, now, |_| ()).unwrap();
        (service, address, store)
    }

    fn send(address: SocketAddr, request: &str, fields: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIME_MAX)).unwrap();
        let length = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: flags\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn ask(address: SocketAddr, request: &str, fields: &str, body: &str) -> String {
        let fields = format!("{fields}Connection: close\r\n");
        let mut stream = send(address, request, &fields, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const BOLD: &str = "POST /ofrep/v1/evaluate/flags/bold";
    const ALL: &str = "POST /ofrep/v1/evaluate/flags";

    #[test]
    fn flags_are_answered_one_and_all_and_not_again_what_is_known() {
        let (_service, address, store) = start(&[], &[]);
        let one = ask(address, BOLD, "", "{}");
        assert!(one.starts_with("HTTP/1.1 200 OK\r\n"), "{one}");
        assert!(
            one.ends_with(r#"{"key":"bold","value":true,"reason":"STATIC","variant":"on"}"#),
            "{one}"
        );
        assert!(
            ask(address, "POST /ofrep/v1/evaluate/flags/a/b", "", "{}").contains(r#""value":1"#)
        );
        assert!(
            ask(address, "POST /ofrep/v1/evaluate/flags/a%2Fb", "", "{}").contains(r#""value":1"#)
        );
        assert!(
            ask(address, "POST /ofrep/v1/evaluate/flags/no", "", "{}").starts_with("HTTP/1.1 404 ")
        );
        let all = ask(address, ALL, "", "{}");
        let tag = all
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let again = format!("If-None-Match: {tag}\r\n");
        assert!(ask(address, ALL, &again, "{}").starts_with("HTTP/1.1 304 "));
        // Another context is another question.
        let other = ask(address, ALL, &again, r#"{ "context": { "a": 1 } }"#);
        assert!(other.starts_with("HTTP/1.1 200 "), "{other}");
        let changed = FLAGS
            .replace("\"on\" }", "\"off\" }")
            .replace("\"on\": 1", "\"off\": 1");
        store.replace(
            FlagSet::parse(&changed, FractionalVersion::V2).unwrap(),
            &changed,
            Timestamp::default(),
        );
        assert!(ask(address, ALL, &again, "{}").starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn what_is_too_large_or_without_a_token_is_refused() {
        let (_service, address, _store) = start(&["secret"], &[]);
        let refused = ask(address, BOLD, "", "{}");
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        assert!(
            refused.contains("www-authenticate: Bearer\r\n"),
            "{refused}"
        );
        let token = "Authorization: Bearer secret\r\n";
        assert!(ask(address, BOLD, token, "{}").starts_with("HTTP/1.1 200 "));
        let large = format!("{{\"context\":{{\"a\":\"{}\"}}}}", "x".repeat(64 << 10));
        let refused = ask(address, BOLD, token, &large);
        assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    }

    #[test]
    fn a_browser_is_told_whose_pages_may_ask() {
        let (_service, address, _store) = start(&["secret"], &["https://shop.example"]);
        let origin = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n";
        // Before it sends a token it asks.
        let asked = ask(address, "OPTIONS /ofrep/v1/evaluate/flags", origin, "");
        assert!(asked.starts_with("HTTP/1.1 204 "), "{asked}");
        assert!(
            asked.contains("access-control-allow-origin: https://shop.example\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains("access-control-allow-headers: Authorization, "),
            "{asked}"
        );
        let other = ask(
            address,
            "OPTIONS /ofrep/v1/evaluate/flags",
            "Origin: https://evil.example\r\n",
            "",
        );
        assert!(!other.contains("access-control-allow-origin"), "{other}");
    }

    #[test]
    fn who_listens_is_told_of_a_change_and_only_so_many_may() {
        let (_service, address, store) = start(&[], &[]);
        let stream = send(address, "GET /ofrep/v1/events", "", "");
        let mut lines = BufReader::new(stream).lines();
        let mut wait_for = |wanted: &str| loop {
            let line = lines.next().unwrap().unwrap();
            if line.contains(wanted) {
                return line;
            }
        };
        wait_for(": flags");
        let changed = r#"{ "flags": {} }"#;
        store.replace(
            FlagSet::parse(changed, FractionalVersion::V2).unwrap(),
            changed,
            Timestamp::from_seconds(9),
        );
        let told = wait_for("data: ");
        let digest = store.served().digest.clone();
        let data =
            format!(r#"data: {{"etag":"{digest}","lastModified":9,"type":"refetchEvaluation"}}"#);
        assert_eq!(told, data);
        let others: Vec<TcpStream> = (1..ofrep::STREAMS_MAX)
            .map(|_| {
                let mut stream = send(address, "GET /ofrep/v1/events", "", "");
                let mut head = [0; 15];
                stream.read_exact(&mut head).unwrap();
                assert_eq!(&head, b"HTTP/1.1 200 OK");
                stream
            })
            .collect();
        let full = ask(address, "GET /ofrep/v1/events", "", "");
        assert!(full.starts_with("HTTP/1.1 429 "), "{full}");
        assert!(full.contains("retry-after: 30\r\n"), "{full}");
        drop(others);
    }

    #[test]
    fn a_file_is_followed_and_a_bad_one_keeps_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        std::fs::write(&path, FLAGS).unwrap();
        let mut file = FlagFile::new(path.clone(), FractionalVersion::V2);
        let store = Arc::new(FlagStore::default());
        let (set, text) = file.read().unwrap();
        store.replace(set, &text, Timestamp::default());
        let (send, events) = mpsc::channel();
        let options = FlagServiceOptions {
            file: Some(file),
            ofrep: None,
        };
        let service = FlagService::start(
            Arc::clone(&store),
            options,
            Timestamp::default,
            move |event| {
                send.send(event).unwrap();
            },
        );
        std::fs::write(&path, "{ \"flags\": { \"x\": {} } }").unwrap();
        let refused = events.recv_timeout(TIME_MAX).unwrap();
        assert!(
            matches!(refused, FlagEvent::Refused { why } if why[0].contains("flags.x.variants"))
        );
        assert_eq!(store.served().flags.set.len(), 2);
        std::fs::write(&path, "{ \"flags\": {} }").unwrap();
        let read = events.recv_timeout(TIME_MAX).unwrap();
        assert!(matches!(read, FlagEvent::Read { flags: 0, .. }));
        assert!(store.served().flags.set.is_empty());
        drop(service);
    }
}
