//! Implements `edgetrust completions` and `edgetrust man` from the definition of the arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::{Outcome, output};

#[derive(clap::Args)]
pub(crate) struct Completions {
    /// Shell for which to print completions
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct Man {
    /// Write the pages of all subcommands into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(args: Completions, mut program: Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "edgetrust", &mut script);
    output::write(format_args!("{}", String::from_utf8(script)?));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: Man, program: Command) -> Outcome {
    match args.out {
        Some(folder) => {
            clap_mangen::generate_to(program, &folder).map_err(|error| format!("{}: {error}", folder.display()))?
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(program).render(&mut page)?;
            output::write(format_args!("{}", String::from_utf8(page)?));
        }
    }
    Ok(ExitCode::SUCCESS)
}
