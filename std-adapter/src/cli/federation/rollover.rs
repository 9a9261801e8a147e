//! Implements `edgetrust federation rollover`: a new root.

use std::path::PathBuf;

use super::edit::passwords;
use super::options::{Place, RootKey, SignerKey};
use super::steps::{self, Abort, Changed, Finish, Guarded, Status};
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{self, Folder, Password, Whose, rollover};

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
    Commit(WithRoot<Guarded>),
    /// Take the root from before out; refused while certificates under it may be in use
    Finish(Finish),
    /// Take the last step back; opens the key of the root before where the next one is in use
    Abort(WithRoot<Abort>),
}

#[derive(clap::Args)]
struct Start {
    #[command(flatten)]
    root: RootKey,
    /// File with the password for the next root's key, on its first line; by default one is generated
    #[arg(long, value_name = "FILE")]
    next_passphrase_file: Option<PathBuf>,
    /// URI of a key in a token for the next root (RFC 7512); by default one is made
    #[arg(long, value_name = "URI", conflicts_with = "next_passphrase_file")]
    next_root_key: Option<String>,
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
    /// Password file of the key of the root that comes into use; by default the one that was made for it in passwords/ in
    /// DIR, or asked for at a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Outcome {
    let Args { folder, step } = args;
    let changed = Changed { folder: &folder, whose: Whose::Root };
    match step {
        Step::Start(args) => start(&changed, &args),
        Step::Status(args) => steps::status(&changed, &args),
        Step::Commit(WithRoot { step, passphrase_file }) => {
            steps::commit(&changed, &step, (&passwords(&passphrase_file, &step.signer), None))
        }
        Step::Finish(args) => steps::finish(&changed, &args, &passwords(&None, &args.guarded.signer)),
        Step::Abort(WithRoot { step, passphrase_file }) => {
            steps::abort(&changed, &step, &passwords(&passphrase_file, &step.finish.guarded.signer))
        }
    }
}

fn start(changed: &Changed<'_>, args: &Start) -> Outcome {
    let chosen = args.next_passphrase_file.as_deref().map(Password::read).transpose()?;
    let place = Place { folder: changed.folder.to_owned(), json: args.json };
    let folder = Folder::open(&place.folder)?;
    let passwords = passwords(&args.root.passphrase_file, &args.signer);
    let in_token = args.next_root_key.as_deref().map(federation::RootKey::in_token).transpose();
    let in_token = in_token.map_err(|error| format!("--next-root-key: {error}"))?;
    let step = rollover::start(&folder, (chosen.as_ref(), in_token), &passwords, clock::now())?;
    let kept = place.folder.join("changing/root");
    let before = [
        format!("keep the next root's key of {} and its password apart", kept.display()),
        "let devices and other programs hold the next root too, or go on by its certificate: root.pem of any site has it"
            .to_owned(),
    ];
    steps::take(&place, &folder, step, None, &passwords, &changed.after_start(&before))
}
