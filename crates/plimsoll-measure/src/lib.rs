//! Measuring: how calls end, how long they take, and what that leaves of an error budget.
//!
//! The way of a request's end: the data plane writes a [`Record`] into the [`Series`] of its service, route
//! and endpoint (per-thread counters, no lock); once a second [`Measure`] reads them all through the
//! [`Registry`], keeps history in windows, and builds the [`Snapshot`] that everything shows.
//!
//! Pure: time comes in as an argument; nothing here has a socket, a thread or a clock.

mod burn_detector;
mod condition;
mod course;
pub mod figure;
mod histogram;
mod hours;
pub mod incident;
mod interval;
mod maintenance;
mod measure;
mod objective;
mod onset;
mod outcome;
mod pairs;
mod period;
mod prometheus;
mod registry;
mod series;
mod snapshot;
mod turns;
mod window;

pub use burn_detector::{Alarm, BurnDetector, Unwatchable, Urgency};
pub use condition::Condition;
pub use course::{CauseGroup, Courses, StandIn, Standing, Step, StepLength, row_upper};
pub use histogram::{AtomicHistogram, Histogram, QUANTILE_ERROR, SCALE, SLOTS, SparseHistogram};
pub use histogram::{slot_of, upper_nanos};
pub use hours::Hours;
pub use incident::{
    Act, Attention, Deed, Incident, IncidentCall, IncidentRecord, IncidentView, Incidents,
};
pub use interval::{MeanInterval, student_t_quantile};
pub use maintenance::{Begins, Maintenance, MaintenanceChange};
pub use measure::{BURN_WINDOWS, EVENTS_MAX, Judged, Latest, Measure, Versions};
pub use measure::{EndpointInput, Inputs, JourneyLayout, Layout, ServiceInput, ServiceLayout};
pub use measure::{
    LatencyOf, Learnt, LearntStretch, Loading, Second, VersionChange, Wanted, series_name,
};
pub use measure::{ProtectionCounter, ProtectionInput};
pub use objective::{Counts, Forecast, OBJECTIVES_MAX, ObjectiveSpec, Sli, Tally, forecast};
pub use onset::{Ago, Onset, OnsetWatch, Rise, Usual, onset, usual_share};
pub use outcome::{Cause, Origin, Outcome, grpc_status_is_bad};
pub use pairs::{BURN_PAIRS_MAX, BurnPair};
pub use period::{Calendar, Now, Period};
pub use prometheus::{ChangesView, FlagCountsView, Format, ProcessView, render as render_metrics};
pub use registry::{Reading, Registry, SERIES_MAX, SeriesKey};
pub use series::{CauseCounts, Record, Series, Totals};
pub use snapshot::wire;
pub use snapshot::{
    ActionView, ClassView, DOES_NOT_FIT, ProtectionView, REFUSALS, RefusedView, refusing_policy,
};
pub use snapshot::{ApprovalView, FreezeView, OverlayView};
pub use snapshot::{
    ArmView, RolloutEvidenceView, RolloutPointView, RolloutPriceView, RolloutRunView, RolloutState,
    RolloutStepView, RolloutView,
};
pub use snapshot::{
    BrownoutView, ChangeView, GovernedView, JournalView, MovedView, NotifierFailure, NotifierView,
    OnsetView, PageDelayView, SplitView, StoreFailure,
};
pub use snapshot::{
    BurnView, CalendarView, ConfigView, EndpointState, EndpointView, ErrorView, EventView,
    JourneyView, LatencyView, MaintenanceView, Mark, ObjectiveView, RouteView, SCHEMA, ServiceView,
    Snapshot, StepView, TrafficView, VersionView,
};
pub use snapshot::{CacheDiskView, CacheStoreView, CacheView};
pub use snapshot::{EvidenceKind, EvidenceView, SidesView, Strength, SuspectKind, SuspectView};
pub use snapshot::{QueueView, QueuesDiskView, QueuesView};
pub use turns::{Held, Turns, TurnsWatch};
pub use window::{Amount, Level, RECENT_LEVELS, Sum, Window, objective_levels};
