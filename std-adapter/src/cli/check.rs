//! Implements `edgetrust check`: reports on a configuration, without the network unless told otherwise.

use std::path::Path;
use std::process::ExitCode;

use edgetrust_core::config::{
    Admin, AllowedClients, ClientTls, ClientTrust, Config, CredentialSource, GatewayLimits, Remote, Server, Tunnel,
    TunnelKind,
};
use edgetrust_core::path::Purpose;
use serde::Serialize;

use super::Outcome;
use super::check_effective::{self, Effective};
use super::check_files::Files;
use super::config_choice::ConfigChoice;
use super::descriptors;
use super::findings::{Finding, Findings, Known, Level};
use super::{check_acme, check_crls, check_devices, check_issuers, check_mesh, check_names, check_network};
use crate::audit;
use crate::clock;
use crate::config_file::{ConfigFileError, with_config};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigChoice,
    /// Report insecure_skip_verify as a warning, not as an error
    #[arg(long)]
    allow_insecure: bool,
    /// Also resolve targets and query ACME directories: check their answers, certificates and clocks
    #[arg(long)]
    online: bool,
    /// Also print the settings of each tunnel, and where each is written
    #[arg(long)]
    effective: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    config: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<Vec<Effective>>,
    findings: &'a [Finding],
    certificates: &'a [Known],
    errors: usize,
    warnings: usize,
}

