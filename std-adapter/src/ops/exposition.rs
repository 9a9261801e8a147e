//! Writes Prometheus' text format, version 0.0.4.

use std::fmt::{self, Display, Write};

use crate::histogram::Distribution;

/// The kind of a metric family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It counts durations by bounds.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label's name and value. A label without a value is left out, which means the same.
pub(super) type LabelPair<'a> = (&'static str, &'a dyn Display);

/// The text of all families.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a family. Its name and help come first, and all its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        add(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Family { text: &mut self.0, name }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A family whose samples are being written.
#[derive(Debug)]
pub(super) struct Family<'e> {
    text: &'e mut String,
    name: &'static str,
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[LabelPair<'_>], value: impl Display) {
        let labels = labels_text(labels);
        add(self.text, format_args!("{}{} {value}\n", self.name, Braces(&labels)));
    }

    pub(super) fn histogram(&mut self, labels: &[LabelPair<'_>], distribution: &Distribution) {
        let (name, Distribution { buckets, count, sum }) = (self.name, distribution);
        let labels = labels_text(labels);
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, up_to) in buckets {
            let bound = bound.as_secs_f64();
            add(self.text, format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {up_to}\n"));
        }
        add(self.text, format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}\n"));
        add(self.text, format_args!("{name}_sum{} {}\n", Braces(&labels), sum.as_secs_f64()));
        add(self.text, format_args!("{name}_count{} {count}\n", Braces(&labels)));
    }
}

fn labels_text(labels: &[LabelPair<'_>]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let value = value.to_string();
        if !value.is_empty() {
            let comma = if text.is_empty() { "" } else { "," };
            add(&mut text, format_args!("{comma}{name}=\"{}\"", Escaped(&value)));
        }
    }
    text
}

fn add(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(what);
}

/// Labels in braces, if there are any.
struct Braces<'a>(&'a str);

impl Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{{{}}}", self.0) }
    }
}

/// A label's value with backslash, quote and newline escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn labels_are_escaped_and_left_out_where_they_are_empty() {
        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "A.").sample(&[("one", &""), ("two", &"a\\b\"c\nd")], 1);
        text.family("b", Kind::Gauge, "B.").sample(&[("one", &"")], 2);
        assert_eq!(
            text.into_text(),
            "# HELP a_total A.\n# TYPE a_total counter\na_total{two=\"a\\\\b\\\"c\\nd\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let distribution = Distribution {
            buckets: vec![(Duration::from_micros(2_500), 1), (Duration::from_secs(1), 3)],
            count: 4,
            sum: Duration::from_millis(1_500),
        };
        let mut text = Exposition::default();
        text.family("d_seconds", Kind::Histogram, "D.").histogram(&[("tunnel", &"in")], &distribution);
        assert_eq!(
            text.into_text().lines().skip(2).collect::<Vec<_>>(),
            [
                "d_seconds_bucket{tunnel=\"in\",le=\"0.0025\"} 1",
                "d_seconds_bucket{tunnel=\"in\",le=\"1\"} 3",
                "d_seconds_bucket{tunnel=\"in\",le=\"+Inf\"} 4",
                "d_seconds_sum{tunnel=\"in\"} 1.5",
                "d_seconds_count{tunnel=\"in\"} 4",
            ]
        );
    }
}
