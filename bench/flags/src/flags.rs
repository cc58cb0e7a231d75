//! What is asked for, and of which flags.

use std::fmt::Write as _;

/// How many flags the file has.
pub(crate) const FLAGS: usize = 100;

/// One thing that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// After the path of all flags.
    pub(crate) path: &'static str,
    pub(crate) context: &'static str,
    /// By one request.
    pub(crate) evaluations: usize,
}

const CONTEXT: &str = r#"{"context":{"targetingKey":"user-7","email":"ana@example.com","plan":"gold","version":"2.4.1"}}"#;

pub(crate) const CELLS: [Cell; 4] = [
    Cell {
        name: "a flag that is the same for all",
        path: "/flag-000",
        context: CONTEXT,
        evaluations: 1,
    },
    Cell {
        name: "a flag that splits",
        path: "/flag-001",
        context: CONTEXT,
        evaluations: 1,
    },
    Cell {
        name: "a flag with four conditions and a split",
        path: "/flag-002",
        context: CONTEXT,
        evaluations: 1,
    },
    Cell {
        name: "all flags at once",
        path: "",
        context: CONTEXT,
        evaluations: FLAGS,
    },
];

/// A third of each kind.
pub(crate) fn file() -> String {
    let rules = [
        "",
        r#", "targeting": { "fractional": [["on", 10], ["off", 90]] }"#,
        r#", "targeting": { "if": [
            { "ends_with": [{ "var": "email" }, "@example.org"] }, "on", { "==": [{ "var": "plan" }, "tin"] }, "on",
            { "sem_ver": [{ "var": "version" }, "<", "2.0.0"] }, "off", { "in": [{ "var": "targetingKey" }, ["a", "b"]] }, "on",
            { "fractional": [["on", 10], ["off", 90]] } ] }"#,
    ];
    let mut flags = String::new();
    for (at, rule) in rules.into_iter().cycle().take(FLAGS).enumerate() {
        let comma = if at == 0 { "" } else { ",\n" };
        let _ = write!(
            flags,
            r#"{comma}"flag-{at:03}": {{ "variants": {{ "on": true, "off": false }}, "defaultVariant": "off"{rule} }}"#
        );
    }
    format!("{{ \"flags\": {{\n{flags}\n}} }}\n")
}
