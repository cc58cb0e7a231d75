//! Two files, key by key, driven by the scheme.

use std::collections::BTreeSet;

use super::risk::{self, About};
use super::shown::{element_kind, is_secret, list, shown, table_of};
use super::{Alteration, AlterationKind};
use crate::assemble::{self, route_name};
use crate::diagnostic::Severity;
use crate::model::Route;
use crate::node::{Fields, Node, Value};
use crate::parse;
use crate::scheme::keys::FILE;
use crate::scheme::{Kind, Table};

/// A file with all its defaults.
pub(super) struct File {
    fields: Fields,
    pub(super) routes: Vec<Route>,
}

impl File {
    pub(super) fn read(text: &str, file_name: &str) -> Option<Self> {
        let (fields, diagnostics) = parse::read(text, file_name);
        let is_wrong = diagnostics.iter().any(|it| it.severity == Severity::Error);
        if is_wrong {
            return None;
        }
        let routes = fields.list("route").iter().enumerate();
        let routes = routes.map(|(place, node)| assemble::route(node, place));
        let routes = routes.collect::<Option<_>>()?;
        Some(Self { fields, routes })
    }
}

/// Everything that is different.
pub(super) fn compare(before: &File, after: &File) -> Vec<Alteration> {
    let mut walk = Walk {
        before,
        after,
        found: Vec::new(),
    };
    let place = Place::default();
    walk.table(&FILE, &before.fields, &after.fields, &place);
    walk.found
}

/// Where in the files.
#[derive(Clone, Debug, Default)]
struct Place {
    service: Option<String>,
    /// `route`, and its name; empty in the file itself.
    noun: &'static str,
    thing: String,
    key: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let key = match self.key.as_str() {
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        };
        Self {
            key,
            ..self.clone()
        }
    }

    fn element(&self, name: &str) -> Self {
        Self {
            key: format!("{}[{name}]", self.key),
            ..self.clone()
        }
    }

    fn named(&self, noun: &'static str, name: &str) -> Self {
        let thing = format!("{noun} {name}");
        Self {
            service: match noun {
                "service" => Some(name.to_owned()),
                _ => self.service.clone(),
            },
            noun,
            thing: match self.thing.as_str() {
                "" => thing,
                above => format!("{above}, {thing}"),
            },
            key: String::new(),
        }
    }
}

struct Walk<'a> {
    before: &'a File,
    after: &'a File,
    found: Vec<Alteration>,
}

