//! Pure crates stay pure: no runtime, and nothing that opens a socket, under any of them.

use crate::run::{Failure, cargo, output};

/// The pure crates of ARCHITECTURE.md.
const PURE: &[&str] = &[
    "plimsoll-core",
    "plimsoll-measure",
    "plimsoll-policy",
    "plimsoll-governor",
    "plimsoll-lifecycle",
    "plimsoll-http1",
    "plimsoll-simulator",
    "plimsoll-plot",
];

/// What must not be under a pure crate in a normal build.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "h2",
];

/// Looks through the dependency tree of every pure crate.
pub(crate) fn check() -> Result<(), Failure> {
    let mut problems = Vec::new();
    for package in PURE {
        let arguments = [
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
            "--package",
            package,
        ];
        let tree = output("cargo tree", &mut cargo(&arguments))?;
        for name in forbidden_in(&String::from_utf8_lossy(&tree)) {
            problems.push(format!(
                "{name} is under {package}: see `cargo tree -e normal -i {name}`"
            ));
        }
    }
    if problems.is_empty() {
        println!(
            "{} pure crates: no runtime, no sockets under them",
            PURE.len()
        );
        Ok(())
    } else {
        Err(Failure::Step(problems.join("; ")))
    }
}

/// The forbidden packages in the output of `cargo tree --prefix none`: a package a line, its name first.
fn forbidden_in(tree: &str) -> Vec<&'static str> {
    let named = |name: &&&str| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(**name))
    };
    FORBIDDEN.iter().filter(named).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_package_is_found_by_its_whole_name() {
        assert_eq!(
            forbidden_in("plimsoll-core v0.1.0 (/x)\ntokio v1.54.1\n"),
            ["tokio"]
        );
        assert!(
            forbidden_in("plimsoll-core v0.1.0 (/x)\ntokio-like v1.0.0\nserde v1.0.0\n").is_empty()
        );
    }
}
