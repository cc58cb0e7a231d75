//! What flags evaluate to, case by case: operators, buckets, what is refused and where.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_615_852);

/// A flag whose variants are what the rule may give, named like it.
fn set_with(rule: &Value) -> Value {
    json!({ "flags": { "flag": {
        "state": "ENABLED",
        "variants": { "true": "yes", "false": "no", "a": "A", "b": "B", "c": "C" },
        "defaultVariant": "c",
        "targeting": rule,
    } } })
}

fn parse(set: &Value) -> FlagSet {
    let text = serde_json::to_string_pretty(set).unwrap();
    FlagSet::parse(&text, FractionalVersion::V2).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn context(fields: Value) -> FlagContext {
    FlagContext::new(fields).unwrap()
}

#[track_caller]
fn gives(rule: Value, fields: Value, variant: &str) {
    let set = parse(&set_with(&rule));
    let context = context(fields);
    let given = set.evaluate("flag", &context, NOW).unwrap();
    assert_eq!(
        given.variant,
        Some(variant),
        "{rule} with {}",
        context.as_value()
    );
}

/// What a rule works out, seen by comparing it.
#[track_caller]
fn works_out(rule: Value, fields: Value, expected: Value) {
    gives(json!({ "===": [rule, expected] }), fields, "true");
}

#[test]
fn fields_are_found_by_their_path() {
    let fields = || json!({ "a": 1, "b": { "c": ["x", "y"] }, "n": null });
    works_out(json!({ "var": "a" }), fields(), json!(1));
    works_out(json!({ "var": ["a"] }), fields(), json!(1));
    works_out(json!({ "var": "b.c.1" }), fields(), json!("y"));
    works_out(json!({ "var": ["none", 7] }), fields(), json!(7));
    works_out(json!({ "var": ["n", 7] }), fields(), json!(7));
    works_out(
        json!({ "var": { "cat": ["b", ".c", ".0"] } }),
        fields(),
        json!("x"),
    );
    works_out(
        json!({ "!!": { "var": "" } }),
        json!({ "k": 1 }),
        json!(true),
    );
    works_out(json!({ "var": "$flagd.flagKey" }), fields(), json!("flag"));
    works_out(
        json!({ "var": "$flagd.timestamp" }),
        fields(),
        json!(1_795_615_852),
    );
    works_out(json!({ "var": "none" }), fields(), json!(null));
    // What a client calls so does not count.
    works_out(
        json!({ "var": "$flagd.flagKey" }),
        json!({ "$flagd": { "flagKey": "x" } }),
        json!("flag"),
    );
}

#[test]
fn what_is_missing_is_listed() {
    let fields = || json!({ "a": 1, "b": "", "c": 3 });
    works_out(
        json!({ "missing": ["a", "b", "d"] }),
        fields(),
        json!(["b", "d"]),
    );
    works_out(json!({ "missing": [["a", "c"]] }), fields(), json!([]));
    works_out(
        json!({ "missing": { "merge": ["a", ["d"]] } }),
        fields(),
        json!(["d"]),
    );
    works_out(
        json!({ "missing_some": [1, ["a", "d"]] }),
        fields(),
        json!([]),
    );
    works_out(
        json!({ "missing_some": [2, ["a", "d"]] }),
        fields(),
        json!(["d"]),
    );
}

#[test]
fn branches_and_logic_give_values_and_look_no_further_than_they_must() {
    works_out(
        json!({ "if": [false, 1, { "==": [1, 1] }, 2, 3] }),
        json!({}),
        json!(2),
    );
    works_out(
        json!({ "if": [false, 1, false, 2, 3] }),
        json!({}),
        json!(3),
    );
    works_out(json!({ "if": [false, 1] }), json!({}), json!(null));
    works_out(json!({ "?:": ["x", 1, 2] }), json!({}), json!(1));
    works_out(json!({ "or": [0, "", "x", "y"] }), json!({}), json!("x"));
    works_out(json!({ "or": [0, ""] }), json!({}), json!(""));
    works_out(json!({ "and": [1, 0, 2] }), json!({}), json!(0));
    works_out(json!({ "and": [1, 2] }), json!({}), json!(2));
    works_out(json!({ "!": [0] }), json!({}), json!(true));
    works_out(json!({ "!": "x" }), json!({}), json!(false));
    works_out(json!({ "!!": ["0"] }), json!({}), json!(true));
}

#[test]
fn comparisons() {
    for (rule, expected) in [
        (json!({ "==": [1, "1"] }), true),
        (json!({ "===": [1, "1"] }), false),
        (json!({ "!=": [1, "1"] }), false),
        (json!({ "!==": [1, "1"] }), true),
        (json!({ ">": [2, 1] }), true),
        (json!({ ">=": [2, "2"] }), true),
        (json!({ "<": [1, 2] }), true),
        (json!({ "<=": [2, 1] }), false),
        (json!({ "<": [1, 2, 3] }), true),
        (json!({ "<": [1, 1, 3] }), false),
        (json!({ "<=": [1, 1, 3] }), true),
        (json!({ "<=": [1, 4, 3] }), false),
        (json!({ "<": ["10", "9"] }), true),
        (json!({ "<": ["10", 9] }), false),
        (json!({ "<": ["x", 9] }), false),
        (json!({ ">": ["x", 9] }), false),
    ] {
        works_out(rule, json!({}), json!(expected));
    }
}

#[test]
fn arithmetic() {
    for (rule, expected) in [
        (json!({ "max": [1, 3, 2] }), json!(3)),
        (json!({ "min": [[4, 2]] }), json!(2)),
        (json!({ "+": [1, "2", 3.5] }), json!(6.5)),
        (json!({ "+": "3.25" }), json!(3.25)),
        (json!({ "-": [5, 2] }), json!(3)),
        (json!({ "-": 5 }), json!(-5)),
        (json!({ "*": [2, 3, 4] }), json!(24)),
        (json!({ "/": [1, 4] }), json!(0.25)),
        (json!({ "/": [1, 0] }), json!(null)),
        (json!({ "%": [7, 3] }), json!(1)),
        (json!({ "+": ["x", 1] }), json!(null)),
    ] {
        works_out(rule, json!({}), expected);
    }
}

#[test]
fn lists() {
    let fields = || json!({ "numbers": [1, 2, 3, 4], "people": [{ "age": 20 }, { "age": 40 }] });
    let numbers = || json!({ "var": "numbers" });
    works_out(
        json!({ "map": [numbers(), { "*": [{ "var": "" }, 2] }] }),
        fields(),
        json!([2, 4, 6, 8]),
    );
    works_out(
        json!({ "filter": [numbers(), { "%": [{ "var": "" }, 2] }] }),
        fields(),
        json!([1, 3]),
    );
    let sum = json!({ "+": [{ "var": "current" }, { "var": "accumulator" }] });
    works_out(
        json!({ "reduce": [numbers(), sum, 0] }),
        fields(),
        json!(10),
    );
    works_out(
        json!({ "reduce": [{ "var": "none" }, sum, 5] }),
        fields(),
        json!(5),
    );
    let grown = json!({ ">": [{ "var": "age" }, 30] });
    let people = || json!({ "var": "people" });
    works_out(json!({ "all": [people(), grown] }), fields(), json!(false));
    works_out(json!({ "some": [people(), grown] }), fields(), json!(true));
    works_out(json!({ "none": [people(), grown] }), fields(), json!(false));
    works_out(json!({ "all": [[], grown] }), fields(), json!(false));
    works_out(json!({ "none": [[], grown] }), fields(), json!(true));
    works_out(json!({ "some": [[], grown] }), fields(), json!(false));
    works_out(
        json!({ "merge": [[1], 2, [3, [4]]] }),
        fields(),
        json!([1, 2, 3, [4]]),
    );
    works_out(json!({ "in": [2, numbers()] }), fields(), json!(true));
    works_out(json!({ "in": ["2", numbers()] }), fields(), json!(false));
    works_out(json!([1, { "+": [1, 1] }]), fields(), json!([1, 2]));
}

#[test]
fn texts() {
    for (rule, expected) in [
        (
            json!({ "in": ["@example.", "ana@example.org"] }),
            json!(true),
        ),
        (json!({ "in": ["x", null] }), json!(false)),
        (
            json!({ "cat": ["a", 1, 2.0, null, true] }),
            json!("a12true"),
        ),
        (json!({ "substr": ["jsonlogic", 4] }), json!("logic")),
        (json!({ "substr": ["jsonlogic", -5] }), json!("logic")),
        (json!({ "substr": ["jsonlogic", 1, 3] }), json!("son")),
        (json!({ "substr": ["jsonlogic", 4, -2] }), json!("log")),
        (json!({ "substr": ["größe", 2, 2] }), json!("öß")),
        (json!({ "substr": ["abc", 9, 9] }), json!("")),
        (json!({ "substr": ["abc", -9, 2] }), json!("ab")),
        (json!({ "starts_with": ["beta-7", "beta"] }), json!(true)),
        (json!({ "ends_with": ["beta-7", "beta"] }), json!(false)),
        (json!({ "starts_with": [7, "beta"] }), json!(null)),
        (json!({ "log": ["x"] }), json!("x")),
        (json!({ "sem_ver": ["1.2.3", ">=", "v1.2"] }), json!(true)),
        (json!({ "sem_ver": ["nothing", ">=", "1.2"] }), json!(null)),
    ] {
        works_out(rule, json!({}), expected);
    }
}

#[test]
fn a_rule_gives_a_variant_by_name_or_as_truth_or_the_default() {
    gives(
        json!({ "if": [{ "var": "x" }, "a", "b"] }),
        json!({ "x": 1 }),
        "a",
    );
    gives(json!({ "if": [{ "var": "x" }, "a"] }), json!({}), "c");
    gives(
        json!({ "in": ["z", { "var": "mail" }] }),
        json!({ "mail": "zoe" }),
        "true",
    );
    gives(
        json!({ "in": ["z", { "var": "mail" }] }),
        json!({ "mail": "ana" }),
        "false",
    );
    let set = parse(&set_with(&json!({ "cat": ["z", { "var": "x" }] })));
    let error = set
        .evaluate("flag", &FlagContext::empty(), NOW)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "targeting of flag `flag` gave `z`, which is none of its variants"
    );
    assert_eq!(error.code(), "GENERAL");
    let error = set
        .evaluate("other", &FlagContext::empty(), NOW)
        .unwrap_err();
    assert_eq!(error.code(), "FLAG_NOT_FOUND");
}