impl Walk<'_> {
    fn table(&mut self, table: &'static Table, before: &Fields, after: &Fields, place: &Place) {
        for key in table.keys() {
            let place = place.key(key.name);
            let (before, after) = (before.node(key.name), after.node(key.name));
            if is_secret(table, key.name) {
                self.secret(before, after, &place);
            } else {
                self.node(&key.kind, before, after, &place);
            }
        }
    }

    fn node(
        &mut self,
        kind: &'static Kind,
        before: Option<&Node>,
        after: Option<&Node>,
        place: &Place,
    ) {
        let (Some(one), Some(two)) = (before, after) else {
            if before.is_some() || after.is_some() {
                self.leaf(kind, before, after, place);
            }
            return;
        };
        match (kind, &one.value, &two.value) {
            (_, one, two) if same(one, two) => (),
            (Kind::Map { noun, of, .. }, Value::Table(one), Value::Table(two)) => {
                self.map(*noun, of, one, two, place);
            }
            (_, Value::Table(one), Value::Table(two)) => match table_of(kind) {
                Some(table) => self.table(table, one, two, place),
                None => self.leaf(kind, before, after, place),
            },
            (_, Value::List(one), Value::List(two)) => match element_kind(kind) {
                Some(of) if place.noun.is_empty() && place.key == "route" => {
                    self.routes(of, one, two);
                }
                Some(of) if table_of(of).is_some() => self.tables(of, one, two, place),
                Some(of) => self.list(of, one, two, place),
                None => self.leaf(kind, before, after, place),
            },
            _ => self.leaf(kind, before, after, place),
        }
    }

    fn map(
        &mut self,
        noun: Option<&'static str>,
        of: &'static Kind,
        before: &Fields,
        after: &Fields,
        place: &Place,
    ) {
        let names = before.iter().chain(after.iter()).map(|(name, _)| name);
        let names: BTreeSet<&str> = names.collect();
        for name in names {
            let place = match noun {
                Some(noun) => place.named(noun, name),
                None => place.key(name),
            };
            self.node(of, before.node(name), after.node(name), &place);
        }
    }

    /// Their order does not matter: of those that match a request, the most specific takes it.
    fn routes(&mut self, of: &'static Kind, before: &[Node], after: &[Node]) {
        let [before, after] = [before, after].map(identities);
        let mut gone: Vec<&Identity<'_>> = Vec::new();
        let mut new: Vec<&Identity<'_>> = after.iter().collect();
        let mut both = Vec::new();
        for one in &before {
            match new.iter().position(|two| one.is(two)) {
                Some(found) => both.push((one, new.remove(found))),
                None => gone.push(one),
            }
        }
        for (one, two) in both {
            let place = route_place(two);
            self.node(of, Some(one.node), Some(two.node), &place);
        }
        for one in gone {
            self.leaf(of, Some(one.node), None, &route_place(one));
        }
        for two in new {
            self.leaf(of, None, Some(two.node), &route_place(two));
        }
    }

    /// By what each is called, else by their places.
    fn tables(&mut self, of: &'static Kind, before: &[Node], after: &[Node], place: &Place) {
        let [one, two] = [before, after].map(|nodes| names(nodes, of));
        for (name, node) in &one {
            let other = two.iter().find(|(it, _)| it == name).map(|(_, node)| *node);
            self.node(of, Some(node), other, &place.element(name));
        }
        for (name, node) in &two {
            if !one.iter().any(|(it, _)| it == name) {
                self.node(of, None, Some(node), &place.element(name));
            }
        }
    }

    fn list(&mut self, of: &'static Kind, before: &[Node], after: &[Node], place: &Place) {
        let lacks = |all: &[Node], one: &Node| !all.iter().any(|it| same(&it.value, &one.value));
        let gone: Vec<&Node> = before.iter().filter(|it| lacks(after, it)).collect();
        let new: Vec<&Node> = after.iter().filter(|it| lacks(before, it)).collect();
        let key = place.key.rsplit('.').next().unwrap_or_default();
        let text =
            |nodes: &[&Node]| (!nodes.is_empty()).then(|| list(nodes.iter().copied(), of, key));
        let (shown_before, shown_after) = match (text(&gone), text(&new)) {
            // Only their order, or how often something is there.
            (None, None) => (Some(list(before, of, key)), Some(list(after, of, key))),
            shown => shown,
        };
        let about = About {
            noun: place.noun,
            key: &place.key,
            before: None,
            after: None,
            gone: &gone,
            new: &new,
            left: after.len() - new.len(),
        };
        let kind = match (gone.is_empty(), new.is_empty()) {
            (true, false) => AlterationKind::Added,
            (false, true) => AlterationKind::Removed,
            _ => AlterationKind::Changed,
        };
        self.push(place, kind, shown_before, shown_after, &about);
    }

    fn leaf(
        &mut self,
        kind: &'static Kind,
        before: Option<&Node>,
        after: Option<&Node>,
        place: &Place,
    ) {
        let key = place.key.rsplit('.').next().unwrap_or_default();
        let text = |node: Option<&Node>| node.map(|node| shown(node, kind, key));
        self.values(before, after, place, text(before), text(after));
    }

    fn secret(&mut self, before: Option<&Node>, after: Option<&Node>, place: &Place) {
        let is_same = match (before, after) {
            (Some(one), Some(two)) => same(&one.value, &two.value),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let hidden = |node: Option<&Node>| node.map(|_| "…".to_owned());
            self.values(before, after, place, hidden(before), hidden(after));
        }
    }

    fn values(
        &mut self,
        before: Option<&Node>,
        after: Option<&Node>,
        place: &Place,
        shown_before: Option<String>,
        shown_after: Option<String>,
    ) {
        let about = About {
            noun: place.noun,
            key: &place.key,
            before,
            after,
            gone: &[],
            new: &[],
            left: 0,
        };
        let kind = match (before, after) {
            (None, _) => AlterationKind::Added,
            (_, None) => AlterationKind::Removed,
            _ => AlterationKind::Changed,
        };
        self.push(place, kind, shown_before, shown_after, &about);
    }

    fn push(
        &mut self,
        place: &Place,
        kind: AlterationKind,
        before: Option<String>,
        after: Option<String>,
        about: &About<'_>,
    ) {
        let (risk, why) = risk::judge(about, kind, self.before, self.after);
        self.found.push(Alteration {
            service: place.service.clone(),
            thing: place.thing.clone(),
            key: place.key.clone(),
            kind,
            before,
            after,
            risk,
            why,
        });
    }
}

