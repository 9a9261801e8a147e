//! Implements `edgetrust status`: what a running gateway reports, on one screen.

mod ask;
mod duration;
mod screen;
mod section;
mod sections;
mod sharing;
mod table;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use pki_types::ServerName;
use tokio::runtime::Builder;

use super::config_choice::ConfigChoice;
use super::{Failure, Outcome, arguments, output};
use crate::config_file::with_config;
use crate::gateway::Address;
use crate::ops::{Report, Severity};
use crate::pem;
use crate::tls::{ClientSettings, Credential, MinVersion, ServerTrust, TlsClient, TrustStore, server_name};
use ask::Pages;
use screen::Screen;
use section::Section;

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
    /// Certificate to show, where the pages ask for one
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "Mutual TLS")]
    cert: Option<PathBuf>,
    /// Key of --cert
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "Mutual TLS")]
    key: Option<PathBuf>,
    /// CA certificates that verify the gateway
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "Mutual TLS")]
    cacert: Vec<PathBuf>,
    /// Name that the gateway's certificate must have; by default the host of --admin
    #[arg(long, value_name = "NAME", requires = "cert", help_heading = "Mutual TLS")]
    server_name: Option<String>,
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
    let there = args.gateway()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if args.watch {
        return args.watch(&there, &runtime);
    }
    let text = runtime.block_on(ask::status(&there))?;
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
    /// Returns where the pages are, and how to be admitted there.
    fn gateway(&self) -> Result<Pages, Failure> {
        let (address, asks) = match &self.admin {
            Some(admin) => (admin.parse()?, self.cert.is_some()),
            None => {
                let file = self.config.file()?;
                let admin = with_config(&file, |config| {
                    let admin = config.gateway.admin.as_ref();
                    admin.map(|admin| (Address::from(admin.listen), admin.tls.is_some()))
                })
                .map_err(|error| format!("{error}; --admin ADDRESS asks the running gateway without this file"))?;
                admin.ok_or_else(|| {
                    let file = file.display();
                    format!(
                        "{file}: gateway.admin.listen: found none, expected the address of the pages, such as \
                         \"admin\": {{\"listen\": \"127.0.0.1:9090\"}} in \"gateway\""
                    )
                })?
            }
        };
        let tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) if asks => Some(self.tls(&address, cert, key)?),
            _ if asks => {
                let reason = "the pages ask for a certificate: expected --cert and --key of one that gateway.admin.tls \
                              admits, --cacert, and --server-name if the address is not in the gateway's certificate";
                return Err(reason.into());
            }
            _ => None,
        };
        Ok(Pages { address, tls })
    }

    fn tls(&self, address: &Address, cert: &Path, key: &Path) -> Result<(TlsClient, ServerName<'static>), Failure> {
        let mut anchors = Vec::new();
        for file in &self.cacert {
            anchors.extend(pem::read_certificates(file)?);
        }
        if anchors.is_empty() {
            return Err("--cacert: found none, expected the CA that the gateway's certificate comes from".into());
        }
        let name = match (&self.server_name, address) {
            (Some(name), _) | (None, Address::Host(name, _)) => name.clone(),
            (None, Address::Tcp(address)) => address.ip().to_string(),
            (None, Address::Unix(_)) => return Err("--cert: found a Unix socket, expected an address with TLS".into()),
        };
        let trust = TrustStore::new(anchors)?;
        let settings = ClientSettings {
            trust: ServerTrust::Verified(trust),
            credential: Some(Credential::load(cert, key)?),
            min_version: MinVersion::default(),
            alpn: vec![b"http/1.1".to_vec()],
        };
        Ok((TlsClient::new(settings)?, server_name(&name)?))
    }

    /// Shows reports until the terminal's user ends the program.
    fn watch(&self, there: &Pages, runtime: &tokio::runtime::Runtime) -> Outcome {
        let terminal = std::io::stdout().is_terminal();
        let mut last: Option<Report> = None;
        loop {
            let asked = runtime.block_on(ask::status(there)).and_then(|text| parsed(&text));
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
