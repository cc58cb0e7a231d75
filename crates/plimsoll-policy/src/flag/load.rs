//! Reads a set of flags, and says of all that is wrong with it where that is.

use std::collections::BTreeMap;
use std::mem::discriminant;

use serde_json::{Map, Value};

use super::compile::Compiler;
use super::place::Place;
use super::settings::{self, FlagSettings};
use super::{Flag, FlagSet, FractionalVersion};

/// The largest file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most flags of a file.
pub const FLAGS_MAX: usize = 10_000;
/// How many prerequisites may stand behind each other.
const CHAIN_MAX: usize = 16;
/// How many problems are told of one file.
const PROBLEMS_MAX: usize = 20;
/// How many parts of rules are looked at for names of variants: what is not is found when it is evaluated.
const LOOKS_MAX: usize = 2_000_000;
/// The longest key of a flag, and the longest name of a variant: they stand in metrics and journals.
const NAME_BYTES_MAX: usize = 200;

/// Something that is wrong with a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagProblem {
    /// On which line, from 1.
    pub line: usize,
    /// Where, as `flags.new-cart.targeting.if[1]`; empty: the file as a whole.
    pub place: String,
    /// What.
    pub text: String,
}

impl std::fmt::Display for FlagProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}

impl FlagSet {
    /// Reads a set in flagd's format.
    ///
    /// # Errors
    /// All that is wrong with it, the first 20.
    pub fn parse(text: &str, fractional: FractionalVersion) -> Result<Self, Vec<FlagProblem>> {
        let whole = |line, text| {
            vec![FlagProblem {
                line,
                place: String::new(),
                text,
            }]
        };
        if text.len() > FILE_BYTES_MAX {
            return Err(whole(
                1,
                format!("it has {} bytes, {FILE_BYTES_MAX} at most", text.len()),
            ));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| whole(error.line().max(1), format!("it is no JSON: {error}")))?;
        read(&value, fractional).map_err(|problems| {
            let problem = |(place, said): (Place, String)| FlagProblem {
                line: place.line(text),
                place: place.to_string(),
                text: said,
            };
            problems
                .into_iter()
                .take(PROBLEMS_MAX)
                .map(problem)
                .collect()
        })
    }
}

fn read(value: &Value, fractional: FractionalVersion) -> Result<FlagSet, Vec<(Place, String)>> {
    let top = Place::default();
    let empty = Map::new();
    let mut early = Vec::new();
    let fields = value.as_object().unwrap_or_else(|| {
        early.push((
            top.clone(),
            "a file of flags is an object with `flags`".to_owned(),
        ));
        &empty
    });
    let mut object = |key: &str| match fields.get(key) {
        Some(Value::Object(fields)) => Some(fields),
        Some(Value::Null) | None => None,
        Some(_) => {
            early.push((top.key(key), format!("`{key}` is an object")));
            None
        }
    };
    let (flags, evaluators, metadata) =
        (object("flags"), object("$evaluators"), object("metadata"));
    if flags.is_none() && early.is_empty() {
        early.push((top.clone(), "it has no `flags`".to_owned()));
    }
    for key in fields.keys() {
        let is_known =
            ["flags", "metadata", "flagSetId"].contains(&key.as_str()) || key.starts_with('$');
        if !is_known {
            early.push((top.key(key), format!("`{key}` is not known here: `flags`, `$evaluators`, `metadata` and `flagSetId` are")));
        }
    }
    let mut compiler = Compiler::new(evaluators);
    compiler.problems = early;
    compiler.evaluators();
    let flags = flags.unwrap_or(&empty);
    if flags.len() > FLAGS_MAX {
        compiler.problem(
            &top.key("flags"),
            format!("there are {} flags, {FLAGS_MAX} at most", flags.len()),
        );
        return Err(compiler.problems);
    }
    let mut common = Map::new();
    set_id(fields, &top, &mut common, &mut compiler);
    if let Some(metadata) = metadata {
        flat(metadata, &top.key("metadata"), &mut common, &mut compiler);
    }
    let mut set = FlagSet {
        flags: BTreeMap::new(),
        fractional,
    };
    for (key, value) in flags {
        let place = top.key("flags").key(key);
        if key.is_empty() || key.len() > NAME_BYTES_MAX || key.chars().any(char::is_control) {
            compiler.problem(
                &place,
                format!("the key of a flag is a text of at most {NAME_BYTES_MAX} bytes"),
            );
            continue;
        }
        let read = FlagReader {
            place,
            evaluators,
            compiler: &mut compiler,
        };
        if let Some(flag) = read.flag(value, &common) {
            set.flags.insert(key.clone(), flag);
        }
    }
    if compiler.problems.is_empty() {
        check_prerequisites(&set, &mut compiler);
    }
    if compiler.problems.is_empty() {
        Ok(set)
    } else {
        Err(compiler.problems)
    }
}