/// What makes a route the same in both files: its name, or what it matches.
struct Identity<'a> {
    name: Option<&'a str>,
    shown: String,
    fields: Option<&'a Fields>,
    node: &'a Node,
}

impl Identity<'_> {
    fn is(&self, other: &Self) -> bool {
        if self.name.is_some() || other.name.is_some() {
            return self.name == other.name;
        }
        let (Some(one), Some(two)) = (self.fields, other.fields) else {
            return false;
        };
        let mut keys = ["host", "path", "methods", "headers", "flag"].into_iter();
        keys.all(|key| match (one.node(key), two.node(key)) {
            (Some(one), Some(two)) => same(&one.value, &two.value),
            (one, two) => one.is_none() && two.is_none(),
        })
    }
}

fn identities(nodes: &[Node]) -> Vec<Identity<'_>> {
    let all = nodes.iter().enumerate().map(|(place, node)| {
        let fields = node.as_table();
        Identity {
            name: fields.and_then(|fields| fields.text("name")),
            shown: fields.map_or_else(String::new, |fields| route_name(fields, place)),
            fields,
            node,
        }
    });
    all.collect()
}

fn route_place(route: &Identity<'_>) -> Place {
    let service = route.fields.and_then(|fields| fields.text("service"));
    Place {
        service: service.map(str::to_owned),
        ..Place::default().named("route", &route.shown)
    }
}

/// What the elements of a list are called: unique, or by their places.
fn names<'a>(nodes: &'a [Node], of: &'static Kind) -> Vec<(String, &'a Node)> {
    let by_place = || {
        let numbers = 1..;
        let numbered = numbers.zip(nodes);
        numbered.map(|(number, node)| (number.to_string(), node))
    };
    let called = nodes.iter().map(|node| {
        let fields = node.as_table()?;
        let name = fields.text("name").map(str::to_owned);
        let address = || fields.address("address").map(|it| it.to_string());
        Some((name.or_else(address)?, node))
    });
    let called: Option<Vec<_>> = called.collect();
    let is_named = table_of(of).is_some();
    match called.filter(|_| is_named) {
        Some(all) if is_unique(&all) => all,
        _ => by_place().collect(),
    }
}

fn is_unique(all: &[(String, &Node)]) -> bool {
    let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
    names.len() == all.len()
}

/// Whether two values mean the same, wherever they stand.
pub(super) fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Duration(one), Value::Duration(two)) => one == two,
        (Value::Size(one), Value::Size(two)) | (Value::Count(one), Value::Count(two)) => one == two,
        (Value::Percent(one), Value::Percent(two)) => one == two,
        (Value::Number(one), Value::Number(two)) => one.to_bits() == two.to_bits(),
        (Value::Rate(one), Value::Rate(two)) => one == two,
        (Value::Bool(one), Value::Bool(two)) => one == two,
        (Value::Text(one), Value::Text(two)) => one == two,
        (Value::Word(one), Value::Word(two)) => one == two,
        (Value::Present, Value::Present) => true,
        (Value::Address(one), Value::Address(two)) => one == two,
        (Value::Network(one), Value::Network(two)) => one == two,
        (Value::Endpoint(one), Value::Endpoint(two)) => one == two,
        (Value::Host(one), Value::Host(two)) => one == two,
        (Value::Path(one), Value::Path(two)) => one == two,
        (Value::File(one, _), Value::File(two, _)) => one == two,
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Table(one), Value::Table(two)) => {
            one.iter().count() == two.iter().count()
                && one.iter().all(|(key, field)| {
                    two.node(key)
                        .is_some_and(|node| same(&field.node.value, &node.value))
                })
        }
        _ => false,
    }
}
