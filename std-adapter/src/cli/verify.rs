//! Implements `edgetrust verify`: the core's verdict on a chain, with the reason.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use edgetrust_core::identity::{Denied, PeerPolicy, RuleName, ServerName};
use edgetrust_core::path::{Anchor, Budget, Limits, Place, Purpose, Trust, VerifiedPath};
use edgetrust_core::x509::Certificate;
use pki_types::UnixTime;
use serde::Serialize;

use super::{Outcome, files};
use crate::{clock, tls};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Trust anchors, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "pin")]
    ca: Vec<PathBuf>,
    /// Pinned certificates of peers, PEM, which may be CA certificates
    #[arg(long, value_name = "FILE")]
    pin: Vec<PathBuf>,
    /// Certificate to verify; further ones in the file are treated as sent with it
    #[arg(long, value_name = "FILE")]
    leaf: PathBuf,
    /// Intermediates, in any order
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// Purpose of the certificate
    #[arg(long, value_enum)]
    purpose: PurposeName,
    /// Server name or address that the certificate must have
    #[arg(long, value_name = "NAME", conflicts_with = "cn")]
    name: Option<String>,
    /// Common name that the certificate must have
    #[arg(long, value_name = "NAME")]
    cn: Option<String>,
    /// Time of the verification, such as 2026-01-02T03:04:05Z; by default now
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
        (Purpose::ServerAuth, _, Some(_)) => return Err("--cn goes with --purpose client".into()),
        (Purpose::ClientAuth, Some(_), _) => return Err("--name goes with --purpose server".into()),
        _ => {}
    }
    let now = match args.at {
        None => clock::now(),
        Some(at) => UnixTime::since_unix_epoch(Duration::from_secs(
            at.as_second().try_into().map_err(|_| "--at: expected a time after 1970")?,
        )),
    };
    let ders = files::certificates(std::slice::from_ref(&args.leaf))?;
    let (anchors, extra) = (files::certificates(&args.ca)?, files::certificates(&args.intermediate)?);
    let pinned = files::certificates(&args.pin)?;
    let pins = pinned.iter().map(|der| Certificate::from_der(der).map(Anchor::pin));
    let anchors = anchors.iter().map(|der| Certificate::from_der(der).map(Anchor::new));
    let anchors = pins.chain(anchors).collect::<Result<Vec<_>, _>>()?;
    let mut sent = ders.iter().chain(&extra).map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
    let leaf = sent.remove(0);

    let provider = tls::provider();
    let trust = Trust {
        anchors: &anchors,
        known_intermediates: &[],
        denied_keys: &[],
        algorithms: provider.signature_verification_algorithms.all,
    };
    let certificate_at = |place: Place| match place {
        Place::Anchor(index) => anchors.get(usize::from(index)).map(Anchor::certificate),
        Place::Sent(index) => sent.get(usize::from(index)),
        // No known intermediates are given.
        Place::Known(_) => None,
    };
    let mut verdict = Verdict { accepted: false, reason: None, path: vec![leaf.subject().to_string()] };
    let judged = match trust.verify(&leaf, &sent, purpose, now, &mut Budget::new(Limits::SERVER)) {
        Ok(path) => {
            let issuers = path.issuers().iter().filter_map(|place| certificate_at(*place));
            verdict.path.extend(issuers.map(|issuer| issuer.subject().to_string()));
            authorize(path, args.name.as_deref(), args.cn.as_deref()).map_err(|denied| match (denied, &args.name) {
                (Denied::WrongServerName, Some(name)) => tls::WrongServerName::new(name, &leaf).to_string(),
                (denied, _) => denied.to_string(),
            })
        }
        Err(error) => Err(error.to_string()),
    };
    verdict.accepted = judged.is_ok();
    verdict.reason = judged.err();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&verdict)?);
    } else {
        print(&verdict);
    }
    Ok(if verdict.accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Serialize)]
struct Verdict {
    accepted: bool,
    reason: Option<String>,
    /// The subjects from the leaf to the trust anchor; only the leaf if no path was found.
    path: Vec<String>,
}

fn print(verdict: &Verdict) {
    for (depth, subject) in verdict.path.iter().enumerate() {
        outln!("{:depth$}{subject}", "", depth = depth.saturating_mul(2));
    }
    match &verdict.reason {
        None => outln!("accepted"),
        Some(reason) => outln!("refused: {reason}"),
    }
}

fn authorize(path: VerifiedPath<'_>, name: Option<&str>, cn: Option<&str>) -> Result<(), Denied> {
    match (name, cn) {
        (Some(name), _) => match name.parse() {
            Ok(address) => ServerName::Ip(address),
            Err(_) => ServerName::Dns(name),
        }
        .authorize(path)
        .map(drop),
        (_, Some(cn)) => PeerPolicy::OneOf(&[RuleName::CommonName(cn).into()]).authorize(path).map(drop),
        _ => Ok(()),
    }
}