fn reason(set: &Value, fields: Value) -> (Option<String>, FlagReason) {
    let set = parse(set);
    let context = context(fields);
    let given = set.evaluate("flag", &context, NOW).unwrap();
    (given.variant.map(str::to_owned), given.reason)
}

#[test]
fn the_reason_says_what_decided() {
    let mut set = set_with(&json!({ "if": [{ "var": "x" }, "a"] }));
    assert_eq!(
        reason(&set, json!({ "x": 1 })),
        (Some("a".to_owned()), FlagReason::TargetingMatch)
    );
    assert_eq!(
        reason(&set, json!({})),
        (Some("c".to_owned()), FlagReason::Default)
    );
    set["flags"]["flag"]["defaultVariant"] = json!(null);
    assert_eq!(reason(&set, json!({})), (None, FlagReason::Default));
    set["flags"]["flag"]["targeting"] = json!({});
    assert_eq!(reason(&set, json!({})), (None, FlagReason::Static));
    set["flags"]["flag"]["targeting"] = json!({ "fractional": [["a", 1]] });
    assert_eq!(
        reason(&set, json!({ "targetingKey": "u" })),
        (Some("a".to_owned()), FlagReason::Split)
    );
    set["flags"]["flag"]["state"] = json!("DISABLED");
    assert_eq!(reason(&set, json!({})), (None, FlagReason::Disabled));
}

