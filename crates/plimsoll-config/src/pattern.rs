//! Host and path patterns of routes, and how specific they are.

/// Which hosts a route matches. Names are in lower case, without port.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// `shop.example.com`
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any name under it, not itself.
    Suffix(String),
    /// Absent: all hosts.
    #[default]
    Any,
}

/// Which paths a route matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPattern {
    /// The segments before the end, in order. `/a/{id}/*` has two.
    pub segments: Vec<Segment>,
    /// Whether anything may follow (`/*`, or no path at all).
    pub open: bool,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// `{name}`: any one segment.
    Parameter(String),
}
