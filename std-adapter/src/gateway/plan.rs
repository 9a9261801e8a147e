//! Makes tunnels from the core's configuration, and reads the files that the configuration names.

use std::net::SocketAddr;
use std::path::Path;

use edgetrust_core::config::{
    Acme, ClientTls, ClientTrust, CredentialSource, Files, Gateway, MinVersion as ConfigVersion, Paths, Server,
    Tunnel as ConfigTunnel, TunnelKind as ConfigKind,
};
use edgetrust_core::path::Purpose;
use edgetrust_core::time::Utc;
use pki_types::CertificateDer;
use tracing::{info, warn};

use super::{Limits, Tunnel, TunnelKind, TunnelLimits, Watched};
use crate::tls::{
    Anchors, ClientAuth, ClientSettings, Credential, MinVersion, OwnedRule, Peers, ServerSettings, ServerTrust,
    TrustStore, server_name, system_roots,
};
use crate::{clock, pem};

/// Provides credentials that are not simply files.
pub trait CredentialProvider {
    /// Returns a credential from an ACME directory, with files as a fallback while the directory is unavailable; each
    /// file is noted in `watched` before it is read.
    ///
    /// # Errors
    /// Returns the fault in the section, or in the files that it names.
    fn acme(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        watched: &mut Watched,
    ) -> Result<Credential, String>;
}

/// The provider for programs that obtain no certificates.
#[derive(Clone, Copy, Debug)]
pub struct NoAcme;

impl CredentialProvider for NoAcme {
    fn acme(&mut self, _: &Acme<'_>, _: Option<&Files<'_>>, _: Purpose, _: &mut Watched) -> Result<Credential, String> {
        Err("mode \"acme\": this program obtains no certificates, expected \"manual\"".to_owned())
    }
}

/// The configuration of a gateway, with its files read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tunnels.
    pub tunnels: Vec<Tunnel>,
    /// The limits of the gateway.
    pub limits: Limits,
    /// The address at which the operator's pages are served.
    pub admin: Option<SocketAddr>,
}