pub(crate) fn run(args: Args) -> Outcome {
    let file = args.config.file()?;
    let (findings, effective) = with_config(&file, |config| {
        let effective = args.effective.then(|| check_effective::effective(config));
        (check(config, args.allow_insecure, args.online), effective)
    })?;
    let (errors, warnings) = (findings.count(Level::Error), findings.count(Level::Warning));
    if args.json {
        let config = file.display().to_string();
        let certificates = &findings.certificates;
        let report = Report { config, effective, findings: &findings.all, certificates, errors, warnings };
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        check_effective::print(effective.as_deref().unwrap_or_default());
        table(&findings.all);
        outln!("{errors} errors, {warnings} warnings");
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks a configuration without the network, as `edgetrust check` does.
///
/// # Errors
/// Fails if it cannot be read, or is refused.
pub(super) fn offline(file: &Path) -> Result<Findings, ConfigFileError> {
    with_config(file, |config| check(config, false, false))
}

/// Prints findings, each below its subject.
pub(super) fn table<'a>(findings: impl IntoIterator<Item = &'a Finding>) {
    let mut subject = "";
    for finding in findings {
        if finding.subject != subject {
            subject = &finding.subject;
            outln!("{subject}");
        }
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        outln!("  {level:<8} {}", finding.what);
    }
}

fn check(config: &Config<'_>, allow_insecure: bool, online: bool) -> Findings {
    let mut findings = Findings::default();
    let gateway = &config.gateway;
    findings.about("gateway");
    let mut files = Files::new(&gateway.known_intermediates, &config.denied_keys, online, &mut findings);
    if let Some(Admin { listen, tls, .. }) = &gateway.admin {
        let for_whom = if tls.is_some() { "those on their allow list" } else { "everybody who can reach it" };
        let level = if tls.is_some() || listen.is_local() { Level::Ok } else { Level::Warning };
        findings.add(level, format!("pages at {listen}, for {for_whom}"));
    }
    if let Some(short) = descriptors::short_for(gateway) {
        // Lowering a default limit does no harm.
        let asked = gateway.limits.connections != GatewayLimits::default().connections;
        findings.add(if asked { Level::Warning } else { Level::Ok }, short);
    }
    learn(config, &mut files);
    findings.about("gateway.mesh");
    let mesh = check_mesh::read(gateway, &mut files, &mut findings);
    // What `read` has opened can be opened again.
    let mesh = mesh.as_ref().and_then(|text| text.open().ok());
    if let Some(file) = gateway.audit_log {
        findings.about("gateway.audit_log");
        match audit::find_fault(Path::new(file)) {
            None => findings.add(Level::Ok, format!("{file}: can be written")),
            Some(fault) => findings.add(Level::Error, fault.to_string()),
        }
    }
    findings.about("gateway.crl_files");
    check_crls::check(gateway, &files, &mut findings);
    findings.about("security.tls.denied_keys");
    check_issuers::denials(&config.denied_keys, clock::now(), &mut findings);
    let allowed = &gateway.allowed_clients;
    let insecure = if allow_insecure { Level::Warning } else { Level::Error };
    findings.about("security.tls.server");
    server(&config.server, &[], allowed, &mut files, &mut findings);
    findings.about("security.tls.client");
    client(&config.client, insecure, &mut files, &mut findings);
    for tunnel in &gateway.tunnels {
        findings.about(format!("tunnel {}", tunnel.name.escape_debug()));
        plaintext(tunnel, &mut findings);
        check_network::tunnel(tunnel, &mut findings);
        check_mesh::tunnel(tunnel, mesh.as_ref(), &mut findings);
        match &tunnel.kind {
            // The mesh lets clients in, and `check_mesh` has said whom.
            TunnelKind::Server { tls: Server::MutualTls(tls, _), sni, .. } if tunnel.service.is_some() => {
                source(&tls.credential, Purpose::ServerAuth, sni, &mut files, &mut findings);
            }
            TunnelKind::Server { tls, sni, .. } => server(tls, sni, allowed, &mut files, &mut findings),
            TunnelKind::Client { tls, server_name, .. } => {
                client(tls, insecure, &mut files, &mut findings);
                if let Some(name) = server_name {
                    findings.add(Level::Ok, format!("servers must be {name}"));
                }
            }
        }
    }
    if let Some(est) = &gateway.est {
        findings.about("gateway.est");
        server(&Server::MutualTls(est.tls.clone(), est.clients.clone()), &[], allowed, &mut files, &mut findings);
        check_acme::devices(est, &files, &mut findings);
    }
    device(config, &mut findings);
    findings.about("devices");
    check_devices::check(config, &mut findings);
    if online {
        check_names::targets(config, &mut findings);
    }
    if gateway.tunnels.is_empty() {
        findings.about("gateway");
        findings.add(Level::Ok, "no tunnels: `edgetrust run` has nothing to do with this file");
    }
    findings
}

/// Reads every part's CAs and pins first, since a chain of one part may lead to another part's CA.
fn learn(config: &Config<'_>, files: &mut Files) {
    let servers = config.gateway.tunnels.iter().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Server { tls, .. } => Some(tls),
        TunnelKind::Client { .. } => None,
    });
    for server in servers.chain([&config.server]) {
        if let Server::MutualTls(_, trust) = server {
            files.learn(&trust.ca_files, &trust.pinned_certificates);
        }
    }
    if let Some(est) = &config.gateway.est {
        files.learn(&est.clients.ca_files, &est.clients.pinned_certificates);
    }
    let clients = config.gateway.tunnels.iter().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Server { .. } => None,
        TunnelKind::Client { tls, .. } => Some(tls),
    });
    for client in clients.chain([&config.client]) {
        files.learn(&client.ca_files, &client.pinned_certificates);
    }
}

fn device(config: &Config<'_>, findings: &mut Findings) {
    let Some(device) = &config.device else { return };
    findings.about("device");
    let Remote { host, port } = device.gateway;
    findings.add(Level::Ok, format!("speaks to {} at {host} port {port}", device.server_name));
    match &device.enroll {
        Some(enroll) => {
            let Remote { host, port } = enroll.server;
            let hours = device.renew_before_s / 3600;
            let name = enroll.server_name;
            findings.add(Level::Ok, format!("renews {hours} h before the end with {name} at {host} port {port}"));
        }
        None => findings.add(Level::Warning, "no enroll: its certificate is not renewed"),
    }
}

fn plaintext(tunnel: &Tunnel<'_>, findings: &mut Findings) {
    let others = tunnel.other_targets.iter().map(|other| other.endpoint);
    let targets = tunnel.target.into_iter().chain(others);
    let plain: Vec<_> = match &tunnel.kind {
        TunnelKind::Server { tls: Server::Plain, .. } => [tunnel.listen].into_iter().chain(targets).collect(),
        TunnelKind::Server { .. } => targets.collect(),
        TunnelKind::Client { .. } => vec![tunnel.listen],
    };
    for endpoint in plain.into_iter().filter(|endpoint| !endpoint.is_local()) {
        findings
            .add(Level::Warning, format!("{endpoint}: plaintext crosses the network, as allow_remote_plaintext says"));
    }
}

