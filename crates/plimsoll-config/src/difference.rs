//! What two files differ in: by their keys, and by what they mean.
//!
//! What they mean is compared after all defaults are in place, driven by the one description of the keys: what is said
//! in another way is no difference, and a new key is compared without a line here. Of a few it is known that they do
//! harm (`risk`). Values that may be secret are never shown (`shown`).

mod risk;
mod shown;
mod walk;

use std::collections::BTreeSet;

use toml::{Table, Value};

/// How much may go wrong because of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Nothing that a request would notice.
    None,
    /// Requests are served in another way.
    Low,
    /// Requests may fail, or what protects or watches them is gone.
    High,
}

impl Risk {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::None, Self::Low, Self::High];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

/// Whether something is new, gone or other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterationKind {
    /// Only the file after has it.
    Added,
    /// Only the file before has it.
    Removed,
    /// Both have it, with other values.
    Changed,
}

impl AlterationKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The service that it is about, also of routes that lead to it; `None`: it is about none alone.
    pub service: Option<String>,
    /// What has the key: `route buy`; empty: the file.
    pub thing: String,
    /// The key from there on; empty: it is the thing itself.
    pub key: String,
    /// Whether it is new, gone or other.
    pub kind: AlterationKind,
    /// The value before, as the file would say it; of a list, what is gone from it.
    pub before: Option<String>,
    /// The value after; of a list, what is new in it.
    pub after: Option<String>,
    /// How much may go wrong.
    pub risk: Risk,
    /// What, in words.
    pub why: String,
}

/// What is different, and how much may go wrong, in the order of the reference page. `None`: one of the texts is no
/// valid file; [`parse`](crate::parse) says why.
pub fn difference(before: &str, after: &str, file_name: &str) -> Option<Vec<Alteration>> {
    let [before, after] = [before, after].map(|text| walk::File::read(text, file_name));
    Some(walk::compare(&before?, &after?))
}

/// The keys that only one of two files has, or that have other values, in order; values are never part of it. A list of
/// tables is compared place by place, as in `route[2].path`. Of text that is no TOML, nothing is said.
pub fn changed_keys(before: &str, after: &str) -> Vec<String> {
    let (Ok(before), Ok(after)) = (before.parse::<Table>(), after.parse::<Table>()) else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    compare_tables("", &before, &after, &mut changed);
    changed
}

fn compare_tables(path: &str, before: &Table, after: &Table, changed: &mut Vec<String>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        compare(&path, before.get(key), after.get(key), changed);
    }
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changed: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Table(before)), Some(Value::Table(after))) => {
            compare_tables(path, before, after, changed);
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.iter().chain(after).all(Value::is_table) =>
        {
            for place in 0..before.len().max(after.len()) {
                let path = format!("{path}[{}]", place + 1);
                compare(&path, before.get(place), after.get(place), changed);
            }
        }
        _ if before == after => (),
        _ => changed.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_gone_or_other_is_named() {
        let before = "a = 1\nb = [1]\n[c.d]\ne = \"x\"\n[[route]]\npath = \"/a\"\n";
        let after = "b = [1]\n[c.d]\ne = \"y\"\nf = 1\n[[route]]\npath = \"/a\"\n[[route]]\npath = \"/b\"\n";
        assert_eq!(
            changed_keys(before, after),
            ["a", "c.d.e", "c.d.f", "route[2]"]
        );
        assert_eq!(changed_keys(after, after), [""; 0]);
        assert_eq!(changed_keys("no toml", after), [""; 0]);
    }
}
