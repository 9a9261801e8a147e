//! Makes tunnels from the core's configuration, and reads the files that the configuration names.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use edgetrust_core::config::{
    Acme, AllowedClients, ClientTls, ClientTrust, CredentialSource, DeniedKey, Files, Gateway,
    MinVersion as ConfigVersion, Paths, Server, ServerTls, Tunnel as ConfigTunnel, TunnelKind as ConfigKind,
};
use edgetrust_core::path::{self, Purpose};
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use pki_types::CertificateDer;
use tracing::{error, info, warn};

use super::issuers::{IssuerError, issuers, peers};
use super::mesh_file::MeshFileError;
use super::mesh_in_force::{Keep, MeshRemark};
use super::of_mesh::{MeshText, SiteMesh};
use super::{Limits, Tunnel, TunnelKind, TunnelLimits, Watched};
use crate::clock;
use crate::pem::{self, PemError};
use crate::tls::{
    Anchors, ClientAuth, ClientSettings, Credential, CredentialError, MinVersion, ServerNameError, ServerSettings,
    ServerTrust, TrustSettings, TrustStore, server_name, system_roots,
};

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
    ) -> Result<Credential, Box<dyn Error + Send + Sync>>;
}

/// The provider for programs that obtain no certificates.
#[derive(Clone, Copy, Debug)]
pub struct NoAcme;

impl CredentialProvider for NoAcme {
    fn acme(
        &mut self,
        _: &Acme<'_>,
        _: Option<&Files<'_>>,
        _: Purpose,
        _: &mut Watched,
    ) -> Result<Credential, Box<dyn Error + Send + Sync>> {
        Err("mode \"acme\": this program obtains no certificates, expected \"manual\"".into())
    }
}

/// The reason that a configuration does not become a plan.
#[derive(Debug)]
pub enum PlanError {
    /// The configuration has no tunnel.
    NoTunnel,
    /// The tunnel with this name has a fault.
    Tunnel(String, Box<Self>),
    /// A file with certificates is faulty.
    Certificates(PemError),
    /// A certificate and its key cannot be loaded.
    Credential(CredentialError),
    /// The provider has no credential for an `acme` section.
    Acme(Box<dyn Error + Send + Sync>),
    /// The allow list of clients has a faulty issuer.
    AllowedClients(IssuerError),
    /// An issuer that servers must come from is faulty.
    ServerIssuers(IssuerError),
    /// A certificate that is to verify peers does not parse.
    Anchor(ParseError),
    /// The mesh file is faulty.
    Mesh(MeshFileError),
    /// A tunnel has a service, and there is no mesh.
    NoMesh,
    /// A client tunnel has nothing to verify servers with.
    NoAnchor,
    /// The name that servers must have is none.
    ServerName(ServerNameError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTunnel => f.write_str("gateway.tunnels: found none, expected at least one tunnel"),
            Self::Tunnel(name, error) => write!(f, "tunnel {}: {error}", name.escape_debug()),
            Self::Certificates(error) => error.fmt(f),
            Self::Credential(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
            Self::AllowedClients(error) => write!(f, "allowed_clients: {error}"),
            Self::ServerIssuers(error) => write!(f, "server_issuers: {error}"),
            Self::Anchor(error) => error.fmt(f),
            Self::NoAnchor => f.write_str(
                "no CA to verify servers with: found neither ca_files, pinned_certificates nor a usable CA of this system",
            ),
            Self::ServerName(error) => error.fmt(f),
            Self::Mesh(error) => write!(f, "gateway.mesh: {error}"),
            Self::NoMesh => f.write_str("service: expected gateway.mesh"),
        }
    }
}

