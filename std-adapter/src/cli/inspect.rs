//! Implements `edgetrust inspect`: certificates in readable form, of files or as a server shows them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edgetrust_core::config::Endpoint;
use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;
use tracing::info;

use super::inspect_certificate::{print, shown};
use super::{Failure, Outcome, inspect_server};
use crate::pem;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Certificate files, PEM or DER; or one server, which is not verified. A file of that name comes first
    #[arg(value_name = "FILE|HOST:PORT", required = true)]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    server: inspect_server::Options,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Returns the address of a server, if no file has that name.
fn server(source: &Path) -> Option<&str> {
    let text = source.to_str()?;
    let is_server = matches!(Endpoint::parse(text), Some(Endpoint::Tcp(_) | Endpoint::Host(..)));
    if is_server && source.symlink_metadata().is_ok() {
        info!(file = text, "a file of this name is there: it is shown, and no server is asked");
        return None;
    }
    is_server.then_some(text)
}

pub(crate) fn run(args: Args) -> Outcome {
    let servers: Vec<_> = args.sources.iter().filter_map(|source| server(source)).collect();
    match (servers.as_slice(), args.sources.len()) {
        ([], _) => args.server.only_for_servers()?,
        ([server], 1) => return inspect_server::run(server, args.server, args.json),
        ([server, ..], _) => {
            return Err(format!("{server}: no file of this name is there; a server is inspected alone").into());
        }
    }
    let mut all = Vec::new();
    for file in &args.sources {
        for (number, der) in (1..).zip(read(file)?) {
            let certificate = Certificate::from_der(&der)?;
            all.push(shown(&file.display().to_string(), number, &der, &certificate));
        }
    }
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        all.iter().for_each(print);
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads PEM, or one certificate in DER.
fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let error = match pem::read_certificates(file) {
        Ok(certificates) => return Ok(certificates),
        Err(error) => error,
    };
    match &error.kind {
        pem::PemErrorKind::NoCertificate(None) => {}
        pem::PemErrorKind::Malformed(fault) if fault.kind == pem::PemFaultKind::Der => {}
        _ => return Err(error.into()),
    }
    let der = CertificateDer::from(std::fs::read(file)?);
    match Certificate::from_der(&der) {
        Ok(_) => Ok(vec![der]),
        Err(error) => {
            Err(format!("{}: found neither PEM with BEGIN CERTIFICATE nor DER: {error}", file.display()).into())
        }
    }
}
