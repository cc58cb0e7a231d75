//! Values in the words of the file. What may be secret is not shown.

use crate::node::{Fields, Node, Value};
use crate::scheme::{Kind, Table};
use crate::unit::{show_duration, show_percent, show_size};

/// What stands in the place of a secret.
const HIDDEN: &str = "…";

/// How long a value is shown.
const CHARS_MAX: usize = 200;

/// Fields whose values are secrets wherever they stand.
const SECRET_FIELDS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];

/// A value as it is read by people: without quotes, tables as in the file. `key` is the last part of its own.
pub(super) fn shown(node: &Node, kind: &'static Kind, key: &str) -> String {
    let mut text = String::new();
    write(node, kind, key, &mut text);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}{HIDDEN}", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Elements of a list.
pub(super) fn list<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    of: &'static Kind,
    key: &str,
) -> String {
    let all: Vec<String> = nodes.into_iter().map(|it| shown(it, of, key)).collect();
    let text = all.join(", ");
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}{HIDDEN}", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn write(node: &Node, kind: &'static Kind, key: &str, out: &mut String) {
    if SECRET_FIELDS.contains(&key) {
        out.push_str(HIDDEN);
        return;
    }
    match &node.value {
        Value::Duration(duration) => out.push_str(&show_duration(*duration)),
        Value::Size(bytes) => out.push_str(&show_size(*bytes)),
        Value::Percent(share) => out.push_str(&show_percent(*share)),
        Value::Count(count) => out.push_str(&count.to_string()),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Rate(rate) => {
            let over = match rate.seconds {
                60.0 => "/min".to_owned(),
                3_600.0 => "/h".to_owned(),
                86_400.0 => "/d".to_owned(),
                1.0 => "/s".to_owned(),
                seconds => format!("/{seconds}s"),
            };
            out.push_str(&format!("{}{over}", rate.count));
        }
        Value::Bool(value) => out.push_str(&value.to_string()),
        Value::Text(text) => out.extend(text.chars().map(visible)),
        Value::Word(word) => out.push_str(word),
        Value::Present => out.push_str("true"),
        Value::Address(address) => out.push_str(&address.to_string()),
        Value::Network(network) => {
            out.push_str(&format!("{}/{}", network.address, network.prefix));
        }
        Value::Endpoint(endpoint) => out.push_str(&endpoint.to_string()),
        Value::Host(host) => out.push_str(&host.to_string()),
        Value::Path(path) => out.push_str(&path.to_string()),
        Value::File(path, _) => out.extend(path.display().to_string().chars().map(visible)),
        Value::List(nodes) => {
            let of = element_kind(kind);
            out.push('[');
            for (place, node) in nodes.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                write(node, of.unwrap_or(kind), key, out);
            }
            out.push(']');
        }
        Value::Table(fields) => write_table(fields, kind, out),
        Value::Invalid => out.push('?'),
    }
}

/// What the file says of a table; its defaults are left out.
fn write_table(fields: &Fields, kind: &'static Kind, out: &mut String) {
    let table = table_of(kind);
    let said = fields.iter().filter(|(_, it)| !it.node.is_default);
    let said: Vec<_> = said.collect();
    if let (Some(table), [(only, field)]) = (table, said.as_slice())
        && table.main == Some(*only)
        && let Some(known) = table.key(only)
        && !is_secret(table, only)
    {
        return write(&field.node, &known.kind, only, out);
    }
    out.push('{');
    for (place, (name, field)) in said.into_iter().enumerate() {
        out.push_str(if place > 0 { ", " } else { " " });
        out.push_str(name);
        out.push_str(" = ");
        let known = table.and_then(|table| table.key(name));
        if table.is_some_and(|table| is_secret(table, name)) {
            out.push_str(HIDDEN);
            continue;
        }
        let below = known
            .map(|known| &known.kind)
            .or_else(|| map_element(kind))
            .unwrap_or(kind);
        write(&field.node, below, name, out);
    }
    out.push_str(if out.ends_with('{') { "}" } else { " }" });
}

/// Where a value can also be a reference to where it is kept, the value itself may be a secret.
pub(super) fn is_secret(table: &Table, key: &str) -> bool {
    key == "value" && table.key("env").is_some()
}

/// The table that values of this kind are, if they are.
pub(super) fn table_of(kind: &'static Kind) -> Option<&'static Table> {
    match kind {
        Kind::Table(table) => Some(table),
        Kind::Either {
            other: Some(other), ..
        } => table_of(other),
        _ => None,
    }
}

pub(super) fn element_kind(kind: &'static Kind) -> Option<&'static Kind> {
    match kind {
        Kind::List { of, .. } => Some(of),
        Kind::Either {
            other: Some(other), ..
        } => element_kind(other),
        _ => None,
    }
}

fn map_element(kind: &'static Kind) -> Option<&'static Kind> {
    match kind {
        Kind::Map { of, .. } => Some(of),
        _ => None,
    }
}

fn visible(char: char) -> char {
    if char.is_control() { '?' } else { char }
}