#[test]
fn a_split_takes_what_it_is_told_to_and_else_the_flag_and_the_targeting_key() {
    let split = |by: Option<Value>| {
        let mut parts: Vec<Value> = by.into_iter().collect();
        parts.extend([json!(["a", 50]), json!(["b", 50])]);
        set_with(&json!({ "fractional": parts }))
    };
    let of = |set: &Value, fields: Value| reason(set, fields).0.unwrap();
    let plain = split(None);
    let by_user = split(Some(json!({ "var": "user" })));
    let by_both = split(Some(
        json!({ "cat": [{ "var": "$flagd.flagKey" }, { "var": "targetingKey" }] }),
    ));
    for user in 0..50 {
        let key = format!("user-{user}");
        let expected = of(&plain, json!({ "targetingKey": key }));
        assert_eq!(of(&by_both, json!({ "targetingKey": key })), expected);
        // Without the field it falls back on the targeting key.
        assert_eq!(of(&by_user, json!({ "targetingKey": key })), expected);
    }
    let differs = (0..50).any(|user| {
        let key = format!("user-{user}");
        of(&plain, json!({ "targetingKey": key })) != of(&by_user, json!({ "user": key }))
    });
    assert!(differs);
    // What is no text splits nobody.
    assert_eq!(of(&by_user, json!({ "user": 5 })), "c");
    let set = parse(&plain);
    let error = set
        .evaluate("flag", &FlagContext::empty(), NOW)
        .unwrap_err();
    assert_eq!(error.code(), "TARGETING_KEY_MISSING");
}