impl Error for PlanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tunnel(_, error) => Some(&**error),
            Self::Certificates(error) => Some(error),
            Self::Credential(error) => Some(error),
            Self::Acme(error) => Some(&**error),
            Self::AllowedClients(error) | Self::ServerIssuers(error) => Some(error),
            Self::Anchor(error) => Some(error),
            Self::ServerName(error) => Some(error),
            Self::Mesh(error) => Some(error),
            Self::NoTunnel | Self::NoAnchor | Self::NoMesh => None,
        }
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
    pub(crate) fn new(
        gateway: &Gateway<'_>,
        shared: &SharedTrust<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, PlanError> {
        if gateway.tunnels.is_empty() {
            return Err(PlanError::NoTunnel);
        }
        let mut roots = LazyRoots::default();
        let mesh = shared.mesh.as_ref().map(MeshText::open).transpose().map_err(PlanError::Mesh)?;
        let tunnels = gateway.tunnels.iter().map(|tunnel| {
            Self::tunnel(tunnel, gateway, (shared, mesh.as_ref()), &mut roots, watched, provider)
                .map_err(|error| PlanError::Tunnel(tunnel.name.to_owned(), Box::new(error)))
        });
        Ok(Self {
            tunnels: tunnels.filter_map(Result::transpose).collect::<Result<_, _>>()?,
            limits: gateway.limits.into(),
            admin: gateway.admin_listen,
        })
    }

    fn tunnel(
        tunnel: &ConfigTunnel<'_>,
        gateway: &Gateway<'_>,
        (shared, mesh): (&SharedTrust<'_>, Option<&SiteMesh<'_>>),
        roots: &mut LazyRoots,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Option<Tunnel>, PlanError> {
        let of_mesh = match (tunnel.service, mesh) {
            (None, _) => None,
            (Some(_), None) => return Err(PlanError::NoMesh),
            (Some(service), Some(mesh)) => match mesh.of(service, shared.with(Anchors::default())) {
                Ok(found) => Some(found),
                // A reload that is refused would leave in force what the mesh no longer allows.
                Err(unreachable) => {
                    warn!(tunnel = %tunnel.name, "the tunnel is left out: {unreachable}");
                    return Ok(None);
                }
            },
        };
        let (trust, server) = of_mesh.map_or((None, None), |found| (Some(found.trust), found.server));
        let kind = match &tunnel.kind {
            ConfigKind::Server { tls, sni, proxy_protocol } => TunnelKind::Server {
                tls: server_settings(tls, trust, shared, watched, provider)?,
                sni: sni.iter().map(|name| (*name).to_owned()).collect(),
                proxy_protocol: *proxy_protocol,
            },
            ConfigKind::Client { tls, server_name: name } => {
                if tls.insecure_skip_verify {
                    warn!(tunnel = %tunnel.name, "insecure_skip_verify: whoever answers is believed, no server is verified");
                }
                let name = server.as_ref().map(|(_, name)| name.as_str()).or(*name).unwrap_or_default();
                TunnelKind::Client {
                    tls: client_settings(tls, trust, shared, roots, watched, provider)?,
                    server_name: server_name(name).map_err(PlanError::ServerName)?,
                }
            }
        };
        let own = match &kind {
            TunnelKind::Server { tls, .. } => tls.as_ref().map(|tls| &tls.credential),
            TunnelKind::Client { tls, .. } => tls.credential.as_ref(),
        };
        for (subject, key) in own.map(|credential| shared.denied(&credential.chain())).unwrap_or_default() {
            error!(tunnel = %tunnel.name, "{subject}, which this gateway shows, has a denied key: {key}");
        }
        Ok(Some(Tunnel {
            name: tunnel.name.to_owned(),
            listen: tunnel.listen.into(),
            target: server.map(|(target, _)| target).or(tunnel.target.map(Into::into)).ok_or(PlanError::NoMesh)?,
            limits: TunnelLimits::new(tunnel.limits, gateway.limits),
            kind,
        }))
    }
}

/// The trust that all tunnels share: what completes chains, and what is denied.
#[derive(Debug)]
pub(crate) struct SharedTrust<'a> {
    allowed_clients: &'a AllowedClients<'a>,
    pub(crate) known_intermediates: Vec<CertificateDer<'static>>,
    denied_keys: Vec<path::DeniedKey>,
    mesh: Option<MeshText>,
}

