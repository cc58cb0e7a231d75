//! What Cargo.lock pulls in: from the default registry only, under licences we accept only.
//!
//! Licences and sources are those that `cargo metadata` reports for every package of the lock, on every
//! platform.

use serde_json::Value;

use crate::run::{Failure, cargo, output};
use crate::spdx;

/// Licences that let Plimsoll be given away under Apache-2.0 without a condition on its users beyond
/// keeping notices.
const LICENCES_ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The default registry, as `cargo metadata` names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package of the lock.
pub(crate) fn check() -> Result<(), Failure> {
    let metadata = output(
        "cargo metadata",
        &mut cargo(&["metadata", "--format-version", "1", "--locked"]),
    )?;
    let metadata: Value = serde_json::from_slice(&metadata)
        .map_err(|error| Failure::Step(format!("reading cargo metadata: {error}")))?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let problems: Vec<String> = packages.iter().filter_map(problem).collect();
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 if packages.is_empty() => {
            Err(Failure::Step("cargo metadata names no package".to_owned()))
        }
        0 => {
            println!(
                "{} packages: sources and licences are accepted",
                packages.len()
            );
            Ok(())
        }
        count => Err(Failure::Step(format!(
            "{count} packages of Cargo.lock are not acceptable"
        ))),
    }
}

/// What is wrong with one package of `cargo metadata`, if anything.
fn problem(package: &Value) -> Option<String> {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let (name, version) = (text("name")?, text("version")?);
    match text("source") {
        None | Some(REGISTRY) => (),
        Some(source) => {
            return Some(format!(
                "{name} {version}: from {source}, not the default registry"
            ));
        }
    }
    let Some(licence) = text("license") else {
        return Some(format!("{name} {version}: names no licence"));
    };
    match spdx::satisfied(licence, &|licence| LICENCES_ACCEPTED.contains(&licence)) {
        Some(true) => None,
        Some(false) => Some(format!(
            "{name} {version}: `{licence}` is not an accepted licence"
        )),
        None => Some(format!(
            "{name} {version}: `{licence}` is no licence expression"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(source: Value, license: Value, expected: Option<&str>) {
        let package =
            json!({"name": "x", "version": "1.0.0", "source": source, "license": license});
        assert_eq!(problem(&package).as_deref(), expected);
    }

    #[test]
    fn a_package_needs_an_accepted_source_and_licence() {
        check(json!(REGISTRY), json!("MIT OR Apache-2.0"), None);
        check(Value::Null, json!("Apache-2.0"), None);
        check(
            json!("git+https://example.org/x"),
            json!("MIT"),
            Some("x 1.0.0: from git+https://example.org/x, not the default registry"),
        );
        check(
            json!(REGISTRY),
            Value::Null,
            Some("x 1.0.0: names no licence"),
        );
        check(
            json!(REGISTRY),
            json!("AGPL-3.0"),
            Some("x 1.0.0: `AGPL-3.0` is not an accepted licence"),
        );
        check(
            json!(REGISTRY),
            json!("MIT OR"),
            Some("x 1.0.0: `MIT OR` is no licence expression"),
        );
    }
}
