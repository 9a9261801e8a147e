//! Takes the steps of a guided change: each says what it does, and what it would cut off it does only if it is told to.

use std::process::ExitCode;

use edgetrust_core::time::Utc;
use serde_json::json;

use super::edit::{left, print, settle};
use super::gather::Sources;
use super::options::Place;
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{Acknowledgement, Applied, Change, Doubt, Folder, Passwords, Step, inquiry};

/// The result of a step, as it is printed.
#[derive(Default)]
struct Report<'a> {
    changes: &'a [Change],
    gateways: Vec<Acknowledgement>,
    /// Reasons that speak against the step.
    against: Vec<String>,
    applied: Option<&'a Applied>,
    /// What to do next.
    next: &'a [String],
}

/// Takes a step, unless something speaks against it and nobody consents.
pub(super) fn take(
    place: &Place,
    folder: &Folder,
    step: Step<'_>,
    sources: Option<(&Sources, bool)>,
    passwords: &Passwords<'_>,
    next: &[String],
) -> Outcome {
    let Step { edit, doubts } = step;
    let changes = edit.changes.clone();
    if changes.is_empty() {
        let applied = settle(folder, passwords)?;
        Report { changes: &changes, applied: applied.as_ref(), next, ..Report::default() }.show(place, false);
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report { changes: &changes, ..Report::default() };
    let consent = sources.is_some_and(|(_, consent)| consent);
    if !doubts.is_empty() {
        report.gateways = match (sources, inquiry(&place.folder, clock::now())) {
            (Some((sources, _)), Ok(inquiry)) => sources.gather(&inquiry)?,
            (Some(_), Err(error)) => {
                report.against.push(error);
                Vec::new()
            }
            (None, _) => Vec::new(),
        };
        let against: Vec<_> = doubts.iter().flat_map(|doubt| speak_against(doubt, &report.gateways)).collect();
        report.against.extend(against);
    }
    if !report.against.is_empty() && !consent {
        report.show(place, true);
        return Ok(ExitCode::FAILURE);
    }
    let applied = edit.apply(folder, passwords, clock::now())?;
    report.applied = Some(&applied);
    report.next = next;
    report.show(place, false);
    Ok(ExitCode::SUCCESS)
}

/// Returns what a doubt has against a step.
fn speak_against(doubt: &Doubt, gateways: &[Acknowledgement]) -> Vec<String> {
    let of = |one: &Acknowledgement, what: &str| format!("{} of site {} {what}", one.host, one.site);
    match doubt {
        Doubt::None => Vec::new(),
        Doubt::Acknowledged => gateways
            .iter()
            .filter(|one| !one.acknowledged)
            .map(|one| of(one, "has not acknowledged the mesh"))
            .collect(),
        Doubt::Shown(sites) => gateways
            .iter()
            .filter(|one| sites.contains(&one.site) && one.shows_ca_in_use != Some(true))
            .map(|one| {
                of(
                    one,
                    match one.shows_ca_in_use {
                        Some(_) => "shows a certificate of another CA than the one in use",
                        None => "has not been seen with a certificate of the CA in use",
                    },
                )
            })
            .collect(),
        Doubt::Lifetime(Some(end)) => {
            vec![format!("certificates of the CA that goes may be valid until {}", Utc(*end))]
        }
        Doubt::Lifetime(None) => {
            vec!["it is not known since when the CA that goes is out of use".to_owned()]
        }
    }
}

/// Prints what gateways have said. Exit code 1 if one has not acknowledged the mesh.
pub(super) fn status(place: &Place, sources: &Sources, stage: &serde_json::Value, words: &str) -> Outcome {
    let inquiry = inquiry(&place.folder, clock::now());
    let (gateways, unsigned) = match inquiry {
        Ok(inquiry) => (sources.gather(&inquiry)?, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    if place.json {
        outln!("{:#}", json!({"state": stage, "gateways": gateways, "unsigned": unsigned}));
    } else {
        outln!("{words}");
        unsigned.iter().for_each(|error| outln!("{error}"));
        show_gateways(&gateways);
    }
    let all = unsigned.is_none() && gateways.iter().all(|one| one.acknowledged);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show_gateways(gateways: &[Acknowledgement]) {
    for one in gateways {
        let mark = if one.acknowledged { "yes" } else { "NO " };
        outln!("  {mark} {}, site {}: {}", one.host, one.site, one.what);
    }
    if !gateways.is_empty() {
        let count = gateways.iter().filter(|one| one.acknowledged).count();
        outln!("{count} of {} gateways have acknowledged the mesh", gateways.len());
    }
}

impl Report<'_> {
    fn show(&self, place: &Place, refused: bool) {
        const REFUSED: &str = "this may cut sites off: nothing was changed; --yes does it, on your word";
        if place.json {
            let value = json!({
                "changes": self.changes,
                "gateways": self.gateways,
                "against": self.against,
                "refused": refused.then_some(REFUSED),
                "sequence": self.applied.map(|applied| applied.sequence),
                "signed": self.applied.map(|applied| applied.signed.word()),
                "left": self.applied.map(left),
                "next": self.next,
            });
            outln!("{value:#}");
            return;
        }
        for change in self.changes {
            outln!("{}: {}", change.site.as_deref().unwrap_or("all sites"), change.what);
        }
        show_gateways(&self.gateways);
        for reason in &self.against {
            outln!("{} {reason}", if refused { "against it:" } else { "done on your word:" });
        }
        if refused {
            outln!("refused: {REFUSED}");
            return;
        }
        match self.applied {
            Some(applied) => print(applied),
            None => outln!("nothing to change"),
        }
        if !self.next.is_empty() {
            outln!("Next:");
        }
        for line in self.next {
            outln!("  {line}");
        }
    }
}

/// Returns a duration in whole seconds.
pub(super) fn seconds(lifetime: Option<std::time::Duration>) -> Option<u64> {
    lifetime.map(|lifetime| lifetime.as_secs())
}