#[test]
fn the_buckets_are_those_of_flagd() {
    use super::fractional::chosen;
    let v2 = |hash, weights: &[u64]| chosen(FractionalVersion::V2, hash, weights);
    assert_eq!(v2(0, &[1, 1]), Some(0));
    assert_eq!(v2(0x7fff_ffff, &[1, 1]), Some(0));
    assert_eq!(v2(0x8000_0000, &[1, 1]), Some(1));
    assert_eq!(v2(u32::MAX, &[1, 1]), Some(1));
    assert_eq!(v2(u32::MAX, &[1, 0]), Some(0));
    assert_eq!(v2(5, &[0, 0]), None);
    assert_eq!(v2(5, &[i32::MAX as u64, 1]), None);
    assert_eq!(v2(0, &[0, 3]), Some(1));
    let v1 =
        |hash: i32, weights: &[u64]| chosen(FractionalVersion::V1, hash.cast_unsigned(), weights);
    assert_eq!(v1(0, &[50, 50]), Some(0));
    assert_eq!(v1(i32::MAX / 2 - 1, &[50, 50]), Some(0));
    assert_eq!(v1(-(i32::MAX / 2 - 1), &[50, 50]), Some(0));
    assert_eq!(v1(i32::MAX / 2 + 2, &[50, 50]), Some(1));
}

#[test]
fn weights_may_be_worked_out_so_that_a_split_moves_with_time() {
    let begin = NOW.as_seconds();
    let gone = json!({ "-": [{ "var": "$flagd.timestamp" }, begin] });
    let rest = json!({ "-": [100, gone] });
    let set = parse(&set_with(
        &json!({ "fractional": [["a", gone], ["b", rest]] }),
    ));
    let share = |seconds: u64| {
        let now = NOW + Duration::from_secs(seconds);
        let is_in = |user: &u32| {
            let context = FlagContext::of(&format!("u{user}"));
            set.evaluate("flag", &context, now).unwrap().variant == Some("a")
        };
        (0..1_000).filter(is_in).count()
    };
    assert_eq!(share(0), 0);
    assert!((400..600).contains(&share(50)), "{}", share(50));
    assert_eq!(share(100), 1_000);
    assert_eq!(share(200), 1_000, "a weight below zero is none");
}

#[test]
fn evaluators_are_shared() {
    let mut set =
        set_with(&json!({ "if": [{ "and": [{ "$ref": "ours" }, { "var": "x" }] }, "a", "b"] }));
    set["$evaluators"] = json!({
        "ours": { "or": [{ "$ref": "staff" }, { "==": [{ "var": "team" }, "core"] }] },
        "staff": { "ends_with": [{ "var": "mail" }, "@ours.example"] },
    });
    assert_eq!(
        reason(&set, json!({ "mail": "a@ours.example", "x": 1 }))
            .0
            .unwrap(),
        "a"
    );
    assert_eq!(
        reason(&set, json!({ "mail": "a@other.example", "x": 1 }))
            .0
            .unwrap(),
        "b"
    );
}

