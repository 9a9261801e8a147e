//! Implements `edgetrust devices`: vouchers, by which devices without a certificate get their first one.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use edgetrust_core::time::Utc;
use serde_json::json;
use tracing::info;

use super::arguments::duration;
use super::config_choice::ConfigChoice;
use super::{Failure, Outcome};
use crate::audit;
use crate::clock;
use crate::config_file::with_config;
use crate::est::{FirstNames, KeptHash, Secret, VoucherFile, VoucherState};
use crate::gateway::Watched;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make the voucher of a device, and print it: NAME:PASSWORD, shown only now
    Invite {
        #[command(flatten)]
        config: ConfigChoice,
        /// The device's DNS name, as its certificate will have it
        name: String,
        /// Time until the voucher ends, from 1m to 720h
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = validity)]
        valid_for: Duration,
    },
    /// Show all vouchers: of which device, in which state, until when
    List {
        #[command(flatten)]
        config: ConfigChoice,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke the voucher of a device. Exit code 1: there is none
    Revoke {
        #[command(flatten)]
        config: ConfigChoice,
        /// The device's DNS name
        name: String,
    },
}

/// The bounds of a voucher's time.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

fn validity(text: &str) -> Result<Duration, &'static str> {
    let time = duration(text)?;
    if (SHORTEST..=LONGEST).contains(&time) { Ok(time) } else { Err("expected a duration from 1m to 720h") }
}

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Command::Invite { config, name, valid_for } => invite(&config, &name, valid_for),
        Command::List { config, json } => list(&config, json),
        Command::Revoke { config, name } => revoke(&config, &name),
    }
}

/// The vouchers of a configuration, and the names that they may be for.
struct Vouchers {
    file: VoucherFile,
    folder: PathBuf,
    names: FirstNames,
    /// The gateway's audit log, which has who was invited too.
    audit_log: Option<PathBuf>,
}

impl Vouchers {
    fn of(choice: &ConfigChoice) -> Result<Self, Failure> {
        let file = choice.file()?;
        with_config(&file, |config| {
            let gateway = &config.gateway;
            let Some(est) = gateway.est.as_ref().filter(|est| est.first_enrollment.is_some()) else {
                let none = "gateway.est.first_enrollment: found nothing, expected the address where vouchers are used";
                return Err(format!("{}: {none}", file.display()).into());
            };
            let folder = Path::new(est.acme.storage_path);
            let names = FirstNames::read(gateway, est, &mut Watched::default())?;
            let audit_log = gateway.audit_log.map(PathBuf::from);
            Ok(Self { file: VoucherFile::new(folder), folder: folder.to_owned(), names, audit_log })
        })?
    }

    /// Refuses whoever is not the gateway's user, before anything is written: another's files the gateway cannot use.
    fn are_ours(&self) -> Result<(), Failure> {
        let path = self.folder.display();
        let folder = match std::fs::metadata(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(format!("{path}: found no folder, which the gateway makes at its start").into());
            }
            found => found.map_err(|error| format!("{path}: {error}"))?,
        };
        let own = rustix::process::geteuid().as_raw();
        if folder.uid() == own {
            return Ok(());
        }
        Err(format!("{path}: found user {own}; run this as the gateway's user, the owner of the folder").into())
    }
}

fn invite(config: &ConfigChoice, name: &str, valid_for: Duration) -> Outcome {
    let vouchers = Vouchers::of(config)?;
    let name = vouchers.names.give(name).map_err(|reason| reason.to_string())?;
    vouchers.are_ours()?;
    // Without its audit log there is no voucher.
    let audit = audit::open(vouchers.audit_log.as_deref()).map_err(|error| error.to_string())?;
    let secret = Secret::generate()?;
    let hash = KeptHash::of_password(secret.text().as_bytes());
    let invited = vouchers.file.change(|all| {
        let invited = all.invite(&name, hash, clock::now(), valid_for);
        (invited, invited.is_ok())
    });
    let expires = invited?.map_err(|error| format!("{name}: {error}"))?;
    if let Some(file) = audit {
        let fields = json!({"voucher": name, "expires": Utc(expires).to_string()});
        audit::record_once(file, "voucher_made", &fields).map_err(|error| {
            format!("gateway.audit_log: {error}; nobody is shown the voucher for {name}: revoke it, and make another")
        })?;
    }
    outln!("{name}:{}", secret.text());
    info!(device = %name, expires = %Utc(expires), "voucher made; its password is not shown again");
    Ok(ExitCode::SUCCESS)
}

fn list(config: &ConfigChoice, json: bool) -> Outcome {
    let vouchers = Vouchers::of(config)?;
    let all = match vouchers.file.read() {
        Ok(all) => all,
        Err(error) => {
            vouchers.are_ours()?;
            return Err(error.into());
        }
    };
    let now = clock::now();
    if json {
        let shown: Vec<_> = (all.all().iter())
            .map(|voucher| {
                json!({
                    "name": voucher.name(),
                    "state": voucher.state(now).name(),
                    "made": Utc(voucher.made()).to_string(),
                    "expires": Utc(voucher.expires()).to_string(),
                    "issued": voucher.issued().map(|at| Utc(at).to_string()),
                })
            })
            .collect();
        outln!("{:#}", json!({ "vouchers": shown }));
        return Ok(ExitCode::SUCCESS);
    }
    for voucher in all.all() {
        let issued = voucher.issued().map(|at| format!(", certificate issued {}", Utc(at))).unwrap_or_default();
        let (state, expires) = (voucher.state(now).name(), Utc(voucher.expires()));
        outln!("{}: {state}, until {expires}{issued}", voucher.name());
    }
    if all.all().is_empty() {
        outln!("there is no voucher");
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(config: &ConfigChoice, name: &str) -> Outcome {
    let vouchers = Vouchers::of(config)?;
    let name = edgetrust_core::identity::without_root(name).to_ascii_lowercase();
    vouchers.are_ours()?;
    let revoked = vouchers.file.change(|all| {
        let before = all.revoke(&name, clock::now());
        (before, before.is_some())
    });
    let revoked = revoked?;
    let said = match revoked {
        None => {
            outln!("{name}: there is no voucher");
            return Ok(ExitCode::FAILURE);
        }
        Some(VoucherState::Open) => "revoked",
        Some(VoucherState::Claimed) => "revoked; a certificate that is being ordered is given to nobody",
        Some(VoucherState::Used) => {
            "was used: the certificate stays, and is not given again; deny its key to shut it out"
        }
        Some(VoucherState::Expired) => "had expired",
        Some(VoucherState::Revoked) => "was revoked before",
    };
    outln!("{name}: {said}");
    // Revoked it is in any case; a fault of the audit log is told.
    if let (Some(state), Some(file)) = (revoked, audit::open(vouchers.audit_log.as_deref())?) {
        let fields = json!({"voucher": name, "before": state.name()});
        audit::record_once(file, "voucher_revoked", &fields).map_err(|error| format!("gateway.audit_log: {error}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
