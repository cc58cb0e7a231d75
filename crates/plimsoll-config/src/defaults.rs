//! What is left out: `[defaults]` under every service, the scheme's defaults under everything, and an
//! error for what must be there.

mod infer;

use std::ops::Range;
use std::path::Path;

use plimsoll_core::never;
use toml::de::DeValue;

use crate::assemble::route_name;
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node, Value};
use crate::read::{Place, Reader};
use crate::scheme::{Key, Kind, Presence, Table};
use infer::{infer, settle};

/// Puts `[defaults]` under every service of the file, and takes it out of the file.
pub(crate) fn spread(file: &mut Fields) {
    let defaults = file.remove("defaults");
    let Some(Value::Table(services)) = file.field_mut("service").map(|field| &mut field.node.value)
    else {
        return;
    };
    for (_, field) in services.iter_mut() {
        let Value::Table(service) = &mut field.node.value else {
            continue;
        };
        infer(service);
        if let Some(Value::Table(defaults)) = defaults.as_ref().map(|field| &field.node.value) {
            let mut below = defaults.clone();
            infer(&mut below);
            settle(service, &mut below);
            *service = service.over(&below);
        }
    }
}

/// Fills in the defaults of `table` in `fields`, all the way down, and reports what is missing at `span`.
pub(crate) fn complete(
    fields: &mut Fields,
    table: &'static Table,
    span: &Range<usize>,
    place: &Place,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for key in table.keys() {
        if !fields.has(key.name) {
            match key.presence {
                Presence::Optional => {}
                Presence::Required => {
                    diagnostics.push(
                        Diagnostic::error(
                            "missing-key",
                            span.clone(),
                            format!("{place} has no `{}`", key.name),
                        )
                        .label(format!(
                            "`{}` was expected here: {}",
                            key.name,
                            key.kind.expected()
                        )),
                    );
                }
                Presence::Default(toml) => fields.insert(
                    key.name,
                    span.clone(),
                    default(key, toml).into_default_at(span),
                ),
            }
        }
        if let Some(field) = fields.field_mut(key.name) {
            let at = field.key_span.clone();
            complete_node(
                &mut field.node,
                &key.kind,
                &at,
                &place.key(key.name),
                diagnostics,
            );
        }
    }
}

fn complete_node(
    node: &mut Node,
    kind: &'static Kind,
    span: &Range<usize>,
    place: &Place,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match (kind, &mut node.value) {
        (Kind::Table(table), Value::Table(fields)) => {
            complete(fields, table, span, place, diagnostics)
        }
        (
            Kind::Either {
                other: Some(other), ..
            },
            Value::Table(_),
        ) => {
            complete_node(node, other, span, place, diagnostics);
        }
        (Kind::List { of, .. }, Value::List(nodes)) => {
            for (position, node) in nodes.iter_mut().enumerate() {
                let place = route_place(node, position)
                    .filter(|_| place.is_routes())
                    .unwrap_or_else(|| place.clone());
                let span = node.span.clone();
                complete_node(node, of, &span, &place, diagnostics);
            }
        }
        (Kind::Map { noun, of, .. }, Value::Table(fields)) => {
            for (name, field) in fields.iter_mut() {
                let place = match noun {
                    Some(noun) => place.named(noun, name),
                    None => place.key(name),
                };
                let span = field.key_span.clone();
                complete_node(&mut field.node, of, &span, &place, diagnostics);
            }
        }
        _ => {}
    }
}

/// What messages call the route at `position`.
pub(crate) fn route_place(node: &Node, position: usize) -> Option<Place> {
    let name = route_name(node.as_table()?, position);
    Some(Place::default().named("route", &name))
}

/// The default of a key, read as the file would be.
fn default(key: &'static Key, toml: &'static str) -> Node {
    let mut reader = Reader {
        source: toml,
        folder: Path::new(""),
        diagnostics: Vec::new(),
    };
    let node = match DeValue::parse(toml) {
        Ok(value) => reader.value(&key.kind, &value, &Place::default().key(key.name)),
        Err(_) => Node::new(Value::Invalid, 0..0),
    };
    if never!(!reader.diagnostics.is_empty() || matches!(node.value, Value::Invalid)) {
        return Node::new(Value::Invalid, 0..0);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::keys::FILE;

    fn check(table: &'static Table, path: &str) {
        for key in table.keys() {
            let path = format!("{path}.{}", key.name);
            assert!(
                !key.is_available() || !key.doc.is_empty(),
                "{path} has no doc"
            );
            if let Presence::Default(toml) = key.presence {
                // Panics through `never!` where the default is not valid for its key.
                default(key, toml);
            }
            check_kind(&key.kind, &path);
        }
        assert!(
            table.main.is_none_or(|main| table.key(main).is_some()),
            "{path} has no main key"
        );
    }

    fn check_kind(kind: &'static Kind, path: &str) {
        match kind {
            Kind::Table(table) => check(table, path),
            Kind::List { of, .. } | Kind::Map { of, .. } => check_kind(of, path),
            Kind::Either {
                other: Some(other), ..
            } => check_kind(other, path),
            _ => {}
        }
    }

    #[test]
    fn every_key_has_a_doc_and_every_default_is_valid() {
        check(&FILE, "");
        check(&crate::scenario::keys::SCENARIO, "scenario");
    }
}
