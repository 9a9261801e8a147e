//! Implements `edgetrust run`: all tunnels of a configuration file.

use super::config_choice::ConfigChoice;
use super::{Outcome, service};
use crate::agent::Agents;
use crate::config_file::with_config_text;
use crate::gateway::{MeshKeeper, Watched};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigChoice,
    #[command(flatten)]
    service: service::Options,
}

pub(crate) fn run(args: Args) -> Outcome {
    let keeper = MeshKeeper::default();
    let file = args.config.file()?;
    service::run(&args.service, keeper.clone(), |watched: &mut Watched, agents: &mut Agents| {
        watched.note(&file);
        with_config_text(&file, |config, digest| {
            let loaded = service::Loaded::of(config, watched, agents, &keeper)?;
            Ok(loaded.with_file(&file, digest))
        })?
    })
}
