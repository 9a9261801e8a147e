//! Implements `edgetrust run`: all tunnels of a configuration file.

use std::path::Path;

use super::config_choice::ConfigChoice;
use super::{Failure, Outcome, confine, log, service};
use crate::agent::Agents;
use crate::config_file::{with_config, with_config_text};
use crate::gateway::{MeshKeeper, Watched};
use crate::sandbox::{self, Needs};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigChoice,
    #[command(flatten)]
    service: service::Options,
}

pub(crate) fn run(args: Args, format: log::Format) -> Outcome {
    let keeper = MeshKeeper::default();
    let file = args.config.find()?;
    let load = |watched: &mut Watched, agents: &mut Agents| {
        watched.note(&file);
        sandbox::allows(&Needs::one_file(&file))?;
        with_config_text(&file, |config, digest| {
            let allowed = sandbox::allows(&Needs::of(config));
            let loaded = service::Loaded::of(config, allowed, watched, agents, &keeper)?;
            Ok(loaded.with_file(&file, digest))
        })?
    };
    service::run(&args.service, format, keeper.clone(), || args.config.tell(&file), || needs(&file, format), load)
}

/// Reads what the configuration needs, and all its files on trial: a configuration that is refused leaves nothing
/// behind, not the folders that the sandbox makes either.
fn needs(file: &Path, format: log::Format) -> Result<Needs, Failure> {
    if file.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let reason = "found no regular file, expected one that can be read again (--no-sandbox reads it once)";
        return Err(format!("{}: {reason}", file.display()).into());
    }
    with_config(file, |config| {
        let needs = Needs::of(config).and(Needs::one_file(file));
        confine::start_outside(&needs, format)?;
        let (mut watched, mut agents) = (Watched::default(), Agents::default());
        service::Loaded::of(config, Ok(()), &mut watched, &mut agents, &MeshKeeper::viewer())?;
        Ok(needs)
    })?
}
