//! Queues: what the file says becomes, and what people see of their mistakes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_config::{Config, QueueDurability, Secret, check_files, parse, render, schema};
use serde_json::json;

use crate::golden::shown;

const HEAD: &str =
    "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[[route]]\nservice = \"app\"\n";

/// The configuration with these lines, and how many warnings it has.
#[track_caller]
fn config(lines: &str) -> (Config, usize) {
    let source = format!("{HEAD}{lines}\n");
    match parse(&source, "/etc/plimsoll/plimsoll.toml") {
        Ok((config, warnings)) => (config, warnings.len()),
        Err(errors) => panic!("{}", render(&errors, &source, "p.toml", false)),
    }
}

#[test]
fn there_are_queues_where_the_file_has_a_word_of_them() {
    let (none, _) = config("");
    assert_eq!((none.queues, none.queue.len()), (None, 0));
    let (config, warnings) = config("[queues]");
    let queues = config.queues.unwrap();
    assert_eq!(warnings, 0);
    assert_eq!((queues.listen, &queues.folder), (None, &None));
    assert_eq!(queues.disk_max, 10 << 30);
    assert_eq!(queues.durability, QueueDurability::Sync);
    assert!(queues.create && queues.tokens.is_empty() && queues.keys.is_none());
    assert_eq!((&*queues.region, queues.url), ("us-east-1", None));
    assert_eq!(config.queue.len(), 0);
}

#[test]
fn a_queue_alone_has_the_documented_settings() {
    let (config, warnings) = config("[queue.orders]");
    assert_eq!(warnings, 0);
    assert!(config.queues.is_some_and(|it| it.listen.is_none()));
    insta::assert_debug_snapshot!(config.queue);
}

#[test]
fn every_key_of_queues_is_read() {
    let source = include_str!("whole.toml");
    let (config, warnings) = parse(source, "/etc/plimsoll/plimsoll.toml").unwrap();
    assert_eq!(warnings, []);
    let queues = config.queues.unwrap();
    assert_eq!(queues.folder.as_deref(), Some(Path::new("/srv/queues")));
    assert_eq!(queues.durability, QueueDurability::Interval);
    assert!(!queues.create);
    assert_eq!(
        queues.tokens,
        [
            Secret::Env("QUEUE_TOKEN".into()),
            Secret::File("/etc/plimsoll/queue.token".into())
        ]
    );
    let keys = queues.keys.unwrap();
    assert_eq!(keys.path, PathBuf::from("/etc/plimsoll/access.keys"));
    assert_eq!(
        queues.url.as_deref(),
        Some("https://queues.example/plimsoll")
    );
    let mails = &config.queue["mails"];
    let times = [mails.backoff_min, mails.backoff_max, mails.dedup_window];
    assert_eq!(times, [2, 600, 3_600].map(Duration::from_secs));
    assert_eq!(mails.dead_letters.as_deref(), Some("lost"));
    assert_eq!(
        (mails.bytes_max, mails.message_max),
        (Some(8 << 30), 256 << 10)
    );
    assert!(mails.dedup_by_body);
    let names: Vec<_> = config.queue.keys().collect();
    assert_eq!(names, ["lost", "mails", "orders.fifo"]);
}

#[test]
fn what_the_file_may_also_say_is_read() {
    let (config, warnings) = config(
        "[queues]\nlisten = \"[::1]:7679\"\nkeys = \"a.keys\"\nurl = \"http://q:1//\"\n\
         [queue.a]\ndedup = \"0s\"\nraise_after = \"0s\"\nbytes_max = \"none\"\ndead_letters = \"b\"\n\
         [queue.b]\nattempts_max = 0\nbackoff = { min = \"0s\", max = \"0s\" }\n",
    );
    assert_eq!(warnings, 0);
    let queues = config.queues.unwrap();
    assert_eq!(queues.keys.unwrap().path, Path::new("/etc/plimsoll/a.keys"));
    assert_eq!(queues.url.as_deref(), Some("http://q:1"));
    let (a, b) = (&config.queue["a"], &config.queue["b"]);
    assert!(a.dedup_window.is_zero() && a.raise_after.is_zero());
    assert_eq!(a.bytes_max, None);
    assert!(b.attempts_max == 0 && b.backoff_max.is_zero());
}