fn set_id<'a>(
    fields: &Map<String, Value>,
    place: &Place,
    metadata: &mut Map<String, Value>,
    compiler: &mut Compiler<'a>,
) {
    match fields.get("flagSetId") {
        Some(Value::String(id)) => {
            metadata.insert("flagSetId".to_owned(), Value::from(id.as_str()));
        }
        Some(_) => compiler.problem(
            &place.key("flagSetId"),
            "the id of a set of flags is a text",
        ),
        None => (),
    }
}

/// Metadata of OFREP: texts, numbers and booleans. Gives what is for Plimsoll.
fn flat<'v>(
    fields: &'v Map<String, Value>,
    place: &Place,
    metadata: &mut Map<String, Value>,
    compiler: &mut Compiler<'_>,
) -> Option<&'v Value> {
    for (key, value) in fields {
        match value {
            _ if key == settings::KEY => (),
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                metadata.insert(key.clone(), value.clone());
            }
            _ => compiler.problem(&place.key(key), "metadata are texts, numbers and booleans"),
        }
    }
    fields.get(settings::KEY)
}

struct FlagReader<'r, 'a> {
    place: Place,
    evaluators: Option<&'a Map<String, Value>>,
    compiler: &'r mut Compiler<'a>,
}

impl<'a> FlagReader<'_, 'a> {
    fn problem(&mut self, key: &str, text: impl Into<String>) {
        self.compiler.problem(&self.place.key(key), text);
    }

    fn flag(mut self, value: &'a Value, common: &Map<String, Value>) -> Option<Flag> {
        const KNOWN: [&str; 6] = [
            "state",
            "variants",
            "defaultVariant",
            "targeting",
            "metadata",
            "flagSetId",
        ];
        let Value::Object(fields) = value else {
            self.compiler.problem(
                &self.place,
                "a flag is an object with `state` and `variants`",
            );
            return None;
        };
        for key in fields.keys() {
            let is_known =
                KNOWN.contains(&key.as_str()) || key == "description" || key.starts_with('$');
            if !is_known {
                let known = KNOWN.join("`, `");
                self.problem(
                    key,
                    format!("`{key}` is not known here: `{known}` and `description` are"),
                );
            }
        }
        let is_enabled = match fields.get("state").map(Value::as_str) {
            None | Some(Some("ENABLED")) => true,
            Some(Some("DISABLED")) => false,
            Some(_) => {
                self.problem("state", "`state` is \"ENABLED\" or \"DISABLED\"");
                true
            }
        };
        let variants = self.variants(fields.get("variants"))?;
        let default = match fields.get("defaultVariant") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if variants.contains_key(name) => Some(name.clone()),
            Some(Value::String(name)) => {
                self.unknown("defaultVariant", name, &variants);
                None
            }
            Some(_) => {
                self.problem(
                    "defaultVariant",
                    "`defaultVariant` is the name of a variant, or null",
                );
                None
            }
        };
        let targeting = match fields.get("targeting") {
            None | Some(Value::Null) => None,
            Some(Value::Object(rule)) if rule.is_empty() => None,
            Some(rule @ Value::Object(_)) => {
                let place = self.place.key("targeting");
                let compiled = self.compiler.rule(rule, &place);
                if compiled.is_some() {
                    self.check_results(rule, &place, &variants);
                }
                compiled
            }
            Some(_) => {
                self.problem("targeting", "`targeting` is a rule in JsonLogic");
                None
            }
        };
        let mut metadata = common.clone();
        set_id(fields, &self.place, &mut metadata, self.compiler);
        let mut settings = FlagSettings::default();
        match fields.get("metadata") {
            None | Some(Value::Null) => (),
            Some(Value::Object(own)) => {
                let place = self.place.key("metadata");
                if let Some(ours) = flat(own, &place, &mut metadata, self.compiler) {
                    let place = place.key(settings::KEY);
                    settings = settings::read(ours, &place, self.compiler);
                    self.check_settings(&settings, &place, &variants);
                }
            }
            Some(_) => self.problem("metadata", "`metadata` is an object"),
        }
        let off = settings.off.clone().or_else(|| off(&variants));
        Some(Flag {
            is_enabled,
            variants,
            default,
            targeting,
            metadata,
            settings,
            off,
        })
    }

    fn variants(&mut self, value: Option<&Value>) -> Option<BTreeMap<String, Value>> {
        let Some(Value::Object(fields)) =
            value.filter(|value| value.as_object().is_some_and(|fields| !fields.is_empty()))
        else {
            self.problem(
                "variants",
                "a flag has `variants`: an object with at least one",
            );
            return None;
        };
        let place = self.place.key("variants");
        let mut first: Option<(&str, &Value)> = None;
        for (name, value) in fields {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                self.compiler.problem(
                    &place.key(name),
                    format!("the name of a variant is a text of at most {NAME_BYTES_MAX} bytes"),
                );
            }
            if matches!(value, Value::Null | Value::Array(_)) {
                self.compiler.problem(
                    &place.key(name),
                    "a variant is a boolean, a text, a number or an object",
                );
                continue;
            }
            match first {
                None => first = Some((name, value)),
                Some((other, is)) if discriminant(is) != discriminant(value) => {
                    let text = format!(
                        "it is {}, and `{other}` is {}: all variants are of one type",
                        type_of(value),
                        type_of(is)
                    );
                    self.compiler.problem(&place.key(name), text);
                }
                Some(_) => (),
            }
        }
        Some(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    fn unknown(&mut self, key: &str, name: &str, variants: &BTreeMap<String, Value>) {
        let place = self.place.key(key);
        unknown_variant(self.compiler, &place, name, variants);
    }

    /// Where a rule says a variant as it is, there must be that variant. What is worked out is looked at when it is.
    fn check_results(&mut self, rule: &Value, place: &Place, variants: &BTreeMap<String, Value>) {
        // Rules are compiled by now, so that they end; but evaluators that share evaluators may be come to very often.
        self.compiler.looks += 1;
        if self.compiler.looks > LOOKS_MAX || self.compiler.problems.len() > PROBLEMS_MAX {
            return;
        }
        match rule {
            Value::String(name) if !variants.contains_key(name) => {
                unknown_variant(self.compiler, place, name, variants);
            }
            Value::Bool(is_true) if !variants.contains_key(&is_true.to_string()) => {
                unknown_variant(self.compiler, place, &is_true.to_string(), variants);
            }
            Value::Object(fields) => {
                let Some((name, arguments)) = fields.iter().next() else {
                    return;
                };
                let place = place.key(name);
                match (name.as_str(), arguments) {
                    ("if" | "?:", Value::Array(branches)) => {
                        let last = branches.len().saturating_sub(1);
                        for (index, branch) in branches.iter().enumerate() {
                            if index % 2 == 1 || index == last {
                                self.check_results(branch, &place.index(index), variants);
                            }
                        }
                    }
                    ("fractional", Value::Array(parts)) => {
                        for (index, part) in parts.iter().enumerate() {
                            if let Some(variant) = part.as_array().and_then(|part| part.first()) {
                                let place = place.index(index).index(0);
                                self.check_results(variant, &place, variants);
                            }
                        }
                    }
                    ("$ref", Value::String(name)) => {
                        let evaluators = self.evaluators;
                        if let Some(rule) = evaluators.and_then(|evaluators| evaluators.get(name)) {
                            self.check_results(rule, &place, variants);
                        }
                    }
                    _ => (),
                }
            }
            _ => (),
        }
    }

    fn check_settings(
        &mut self,
        settings: &FlagSettings,
        place: &Place,
        variants: &BTreeMap<String, Value>,
    ) {
        let off = settings.off.iter().map(|name| (place.key("off"), name));
        let steps = settings
            .schedule
            .iter()
            .map(|step| (place.key("schedule"), &step.variant));
        let ramp = settings
            .ramp
            .iter()
            .map(|ramp| (place.key("ramp").key("variant"), &ramp.variant));
        for (place, name) in off.chain(steps).chain(ramp) {
            if !variants.contains_key(name) {
                unknown_variant(self.compiler, &place, name, variants);
            }
        }
    }
}

