//! Implements `edgetrust federation`: a mesh of sites, from the first root to the last denial.

mod ceremony;
mod check;
mod edit;
mod gather;
mod init;
mod matrix;
mod options;
mod prompt;
mod renew;
mod rollover;
mod show;
mod steps;

use super::Outcome;

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
    /// At a site: make the key of its CA, and a request for the root; the key stays there
    Request(ceremony::Request),
    /// On the root's machine: add the site of a request; opens the root's key
    Sign(edit::Sign),
    /// At the site: put the certificate that came back beside its key
    Install(ceremony::Install),
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
    /// Give the CA of a site a new key, step by step; nobody is cut off
    Renew(renew::Args),
    /// Give the mesh a new root, step by step; nobody is cut off
    Rollover(rollover::Args),
    /// Show certificates with their ends, links and denials
    Show(show::Args),
    /// Judge who reaches whom and until when, by what the gateways would do: offline, and without any key
    Check(check::Args),
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Command::Init(args) => init::run(args),
        Command::Add(args) => edit::add(args),
        Command::Request(args) => ceremony::request(args),
        Command::Sign(args) => edit::sign(args),
        Command::Install(args) => ceremony::install(args),
        Command::Remove(args) => edit::remove(args),
        Command::Link(args) => edit::link(args),
        Command::Unlink(args) => edit::unlink(args),
        Command::Deny(args) => edit::deny(args),
        Command::Allow(args) => edit::allow(args),
        Command::SignMesh(args) => edit::sign_mesh(args),
        Command::Signer(args) => edit::signer(args),
        Command::Renew(args) => renew::run(args),
        Command::Rollover(args) => rollover::run(args),
        Command::Show(args) => show::run(args),
        Command::Check(args) => check::run(args),
    }
}
