//! Identifiers of configured things, and the small closed sets that everything names.

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the list of the configuration in force.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// A service of the configuration in force. Not stable across reloads: names are.
    ServiceId
);
index!(
    /// A route of the configuration in force.
    RouteId
);
index!(
    /// An endpoint of one service.
    EndpointId
);

/// What goes last and what goes first when not all fits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Goes last.
    Critical,
    /// What has no other class.
    #[default]
    Standard,
    /// Goes first.
    Sheddable,
}

impl Class {
    /// All classes, the highest first; [`Class::index`] counts in this order.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Standard, Self::Sheddable];

    /// The position in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word in config, metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Standard => "standard",
            Self::Sheddable => "sheddable",
        }
    }
}

/// Whether a policy acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Decides and acts.
    #[default]
    Enforce,
    /// Decides and counts; does not act.
    Observe,
    /// Does nothing.
    Off,
}

impl Mode {
    /// The word in config, metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}
