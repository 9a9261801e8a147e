//! Composes the screen of a report: a head, the alarms, and a section for each part that has something to show.

use rustix::termios::tcgetwinsize;

use super::duration::{seconds, span};
use super::section::Section;
use super::sections;
use super::table::clean;
use crate::ops::{Report, Severity};

/// The parts to show, and the room for them.
pub(super) struct Screen {
    sections: Vec<Section>,
    /// Columns and rows of the terminal.
    size: Option<(usize, usize)>,
}

/// Returns the columns and rows of the terminal on standard output.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// The order of the sections.
const ALL: [Section; 7] = [
    Section::Alarms,
    Section::Tunnels,
    Section::Sessions,
    Section::Certificates,
    Section::Mesh,
    Section::Devices,
    Section::Refusals,
];

/// The rows of a section that is shown beside others.
const FEW: usize = 8;

impl Screen {
    /// Shows these sections in full, or all of them cut short if none is named.
    pub(super) fn new(sections: &[Section], size: Option<(usize, usize)>) -> Self {
        Self { sections: sections.to_vec(), size }
    }

    /// Returns the lines of a report; `before` is the last one, from which rates follow.
    pub(super) fn show(&self, report: &Report, before: Option<&Report>) -> Vec<String> {
        let mut lines = head(report);
        let (shown, limit) = match &self.sections[..] {
            [] => (&ALL[..], Some(FEW)),
            named => (named, None),
        };
        for section in shown {
            let (heading, rows) = sections::of(*section, report, before);
            // The first line is that of the headings.
            let hidden = limit.map_or(0, |limit| rows.len().saturating_sub(limit.saturating_add(1)));
            if rows.is_empty() && limit.is_some() {
                continue;
            }
            lines.push(String::new());
            lines.push(heading);
            lines.extend(rows.iter().take(rows.len().saturating_sub(hidden)).cloned());
            if rows.is_empty() {
                lines.push("  none".to_owned());
            }
            if hidden > 0 {
                lines.push(format!("  … {hidden} more: edgetrust status {}", name(*section)));
            }
        }
        if let Some((columns, rows)) = self.size {
            for line in &mut lines {
                if let Some((end, _)) = line.char_indices().nth(columns) {
                    line.truncate(end);
                }
            }
            // The cursor stands in the last row.
            lines.truncate(rows.saturating_sub(1));
        }
        lines
    }
}

fn name(section: Section) -> String {
    use clap::ValueEnum as _;
    section.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Returns the first lines: the verdict, and what runs.
fn head(report: &Report) -> Vec<String> {
    let now = seconds(&report.now).unwrap_or_default();
    let ago = |at: &str| seconds(at).map(|at| span(now.saturating_sub(at))).unwrap_or_default();
    let count = |severity| report.alarms.iter().filter(|alarm| alarm.severity == severity).count();
    let verdict = match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => plural(warnings, "warning"),
        (errors, 0) => plural(errors, "error").to_uppercase(),
        (errors, warnings) => format!("{}, {}", plural(errors, "error").to_uppercase(), plural(warnings, "warning")),
    };
    let ready = match &report.not_ready_because {
        None => "ready".to_owned(),
        Some(reason) => format!("NOT READY ({})", clean(reason)),
    };
    let mut lines = vec![format!("{verdict} · {ready} · edgetrust {} up {}", report.version, ago(&report.started))];
    if let Some(configuration) = &report.configuration {
        let digest: String = configuration.sha256.chars().take(12).collect();
        let file = clean(&configuration.file);
        lines.push(format!("{file} (sha256 {digest}…) in force for {}", ago(&configuration.since)));
    }
    if let Some(mesh) = &report.mesh {
        let signed = if mesh.signer_generation == 0 { ", not signed" } else { "" };
        lines.push(format!("site {} of mesh {}, sequence {}{signed}", mesh.site, mesh.name, mesh.sequence));
    }
    lines
}

/// Returns a number with its noun.
fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
