//! Goal: what people make of managed flags reaches clients at once, is recorded with who and why, ends by itself where that was
//! asked for, and is neither lost with the process nor taken from somebody else.
//!
//! Method: the command line changes them, OFREP shows what clients get; the process is killed and started again.

use std::net::SocketAddr;
use std::process::Output;

use serde_json::{Value, json};

use crate::child::{Home, Plimsoll, wait_until};
use crate::flags::{evaluate, start};
use crate::journal::is;

const CART: &str = r#"{
  "state": "ENABLED",
  "variants": { "on": true, "off": false },
  "defaultVariant": "off",
  "targeting": { "if": [{ "var": "beta" }, "on"] },
  "metadata": { "plimsoll": { "owner": "cart" } }
}"#;

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains(part), "{said}");
}

/// With one flag.
fn started() -> (Home, Plimsoll, SocketAddr) {
    let home = Home::new();
    std::fs::write(home.path("cart.json"), CART).unwrap();
    let (plimsoll, address) = start(&home, "managed = true");
    wait_until("the store is read", || define(&home, &[]).status.success());
    (home, plimsoll, address)
}

fn define(home: &Home, more: &[&str]) -> Output {
    let file = home.path("cart.json").display().to_string();
    let args = [
        "flag",
        "set",
        "cart",
        "--definition",
        &file,
        "--why",
        "it begins",
    ];
    home.ask(&[&args, more].concat())
}

fn given(address: SocketAddr, body: &str) -> Value {
    let (status, answer) = evaluate(address, "cart", "", body);
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(answer.lines().last().unwrap()).unwrap()
}

#[test]
fn a_flag_is_defined_set_ended_and_deleted_with_who_and_why() {
    let (home, _plimsoll, address) = started();
    assert_eq!(given(address, "{}")["variant"], "off");
    assert_eq!(
        given(address, r#"{ "context": { "beta": 1 } }"#)["variant"],
        "on"
    );
    let said = done(&home.ask(&["flag", "set", "cart", "on", "--why", "it is for all"]));
    assert!(
        said.contains("state-folder set `on` for all of flag cart: it is for all"),
        "{said}"
    );
    let now = given(address, "{}");
    assert_eq!(
        (&now["variant"], &now["reason"]),
        (&json!("on"), &json!("STATIC"))
    );
    let record = home.wait_for_record("set", is("change", "of flag cart: it is for all"));
    assert_eq!(record["subject"], "flag/cart");
    let list = done(&home.ask(&["flag", "list"]));
    assert!(
        list.contains("set by state-folder: it is for all"),
        "{list}"
    );

    done(&home.ask(&["flag", "disable", "cart", "--why", "it hurts"]));
    assert_eq!(given(address, "{}")["reason"], "DISABLED");
    done(&home.ask(&["flag", "end", "cart", "--why", "it is repaired"]));
    assert_eq!(given(address, "{}")["variant"], "off");
    let said = done(&home.ask(&["flag", "evaluate", "cart", "--context", r#"{"beta":1}"#]));
    assert_eq!(said, "cart on: true (TARGETING_MATCH)\n");
    refused(
        &home.ask(&["flag", "set", "cart", "onn", "--why", "x"]),
        "there is no variant `onn`",
    );
    refused(&home.ask(&["flag", "set", "cart", "on"]), "say why");
    refused(
        &home.ask(&["flag", "set", "card", "on", "--why", "x"]),
        "there is no flag `card`",
    );

    done(&home.ask(&["flag", "delete", "cart", "--why", "the code is gone"]));
    assert_eq!(evaluate(address, "cart", "", "{}").0, 404);
    assert!(define(&home, &[]).status.success(), "it can be made again");
}

#[test]
fn what_is_set_for_a_while_returns_by_itself_and_outlives_a_kill() {
    let (home, mut plimsoll, address) = started();
    done(&home.ask(&[
        "flag",
        "set",
        "cart",
        "on",
        "--for",
        "1h",
        "--why",
        "trying it",
    ]));
    assert_eq!(given(address, "{}")["variant"], "on");
    plimsoll.signal(rustix::process::Signal::KILL);
    plimsoll.ended();
    let (_plimsoll, address) = start(&home, "managed = true");
    assert_eq!(
        given(address, "{}")["variant"],
        "on",
        "before the store is read"
    );
    let show = || done(&home.ask(&["flag", "show", "cart"]));
    assert!(show().contains("set by state-folder, until "), "{}", show());
    done(&home.ask(&[
        "flag", "set", "cart", "on", "--for", "1s", "--why", "shortly",
    ]));
    wait_until("it ends", || given(address, "{}")["variant"] == "off");
    home.wait_for_record("ended", is("change", "(`on` for all) ended by itself"));
}

#[test]
fn of_two_who_change_a_flag_at_once_the_second_is_told() {
    let (home, _plimsoll, _address) = started();
    let shown = done(&home.ask(&["flag", "show", "cart", "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let version = shown["version"].to_string();
    let with = ["--if-version", version.as_str()];
    assert!(define(&home, &with).status.success());
    refused(
        &define(&home, &with),
        "flag `cart` was changed by state-folder",
    );
}

#[test]
fn who_may_change_a_flag_owns_it_and_flags_of_a_file_are_changed_there() {
    let (home, _plimsoll, _address) = started();
    let created = done(&home.ask(&[
        "token", "create", "bo", "--role", "operator", "--owner", "reviews",
    ]));
    let secret = created
        .split_whitespace()
        .find(|word| word.starts_with("plim_"));
    let secret = secret.unwrap_or_else(|| panic!("{created}"));
    let mut command = home.command(&["flag", "disable", "cart", "--why", "mine"]);
    let output = command.env("PLIMSOLL_TOKEN", secret).output().unwrap();
    refused(&output, "flag cart belongs to cart");

    let home = Home::new();
    std::fs::write(
        home.path("flags.json"),
        format!(r#"{{ "flags": {{ "cart": {CART} }} }}"#),
    )
    .unwrap();
    let (_plimsoll, _address) = start(&home, "file = \"flags.json\"");
    let output = home.ask(&["flag", "disable", "cart", "--why", "it hurts"]);
    refused(&output, "flags.json: change them there");
}

#[test]
fn a_file_of_flags_is_evaluated_without_a_process() {
    let home = Home::new();
    let file = home.path("flags.json").display().to_string();
    std::fs::write(&file, format!(r#"{{ "flags": {{ "cart": {CART} }} }}"#)).unwrap();
    let mut command = crate::child::program();
    command.args([
        "flag",
        "evaluate",
        "cart",
        "--for-key",
        "u",
        "--file",
        &file,
        "--json",
    ]);
    let said = done(&command.output().unwrap());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["variant"], "off");
}
