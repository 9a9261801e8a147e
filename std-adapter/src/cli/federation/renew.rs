//! Implements `edgetrust federation renew`: a new key for the CA of a site.

use std::path::PathBuf;

use super::edit::passwords;
use super::options::{Place, RootKey, SignerKey};
use super::steps::{self, Abort, Changed, Finish, Guarded, Status};
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{Folder, RequestedKey, Whose, renewal};

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
    Commit(WithKey),
    /// Take the key from before out; refused while certificates by it may be in use
    Finish(Finish),
    /// Take the last step back
    Abort(Abort),
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
struct WithKey {
    #[command(flatten)]
    step: Guarded,
    /// Password file of the next key; by default passwords/site-SITE.DIGITS in DIR, or asked for at a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Outcome {
    let Args { folder, site, step } = args;
    let changed = Changed { folder: &folder, whose: Whose::Site(&site) };
    match step {
        Step::Start(args) => start(&changed, &site, &args),
        Step::Status(args) => steps::status(&changed, &args),
        Step::Commit(WithKey { step, passphrase_file }) => {
            steps::commit(&changed, &step, (&passwords(&None, &step.signer), passphrase_file.as_deref()))
        }
        Step::Finish(args) => steps::finish(&changed, &args, &passwords(&None, &args.guarded.signer)),
        Step::Abort(args) => steps::abort(&changed, &args, &passwords(&None, &args.finish.guarded.signer)),
    }
}

fn start(changed: &Changed<'_>, site: &str, args: &Start) -> Outcome {
    let requested = args.request.as_deref().map(|file| RequestedKey::read(file, site)).transpose()?;
    let place = Place { folder: changed.folder.to_owned(), json: args.json };
    let folder = Folder::open(&place.folder)?;
    let passwords = passwords(&args.root.passphrase_file, &args.signer);
    let step = renewal::start(&folder, site, requested.as_ref(), &passwords, clock::now())?;
    steps::take(&place, &folder, step, None, &passwords, &changed.after_start(&[]))
}
