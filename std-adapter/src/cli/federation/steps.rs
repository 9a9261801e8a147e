//! Takes the steps of a guided change: each says what it does, and what it would cut off it does only if it is told to.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use edgetrust_core::time::Utc;
use edgetrust_core::x509::KeyHash;
use serde::Serialize;
use serde_json::json;

use super::edit::{left, print, print_changes, settle};
use super::gather::Sources;
use super::options::{Place, SignerKey};
use crate::cli::{Outcome, arguments};
use crate::clock;
use crate::federation::{
    Acknowledgement, Applied, Change, Doubt, Folder, Passwords, Progress, Stage, Step, Whose, inquiry, key_change,
    private_keys_left, progress, renewal,
};

#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    sources: Sources,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The options of a step that is refused where it may cut somebody off.
#[derive(clap::Args)]
pub(super) struct Guarded {
    #[command(flatten)]
    sources: Sources,
    /// Also do what may cut somebody off, as a gateway that has not acknowledged the mesh
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) signer: SignerKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Finish {
    #[command(flatten)]
    pub(super) guarded: Guarded,
    /// Longest lifetime of a certificate of the CA that goes; by default what ca.json of its sites has
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    lifetime: Option<Duration>,
}

#[derive(clap::Args)]
pub(super) struct Abort {
    #[command(flatten)]
    pub(super) finish: Finish,
    /// Take start back too, after commit was taken back: the next key counts no more
    #[arg(long)]
    start: bool,
}

impl Finish {
    fn said(&self, start_too: bool) -> key_change::Said {
        key_change::Said { longest: self.lifetime.map(|lifetime| lifetime.as_secs()), start_too }
    }
}

/// The CA whose key changes, and the folder of its mesh.
pub(super) struct Changed<'a> {
    pub(super) folder: &'a Path,
    pub(super) whose: Whose<'a>,
}

/// Puts the next key in use, whose password an option may name.
pub(super) fn commit(
    changed: &Changed<'_>,
    args: &Guarded,
    (passwords, next): (&Passwords<'_>, Option<&Path>),
) -> Outcome {
    let place = changed.place(args.json);
    let folder = Folder::open(&place.folder)?;
    let step = key_change::commit(&folder, changed.whose, (passwords, next), clock::now())?;
    let next = match changed.progress()?.stage {
        Stage::Started { next: key, .. } | Stage::Committed { present: key, .. } => changed.carry(&key, next, false),
        Stage::Settled | Stage::Unrecorded { .. } => Vec::new(),
    };
    take(&place, &folder, step, Some((&args.sources, args.yes)), passwords, &next)
}

/// Takes the key from before out.
pub(super) fn finish(changed: &Changed<'_>, args: &Finish, passwords: &Passwords<'_>) -> Outcome {
    let Finish { guarded, .. } = args;
    let place = changed.place(guarded.json);
    let folder = Folder::open(&place.folder)?;
    let step = key_change::finish(&folder, changed.whose, args.said(false), clock::now())?;
    let mut next = vec![spreads()];
    if changed.whose == Whose::Root {
        next.push(format!("bring root.pem of {} to step-ca of each site", place.folder.join("sites/*").display()));
    }
    take(&place, &folder, step, Some((&guarded.sources, guarded.yes)), passwords, &next)
}

/// Takes a step back.
pub(super) fn abort(changed: &Changed<'_>, args: &Abort, passwords: &Passwords<'_>) -> Outcome {
    let Abort { finish, start } = args;
    let place = changed.place(finish.guarded.json);
    let folder = Folder::open(&place.folder)?;
    let stage = changed.progress()?.stage;
    let step = key_change::abort(&folder, changed.whose, finish.said(*start), passwords, clock::now())?;
    let next = match stage {
        Stage::Committed { before: key, .. } => changed.carry(&key, None, true),
        Stage::Started { present: key, left: Some(_), .. } if !start => {
            let mut next = changed.carry(&key, None, true);
            let start = changed.whose.command(changed.folder, "abort --start");
            next.push(format!("{start} takes the next key out of the mesh, too"));
            next
        }
        Stage::Started { .. } | Stage::Unrecorded { .. } => vec![spreads()],
        Stage::Settled => Vec::new(),
    };
    take(&place, &folder, step, Some((&finish.guarded.sources, finish.guarded.yes)), passwords, &next)
}

fn spreads() -> String {
    "bring mesh.signed.json to one gateway: it spreads from there".to_owned()
}

impl Changed<'_> {
    fn place(&self, json: bool) -> Place {
        Place { folder: self.folder.to_owned(), json }
    }

    fn progress(&self) -> Result<Progress, String> {
        progress(self.folder, self.whose, clock::now())
    }

    /// Returns what to do after `start`; `before` comes before the next step.
    pub(super) fn after_start(&self, before: &[String]) -> Vec<String> {
        let command = |step: &str| self.whose.command(self.folder, step);
        if self.progress().is_ok_and(|progress| matches!(progress.stage, Stage::Committed { .. })) {
            let [status, finish] = ["status", "finish"].map(command);
            return vec![format!("the next key is in use already: {status} says from when {finish} is possible")];
        }
        let steps = [
            format!("{} --config FILE, until every gateway has it", command("status")),
            format!("{} --config FILE", command("commit")),
        ];
        std::iter::once(spreads()).chain(before.iter().cloned()).chain(steps).collect()
    }

    /// Returns what to bring where after a key was put in use, or `back` in use. `password` is the file of its password, if an
    /// option names it.
    fn carry(&self, key: &KeyHash, password: Option<&Path>, back: bool) -> Vec<String> {
        let renews = |whose| format!("the gateways{whose} renew by themselves, or at once by edgetrust acme renew");
        let Whose::Site(site) = self.whose else {
            let bring = format!(
                "bring ca.pem and root.pem of {} to step-ca of each site, now, and restart it",
                self.folder.join("sites/*").display()
            );
            return vec![spreads(), bring, renews("")];
        };
        let there = self.folder.join("sites").join(site);
        if !renewal::is_here(self.folder, site, key) {
            let bring = match back {
                true => format!(
                    "at step-ca of site {site}, put ca.key and its password from before back, bring ca.pem of {} there, now, \
                     and restart it",
                    there.display()
                ),
                false => format!(
                    "bring ca.pem of {} to step-ca of site {site}, where its key is, now, and restart it",
                    there.display()
                ),
            };
            return vec![spreads(), bring, renews(" of the site")];
        }
        let bring = format!(
            "bring ca.pem and ca.key of {} to step-ca of site {site}, now, keep those from before there, and restart it",
            there.display()
        );
        let password = password.map_or_else(|| renewal::password(self.folder, site, key), Path::to_owned);
        let password = format!("bring the key's password there too, by another way: {}", password.display());
        vec![spreads(), bring, password, renews(" of the site")]
    }
}

