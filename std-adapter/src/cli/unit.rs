//! Implements `edgetrust unit`: units for systemd that fit a configuration.

use std::collections::BTreeSet;
use std::fs::create_dir_all;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use edgetrust_core::config::{Config, NatsStore, PathKind};
use serde_json::Value;
use tracing::warn;

use super::listening::{Addresses, Listening};
use super::{Failure, Outcome, output};
use crate::agent::credential_sources;
use crate::config_file::with_config;
use crate::gateway::Address;
use crate::token;
use crate::units::{GatewayUnit, LOGS, NOTIFY_RELOAD, STATE, StepCaUnit, key_in_unit};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print edgetrust.service, edgetrust.socket, and the drop-in for systemd 253 and later
    Gateway(Gateway),
    /// Print step-ca.service
    Ca(Ca),
}

#[derive(clap::Args)]
pub(crate) struct Gateway {
    /// Configuration file of the gateway
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Place of the configuration file on the machine of the unit, if it is another one
    #[arg(long, value_name = "FILE")]
    installed_as: Option<PathBuf>,
    /// Place of the program on the machine of the unit
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/edgetrust")]
    program: String,
    /// Let the program open its addresses itself: a restart refuses connections, and a reload may add low ports
    #[arg(long)]
    no_socket: bool,
    #[command(flatten)]
    out: Out,
}

#[derive(clap::Args)]
pub(crate) struct Ca {
    /// Configuration file of step-ca
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Place of the configuration file on the machine of the unit, if it is another one
    #[arg(long, value_name = "FILE")]
    installed_as: Option<PathBuf>,
    /// Place of step-ca on the machine of the unit
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/step-ca")]
    program: String,
    #[command(flatten)]
    out: Out,
}

#[derive(clap::Args)]
struct Out {
    /// Write the units into this folder
    #[arg(long = "out", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Gateway(args) => gateway(&args),
        Command::Ca(args) => ca(&args),
    }
}

