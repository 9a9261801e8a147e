//! Implements `edgetrust federation rollover`: a new root.

use std::path::{Path, PathBuf};

use super::edit::passwords;
use super::options::{Place, RootKey, SignerKey};
use super::renew::{Commit, Finish, Status, words};
use super::steps;
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{Folder, Password, Progress, rollover};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the mesh
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand)]
enum Step {
    /// Make the next root, which counts beside the one in use; opens the root's key
    Start(Start),
    /// Say how far the rollover is, and which gateways have acknowledged the mesh
    Status(Status),
    /// Let the next root certify the signer and the CAs of all sites; opens the next root's key
    Commit(WithRoot<Commit>),
    /// Take the root from before out; refused while certificates under it may be in use
    Finish(Finish),
    /// Take the last step back; opens the key of the root before where the next one is in use
    Abort(WithRoot<Finish>),
}

#[derive(clap::Args)]
struct Start {
    #[command(flatten)]
    root: RootKey,
    /// File with the password for the next root's key, on its first line; by default one is generated
    #[arg(long, value_name = "FILE")]
    next_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    signer: SignerKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct WithRoot<T: clap::Args> {
    #[command(flatten)]
    step: T,
    #[command(flatten)]
    root: RootKey,
}

pub(super) fn run(args: Args) -> Outcome {
    let Args { folder, step } = args;
    match step {
        Step::Start(args) => start(&Place { folder, json: args.json }, &args),
        Step::Status(args) => {
            let progress = rollover::progress(&folder)?;
            let words = words(&progress, "the root");
            steps::status(&Place { folder, json: args.json }, &args.sources, &progress.json(), &words)
        }
        Step::Commit(WithRoot { step: Commit { sources, yes, signer, json }, root }) => {
            let place = Place { folder, json };
            let folder = Folder::open(&place.folder)?;
            let passwords = passwords(&root.passphrase_file, &signer);
            let step = rollover::commit(&folder, &passwords, clock::now())?;
            let next = carry(&place.folder);
            steps::take(&place, &folder, step, Some((&sources, yes)), &passwords, &next)
        }
        Step::Finish(args) => {
            let place = Place { folder, json: args.json };
            let folder = Folder::open(&place.folder)?;
            let step = rollover::finish(&folder, steps::seconds(args.lifetime), clock::now())?;
            let next = [
                spreads(),
                format!("bring root.pem of {} to step-ca of each site", place.folder.join("sites/*").display()),
            ];
            steps::take(&place, &folder, step, Some((&args.sources, args.yes)), &passwords(&None, &args.signer), &next)
        }
        Step::Abort(WithRoot { step: args, root }) => {
            let place = Place { folder, json: args.json };
            let folder = Folder::open(&place.folder)?;
            let progress = rollover::progress(&place.folder)?;
            let passwords = passwords(&root.passphrase_file, &args.signer);
            let step = rollover::abort(&folder, steps::seconds(args.lifetime), &passwords, clock::now())?;
            let next = match progress {
                Progress::Committed { .. } => carry(&place.folder),
                Progress::Started { .. } => vec![spreads()],
                Progress::Settled => Vec::new(),
            };
            steps::take(&place, &folder, step, Some((&args.sources, args.yes)), &passwords, &next)
        }
    }
}

fn start(place: &Place, args: &Start) -> Outcome {
    let chosen = args.next_passphrase_file.as_deref().map(Password::read).transpose()?;
    let folder = Folder::open(&place.folder)?;
    let passwords = passwords(&args.root.passphrase_file, &args.signer);
    let step = rollover::start(&folder, chosen.as_ref(), &passwords, clock::now())?;
    let dir = place.folder.display();
    let next = [
        spreads(),
        format!("keep the next root's key of {} and its password apart", place.folder.join("changing/root").display()),
        "let devices and other programs hold the next root too, or go on by its certificate: root.pem of any site has it"
            .to_owned(),
        format!("edgetrust federation rollover {dir} status --config FILE, until every gateway has it"),
        format!("edgetrust federation rollover {dir} commit --config FILE"),
    ];
    steps::take(place, &folder, step, None, &passwords, &next)
}

fn spreads() -> String {
    "bring mesh.signed.json to one gateway: it spreads from there".to_owned()
}

/// Returns what to bring where after another root has certified the CAs of sites.
fn carry(folder: &Path) -> Vec<String> {
    vec![
        spreads(),
        format!(
            "bring ca.pem and root.pem of {} to step-ca of each site, now, and restart it",
            folder.join("sites/*").display()
        ),
        "the gateways renew by themselves, or at once by edgetrust acme renew".to_owned(),
    ]
}
