//! Goal: flags reach the code of services through every OpenFeature SDK, and a file of flags is followed without ever being in
//! force while it is wrong.
//!
//! Method: the real program; OpenFeature's SDKs for Python and JavaScript with their OFREP providers, as their registries have
//! them, on one set of evaluations; HTTP by hand for what is not the SDKs'.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, ask_from, config, wait_until};
use crate::journal::is;
use crate::notify::python;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/flags");
/// What [`FOLDER`]'s scripts send.
const TOKEN: &str = "flags-secret";

pub(crate) fn start(home: &Home, flags: &str) -> (Plimsoll, SocketAddr) {
    let service = Service::start();
    let flags = format!("[flags]\nlisten = \"127.0.0.1:0\"\n{flags}\n");
    home.write(&config(&[service.address], "", &flags));
    let plimsoll = home.run(&[]);
    let said = plimsoll.said();
    let line = said
        .lines()
        .find_map(|it| it.strip_prefix("flags on http://"));
    let address = line.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    (plimsoll, address)
}

/// Asks for one flag, or with `""` for all.
pub(crate) fn evaluate(address: SocketAddr, key: &str, fields: &str, body: &str) -> (u16, String) {
    let path = match key {
        "" => "/ofrep/v1/evaluate/flags".to_owned(),
        key => format!("/ofrep/v1/evaluate/flags/{key}"),
    };
    let fields = format!("{fields}Content-Length: {}\r\n", body.len());
    ask_from([127, 0, 0, 1].into(), address, "POST", &path, &fields, body)
}

/// With all flags and the token that the scripts send.
fn start_with_all(home: &Home) -> (Plimsoll, SocketAddr) {
    std::fs::write(home.path("token"), format!("{TOKEN}\n")).unwrap();
    std::fs::copy(
        Path::new(FOLDER).join("flags.json"),
        home.path("flags.json"),
    )
    .unwrap();
    start(
        home,
        "file = \"flags.json\"\ntokens = [{ file = \"token\" }]",
    )
}

#[track_caller]
fn all_are_as_expected(mut command: Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.ends_with(" evaluated, 0 differ\n"),
        "{said}\n{output:?}"
    );
}

#[test]
fn the_sdk_for_python_evaluates_every_operator_type_and_error() {
    let home = Home::new();
    let (_plimsoll, address) = start_with_all(&home);
    let mut command = Command::new(python());
    command.arg(Path::new(FOLDER).join("evaluate.py"));
    command.arg(format!("http://{address}"));
    command.arg(Path::new(FOLDER).join("cases.json"));
    all_are_as_expected(command);
}

/// Where `cargo xtask test` has put the packages for JavaScript that tests use.
fn node_packages() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("node")
}

#[test]
fn the_sdk_for_javascript_evaluates_every_operator_type_and_error() {
    let home = Home::new();
    let (_plimsoll, address) = start_with_all(&home);
    let mut command = Command::new("node");
    command.arg(Path::new(FOLDER).join("evaluate.mjs"));
    command.arg(node_packages());
    command.arg(format!("http://{address}"));
    command.arg(Path::new(FOLDER).join("cases.json"));
    all_are_as_expected(command);
}

#[test]
fn all_flags_are_sent_again_only_when_they_or_the_context_are_others() {
    let home = Home::new();
    let (_plimsoll, address) = start_with_all(&home);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(evaluate(address, "", "", "{}").0, 401);
    let body = r#"{ "context": { "targetingKey": "ana" } }"#;
    let (status, all) = evaluate(address, "", &token, body);
    assert_eq!(status, 200, "{all}");
    assert!(
        all.contains(r#""eventStreams":[{"endpoint":{"requestUri":"/ofrep/v1/events"}"#),
        "{all}"
    );
    let tag = all
        .lines()
        .find_map(|it| it.strip_prefix("etag: "))
        .unwrap();
    let known = format!("{token}If-None-Match: {tag}\r\n");
    assert_eq!(evaluate(address, "", &known, body).0, 304);
    let other = r#"{ "context": { "targetingKey": "ben" } }"#;
    assert_eq!(evaluate(address, "", &known, other).0, 200);
    let text = std::fs::read_to_string(home.path("flags.json")).unwrap();
    let changed = text.replace("\"one\": 42", "\"one\": 43");
    assert_ne!(changed, text);
    std::fs::write(home.path("flags.json"), changed).unwrap();
    wait_until("all are sent again", || {
        evaluate(address, "", &known, body).0 == 200
    });
}

fn flag(variants: &str) -> String {
    format!(r#"{{ "flags": {{ "cart": {{ "variants": {variants}, "defaultVariant": "on" }} }} }}"#)
}

#[test]
fn a_file_is_followed_and_one_that_is_wrong_changes_nothing_and_is_told_with_its_place() {
    let home = Home::new();
    let file = home.path("flags.json");
    std::fs::write(&file, flag(r#"{ "on": 1 }"#)).unwrap();
    let (mut plimsoll, address) = start(&home, "file = \"flags.json\"");
    let value = || {
        let (status, answer) = evaluate(address, "cart", "", "{}");
        assert_eq!(status, 200, "{answer}");
        answer.lines().last().unwrap().to_owned()
    };
    assert_eq!(
        value(),
        r#"{"key":"cart","value":1,"reason":"STATIC","variant":"on"}"#
    );
    std::fs::write(&file, flag("\n{ \"off\": 2 }")).unwrap();
    let why = "line 2: flags.cart.defaultVariant: there is no variant `on`; the flag has `off`";
    plimsoll.wait_for(why);
    let warnings = || {
        let status: Value =
            serde_json::from_slice(&home.ask(&["status", "--json"]).stdout).unwrap();
        status["warnings"].to_string()
    };
    let told = "there is no variant `on`; the flag has `off`";
    wait_until("status tells it", || warnings().contains(told));
    assert!(value().contains(r#""value":1"#));
    home.wait_for_record("refused", is("refusal", why));

    std::fs::write(&file, flag(r#"{ "on": 3 }"#)).unwrap();
    wait_until("it is in force", || value().contains(r#""value":3"#));
    wait_until("status is silent", || !warnings().contains(told));
    home.wait_for_record("changed", is("change", "cart is another"));

    // Started again while the file is wrong, what was last valid is in force.
    plimsoll.terminate();
    plimsoll.ended();
    std::fs::write(&file, "nothing").unwrap();
    let (_plimsoll, address) = start(&home, "file = \"flags.json\"");
    assert!(
        evaluate(address, "cart", "", "{}")
            .1
            .contains(r#""value":3"#)
    );
}

#[test]
fn a_reload_moves_where_flags_are_served_and_what_they_need() {
    let home = Home::new();
    std::fs::write(home.path("flags.json"), flag(r#"{ "on": 1 }"#)).unwrap();
    let (plimsoll, address) = start(&home, "file = \"flags.json\"");
    assert_eq!(evaluate(address, "cart", "", "{}").0, 200);
    std::fs::write(home.path("token"), TOKEN).unwrap();
    let text = std::fs::read_to_string(home.path("plimsoll.toml")).unwrap();
    home.write(&format!("{text}tokens = [{{ file = \"token\" }}]\n"));
    let reloaded = home.ask(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!(evaluate(address, "cart", "", "{}").0, 401);
    let token = format!("X-API-Key: {TOKEN}\r\n");
    assert_eq!(evaluate(address, "cart", &token, "{}").0, 200);
    drop(plimsoll);
}