impl Out {
    /// Prints the units, each below its file's name, or writes the files.
    fn units(&self, units: &[(&str, String)]) -> Outcome {
        for (index, (name, text)) in units.iter().enumerate() {
            match &self.folder {
                None => {
                    let between = if index == 0 { "" } else { "\n" };
                    output::write(format_args!("{between}# /etc/systemd/system/{name}\n{text}"));
                }
                Some(folder) => {
                    let file = folder.join(name);
                    let written =
                        create_dir_all(file.parent().unwrap_or(folder)).and_then(|()| std::fs::write(&file, text));
                    written.map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns an absolute name in UTF-8, as a unit has it.
fn absolute_name(file: &Path) -> Result<String, Failure> {
    let file = absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let name = file.into_os_string().into_string();
    let name = name.map_err(|name| format!("found {name:?}, expected a name in UTF-8"))?;
    if name.contains(char::is_control) {
        return Err(format!("found {name:?}, expected a name without control characters").into());
    }
    Ok(name)
}

fn gateway(args: &Gateway) -> Outcome {
    let config = absolute_name(args.installed_as.as_ref().unwrap_or(&args.config))?;
    let unit = with_config(&args.config, |found| gateway_unit(args, config, found))??;
    let mut units = vec![("edgetrust.service", unit.service())];
    units.extend(unit.socket().map(|socket| ("edgetrust.socket", socket)));
    units.push(("edgetrust.service.d/notify-reload.conf", NOTIFY_RELOAD.to_owned()));
    if args.out.folder.is_none() {
        let (_, drop_in) = units.pop().unwrap_or_default();
        units
            .push(("edgetrust.service.d/notify-reload.conf", format!("# For systemd 253 and later alone.\n{drop_in}")));
    }
    args.out.units(&units)
}

fn gateway_unit(args: &Gateway, config_name: String, config: &Config<'_>) -> Result<GatewayUnit, Failure> {
    let folder = Path::new(&config_name).parent().unwrap_or(Path::new("/")).to_owned();
    let mut unit = GatewayUnit { program: args.program.clone(), config: config_name, ..GatewayUnit::default() };
    unit.drain = config.gateway.limits.drain_timeout_ms.div_ceil(1000);
    keys(config, &folder, &mut unit)?;
    storage(config, &mut unit)?;
    logs(config, &mut unit)?;
    let addresses = Addresses::of(config).all;
    let (passed, own): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|listening| !args.no_socket && can_be_passed(listening));
    unit.low_ports = own.iter().any(|listening| port(&listening.address).is_some_and(|port| port != 0 && port < 1024));
    unit.only_v6 = passed.iter().any(|one| passed.iter().any(|other| is_twin(&one.address, &other.address)));
    unit.sockets = passed.iter().map(|listening| stream(&listening.address)).collect();
    Ok(unit)
}

/// Returns whether systemd can open the address: it looks up no names, and gives no free ports.
fn can_be_passed(listening: &Listening) -> bool {
    match &listening.address {
        Address::Tcp(address) => address.port() != 0,
        Address::Host(..) => {
            warn!(
                "{}: systemd opens no address of a host name: the program opens {} itself",
                listening.place, listening.address
            );
            false
        }
        Address::Unix(path) => path.is_absolute(),
    }
}

fn port(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Host(_, port) => Some(*port),
        Address::Unix(_) => None,
    }
}

/// Returns whether one takes the IPv6 connections of a port, and the other one the IPv4 connections.
fn is_twin(one: &Address, other: &Address) -> bool {
    let unspecified = |address: &Address, v6: bool| match address {
        Address::Tcp(address) if address.ip().is_unspecified() && address.is_ipv6() == v6 => Some(address.port()),
        _ => None,
    };
    unspecified(one, true).is_some_and(|port| unspecified(other, false) == Some(port))
}

/// Returns an address as `ListenStream` has it (`systemd.socket(5)`): a port alone would be one of IPv6.
fn stream(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Host(host, port) => format!("{host}:{port}"),
        Address::Unix(path) => path.display().to_string(),
    }
}

/// Adds the keys that systemd shows to the service, and warns of those that it may not be able to read.
fn keys(config: &Config<'_>, folder: &Path, unit: &mut GatewayUnit) -> Result<(), Failure> {
    // Of a key in a token, the file with the PIN is read in the place of a key file.
    let named = |key: &str| token::watched_file(key).map(|file| file.display().to_string());
    let mut files = BTreeSet::new();
    let mut stores: Vec<&NatsStore<'_>> = config.gateway.mesh.iter().filter_map(|mesh| mesh.storage.as_ref()).collect();
    for (source, _) in credential_sources(config) {
        use edgetrust_core::config::CredentialSource::{Acme, AcmeWithFallback, Files};
        match source {
            Files(files_of) => files.extend(named(files_of.key_file)),
            AcmeWithFallback(acme, files_of) => {
                files.extend(named(files_of.key_file).into_iter().chain(acme.key.and_then(named)));
                stores.extend(&acme.storage);
            }
            Acme(acme) => {
                files.extend(acme.key.and_then(named));
                stores.extend(&acme.storage);
            }
        }
    }
    for store in stores {
        let secrets = store.credentials_file.iter().chain(&store.sealing_key_files).copied();
        files.extend(secrets.filter(|file| key_in_unit(file).is_some()).map(str::to_owned));
        files.extend(store.key_file.and_then(named));
    }
    for file in &files {
        match key_in_unit(file) {
            Some(name) if name.contains([':', ',']) || name.contains(char::is_whitespace) => {
                return Err(
                    format!("key_file: found {file:?}, expected a name without spaces, colons and commas").into()
                );
            }
            Some(name) => unit.keys.push((name.to_owned(), absolute_name(&folder.join(name))?)),
            None => {
                let name = Path::new(file).file_name().unwrap_or_default().display();
                warn!(
                    "key_file: the user edgetrust has to be able to read {file}; as \
                     /run/credentials/edgetrust.service/{name} it can stay root's"
                );
            }
        }
    }
    Ok(())
}

/// Adds the folders that the service writes to beside its own, and warns of names that the unit hides.
fn storage(config: &Config<'_>, unit: &mut GatewayUnit) -> Result<(), Failure> {
    let mut config = config.clone();
    let mut hidden = Vec::new();
    config.for_each_path(&mut |kind, name| {
        let of_unit = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
        if kind == PathKind::File && of_unit.iter().any(|folder| Path::new(name).starts_with(folder)) {
            hidden.push((*name).to_owned());
        }
    });
    for name in hidden {
        warn!("{name}: the unit hides this folder from the service (ProtectHome, PrivateTmp)");
    }
    let mut folders = BTreeSet::new();
    for (source, _) in credential_sources(&config) {
        use edgetrust_core::config::CredentialSource::{Acme, AcmeWithFallback, Files};
        match source {
            Acme(acme) | AcmeWithFallback(acme, _) => drop(folders.insert(acme.storage_path)),
            Files(_) => {}
        }
    }
    folders.extend(config.gateway.est.as_ref().map(|est| est.acme.storage_path));
    folders
        .extend(config.gateway.mesh.iter().filter_map(|mesh| mesh.signed.as_ref()).map(|signed| signed.storage_path));
    for folder in folders.into_iter().filter(|folder| !Path::new(folder).starts_with(STATE)) {
        warn!("storage_path: found {folder}, expected a folder below {STATE}: this one the user edgetrust has to own");
        unit.writable.push(absolute_name(Path::new(folder))?);
    }
    Ok(())
}

/// Adds the folder of the audit log.
fn logs(config: &Config<'_>, unit: &mut GatewayUnit) -> Result<(), Failure> {
    let Some(file) = config.gateway.audit_log.map(Path::new) else { return Ok(()) };
    let folder = file.parent().unwrap_or(Path::new("/"));
    if folder == Path::new(LOGS) {
        unit.logs = true;
    } else if !folder.starts_with(STATE) {
        let folder = absolute_name(folder)?;
        warn!("audit_log: found {folder}, expected the folder {LOGS}: this one the user edgetrust has to own");
        if !unit.writable.contains(&folder) {
            unit.writable.push(folder);
        }
    }
    Ok(())
}

fn ca(args: &Ca) -> Outcome {
    let shown = args.config.display();
    let text = std::fs::read(&args.config).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    let found: Value = serde_json::from_slice(&text).map_err(|error| format!("{shown}: {error}"))?;
    let config = absolute_name(args.installed_as.as_ref().unwrap_or(&args.config))?;
    let (folder, name) = config.rsplit_once('/').unwrap_or(("", &config));
    let at = |pointer: &str| found.pointer(pointer).and_then(Value::as_str);
    let address = at("/address").ok_or_else(|| format!("{shown}: address: found none, expected one as \":9000\""))?;
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| format!("{shown}: address: found {address:?}, expected one as \":9000\""))?;
    let database =
        at("/db/dataSource").ok_or_else(|| format!("{shown}: db.dataSource: found none, expected a folder"))?;
    let database = absolute_name(&Path::new(folder).join(database))?;
    if [folder, name, &database, &args.program]
        .iter()
        .any(|text| text.contains(|c: char| c.is_whitespace() || "%$\"'\\;".contains(c)))
    {
        return Err(format!("{shown}: found spaces or special characters in a name, expected names without").into());
    }
    let unit = StepCaUnit { program: &args.program, folder, config: name, database: &database, low_ports: port < 1024 };
    args.out.units(&[("step-ca.service", unit.service())])
}