#[test]
fn metadata_of_the_set_stand_under_those_of_the_flag_and_ours_are_not_told() {
    let mut set = set_with(&json!({}));
    set["flagSetId"] = json!("shop");
    set["metadata"] = json!({ "team": "core", "version": 3 });
    set["flags"]["flag"]["metadata"] =
        json!({ "team": "cart", "plimsoll": { "owner": "payments" } });
    let set = parse(&set);
    let given = set.evaluate("flag", &FlagContext::empty(), NOW).unwrap();
    let expected = json!({ "flagSetId": "shop", "team": "cart", "version": 3 });
    assert_eq!(Value::Object(given.metadata.clone()), expected);
    let settings = set.flag("flag").unwrap().settings();
    assert_eq!(settings.owner.as_deref(), Some("payments"));
}

#[test]
fn a_prerequisite_that_is_not_met_turns_a_flag_off() {
    let set = parse(&json!({ "flags": {
        "base": {
            "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
            "targeting": { "if": [{ "var": "beta" }, "on"] },
        },
        "top": {
            "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on",
            "metadata": { "plimsoll": { "prerequisites": [{ "flag": "base", "variant": "on" }] } },
        },
    } }));
    let top = |fields: Value| {
        let context = context(fields);
        let given = set.evaluate("top", &context, NOW).unwrap();
        (
            given.variant.unwrap().to_owned(),
            given.value.unwrap().clone(),
        )
    };
    assert_eq!(top(json!({ "beta": true })), ("on".to_owned(), json!(true)));
    assert_eq!(top(json!({})), ("off".to_owned(), json!(false)));
}

#[test]
fn a_schedule_changes_the_default_and_a_ramp_takes_a_growing_share_of_it() {
    let mut set = set_with(&json!({ "if": [{ "var": "x" }, "a"] }));
    set["flags"]["flag"]["metadata"] = json!({ "plimsoll": { "schedule": [
        { "at": "2026-12-02", "variant": "c" },
        { "at": "2026-12-01T09:00:00Z", "variant": "b" },
    ] } });
    let scheduled = parse(&set);
    let at = |set: &FlagSet, day: u64, fields: Value| {
        let now = Timestamp::of_date(2026, 12, day) + Duration::from_secs(36_000);
        let context = context(fields);
        set.evaluate("flag", &context, now)
            .unwrap()
            .variant
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        scheduled
            .evaluate("flag", &FlagContext::empty(), NOW)
            .unwrap()
            .variant,
        Some("c")
    );
    assert_eq!(at(&scheduled, 1, json!({})), "b");
    assert_eq!(
        at(&scheduled, 1, json!({ "x": 1 })),
        "a",
        "targeting comes first"
    );
    assert_eq!(at(&scheduled, 2, json!({})), "c");

    set["flags"]["flag"]["metadata"] = json!({ "plimsoll": { "ramp": {
        "variant": "b", "to": "50%", "start": "2026-12-01", "end": "2026-12-03",
    } } });
    let ramped = parse(&set);
    let share = |day: u64| {
        let user = |user: u32| json!({ "targetingKey": format!("user-{user}") });
        (0..1_000)
            .filter(|number| at(&ramped, day, user(*number)) == "b")
            .count()
    };
    assert!((70..140).contains(&share(1)), "{}", share(1));
    assert!((440..560).contains(&share(4)), "{}", share(4));
    let now = Timestamp::of_date(2026, 12, 2);
    let error = ramped
        .evaluate("flag", &FlagContext::empty(), now)
        .unwrap_err();
    assert_eq!(error.code(), "TARGETING_KEY_MISSING");
}