fn unknown_variant(
    compiler: &mut Compiler<'_>,
    place: &Place,
    name: &str,
    variants: &BTreeMap<String, Value>,
) {
    let names = variants
        .keys()
        .take(10)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("`, `");
    compiler.problem(
        place,
        format!("there is no variant `{name}`; the flag has `{names}`"),
    );
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The variant that means off: by its name, or the only one that is false.
fn off(variants: &BTreeMap<String, Value>) -> Option<String> {
    let named = ["off", "false"]
        .into_iter()
        .find(|name| variants.contains_key(*name));
    named.map(str::to_owned).or_else(|| {
        let mut all = variants
            .iter()
            .filter(|(_, value)| **value == Value::Bool(false));
        match (all.next(), all.next()) {
            (Some((name, _)), None) => Some(name.clone()),
            _ => None,
        }
    })
}

/// Each is there, with its variant; none leads back to its flag.
fn check_prerequisites(set: &FlagSet, compiler: &mut Compiler<'_>) {
    let place = |key: &str| {
        let flag = Place::default().key("flags").key(key);
        flag.key("metadata").key(settings::KEY).key("prerequisites")
    };
    for (key, flag) in &set.flags {
        for (index, prerequisite) in flag.settings.prerequisites.iter().enumerate() {
            let place = place(key).index(index);
            match set.flags.get(&prerequisite.flag) {
                None => {
                    compiler.problem(&place, format!("there is no flag `{}`", prerequisite.flag))
                }
                Some(other) if !other.variants.contains_key(&prerequisite.variant) => {
                    unknown_variant(compiler, &place, &prerequisite.variant, &other.variants);
                }
                Some(_) => (),
            }
        }
    }
    // How many stand behind each, once that is known.
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for key in set.flags.keys() {
        if let Err(around) = chain(set, key, &mut Vec::new(), &mut known) {
            compiler.problem(&place(key), around);
            return;
        }
    }
}

fn chain<'a>(
    set: &'a FlagSet,
    key: &'a str,
    open: &mut Vec<&'a str>,
    known: &mut BTreeMap<&'a str, usize>,
) -> Result<usize, String> {
    if let Some(length) = known.get(key) {
        return Ok(*length);
    }
    if let Some(at) = open.iter().position(|open| *open == key) {
        let around = open.get(at..).unwrap_or_default().join("` -> `");
        return Err(format!("prerequisites lead back: `{around}` -> `{key}`"));
    }
    if open.len() > CHAIN_MAX {
        return Err(format!(
            "over {CHAIN_MAX} prerequisites stand behind each other"
        ));
    }
    open.push(key);
    let prerequisites = set
        .flags
        .get(key)
        .map(|flag| flag.settings.prerequisites.as_slice());
    let mut longest = 0;
    for prerequisite in prerequisites.unwrap_or_default() {
        longest = longest.max(chain(set, &prerequisite.flag, open, known)? + 1);
    }
    open.pop();
    if longest > CHAIN_MAX {
        return Err(format!(
            "{longest} prerequisites stand behind each other, {CHAIN_MAX} at most"
        ));
    }
    known.insert(key, longest);
    Ok(longest)
}
