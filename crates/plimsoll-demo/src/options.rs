//! What a person can ask of the demo.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a demo is run.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Arrivals and work are drawn from it; the same seed offers the same requests.
    pub seed: u64,
    /// Leaves the right arm running when the demo is over, until ^C.
    pub keep: bool,
    /// What the left arm is; `None` = our own gateway with all policies off.
    pub against: Option<Against>,
    /// What takes Plimsoll's place in the right arm: for testing the demo itself.
    pub stand_in: Option<Against>,
    /// Plain lines, even on a terminal.
    pub plain: bool,
    /// The report as JSON on standard output in place of the table.
    pub json: bool,
    /// What happens.
    pub scene: Scene,
    /// How long the phases are.
    pub length: Length,
    /// The program that is run as `PROGRAM run --config FILE`; `None` = this one.
    pub program: Option<PathBuf>,
}

/// Another proxy, where it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// nginx, HTTP/1.1 to the shop.
    Nginx,
    /// HAProxy, HTTP/1.1 to the shop.
    Haproxy,
}

impl Against {
    /// The name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

impl std::str::FromStr for Against {
    type Err = UnknownPeer;

    fn from_str(text: &str) -> Result<Self, UnknownPeer> {
        match text {
            "nginx" => Ok(Self::Nginx),
            "haproxy" => Ok(Self::Haproxy),
            _ => Err(UnknownPeer(text.to_owned())),
        }
    }
}

/// The demo does not know this proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the demo can run against `nginx` or `haproxy`, not `{0}`")]
pub struct UnknownPeer(pub String);

/// What happens in a demo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scene {
    /// A bad day: each trouble for some seconds.
    #[default]
    Day,
    /// One dependency is slow for a minute: long enough for decisions, and for them to be taken back.
    SlowDependency,
    /// The catalogue is gone for twenty seconds, and what was stored of it stands in; then everybody comes back at once.
    OriginDown,
    /// The catalogue gets a bad version: at one endpoint after the other, or as a rollout that is judged.
    BadDeploy,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Day,
        Self::SlowDependency,
        Self::OriginDown,
        Self::BadDeploy,
    ];

    /// The word for it on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::SlowDependency => "slow-dependency",
            Self::OriginDown => "origin-down",
            Self::BadDeploy => "bad-deploy",
        }
    }
}

impl std::str::FromStr for Scene {
    type Err = UnknownScene;

    fn from_str(text: &str) -> Result<Self, UnknownScene> {
        let scene = Self::ALL.into_iter().find(|scene| scene.name() == text);
        scene.ok_or_else(|| UnknownScene(text.to_owned()))
    }
}

/// The demo has no such scene.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scenes are `day`, `slow-dependency`, `origin-down` and `bad-deploy`, not `{0}`")]
pub struct UnknownScene(pub String);

/// How long the phases are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// The whole of it: about 70 s.
    #[default]
    Full,
    /// About 45 s, with overloads that a debug build can carry: for tests.
    Short,
}
