//! Implements the subcommands of `edgetrust federation` that change a mesh.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};
use serde_json::json;

use super::options::{Place, RootKey, SignerKey, key, named, pair, sites};
use super::prompt;
use crate::cli::{Outcome, files};
use crate::clock;
use crate::federation::{self, Applied, Change, Denial, Edit, Folder, Pair, Passwords, RequestedKey, Signed};

#[derive(clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    new: New,
}

#[derive(clap::Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    place: Place,
    /// Request of the site, as `request` has made it
    #[arg(value_name = "CSR")]
    request: PathBuf,
    #[command(flatten)]
    new: New,
}

/// A site that is added.
#[derive(clap::Args)]
struct New {
    /// Site and its domain
    #[arg(long, value_name = "SITE=DOMAIN", value_parser = named)]
    site: (String, String),
    /// Link of the new site
    #[arg(long, value_name = "FROM:TO:SERVICE", value_parser = pair)]
    link: Vec<Pair>,
    /// Address of the site's gateway, if its name does not resolve at the other sites
    #[arg(long, value_name = "SITE=ADDRESS", value_parser = named)]
    address: Option<(String, String)>,
    /// Site whose CA may issue URIs of its domain (SPIFFE)
    #[arg(long, value_name = "SITE")]
    spiffe: Option<String>,
    #[command(flatten)]
    root: RootKey,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    place: Place,
    /// Name of the site
    site: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct Link {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct Unlink {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Time from which the denial counts no longer, as 2027-06-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Reason, for people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Certificate with the key, PEM; the first of the file counts
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Hash of the key: of its SubjectPublicKeyInfo, as `inspect` and refusals in the log have it
    #[arg(long, value_name = "sha256:HEX", value_parser = key)]
    key: Option<KeyHash>,
}

#[derive(clap::Args)]
pub(crate) struct Allow {
    #[command(flatten)]
    place: Place,
    /// Hash of the key
    #[arg(long, value_name = "sha256:HEX", value_parser = key)]
    key: KeyHash,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct SignMesh {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    signer: SignerKey,
}

#[derive(clap::Args)]
pub(crate) struct Signer {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    root: RootKey,
}

/// The ends of a link.
#[derive(clap::Args)]
struct Ends {
    /// Site that connects
    from: String,
    /// Site that is connected to
    to: String,
    /// Service
    #[arg(long, value_name = "SERVICE")]
    service: String,
}

#[derive(clap::Args)]
struct Consent {
    /// Also do what cuts a site off
    #[arg(long)]
    yes: bool,
}

pub(super) fn add(args: Add) -> Outcome {
    args.new.add(&args.place, None)
}

pub(super) fn sign(args: Sign) -> Outcome {
    let key = RequestedKey::read(&args.request, &args.new.site.0)?;
    args.new.add(&args.place, Some(&key))
}

impl New {
    fn add(self, place: &Place, key: Option<&RequestedKey>) -> Outcome {
        let site = sites(vec![self.site], self.address.as_slice(), self.spiffe.as_slice())?;
        let [site] = site.as_slice() else { return Err("--site: expected one".into()) };
        let passwords = passwords(&self.root.passphrase_file, &self.signer);
        let folder = Folder::open(&place.folder)?;
        let edit = federation::add(&folder, (site, key), &self.link, &passwords, clock::now())?;
        make(place, &folder, edit, true, &passwords)
    }
}

pub(super) fn remove(args: Remove) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let edit = federation::remove(&folder, &args.site)?;
    make(&args.place, &folder, edit, args.consent.yes, &passwords(&None, &args.signer))
}

pub(super) fn link(args: Link) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let edit = federation::link(&folder, &args.ends.pair())?;
    make(&args.place, &folder, edit, true, &passwords(&None, &args.signer))
}

pub(super) fn unlink(args: Unlink) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let edit = federation::unlink(&folder, &args.ends.pair())?;
    make(&args.place, &folder, edit, args.consent.yes, &passwords(&None, &args.signer))
}

impl Ends {
    fn pair(&self) -> Pair {
        Pair::new(&self.from, &self.to, &self.service)
    }
}

pub(super) fn deny(args: Deny) -> Outcome {
    let key = match (args.which.key, args.which.certificate) {
        (Some(key), _) => key,
        (None, Some(file)) => {
            let all = files::certificates(&[file])?;
            let first = all.first().ok_or("--certificate: found no certificate")?;
            KeyHash::of(&Certificate::from_der(first)?.subject_public_key_info())
        }
        (None, None) => return Err("found neither --certificate nor --key, expected one".into()),
    };
    let folder = Folder::open(&args.place.folder)?;
    let edit = federation::deny(&folder, &Denial { key, reason: args.reason, until: args.until }, clock::now())?;
    make(&args.place, &folder, edit, args.consent.yes, &passwords(&None, &args.signer))
}

