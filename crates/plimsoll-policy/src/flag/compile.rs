//! Makes the tree of a targeting rule from its JSON, and says of all that can't be where it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::expression::{
    Each, Expression, Fractional, OPERATORS, OTHERS, Operator, Part, Path, Variable,
};
use super::fractional::{WEIGHTS_MAX, literal_weight};
use super::place::Place;
use super::version::Comparison;

/// How deep rules may be, the evaluators that they refer to included.
const DEPTH_MAX: usize = 64;
/// The parts of all rules of a file together: each takes some hundred bytes.
const PARTS_MAX: usize = 500_000;

/// Compiles the rules of one file.
pub(super) struct Compiler<'a> {
    evaluators: Option<&'a Map<String, Value>>,
    /// Those that are compiled, with their depth; `None`: it can't be, which is said already.
    compiled: BTreeMap<&'a str, Option<(Arc<Expression>, usize)>>,
    /// Those that are being compiled.
    open: Vec<&'a str>,
    parts: usize,
    /// How many parts were looked at for names of variants.
    pub(super) looks: usize,
    pub(super) problems: Vec<(Place, String)>,
}

/// What a rule came to, and how deep it is.
type Compiled = Option<(Expression, usize)>;

impl<'a> Compiler<'a> {
    pub(super) fn new(evaluators: Option<&'a Map<String, Value>>) -> Self {
        Self {
            evaluators,
            compiled: BTreeMap::new(),
            open: Vec::new(),
            parts: 0,
            looks: 0,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, place: &Place, text: impl Into<String>) {
        self.problems.push((place.clone(), text.into()));
    }

    /// The evaluators that no rule refers to are looked at too: what is in a file is right, or the file is not.
    pub(super) fn evaluators(&mut self) {
        for name in self.evaluators.into_iter().flat_map(Map::keys) {
            self.evaluator(name, 0);
        }
    }

    pub(super) fn rule(&mut self, value: &'a Value, place: &Place) -> Option<Expression> {
        let (expression, depth) = self.compile(value, place, 0)?;
        if depth > DEPTH_MAX {
            self.problem(
                place,
                format!("the rule is {depth} levels deep with its evaluators, {DEPTH_MAX} at most"),
            );
            return None;
        }
        Some(expression)
    }

    fn compile(&mut self, value: &'a Value, place: &Place, depth: usize) -> Compiled {
        if depth > DEPTH_MAX {
            self.problem(place, format!("the rule is over {DEPTH_MAX} levels deep"));
            return None;
        }
        self.parts += 1;
        if self.parts > PARTS_MAX {
            if self.parts == PARTS_MAX + 1 {
                self.problem(
                    place,
                    format!("all rules together have over {PARTS_MAX} parts"),
                );
            }
            return None;
        }
        match value {
            Value::Object(fields) => {
                let mut fields = fields.iter();
                match (fields.next(), fields.next()) {
                    (Some((name, arguments)), None) => {
                        self.operation(name, arguments, place, depth)
                    }
                    (None, _) => Some((Expression::Literal(value.clone()), 1)),
                    (Some((name, _)), Some((other, _))) => {
                        self.problem(
                            place,
                            format!("an operation has one name, this has `{name}` and `{other}`"),
                        );
                        None
                    }
                }
            }
            Value::Array(items) => {
                let (items, depth) = self.all(items, place, depth)?;
                let literals = items.iter().map(|item| match item {
                    Expression::Literal(value) => Some(value.clone()),
                    _ => None,
                });
                let expression = match literals.collect() {
                    Some(literals) => Expression::Literal(Value::Array(literals)),
                    None => Expression::List(items),
                };
                Some((expression, depth + 1))
            }
            other => Some((Expression::Literal(other.clone()), 1)),
        }
    }

    fn all(
        &mut self,
        values: &'a [Value],
        place: &Place,
        depth: usize,
    ) -> Option<(Vec<Expression>, usize)> {
        let mut deepest = 0;
        let mut all = Some(Vec::with_capacity(values.len()));
        for (index, value) in values.iter().enumerate() {
            match (
                self.compile(value, &place.index(index), depth + 1),
                &mut all,
            ) {
                (Some((expression, depth)), Some(all)) => {
                    deepest = deepest.max(depth);
                    all.push(expression);
                }
                _ => all = None,
            }
        }
        Some((all?, deepest))
    }

    fn operation(&mut self, name: &str, value: &'a Value, place: &Place, depth: usize) -> Compiled {
        let place = place.key(name);
        if name == "$ref" {
            return self.reference(value, &place, depth);
        }
        if name == "fractional" {
            return self.split(value, &place, depth);
        }
        let known = OPERATORS.iter().find(|(known, ..)| *known == name);
        if known.is_none() && !OTHERS.contains(&name) {
            let known = OPERATORS.iter().map(|(name, ..)| *name);
            let names = known
                .chain(OTHERS.iter().copied())
                .collect::<Vec<_>>()
                .join(", ");
            self.problem(
                &place,
                format!("`{name}` is no operation; these are: {names}"),
            );
            return None;
        }
        let (arguments, deepest) = match value {
            Value::Array(items) => self.all(items, &place, depth)?,
            // One argument needs no list.
            single => {
                let (single, depth) = self.compile(single, &place, depth + 1)?;
                (vec![single], depth)
            }
        };
        let count = arguments.len();
        let expression = match (name, known) {
            (_, Some((_, operator, least, most))) => {
                if !(*least..=*most).contains(&count) {
                    let wanted = wanted(*least, *most);
                    self.problem(&place, format!("`{name}` takes {wanted}, not {count}"));
                    return None;
                }
                Expression::Operation(*operator, spread(*operator, arguments))
            }
            ("var", None) => self.variable(arguments, &place)?,
            ("reduce", None) => {
                let three = <[Expression; 3]>::try_from(arguments);
                Expression::Reduce(Box::new(self.exactly(name, count, three, &place)?))
            }
            ("sem_ver", None) => {
                let three = <[Expression; 3]>::try_from(arguments);
                let [one, comparison, other] = self.exactly(name, count, three, &place)?;
                let named = match &comparison {
                    Expression::Literal(Value::String(name)) => Comparison::named(name),
                    _ => None,
                };
                let Some(comparison) = named else {
                    self.problem(
                        &place.index(1),
                        format!("versions are compared by {}", Comparison::NAMES),
                    );
                    return None;
                };
                Expression::Version(comparison, Box::new([one, other]))
            }
            (_, None) => {
                let each = match name {
                    "map" => Each::Map,
                    "filter" => Each::Filter,
                    "all" => Each::All,
                    "none" => Each::None,
                    _ => Each::Some,
                };
                let two = <[Expression; 2]>::try_from(arguments);
                Expression::Each(each, Box::new(self.exactly(name, count, two, &place)?))
            }
        };
        Some((expression, deepest + 1))
    }

    fn exactly<T, E>(
        &mut self,
        name: &str,
        count: usize,
        arguments: Result<T, E>,
        place: &Place,
    ) -> Option<T> {
        match arguments {
            Ok(arguments) => Some(arguments),
            Err(_) => {
                let wanted = match name {
                    "reduce" => "a list, what is done with each item, and where it begins",
                    "sem_ver" => "a version, a comparison and a version",
                    _ => "a list and what is asked of each item",
                };
                self.problem(
                    place,
                    format!("`{name}` takes {wanted}, not {count} arguments"),
                );
                None
            }
        }
    }

    fn variable(&mut self, arguments: Vec<Expression>, place: &Place) -> Option<Expression> {
        let mut arguments = arguments.into_iter();
        let path = match arguments.next() {
            None | Some(Expression::Literal(Value::Null)) => Path::Whole,
            Some(Expression::Literal(Value::String(path))) => Path::of(&path),
            Some(Expression::Literal(Value::Number(index))) => Path::of(&index.to_string()),
            Some(Expression::Literal(_)) => {
                self.problem(place, "`var` takes the name of a field");
                return None;
            }
            Some(computed) => Path::Computed(Box::new(computed)),
        };
        let default = arguments.next().map(Box::new);
        if arguments.next().is_some() {
            self.problem(
                place,
                "`var` takes the name of a field and what it is without one, no more",
            );
            return None;
        }
        Some(Expression::Variable(Variable { path, default }))
    }

    fn split(&mut self, value: &'a Value, place: &Place, depth: usize) -> Compiled {
        let Value::Array(items) = value else {
            self.problem(
                place,
                "`fractional` takes a list of parts, each `[variant, weight]`",
            );
            return None;
        };
        let mut deepest = 0;
        let (by, first) = match items.first() {
            Some(Value::Array(_)) | None => (None, 0),
            Some(by) => {
                let (by, depth) = self.compile(by, &place.index(0), depth + 1)?;
                deepest = depth;
                (Some(by), 1)
            }
        };
        let mut parts = Vec::new();
        let (mut total, mut is_whole) = (0_u64, true);
        for (index, part) in items.iter().enumerate().skip(first) {
            let place = place.index(index);
            let made = match part {
                Value::Array(pair) if (1..=2).contains(&pair.len()) => {
                    self.all(pair, &place, depth + 1)
                }
                _ => {
                    self.problem(&place, "a part of a split is `[variant, weight]`");
                    None
                }
            };
            let Some((pair, depth)) = made else {
                is_whole = false;
                continue;
            };
            deepest = deepest.max(depth);
            let mut pair = pair.into_iter();
            let Some(variant) = pair.next() else { continue };
            let weight = pair.next().unwrap_or(Expression::Literal(Value::Null));
            match literal_weight(&weight) {
                Ok(weight) => total += weight.unwrap_or_default(),
                Err(why) => {
                    self.problem(&place.index(1), why);
                    is_whole = false;
                }
            }
            parts.push(Part { variant, weight });
        }
        if total > WEIGHTS_MAX {
            self.problem(
                place,
                format!("the weights add up to {total}, {WEIGHTS_MAX} at most"),
            );
            is_whole = false;
        }
        if is_whole && parts.is_empty() {
            self.problem(place, "a split has at least one part, `[variant, weight]`");
            is_whole = false;
        }
        let fractional = Box::new(Fractional { by, parts });
        is_whole.then_some((Expression::Fractional(fractional), deepest + 1))
    }

    fn reference(&mut self, value: &'a Value, place: &Place, depth: usize) -> Compiled {
        let Value::String(name) = value else {
            self.problem(place, "`$ref` takes the name of an evaluator");
            return None;
        };
        let is_there = self.evaluators.is_some_and(|all| all.contains_key(name));
        if !is_there {
            self.problem(
                place,
                format!("there is no evaluator `{name}` under `$evaluators`"),
            );
            return None;
        }
        if let Some(at) = self.open.iter().position(|open| open == name) {
            let around = self.open.get(at..).unwrap_or_default().join("` -> `");
            self.problem(
                place,
                format!("evaluators refer to each other in a circle: `{around}` -> `{name}`"),
            );
            return None;
        }
        let (shared, depth) = self.evaluator(name, depth + 1)?;
        Some((Expression::Shared(shared), depth + 1))
    }

    /// `depth` of whoever refers to it: what is too deep on one way makes the file wrong.
    fn evaluator(&mut self, name: &'a str, depth: usize) -> Option<(Arc<Expression>, usize)> {
        if let Some(compiled) = self.compiled.get(name) {
            return compiled.clone();
        }
        let value = self.evaluators?.get(name)?;
        let place = Place::default().key("$evaluators").key(name);
        self.open.push(name);
        let compiled = self.compile(value, &place, depth);
        self.open.pop();
        let compiled = compiled.map(|(expression, depth)| (Arc::new(expression), depth));
        self.compiled.insert(name, compiled.clone());
        compiled
    }
}

/// `{"missing": [["a", "b"]]}` and `{"max": [[1, 2]]}` are written for `["a", "b"]` and `[1, 2]`.
fn spread(operator: Operator, mut arguments: Vec<Expression>) -> Vec<Expression> {
    let takes_lists = matches!(operator, Operator::Missing | Operator::Max | Operator::Min);
    match arguments.as_mut_slice() {
        [Expression::Literal(Value::Array(items))] if takes_lists => std::mem::take(items)
            .into_iter()
            .map(Expression::Literal)
            .collect(),
        [Expression::List(items)] if takes_lists => std::mem::take(items),
        _ => arguments,
    }
}

fn wanted(least: usize, most: usize) -> String {
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    match (least, most) {
        (least, usize::MAX) => format!("at least {least} {}", plural(least)),
        (least, most) if least == most => format!("{least} {}", plural(least)),
        (least, most) => format!("{least} to {most} arguments"),
    }
}
