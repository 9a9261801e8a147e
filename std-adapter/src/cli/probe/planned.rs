//! Reads what one client tunnel needs, as a gateway does that starts, and says where the tunnel leads.

use std::path::Path;
use std::sync::Arc;

use edgetrust_core::config::{Config, CredentialSource, Tunnel as ConfigTunnel, TunnelKind as ConfigKind};
use edgetrust_core::time::Utc;
use pki_types::{CertificateDer, ServerName};

use super::certificate::{Described, validity};
use super::report::{Level, Part, Report};
use super::stored::Stored;
use crate::cli::Failure;
use crate::clock;
use crate::egress::Egress;
use crate::gateway::{Address, MeshKeeper, MeshRemark, MeshText, Plan, SharedTrust, Tunnel, TunnelKind, Watched};
use crate::tls::{ClientSettings, ServerTrust};

/// A client tunnel that can be tried.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) target: Address,
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: ClientSettings,
    /// The proxy that leads to the target.
    pub(super) via: Option<Arc<Egress>>,
    /// The CAs that may have issued the server's certificate, in words.
    pub(super) issuers: String,
    /// Nobody is verified.
    pub(super) insecure: bool,
}

/// Plans one tunnel; none if the mesh lets it lead nowhere, which the report then says.
///
/// # Errors
/// Returns what the configuration or a file of it lacks.
pub(super) fn plan(
    config: &Config<'_>,
    file: &Path,
    name: &str,
    runtime: &tokio::runtime::Runtime,
    report: &mut Report,
) -> Result<Option<Planned>, Failure> {
    let tunnel = named(config, file, name)?;
    let mut watched = Watched::default();
    let shared = SharedTrust::read(&config.gateway, &config.denied_keys, &mut watched, &MeshKeeper::viewer())?;
    if !leads(tunnel, shared.mesh(), report)? {
        return Ok(None);
    }
    // The files of other tunnels do not matter.
    let mut gateway = Box::new(config.gateway.clone());
    gateway.tunnels.retain(|one| one.name == name);
    let mut stored = Stored::new(runtime);
    let plan = Plan::new(&gateway, &shared, &mut watched, &mut stored)?;
    let Some(Tunnel { target, kind: TunnelKind::Client { tls, server_name, others, via }, .. }) =
        plan.tunnels.into_iter().next()
    else {
        return Err(format!("{}: tunnel {name:?} cannot be planned", file.display()).into());
    };
    report.target = Some(target.to_string());
    let by = tunnel.service.map_or_else(String::new, |service| {
        let site = service.to.unwrap_or_default();
        format!("; by the mesh: the gateway of site {site} for {}", service.name)
    });
    report.add(Part::Target, Level::Ok, format!("{target}, whose name must be {}{by}", server_name.to_str()));
    for (other, name) in &others {
        let text =
            format!("{other}, whose name must be {}, is the next one to be tried, and is not probed", name.to_str());
        report.add(Part::Target, Level::Ok, text);
    }
    own(tunnel, &tls, &shared, stored, report);
    let insecure = matches!(tls.trust, ServerTrust::DangerNobodyIsVerified);
    let issuers = match (&tunnel.kind, tunnel.service.and_then(|service| service.to)) {
        (_, Some(site)) => format!("a CA of site {site}, as the mesh says"),
        (ConfigKind::Client { tls, .. }, None) if !tls.server_issuers.is_empty() => {
            "a CA that server_issuers names".to_owned()
        }
        _ => "any trusted CA: no server_issuers".to_owned(),
    };
    Ok(Some(Planned { target, server_name, tls, via, issuers, insecure }))
}

/// Returns the client tunnel of this name.
fn named<'c, 'a>(config: &'c Config<'a>, file: &Path, name: &str) -> Result<&'c ConfigTunnel<'a>, Failure> {
    let tunnels = &config.gateway.tunnels;
    let file = file.display();
    match tunnels.iter().find(|tunnel| tunnel.name == name) {
        Some(tunnel) if matches!(tunnel.kind, ConfigKind::Client { .. }) => Ok(tunnel),
        Some(_) => Err(format!(
            "{file}: gateway.tunnels: found the server tunnel {name:?}, expected a client tunnel; \
             `edgetrust check --config {file}` judges server tunnels, and a probe at its clients tries them"
        )
        .into()),
        None => {
            let clients = tunnels.iter().filter(|tunnel| matches!(tunnel.kind, ConfigKind::Client { .. }));
            let known: Vec<_> = clients.map(|tunnel| format!("{:?}", tunnel.name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!(
                "{file}: gateway.tunnels: found no tunnel {name:?}, expected one of the client tunnels: {known}"
            )
            .into())
        }
    }
}

/// Returns whether the mesh lets a tunnel lead anywhere; a tunnel without a service needs no mesh.
fn leads(tunnel: &ConfigTunnel<'_>, mesh: Option<&MeshText>, report: &mut Report) -> Result<bool, Failure> {
    let (Some(service), Some(mesh)) = (tunnel.service, mesh) else { return Ok(true) };
    for remark in mesh.remarks() {
        let level = match remark {
            MeshRemark::Taken(_) | MeshRemark::Older(_) => continue,
            MeshRemark::NotKept(_) | MeshRemark::Ends(_) | MeshRemark::Refused(_) | MeshRemark::Conflict(_) => {
                Level::Warning
            }
        };
        report.add(Part::Target, level, format!("gateway.mesh: {remark}"));
    }
    let mesh = mesh.open()?;
    let Err(unreachable) = mesh.described(service) else { return Ok(true) };
    report.advise(
        Part::Target,
        Level::Error,
        format!("the tunnel is left out: {unreachable}"),
        format!(
            "whoever keeps the mesh adds what it lacks, as with `edgetrust federation link`; this is site {}",
            mesh.site()
        ),
    );
    Ok(false)
}

/// Reports on the certificate that this side shows if it is asked for one.
fn own(
    tunnel: &ConfigTunnel<'_>,
    tls: &ClientSettings,
    shared: &SharedTrust<'_>,
    stored: Stored<'_>,
    report: &mut Report,
) {
    let part = Part::OurCertificate;
    for (level, what) in stored.said {
        report.add(part, level, what);
    }
    let Some(credential) = &tls.credential else {
        return report.add(part, Level::Ok, "none is configured: this tunnel shows no certificate");
    };
    let chain: Vec<CertificateDer<'static>> = credential.chain();
    report.own_certificate = Described::new(&chain);
    let Some((begin, end)) = chain.first().and_then(validity) else { return };
    let now = clock::now();
    if now > end {
        let what = format!("expired at {}, and it is {}", Utc(end), Utc(now));
        report.advise(part, Level::Error, what, "renew it here, or set this machine's clock");
    } else if now < begin {
        let what = format!("valid only from {}, and it is {}", Utc(begin), Utc(now));
        report.advise(part, Level::Error, what, "set this machine's clock, or wait");
    } else {
        let of = match &tunnel.kind {
            ConfigKind::Client { tls: configured, .. } => match &configured.credential {
                Some(CredentialSource::Files(files)) => format!("{}: ", files.cert_file),
                _ => String::new(),
            },
            ConfigKind::Server { .. } => String::new(),
        };
        report.add(part, Level::Ok, format!("{of}valid until {}", Utc(end)));
    }
    for (subject, key) in shared.denied(&chain) {
        let what = format!("{subject} has a denied key: {key}");
        report.advise(
            part,
            Level::Error,
            what,
            "give this gateway, or the CA above it, a new key: whoever shares these denials refuses it",
        );
    }
}