/// The result of a step, as it is printed.
#[derive(Default)]
struct Report<'a> {
    changes: &'a [Change],
    gateways: Vec<Acknowledgement>,
    /// Reasons that speak against the step.
    against: Vec<String>,
    applied: Option<&'a Applied>,
    next_steps: &'a [String],
    /// Warnings of private keys that lie here and are not in use.
    warnings: Vec<String>,
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
        Report {
            changes: &changes,
            applied: applied.as_ref(),
            next_steps: next,
            warnings: private_keys_left(&place.folder)?,
            ..Report::default()
        }
        .show(place, false);
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
    report.next_steps = next;
    report.warnings = private_keys_left(&place.folder)?;
    report.show(place, false);
    Ok(ExitCode::SUCCESS)
}

/// Returns what a doubt has against a step.
fn speak_against(doubt: &Doubt, gateways: &[Acknowledgement]) -> Vec<String> {
    let of = |one: &Acknowledgement, what: &str| format!("{} of site {} {what}", one.host, one.site);
    match doubt {
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

/// Prints how far the change is and what gateways have said. Exit code 1 if one has not acknowledged the mesh.
pub(super) fn status(changed: &Changed<'_>, args: &Status) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        progress: &'a Progress,
        gateways: &'a [Acknowledgement],
        unsigned: Option<&'a str>,
        warnings: &'a [String],
    }
    let progress = changed.progress()?;
    let (gateways, unsigned) = match inquiry(changed.folder, clock::now()) {
        Ok(inquiry) => (args.sources.gather(&inquiry)?, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut warnings = progress.warnings.clone();
    warnings.extend(private_keys_left(changed.folder)?);
    if args.json {
        let shown =
            Shown { progress: &progress, gateways: &gateways, unsigned: unsigned.as_deref(), warnings: &warnings };
        outln!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        outln!("{}", progress.words());
        unsigned.iter().for_each(|error| outln!("{error}"));
        show_gateways(&gateways);
        warnings.iter().for_each(|warning| outln!("warning: {warning}"));
        progress.next_step.iter().for_each(|step| outln!("next step: {step}"));
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
                "next_steps": self.next_steps,
                "warnings": self.warnings,
            });
            outln!("{value:#}");
            return;
        }
        print_changes(self.changes, refused);
        show_gateways(&self.gateways);
        for reason in &self.against {
            outln!("{} {reason}", if refused { "against it:" } else { "done on your word:" });
        }
        if refused {
            outln!("refused: {REFUSED}");
            return;
        }
        let signed = match self.applied {
            Some(applied) => print(applied, &place.folder),
            None => {
                outln!("nothing to change");
                true
            }
        };
        self.warnings.iter().for_each(|warning| outln!("warning: {warning}"));
        if !self.next_steps.is_empty() {
            outln!("{}", if signed { "Next:" } else { "Then:" });
        }
        for line in self.next_steps {
            outln!("  {line}");
        }
    }
}
