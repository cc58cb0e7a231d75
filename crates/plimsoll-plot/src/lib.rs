//! Plots for the console and for reports: series in, SVG out.
//!
//! What is drawn fits any width without a script: the outer `<svg>` has a height in pixels and no viewBox, so that text and
//! marks never stretch; curves are in a nested one that does. Colours are classes only, so that a strict
//! `style-src` holds and the dark scheme costs nothing. Every plot has its finding as a name, and the same values as
//! a table ([`Chart::table`]).
//!
//! Invariants: a text is escaped; no coordinate is ever NaN or infinite; what is not known is hatched or left out, and
//! never drawn as a number. Pure: strings come out, and nothing else happens.

mod axis;
mod chart;
mod curve;
mod heat_map;
mod interval;
mod label;
mod lanes;
mod load_line;
mod marks;
mod scale;
mod svg;
mod table;

pub use axis::{Span, TimeAxis};
pub use chart::{Chart, Layer, Promise, Series};
pub use heat_map::HeatMap;
pub use interval::{Interval, Reading, intervals};
pub use lanes::{Lane, lanes};
pub use load_line::{LoadLine, SpentMark};
pub use marks::{Mark, MarkKind, Marks};
pub use scale::Scale;
pub use svg::Escaped;

/// Colours, type and space as CSS variables, for both schemes.
pub const TOKENS: &str = include_str!("../assets/tokens.css");
/// The classes that plots and pages use; needs [`TOKENS`].
pub const COMPONENTS: &str = include_str!("../assets/console.css");
/// Symbols and hatchings that the classes refer to: an `<svg>` without a size, once in each page.
pub const SYMBOLS: &str = include_str!("../assets/symbols.svg");
