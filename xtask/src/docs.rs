//! The documents agree with the code and with each other: links lead somewhere, and the lists of metrics and
//! of causes are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Failure, root};

/// Checks every Markdown file of the workspace that we wrote by hand.
pub(crate) fn check() -> Result<(), Failure> {
    let root = root();
    let mut problems = Vec::new();
    let files = markdown(&root);
    for file in &files {
        let text = read(file)?;
        let folder = file.parent().unwrap_or(&root);
        let here = file.strip_prefix(&root).unwrap_or(file).display();
        for link in links(&text) {
            if !folder.join(&link).exists() {
                problems.push(format!("{here}: the link to {link} leads nowhere"));
            }
        }
    }
    let measure = root.join("crates/plimsoll-measure/src");
    // Its tests are at its end: what is looked at ends there.
    let changes = read(&measure.join("prometheus/changes.rs"))?;
    let queues = read(&measure.join("prometheus/queues.rs"))?;
    let code = changes + &queues + &read(&measure.join("prometheus.rs"))?;
    let page = read(&root.join("docs/reference/metrics.md"))?;
    problems.extend(differences(
        "metrics.md",
        &metrics_in_code(&code),
        &metrics_in_page(&page),
    ));
    let code = read(&root.join("crates/plimsoll-measure/src/outcome.rs"))?;
    let page = read(&root.join("docs/concepts/outcomes.md"))?;
    problems.extend(differences(
        "outcomes.md",
        &causes_in_code(&code),
        &causes_in_page(&page),
    ));

    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!(
            "{} documents: links, metrics and causes are right",
            files.len()
        );
        Ok(())
    } else {
        Err(Failure::Step(format!(
            "{} things in the documents are not right",
            problems.len()
        )))
    }
}

/// The Markdown files of the root, of `docs` and of `bench`.
fn markdown(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![
        (root.to_owned(), false),
        (root.join("docs"), true),
        (root.join("bench"), true),
    ];
    while let Some((folder, deep)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && deep {
                folders.push((path, true));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Step(format!("reading {}: {error}", path.display())))
}

/// The targets of `[text](target)` that are files of ours, without their anchors.
fn links(text: &str) -> Vec<String> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

/// Names of families: the texts in the code that begin as a metric's name does, before its tests.
fn metrics_in_code(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let texts = code.split('"').filter(|text| is_metric(text));
    texts.map(str::to_owned).collect()
}

/// Names of families in the page's tables, without what a counter or an information has at its end.
fn metrics_in_page(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let family = |name: &str| {
        let name = name
            .strip_suffix("_total")
            .or_else(|| name.strip_suffix("_info"))
            .unwrap_or(name);
        name.to_owned()
    };
    names.map(family).filter(|name| is_metric(name)).collect()
}

fn is_metric(text: &str) -> bool {
    let ours = text.starts_with("plimsoll_") || text.starts_with("process_");
    ours && text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `Variant = "name", Good, Service;` as `name good service`.
fn causes_in_code(code: &str) -> BTreeSet<String> {
    let table = code
        .split("\ncauses! {")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next());
    let lines = table
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once("= \""));
    let cause = |(_, rest): (&str, &str)| {
        let words: Vec<&str> = rest
            .split(['"', ',', ';', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ").to_lowercase()
    };
    lines.map(cause).collect()
}

/// `` | `name` | good | service | ... `` as `name good service`.
fn causes_in_page(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cause = |row: &str| {
        let cells: Vec<&str> = row.split('|').skip(1).take(3).map(str::trim).collect();
        cells
            .join(" ")
            .replace('`', "")
            .replace("not in the SLI", "excluded")
    };
    rows.map(cause).collect()
}

fn differences(page: &str, code: &BTreeSet<String>, text: &BTreeSet<String>) -> Vec<String> {
    let missing = code
        .difference(text)
        .map(|name| format!("{page} does not have `{name}`"));
    let extra = text
        .difference(code)
        .map(|name| format!("{page} has `{name}`, which the code has not"));
    missing.chain(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_elsewhere_and_within_a_page_are_not_looked_for() {
        let text = "[a](b/c.md#d) [e](https://f.example) [g](#h) ![i](j.svg)";
        assert_eq!(links(text), ["b/c.md", "j.svg"]);
    }

    #[test]
    fn a_metric_is_the_same_in_code_and_page() {
        let code = "out.family(\n\"plimsoll_requests\", Kind::Counter, \"Requests.\");\n#[cfg(test)]\n\"plimsoll_x\"";
        let page = "| metric | is |\n|---|---|\n| `plimsoll_requests_total` | requests |\nSee `plimsoll_y`.";
        assert_eq!(metrics_in_code(code), metrics_in_page(page));
        assert_eq!(metrics_in_code(code).len(), 1);
    }

    #[test]
    fn a_cause_is_the_same_in_code_and_page() {
        let code =
            "\ncauses! {\n    /// Gone.\n    ClientGone = \"client-gone\", Excluded, Client;\n}\n";
        let page = "| `client-gone` | not in the SLI | client | gone |\n";
        assert_eq!(causes_in_code(code), causes_in_page(page));
        assert_eq!(
            causes_in_code(code).into_iter().collect::<Vec<_>>(),
            ["client-gone excluded client"]
        );
    }
}
