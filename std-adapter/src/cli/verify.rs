//! `edgetrust verify`: the core's verdict on a chain, with the reason.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use edgetrust::core::identity::{PeerPolicy, Rule, ServerName};
use edgetrust::core::path::{Budget, Limits, Place, Purpose, Trust};
use edgetrust::core::x509::Certificate;
use edgetrust::{clock, tls};
use pki_types::UnixTime;

use super::{Outcome, files, text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Trust anchors, PEM
    #[arg(long, value_name = "FILE", required = true)]
    ca: Vec<PathBuf>,
    /// The certificate to judge; further ones in the file count as sent with it
    #[arg(long, value_name = "FILE")]
    leaf: PathBuf,
    /// Intermediates, in any order
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// What the certificate is for
    #[arg(long, value_enum)]
    purpose: PurposeName,
    /// The server name or address that it must be for
    #[arg(long, value_name = "NAME", conflicts_with = "cn")]
    name: Option<String>,
    /// The common name that it must have
    #[arg(long, value_name = "NAME")]
    cn: Option<String>,
    /// The time to judge at, as 2026-01-02T03:04:05Z; by default now
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PurposeName {
    Server,
    Client,
}

pub(crate) fn run(args: Args) -> Outcome {
    let purpose = match args.purpose {
        PurposeName::Server => Purpose::ServerAuth,
        PurposeName::Client => Purpose::ClientAuth,
    };
    match (purpose, &args.name, &args.cn) {
        (Purpose::ServerAuth, _, Some(_)) => return Err("--cn goes with --purpose client".to_owned()),
        (Purpose::ClientAuth, Some(_), _) => return Err("--name goes with --purpose server".to_owned()),
        _ => {}
    }
    let now = match args.at {
        None => clock::now(),
        Some(at) => UnixTime::since_unix_epoch(Duration::from_secs(
            at.as_second().try_into().map_err(|_| "--at: expected a time after 1970".to_owned())?,
        )),
    };
    let ders = files::certificates(std::slice::from_ref(&args.leaf))?;
    let (anchors, extra) = (files::certificates(&args.ca)?, files::certificates(&args.intermediate)?);
    let parse = |der| Certificate::from_der(der).map_err(text);
    let anchors = anchors.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    let mut sent = ders.iter().chain(&extra).map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    let leaf = sent.remove(0);

    let provider = tls::provider();
    let trust = Trust {
        anchors: &anchors,
        known_intermediates: &[],
        algorithms: provider.signature_verification_algorithms.all,
    };
    let verified = trust.verify(&leaf, &sent, purpose, now, &mut Budget::new(Limits::SERVER));
    let path = match verified {
        Ok(path) => path,
        Err(error) => return Ok(refused(&error.to_string())),
    };
    println!("{}", leaf.subject());
    for place in path.issuers() {
        let (what, certificate) = match *place {
            Place::Anchor(index) => ("anchor", anchors.get(usize::from(index))),
            Place::Sent(index) => ("intermediate", sent.get(usize::from(index))),
            Place::Known(_) => ("intermediate", None),
        };
        if let Some(certificate) = certificate {
            println!("  {what} {}", certificate.subject());
        }
    }
    let address;
    let authorized = match (&args.name, &args.cn) {
        (Some(name), _) => {
            address = name.parse();
            match address {
                Ok(address) => ServerName::Ip(address),
                Err(_) => ServerName::Dns(name),
            }
            .authorize(path)
            .map(drop)
        }
        (_, Some(cn)) => PeerPolicy::OneOf(&[Rule::CommonName(cn)]).authorize(path).map(drop),
        _ => Ok(()),
    };
    match authorized {
        Ok(()) => {
            println!("accepted");
            Ok(ExitCode::SUCCESS)
        }
        Err(denied) => Ok(refused(&denied.to_string())),
    }
}

fn refused(reason: &str) -> ExitCode {
    println!("refused: {reason}");
    ExitCode::FAILURE
}
