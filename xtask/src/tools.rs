//! Tools that are not ours: found in the path, or installed where that is possible.

use std::path::Path;
use std::process::Command;

use crate::run::{Failure, root, step};

/// A program and the Debian package it comes in.
pub(crate) struct Tool {
    /// What is called.
    pub(crate) program: &'static str,
    /// What is installed.
    pub(crate) package: &'static str,
}

const H2LOAD: Tool = Tool {
    program: "h2load",
    package: "nghttp2-client",
};

const NGINX: Tool = Tool {
    program: "nginx",
    package: "nginx",
};

const TASKSET: Tool = Tool {
    program: "taskset",
    package: "util-linux",
};

/// What tests of the whole program drive it with.
pub(crate) const FOR_TESTS: &[Tool] = &[
    Tool {
        program: "curl",
        package: "curl",
    },
    H2LOAD,
    NGINX,
    Tool {
        program: "prometheus",
        package: "prometheus",
    },
    Tool {
        program: "promtool",
        package: "prometheus",
    },
    Tool {
        program: "prometheus-alertmanager",
        package: "prometheus-alertmanager",
    },
    Tool {
        program: "python3",
        package: "python3-venv",
    },
    Tool {
        program: "chromium",
        package: "chromium",
    },
    Tool {
        program: "node",
        package: "nodejs",
    },
    Tool {
        program: "npm",
        package: "npm",
    },
];

/// Python packages that tests check our own work with, at the versions that they were written for.
const PYTHON_FOR_TESTS: &[&str] = &[
    "standardwebhooks==1.1.0",
    "aiosmtpd==1.4.6",
    "openfeature-sdk==0.10.0",
    "openfeature-provider-ofrep==0.3.0",
    "boto3==1.44.8",
    "awscli==1.46.3",
    "celery[sqs]==5.7.0",
];

/// The same for JavaScript.
const NODE_FOR_TESTS: &[&str] = &[
    "@openfeature/server-sdk@1.23.0",
    "@openfeature/ofrep-provider@0.1.3",
];

/// What `bench http` compares with and measures with.
pub(crate) const FOR_BENCH_HTTP: &[Tool] = &[
    NGINX,
    Tool {
        program: "haproxy",
        package: "haproxy",
    },
    H2LOAD,
    Tool {
        program: "openssl",
        package: "openssl",
    },
    TASKSET,
];

/// What `bench flags` measures with.
pub(crate) const FOR_BENCH_FLAGS: &[Tool] = &[H2LOAD, TASKSET];

/// What `bench cache` compares with and measures with.
pub(crate) const FOR_BENCH_CACHE: &[Tool] = &[
    NGINX,
    Tool {
        program: "varnishd",
        package: "varnish",
    },
    H2LOAD,
    TASKSET,
];

/// Installs those of `tools` that are missing: as root on Debian. Elsewhere says what to install.
pub(crate) fn ensure(tools: &[Tool]) -> Result<(), Failure> {
    let missing: Vec<&Tool> = tools
        .iter()
        .filter(|tool| !installed(tool.program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    let explanation = format!(
        "missing: {}. On Debian: apt-get install {}",
        programs.join(", "),
        packages.join(" ")
    );
    if !(is_root() && Path::new("/etc/debian_version").exists() && installed("apt-get")) {
        return Err(Failure::Tool(explanation));
    }
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(&packages);
    for command in [&mut update, &mut install] {
        command.env("DEBIAN_FRONTEND", "noninteractive");
    }
    // A package that brings a service must not start it: it would take ports that tests want.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let policy_is_ours = !policy.exists() && forbid_services(policy).is_ok();
    let result =
        step("apt-get update", &mut update).and_then(|()| step("apt-get install", &mut install));
    if policy_is_ours && let Err(error) = std::fs::remove_file(policy) {
        eprintln!("xtask: removing {}: {error}", policy.display());
    }
    result?;
    match tools.iter().find(|tool| !installed(tool.program)) {
        None => Ok(()),
        Some(tool) => Err(Failure::Tool(format!(
            "{} is still missing. {explanation}",
            tool.program
        ))),
    }
}

/// Installs [`PYTHON_FOR_TESTS`] beside what is built, unless that was done: tests look for them in `python` there.
pub(crate) fn ensure_python() -> Result<(), Failure> {
    ensure_packages("python", PYTHON_FOR_TESTS, |folder| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(folder);
        step("python3 -m venv", &mut venv)?;
        let mut install = Command::new(folder.join("bin/pip"));
        install
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PYTHON_FOR_TESTS);
        step("pip install", &mut install)
    })
}

/// Installs [`NODE_FOR_TESTS`] beside what is built, unless that was done: tests look for them in `node` there.
pub(crate) fn ensure_node() -> Result<(), Failure> {
    ensure_packages("node", NODE_FOR_TESTS, |folder| {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::Tool(format!("making {}: {error}", folder.display())))?;
        let mut install = Command::new("npm");
        install
            .args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
            ])
            .arg(folder)
            .args(NODE_FOR_TESTS);
        step("npm install", &mut install)
    })
}

/// What is installed is written down, so that it is done once.
fn ensure_packages(
    name: &str,
    packages: &[&str],
    install: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root().join("target"), |folder| root().join(folder));
    let folder = target.join(name);
    let done = folder.join("plimsoll-packages");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install(&folder)?;
    std::fs::write(&done, wanted)
        .map_err(|error| Failure::Tool(format!("writing {}: {error}", done.display())))
}

/// Debian asks this script before it starts a service; 101 is "not allowed".
fn forbid_services(policy: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
    std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))
}

/// Whether `program` is in the path, or in the folders of system tools that a user's path may lack.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1))
        .is_some_and(|effective| effective == "0")
}
