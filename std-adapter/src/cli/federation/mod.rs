//! Implements `edgetrust federation`: a mesh of sites, from the first root to the last denial.

mod edit;
mod init;
mod prompt;
mod show;

use std::path::{Path, PathBuf};

use edgetrust_core::x509::KeyHash;

use super::Outcome;
use crate::federation::Pair;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a root, a CA for each site, the file of the mesh, and a folder with all that each site needs
    Init(init::Args),
    /// Add a site with a CA of its own; opens the root's key
    Add(edit::Add),
    /// Take a site out of the mesh; its folder is put away
    Remove(edit::Remove),
    /// Let the gateways of site FROM reach those of site TO for a service
    Link(edit::Link),
    /// Take a link away
    Unlink(edit::Unlink),
    /// Deny a key: nobody accepts it any more, neither in a certificate nor in one above it
    Deny(edit::Deny),
    /// Take the denial of a key back
    Allow(edit::Allow),
    /// Sign the file of the mesh as it is, after a change by hand or before its end
    SignMesh(edit::SignMesh),
    /// Issue a signer of the next generation, which retires the one before; opens the root's key
    Signer(edit::Signer),
    /// Show certificates with their ends, links and denials
    Show(show::Args),
}

/// The folder of a mesh.
#[derive(clap::Args)]
struct Place {
    /// Folder of the mesh
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The password of the root's key.
#[derive(clap::Args)]
struct RootKey {
    /// Password file of the root's key; by default passwords/root in DIR, or asked for at a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// The password of the signer's key.
#[derive(clap::Args)]
struct SignerKey {
    /// Password file of the signer's key; by default passwords/signer-N in DIR, or asked for at a terminal. Without one,
    /// the mesh stays unsigned until `sign-mesh`
    #[arg(long, value_name = "FILE")]
    signer_passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Command::Init(args) => init::run(args),
        Command::Add(args) => edit::add(args),
        Command::Remove(args) => edit::remove(args),
        Command::Link(args) => edit::link(args),
        Command::Unlink(args) => edit::unlink(args),
        Command::Deny(args) => edit::deny(args),
        Command::Allow(args) => edit::allow(args),
        Command::SignMesh(args) => edit::sign_mesh(args),
        Command::Signer(args) => edit::signer(args),
        Command::Show(args) => show::run(args),
    }
}

/// Reads `NAME=VALUE`.
fn named(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("found {text:?}, expected NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads `SERVICE=PORT`.
fn service(text: &str) -> Result<(String, u16), String> {
    let (name, port) = named(text)?;
    let port = port.parse().map_err(|_| format!("found port {port:?}, expected 1 to 65535"))?;
    Ok((name, port))
}

/// Reads `FROM:TO:SERVICE`.
fn pair(text: &str) -> Result<Pair, String> {
    Pair::parse(text)
}

/// Reads the hash of a key.
fn key(text: &str) -> Result<KeyHash, String> {
    KeyHash::parse(text).ok_or_else(|| "expected sha256: and 64 hexadecimal digits".to_owned())
}

/// Returns the path of an option as the passwords take it.
fn path(file: &Option<PathBuf>) -> Option<&Path> {
    file.as_deref()
}
