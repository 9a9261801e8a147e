//! Implements `edgetrust run`: all tunnels of a configuration file.

use std::path::{Path, PathBuf};

use super::{Failure, Outcome, log, service};
use crate::agent::Agents;
use crate::config_file::with_config;
use crate::gateway::{MeshKeeper, Watched};
use crate::sandbox::{self, Needs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file with `security.tls` and `gateway`; a whole SemStreams file is accepted
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    service: service::Options,
}

pub(crate) fn run(args: Args, format: log::Format) -> Outcome {
    let keeper = MeshKeeper::default();
    let load = |watched: &mut Watched, agents: &mut Agents| {
        watched.note(&args.config);
        sandbox::allows(&Needs::one_file(&args.config))?;
        with_config(&args.config, |config| {
            let allowed = sandbox::allows(&Needs::of(config));
            service::Loaded::of(config, allowed, watched, agents, &keeper)
        })?
    };
    service::run(&args.service, format, keeper.clone(), || needs(&args.config), load)
}

/// Reads what the configuration needs, and all its files on trial: a configuration that is refused leaves nothing
/// behind, not the folders that the sandbox makes either.
fn needs(file: &Path) -> Result<Needs, Failure> {
    if file.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let reason = "found no regular file, expected one that can be read again (--no-sandbox reads it once)";
        return Err(format!("{}: {reason}", file.display()).into());
    }
    with_config(file, |config| {
        let (mut watched, mut agents) = (Watched::default(), Agents::default());
        service::Loaded::of(config, Ok(()), &mut watched, &mut agents, &MeshKeeper::viewer())?;
        Ok(Needs::of(config).and(Needs::one_file(file)))
    })?
}
