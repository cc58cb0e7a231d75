//! The two text formats: names, escapes and numbers.
//!
//! Source: Prometheus text exposition format 0.0.4; OpenMetrics 1.0. They differ in where `_total` and
//! `_info` stand (in the family's name, or in the sample's only), in a type for information, in a unit line
//! and in the end mark.

use std::fmt::{Display, Write};

/// Which text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header prefers; Prometheus text where it says nothing.
    pub fn from_accept(accept: Option<&str>) -> Self {
        let Some(accept) = accept else {
            return Self::Prometheus;
        };
        let mut best = (Self::Prometheus, 0.0_f64);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("").to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let format = match media.as_str() {
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Self::Prometheus,
                _ => continue,
            };
            // At equal quality the first that is named stands.
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The `Content-Type` of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// Text being written: families, and the samples of the last one.
pub(super) struct Exposition {
    format: Format,
    family: &'static str,
    out: String,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            family: "",
            out: String::with_capacity(16 << 10),
        }
    }

    /// Begins a family. `name` is without `_total` and `_info`.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let (suffix, word) = match (self.format, kind) {
            (Format::Prometheus, Kind::Counter) => ("_total", "counter"),
            (Format::Prometheus, Kind::Info) => ("_info", "gauge"),
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (_, Kind::Gauge) => ("", "gauge"),
            (_, Kind::Histogram) => ("", "histogram"),
        };
        self.line(format_args!("# HELP {name}{suffix} {help}"));
        self.line(format_args!("# TYPE {name}{suffix} {word}"));
        let unit = ["seconds", "bytes", "ratio"].into_iter().find(|unit| {
            name.strip_suffix(unit)
                .is_some_and(|rest| rest.ends_with('_'))
        });
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Number) {
        self.start(suffix, labels, None);
        let value = value.text();
        self.line(format_args!(" {value}"));
    }

    /// The samples of a histogram; `buckets` are cumulative, and rise.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        for (bound, cumulative) in buckets.chain([(f64::INFINITY, count)]) {
            self.start("_bucket", labels, Some(bound));
            self.line(format_args!(" {cumulative}"));
        }
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, count);
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn start(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            self.out.push(separator);
            separator = ',';
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape_into(&mut self.out, value);
            self.out.push('"');
        }
        if let Some(bound) = bound {
            self.out.push(separator);
            separator = ',';
            let bound = if bound.is_finite() {
                format!("{bound:?}")
            } else {
                "+Inf".to_owned()
            };
            self.out.push_str("le=\"");
            self.out.push_str(&bound);
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
    }

    fn line(&mut self, text: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{text}");
    }
}

/// A sample's value.
pub(super) trait Number {
    fn text(self) -> String;
}

impl Number for u64 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Number for f64 {
    fn text(self) -> String {
        if self.is_finite() {
            self.to_string()
        } else if self.is_nan() {
            "NaN".to_owned()
        } else if self > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    }
}

fn escape_into(out: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Format) {
        assert_eq!(Format::from_accept(Some(accept)), expected, "{accept}");
    }

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        assert_eq!(Format::from_accept(None), Format::Prometheus);
        check("", Format::Prometheus);
        check("*/*", Format::Prometheus);
        check("text/html", Format::Prometheus);
        check("application/openmetrics-text", Format::OpenMetrics);
        check(
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
        );
        check(
            "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.2",
            Format::Prometheus,
        );
        check("application/openmetrics-text;q=0", Format::Prometheus);
        check(
            "application/openmetrics-text;q=nonsense",
            Format::Prometheus,
        );
    }
}
