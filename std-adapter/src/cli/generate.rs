//! Implements `edgetrust completions` and `edgetrust man` from the definition of the arguments.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man as Pages;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Outcome, manual, output};

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
    // Pages of `help` and its copies of the subcommands say nothing.
    let mut program = program.disable_help_subcommand(true);
    program.build();
    match args.out {
        Some(folder) => pages(&program, "", &folder).map_err(|error| format!("{}: {error}", folder.display()))?,
        None => {
            let mut whole = Vec::new();
            page(&Pages::new(program.clone()), &program, "", &mut whole)?;
            output::write(format_args!("{}", String::from_utf8(whole)?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands.
fn pages(program: &Command, command: &str, folder: &Path) -> io::Result<()> {
    for inner in program.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, &manual::below(command, inner.get_name()), folder)?;
    }
    let pages = Pages::new(program.clone());
    let mut text = Vec::new();
    page(&pages, program, command, &mut text)?;
    std::fs::write(folder.join(pages.get_filename()), text)
}

/// Writes one page, its sections in the order of man-pages(7).
fn page(pages: &Pages, program: &Command, command: &str, to: &mut dyn Write) -> io::Result<()> {
    let ours = manual::page(command);
    pages.render_title(to)?;
    pages.render_name_section(to)?;
    pages.render_synopsis_section(to)?;
    pages.render_description_section(to)?;
    pages.render_options_section(to)?;
    if program.get_subcommands().any(|inner| !inner.is_hide_set()) {
        pages.render_subcommands_section(to)?;
    }
    terms("SIGNALS", ours.signals.iter(), to)?;
    terms("EXIT STATUS", ours.exit.iter(), to)?;
    terms("FILES", ours.files.iter().copied().flatten(), to)?;
    let mut examples = Roff::new();
    if !ours.examples.is_empty() {
        examples.control("SH", ["EXAMPLES"]);
    }
    for (what, line) in ours.examples {
        if !what.is_empty() {
            examples.control("PP", []);
            examples.text([roman(format!("{what}:"))]);
        }
        examples.control("RS", ["4"]).control("nf", []).text([bold(*line)]).control("fi", []).control("RE", []);
    }
    examples.to_writer(to)?;
    if program.get_version().is_some() {
        pages.render_version_section(to)?;
    }
    Ok(())
}

/// Writes a section of terms, each with what it means, if there is any.
fn terms<'a>(
    title: &str,
    terms: impl Iterator<Item = &'a (&'static str, &'static str)>,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut roff = Roff::new();
    for (number, (term, meaning)) in terms.enumerate() {
        if number == 0 {
            roff.control("SH", [title]);
        }
        roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
    roff.to_writer(to)
}