fn server(tls: &Server<'_>, sni: &[&str], allowed: &AllowedClients<'_>, files: &mut Files, findings: &mut Findings) {
    let (tls, trust) = match tls {
        Server::Plain => return findings.add(Level::Ok, "plaintext: TLS is not enabled"),
        Server::Tls(tls) => (tls, None),
        Server::MutualTls(tls, trust) => (tls, Some(trust)),
    };
    match trust {
        None => findings.add(Level::Ok, "TLS: no client is asked for a certificate"),
        Some(trust) => clients(trust, allowed, files, findings),
    }
    source(&tls.credential, Purpose::ServerAuth, sni, files, findings);
}

fn clients(trust: &ClientTrust<'_>, allowed: &AllowedClients<'_>, files: &mut Files, findings: &mut Findings) {
    let anchors = files.anchors(&trust.ca_files, &trust.pinned_certificates, Purpose::ClientAuth, findings);
    check_issuers::clients(trust, allowed, &anchors, &files.denied_keys, findings);
    if !trust.required {
        findings.add(Level::Warning, "require_client_cert is false: clients without a certificate are let in");
    }
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let lists = [
        ("common name", owned(&trust.allowed_cns)),
        ("DNS name", owned(&trust.allowed_dns)),
        ("URI", owned(&trust.allowed_uris)),
        ("IP address", trust.allowed_ips.iter().map(ToString::to_string).collect()),
    ];
    if trust.any_verified && trust.ca_files.is_empty() {
        findings.add(Level::Ok, "no allow list: every client whose certificate is pinned is let in");
    } else if trust.any_verified {
        findings.add(Level::Warning, "no allow list: every client with a certificate of these CAs is let in");
    } else if lists.iter().all(|(_, list)| list.is_empty()) && allowed.of(trust.allowed_clients).next().is_none() {
        findings.add(
            Level::Warning,
            "every allow list is empty: no client's certificate is let in, where SemStreams reads [] as everybody",
        );
    }
    for (kind, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        findings.add(Level::Ok, format!("clients with the {kind} {}", list.join(" or ")));
    }
}

fn client(tls: &ClientTls<'_>, insecure: Level, files: &mut Files, findings: &mut Findings) {
    if tls.insecure_skip_verify {
        findings.add(insecure, "insecure_skip_verify: whoever answers is believed, no server is verified");
    }
    let system = if tls.system_roots { files.system_roots() } else { 0 };
    let anchors = files.anchors(&tls.ca_files, &tls.pinned_certificates, Purpose::ServerAuth, findings);
    check_issuers::servers(&tls.server_issuers, &anchors, &files.denied_keys, findings);
    if tls.system_roots && !tls.insecure_skip_verify {
        let level = if system == 0 && tls.ca_files.is_empty() && tls.pinned_certificates.is_empty() {
            Level::Error
        } else {
            Level::Ok
        };
        findings.add(level, format!("{system} CAs of this system"));
    }
    if let Some(credential) = &tls.credential {
        source(credential, Purpose::ClientAuth, &[], files, findings);
    }
}

fn source(source: &CredentialSource<'_>, purpose: Purpose, names: &[&str], files: &mut Files, findings: &mut Findings) {
    match source {
        CredentialSource::Files(pair) => files.credential(pair, Level::Error, purpose, names, findings),
        CredentialSource::Acme(acme) => check_acme::check(acme, purpose, files, findings),
        CredentialSource::AcmeWithFallback(acme, pair) => {
            check_acme::check(acme, purpose, files, findings);
            findings.add(Level::Ok, "falls back to the files below when it must");
            // `run` starts with an expired fallback, but does not present it.
            files.credential(pair, Level::Warning, purpose, names, findings);
        }
    }
}