#[test]
fn mistakes_about_all_queues_are_shown_with_their_lines() {
    let cases = [
        "[queues]\nlisten = \"127.0.0.1:7676\"",
        "[queues]\nlisten = \"0.0.0.0:7679\"\n[flags]\nmanaged = true\nlisten = \"127.0.0.1:7679\"",
        "[queues]\nlisten = 7679",
        "[queues]\nlisten = \"10.0.0.1:7679\"\ntokens = [{ env = \"A\" }]",
        "[queues]\nlisten = \"10.0.0.1:7679\"\nkeys = \"a.keys\"",
        "[queues]\ndisk_max = \"64MiB\"",
        "[queues]\ndisk_max = 10_000_000_000",
        "[queues]\ndurability = \"fsync\"",
        "[queues]\ncreate = \"false\"",
        "[queues]\ntokens = [\"hunter2\"]",
        "[queues]\ntokens = [{}, { env = \"A\", file = \"a\" }]",
        "[queues]\nkeys = {}",
        "[queues]\nregion = \"us:east\"",
        "[queues]\nurl = \"queues.example:7679\"",
        "[queues]\nurl = \"smtp://queues.example\"",
        "[queues]\nurl = \"http://me:hunter2@queues.example\"",
        "[queues]\nurl = \"http://queues.example?a=b\"",
        "[queues]\nmode = \"off\"",
    ];
    let text = shown(&cases.map(|case| format!("{HEAD}{case}\n")));
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn mistakes_in_a_queue_are_shown_with_their_lines() {
    let long = format!("[queue.{}]", "a".repeat(81));
    let cases = [
        "[queue.\"a b\"]\n[queue.\"a.b\"]\n[queue.\".fifo\"]",
        &long,
        "[queue.orders.fifo]",
        "[queue]\norders = \"30s\"",
        "[queue.a]\nlease = \"13h\"\nretention = \"30s\"\nwait = \"1m\"",
        "[queue.a]\nattempts_max = 1_001\nmessages_max = 0\nmessage_max = \"4MiB\"",
        "[queue.a]\nbackoff = { min = \"2m\", max = \"1m\" }",
        "[queue.a]\nbackoff = { max = \"500ms\" }",
        "[queue.a]\nbackoff = { min = \"10m\" }",
        "[queue.a]\nbackoff = \"1s\"",
        "[queue.a]\ndelay = \"5m\"\nretention = \"5m\"",
        "[queue.a]\ndedup = { window = \"0s\", by_body = true }",
        "[queue.a]\nbytes_max = \"512KiB\"",
        "[queue.a]\nbytes_max = \"2MiB\"\nmessage_max = \"3MiB\"",
        "[queue.a]\nbytes_max = \"1TiB\"",
        "[queues]\ndisk_max = \"128MiB\"\n[queue.a]\nbytes_max = \"1GiB\"",
        "[queue.a]\nbytes_max = \"nothing\"",
    ];
    insta::assert_snapshot!(shown(&cases.map(|case| format!("{HEAD}{case}\n"))));
}

#[test]
fn mistakes_about_dead_letters_are_shown_with_their_lines() {
    let cases = [
        "[queue.a]\ndead_letters = \"a\"",
        "[queue.orders]\n[queue.a]\ndead_letters = \"ordres\"",
        "[queue.a]\ndead_letters = \"lost\"",
        "[queue.a]\ndead_letters = \"b.fifo\"\n[queue.\"b.fifo\"]",
        "[queue.\"a.fifo\"]\ndead_letters = \"b\"\n[queue.b]",
        "[queue.a]\nattempts_max = 0\ndead_letters = \"b\"\n[queue.b]",
        "[queue.a]\ndead_letters = \"b\"\n[queue.b]\ndead_letters = \"c\"\n[queue.c]\ndead_letters = \"b\"",
        "[queue.a]\n[queue.a-dead]\ndead_letters = \"a\"",
    ];
    insta::assert_snapshot!(shown(&cases.map(|case| format!("{HEAD}{case}\n"))));
}

#[test]
fn dead_letters_may_go_on_as_long_as_they_end_somewhere() {
    let (config, warnings) = config(
        "[queue.a]\ndead_letters = \"b\"\n[queue.b]\ndead_letters = \"c\"\n[queue.c]\n[queue.d]\ndead_letters = \"c\"",
    );
    assert_eq!((config.queue.len(), warnings), (4, 0));
    // It ends where nothing is ever dead.
    let (_, warnings) = self::config("[queue.a]\n[queue.a-dead]\nattempts_max = 0\n");
    assert_eq!(warnings, 0);
}

/// The default of a name that is as long as can be is cut off: here to the name itself.
#[test]
fn a_queue_whose_dead_letters_would_be_its_own_by_default_is_a_mistake() {
    let name = format!("{}-dead", "a".repeat(75));
    let source = format!("{HEAD}[queue.{name}]\n");
    let errors = parse(&source, "p.toml").unwrap_err();
    let codes: Vec<_> = errors.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["dead-letter-cycle"]);
}

#[test]
fn a_file_of_access_keys_is_read_and_its_mistakes_are_shown_without_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("plimsoll.toml").display().to_string();
    let source = format!("{HEAD}[queues]\nkeys = \"access.keys\"\n");
    let said = || {
        let found = check_files(&source, &name);
        let text = render(&found, &source, "plimsoll.toml", false);
        text.replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    let write = |text: &str| std::fs::write(folder.path().join("access.keys"), text).unwrap();
    let mut all = vec![said()];
    for text in [
        "",
        "AKIA1 hunter2\n\nhunter2\n",
        "AKIA1 hunter2\nhunter2 AKIA2 x\n",
        "AKIA1 a\nAKIA1 hunter2\n",
    ] {
        write(text);
        all.push(said());
    }
    let all = all.join("\n");
    assert!(!all.contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);

    let (mut config, _) = parse(&source, &name).unwrap();
    let (path, error) = config.read_access_keys().unwrap_err();
    assert_eq!(path, folder.path().join("access.keys"));
    assert_eq!(
        error.to_string(),
        "line 2: the access key id of line 1 again"
    );
    write("AKIA1 hunter2 # the shop\nAKIA2 b\n");
    assert_eq!(said(), "");
    config.read_access_keys().unwrap();
    let keys = config.queues.and_then(|it| it.keys).unwrap();
    assert_eq!(keys.secrets["AKIA1"], Secret::Plain("hunter2".into()));
    let debug = format!("{keys:?}");
    assert!(
        !debug.contains("hunter2") && !debug.contains("AKIA1"),
        "{debug}"
    );
}

#[test]
fn the_schema_knows_names_of_queues() {
    let schema = schema();
    let queue = &schema["properties"]["queue"];
    assert_eq!(
        queue["propertyNames"]["pattern"],
        "^([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\\.fifo)$"
    );
    let properties = &queue["additionalProperties"]["properties"];
    assert_eq!(properties["messages_max"]["default"], 100_000_000);
    let queues = &schema["properties"]["queues"]["properties"];
    assert_eq!(queues["durability"]["default"], "sync");
    assert_eq!(
        queues["keys"]["anyOf"][0]["required"],
        json!(["file"]),
        "or its path alone"
    );
}