#[test]
fn flags_that_should_go_are_found() {
    let set = parse(&json!({ "flags": {
        "old": { "variants": { "on": true, "off": false }, "defaultVariant": "on" },
        "new": { "variants": { "on": true, "off": false }, "defaultVariant": "on" },
        "ruled": { "variants": { "on": true, "off": false }, "defaultVariant": "on", "targeting": { "if": [{ "var": "x" }, "off"] } },
        "late": { "variants": { "on": true }, "defaultVariant": "on", "metadata": { "plimsoll": { "expires": "2026-11-01" } } },
    } }));
    let month = Duration::from_secs(30 * 86_400);
    let changed = |key: &str| (key != "new").then(|| NOW.before(2 * month)).or(Some(NOW));
    let stale = set.stale(NOW, NOW.before(month), changed);
    let expires = Timestamp::of_date(2026, 11, 1);
    let expected = vec![
        ("late", Stale::Expired(expires)),
        ("old", Stale::SameForAll("on".to_owned())),
    ];
    assert_eq!(stale, expected);
}

#[track_caller]
fn refused(set: &str, fractional: FractionalVersion, expected: &[&str]) {
    let problems = FlagSet::parse(set, fractional).unwrap_err();
    let problems: Vec<String> = problems.iter().map(FlagProblem::to_string).collect();
    for (index, expected) in expected.iter().enumerate() {
        let problem = problems.get(index).map_or("", String::as_str);
        assert!(
            problem.contains(expected),
            "{expected:?} is not in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

/// `flag` in a set of its own.
#[track_caller]
fn flag_refused(flag: &str, expected: &[&str]) {
    refused(
        &format!("{{ \"flags\": {{\n\"f\": {flag}\n}} }}"),
        FractionalVersion::V2,
        expected,
    );
}

#[track_caller]
fn rule_refused(rule: &str, expected: &[&str]) {
    flag_refused(
        &format!(r#"{{ "variants": {{ "on": 1, "off": 2 }}, "targeting": {rule} }}"#),
        expected,
    );
}

#[test]
fn a_set_that_cannot_be_is_refused_with_every_place() {
    refused("{", FractionalVersion::V2, &["line 1: it is no JSON: "]);
    refused(
        "[]",
        FractionalVersion::V2,
        &["a file of flags is an object"],
    );
    refused("{}", FractionalVersion::V2, &["it has no `flags`"]);
    refused(
        r#"{"flags": [], "flag": {}}"#,
        FractionalVersion::V2,
        &["`flags` is an object", "`flag` is not known here"],
    );
    flag_refused("7", &["line 2: flags.f: a flag is an object"]);
    flag_refused("{}", &["flags.f.variants: a flag has `variants`"]);
    flag_refused(
        r#"{ "variants": { "on": true, "off": "no" } }"#,
        &["flags.f.variants.on: it is a boolean, and `off` is a text"],
    );
    flag_refused(
        r#"{ "variants": { "on": [1] } }"#,
        &["a variant is a boolean, a text, a number or an object"],
    );
    flag_refused(
        "{ \"state\": \"on\",\n\"variants\": { \"on\": true },\n\"defaultVariant\": \"of\",\n\"targetting\": {} }",
        &[
            "line 5: flags.f.targetting: `targetting` is not known here",
            "line 2: flags.f.state: `state` is \"ENABLED\" or \"DISABLED\"",
            "line 4: flags.f.defaultVariant: there is no variant `of`; the flag has `on`",
        ],
    );
    rule_refused(
        r#"{ "if": [true, "on", "of"] }"#,
        &["flags.f.targeting.if[2]: there is no variant `of`"],
    );
    rule_refused(
        r#"{ "fractional": [["on", 1], ["no", 1]] }"#,
        &["fractional[1][0]: there is no variant `no`"],
    );
    rule_refused(
        r#"{ "fractional": [["on", 1.5]] }"#,
        &["a weight is a whole number"],
    );
    rule_refused(
        r#"{ "fractional": [["on", -1]] }"#,
        &["a weight is a whole number"],
    );
    rule_refused(
        r#"{ "fractional": [["on", 2147483647], ["off", 1]] }"#,
        &["the weights add up to 2147483648"],
    );
    rule_refused(
        r#"{ "fractional": [{ "var": "x" }] }"#,
        &["a split has at least one part"],
    );
    rule_refused(
        r#"{ "equals": [1, 1] }"#,
        &["`equals` is no operation; these are: missing, "],
    );
    rule_refused(r#"{ "==": [1] }"#, &["`==` takes 2 arguments, not 1"]);
    rule_refused(
        r#"{ "if": [true, "on"], "or": [] }"#,
        &["an operation has one name, this has `if` and `or`"],
    );
    rule_refused(
        r#"{ "sem_ver": ["1", "=~", "2"] }"#,
        &["versions are compared by `=`"],
    );
    rule_refused(
        r#"{ "map": [1] }"#,
        &["`map` takes a list and what is asked of each item, not 1"],
    );
    rule_refused(r#"{ "$ref": "x" }"#, &["there is no evaluator `x`"]);
    rule_refused("\"on\"", &["`targeting` is a rule in JsonLogic"]);
    flag_refused(
        r#"{ "variants": { "on": true }, "metadata": { "a": [], "plimsoll": { "owners": "x", "expires": "soon", "off": "no" } } }"#,
        &[
            "metadata.a: metadata are texts",
            "a date or a time in UTC is expected",
            "`owners` is not known here",
            "there is no variant `no`",
        ],
    );
}

#[test]
fn what_refers_to_itself_is_refused() {
    let set = r#"{ "flags": { "f": { "variants": { "on": true }, "targeting": { "$ref": "a" } } },
        "$evaluators": { "a": { "!": { "$ref": "b" } }, "b": { "!": { "$ref": "a" } } } }"#;
    refused(
        set,
        FractionalVersion::V2,
        &["evaluators refer to each other in a circle: `a` -> `b` -> `a`"],
    );
    let needs = |other: &str| {
        format!(
            r#"{{ "variants": {{ "on": true }}, "metadata": {{ "plimsoll": {{ "prerequisites": [{{ "flag": "{other}", "variant": "on" }}] }} }} }}"#
        )
    };
    let set = format!(
        r#"{{ "flags": {{ "a": {}, "b": {} }} }}"#,
        needs("b"),
        needs("a")
    );
    refused(
        &set,
        FractionalVersion::V2,
        &["prerequisites lead back: `a` -> `b` -> `a`"],
    );
    let set = format!(r#"{{ "flags": {{ "a": {} }} }}"#, needs("none"));
    refused(
        &set,
        FractionalVersion::V2,
        &["prerequisites[0]: there is no flag `none`"],
    );
    let chain: Vec<String> = (0..20)
        .map(|at| format!("\"f{at:02}\": {}", needs(&format!("f{:02}", at + 1))))
        .collect();
    let set = format!(
        r#"{{ "flags": {{ {}, "f20": {{ "variants": {{ "on": true }} }} }} }}"#,
        chain.join(", ")
    );
    refused(
        &set,
        FractionalVersion::V2,
        &["prerequisites stand behind each other"],
    );
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let deep = format!("{}{}{}", "{\"!\":".repeat(70), "1", "}".repeat(70));
    rule_refused(&deep, &["the rule is over 64 levels deep"]);
    let evaluators: Vec<String> = (0..40)
        .map(|at| {
            format!(
                r#""e{at}": {{ "!": {{ "!": {{ "$ref": "e{}" }} }} }}"#,
                at + 1
            )
        })
        .collect();
    let set = format!(
        r#"{{ "flags": {{ "f": {{ "variants": {{ "true": true, "false": false }}, "targeting": {{ "$ref": "e0" }} }} }}, "$evaluators": {{ {}, "e40": {{ "var": "x" }} }} }}"#,
        evaluators.join(", ")
    );
    assert!(FlagSet::parse(&set, FractionalVersion::V2).is_err());
    let large = format!(
        "{{ \"flags\": {{}}, \"$x\": \"{}\" }}",
        "x".repeat(FILE_BYTES_MAX)
    );
    refused(&large, FractionalVersion::V2, &["1048576 at most"]);
}

#[test]
fn an_evaluation_that_would_take_too_long_ends() {
    let items: Vec<u32> = (0..2_000).collect();
    let squared = json!({ "map": [{ "var": "items" }, { "map": [items, { "var": "" }] }] });
    let set = parse(&set_with(&json!({ "if": [squared, "a", "b"] })));
    let large = context(json!({ "items": items }));
    let error = set.evaluate("flag", &large, NOW).unwrap_err();
    assert_eq!(error, EvaluationError::TooMuchWork("flag".to_owned()));
    // A text that doubles with each item.
    let doubled = json!({ "reduce": [{ "var": "items" }, { "cat": [{ "var": "accumulator" }, { "var": "accumulator" }] }, "x"] });
    let set = parse(&set_with(&json!({ "if": [doubled, "a", "b"] })));
    assert!(set.evaluate("flag", &large, NOW).is_err());
    // Evaluators that use each other twice would double too.
    let mut set = set_with(&json!({ "if": [{ "$ref": "e0" }, "a", "b"] }));
    for at in 0..25 {
        let next = json!({ "$ref": format!("e{}", at + 1) });
        set["$evaluators"][format!("e{at}")] = json!({ "+": [next, next] });
    }
    set["$evaluators"]["e25"] = json!({ "+": [1] });
    let set = parse(&set);
    assert!(set.evaluate("flag", &FlagContext::empty(), NOW).is_err());
}

#[test]
fn a_context_is_an_object_with_a_text_as_its_targeting_key() {
    assert_eq!(FlagContext::new(json!([])), Err(NotAContext::NotAnObject));
    assert_eq!(
        FlagContext::new(json!({ "targetingKey": 7 })),
        Err(NotAContext::TargetingKey)
    );
    assert_eq!(
        context(json!({ "targetingKey": "u" })).targeting_key(),
        Some("u")
    );
    assert_eq!(
        context(json!({ "targetingKey": null })).targeting_key(),
        None
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z.0-9]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Rules that can mostly be: any operation with any arguments.
fn any_rule() -> impl Strategy<Value = Value> {
    let names: Vec<&str> = expression::OPERATORS
        .iter()
        .map(|(name, ..)| *name)
        .chain(expression::OTHERS.iter().copied())
        .collect();
    let leaf = prop_oneof![any_value(), "[a-c]".prop_map(|name| json!({ "var": name }))];
    leaf.prop_recursive(4, 48, 4, move |inner| {
        let name = prop::sample::select(names.clone());
        (name, prop::collection::vec(inner, 0..4))
            .prop_map(|(name, arguments)| json!({ name: arguments }))
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _either = FlagSet::parse(&text, FractionalVersion::V2);
    }

    #[test]
    fn any_rule_is_refused_or_comes_to_the_same_each_time(rule in any_rule(), fields in any_value()) {
        let text = set_with(&json!({ "if": [rule, "a", "b"] })).to_string();
        let context = FlagContext::new(fields).unwrap_or_else(|_| FlagContext::of("u"));
        if let Ok(set) = FlagSet::parse(&text, FractionalVersion::V2) {
            let first = set.evaluate("flag", &context, NOW);
            prop_assert_eq!(&first, &set.evaluate("flag", &context, NOW));
            let is_fine = match &first {
                Ok(given) => matches!(given.variant, Some("a" | "b")),
                Err(error) => error.code() != "FLAG_NOT_FOUND",
            };
            prop_assert!(is_fine, "{:?}", first);
        }
    }

    #[test]
    fn a_split_is_as_large_as_its_weights_say(weights in prop::collection::vec(0_u64..1_000, 1..6)) {
        let total: u64 = weights.iter().sum();
        prop_assume!(total > 0);
        let mut counts = vec![0_u32; weights.len()];
        for step in 0..4_096_u32 {
            let hash = step << 20;
            let index = fractional::chosen(FractionalVersion::V2, hash, &weights).unwrap();
            counts[index] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(*count) / 4_096.0;
            prop_assert!((share - *weight as f64 / total as f64).abs() < 0.002);
        }
    }

    #[test]
    fn one_more_part_at_the_end_moves_only_who_goes_there(hash in any::<u32>(), weight in 1_u64..100) {
        // The same sum: what the last gives up is what the new one has.
        let before = fractional::chosen(FractionalVersion::V2, hash, &[100, 200]);
        let after = fractional::chosen(FractionalVersion::V2, hash, &[100, 200 - weight, weight]);
        prop_assert!(after == before || after == Some(2));
    }
}