impl Plan {
    /// Reads every file that a configuration names, each noted in `watched` first.
    ///
    /// # Errors
    /// Returns the tunnel, and the fault in a file.
    pub fn new(
        gateway: &Gateway<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, String> {
        if gateway.tunnels.is_empty() {
            return Err("gateway.tunnels: found none, expected at least one tunnel".to_owned());
        }
        let known = certificates(&gateway.known_intermediates, watched)?;
        let mut roots = LazyRoots::default();
        let tunnels = gateway.tunnels.iter().map(|tunnel| {
            Self::tunnel(tunnel, gateway, &known, &mut roots, watched, provider)
                .map_err(|error| format!("tunnel {}: {error}", tunnel.name.escape_debug()))
        });
        Ok(Self {
            tunnels: tunnels.collect::<Result<_, _>>()?,
            limits: gateway.limits.into(),
            admin: gateway.admin_listen,
        })
    }

    fn tunnel(
        tunnel: &ConfigTunnel<'_>,
        gateway: &Gateway<'_>,
        known: &[CertificateDer<'static>],
        roots: &mut LazyRoots,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Tunnel, String> {
        let kind = match &tunnel.kind {
            ConfigKind::Server { tls, sni, proxy_protocol } => TunnelKind::Server {
                tls: server_settings(tls, known, watched, provider)?,
                sni: sni.iter().map(|name| (*name).to_owned()).collect(),
                proxy_protocol: *proxy_protocol,
            },
            ConfigKind::Client { tls, server_name: name } => {
                if tls.insecure_skip_verify {
                    warn!(tunnel = %tunnel.name, "insecure_skip_verify: whoever answers is believed, no server is verified");
                }
                TunnelKind::Client {
                    tls: client_settings(tls, known, roots, watched, provider)?,
                    server_name: server_name(name).map_err(|error| error.to_string())?,
                }
            }
        };
        Ok(Tunnel {
            name: tunnel.name.to_owned(),
            listen: tunnel.listen.into(),
            target: tunnel.target.into(),
            limits: TunnelLimits::new(tunnel.limits, gateway.limits),
            kind,
        })
    }
}

/// Reads a server's settings, with the files that they name; `None` for plaintext.
pub(crate) fn server_settings(
    tls: &Server<'_>,
    known: &[CertificateDer<'static>],
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<Option<ServerSettings>, String> {
    let (tls, client_auth) = match tls {
        Server::Plain => return Ok(None),
        Server::Tls(tls) => (tls, ClientAuth::Off),
        Server::MutualTls(tls, trust) => (tls, client_auth(trust, known, watched)?),
    };
    Ok(Some(ServerSettings {
        credential: credential(&tls.credential, Purpose::ServerAuth, watched, provider)?,
        client_auth,
        min_version: tls.min_version.into(),
        alpn: Vec::new(),
    }))
}

fn client_auth(
    trust: &ClientTrust<'_>,
    known: &[CertificateDer<'static>],
    watched: &mut Watched,
) -> Result<ClientAuth, String> {
    let anchors = Anchors {
        pinned: certificates(&trust.pinned_certificates, watched)?,
        stated: certificates(&trust.ca_files, watched)?,
        ..Anchors::default()
    };
    let store = TrustStore::new(anchors, known.to_vec(), peers(trust)).map_err(|error| error.to_string())?;
    warn_of_ends(&store);
    Ok(if trust.required { ClientAuth::Required(store) } else { ClientAuth::Optional(store) })
}

fn peers(trust: &ClientTrust<'_>) -> Peers {
    let owned = |name: &&str| (*name).to_owned();
    let rules: Vec<OwnedRule> = (trust.allowed_cns.iter().map(owned).map(OwnedRule::CommonName))
        .chain(trust.allowed_dns.iter().map(owned).map(OwnedRule::Dns))
        .chain(trust.allowed_uris.iter().map(owned).map(OwnedRule::Uri))
        .chain(trust.allowed_ips.iter().copied().map(OwnedRule::Ip))
        .collect();
    // Allow lists that are configured and empty authorize nobody.
    if trust.any_verified && rules.is_empty() { Peers::AnyVerified } else { Peers::OneOf(rules) }
}

fn client_settings(
    tls: &ClientTls<'_>,
    known: &[CertificateDer<'static>],
    roots: &mut LazyRoots,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<ClientSettings, String> {
    let trust = if tls.insecure_skip_verify {
        ServerTrust::DangerNobodyIsVerified
    } else {
        let mut anchors = Anchors {
            pinned: certificates(&tls.pinned_certificates, watched)?,
            stated: certificates(&tls.ca_files, watched)?,
            ..Anchors::default()
        };
        if tls.system_roots {
            anchors.system.extend_from_slice(roots.get());
        }
        if anchors.is_empty() {
            return Err(
                "no CA to verify servers with: found neither ca_files, pinned_certificates nor a usable CA of this system"
                    .to_owned(),
            );
        }
        let store = TrustStore::new(anchors, known.to_vec(), Peers::AnyVerified).map_err(|error| error.to_string())?;
        warn_of_ends(&store);
        ServerTrust::Verified(store)
    };
    Ok(ClientSettings {
        trust,
        credential: match &tls.credential {
            Some(source) => Some(credential(source, Purpose::ClientAuth, watched, provider)?),
            None => None,
        },
        min_version: tls.min_version.into(),
        alpn: Vec::new(),
    })
}

/// Warns of authorities that end soon: peers verified by them are refused after that.
fn warn_of_ends(store: &TrustStore) {
    let now = clock::now();
    for authority in store.authorities().iter().filter(|authority| authority.ends_soon(now)) {
        warn!(role = authority.role.name(), "{} ends at {}: replace it", authority.subject, Utc(authority.not_after));
    }
}

fn credential(
    source: &CredentialSource<'_>,
    purpose: Purpose,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<Credential, String> {
    match source {
        CredentialSource::Acme(acme) => provider.acme(acme, None, purpose, watched),
        CredentialSource::AcmeWithFallback(acme, files) => provider.acme(acme, Some(files), purpose, watched),
        CredentialSource::Files(files) => {
            let (cert_file, key_file) = (Path::new(files.cert_file), Path::new(files.key_file));
            watched.note(cert_file);
            watched.note(key_file);
            if let Some(warning) = pem::key_permissions(key_file) {
                warn!("{warning}");
            }
            Credential::load(cert_file, key_file).map_err(|error| error.to_string())
        }
    }
}

/// Reads the certificates of several files, each noted first.
pub(crate) fn certificates(files: &Paths<'_>, watched: &mut Watched) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for file in files {
        watched.note(Path::new(file));
        all.extend(pem::read_certificates(Path::new(file)).map_err(|error| error.to_string())?);
    }
    Ok(all)
}

impl From<ConfigVersion> for MinVersion {
    fn from(version: ConfigVersion) -> Self {
        match version {
            ConfigVersion::Tls12 => Self::Tls12,
            ConfigVersion::Tls13 => Self::Tls13,
        }
    }
}

/// The system's CAs, read when the first tunnel needs them.
#[derive(Default)]
struct LazyRoots(Option<Vec<CertificateDer<'static>>>);

impl LazyRoots {
    fn get(&mut self) -> &[CertificateDer<'static>] {
        self.0.get_or_insert_with(|| {
            let found = system_roots();
            for error in &found.errors {
                warn!("CAs of this system: {error}");
            }
            info!(usable = found.usable.len(), left_out = found.left_out, "CAs of this system");
            found.usable
        })
    }
}