impl<'a> SharedTrust<'a> {
    /// Reads the known intermediates and the mesh, each file noted in `watched` first.
    pub(crate) fn read(
        gateway: &'a Gateway<'_>,
        denied_keys: &[DeniedKey<'_>],
        watched: &mut Watched,
    ) -> Result<Self, PlanError> {
        let mut known_intermediates = certificates(&gateway.known_intermediates, watched)?;
        let mut denied_keys: Vec<_> = denied_keys.iter().map(path::DeniedKey::from).collect();
        let mesh = gateway.mesh.map(|mesh| MeshText::read(&mesh, &denied_keys, watched, Keep::Yes));
        let mesh = mesh.transpose().map_err(PlanError::Mesh)?;
        if let Some(mesh) = &mesh {
            mesh.remarks().iter().for_each(log);
            let mesh = mesh.open().map_err(PlanError::Mesh)?;
            known_intermediates.extend(mesh.known_intermediates());
            denied_keys.extend(mesh.denied_keys());
        }
        Ok(Self { allowed_clients: &gateway.allowed_clients, known_intermediates, denied_keys, mesh })
    }

    /// Returns the keys that the configuration and the mesh deny.
    pub(crate) fn denied_keys(&self) -> &[path::DeniedKey] {
        &self.denied_keys
    }

    /// Returns the subjects and keys of those certificates of a chain whose key is denied.
    fn denied(&self, chain: &[CertificateDer<'_>]) -> Vec<(String, KeyHash)> {
        let certificates = chain.iter().flat_map(|der| Certificate::from_der(der));
        let keys = certificates.map(|one| (one.subject().to_string(), KeyHash::of(&one.subject_public_key_info())));
        let now = clock::now();
        let holds = |key: &KeyHash| self.denied_keys.iter().any(|denied| denied.key == *key && denied.holds(now));
        keys.filter(|(_, key)| holds(key)).collect()
    }

    /// Adds the anchors of one side.
    fn with(&self, anchors: Anchors) -> TrustSettings {
        TrustSettings {
            known_intermediates: self.known_intermediates.clone(),
            denied_keys: self.denied_keys.clone(),
            ..anchors.into()
        }
    }
}

/// Logs what there is to say of the mesh in force.
fn log(remark: &MeshRemark) {
    match remark {
        MeshRemark::Taken(_) | MeshRemark::Older(_) => info!("gateway.mesh: {remark}"),
        MeshRemark::Ends(_) => warn!("gateway.mesh: {remark}"),
        MeshRemark::Refused(_) | MeshRemark::Conflict(_) | MeshRemark::NotKept(_) => error!("gateway.mesh: {remark}"),
    }
}

/// Reads a server's settings, with the files that they name; `None` for plaintext.
fn server_settings(
    tls: &Server<'_>,
    of_mesh: Option<TrustSettings>,
    shared: &SharedTrust<'_>,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<Option<ServerSettings>, PlanError> {
    let (tls, trust) = match tls {
        Server::Plain => return Ok(None),
        Server::Tls(tls) => (tls, None),
        Server::MutualTls(tls, trust) => (tls, Some(trust)),
    };
    let client_auth = match (of_mesh, trust) {
        (Some(trust), _) => ClientAuth::Required(trust_store(trust)?),
        (None, Some(trust)) => client_auth(trust, shared, watched)?,
        (None, None) => ClientAuth::Off,
    };
    tls_settings(tls, client_auth, watched, provider).map(Some)
}

/// Reads the settings of a server with TLS, with the files that they name.
pub(crate) fn tls_settings(
    tls: &ServerTls<'_>,
    client_auth: ClientAuth,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<ServerSettings, PlanError> {
    Ok(ServerSettings {
        credential: credential(&tls.credential, Purpose::ServerAuth, watched, provider)?,
        client_auth,
        min_version: tls.min_version.into(),
        alpn: Vec::new(),
    })
}

/// Reads the CAs, pins and rules for clients, with the files that they name.
pub(crate) fn client_auth(
    trust: &ClientTrust<'_>,
    shared: &SharedTrust<'_>,
    watched: &mut Watched,
) -> Result<ClientAuth, PlanError> {
    let anchors = Anchors {
        pinned: certificates(&trust.pinned_certificates, watched)?,
        stated: certificates(&trust.ca_files, watched)?,
        ..Anchors::default()
    };
    let clients = peers(trust, shared.allowed_clients, watched).map_err(PlanError::AllowedClients)?;
    let store = trust_store(TrustSettings { clients, ..shared.with(anchors) })?;
    Ok(if trust.required { ClientAuth::Required(store) } else { ClientAuth::Optional(store) })
}

/// Creates a store, and warns of authorities in it that end soon.
fn trust_store(settings: TrustSettings) -> Result<Arc<TrustStore>, PlanError> {
    let store = TrustStore::new(settings).map_err(PlanError::Anchor)?;
    warn_of_ends(&store);
    Ok(store)
}

fn client_settings(
    tls: &ClientTls<'_>,
    of_mesh: Option<TrustSettings>,
    shared: &SharedTrust<'_>,
    roots: &mut LazyRoots,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<ClientSettings, PlanError> {
    let trust = if let Some(trust) = of_mesh {
        ServerTrust::Verified(trust_store(trust)?)
    } else if tls.insecure_skip_verify {
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
            return Err(PlanError::NoAnchor);
        }
        let server_issuers = match tls.server_issuers.as_slice() {
            [] => None,
            texts => Some(issuers(texts, watched).map_err(PlanError::ServerIssuers)?),
        };
        ServerTrust::Verified(trust_store(TrustSettings { server_issuers, ..shared.with(anchors) })?)
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
) -> Result<Credential, PlanError> {
    match source {
        CredentialSource::Acme(acme) => provider.acme(acme, None, purpose, watched).map_err(PlanError::Acme),
        CredentialSource::AcmeWithFallback(acme, files) => {
            provider.acme(acme, Some(files), purpose, watched).map_err(PlanError::Acme)
        }
        CredentialSource::Files(files) => {
            let (cert_file, key_file) = (Path::new(files.cert_file), Path::new(files.key_file));
            watched.note(cert_file);
            watched.note(key_file);
            if let Some(warning) = pem::key_permissions(key_file) {
                warn!("{warning}");
            }
            Credential::load(cert_file, key_file).map_err(PlanError::Credential)
        }
    }
}

/// Reads the certificates of several files, each noted first.
pub(crate) fn certificates(
    files: &Paths<'_>,
    watched: &mut Watched,
) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let mut all = Vec::new();
    for file in files {
        watched.note(Path::new(file));
        all.extend(pem::read_certificates(Path::new(file)).map_err(PlanError::Certificates)?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::config::Config;

    #[test]
    fn an_error_leads_to_its_causes() {
        let mut text = br#"{"security": {"tls": {"server": {"enabled": true, "cert_file": "/none", "key_file": "/none"}}},
            "gateway": {"tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1"}]}}"#
            .to_vec();
        let config = Config::parse(&mut text).unwrap();
        let mut watched = Watched::default();
        let shared = SharedTrust::read(&config.gateway, &[], &mut watched).unwrap();
        let error = Plan::new(&config.gateway, &shared, &mut watched, &mut NoAcme).unwrap_err();
        assert_eq!(error.to_string(), "tunnel in: /none: cannot be read: No such file or directory (os error 2)");
        let Some(PlanError::Credential(credential)) = error.source().and_then(|cause| cause.downcast_ref()) else {
            panic!("{error:?}")
        };
        let CredentialError::Pem(file) = credential else { panic!("{error:?}") };
        let cause = file.source().and_then(Error::source).unwrap();
        assert!(cause.is::<std::io::Error>(), "{cause:?}");
    }
}