pub(super) fn allow(args: Allow) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let edit = federation::allow(&folder, &args.key)?;
    make(&args.place, &folder, edit, true, &passwords(&None, &args.signer))
}

pub(super) fn sign_mesh(args: SignMesh) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let applied = federation::sign(&folder, &passwords(&None, &args.signer), clock::now())?;
    report(&args.place, &[], Some(&applied), None);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn signer(args: Signer) -> Outcome {
    let folder = Folder::open(&args.place.folder)?;
    let none = SignerKey { signer_passphrase_file: None };
    let passwords = passwords(&args.root.passphrase_file, &none);
    let (generation, not_after) = federation::new_signer(&folder, &passwords, clock::now())?;
    let not_after = Utc(not_after).to_string();
    if args.place.json {
        outln!("{:#}", json!({"generation": generation, "not_after": not_after}));
    } else {
        outln!("The mesh is signed by a signer of generation {generation}, which ends {not_after}.");
        outln!("It comes before every mesh of an earlier signer, whatever the sequence of that one.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn passwords<'a>(root: &'a Option<PathBuf>, signer: &'a SignerKey) -> Passwords<'a> {
    Passwords { root: root.as_deref(), signer: signer.signer_passphrase_file.as_deref(), ask: &prompt::ask }
}

/// Makes a change and says what it means; without consent not one that cuts a site off.
fn make(place: &Place, folder: &Folder, edit: Edit<'_>, consent: bool, passwords: &Passwords<'_>) -> Outcome {
    let changes = edit.changes.clone();
    if changes.is_empty() {
        let signed = settle(folder, passwords)?;
        report(place, &changes, signed.as_ref(), None);
        return Ok(ExitCode::SUCCESS);
    }
    if edit.cuts() && !consent {
        report(place, &changes, None, Some("this cuts sites off: nothing was changed; --yes does it"));
        return Ok(ExitCode::FAILURE);
    }
    let applied = edit.apply(folder, passwords, clock::now())?;
    report(place, &changes, Some(&applied), None);
    Ok(ExitCode::SUCCESS)
}

/// Finishes what an interrupted command has left to be done, and signs the mesh if it waits for that.
pub(super) fn settle(folder: &Folder, passwords: &Passwords<'_>) -> Result<Option<Applied>, String> {
    folder.settle()?;
    match folder.signed(clock::now())? {
        Signed::Outdated => federation::sign_if_possible(folder, passwords, clock::now()),
        Signed::By(_) | Signed::Refused(_) | Signed::Not => Ok(None),
    }
}

fn report(place: &Place, changes: &[Change], applied: Option<&Applied>, refused: Option<&str>) {
    if place.json {
        let value = json!({
            "changes": changes,
            "refused": refused,
            "sequence": applied.map(|applied| applied.sequence),
            "signed": applied.map(|applied| applied.signed.word()),
            "left": applied.map(left),
        });
        outln!("{value:#}");
        return;
    }
    print_changes(changes, refused.is_some());
    if let Some(refused) = refused {
        outln!("refused: {refused}");
        return;
    }
    let Some(applied) = applied else {
        outln!("nothing to change");
        return;
    };
    if print(applied, &place.folder) {
        outln!("Now bring mesh.signed.json to the gateways.");
    }
}

/// Prints changes that were made, or would be made if they were not refused.
pub(super) fn print_changes(changes: &[Change], refused: bool) {
    for change in changes {
        let would = if refused { "would be done: " } else { "" };
        outln!("{would}{}: {}", change.site.as_deref().unwrap_or("all sites"), change.what);
    }
}

/// Prints what a change that was made has left, and whether the mesh is signed. Returns true if it is: until then nothing is
/// to be brought anywhere.
pub(super) fn print(applied: &Applied, folder: &Path) -> bool {
    for file in &applied.left {
        outln!("{}: was changed by hand, and is left as it is: give it the tunnels of the mesh", file.display());
    }
    match &applied.signed {
        Signed::By(generation) => {
            outln!("sequence {}, signed by the signer of generation {generation}", applied.sequence);
            return true;
        }
        Signed::Refused(error) => outln!("sequence {}, NOT SIGNED: {error}", applied.sequence),
        Signed::Outdated | Signed::Not => outln!("sequence {}, NOT SIGNED", applied.sequence),
    }
    outln!("Sign it before anything else, where the signer's key is:");
    outln!("  edgetrust federation sign-mesh {}", folder.display());
    false
}

/// Returns the files that were left alone. A path need not be text.
pub(super) fn left(applied: &Applied) -> Vec<String> {
    applied.left.iter().map(|file| file.display().to_string()).collect()
}
