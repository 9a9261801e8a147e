//! Implements `edgetrust run`: all tunnels of a configuration file.

use std::path::PathBuf;

use super::{Outcome, service};
use crate::agent::Agents;
use crate::config_file::with_config_text;
use crate::gateway::{MeshKeeper, Watched};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file with `security.tls` and `gateway`; a whole SemStreams file is accepted
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    service: service::Options,
}

pub(crate) fn run(args: Args) -> Outcome {
    let keeper = MeshKeeper::default();
    service::run(&args.service, keeper.clone(), |watched: &mut Watched, agents: &mut Agents| {
        watched.note(&args.config);
        with_config_text(&args.config, |config, digest| {
            let loaded = service::Loaded::of(config, watched, agents, &keeper)?;
            Ok(loaded.from_file(&args.config, digest))
        })?
    })
}
