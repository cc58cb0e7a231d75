//! Which keys two files differ in.

use std::collections::BTreeSet;

use toml::{Table, Value};

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
