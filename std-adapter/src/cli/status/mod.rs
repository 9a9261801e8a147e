//! Implements `edgetrust status`: what a running gateway reports, on one screen.

mod ask;
mod duration;
mod screen;
mod sections;
mod table;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tokio::runtime::Builder;

use super::config_choice::ConfigChoice;
use super::{Failure, Outcome, arguments, output};
use crate::config_file::with_config;
use crate::gateway::Address;
use crate::ops::{Report, Severity};
use screen::Screen;

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Section {
    /// What needs somebody
    Alarms,
    /// Tunnels with their counters
    Tunnels,
    /// Open sessions, folded by peer
    Sessions,
    /// What expires, the nearest end first
    Certificates,
    /// Sites and gateways of the mesh
    Mesh,
    /// Devices that renew here
    Devices,
    /// The last refusals
    Refusals,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parts to show in full; by default all, each cut to what matters
    #[arg(value_name = "SECTION", value_enum)]
    sections: Vec<Section>,
    #[command(flatten)]
    config: ConfigChoice,
    /// Address of the gateway's pages, such as 127.0.0.1:9090; by default `gateway.admin.listen` of the configuration
    #[arg(long, value_name = "ADDR", conflicts_with = "config", value_parser = arguments::endpoint)]
    admin: Option<String>,
    /// Ask again and again, and show the traffic in between
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Time between two requests of --watch
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = arguments::duration, requires = "watch")]
    interval: Duration,
    /// Print the report as JSON, as `/status` has it
    #[arg(long)]
    json: bool,
}

/// The exit code while an alarm is an error.
const ERRORS: u8 = 1;

pub(crate) fn run(args: Args) -> Outcome {
    let address = args.address()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if args.watch {
        return args.watch(&address, &runtime);
    }
    let text = runtime.block_on(ask::status(&address))?;
    if args.json {
        output::write(format_args!("{text}"));
    }
    let report = parsed(&text)?;
    if !args.json {
        let screen = Screen::new(&args.sections, None);
        screen.show(&report, None).iter().for_each(|line| outln!("{line}"));
    }
    let failed = report.alarms.iter().any(|alarm| alarm.severity == Severity::Error);
    Ok(if failed { ExitCode::from(ERRORS) } else { ExitCode::SUCCESS })
}

/// Parses a report.
fn parsed(text: &str) -> Result<Report, Failure> {
    Ok(serde_json::from_str(text).map_err(|error| {
        format!("the report is none that edgetrust {} reads: {error}; --json prints it", env!("CARGO_PKG_VERSION"))
    })?)
}

impl Args {
    /// Returns the address of the pages.
    fn address(&self) -> Result<Address, Failure> {
        if let Some(admin) = &self.admin {
            return Ok(admin.parse()?);
        }
        let file = self.config.file()?;
        let listen = with_config(&file, |config| config.gateway.admin_listen)?;
        let listen = listen.ok_or_else(|| {
            format!("{}: gateway.admin.listen: found none, expected the address of the pages", file.display())
        })?;
        Ok(Address::Tcp(listen))
    }

    /// Shows reports until the terminal's user ends the program.
    fn watch(&self, address: &Address, runtime: &tokio::runtime::Runtime) -> Outcome {
        let terminal = std::io::stdout().is_terminal();
        let mut last: Option<Report> = None;
        loop {
            let asked = runtime.block_on(ask::status(address)).and_then(|text| parsed(&text));
            let screen = Screen::new(&self.sections, terminal.then(screen::size).flatten());
            let lines = match &asked {
                Ok(report) => screen.show(report, last.as_ref()),
                Err(error) => vec![format!("NO ANSWER: {error}"), String::new(), "asking again".to_owned()],
            };
            if terminal {
                // Clears the screen, and begins in its corner (ECMA-48 sections 8.3.39 and 8.3.21).
                output::write(format_args!("\u{1b}[2J\u{1b}[H"));
            }
            lines.iter().for_each(|line| outln!("{line}"));
            if !terminal {
                outln!();
            }
            output::flush();
            if output::has_failed() {
                return Ok(ExitCode::SUCCESS);
            }
            last = asked.ok().or(last);
            std::thread::sleep(self.interval);
        }
    }
}
