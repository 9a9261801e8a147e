//! Implements `edgetrust federation renew`: a new key for the CA of a site.

use std::path::PathBuf;
use std::time::Duration;

use edgetrust_core::time::Utc;
use edgetrust_core::x509::KeyHash;

use super::edit::passwords;
use super::gather::Sources;
use super::options::{Place, RootKey, SignerKey};
use super::steps;
use crate::cli::{Outcome, arguments};
use crate::clock;
use crate::federation::{Folder, Progress, RequestedKey, renewal};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the mesh
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Name of the site
    site: String,
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand)]
enum Step {
    /// Certify the next key: certificates by it count beside those by the key in use; opens the root's key
    Start(Start),
    /// Say how far the renewal is, and which gateways have acknowledged the mesh
    Status(Status),
    /// Let the CA use the next key; refused until every gateway has acknowledged it
    Commit(Commit),
    /// Take the key from before out; refused while certificates by it may be in use
    Finish(Finish),
    /// Take the last step back
    Abort(Finish),
}

#[derive(clap::Args)]
struct Start {
    /// Request of the site for its next key, as `request` has made it in another folder; the key stays at the site
    #[arg(long, value_name = "CSR")]
    request: Option<PathBuf>,
    #[command(flatten)]
    root: RootKey,
    #[command(flatten)]
    signer: SignerKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args)]
pub(super) struct Commit {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// Also do what may cut off a gateway that has not acknowledged the mesh
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) signer: SignerKey,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args)]
pub(super) struct Finish {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// Longest lifetime of a certificate of the site's CA; by default what its ca.json has
    #[arg(long, value_name = "DURATION", value_parser = arguments::duration)]
    pub(super) lifetime: Option<Duration>,
    /// Also do what may cut somebody off
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) signer: SignerKey,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: Args) -> Outcome {
    let Args { folder, site, step } = args;
    match step {
        Step::Start(args) => start(Place { folder, json: args.json }, &site, &args),
        Step::Status(args) => {
            let progress = renewal::progress(&folder, &site)?;
            let words = words(&progress, &format!("the CA of site {site}"));
            steps::status(&Place { folder, json: args.json }, &args.sources, &progress.json(), &words)
        }
        Step::Commit(Commit { sources, yes, signer, json }) => {
            let place = Place { folder, json };
            let folder = Folder::open(&place.folder)?;
            let step = renewal::commit(&folder, &site, clock::now())?;
            let next = match renewal::progress(&place.folder, &site)? {
                Progress::Started { next: key, .. } | Progress::Committed { present: key, .. } => {
                    carry(&place, &site, &key)
                }
                Progress::Settled => Vec::new(),
            };
            steps::take(&place, &folder, step, Some((&sources, yes)), &passwords(&None, &signer), &next)
        }
        Step::Finish(args) => {
            let place = Place { folder, json: args.json };
            let folder = Folder::open(&place.folder)?;
            let step = renewal::finish(&folder, &site, steps::seconds(args.lifetime), clock::now())?;
            let next = ["bring mesh.signed.json to one gateway: it spreads from there".to_owned()];
            let sources = Some((&args.sources, args.yes));
            steps::take(&place, &folder, step, sources, &passwords(&None, &args.signer), &next)
        }
        Step::Abort(args) => {
            let place = Place { folder, json: args.json };
            let folder = Folder::open(&place.folder)?;
            let progress = renewal::progress(&place.folder, &site)?;
            let step = renewal::abort(&folder, &site, steps::seconds(args.lifetime), clock::now())?;
            let next = match progress {
                Progress::Committed { before, .. } => carry(&place, &site, &before),
                Progress::Settled => Vec::new(),
                Progress::Started { .. } => {
                    vec!["bring mesh.signed.json to one gateway: it spreads from there".to_owned()]
                }
            };
            let sources = Some((&args.sources, args.yes));
            steps::take(&place, &folder, step, sources, &passwords(&None, &args.signer), &next)
        }
    }
}

fn start(place: Place, site: &str, args: &Start) -> Outcome {
    let requested = args.request.as_deref().map(|file| RequestedKey::read(file, site)).transpose()?;
    let folder = Folder::open(&place.folder)?;
    let passwords = passwords(&args.root.passphrase_file, &args.signer);
    let step = renewal::start(&folder, site, requested.as_ref(), &passwords, clock::now())?;
    let dir = place.folder.display();
    let next = [
        "bring mesh.signed.json to one gateway: it spreads from there".to_owned(),
        format!("edgetrust federation renew {dir} {site} status --config FILE, until every gateway has it"),
        format!("edgetrust federation renew {dir} {site} commit --config FILE"),
    ];
    steps::take(&place, &folder, step, None, &passwords, &next)
}

/// Returns what to bring to a site after its CA has got another key.
fn carry(place: &Place, site: &str, key: &KeyHash) -> Vec<String> {
    let there = place.folder.join("sites").join(site);
    let spread = "bring mesh.signed.json to one gateway: it spreads from there".to_owned();
    let renews = "the gateways of the site renew by themselves, or at once by edgetrust acme renew".to_owned();
    if !renewal::is_here(&place.folder, site, key) {
        let bring = format!(
            "bring ca.pem of {} to step-ca of site {site}, where its key is, now, and restart it",
            there.display()
        );
        return vec![spread, bring, renews];
    }
    let password = renewal::password(&place.folder, site, key);
    vec![
        spread,
        format!(
            "bring ca.pem and ca.key of {} to step-ca of site {site}, now, keep those from before there, and restart it",
            there.display()
        ),
        format!("bring the key's password there too, by another way: {}", password.display()),
        renews,
    ]
}

/// Says how far a change has come.
pub(super) fn words(progress: &Progress, whose: &str) -> String {
    match progress {
        Progress::Settled => format!("{whose}: no change of its key is under way"),
        Progress::Started { present, next } => {
            format!("{whose}: uses the key {present}; the next one counts too: {next}")
        }
        Progress::Committed { before, present, since } => {
            let since = since.map_or_else(|| "a time that is unknown".to_owned(), |since| Utc(since).to_string());
            format!("{whose}: uses the key {present} since {since}; the one before counts too: {before}")
        }
    }
}
