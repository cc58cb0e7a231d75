//! Kinds of incidents.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A configuration of the service makes it fail.
    ConfigurationFails,
    /// A configuration of the service makes it slow.
    ConfigurationSlows,
    /// A configuration of the gateway makes all services fail.
    ConfigurationOfAll,
    /// A configuration of one route makes its requests fail.
    ConfigurationOfRoute,
    /// The same as the first, amid many changes that are harmless.
    ManyChanges,
    /// The service becomes slow, and somebody changes something about it then.
    ChangeAfter,
    /// A person raises the shed level by steps.
    ShedLevel,
    /// Requests of one route fail.
    RouteFails,
    /// Requests of one tenant fail.
    TenantFails,
    /// One tenant asks for many times as much.
    TenantFlood,
    /// All ask for more.
    Surge,
    /// One endpoint fails.
    EndpointFails,
    /// One endpoint is slow.
    EndpointSlow,
    /// Half of the endpoints are started again, and fail since then.
    DeployOnHalf,
    /// The name of an endpoint leads elsewhere, and it fails since then.
    AddressesChange,
    /// Some endpoints are gone, and the others can't carry what these did.
    EndpointsGone,
    /// All endpoints can do less, and nobody changed anything.
    CapacityLost,
    /// What it depends on fails.
    DependencyFails,
    /// What it depends on is slow.
    DependencySlow,
    /// What its dependency depends on fails.
    DependencyOfDependency,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ConfigurationFails,
        Self::ConfigurationSlows,
        Self::ConfigurationOfAll,
        Self::ConfigurationOfRoute,
        Self::ManyChanges,
        Self::ChangeAfter,
        Self::ShedLevel,
        Self::RouteFails,
        Self::TenantFails,
        Self::TenantFlood,
        Self::Surge,
        Self::EndpointFails,
        Self::EndpointSlow,
        Self::DeployOnHalf,
        Self::AddressesChange,
        Self::EndpointsGone,
        Self::CapacityLost,
        Self::DependencyFails,
        Self::DependencySlow,
        Self::DependencyOfDependency,
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfigurationFails => "a configuration makes the service fail",
            Self::ConfigurationSlows => "a configuration makes the service slow",
            Self::ConfigurationOfAll => "a configuration makes all services fail",
            Self::ConfigurationOfRoute => "a configuration makes one route fail",
            Self::ManyChanges => "a bad configuration among many that are harmless",
            Self::ChangeAfter => "the service is slow, and a change follows",
            Self::ShedLevel => "a person raises the shed level",
            Self::RouteFails => "a route fails",
            Self::TenantFails => "requests of a tenant fail",
            Self::TenantFlood => "a tenant asks for much more",
            Self::Surge => "all ask for more",
            Self::EndpointFails => "an endpoint fails",
            Self::EndpointSlow => "an endpoint is slow",
            Self::DeployOnHalf => "half of the endpoints get a bad version",
            Self::AddressesChange => "an endpoint's name leads elsewhere",
            Self::EndpointsGone => "endpoints are gone",
            Self::CapacityLost => "all endpoints can do less",
            Self::DependencyFails => "a dependency fails",
            Self::DependencySlow => "a dependency is slow",
            Self::DependencyOfDependency => "a dependency's dependency fails",
        }
    }
}
